"""Numbers over seeds, tables of them for reading, and columns in their own units."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_rel


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval: 1.96·sd/√n."""
    return float(np.mean(values)), float(1.96 * np.std(values, ddof=1) / len(values) ** 0.5)


def paired_gain(values: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """What `values` have over `reference`, pair by pair.

    Returns:
        Mean difference, half the width of its 95 % interval, and p of the paired t-test. Pairs that
        are splits of the same rows share some, so the interval and p are optimistic (Nadeau &
        Bengio 2003).
    """
    difference = np.subtract(values, reference)
    # Without any difference the test statistic would be 0/0.
    p = float(ttest_rel(values, reference).pvalue) if difference.any() else 1.0
    return *mean_and_half_width(difference), p


def plus_minus(mean: float, half_width: float) -> str:
    """Both as text."""
    return f"{mean:.3f} ± {half_width:.3f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as text in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(row.rstrip() for row in rows)


def standardised(matrix: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1, those constant of 0: float64 (n, width)."""
    centred = matrix - matrix.mean(axis=0, dtype=np.float64)
    varies = np.ptp(matrix, axis=0) > 0
    return np.where(varies, centred / np.where(varies, centred.std(axis=0), 1), 0)
