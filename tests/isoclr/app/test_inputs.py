import gzip

import pytest

from data_builders.records import InputError, Transcript
from isoclr.app.inputs import Given, Limits, read_transcripts, read_upload

SEQUENCE = "GG" + "ATG" + "GCC" * 40 + "TAA" + "CC"


def test_a_bare_sequence_is_a_transcript():
    transcripts, notes = read_transcripts("acgu\nACGU\n")
    assert transcripts == [Transcript("sequence", "sequence", "unknown", "ACGTACGT")]
    assert notes == []


def test_fasta_with_its_annotation():
    gtf = "\n".join(
        "\t".join(["c", "x", *fields, ".", "+", "0", 'gene_id "g"; transcript_id "t";'])
        for fields in (("exon", "1", "6"), ("exon", "11", "13"), ("CDS", "1", "6"))
    )
    transcripts, notes = read_transcripts(
        ">t\nATGTAACCC\n>u\nACGT\n", gtf.encode(), Given(species="homo_sapiens")
    )
    assert transcripts == [Transcript("t", "g", "homo_sapiens", "ATGTAACCC", 0, 6, (6,))]
    assert notes == ["skipped 1: not in the annotation"]


def test_coordinates_and_guesses():
    typed = Given(cds=" 2-128 ", junctions="30, 60")
    ((transcript,), _) = read_transcripts(SEQUENCE, given=typed)
    assert (transcript.cds_start, transcript.cds_end) == (2, 128)
    assert transcript.exon_junctions == (30, 60)
    ((transcript,), notes) = read_transcripts(SEQUENCE, given=Given(guess=True, junctions="none"))
    assert (transcript.cds_start, transcript.cds_end) == (2, 128)
    assert transcript.exon_junctions == ()
    assert notes == ["adjusted 1: CDS guessed: the longest reading frame"]


@pytest.mark.parametrize(
    "fasta, given, message",
    [
        ("", Given(), "sequences: got none"),
        (">a\nAC!T\n", Given(), "sequences:2: sequence of 'a': got '!'"),
        (">a\nA\n>a\nC\n", Given(), "sequences:3: name: got 'a' again"),
        (">a\nA\n>b\nC\n", Given(cds="0-1"), "got them for 2 transcripts"),
        ("ACGT", Given(cds="3-9"), "CDS: got '3-9', wanted start-end within 0-4"),
        ("ACGT", Given(cds="x"), "CDS: got 'x'"),
        ("ACGT", Given(junctions="2,1"), "junctions: got '2,1', wanted ascending"),
        ("ACGT", Given(junctions="2,x"), "junctions: got '2,x', wanted numbers"),
        ("ACGT" * 100, Given(), "got 400 nt, wanted at most 100"),
        (">a\nA\n>b\nA\n>c\nA\n>d\nA\n", Given(), "got 4 transcripts, wanted at most 3"),
        ("ACGT" * 1000, Given(), "got more than 1,000 bytes"),
    ],
)
def test_wrong_input_is_one_line_without_a_path(fasta, given, message):
    limits = Limits(bytes=1000, transcripts=3, nucleotides=100)
    with pytest.raises(InputError) as caught:
        read_transcripts(fasta, given=given, limits=limits)
    assert message in str(caught.value)
    assert "/tmp" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_annotation_of_nothing_names_no_path():
    with pytest.raises(InputError) as caught:
        read_transcripts(">t\nACGT\n", b"not an annotation\n")
    assert str(caught.value).startswith("annotation") and "/" not in str(caught.value)[:40]


def test_uploads_are_unpacked_within_bounds(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(gzip.compress(b"A" * 100_000))
    assert read_upload(path) == b"A" * 100_000
    with pytest.raises(InputError, match="got more than 1,000 bytes"):
        read_upload(path, Limits(bytes=1000))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="damaged gzip") as caught:
        read_upload(path)
    assert str(tmp_path) not in str(caught.value)
