"""One transcript a gene: by what annotators prefer, else the longest."""

import json

import pytest

from data_builders.annotation.tags import best_preference, preference_of
from data_builders.groups.build import build
from data_builders.groups.grouping import Grouping
from data_builders.groups.parquet import read_groups
from data_builders.records import InputError
from data_builders.sources import FastaSource, GenomeSource, TableSource

# transcript, gene, exon end, CDS end (0: none), tags
TRANSCRIPTS = [
    ("a1", "a", 90, 30, ""),
    ("a2", "a", 60, 30, 'tag "MANE_Select"; tag "appris_alternative_1";'),
    ("a3", "a", 60, 60, 'tag "appris_principal_2";'),
    ("b1", "b", 90, 30, 'tag "Ensembl_canonical";'),
    ("b2", "b", 90, 60, 'tag "basic";'),
    ("c1", "c", 90, 30, ""),
    ("c2", "c", 80, 60, ""),
    ("c3", "c", 85, 60, ""),
    ("d2", "d", 90, 0, ""),
    ("d1", "d", 90, 0, ""),
]
BY_LONGEST = {"a": "a3", "b": "b2", "c": "c3", "d": "d1"}


@pytest.fixture
def sources(tmp_path, no_figure):
    (tmp_path / "g.fa").write_text(">1\n" + "ACGTTGCA" * 20 + "\n")
    lines = []
    for name, gene, end, cds, tags in TRANSCRIPTS:
        ids = f'gene_id "{gene}"; transcript_id "{name}"; '
        lines.append(f"1\tx\ttranscript\t1\t{end}\t.\t+\t.\t{ids}{tags}")
        lines.append(f"1\tx\texon\t1\t{end}\t.\t+\t.\t{ids}")
        if cds:
            lines.append(f"1\tx\tCDS\t1\t{cds}\t.\t+\t0\t{ids}")
    (tmp_path / "g.gtf").write_text("\n".join(lines) + "\n")
    return [GenomeSource(tmp_path / "g.fa", tmp_path / "g.gtf", "human")]


def selected(folder):
    return {t.gene_id: t.transcript_id for g in read_groups(folder) for t in g.transcripts}


@pytest.mark.parametrize(
    ("select", "expected", "reasons"),
    [
        ("longest", BY_LONGEST, {"longest CDS": 4}),
        (
            "mane",
            BY_LONGEST | {"a": "a2", "b": "b1"},
            {"MANE Select": 1, "Ensembl canonical": 1, "longest CDS": 2},
        ),
        ("appris", BY_LONGEST, {"APPRIS principal 2": 1, "longest CDS": 3}),
    ],
)
def test_one_transcript_a_gene(tmp_path, sources, select, expected, reasons):
    report = build(sources, tmp_path / "out", Grouping(select=select))
    assert selected(tmp_path / "out") == expected
    grouping = report["grouping"]
    assert (grouping["select"], grouping["selected"]) == (select, reasons)
    assert grouping["skipped"] == {"another transcript of its gene was selected": 6}
    assert (grouping["read"], grouping["kept"]) == (10, 4)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert build(sources, tmp_path / "strict", Grouping(select=select), strict=True)


def test_all_transcripts_by_default(tmp_path, sources):
    report = build(sources, tmp_path / "out")
    assert report["grouping"]["selected"] == {}
    assert report["dataset"]["transcripts"] == 9  # two are the same


def test_preferred_transcript_that_is_too_long(tmp_path, sources):
    report = build(sources, tmp_path / "out", Grouping(select="mane", max_length=80))
    assert selected(tmp_path / "out") == {"a": "a2", "c": "c2"}
    assert report["grouping"]["skipped"]["longer than 80 nt"] == 7


def test_annotation_without_such_tags(tmp_path, sources):
    (tmp_path / "t.tsv").write_text("transcript_id\tgene_id\tspecies\tsequence\nx\tg\tcow\tACG\n")
    table = TableSource(tmp_path / "t.tsv")
    message = r"t\.tsv: select mane: got no transcript with such a tag, wanted annotation that has"
    with pytest.raises(InputError, match=message):
        build([table], tmp_path / "out", Grouping(select="mane"))
    report = build([*sources, table], tmp_path / "out", Grouping(select="mane"))
    assert report["grouping"]["selected"]["longest CDS"] == 3


def test_longest_of_a_fasta_by_the_genes_of_its_headers(tmp_path, no_figure):
    (tmp_path / "t.fa").write_text(">t1 gene:g\nACGT\n>t2 gene:g\nACGTA\n>t3 gene:h\nAC\n")
    build([FastaSource(tmp_path / "t.fa", "human")], tmp_path / "out", Grouping(select="longest"))
    assert selected(tmp_path / "out") == {"g": "t2", "h": "t3"}


@pytest.mark.parametrize(
    ("tag", "preference"),
    [
        (b"MANE_Select", "MANE Select"),
        (b"MANE Select", "MANE Select"),
        (b"RefSeq Select", "RefSeq Select"),
        (b"Ensembl_canonical", "Ensembl canonical"),
        (b"appris_principal", "APPRIS principal"),
        (b"appris_principal_3", "APPRIS principal 3"),
        (b"appris_alternative_2", "APPRIS alternative 2"),
        (b"MANE_Plus_Clinical", None),
        (b"basic", None),
        (b"appris_principal_9", None),
    ],
)
def test_tags(tag, preference):
    assert preference_of(tag) == preference


def test_order_of_preferences():
    both = {"Ensembl canonical", "APPRIS principal 1"}
    assert best_preference(both, "mane")[1] == "Ensembl canonical"
    assert best_preference(both, "appris")[1] == "APPRIS principal 1"
    assert best_preference({"MANE Select"}, "appris") is None
    assert best_preference(both, "longest") is None
