"""Cox's proportional hazards on fixed features, with a penalty chosen on the validation rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Indexed, Prediction
from isoclr.evaluation.linear import standard_sides

COX_ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 5, 11))


@dataclass(frozen=True)
class Cox:
    """Log hazards as a linear function of features (Cox 1972), ties as Breslow has them.

    Columns are put into standard units of the train rows. Half the penalty times the squared norm
    of the weights stands beside the negative log partial likelihood; the penalty with the least of
    that on the validation rows is taken, the largest where no event is seen there.

    Args:
        features: (n, width), or anything that an array of row numbers indexes to such rows.
        alphas: penalties to choose from.
        least_spread: of a column's unit, see `isoclr.evaluation.linear.spread_of`.
    """

    features: Indexed
    alphas: Sequence[float] = COX_ALPHAS
    least_spread: float = 0.0

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it; "alpha" is the chosen penalty."""
        if not fold.train_targets[:, 1].any():
            raise InputError("got no event among the rows of train, wanted some to learn from")
        train, validation, test = standard_sides(self.features, fold, self.least_spread)
        weights, best = np.zeros(train.shape[1]), (np.inf, 0.0, np.zeros(train.shape[1]))
        time, event = fold.train_targets.T
        for alpha in sorted(self.alphas, reverse=True):  # each fit starts where the last ended
            weights = fit_cox(train, time, event, alpha, weights)
            loss, _ = partial_likelihood(validation @ weights, *fold.validation_targets.T)
            if loss < best[0]:
                best = loss, alpha, weights
        _, alpha, weights = best
        return Prediction(
            test=test @ weights, validation=validation @ weights, choices={"alpha": alpha}
        )


def fit_cox(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, alpha: float, start: np.ndarray
) -> np.ndarray:
    """Return the weights (width,) of least penalised negative log partial likelihood.

    Of x float64 (n, width), times and events (n,), with the penalty alpha/2·|w|², from `start` on.
    """

    def loss(weights):
        value, slope = partial_likelihood(x @ weights, time, event)
        return value + alpha / 2 * weights @ weights, x.T @ slope + alpha * weights

    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x


def partial_likelihood(
    risk: np.ndarray, time: np.ndarray, event: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log partial likelihood, a sum over events, and its gradient by risk.

    Everyone whose time is at least that of an event is at risk (Breslow). All are (n,): log
    hazards, times of event or censoring, and whether the event was seen.
    """
    order = np.argsort(-time, kind="stable")
    sorted_time, seen = -time[order], event[order].astype(float)
    hazard = np.exp(risk[order] - risk.max())
    first = np.searchsorted(sorted_time, sorted_time, "left")
    last = np.searchsorted(sorted_time, sorted_time, "right") - 1
    at_risk = np.cumsum(hazard)[last]
    value = float(seen @ (np.log(at_risk) + risk.max() - risk[order]))
    # A sample is at risk at every event of its time or before: those from its tie to the end.
    shares = np.cumsum((seen / at_risk)[::-1])[::-1][first]
    slope = np.empty(len(risk))
    slope[order] = hazard * shares - seen
    return value, slope
