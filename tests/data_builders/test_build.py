import hashlib
import json

import pytest

from data_builders.build import FastaSource, GenomeSource, TableSource, build
from data_builders.groups import read_groups
from data_builders.records import InputError

GTF = 'gene_id "g"; transcript_id "{}"; gene_name "ABC";'
LINES = [
    ("exon", 1, 4, "t1"),
    ("exon", 7, 12, "t1"),
    ("CDS", 1, 4, "t1"),
    ("CDS", 7, 8, "t1"),
    ("exon", 1, 12, "t2"),
    ("exon", 1, 4, "t3"),
    ("exon", 3, 9, "t3"),
]


@pytest.fixture
def inputs(tmp_path):
    texts = {
        "g.fa": ">1\nATGCGGCCTAAC\n",
        "g.gtf": "".join(
            f"1\tx\t{feature}\t{start}\t{end}\t.\t+\t0\t{GTF.format(name)}\n"
            for feature, start, end, name in LINES
        ),
        "t.fa": ">m1\nACGTT\n>m2\nACGTTACGTT\n",
        "t.tsv": "transcript_id\tgene_id\tspecies\tsequence\nc1\tc\tcow\tACG\nc2\tc\tcow\tACG\n",
        "h.tsv": "group_id\tspecies\tgene_id\nH\thuman\tABC\nH\tmouse\tm1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def sources(folder):
    return [
        GenomeSource(folder / "g.fa", folder / "g.gtf", "human"),
        FastaSource(folder / "t.fa", "mouse"),
        TableSource(folder / "t.tsv"),
    ]


def test_build_writes_groups_and_a_report_that_adds_up(inputs):
    output = inputs / "out"
    report = build(sources(inputs), output, homology=inputs / "h.tsv", max_length=9 + 1)
    found = {g.group_id: [t.transcript_id for t in g.transcripts] for g in read_groups(output)}
    assert found == {"H": ["t1", "m1"], "mouse:m2": ["m2"], "cow:c": ["c1"]}
    (t1, _), *_ = (g.transcripts for g in read_groups(output))
    assert (t1.sequence, t1.cds_start, t1.cds_end) == ("ATGCCCTAAC", 0, 9)
    assert t1.exon_junctions == (4,)

    assert report == json.loads((output / "report.json").read_text())
    genome, fasta, table = report["sources"]
    assert (genome["read"], genome["kept"]) == (3, 2)
    assert genome["skipped"] == {"exons overlap": 1}
    assert genome["adjusted"] == {"CDS extended by the stop codon after it": 1}
    digest = hashlib.sha256((inputs / "g.fa").read_bytes()).hexdigest()
    assert genome["files"]["genome"] == {"name": "g.fa", "sha256": digest}
    assert set(genome["files"]) == {"genome", "annotation"}
    assert (fasta["read"], table["read"]) == (2, 2)
    assert report["grouping"] == {
        "max_length": 10,
        "read": 6,
        "kept": 4,
        "skipped": {"duplicate in its group": 1, "longer than 10 nt": 1},
        "adjusted": {},
    }
    assert report["homology"]["read"] == 2
    assert report["dataset"] == {
        "groups": 3,
        "transcripts": 4,
        "genes": 4,
        "nucleotides": 28,
        "species": {"cow": 1, "human": 1, "mouse": 2},
        "with_cds": 1,
        "with_exon_structure": 1,
        "exon_junctions": 1,
        "transcripts_per_group": {"1": 2, "2": 1},
    }
    assert (output / "report.png").read_bytes().startswith(b"\x89PNG")


def test_same_inputs_give_the_same_bytes(inputs):
    for name in ("one", "two"):
        build(sources(inputs), inputs / name)
    first, second = (
        {p.relative_to(inputs / name): p.read_bytes() for p in (inputs / name).rglob("*.[jp]*")}
        for name in ("one", "two")
    )
    assert len(first) == 3
    assert first == second


def test_a_dataset_is_replaced_only_when_asked(inputs):
    build(sources(inputs)[:1], inputs / "out")
    with pytest.raises(InputError, match="out: got a dataset already"):
        build(sources(inputs)[1:], inputs / "out")
    assert next(read_groups(inputs / "out")).group_id == "human:g"
    build(sources(inputs)[1:], inputs / "out", overwrite=True)
    assert next(read_groups(inputs / "out")).group_id == "mouse:m1"


def test_structure_of_a_transcript_fasta(inputs):
    (inputs / "s.fa").write_text(">t1\nATGCCCTAAC\n")
    source = FastaSource(inputs / "s.fa", "human", inputs / "g.gtf")
    report = build([source], inputs / "out")
    (group,) = read_groups(inputs / "out")
    assert group.transcripts[0].exon_junctions == (4,)
    skipped = {"exons overlap": 1, "not in the transcript FASTA": 1}
    assert report["sources"][0]["skipped"] == skipped
    assert (report["sources"][0]["read"], report["sources"][0]["kept"]) == (3, 1)


def test_unusable_inputs(inputs):
    with pytest.raises(InputError, match="out: got no source"):
        build([], inputs / "out")
    with pytest.raises(InputError, match=r"no\.tsv: got no such file"):
        build([*sources(inputs), TableSource(inputs / "no.tsv")], inputs / "out")
    with pytest.raises(InputError, match=r"no\.tsv: got no such file"):
        build(sources(inputs), inputs / "out", homology=inputs / "no.tsv")
    with pytest.raises(InputError, match="got no transcript to write, .*: 6 longer than 1 nt"):
        build(sources(inputs), inputs / "out", max_length=1)
    assert not (inputs / "out").exists()
