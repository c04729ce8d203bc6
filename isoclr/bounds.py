"""Lower bounds on mutual information from the scores of a critic.

A batch is n pairs (x_i, y_i). Its scores are an (n, n) matrix: entry (i, j) is what the critic
gives x_i with y_j. Every function returns what each pair contributes, so that batches are averaged
and their spread is known; the bound is the mean. All are in nats.

InfoNCE (arXiv 1807.03748) can never exceed log n: it is to be trusted where the information is some
3 nats below that. NWJ (Nguyen, Wainwright and Jordan 2010) has no such limit but needs a critic
whose scores are log density ratios, and a critic trained by InfoNCE leaves a free offset in every
row: `calibrate` finds the best scale and offset on batches that are not reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

_SCALES = (1e-3, 3.0)  # of the calibrated critic, as multiples of the given one


@dataclass(frozen=True)
class Estimate:
    """A mean over batches.

    Attributes:
        mean: in nats.
        standard_error: of the mean, over batches; NaN for a single one.
    """

    mean: float
    standard_error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of a normal mean."""
        half = 1.96 * self.standard_error
        return self.mean - half, self.mean + half

    def __str__(self) -> str:
        """Mean ± standard error."""
        return f"{self.mean:.3f} ± {self.standard_error:.3f}"


def estimate(batch_means: Sequence[float] | np.ndarray) -> Estimate:
    """Return the mean of batches, each of the same size, and its standard error."""
    values = np.asarray(batch_means, float)
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Estimate(float(values.mean()), float(spread))


def info_nce(scores: np.ndarray, *, rows_alone: bool = False) -> np.ndarray:
    """Return log n minus the cross-entropy of finding the partner, the mean of both directions.

    Args:
        scores: (n, n).
        rows_alone: of each x among all y, not the other way. A critic that is told the band of a
            pair was trained with one scale a row, and free of an offset of each: its columns are
            not what it was trained to tell apart.

    Returns:
        (n,), one a pair.
    """
    found = np.diagonal(scores)
    normaliser = logsumexp(scores, axis=1)
    if not rows_alone:
        normaliser = (normaliser + logsumexp(scores, axis=0)) / 2
    return np.log(len(scores)) + found - normaliser


def nwj(scores: np.ndarray) -> np.ndarray:
    """Return 1 + s(x, y) − mean over strangers of exp s; scores are log density ratios.

    Args:
        scores: (n, n); the strangers of pair i are the rest of row i.

    Returns:
        (n,), one a pair.
    """
    exponentials = np.exp(scores)
    np.fill_diagonal(exponentials, 0)
    return 1 + np.diagonal(scores) - exponentials.sum(1) / (len(scores) - 1)


def calibrate(batches: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the scale a and offset b for which a·s + b is the best critic of `nwj`.

    For a given scale the best offset is minus the log of the mean of exp(a·s) over strangers, and
    what is left to maximise is concave in the scale.

    Args:
        batches: scores of (n, n), none of those that are reported.
    """
    positives = np.concatenate([np.diagonal(scores) for scores in batches])
    strangers = np.concatenate([s[~np.eye(len(s), dtype=bool)] for s in batches])

    def offset(scale: float) -> float:
        return -float(logsumexp(scale * strangers) - np.log(len(strangers)))

    best = minimize_scalar(
        lambda log_scale: -(np.exp(log_scale) * positives.mean() + offset(np.exp(log_scale))),
        bounds=tuple(np.log(_SCALES)),
        method="bounded",
    )
    scale = float(np.exp(best.x))
    return scale, offset(scale)


def permuted(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the scores with the partners dealt out anew: no pair belongs together.

    Every pair gets another's partner, so the bounds of the result are of independent pairs.

    Args:
        scores: (n, n), n at least 2.
        rng: of the deal.
    """
    order = rng.permutation(len(scores))
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)  # one cycle: nobody keeps a partner
    return scores[:, partner]
