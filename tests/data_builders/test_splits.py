import random

import numpy as np
import pytest

from data_builders.records import InputError
from data_builders.splits import SEEDS, homology_split, random_split


def walked(groups, seed, fractions):
    """The protocol, one row after the other."""
    n = len(groups)
    quotas = [round(fractions[0] * n), round(fractions[1] * n), n]
    home = {}
    for row in np.random.default_rng(seed).permutation(n):
        group = groups[row] or row
        if group not in home:
            filled = [sum(home.get(g or i) == s for i, g in enumerate(groups)) for s in range(3)]
            home[group] = min(s for s in range(3) if filled[s] < quotas[s])
    return [[i for i, g in enumerate(groups) if home[g or i] == s] for s in range(3)]


@pytest.mark.parametrize("seed", SEEDS)
def test_split_is_the_walk_of_the_protocol(seed):
    rng = random.Random(seed)
    groups = [rng.choice([None, *"abcdefghijklmnopqrstuvwxyz"]) for _ in range(200)]
    sides = homology_split(groups, seed)
    assert [list(side) for side in sides] == walked(groups, seed, (0.7, 0.15, 0.15))

    assert sorted(np.concatenate(sides)) == list(range(200))
    train, valid, test = ({groups[row] for row in side} - {None} for side in sides)
    assert not (train & valid or train & test or valid & test)


def test_large_groups_leave_every_side_near_its_quota():
    sizes = [len(side) for side in homology_split([str(i // 20) for i in range(400)], 1)]
    assert sizes == [280, 60, 60]


def test_rows_without_a_group_are_split_to_the_quotas():
    assert [len(side) for side in homology_split([None] * 1000, 1)] == [700, 150, 150]
    assert [len(side) for side in homology_split([None] * 10, 1, (0.5, 0.2, 0.3))] == [5, 2, 3]


def test_seeds_differ_and_repeat():
    first, again, other = (random_split(100, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_one_group_cannot_be_split():
    with pytest.raises(InputError, match=r"got \(9, 0, 0\) of 9 rows"):
        homology_split(["a"] * 9, 1)


def test_fractions_must_sum_to_1():
    with pytest.raises(InputError, match="wanted three that sum to 1"):
        homology_split([None] * 9, 1, (0.7, 0.2, 0.2))


def test_ten_seeds():
    assert len(set(SEEDS)) == 10
