import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from data_builders.records import InputError
from isoclr.evaluation.linear import (
    ALPHAS,
    CLASS_ALPHAS,
    CLASS_METRICS,
    METRICS,
    _ridge,
    _rotated,
    _standardised,
    fit_and_score,
    fit_and_score_classes,
    score_classes,
    score_numbers,
)

TRAIN, VALIDATION, TEST = np.arange(60), np.arange(60, 100), np.arange(100, 160)


def planted(width, classes, seed=0):
    """Features, and classes that depend on the first of them: (160, width), bool (160, classes)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(160, width))
    logits = x[:, :5] @ rng.normal(size=(5, classes)) - 1
    return x * rng.lognormal(size=width), rng.random((160, classes)) < expit(logits)


def classes_scored(x, targets, alphas=CLASS_ALPHAS):
    return fit_and_score_classes("x", x, targets, TRAIN, VALIDATION, TEST, alphas)


@pytest.mark.parametrize("width", [20, 300])  # less than train has rows, and more
def test_classes_are_those_of_logistic_regressions_by_sklearn(width):
    x, targets = planted(width, 3)
    z = (x - x[TRAIN].mean(0)) / x[TRAIN].std(0)
    losses, scores = [], []
    for alpha in CLASS_ALPHAS:
        found = np.empty((160, 3))
        for column in range(3):
            model = LogisticRegression(C=1 / alpha, max_iter=10_000, tol=1e-8)
            model.fit(z[TRAIN], targets[TRAIN, column])
            found[:, column] = model.predict_proba(z)[:, 1]
        losses.append(log_loss(targets[VALIDATION].ravel(), found[VALIDATION].ravel()))
        scores.append(
            [
                score(targets[TEST], found[TEST], average=average)
                for score in (roc_auc_score, average_precision_score)
                for average in ("macro", "micro")
            ]
        )
    best = int(np.argmin(losses))
    assert 0 < best < len(CLASS_ALPHAS) - 1
    *found, alpha = classes_scored(x, targets)
    assert alpha == CLASS_ALPHAS[best]
    assert found == pytest.approx(scores[best], abs=0.002)  # sklearn's default tolerance
    assert found != pytest.approx(scores[-1], abs=0.002)


@pytest.mark.parametrize("width", [8, 59, 60, 61, 300])
@pytest.mark.parametrize("collinear", [False, True])
def test_ridge_is_that_of_sklearn(width, collinear):
    rng = np.random.default_rng(0)
    x, _ = planted(width, 1)
    if collinear:
        x = np.hstack([x, x[:, :4] + x[:, 1:5], x[:, :1]])
    targets = x[:, :5] @ rng.normal(size=5) + rng.normal(size=160) + 7
    z_train, z_test = _standardised("x", x, TRAIN, TEST)
    model = RidgeCV(ALPHAS).fit(z_train, targets[TRAIN])
    predicted, alpha = _ridge(z_train, z_test, targets[TRAIN], ALPHAS)
    assert alpha == model.alpha_
    np.testing.assert_allclose(predicted, model.predict(z_test), rtol=1e-8)


@pytest.mark.parametrize(("width", "spanned"), [(20, 20), (300, 59)])
def test_rotated_points_keep_every_product_with_train(width, spanned):
    x, _ = planted(width, 1)
    z_train, z_test = _standardised("x", x, TRAIN, TEST)
    train, test = _rotated(z_train, z_test)
    # Of sixty rows 59, as the mean is taken out.
    assert train.shape == (60, spanned) and test.shape == (60, spanned)
    np.testing.assert_allclose(train @ train.T, z_train @ z_train.T, atol=1e-9)
    np.testing.assert_allclose(test @ train.T, z_test @ z_train.T, atol=1e-9)


@pytest.mark.parametrize("width", [8, 300])
def test_test_rows_do_not_choose_the_penalty_nor_validation_rows_the_weights(width):
    x, targets = planted(width, 2)
    honest = classes_scored(x, targets)
    spoilt = targets.copy()
    spoilt[TEST] = ~spoilt[TEST]
    assert classes_scored(x, spoilt)[-1] == honest[-1]
    spoilt = targets.copy()
    spoilt[VALIDATION] = ~spoilt[VALIDATION]
    assert classes_scored(x, spoilt)[-1] == max(CLASS_ALPHAS)  # the weaker, the better
    assert classes_scored(x, spoilt, (10.0,)) == classes_scored(x, targets, (10.0,))


def test_features_that_do_not_vary_predict_the_mean():
    rng = np.random.default_rng(0)
    numbers, (_, classes) = rng.normal(size=160), planted(5, 2)
    constant = np.ones((160, 3))
    constant[TEST] = rng.normal(size=(60, 3))  # train has nothing to say about it
    scores = dict(
        zip(METRICS, fit_and_score("x", constant, numbers, TRAIN, TEST, [1.0]), strict=True)
    )
    mse = np.mean((numbers[TEST] - numbers[TRAIN].mean()) ** 2)
    assert scores == {"pearson": 0, "spearman": 0, "mse": pytest.approx(mse), "alpha": 1}
    scores = dict(zip(CLASS_METRICS, classes_scored(constant, classes), strict=True))
    assert scores["auroc_macro"] == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_is_named(value):
    x, targets = planted(8, 1)
    x[130, 2] = value
    message = "features 'x': row 130: got NaN or infinity, wanted numbers"
    with pytest.raises(InputError, match=message):
        fit_and_score("x", x, targets[:, 0].astype(float), TRAIN, TEST, [1.0])
    with pytest.raises(InputError, match=message):
        classes_scored(x, targets)


def test_scores_of_numbers_of_a_known_case():
    predicted, observed = np.array([1.0, 2, 3, 10]), np.array([1.0, 2, 4, 3])
    assert score_numbers(predicted, observed) == pytest.approx(
        (np.corrcoef(predicted, observed)[0, 1], 0.8, (1 + 49) / 4)
    )
    assert score_numbers(np.ones(4), observed) == (0, 0, (0 + 1 + 9 + 4) / 4)


def test_scores_of_classes_of_a_known_case():
    # The first class is ranked right; of the second, one of two pairs. Together: of the 2 * 4 pairs
    # of a true and a false, 0.9 wins all and 0.2 one (of 0.1, 0.3, 0.4, 0.8).
    predicted = np.array([[0.9, 0.3], [0.1, 0.2], [0.4, 0.8]])
    observed = np.array([[True, False], [False, True], [False, False]])
    macro, micro, precision, micro_precision = score_classes(predicted, observed)
    assert (macro, micro) == (0.5, 5 / 8)
    assert precision == pytest.approx((1 + 1 / 3) / 2)
    assert micro_precision == pytest.approx((1 + 2 / 5) / 2)
    assert score_classes(predicted[:, :1], observed[:, :1]) == (1, 1, 1, 1)
