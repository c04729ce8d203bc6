"""Linear models on fixed features, and how well predictions fit what was measured."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigh
from scipy.stats import pearsonr, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from data_builders.records import InputError

# Half a decade apart. The published 1e-3 ... 10 stops short: standardised codon frequencies were
# best at 100 and thousands of k-mers at 10,000.
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 6, 19))
# Of logistic regression, where every penalty costs a fit for each class.
CLASS_ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
METRICS = ("pearson", "spearman", "mse", "alpha")
CLASS_METRICS = ("auroc_macro", "auroc_micro", "auprc_macro", "auprc_micro", "alpha")


def fit_and_score(
    name: str,
    matrix: np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    alphas: Sequence[float],
) -> tuple[float, ...]:
    """One value for each of METRICS: those of a ridge on `train`, scored on `test`.

    Args:
        name: of the features, for errors.
        matrix: (n, width); without a column that varies in train, the mean is predicted.
        targets: float (n,).
        train: row numbers.
        test: row numbers.
        alphas: the penalties to choose from.

    Raises:
        InputError: targets that do not vary, or features that are not finite.
    """
    if np.ptp(targets[train]) == 0 or np.ptp(targets[test]) == 0:
        raise InputError("labels: got one value for all of train or test, wanted several")
    z = _standardised(name, matrix, train, test)
    predicted, alpha = _ridge(*z, targets[train], alphas)
    return (*score_numbers(predicted, targets[test]), alpha)


def fit_and_score_classes(
    name: str,
    matrix: np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    alphas: Sequence[float],
) -> tuple[float, ...]:
    """One value for each of CLASS_METRICS: those of a logistic regression for each class.

    All classes share the penalty with the least log loss on the validation rows.

    Args:
        name: of the features, for errors.
        matrix: (n, width); without a column that varies in train, the mean is predicted.
        targets: bool (n, classes), each with both values in train and in test.
        train: row numbers to fit on.
        validation: row numbers to choose the penalty by.
        test: row numbers to score.
        alphas: the penalties to choose from: alpha/2 times the squared norm of the weights, beside
            the sum of the log losses over the rows.

    Raises:
        InputError: features that are not finite.
    """
    z = _standardised(name, matrix, train, validation, test)
    z_train, *others = _rotated(*z) if z[0].shape[1] > len(train) else z
    # Strong to weak: each fit starts where the one before it ended.
    alphas = sorted(alphas, reverse=True)
    found = [np.empty((len(alphas), len(x), targets.shape[1])) for x in others]
    for column, values in enumerate(targets[train].T):
        model = LogisticRegression(max_iter=5000, warm_start=True)
        for i, alpha in enumerate(alphas):
            model.set_params(C=1 / alpha).fit(z_train, values)
            for probabilities, x in zip(found, others, strict=True):
                probabilities[i, :, column] = model.predict_proba(x)[:, 1]
    on_validation, on_test = found
    observed = targets[validation].ravel()
    losses = [log_loss(observed, p.ravel(), labels=[False, True]) for p in on_validation]
    best = int(np.argmin(losses))
    return (*score_classes(on_test[best], targets[test]), float(alphas[best]))


def score_numbers(predicted: np.ndarray, observed: np.ndarray) -> tuple[float, float, float]:
    """Pearson and Spearman correlation, 0 for predictions that do not vary, and mean squared error.

    Args:
        predicted: (n,).
        observed: (n,), not all the same.
    """
    varies = np.ptp(predicted) > 0
    return (
        float(pearsonr(predicted, observed).statistic) if varies else 0.0,
        float(spearmanr(predicted, observed).statistic) if varies else 0.0,
        float(np.mean((predicted - observed) ** 2)),
    )


def score_classes(predicted: np.ndarray, observed: np.ndarray) -> tuple[float, ...]:
    """Areas under the ROC and the precision-recall curve: macro and micro AUROC, then AUPRC.

    Macro is the mean over classes; micro pools the rows of all classes, so that it also rewards
    knowing which classes are frequent.

    Args:
        predicted: (n, classes), higher for likelier, on one scale for all classes.
        observed: bool (n, classes), both values in each.
    """
    if observed.shape[1] == 1:
        predicted, observed = predicted[:, 0], observed[:, 0]
    return tuple(
        float(score(observed, predicted, average=average))
        for score in (roc_auc_score, average_precision_score)
        for average in ("macro", "micro")
    )


def _standardised(
    name: str, matrix: np.ndarray, train: np.ndarray, *others: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The rows of train and others, less the columns constant in train, in its standard units."""
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise InputError(f"features '{name}': row {row}: got NaN or infinity, wanted numbers")
    x_train = matrix[train].astype(np.float64)
    varies = np.ptp(x_train, axis=0) > 0
    if not varies.any():  # codons of UTRs, an encoder that collapsed: the mean is all there is
        return tuple(np.zeros((len(rows), 1)) for rows in (train, *others))
    x_train = x_train[:, varies]
    centre, scale = x_train.mean(axis=0), x_train.std(axis=0)
    rest = ((matrix[rows][:, varies] - centre) / scale for rows in others)
    return (x_train - centre) / scale, *rest


def _ridge(
    z_train: np.ndarray, z_test: np.ndarray, targets: np.ndarray, alphas: Sequence[float]
) -> tuple[np.ndarray, float]:
    """Predictions on test, and the penalty, which has the least leave-one-out squared error.

    As sklearn's RidgeCV, at the cost of the smaller of rows and columns: one decomposition serves
    all penalties, and that of a square matrix is far faster than one of many rows.
    """
    train, test = _rotated(z_train, z_test)
    centre, lengths = targets.mean(), (train**2).sum(0)
    products = train.T @ (targets - centre)

    def left_out_error(alpha):
        shrunk = products / (lengths + alpha)
        leverage = 1 / len(train) + train**2 @ (1 / (lengths + alpha))
        return np.mean(((targets - centre - train @ shrunk) / (1 - leverage)) ** 2)

    alpha = min(alphas, key=left_out_error)
    return centre + test @ (products / (lengths + alpha)), float(alpha)


def _rotated(z_train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same points along the principal axes of train, as many as it spans.

    Penalised weights lie in the span of the rows they are fitted on, and a rotation keeps their
    norm: fits are the same, and cost no more than rows or columns do, whichever are fewer.
    """
    is_wide = z_train.shape[1] > len(z_train)
    values, vectors = eigh(z_train @ z_train.T if is_wide else z_train.T @ z_train)
    spanned = values > values[-1] * len(values) * np.finfo(float).eps
    axes = vectors[:, spanned]
    if is_wide:  # products with the rows of train do, of which there are fewer than columns
        scale = np.sqrt(values[spanned])
        return axes * scale, *(z @ z_train.T @ (axes / scale) for z in others)
    return tuple(z @ axes for z in (z_train, *others))
