"""Simulated pairs: motifs decide, and nothing else tells."""

import numpy as np
import pytest

from data_builders.interactions.clusters import similar_proteins, similar_rnas
from data_builders.records import InputError
from data_builders.simulate.interactions import simulate_interactions


@pytest.fixture(scope="module")
def simulated():
    return simulate_interactions(80, 60, seed=1)


def test_families_tell_the_labels(simulated):
    """The first motif of both is one of the reasons to bind; without a second, the only one."""
    same = np.array(
        [
            simulated.rnas[r].family == simulated.proteins[p].family
            for r, p in zip(simulated.rna, simulated.protein, strict=True)
        ]
    )
    assert simulated.label[same].all()
    # The others interact by a second motif alone.
    assert simulated.label[~same].mean() < 0.4


def test_every_molecule_has_as_many_of_both_labels(simulated):
    counts = [
        np.bincount(simulated.rna[simulated.label == label], minlength=80) for label in (0, 1)
    ]
    np.testing.assert_array_equal(*counts)


def test_no_molecule_is_like_another(simulated):
    """But for some that share two motifs, or four words by chance."""
    assert len(set(similar_rnas([rna.sequence for rna in simulated.rnas]).tolist())) >= 76
    proteins = [protein.sequence for protein in simulated.proteins]
    assert len(set(similar_proteins(proteins).tolist())) >= 50


def test_follows_from_the_seed(simulated):
    again, other = (simulate_interactions(80, 60, seed=seed) for seed in (1, 2))
    assert again.rnas == simulated.rnas
    np.testing.assert_array_equal(again.protein, simulated.protein)
    assert other.rnas != simulated.rnas


@pytest.mark.parametrize(
    ("changed", "message"), [({"motifs": 1}, "motifs: got 1"), ({"rnas": 3}, "rnas: got 3")]
)
def test_refuses(changed, message):
    with pytest.raises(InputError, match=message):
        simulate_interactions(**changed)
