"""Transcript FASTA: it meets the annotation of the same release, and headers say genes."""

import pytest

from data_builders.annotation.headers import read_header
from data_builders.annotation.reader import read_annotation
from data_builders.annotation.transcript_fasta import transcripts_from_fasta
from data_builders.records import InputError, Transcript
from data_builders.text import Tally

ENSEMBL = "ENST00000631435.1 cdna chromosome:GRCh38:1:1:30:1 gene:ENSG00000282253.1 gene_biotype:x"
GENCODE = "ENST00000631435.1|ENSG00000282253.1|OTTHUMG1.2|OTTHUMT1.2|TRBD1-201|TRBD1|12|lncRNA|"
CODING = "ENST00000335137.4|ENSG00000186092.7|OTTHUMG1.2|-|OR4F5-201|OR4F5|12|UTR5:1-2|CDS:{}|"
SEQUENCE = "CGATGGAGTAAC"


def gtf(tmp_path, *transcripts, gene="ENSG00000282253"):
    path = tmp_path / "a.gtf"
    lines = [
        f'1\tx\texon\t1\t12\t.\t+\t.\tgene_id "{gene}"; transcript_id "{name}";'
        for name in transcripts
    ]
    path.write_text("\n".join(lines) + "\n")
    return read_annotation(path)


def read(tmp_path, headers, annotation=None, sequence=SEQUENCE, symbols=None):
    path = tmp_path / "t.fa"
    path.write_text("".join(f">{header}\n{sequence}\n" for header in headers))
    tally = Tally()
    found = list(transcripts_from_fasta(path, annotation, "human", tally, symbols))
    return found, tally


@pytest.mark.parametrize("header", [ENSEMBL, GENCODE])
@pytest.mark.parametrize("name", ["ENST00000631435", "ENST00000631435.1"])
def test_files_of_one_release_meet(tmp_path, header, name):
    found, tally = read(tmp_path, [header], gtf(tmp_path, name))
    assert found == [Transcript(name, "ENSG00000282253", "human", SEQUENCE, -1, -1, ())]
    same = name.endswith(".1")
    assert tally.adjusted == ({} if same else {"transcript found without its version": 1})
    assert tally.skipped == {}


@pytest.mark.parametrize("prefix", ["transcript:", "rna-"])
def test_prefixes_that_gffread_takes_over_from_a_gff3(tmp_path, prefix):
    path = tmp_path / "a.gff3"
    lines = ["1\tx\tgene\t1\t12\t.\t+\t.\tID=g", "1\tx\tmRNA\t1\t12\t.\t+\t.\tID={}t;Parent=g"]
    lines.append("1\tx\texon\t1\t12\t.\t+\t.\tParent={}t")
    path.write_text("\n".join(lines).replace("{}", prefix) + "\n")
    found, tally = read(tmp_path, [f"{prefix}t gene=g"], read_annotation(path))
    assert [(t.transcript_id, t.gene_id) for t in found] == [("t", "g")]
    assert tally.adjusted == {"transcript found without its prefix": 1}


def test_versions_in_the_annotation_alone(tmp_path):
    found, tally = read(tmp_path, ["ENST00000631435"], gtf(tmp_path, "ENST00000631435.3_1"))
    assert [t.transcript_id for t in found] == ["ENST00000631435.3_1"]
    assert tally.adjusted == {"transcript found without its version": 1}


def test_another_version_is_another_transcript(tmp_path):
    annotation = gtf(tmp_path, "ENST00000631435.2", "ENST00000000001.1")
    found, tally = read(tmp_path, [ENSEMBL, "ENST00000000001.1"], annotation)
    assert [t.transcript_id for t in found] == ["ENST00000000001.1"]
    assert tally.skipped == {
        "another version in the annotation": 1,
        "not in the transcript FASTA": 1,
    }
    message = r"t\.fa: got no transcript of .*a\.gtf: ENST00000631435.1 against ENST00000631435.2"
    with pytest.raises(InputError, match=message):
        read(tmp_path, [ENSEMBL], gtf(tmp_path, "ENST00000631435.2"))


def test_numbers_of_isoforms_are_no_versions(tmp_path):
    annotation = gtf(tmp_path, "Y74C9A.3", "Y74C9A.2.1")
    found, tally = read(tmp_path, ["Y74C9A.3.1", "Y74C9A.2.1"], annotation)
    assert [t.transcript_id for t in found] == ["Y74C9A.2.1"]
    assert tally.skipped == {"not in the annotation": 1, "not in the transcript FASTA": 1}


def test_copies_on_y_stay_apart(tmp_path):
    names = ["ENST00000381578.6", "ENST00000381578.6_PAR_Y"]
    found, tally = read(
        tmp_path, [f"{n}|ENSG00000185960.14|-|-|" for n in names], gtf(tmp_path, *names)
    )
    assert [t.transcript_id for t in found] == names
    assert tally.adjusted == {}


@pytest.mark.parametrize(
    ("header", "gene", "symbol"),
    [
        (ENSEMBL + " gene_symbol:TRBD1 description:a gene:b", "ENSG00000282253.1", "TRBD1"),
        (GENCODE, "ENSG00000282253.1", "TRBD1"),
        ("T1 gene=G1 CDS=1-9", "G1", None),
        ("Y74C9A.3.1 gene=WBGene00022277", "WBGene00022277", None),
        ("AT1G01010.1 cdna chromosome:TAIR10:1:3631:5899:1 gene:AT1G01010", "AT1G01010", None),
    ],
)
def test_genes_of_headers(tmp_path, header, gene, symbol):
    symbols = {}
    (found,), tally = read(tmp_path, [header], symbols=symbols)
    assert (found.transcript_id, found.gene_id) == (header.split()[0].split("|")[0], gene)
    assert found.exon_junctions is None
    assert symbols == ({gene: symbol} if symbol else {})
    assert (tally.read, tally.adjusted) == (1, {})


def test_headers_without_genes_beside_some_with(tmp_path):
    found, tally = read(tmp_path, [ENSEMBL, "other"])
    assert [t.gene_id for t in found] == ["ENSG00000282253.1", "other"]
    assert tally.adjusted == {"transcript without a gene is a gene of its own": 1}


@pytest.mark.parametrize(
    ("sequence", "cds", "expected", "reason"),
    [
        (SEQUENCE, "3-11", (2, 11), None),  # CGATGGAGTAAC: after a 5'UTR
        (SEQUENCE, "3-10", (2, 8), "CDS cut to its last full codon"),
        ("ATGGAGTAACCC", "1-8", (0, 6), "CDS cut to its last full codon"),
        ("GATGGAGTAACC", "1-9", (0, 9), "CDS of unknown frame left out"),
        ("CCGTTGTAACCC", "1-9", (0, 9), None),  # ends in a stop codon
        ("CCCGTTGTAACC", "1-10", (1, 10), "CDS cut to its first full codon"),
        (SEQUENCE, "3-4", (-1, -1), "CDS without a full codon left out"),
    ],
)
def test_cds_of_gencode(tmp_path, sequence, cds, expected, reason):
    (found,), tally = read(tmp_path, [CODING.format(cds)], sequence=sequence)
    if reason == "CDS of unknown frame left out":
        expected = (-1, -1)
    assert (found.cds_start, found.cds_end) == expected
    if reason == "CDS without a full codon left out":
        assert tally.adjusted[reason] == 1
    else:
        assert tally.adjusted == ({reason: 1} if reason else {})


def test_cds_outside_the_sequence(tmp_path):
    message = r"t\.fa: 'ENST00000335137.4': CDS: got 3-13, wanted some of its 12 nt"
    with pytest.raises(InputError, match=message):
        read(tmp_path, [CODING.format("3-13")])


def test_words_in_descriptions_are_no_genes():
    assert read_header("T1", "a protein of gene: x").gene_id is None
    assert read_header("T1", "pseudogene:x").gene_id is None
    assert read_header("T1", "").gene_id is None
