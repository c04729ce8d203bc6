"""Malformed files, and what becomes of each: an error that names the place, or a counted skip.

`malformed/ends.tsv` says so of every file beside it; what cannot be read as text, and what damages
any format alike, is made here. docs/FORMATS.md shows it all as one table.
"""

import csv
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from data_builders.aliases import read_aliases
from data_builders.annotation import read_annotation
from data_builders.assembly import assemble
from data_builders.build import GenomeSource, TableSource, build
from data_builders.homology import read_homology
from data_builders.labels import read_labels
from data_builders.records import InputError
from data_builders.tables import read_transcript_table
from data_builders.text import Tally
from genome_writers import bgzip, twobit, twobit_record

FOLDER = Path(__file__).parent / "malformed"
GENOME, GTF, TABLE = (FOLDER / name for name in ("genome.fa", "ok.gtf", "ok.tsv"))
DOCS = Path(__file__).parents[2] / "docs" / "FORMATS.md"


class End(NamedTuple):
    """A row of ends.tsv.

    Attributes:
        file: its folder is what it is given as.
        end: "error"; "skipped": so many records, for a reason; "changed": so many, for a reason;
            "read": as the file without a flaw.
        where: of a skip, what strict puts before the reason.
        records: how many were skipped or changed.
        what: the error, or the reason.
    """

    file: str
    end: str
    where: str
    records: str
    what: str


def ends():
    with open(FOLDER / "ends.tsv", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert next(rows) == list(End._fields)
        return [End(*row) for row in rows]


ENDS = ends()
SEQUENCES = {
    line[1:]: "".join(lines)
    for line, *lines in (record.split("\n") for record in GENOME.read_text().split("\n>"))
}


def annotated(path, tally, genome=GENOME, aliases=None):
    annotation = read_annotation(path, strict=tally.strict)
    tally.update(annotation.tally)
    return list(assemble(annotation, genome, "human", tally, aliases))


def labelled(path, tally):
    labels = read_labels(path, "half_life")
    tally.skipped.update(labels.report)
    del tally.skipped["matched"], tally.skipped["without homology"]
    tally.read = len(path.read_text().splitlines()) - 1
    return labels.transcripts


ANNOTATION = (annotated, lambda path: ([GenomeSource(GENOME, path, "human")], None))
KINDS = {
    "gtf": ANNOTATION,
    "gff3": ANNOTATION,
    "genepred": ANNOTATION,
    "bed12": ANNOTATION,
    "fasta": (
        lambda path, tally: annotated(GTF, tally, path),
        lambda path: ([GenomeSource(path, GTF, "human")], None),
    ),
    "aliases": (
        lambda path, tally: annotated(GTF, tally, aliases=read_aliases(path)),
        lambda path: ([GenomeSource(GENOME, GTF, "human", path)], None),
    ),
    "table": (
        lambda path, tally: list(read_transcript_table(path, None, tally)),
        lambda path: ([TableSource(path)], None),
    ),
    "homology": (
        lambda path, tally: read_homology(path, tally) and [],
        lambda path: ([TableSource(TABLE)], path),
    ),
    "labels": (labelled, None),
}
KINDS["2bit"] = KINDS["fasta"]


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Builds a dataset of a file of a kind; returns its report."""
    monkeypatch.setattr(
        "data_builders.build.draw_report", lambda summary, path: path.write_bytes(b"figure")
    )

    def run(kind, path, strict=False):
        sources, homology = KINDS[kind][1](path)
        return build(sources, tmp_path / "groups", homology=homology, strict=strict, overwrite=True)

    return run


def check_error(expected, path, call):
    with pytest.raises(InputError) as error:
        call()
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 1_000
    assert message == expected.format(path=path, folder=FOLDER)


def check(end, kind, path, built):
    """Holds the reader, and `build` if it reads this kind, to the end of a file."""
    read, buildable = KINDS[kind]
    if end.end == "error":
        check_error(end.what, path, lambda: read(path, Tally()))
        if buildable:
            check_error(end.what, path, lambda: built(kind, path))
        return
    tally, records = Tally(), int(end.records or 0)
    transcripts = read(path, tally)
    skipped = {end.what: records} if end.end == "skipped" else {}
    assert tally.skipped == skipped
    if kind not in ("homology", "labels"):
        assert tally.read == len(transcripts) + tally.skipped.total()
    if end.end == "changed":
        assert tally.adjusted[end.what] == records
    if not buildable:
        return
    report = built(kind, path)
    (counts,) = report["sources"]
    assert counts["read"] == counts["kept"] + sum(counts["skipped"].values())
    assert counts["skipped"] == skipped
    assert counts["kept"] == report["grouping"]["read"]
    if kind != "homology":
        assert counts["adjusted"] == tally.adjusted
    if end.end == "skipped":
        strict = f"{end.where}: {end.what}"
        assert strict.startswith(("{path}:", "{folder}/"))
        check_error(strict, path, lambda: read(path, Tally(strict=True)))
        check_error(strict, path, lambda: built(kind, path, strict=True))
    else:
        built(kind, path, strict=True)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.file)
def test_ends_as_documented(end, built):
    check(end, end.file.split("/")[0], FOLDER / end.file, built)


def test_every_file_is_listed():
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*")}
    assert files == {end.file for end in ENDS}
    assert len(files) >= 60
