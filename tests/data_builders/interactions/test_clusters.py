"""Clusters: relatives together, others apart, and no chain through them all."""

import numpy as np
import pytest

from data_builders.interactions.clusters import (
    read_cluster_table,
    similar_proteins,
    similar_rnas,
    with_clusters,
)
from data_builders.interactions.dataset import Molecule
from data_builders.records import InputError
from data_builders.words import words_of

AMINO = "ACDEFGHIKLMNPQRSTVWY"


def drawn(rng, letters, length):
    return "".join(rng.choice(list(letters), length))


def mutated(rng, sequence, letters, share):
    """The sequence with other letters at this share of its positions."""
    changed = list(sequence)
    for place in np.flatnonzero(rng.random(len(sequence)) < share):
        changed[place] = rng.choice([letter for letter in letters if letter != changed[place]])
    return "".join(changed)


def test_words():
    assert words_of("ACGTN", 2, "ACGT").tolist() == [1, 6, 11]
    assert words_of("A", 2, "ACGT").tolist() == []
    assert words_of("ILK", 1, ["ILV", "K"]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("similar", "letters", "length", "share"),
    [
        (similar_rnas, "ACGT", 120, 0.07),
        (similar_rnas, "ACGT", 3000, 0.06),
        (similar_proteins, AMINO, 300, 0.25),
    ],
)
def test_relatives_are_together_and_others_apart(similar, letters, length, share):
    rng = np.random.default_rng(0)
    parents = [drawn(rng, letters, length) for _ in range(20)]
    children = [mutated(rng, parent, letters, share) for parent in parents]
    found = similar([*parents, *children])
    assert found[:20].tolist() == found[20:].tolist()
    assert len(set(found.tolist())) == 20


def test_a_fragment_is_with_its_whole():
    rng = np.random.default_rng(1)
    whole = drawn(rng, "ACGT", 2500)
    found = similar_rnas([whole, whole[700:760], drawn(rng, "ACGT", 60)])
    assert found[0] == found[1] != found[2]


def test_long_rnas_do_not_become_one_cluster():
    """Of 65,536 words of 8 nt, 40,000 nt have nearly half, so that all short ones would join it."""
    rng = np.random.default_rng(2)
    lengths = [40_000, 40_000, *[200] * 100, *[2000] * 50]
    found = similar_rnas([drawn(rng, "ACGT", length) for length in lengths])
    assert np.bincount(found).max() == 1


def test_repeats_do_not_chain():
    """Poly-U has one word; it links nothing but other poly-U."""
    rng = np.random.default_rng(3)
    rnas = [drawn(rng, "ACGT", 60) + "T" * 12 for _ in range(20)]
    found = similar_rnas([*rnas, "T" * 12, "T" * 20])
    assert len(set(found[:20].tolist())) == 20
    assert found[20] == found[21]
    assert found[20] not in found[:20]


@pytest.mark.parametrize("name", ["RPI7317", "RPI1847"])
def test_no_giant_cluster_of_lncrnas(real_data, name):
    pl = pytest.importorskip("polars")
    table = pl.read_parquet(real_data / "rna_protein" / f"{name}_rna.parquet")
    sequences = table["sequence"].unique(maintain_order=True).to_list()[:600]
    assert np.bincount(similar_rnas(sequences)).max() < 0.05 * len(sequences)


def test_mmseqs_table(tmp_path):
    path = tmp_path / "clusters.tsv"
    path.write_text("b\ta\nb\tb\nz\tz\n")
    molecules = [Molecule(name, "ACGT") for name in "abc"]
    clustered, report = with_clusters(molecules, similar_rnas, path)
    assert [molecule.cluster for molecule in clustered] == ["b", "b", "c"]
    assert report == {"clusters": 2, "largest": 2, "table": str(path), "in_table": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got no line"),
        ("a b\n", ":1: got 1 fields, wanted a representative"),
        ("x\ta\ny\ta\n", ":2: 'a': got a second cluster"),
        ("x\ty\n", "got none of 1 ids of sequences, such as 'a'"),
    ],
)
def test_refuses(tmp_path, content, message):
    path = tmp_path / "clusters.tsv"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        with_clusters([Molecule("a", "ACGT")], similar_rnas, path)
    assert message in str(error.value)
    if "none of" not in message:
        with pytest.raises(InputError):
            read_cluster_table(path)
