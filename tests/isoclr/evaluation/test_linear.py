import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import log_loss

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold
from isoclr.evaluation.linear import (
    ALPHAS,
    CLASS_ALPHAS,
    Linear,
    _Rotation,
    _Units,
    standard_sides,
)

TRAIN, VALIDATION, TEST = np.arange(60), np.arange(60, 100), np.arange(100, 160)


def planted(width, classes, seed=0):
    """Features, and classes that depend on the first of them: (160, width), bool (160, classes)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(160, width))
    logits = x[:, :5] @ rng.normal(size=(5, classes)) - 1
    return x * rng.lognormal(size=width), rng.random((160, classes)) < expit(logits)


def fold_of(task, targets, classes=0):
    return Fold(
        task=task,
        classes=classes,
        train=TRAIN,
        validation=VALIDATION,
        test=TEST,
        train_targets=targets[TRAIN],
        validation_targets=targets[VALIDATION],
        seed=0,
    )


def multilabel(targets):
    return fold_of(MULTILABEL, targets, targets.shape[1])


@pytest.mark.parametrize("width", [20, 300])  # less than train has rows, and more
def test_classes_are_those_of_logistic_regressions_by_sklearn(width):
    x, targets = planted(width, 3)
    z = (x - x[TRAIN].mean(0)) / x[TRAIN].std(0)
    losses, predicted = [], []
    for alpha in CLASS_ALPHAS:
        found = np.empty((160, 3))
        for column in range(3):
            model = LogisticRegression(C=1 / alpha, max_iter=10_000, tol=1e-8)
            model.fit(z[TRAIN], targets[TRAIN, column])
            found[:, column] = model.predict_proba(z)[:, 1]
        losses.append(log_loss(targets[VALIDATION].ravel(), found[VALIDATION].ravel()))
        predicted.append(found)
    best = int(np.argmin(losses))
    assert 0 < best < len(CLASS_ALPHAS) - 1
    found = Linear(x)(multilabel(targets))
    assert found.choices == {"alpha": CLASS_ALPHAS[best]}
    np.testing.assert_allclose(found.test, predicted[best][TEST], atol=2e-3)  # sklearn's tolerance
    np.testing.assert_allclose(found.validation, predicted[best][VALIDATION], atol=2e-3)
    assert np.abs(found.test - predicted[-1][TEST]).max() > 0.02
    alone = Linear(x, [CLASS_ALPHAS[best]])(fold_of(BINARY, targets[:, 1]))
    np.testing.assert_allclose(alone.test, found.test[:, 1], atol=2e-3)


@pytest.mark.parametrize("width", [20, 300])
def test_one_of_several_classes_is_that_of_sklearn(width):
    x, _ = planted(width, 1)
    targets = np.digitize(x[:, 0] / x[:, 0].std() + x[:, 1] / x[:, 1].std(), [-0.5, 0.5])
    z = (x - x[TRAIN].mean(0)) / x[TRAIN].std(0)
    model = LogisticRegression(C=0.1, max_iter=10_000, tol=1e-8).fit(z[TRAIN], targets[TRAIN])
    found = Linear(x, [10.0])(fold_of(MULTICLASS, targets, 3))
    np.testing.assert_allclose(found.test, model.predict_proba(z[TEST]), atol=2e-3)
    # A class that only test has gets no probability; two in train are the logistic regression.
    rare = np.where(targets == 2, 0, targets)
    rare[TEST[:3]] = 2
    found = Linear(x, [10.0])(fold_of(MULTICLASS, rare, 3))
    model = LogisticRegression(C=0.1, max_iter=10_000, tol=1e-8).fit(z[TRAIN], rare[TRAIN])
    np.testing.assert_allclose(found.test[:, :2], model.predict_proba(z[TEST]), atol=2e-3)
    assert (found.test[:, 2] == 0).all()


@pytest.mark.parametrize("width", [8, 59, 60, 61, 300])
@pytest.mark.parametrize("collinear", [False, True])
def test_ridge_is_that_of_sklearn(width, collinear):
    rng = np.random.default_rng(0)
    x, _ = planted(width, 1)
    if collinear:
        x = np.hstack([x, x[:, :4] + x[:, 1:5], x[:, :1]])
    targets = x[:, :5] @ rng.normal(size=5) + rng.normal(size=160) + 7
    z = (x - x[TRAIN].mean(0)) / x[TRAIN].std(0)
    model = RidgeCV(ALPHAS).fit(z[TRAIN], targets[TRAIN])
    found = Linear(x)(fold_of(REGRESSION, targets))
    assert found.choices == {"alpha": model.alpha_}
    np.testing.assert_allclose(found.test, model.predict(z[TEST]), rtol=1e-8)


@pytest.mark.parametrize("width", [8, 300])
@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTILABEL, MULTICLASS])
def test_weights_on_raw_features_give_the_same_predictions(task, width):
    x, classes = planted(width, 3)
    x[:, 2] = 4.0  # constant
    targets = {
        REGRESSION: x[:, 0],
        BINARY: classes[:, 0],
        MULTILABEL: classes,
        MULTICLASS: classes[:, 0] + classes[:, 1].astype(int),
    }[task]
    classes = 3 if task in (MULTILABEL, MULTICLASS) else 0
    model = Linear(x, [10.0]).fit(fold_of(task, targets, classes))
    weights, intercept = model.on_raw_features()
    values = x @ weights + intercept
    expected = {
        REGRESSION: values[:, 0],
        BINARY: expit(values[:, 0]),
        MULTILABEL: expit(values),
        MULTICLASS: np.exp(values) / np.exp(values).sum(axis=1, keepdims=True),
    }[task]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-9)
    assert (weights[2] == 0).all()


@pytest.mark.parametrize(("width", "spanned"), [(20, 20), (300, 59)])
def test_rotated_points_keep_every_product_with_train(width, spanned):
    x, _ = planted(width, 1)
    units = _Units(x[TRAIN])
    rotation = _Rotation(units.train)
    z_test = units.of(x[TEST])
    train, test = rotation.train, rotation.of(z_test)
    # Of sixty rows 59, as the mean is taken out.
    assert train.shape == (60, spanned) and test.shape == (60, spanned)
    np.testing.assert_allclose(train @ train.T, units.train @ units.train.T, atol=1e-9)
    np.testing.assert_allclose(test @ train.T, z_test @ units.train.T, atol=1e-9)


@pytest.mark.parametrize("width", [8, 300])
def test_validation_rows_choose_the_penalty_and_not_the_weights(width):
    x, targets = planted(width, 2)
    honest = Linear(x)(multilabel(targets))
    spoilt = targets.copy()
    spoilt[VALIDATION] = ~spoilt[VALIDATION]
    found = Linear(x)(multilabel(spoilt))
    assert found.choices["alpha"] == max(CLASS_ALPHAS)  # the weaker, the better
    assert found.choices != honest.choices
    alone = [Linear(x, [10.0])(multilabel(each)).test for each in (spoilt, targets)]
    assert (alone[0] == alone[1]).all()


def test_features_that_do_not_vary_predict_the_mean():
    rng = np.random.default_rng(0)
    numbers, (_, classes) = rng.normal(size=160), planted(5, 2)
    constant = np.ones((160, 3))
    constant[TEST] = rng.normal(size=(60, 3))  # train has nothing to say about it
    predicted = Linear(constant, [1.0])(fold_of(REGRESSION, numbers)).test
    assert predicted == pytest.approx(np.full(60, numbers[TRAIN].mean()))
    predicted = Linear(constant)(multilabel(classes)).test
    assert (np.ptp(predicted, axis=0) == 0).all()
    assert predicted[0] == pytest.approx(classes[TRAIN].mean(0), abs=1e-3)


def test_a_column_that_varies_by_its_rounding_alone_says_nothing():
    """An embedding's last digits depend on the batch; their own units would blow them up."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 3)).astype(np.float32)
    x[:, 1] = np.float32(0.3) + rng.choice([-1, 0, 1], 160) * np.spacing(np.float32(0.3))
    weights, _ = Linear(x).fit(fold_of(REGRESSION, x[:, 0].astype(float))).on_raw_features()
    assert weights[1] == 0
    assert weights[0] > 0.5
    for least in (0.0, 0.1):
        train, _, test = standard_sides(x, fold_of(REGRESSION, x[:, 0]), least)
        assert not train[:, 1].any() and not test[:, 1].any()
        np.testing.assert_allclose(train[:, [0, 2]].std(axis=0), 1)


def test_a_class_of_one_value_in_train_is_predicted_to_be_so():
    x, targets = planted(8, 3)
    targets[TRAIN, 1], targets[TRAIN, 2] = False, True
    found = Linear(x)(multilabel(targets))
    assert (found.test[:, 1] < 1e-5).all() and (found.test[:, 2] > 1 - 1e-5).all()
    alone = Linear(x)(multilabel(targets[:, :1]))
    np.testing.assert_allclose(found.test[:, 0], alone.test[:, 0], rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_is_named(value):
    x, targets = planted(8, 1)
    x[130, 2] = value
    message = "features: row 130: got NaN or infinity, wanted numbers"
    for fold in (fold_of(REGRESSION, targets[:, 0] * 1.0), multilabel(targets)):
        with pytest.raises(InputError, match=message):
            Linear(x)(fold)


@pytest.mark.parametrize("width", [8, 90])  # fewer columns than rows, and more
def test_errors_without_own_group_are_those_of_fits_without_it(width):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(160, width))
    targets = x[:, 0] + rng.normal(size=160)
    groups = np.array([f"g{row // 3 if row < 30 else row}" for row in range(60)])
    model = Linear(x, [30.0]).fit(fold_of(REGRESSION, targets))
    found = model.errors_without_own_group(targets[TRAIN], groups)
    z, y = (x[TRAIN] - x[TRAIN].mean(0)) / x[TRAIN].std(0), targets[TRAIN]
    for group in np.unique(groups):
        own = groups == group
        left = Ridge(alpha=30.0).fit(z[~own], y[~own])
        np.testing.assert_allclose(found[own], y[own] - left.predict(z[own]), atol=1e-9)
    with pytest.raises(InputError, match="got binary, wanted regression"):
        Linear(x).fit(fold_of(BINARY, targets > 0)).errors_without_own_group(y, groups)
