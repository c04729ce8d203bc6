"""Numbers over seeds, tables of them for reading, and columns in their own units."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

INTERVAL = "a 95 % corrected resampled t interval (Nadeau & Bengio 2003)"
"""How tables, figures and JSON call the interval of `corrected_mean` and `corrected_gain`."""

Interval = tuple[float | None, float | None]
"""A mean and half the width of its interval; None where there are too few values."""


def corrected_mean(values: Sequence[float], test_to_train: float) -> Interval:
    """Return the mean over splits, and half the width of its 95 % interval.

    Splits of the same rows overlap, so the standard error of independent values is too small.
    Nadeau & Bengio (2003) correct its variance from s²/J to (1/J + n_test/n_train)·s², of J splits,
    and take Student's t with J - 1 degrees of freedom; Bouckaert & Frank (2004) do the same for
    repeated cross-validation.

    Args:
        values: one a split.
        test_to_train: test rows for each row of train.
    """
    if not len(values):
        return None, None
    if len(values) == 1:
        return float(values[0]), None
    error = _corrected_error(values, test_to_train)
    return float(np.mean(values)), float(student.ppf(0.975, len(values) - 1) * error)


def corrected_gain(
    values: Sequence[float], reference: Sequence[float], test_to_train: float
) -> tuple[float | None, float | None, float | None]:
    """Return what `values` have over `reference`, split by split.

    Mean difference and half-width as `corrected_mean` gives them, and the two-sided p of the
    corrected resampled t-test; 1 where no split differs.
    """
    difference = np.subtract(values, reference).tolist()
    mean, half_width = corrected_mean(difference, test_to_train)
    if mean is None or half_width is None:
        return mean, None, None
    error = _corrected_error(difference, test_to_train)
    if error == 0:
        return mean, half_width, 1.0 if mean == 0 else 0.0
    return mean, half_width, float(2 * student.sf(abs(mean) / error, len(difference) - 1))


def _corrected_error(values: Sequence[float], test_to_train: float) -> float:
    return float(np.sqrt((1 / len(values) + test_to_train) * np.var(values, ddof=1)))


def cluster_weights(
    clusters: Sequence[Sequence | np.ndarray], resamples: int, seed: int = 0
) -> np.ndarray:
    """Return how often each row is in each resample of a bootstrap over clusters.

    Clusters are drawn with replacement, as many as there are. Of rows that belong to a cluster in
    several ways, such as the RNA's and the protein's of a pair, the numbers of draws are multiplied
    (Owen 2007, the pigeonhole bootstrap).

    Args:
        clusters: for each way, the cluster of each of n rows.
        resamples: how many.
        seed: of the draws.

    Returns:
        int64 (resamples, n).
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((resamples, len(clusters[0])), np.int64)
    for way in clusters:
        names, places = np.unique(np.asarray(way), return_inverse=True)
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
        weights *= draws[:, places]
    return weights


def plus_minus(mean: float | None, half_width: float | None, sign: str = "") -> str:
    """Return both as text, without what is None; `sign` "+" shows the sign of a positive mean."""
    if mean is None:
        return ""
    return f"{mean:{sign}.3f}" + ("" if half_width is None else f" ± {half_width:.3f}")


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the first of them the header, as a table in Markdown."""
    header, *rest = rows
    lines = [header, ["---"] * len(header), *rest]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as text in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(row.rstrip() for row in rows)


def standardised(matrix: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and standard deviation 1, or constant 0: float64 (n, width)."""
    centred = matrix - matrix.mean(axis=0, dtype=np.float64)
    varies = np.ptp(matrix, axis=0) > 0
    return np.where(varies, centred / np.where(varies, centred.std(axis=0), 1), 0)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, zeros as they are: float32 (n, size)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
