"""The folder of an interaction set: what is written is read, and what is wrong is refused."""

import json

import numpy as np
import polars as pl
import pytest
from datasets import load_dataset

from data_builders.interactions.dataset import (
    FAMILY,
    InteractionSet,
    Molecule,
    clusters_of,
    read_interactions,
    write_interactions,
)
from data_builders.records import InputError


def small_set():
    return InteractionSet(
        rnas=(Molecule("r1", "ACGT", "RF1", "c1", "tRNA"), Molecule("r2", "GGNA")),
        proteins=(Molecule("p1", "MKX"), Molecule("p2", "MAUO", None, "c1")),
        rna=np.array([0, 1, 1], np.int32),
        protein=np.array([0, 0, 1], np.int32),
        label=np.array([1, 0, 1], np.int8),
        source=("a", "a", "b"),
    )


def same(one, other):
    assert (one.rnas, one.proteins, one.source) == (other.rnas, other.proteins, other.source)
    for name in ("rna", "protein", "label"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def test_round_trip(tmp_path):
    write_interactions(small_set(), tmp_path / "set", {"note": "x"})
    same(read_interactions(tmp_path / "set"), small_set())
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    assert report == {"pairs": 3, "positives": 2, "rnas": 2, "proteins": 2, "note": "x"}


def test_replaces_what_is_there(tmp_path):
    write_interactions(small_set(), tmp_path)
    fewer = small_set().select(np.array([0]))
    write_interactions(fewer, tmp_path)
    same(read_interactions(tmp_path), fewer)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "pairs.parquet",
        "proteins.parquet",
        "report.json",
        "rnas.parquet",
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_opens_with_load_dataset(tmp_path, streaming):
    write_interactions(small_set(), tmp_path / "set")

    def rows(*name):
        folder = str(tmp_path / "set")
        cache = str(tmp_path / "cache")
        found = load_dataset(folder, *name, split="train", streaming=streaming, cache_dir=cache)
        return list(found)

    assert rows()[1] == {"rna_id": "r2", "protein_id": "p1", "label": 0, "source": "a"}
    assert [row["sequence"] for row in rows("rnas")] == ["ACGT", "GGNA"]
    assert rows("proteins")[1]["cluster"] == "c1"


def test_clusters():
    numbers = clusters_of([Molecule("a", "A", None, "b"), Molecule("b", "A"), Molecule("c", "A")])
    assert numbers.tolist() == [0, 1, 2]
    molecules = [Molecule("a", "A", None, "x"), Molecule("b", "A"), Molecule("c", "A", None, "x")]
    assert clusters_of(molecules).tolist() == [0, 1, 0]


def test_families_in_place_of_clusters():
    molecules = [
        Molecule("a", "A", "f", "x"),
        Molecule("b", "A", "f", "y"),
        Molecule("c", "A", None, "x"),
        Molecule("d", "A", "x"),
    ]
    assert clusters_of(molecules, FAMILY).tolist() == [0, 0, 1, 2]


CASES = {
    "no pairs.parquet": ("pairs", None, "pairs.parquet: got 'No such file or directory'"),
    "no label": ("pairs", lambda t: t.drop("label"), "wanted label too"),
    "label of 2": ("pairs", lambda t: t.with_columns(label=pl.lit(2)), "wanted 0 and 1"),
    "label of null": (
        "pairs",
        lambda t: t.with_columns(label=pl.lit(None, pl.Int8)),
        "wanted 0 and 1",
    ),
    "unknown RNA": (
        "pairs",
        lambda t: t.with_columns(rna_id=pl.lit("r9")),
        "row 1: rna_id: got 'r9', wanted an id",
    ),
    "id twice": ("rnas", lambda t: t.with_columns(id=pl.lit("r1")), "row 2: id: got 'r1' again"),
    "empty sequence": (
        "proteins",
        lambda t: t.with_columns(sequence=pl.lit("")),
        "row 1 (p1): sequence: got none, wanted letters",
    ),
    "a protein in the RNA file": (
        "rnas",
        lambda t: t.with_columns(sequence=pl.lit("MKLV")),
        "row 1 (r1): sequence: got 'K', wanted letters of ACGTN",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refuses(tmp_path, name):
    write_interactions(small_set(), tmp_path)
    file, change, message = CASES[name]
    path = tmp_path / f"{file}.parquet"
    if change is None:
        path.unlink()
    else:
        change(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(InputError) as error:
        read_interactions(tmp_path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_columns_must_fit():
    with pytest.raises(InputError, match="got places 0 to 5, wanted 0 to 1"):
        InteractionSet(**{**vars(small_set()), "rna": np.array([0, 1, 5], np.int32)})
    with pytest.raises(InputError, match="one size"):
        InteractionSet(**{**vars(small_set()), "source": ("a",)})
