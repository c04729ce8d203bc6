import gzip

import pytest

from annotation_writers import bed12, genepred, gtf
from data_builders.annotation.models import TranscriptModel
from data_builders.annotation.reader import read_annotation
from data_builders.records import InputError

MODEL = TranscriptModel("t1", "g1", "1", "-", ((5, 20), (30, 40)), ((9, 20), (30, 34)), 0, 1, None)
GFF3 = [
    f"1\tx\t{kind}\t{start}\t{end}\t.\t-\t{phase}\t{attributes}"
    for kind, start, end, phase, attributes in (
        ("gene", 6, 40, ".", "ID=g1"),
        ("mRNA", 6, 40, ".", "ID=t1;Parent=g1"),
        ("exon", 6, 20, ".", "Parent=t1"),
        ("exon", 31, 40, ".", "Parent=t1"),
        ("CDS", 10, 20, "2", "Parent=t1"),
        ("CDS", 31, 34, "0", "Parent=t1"),
    )
]
FORMATS = {
    "GTF": list(gtf(MODEL)),
    "GFF3": GFF3,
    "genePred": [genepred(MODEL)],
    "genePred with bin": [genepred(MODEL, has_bin=True)],
    "genePredExt": [genepred(MODEL, extended=True)],
    "refGene": [genepred(MODEL, extended=True, has_bin=True)],
    "BED12": [bed12(MODEL)],
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("head", ["", "#!comment\n\n", "\ufeff#comment\n", "\ufeff"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_format_is_told_by_the_content(tmp_path, name, head, pack):
    path = tmp_path / "annotation"
    path.write_bytes(pack((head + " \t\r\n".join(FORMATS[name])).encode()))
    (model,) = read_annotation(path, strict=True).transcripts
    assert (model.exons, model.cds, model.phase) == (MODEL.exons, MODEL.cds, 0)
    assert model.gene_id == ("t1" if name in ("genePred", "genePred with bin", "BED12") else "g1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x: got no transcript, wanted GTF, GFF3, genePred or BED12"),
        (b"# only\n\n", "x: got no transcript"),
        (b"track name=x\n", "x: got no transcript"),
        (b">chr1\nACGT\n", "x:1: columns: got 1, wanted 9 .GTF, GFF3., 10 .genePred., "),
        (b"chr1 x exon 1 9\n", "x:1: columns: got 1, with blanks in it where tabs are wanted"),
        (b"1\t0\t9\n", "x:1: columns: got 3, BED3, which has no exons; wanted BED12 or "),
        (b"1\t0\t9\tt1\n", "x:1: columns: got 4, BED4, which has no exons"),
        (b"1\t0\t9\tt1\t0\t+\n", "x:1: columns: got 6, BED6, which has no exons"),
        (b"1\t0\t9\tt1\t0\t+\t0\t9\t255,0,0\n", "x:1: columns: got 9, BED9, which has no"),
        (bytes(20), "x:1: got UTF-16, or no text at all, wanted UTF-8 text"),
        (gzip.compress(b"1\t0\t9\n", mtime=0)[:-4], r"x:\d: got a truncated or damaged gzip"),
    ],
)
def test_what_is_no_annotation(tmp_path, content, message):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_annotation(path)
    assert "\n" not in str(error.value)
