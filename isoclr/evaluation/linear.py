"""The linear probe: ridge and logistic regression on fixed features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from data_builders.labels.base import MULTICLASS, REGRESSION
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Prediction

# Half a decade apart. The published 1e-3 ... 10 stops short: standardised codon frequencies were
# best at 100 and thousands of k-mers at 10,000.
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 6, 19))
# Of logistic regression, where every penalty costs a fit for each class.
CLASS_ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)

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

    features: np.ndarray
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
        """Fit to the train rows of a fold.

        Raises:
            InputError: features that are not finite, or no validation row to choose a penalty by.
        """
        units = _Units(self._rows(fold.train), self.least_spread)
        if fold.task == REGRESSION:
            return _fit_ridge(units, fold.train_targets, self.alphas or ALPHAS)
        if not len(fold.validation):
            raise InputError("got no validation row, wanted some to choose a penalty by")
        known = units, fold, units.of(self._rows(fold.validation)), self.alphas or CLASS_ALPHAS
        return _fit_softmax(*known) if fold.task == MULTICLASS else _fit_one_against_rest(*known)

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
        """Numbers (n,), probabilities of yes (n,), or of each class (n, classes)."""
        z = self.units.of(x)
        values = (z if self.rotation is None else self.rotation.of(z)) @ self.weights
        values = values + self.intercept
        if self.task == MULTICLASS:
            return softmax(values, axis=1)
        if self.task != REGRESSION:
            values = expit(values)
        return values[:, 0] if values.shape[1] == 1 and self.task != "multilabel" else values

    def on_raw_features(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (width, outputs) and intercept (outputs,) for features as they were given.

        Of classes these give logits.
        """
        weights = self.weights if self.rotation is None else self.rotation.undone(self.weights)
        raw = self.units.undone(weights)
        return raw, self.intercept - self.units.centre @ raw


def spread_of(x: np.ndarray, least: float) -> np.ndarray:
    """Standard deviations of columns, at least `least` times their median over those that vary.

    A channel that is silent in few train rows may be loud in others: its own units would make those
    outliers that decide every prediction.

    Args:
        x: float64 (n, width).
        least: 0 takes them as they are.
    """
    spread = x.std(axis=0)
    if not least:
        return spread
    return np.maximum(spread, least * np.median(spread[spread > 0]) if spread.any() else 1.0)


class _Units:
    """The standard units of train rows, without the columns that are constant there."""

    def __init__(self, x: np.ndarray, least_spread: float = 0.0):
        self.varies = np.ptp(x, axis=0) > 0
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


def _fit_one_against_rest(
    units: _Units, fold: Fold, validation: np.ndarray, alphas: Sequence[float]
) -> LinearModel:
    """A logistic regression for each class; one of one value in train is predicted to be so."""
    targets, observed = (
        side.reshape(len(side), -1) for side in (fold.train_targets, fold.validation_targets)
    )
    learnt = np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0))
    frequent = np.clip(targets.mean(axis=0), 1e-6, 1 - 1e-6)

    def loss(weights, intercept):
        probabilities = expit(rotated @ weights[:, learnt] + intercept[learnt])
        return log_loss(observed[:, learnt].ravel(), probabilities.ravel(), labels=[False, True])

    def fits(train):
        found = [
            (np.zeros((train.shape[1], len(frequent))), np.log(frequent / (1 - frequent)))
            for _ in alphas
        ]
        for column in learnt:
            path = _logistic_path(train, targets[:, column], alphas)
            for (weights, intercept), (coefficients, constant) in zip(found, path, strict=True):
                weights[:, column], intercept[column] = coefficients[0], constant[0]
        return found

    rotation, train = _rotated_if_wide(units)
    rotated = validation if rotation is None else rotation.of(validation)
    return _with_least_loss(fits(train), loss, alphas, fold.task, units, rotation)


def _fit_softmax(
    units: _Units, fold: Fold, validation: np.ndarray, alphas: Sequence[float]
) -> LinearModel:
    """One model of all classes; a class that train lacks has probability 0."""
    present = np.unique(fold.train_targets)
    every = np.arange(fold.classes)

    def loss(weights, intercept):
        probabilities = softmax(rotated @ weights + intercept, axis=1)
        return log_loss(fold.validation_targets, probabilities, labels=every)

    def fits(train):
        for coefficients, constants in _logistic_path(train, fold.train_targets, alphas):
            if len(present) == 2:  # sklearn has one logit, that of the second
                coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
                constants = np.append(0.0, constants)
            weights = np.zeros((train.shape[1], fold.classes))
            intercept = np.full(fold.classes, -np.inf)
            weights[:, present], intercept[present] = coefficients.T, constants
            yield weights, intercept

    rotation, train = _rotated_if_wide(units)
    rotated = validation if rotation is None else rotation.of(validation)
    return _with_least_loss(list(fits(train)), loss, alphas, fold.task, units, rotation)


def _rotated_if_wide(units: _Units) -> tuple[_Rotation | None, np.ndarray]:
    if units.train.shape[1] <= len(units.train):
        return None, units.train
    rotation = _Rotation(units.train)
    return rotation, rotation.train


def _logistic_path(train: np.ndarray, targets: np.ndarray, alphas: Sequence[float]):
    """Coefficients and intercepts of each penalty, in the order of `alphas`."""
    found = {}
    model = LogisticRegression(max_iter=5000, warm_start=True)
    for alpha in sorted(alphas, reverse=True):  # each fit starts where the one before it ended
        model.set_params(C=1 / alpha).fit(train, targets)
        found[alpha] = model.coef_.copy(), model.intercept_.copy()
    return [found[alpha] for alpha in alphas]


def _with_least_loss(
    fits: list, loss: Callable, alphas: Sequence[float], task: str, units: _Units, rotation
) -> LinearModel:
    # Of equal losses the strongest penalty.
    order = sorted(range(len(fits)), key=lambda i: (loss(*fits[i]), -alphas[i]))
    weights, intercept = fits[order[0]]
    return LinearModel(
        task=task,
        alpha=float(alphas[order[0]]),
        units=units,
        rotation=rotation,
        weights=weights,
        intercept=intercept,
    )
