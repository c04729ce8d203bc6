import evaluate
import numpy as np
import pytest

from isoclr.evaluation.linear import CLASS_METRICS, METRICS, score_classes, score_numbers
from isoclr.metrics import CLASSIFICATION, REGRESSION


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`evaluate.load` where every connection fails."""
    monkeypatch.setattr("socket.socket.connect", None)
    return lambda path: evaluate.load(path, cache_dir=str(tmp_path))


def test_numbers_are_scored_as_the_probe_does(load):
    rng = np.random.default_rng(0)
    observed = rng.normal(size=50)
    predicted = observed + rng.normal(size=50)
    found = load(REGRESSION).compute(predictions=predicted, references=observed)
    expected = score_numbers(predicted, observed)
    assert found == dict(zip(METRICS[:3], expected, strict=True))


def test_classes_are_scored_as_the_probe_does(load):
    rng = np.random.default_rng(0)
    observed = rng.random((50, 3)) < 0.4
    predicted = observed + rng.normal(size=(50, 3))
    found = load(CLASSIFICATION).compute(predictions=predicted, references=observed)
    assert found == dict(zip(CLASS_METRICS[:4], score_classes(predicted, observed), strict=True))
    assert found["auroc_macro"] != found["auroc_micro"]


def test_one_class_needs_no_lists_and_batches_add_up(load):
    observed = np.array([True, False, False, True, False])
    predicted = np.array([0.9, 0.2, 0.7, 0.6, 0.1])
    metric = load(CLASSIFICATION)
    metric.add_batch(predictions=predicted[:3], references=observed[:3])
    metric.add_batch(predictions=predicted[3:], references=observed[3:])
    expected = score_classes(predicted[:, None], observed[:, None])
    assert metric.compute() == dict(zip(CLASS_METRICS[:4], expected, strict=True))
