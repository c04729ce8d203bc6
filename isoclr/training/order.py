"""Which groups make which step: a function of (seed, epoch, position), never a state.

A run can start at any step, with any number of processes and workers, and see what an uninterrupted
one saw. Nothing is drawn from a generator whose stream could change between versions.
"""

from collections.abc import Sequence

import numpy as np

from data_builders.counts import counted
from data_builders.records import InputError

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keyed_hash(*parts) -> np.ndarray:
    """Hash integers, uniformly over 64 bits (the finaliser of SplitMix64, chained).

    Args:
        *parts: integers or integer arrays that broadcast together.

    Returns:
        uint64, of the shape that the parts broadcast to.
    """
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = (state ^ np.asarray(part).astype(np.uint64)) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def permute(positions: np.ndarray, n: int, *key: int) -> np.ndarray:
    """Return the entries of a keyed permutation of range(n) at some positions.

    Memory is constant: a Feistel network over the next even power of two; results of n and above
    go through it again.

    Args:
        positions: integers in [0, n).
        n: size of the permutation.
        *key: integers that choose it.

    Returns:
        int64, of the shape of `positions`.
    """
    half = max((n - 1).bit_length() + 1, 2) // 2
    low = np.uint64((1 << half) - 1)
    rounds = [keyed_hash(*key, round_) for round_ in range(_ROUNDS)]
    values = np.array(positions, dtype=np.uint64)
    pending = np.ones(values.shape, bool)
    while pending.any():
        left, right = values[pending] >> np.uint64(half), values[pending] & low
        for round_key in rounds:
            left, right = right, left ^ (keyed_hash(round_key, right) & low)
        values[pending] = left << np.uint64(half) | right
        pending = values >= n
    return values.astype(np.int64)


class EpochOrder:
    """Cuts epochs over one or several datasets into steps.

    In an epoch each group of a dataset of weight 1 comes once, of weight 2 twice, of weight 0.5
    every other epoch. Steps are as even as can be, and hold every dataset in proportion.

    Args:
        sizes: groups of each dataset.
        weights: times that each of its groups comes in an epoch.
        batch_size: groups a step, at most.

    Raises:
        InputError: when an epoch has fewer than two groups.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], batch_size: int):
        self.sizes = list(sizes)
        self.visits = [round(size * weight) for size, weight in zip(sizes, weights, strict=True)]
        total = sum(self.visits)
        if total < 2:
            raise InputError(f"data: got {counted(total, 'group')} an epoch, wanted two or more")
        # One pair has no negatives: a remainder of one would be a batch of its own.
        self.steps_per_epoch = min(-(-total // batch_size), total // 2)

    def positions(self, step: int) -> list[np.ndarray]:
        """Return where each dataset's stream of groups is read in `step`, counted from 0.

        Position p of a dataset of n groups is entry p mod n of its pass p // n.
        """
        epoch, part = divmod(step, self.steps_per_epoch)
        bounds = [
            [epoch * visits + visits * (part + end) // self.steps_per_epoch for end in (0, 1)]
            for visits in self.visits
        ]
        return [np.arange(*pair) for pair in bounds]
