"""Which rows train, validate and test; homologs never on two sides."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from data_builders.records import InputError

# The ten splits of the published probes (mRNABench, Orthrus).
SEEDS = (2541, 413, 411, 412, 2547, 321, 421, 311, 2516, 2515)
FRACTIONS = (0.7, 0.15, 0.15)


def homology_split(
    groups: Sequence[str | None], seed: int, fractions: Sequence[float] = FRACTIONS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits rows at random, every homology group on one side.

    The protocol of mRNABench: rows are walked in random order, and all rows of a row's group go to
    the first side whose quota is not yet full. A side exceeds its quota by at most one group.

    Args:
        groups: the homology group of each row; a row of None is a group of its own.
        seed: of numpy's default generator.
        fractions: of the rows, for train, validation and test; they sum to 1.

    Returns:
        Ascending row numbers of train, validation and test: int64, together every row once.

    Raises:
        InputError: the fractions do not sum to 1, or a side gets no row.
    """
    if len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"split: got fractions {tuple(fractions)}, wanted three that sum to 1")
    quotas = [round(fraction * len(groups)) for fraction in fractions[:2]] + [len(groups)]
    members: dict[object, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[row if group is None else group].append(row)
    sides: tuple[list[int], ...] = ([], [], [])
    for row in np.random.default_rng(seed).permutation(len(groups)).tolist():
        # A whole group at once: were its rows left to be walked, large groups would all have gone
        # to train before train is full.
        rows = members.pop(row if groups[row] is None else groups[row], None)
        if rows:
            side = next(i for i, placed in enumerate(sides) if len(placed) < quotas[i])
            sides[side].extend(rows)
    if not all(sides):
        raise InputError(
            f"split: got {tuple(map(len, sides))} of {len(groups)} rows for train, validation and "
            "test, wanted some on every side: more homology groups"
        )
    train, valid, test = (np.sort(np.array(rows, np.int64)) for rows in sides)
    return train, valid, test


def random_split(
    rows: int, seed: int, fractions: Sequence[float] = FRACTIONS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits rows at random, blind to homology: what a probe gains by knowing relatives.

    Arguments, results and errors as in `homology_split`, where every row is its own group.
    """
    return homology_split([None] * rows, seed, fractions)
