"""Splits that keep clusters apart, and negatives that keep how often each molecule occurs."""

from dataclasses import replace

import numpy as np
import pytest

from data_builders.interactions.dataset import FAMILY, InteractionSet, Molecule, clusters_of
from data_builders.interactions.splits import (
    KINDS,
    interaction_folds,
    positives_of,
    redraw_negatives,
    with_redrawn_negatives,
)
from data_builders.records import InputError


def random_set(rnas=40, proteins=30, positives=240, seed=0):
    """Positives drawn at random, as many negatives, clusters of two."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(rnas * proteins)[: 2 * positives]
    return InteractionSet(
        rnas=tuple(Molecule(f"r{i}", "ACGT", None, f"c{i // 2}") for i in range(rnas)),
        proteins=tuple(Molecule(f"p{i}", "MK", None, f"c{i // 2}") for i in range(proteins)),
        rna=(cells // proteins).astype(np.int32),
        protein=(cells % proteins).astype(np.int32),
        label=(np.arange(2 * positives) < positives).astype(np.int8),
        source=("random",) * (2 * positives),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_folds_keep_clusters_apart(kind):
    pairs = random_set()
    splits = interaction_folds(pairs, kind, 4, seed=1)
    assert [split.fold for split in splits] == [0, 1, 2, 3]
    of_rna = clusters_of(pairs.rnas)[pairs.rna]
    of_protein = clusters_of(pairs.proteins)[pairs.protein]
    tested = np.concatenate([split.test for split in splits])
    assert len(set(tested.tolist())) == len(tested)
    if kind != "both-new":
        assert len(tested) == len(pairs)
    for split in splits:
        seen = np.concatenate([split.train, split.validation])
        assert len(np.unique(np.concatenate([seen, split.test]))) == len(seen) + len(split.test)
        if kind in ("new-rna", "both-new"):
            assert not set(of_rna[seen]) & set(of_rna[split.test])
        if kind in ("new-protein", "both-new"):
            assert not set(of_protein[seen]) & set(of_protein[split.test])
        if kind == "new-rna":
            assert not set(of_rna[split.train]) & set(of_rna[split.validation])
        if kind == "new-protein":
            assert not set(of_protein[split.train]) & set(of_protein[split.validation])
        if kind == "both-new":
            new = ~np.isin(of_rna[split.validation], of_rna[split.train])
            new |= ~np.isin(of_protein[split.validation], of_protein[split.train])
            assert new.all()
        assert 0.05 < len(split.validation) / len(seen) < 0.3


def test_families_stay_on_one_side():
    pairs = random_set()
    families = tuple(replace(rna, family=f"f{i % 10}") for i, rna in enumerate(pairs.rnas))
    pairs = replace(pairs, rnas=families)
    family = np.array([int(rna.family[1:]) for rna in families])[pairs.rna]
    apart = []
    for by in (FAMILY, "cluster"):
        splits = interaction_folds(pairs, "new-rna", 4, 1, by)
        sides = [(np.concatenate([s.train, s.validation]), s.test) for s in splits]
        apart.append(not any(set(family[seen]) & set(family[test]) for seen, test in sides))
    assert apart == [True, False]


def test_folds_follow_from_the_seed():
    pairs = random_set()
    one, same, other = (interaction_folds(pairs, "both-new", 4, seed)[2] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.train, same.train)
    np.testing.assert_array_equal(one.test, same.test)
    assert one.test.tolist() != other.test.tolist()


@pytest.mark.parametrize(
    ("kind", "folds", "message"),
    [
        ("chromosome", 4, "got 'chromosome', wanted one of random"),
        ("new-rna", 1, "folds: got 1"),
        ("new-rna", 21, "got 20 clusters, wanted at least 21"),
    ],
)
def test_refuses(kind, folds, message):
    with pytest.raises(InputError, match=message):
        interaction_folds(random_set(), kind, folds, seed=0)


def test_refuses_a_fold_without_positives():
    pairs = random_set()
    label = (pairs.rna < 2).astype(np.int8)
    few = InteractionSet(**{**vars(pairs), "label": label})
    with pytest.raises(InputError, match="pairs that interact to train, validate and test in fold"):
        interaction_folds(few, "new-rna", 4, seed=0)


def test_redrawn_negatives_keep_degrees():
    pairs = random_set()
    rows = np.flatnonzero(pairs.rna < 25)
    found = redraw_negatives(pairs, rows, seed=3)
    assert found.missing == 0
    side = rows[pairs.label[rows] == 1]
    for places, drawn in ((pairs.rna, found.rna), (pairs.protein, found.protein)):
        np.testing.assert_array_equal(np.bincount(places[side]), np.bincount(drawn))
    drawn = set(zip(found.rna.tolist(), found.protein.tolist(), strict=True))
    assert len(drawn) == len(side)
    positives = pairs.positives
    known = zip(pairs.rna[positives].tolist(), pairs.protein[positives].tolist(), strict=True)
    assert not drawn & set(known)


def test_a_hub_leaves_negatives_missing():
    """A protein that binds every RNA has no negative, and no other may take its place."""
    hub = InteractionSet(
        rnas=tuple(Molecule(f"r{i}", "A") for i in range(6)),
        proteins=(Molecule("hub", "M"), Molecule("p", "M")),
        rna=np.array([0, 1, 2, 3, 4, 5, 0], np.int32),
        protein=np.array([0] * 6 + [1], np.int32),
        label=np.ones(7, np.int8),
        source=("x",) * 7,
    )
    found = redraw_negatives(hub, np.arange(7), seed=0)
    assert found.missing == 7 - len(found.rna) >= 6
    assert (found.protein == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_side_gets_its_own_negatives(kind):
    pairs = positives_of(random_set())
    splits = interaction_folds(pairs, kind, 3, seed=1)
    more, changed, missing = with_redrawn_negatives(pairs, splits)
    assert missing <= 0.05 * len(splits) * len(pairs)
    of_rna = clusters_of(more.rnas)[more.rna]
    for before, after in zip(splits, changed, strict=True):
        for side in ("train", "validation", "test"):
            rows = getattr(after, side)
            np.testing.assert_array_equal(rows[more.label[rows] == 1], getattr(before, side))
        if kind == "new-rna":
            assert not set(of_rna[after.train]) & set(of_rna[after.test])
        assert abs(more.label[after.train].mean() - 0.5) < 0.03
