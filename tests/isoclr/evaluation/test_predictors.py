from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from data_builders.labels.splits import homology_split
from isoclr.evaluation.compare import Fold
from isoclr.evaluation.predictors import _BOOSTING, Boosting, Neighbours

N = 300
SIDES = homology_split([None] * N, 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setitem(_BOOSTING, "n_iter_no_change", 5)


def planted():
    """A product of two features, which no linear model sees, and noise: (300, 4), (300,)."""
    x = np.random.default_rng(0).normal(size=(N, 4))
    return x, np.sign(x[:, 0] * x[:, 1])


def fold_of(task, targets, classes=0, seed=3):
    train, validation, test = SIDES
    return Fold(
        task=task,
        classes=classes,
        train=train,
        validation=validation,
        test=test,
        train_targets=targets[train],
        validation_targets=targets[validation],
        seed=seed,
    )


def test_trees_find_what_no_linear_model_sees():
    x, targets = planted()
    train, _, test = SIDES
    weights, *_ = np.linalg.lstsq(x[train], targets[train])
    assert abs(np.corrcoef(x[test] @ weights, targets[test])[0, 1]) < 0.3
    predicted = Boosting(x)(fold_of(REGRESSION, targets)).test
    assert predicted.shape == test.shape
    assert np.corrcoef(predicted, targets[test])[0, 1] > 0.7


def test_trees_repeat_and_validation_rows_say_when_to_stop():
    x, targets = planted()
    fold = fold_of(REGRESSION, targets)
    honest = Boosting(x)(fold).test
    assert (Boosting(x)(fold).test == honest).all()
    spoilt = replace(fold, validation_targets=-fold.validation_targets)
    assert (Boosting(x)(spoilt).test != honest).any()


@pytest.mark.parametrize("kind", [Boosting, Neighbours])
def test_classes_and_one_that_train_lacks(kind):
    x, targets = planted()
    test = SIDES[2]
    classes = np.column_stack([targets > 0, np.zeros(N, bool), targets < 0])
    classes[test[0], 1] = True  # never in train, nor in validation
    predicted = kind(x)(fold_of(MULTILABEL, classes, 3)).test
    assert predicted.shape == (len(test), 3)
    assert ((0 <= predicted) & (predicted <= 1)).all()
    assert not predicted[:, 1].any()
    for column in (0, 2):
        assert roc_auc_score(classes[test, column], predicted[:, column]) > 0.85
    numbers = classes.argmax(1)
    predicted = kind(x)(fold_of(MULTICLASS, numbers, 3)).test
    assert predicted.shape == (len(test), 3) and not predicted[:, 1].any()
    assert roc_auc_score(numbers[test] == 2, predicted[:, 2]) > 0.85


@pytest.mark.parametrize("kind", [Boosting, Neighbours])
def test_yes_and_no_have_predictions_of_both_sides(kind):
    x, targets = planted()
    found = kind(x)(fold_of(BINARY, targets > 0))
    for predicted, rows in ((found.test, SIDES[2]), (found.validation, SIDES[1])):
        assert roc_auc_score(targets[rows] > 0, predicted) > 0.85


def test_a_class_that_validation_lacks_or_has_alone_is_no_obstacle():
    x, targets = planted()
    _, validation, test = SIDES
    present = targets > 0
    present[validation] = False
    predicted = Boosting(x)(fold_of(BINARY, present)).test
    assert predicted.shape == test.shape and np.isfinite(predicted).all()
    numbers = (targets > 0).astype(int)
    numbers[validation[:3]] = 2
    for kind in (Boosting, Neighbours):
        predicted = kind(x)(fold_of(MULTICLASS, numbers, 3)).test
        assert np.isfinite(predicted).all() and not predicted[:, 2].any()


def test_neighbours_ignore_units_and_choose_how_many():
    x, targets = planted()
    x = np.column_stack([x, np.ones(N)])
    fold = fold_of(REGRESSION, targets)
    found = Neighbours(x)(fold)
    assert 1 < found.choices["neighbours"] < 50
    scaled = Neighbours(x * [1, 1000, 0.001, 1, 1] + 5)(fold)
    np.testing.assert_allclose(found.test, scaled.test)
    assert np.corrcoef(found.test, targets[SIDES[2]])[0, 1] > 0.6
