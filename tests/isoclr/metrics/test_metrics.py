import evaluate
import numpy as np
import pytest

from data_builders.labels.base import MULTILABEL
from data_builders.labels.base import REGRESSION as NUMBER
from isoclr.evaluation.scores import score
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
    assert found == score(NUMBER, predicted, observed)


def test_classes_are_scored_as_the_probe_does(load):
    rng = np.random.default_rng(0)
    observed = rng.random((50, 3)) < 0.4
    predicted = observed + rng.normal(size=(50, 3))
    found = load(CLASSIFICATION).compute(predictions=predicted, references=observed)
    assert found == score(MULTILABEL, predicted, observed)
    assert found["auroc_macro"] != found["auroc_micro"]


def test_one_class_needs_no_lists_and_batches_add_up(load):
    observed = np.array([True, False, False, True, False])
    predicted = np.array([0.9, 0.2, 0.7, 0.6, 0.1])
    metric = load(CLASSIFICATION)
    metric.add_batch(predictions=predicted[:3], references=observed[:3])
    metric.add_batch(predictions=predicted[3:], references=observed[3:])
    expected = score(MULTILABEL, predicted[:, None], observed[:, None])
    assert metric.compute() == expected
