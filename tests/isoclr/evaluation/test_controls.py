import random

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_builders.labels.splits import random_split
from data_builders.records import Transcript
from isoclr.evaluation.controls import _BOOSTING, TOGETHER, boosting, control_features
from isoclr.evaluation.features import codon_frequencies, kmer_frequencies, structure_features

N = 300


@pytest.fixture(scope="module")
def transcripts():
    rng = random.Random(0)
    return [
        Transcript(f"t{i}", "g", "s", "".join(rng.choices("ACGT", k=60 + i)), 10, 40, (20, 50))
        for i in range(5)
    ]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setitem(_BOOSTING, "n_iter_no_change", 5)


def planted(seed=0):
    """A product of two features, which no linear model sees, and noise: (300, 4), (300,)."""
    x = np.random.default_rng(seed).normal(size=(N, 4))
    return x, np.sign(x[:, 0] * x[:, 1])


def test_every_control_is_there_by_name(transcripts):
    features = control_features(transcripts)
    widths = {name: matrix.shape for name, matrix in features.items()}
    assert widths == {
        "k-mers 1-6": (5, 5460),
        "k-mers 3-7": (5, 21824),
        "structure": (5, 7),
        "codons": (5, 64),
        "codons + structure": (5, 71),
        "codons + structure + k-mers 1-4": (5, 411),
    }
    assert {matrix.dtype for matrix in features.values()} == {np.dtype(np.float32)}


def test_together_is_each_side_by_side(transcripts):
    features = control_features(transcripts, [(2, 3)])
    assert "k-mers 2-3" in features and "k-mers 1-6" not in features
    codons, structure = codon_frequencies(transcripts), structure_features(transcripts)
    assert (features["codons + structure"] == np.hstack([codons, structure])).all()
    whole = np.hstack([codons, structure, kmer_frequencies(transcripts, 1, 4)])
    assert (features[TOGETHER] == whole).all()


def test_trees_find_what_no_linear_model_sees():
    x, targets = planted()
    train, validation, test = random_split(N, 0)
    weights, *_ = np.linalg.lstsq(x[train], targets[train])
    assert abs(np.corrcoef(x[test] @ weights, targets[test])[0, 1]) < 0.3
    predicted = boosting(x, targets)(train, validation, test, 0)
    assert predicted.shape == test.shape
    assert np.corrcoef(predicted, targets[test])[0, 1] > 0.7


def test_test_rows_and_their_targets_do_not_teach():
    x, targets = planted()
    train, validation, test = random_split(N, 0)
    honest = boosting(x, targets)(train, validation, test, 3)
    spoilt = targets.copy()
    spoilt[test] = 9
    assert (boosting(x, spoilt)(train, validation, test, 3) == honest).all()  # and a seed repeats
    spoilt[validation] = -spoilt[validation]  # they say when to stop
    assert (boosting(x, spoilt)(train, validation, test, 3) != honest).any()


def test_classes_get_a_model_each_and_one_that_train_lacks_its_value():
    x, targets = planted()
    train, validation, test = random_split(N, 0)
    classes = np.column_stack([targets > 0, np.zeros(N, bool), targets < 0])
    classes[test[0], 1] = True  # never in train, nor in validation
    predicted = boosting(x, classes)(train, validation, test, 0)
    assert predicted.shape == (len(test), 3)
    assert ((0 <= predicted) & (predicted <= 1)).all()
    assert not predicted[:, 1].any()
    for column in (0, 2):
        assert roc_auc_score(classes[test, column], predicted[:, column]) > 0.9


def test_a_class_that_validation_lacks_is_no_obstacle():
    x, targets = planted()
    train, validation, test = random_split(N, 0)
    present = targets > 0
    present[validation] = False
    predicted = boosting(x, present)(train, validation, test, 0)
    assert predicted.shape == test.shape and np.isfinite(predicted).all()
