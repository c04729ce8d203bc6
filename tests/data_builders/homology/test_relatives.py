"""Relatives by shared words: mutated copies are found as far as promised, strangers are not."""

import numpy as np
import pytest

from data_builders.homology.relatives import relatives
from data_builders.words import PROTEIN_LETTERS

LETTERS = np.array(list(PROTEIN_LETTERS))


def protein(rng, length):
    return "".join(rng.choice(LETTERS, length))


def mutated(rng, sequence, identity):
    letters = np.array(list(sequence))
    changed = rng.random(len(letters)) >= identity
    shift = rng.integers(1, len(LETTERS), len(letters))
    other = LETTERS[(np.searchsorted(LETTERS, letters) + shift) % len(LETTERS)]
    return "".join(np.where(changed, other, letters))


@pytest.mark.parametrize(("identity", "found"), [(0.9, True), (0.6, True), (0.25, False)])
def test_copies_are_relatives_down_to_half_of_their_letters(identity, found):
    rng = np.random.default_rng(0)
    others = [protein(rng, 400) for _ in range(20)]
    copies = [mutated(rng, other, identity) for other in others]
    assert (relatives(copies, others) == found).all()


def test_strangers_are_none_however_long_the_others_are():
    rng = np.random.default_rng(1)
    found = relatives([protein(rng, 300) for _ in range(20)], [protein(rng, 20_000)])
    assert not found.any()  # without what is shared by chance, 37 of 297 words


def test_a_piece_of_another_is_its_relative_wherever_it_stands():
    rng = np.random.default_rng(2)
    long = protein(rng, 1000)
    mine = [protein(rng, 100)] * 2001 + [long[300:400], "MK", "X" * 200]
    assert np.flatnonzero(relatives(mine, ["", long])).tolist() == [2001]
    assert relatives([], [long]).shape == (0,)
    assert not relatives(mine[:3], []).any()
