"""What a report finds: structure, warnings, neighbours, and the region that makes a switch."""

import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from data_builders.records import InputError, Transcript
from isoclr.evaluation.planes import map_of
from isoclr.evaluation.search import whitened
from isoclr.report.findings import (
    make_report,
    nearest_of,
    nearest_of_other_genes,
    trained_length,
)
from isoclr.report.structure import structure_of, tally_warnings, warnings_of
from isoclr.report.switches import _chimeras, _joined, _pieces, find_switches, unit_rows

FIRST = Transcript("a1", "a", "fly", "CCCATGAAATAAGG", 3, 12, (4, 12))
SECOND = Transcript("a2", "a", "fly", "CATGAAATAAGGGT", 1, 10, (2, 5, 10))
NON_CODING = Transcript("b1", "b", "fly", "GGNNNN", exon_junctions=())


def test_the_parts_of_a_transcript():
    assert vars_of(structure_of(FIRST)) == (14, (3, 9, 2), 3, 6 / 14)
    assert vars_of(structure_of(NON_CODING)) == (6, None, 1, 1.0)
    assert vars_of(structure_of(Transcript("n", "n", "fly", "NN"))) == (2, None, None, None)


def vars_of(structure):
    return structure.length, structure.regions, structure.exons, structure.gc


@pytest.mark.parametrize(
    ("transcript", "wanted"),
    [
        (FIRST, []),
        (NON_CODING, ["no CDS: all of it counts as 5'UTR", "over 5% of its bases are N"]),
        (
            Transcript("t", "t", "s", "ATGTAAATGTA", 0, 11),
            [
                "exon structure unknown: read as one exon",
                "the length of the CDS is no multiple of 3",
                "the CDS has no stop codon at its end",
                "a stop codon inside the CDS",
            ],
        ),
        (Transcript("t", "t", "s", "CTGTAA", 0, 6, ()), ["the CDS does not begin with ATG"]),
    ],
)
def test_what_is_odd_is_said(transcript, wanted):
    assert warnings_of(transcript, None) == wanted
    assert warnings_of(transcript, len(transcript.sequence)) == wanted
    longer = "nt, the longest that the model was trained on"
    assert any(longer in text for text in warnings_of(transcript, len(transcript.sequence) - 1))


def test_warnings_are_counted():
    assert tally_warnings([["x", "y"], ["y"], []]) == [("y", 2), ("x", 1)]


def test_the_longest_transcript_of_training_is_that_of_the_recipe(model_folder, tmp_path):
    assert trained_length("isoclr-small") == 12288
    assert trained_length(model_folder) == 5000
    assert trained_length(tmp_path) is None
    (tmp_path / "recipe.yaml").write_text("max_length: [1")
    with pytest.raises(InputError, match=r"recipe\.yaml: not YAML: "):
        trained_length(tmp_path)


def test_a_chimera_has_one_region_of_the_other_isoform():
    made = _chimeras(FIRST, SECOND)
    assert list(made) == ["5'UTR", "CDS", "3'UTR"]
    utr5 = Transcript("a1", "a", "fly", "CATGAAATAAGG", 1, 10, (2, 10))
    utr3 = Transcript("a1", "a", "fly", "CCCATGAAATAAGGGT", 3, 12, (4, 12))
    cds = Transcript("a1", "a", "fly", "CCCATGAAATAAGG", 3, 12, (4, 7, 12))
    assert made == {"5'UTR": utr5, "CDS": cds, "3'UTR": utr3}
    as_second = _joined(SECOND, _pieces(SECOND))
    assert as_second == SECOND
    assert _chimeras(FIRST, NON_CODING) is None
    assert _chimeras(FIRST, FIRST) == {}


def toy_embedding(transcripts):
    """Hears the length of the 3'UTR alone."""
    tails = [len(t.sequence) - max(t.cds_end, 0) for t in transcripts]
    return np.array([[np.cos(tail / 10), np.sin(tail / 10)] for tail in tails])


def test_a_switch_names_the_region_that_the_model_hears():
    near = Transcript("a3", "a", "fly", "CCATGAAATAAGG", 2, 11, ())
    transcripts = [NON_CODING, FIRST, near, SECOND]
    (switch,) = find_switches(transcripts, toy_embedding(transcripts), toy_embedding)
    assert (switch.gene_id, switch.isoforms, switch.region) == ("a", 3, "3'UTR")
    assert {switch.first, switch.second} <= {1, 2, 3} and 3 in (switch.first, switch.second)
    assert switch.distance == pytest.approx(1 - np.cos(0.2))
    assert switch.by_region["3'UTR"] == pytest.approx(switch.distance)
    assert switch.by_region["5'UTR"] == switch.by_region["CDS"] == pytest.approx(0)


def test_isoforms_that_the_model_cannot_tell_apart_are_no_switch():
    transcripts = [FIRST, Transcript("a4", "a", "fly", "CCCATGAAATAACC", 3, 12, (4, 12))]
    assert find_switches(transcripts, toy_embedding(transcripts), toy_embedding) == []


def test_a_switch_without_a_cds_has_no_regions():
    transcripts = [FIRST, Transcript("a5", "a", "fly", "GG")]
    (switch,) = find_switches(transcripts, np.eye(2), toy_embedding)
    assert switch.by_region is None and switch.region is None and switch.distance == 1


def test_neighbours_are_the_nearest_of_other_genes():
    rng = np.random.default_rng(0)
    transcripts = [Transcript(f"t{i}", f"g{i // 3}", "s", "A") for i in range(30)]
    rows = rng.normal(size=(30, 5))
    found = nearest_of_other_genes(transcripts, unit_rows(rows), block=7)
    for i, neighbour in enumerate(found):
        cosine = [
            rows[i] @ row / np.linalg.norm(row) / np.linalg.norm(rows[i])
            if transcripts[j].gene_id != transcripts[i].gene_id
            else -2
            for j, row in enumerate(rows)
        ]
        assert neighbour.transcript_id == f"t{int(np.argmax(cosine))}"
        assert neighbour.similarity == pytest.approx(max(cosine))
    assert nearest_of_other_genes(transcripts[:3], rows[:3]) == [None] * 3


def test_neighbours_of_a_reference_are_the_nearest_of_it(tmp_path):
    rng = np.random.default_rng(0)
    known, rows = rng.normal(size=(2, 20, 5)).astype(np.float32)
    rows = rows[:6]
    names = [f"k{i}" for i in range(20)]
    columns = {"transcript_id": names, "gene_id": names, "species": "fly"}
    path = tmp_path / "known.parquet"
    pl.DataFrame({**columns, "embedding": known.tolist()}).write_parquet(path)
    both = unit_rows(whitened(np.concatenate([rows, known])))
    cosine = both[:6] @ both[6:].T
    found = nearest_of(path, rows, block=4)
    assert [n.transcript_id for n in found] == [f"k{i}" for i in cosine.argmax(axis=1)]
    np.testing.assert_allclose([n.similarity for n in found], cosine.max(axis=1), atol=1e-6)
    with pytest.raises(InputError, match="got 20 embeddings of 5 numbers, wanted some of 4"):
        nearest_of(path, rows[:, :4])


def test_the_map_by_components_keeps_distances_of_a_plane():
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(40, 2))
    plane = (plane - plane.mean(0)) / plane.std(0)
    found = map_of(plane)
    wanted = np.linalg.norm(plane[:, None] - plane, axis=2)
    got = np.linalg.norm(found.points[:, None] - found.points, axis=2)
    np.testing.assert_allclose(got, wanted, atol=1e-9)
    assert "principal component 1" in found.axes[0]
    assert map_of(plane[:2]) is None
    assert np.isfinite(map_of(np.ones((4, 3))).points).all()


def test_the_map_by_umap_where_it_is_installed(monkeypatch):
    rows = np.arange(12.0).reshape(4, 3)

    class Umap:
        def __init__(self, n_neighbors, random_state):
            assert (n_neighbors, random_state) == (3, 0)

        def fit_transform(self, given):
            assert given.shape == (4, 3)
            return given[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    assert map_of(rows, "umap").axes == ("UMAP 1", "UMAP 2")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match="pip install umap-learn"):
        map_of(rows, "umap")


def test_what_cannot_be_reported_is_one_line():
    with pytest.raises(InputError, match="no transcript"):
        make_report([])
    with pytest.raises(InputError, match="map: got 'tsne', wanted one of pca, umap"):
        make_report([FIRST], map_by="tsne")
