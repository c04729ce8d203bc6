"""The linear probe: ridge and logistic regression on fixed features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import eigh
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from data_builders.labels.base import MULTICLASS, REGRESSION
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Indexed, Prediction

# Half a decade apart. The published 1e-3 ... 10 stops short: standardised codon frequencies were
# best at 100 and thousands of k-mers at 10,000.
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 6, 19))
# Of logistic regression, where every penalty costs a fit for each class.
CLASS_ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
_RARE = 1e-6  # probability of a class that train lacks

LEAST_SPREAD = 0.1
"""Of a feature that a network's head gets, in units of the median over features."""


@dataclass(frozen=True)
class Linear:
    """A linear model of fixed features, with one treatment for every feature set.

    Columns are put into standard units of the train rows; those constant there are dropped, and a
    set of these alone predicts the mean. A number is predicted by ridge regression, whose penalty
    has the least leave-one-out squared error within train; the validation rows stay unused. Classes
    are predicted by logistic regression, of a multilabel task one against the rest, by softmax of a
    multiclass one; all classes share the penalty with the least log loss on the validation rows.

    Standardising gives every column one vote. Blocks of very different width (thousands of k-mers
    beside seven lengths) are better probed apart than side by side.

    Args:
        features: (n, width), or anything that an array of row numbers indexes to such rows.
        alphas: penalties to choose from; None: `ALPHAS` or `CLASS_ALPHAS`. For classes alpha/2
            times the squared norm of the weights stands beside the sum of the log losses.
        least_spread: of a column's unit, see `spread_of`.
    """

    features: Indexed
    alphas: Sequence[float] | None = None
    least_spread: float = 0.0

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it; "alpha" is the chosen penalty."""
        model = self.fit(fold)
        on_validation = None
        if fold.task != REGRESSION:
            on_validation = model.predict(self._rows(fold.validation))
        on_test = model.predict(self._rows(fold.test))
        return Prediction(test=on_test, validation=on_validation, choices={"alpha": model.alpha})

    def fit(self, fold: Fold) -> "LinearModel":
        """Fit to the train rows of a fold; features that are not finite are an InputError."""
        units = _Units(self._rows(fold.train), self.least_spread)
        if fold.task == REGRESSION:
            return _fit_ridge(units, fold.train_targets, self.alphas or ALPHAS)
        if not len(fold.validation):
            raise InputError("got no validation row, wanted some to choose a penalty by")
        validation = units.of(self._rows(fold.validation))
        return _fit_classes(units, fold, validation, self.alphas or CLASS_ALPHAS)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        matrix = np.asarray(self.features[rows])
        finite = np.isfinite(matrix).all(axis=1)
        if not finite.all():
            row = rows[int(np.argmin(finite))]
            raise InputError(f"features: row {row}: got NaN or infinity, wanted numbers")
        return matrix


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """A fitted linear model.

    Attributes:
        task: of what.
        alpha: the chosen penalty.
        units: of the columns.
        rotation: of these, or None.
        weights: of the columns so transformed, (width, outputs).
        intercept: (outputs,).
    """

    task: str
    alpha: float
    units: "_Units"
    rotation: "_Rotation | None"
    weights: np.ndarray
    intercept: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return numbers (n,), probabilities of yes (n,), or of each class (n, classes)."""
        z = self.units.of(x)
        values = (z if self.rotation is None else self.rotation.of(z)) @ self.weights
        values = values + self.intercept
        if self.task == MULTICLASS:
            return softmax(values, axis=1)
        if self.task != REGRESSION:
            values = expit(values)
        return values[:, 0] if values.shape[1] == 1 and self.task != "multilabel" else values

    def on_raw_features(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (width, outputs) and intercept (outputs,) for features as they were given.

        Of classes these give logits.
        """
        weights = self.weights if self.rotation is None else self.rotation.undone(self.weights)
        raw = self.units.undone(weights)
        return raw, self.intercept - self.units.centre @ raw

    def errors_without_own_group(self, targets: np.ndarray, groups: Sequence) -> np.ndarray:
        """Return the error of each train row, (n,), under a fit to all groups but its own.

        Exact for ridge regression at the chosen penalty and in the units of all train rows, by one
        formula: rows G of residuals e and leverages H have (I - H_GG)⁻¹ e_G. For groups of one row
        that is the well-known e / (1 - h). A model of classes is an InputError.
        """
        if self.task != REGRESSION or self.rotation is None:
            raise InputError(f"errors of left out groups: got {self.task}, wanted {REGRESSION}")
        train = self.rotation.train
        errors = targets - (train @ self.weights[:, 0] + self.intercept[0])
        shrunk = train / np.sqrt((train**2).sum(axis=0) + self.alpha)
        left_out = errors / (1 - 1 / len(train) - (shrunk**2).sum(axis=1))
        _, numbers, sizes = np.unique(
            np.asarray(groups, str), return_inverse=True, return_counts=True
        )
        for group in np.flatnonzero(sizes > 1):
            rows = np.flatnonzero(numbers == group)
            own = np.eye(len(rows)) - 1 / len(train) - shrunk[rows] @ shrunk[rows].T
            left_out[rows] = np.linalg.solve(own, errors[rows])
        return left_out


def spread_of(x: np.ndarray, least: float) -> np.ndarray:
    """Return standard deviations of columns, at least `least` times their median.

    A channel that is silent in few train rows may be loud in others: its own units would make those
    outliers that decide every prediction.
    """
    spread = x.std(axis=0)
    if not least:
        return spread
    return np.maximum(spread, least * np.median(spread[spread > 0]) if spread.any() else 1.0)


def standard_sides(features: Indexed, fold: Fold, least_spread: float = 0.0) -> list[np.ndarray]:
    """Return train, validation and test rows in standard units of train: float64 (rows, width)."""
    given = [np.asarray(features[rows]) for rows in (fold.train, fold.validation, fold.test)]
    sides = [np.asarray(side, np.float64) for side in given]
    varies, centre = _varies(given[0]), sides[0].mean(axis=0)
    scale = spread_of(np.where(varies, sides[0], 0.0), least_spread)
    scale[~varies] = np.inf  # a constant column says nothing
    return [(side - centre) / scale for side in sides]


def _varies(x: np.ndarray) -> np.ndarray:
    """Return whether the values of each column, bool (width,), differ by more than rounding.

    Embeddings are float32, and their last digits depend on the batch. In its own units a column
    that differs by these alone would have a huge weight, and decide every prediction where it does
    vary.
    """
    rounding = np.finfo(x.dtype).eps if np.issubdtype(x.dtype, np.floating) else 0.0
    return np.ptp(x, axis=0) > 16 * rounding * np.abs(x).max(axis=0, initial=0.0)


class _Units:
    """The standard units of train rows, without the columns that are constant there."""

    def __init__(self, x: np.ndarray, least_spread: float = 0.0):
        self.varies = _varies(x)
        self.centre = x.mean(axis=0, dtype=np.float64)
        of_varying = x[:, self.varies].astype(np.float64)
        self.means, self.scale = of_varying.mean(axis=0), spread_of(of_varying, least_spread)
        self.train = self.of(x)

    def of(self, x: np.ndarray) -> np.ndarray:
        """Rows in these units: (n, varying columns), or a column of zeros if there is none."""
        if not self.varies.any():  # codons of UTRs, an encoder that collapsed
            return np.zeros((len(x), 1))
        return (x[:, self.varies].astype(np.float64) - self.means) / self.scale

    def undone(self, weights: np.ndarray) -> np.ndarray:
        """Weights of raw columns: (width, outputs)."""
        raw = np.zeros((len(self.varies), weights.shape[1]))
        if self.varies.any():
            raw[self.varies] = weights / self.scale[:, None]
        return raw


class _Rotation:
    """The principal axes of train rows, as many as they span.

    Penalised weights lie in the span of the rows they are fitted on, and a rotation keeps their
    norm: fits are the same, and cost no more than rows or columns do, whichever are fewer.
    """

    def __init__(self, z: np.ndarray):
        is_wide = z.shape[1] > len(z)
        values, vectors = eigh(z @ z.T if is_wide else z.T @ z)
        spanned = values > values[-1] * len(values) * np.finfo(float).eps
        self.axes = vectors[:, spanned]
        self.rows = None
        if is_wide:  # products with the rows of train do, of which there are fewer than columns
            scale = np.sqrt(values[spanned])
            self.rows, self.train = z, self.axes * scale
            self.axes = self.axes / scale
        else:
            self.train = z @ self.axes

    def of(self, z: np.ndarray) -> np.ndarray:
        """Rows along the axes: (n, spanned)."""
        return z @ self.axes if self.rows is None else z @ self.rows.T @ self.axes

    def undone(self, weights: np.ndarray) -> np.ndarray:
        """Weights of the columns before: (width, outputs)."""
        weights = self.axes @ weights
        return weights if self.rows is None else self.rows.T @ weights


def _fit_ridge(units: _Units, targets: np.ndarray, alphas: Sequence[float]) -> LinearModel:
    """As sklearn's RidgeCV, at the cost of the smaller of rows and columns.

    One decomposition serves all penalties, and that of a square matrix is far faster than one of
    many rows.
    """
    rotation = _Rotation(units.train)
    train = rotation.train
    centre, lengths = targets.mean(), (train**2).sum(0)
    products = train.T @ (targets - centre)

    def left_out_error(alpha):
        shrunk = products / (lengths + alpha)
        leverage = 1 / len(train) + train**2 @ (1 / (lengths + alpha))
        return np.mean(((targets - centre - train @ shrunk) / (1 - leverage)) ** 2)

    alpha = min(alphas, key=left_out_error)
    return LinearModel(
        task=REGRESSION,
        alpha=float(alpha),
        units=units,
        rotation=rotation,
        weights=(products / (lengths + alpha))[:, None],
        intercept=np.array([centre]),
    )


def _fit_classes(
    units: _Units, fold: Fold, validation: np.ndarray, alphas: Sequence[float]
) -> LinearModel:
    """Logistic regressions of one class against the rest, or one of all classes.

    A class that train lacks, or has alone, is predicted to be so.
    """
    rotation = _Rotation(units.train) if units.train.shape[1] > len(units.train) else None
    train = units.train if rotation is None else rotation.train
    if rotation is not None:
        validation = rotation.of(validation)
    one_of_several, outputs = fold.task == MULTICLASS, max(fold.classes, 1)
    targets, observed = fold.train_targets, fold.validation_targets
    if one_of_several:
        constant, activation = np.full(outputs, -np.inf), partial(softmax, axis=1)
        learnt, every, varied = [np.unique(targets)], np.arange(outputs), slice(None)
    else:
        targets, observed = targets.reshape(-1, outputs), observed.reshape(-1, outputs)
        constant, activation = logit(targets.mean(axis=0).clip(_RARE, 1 - _RARE)), expit
        varied = targets.any(axis=0) & ~targets.all(axis=0)
        learnt, every = [[column] for column in np.flatnonzero(varied)], [False, True]
        observed = observed[:, varied].ravel()
    alphas = sorted(alphas, reverse=True)  # each fit starts where the one before it ended
    fits = [(np.zeros((train.shape[1], outputs)), constant.copy()) for _ in alphas]
    for columns in learnt:
        model = LogisticRegression(max_iter=5000, warm_start=True)
        for alpha, (weights, intercept) in zip(alphas, fits, strict=True):
            model.set_params(C=1 / alpha)
            model.fit(train, targets if one_of_several else targets[:, columns[0]])
            if one_of_several and len(columns) == 2:  # sklearn has the second's logit alone
                weights[:, columns[1]], intercept[columns] = (
                    model.coef_[0],
                    np.append(0, model.intercept_),
                )
            else:
                weights[:, columns], intercept[columns] = model.coef_.T, model.intercept_
    losses = []
    for weights, intercept in fits:
        found = activation(validation @ weights + intercept)
        found = found if one_of_several else found[:, varied].ravel()
        losses.append(log_loss(observed, found, labels=every))
    best = int(np.argmin(losses))
    return LinearModel(
        task=fold.task,
        alpha=float(alphas[best]),
        units=units,
        rotation=rotation,
        weights=fits[best][0],
        intercept=fits[best][1],
    )
