"""Malformed files, and what becomes of each: an error that names the place, or a counted skip.

`malformed/ends.tsv` says so of every file beside it; what cannot be read as text, and what damages
any format alike, is made here. docs/FORMATS.md shows it all as one table.
"""

import csv
import gzip
from pathlib import Path
from typing import NamedTuple

import pytest

from data_builders.annotation.assembly import assemble
from data_builders.annotation.reader import read_annotation
from data_builders.expression.prepare import ReadOptions, read_expression, read_obs
from data_builders.genomes.aliases import read_aliases
from data_builders.groups.build import GenomeSource, TableSource, build
from data_builders.homology.homologous_genes import read_homology
from data_builders.homology.homologs import HomologOptions, HomologReport, read_homologs
from data_builders.homology.sources import HomologSource
from data_builders.interactions.build import BuildOptions as PairOptions
from data_builders.interactions.build import InteractionFiles, read_set
from data_builders.labels.label_set import read_labels
from data_builders.records import InputError
from data_builders.tables import read_transcript_table
from data_builders.text import Tally
from genome_writers import bgzip, twobit, twobit_record

FOLDER = Path(__file__).parent / "malformed"
GENOME, GTF, TABLE = (FOLDER / name for name in ("genome.fa", "ok.gtf", "ok.tsv"))
FAMILY = FOLDER / "family.fa"
EXPRESSION = FOLDER / "expression.tsv"
PAIRS, RNAS, PROTEINS = (FOLDER / name for name in ("pairs.txt", "rnas.fa", "proteins.fa"))
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


def annotated(path, tally, genome=GENOME, aliases=None):
    annotation = read_annotation(path, strict=tally.strict)
    tally.update(annotation.tally)
    return list(assemble(annotation, genome, "human", tally, aliases))


def labelled(path, tally):
    labels = read_labels(path, "half_life")
    tally.skipped.update(labels.report)
    del tally.skipped["matched"], tally.skipped["without homology"]
    return labels.transcripts


def homologs(path, tally, alphabet="protein", distances=None):
    options = HomologOptions(alphabet=alphabet, distances=distances, strict=tally.strict)
    report = HomologReport(tally=tally)
    families = list(read_homologs([HomologSource(path)], options, report))
    return [member for family in families for member in family.members]


def homologs_by_tree(path, tally):
    return homologs(FAMILY, tally, distances=path)


def expression(path, tally, obs=None):
    matrix, report = read_expression([path], obs and ReadOptions(obs=obs))
    tally.read += report.samples
    columns = list(zip(matrix.samples, matrix.values.tolist(), strict=True))
    return [(*column, matrix.genes) for column in columns]


def sample_table(path, tally):
    return expression(EXPRESSION, tally, read_obs(path))


def interacting(tally, **files):
    files = {"pairs": PAIRS, "rnas": RNAS, "proteins": PROTEINS} | files
    chosen = InteractionFiles(**{name: [path] for name, path in files.items()})
    interactions, report = read_set(chosen, PairOptions(strict=tally.strict))
    tally.read += report.steps[0]["pairs"]
    tally.skipped.update({s["step"]: s["left_out"] for s in report.steps if s["left_out"]})
    for found in report.sequences.values():
        tally.adjusted.update(found.adjusted)
    return list(zip(interactions.rna.tolist(), interactions.protein.tolist(), strict=True))


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
    "homologs": (homologs, None),
    "tree": (homologs_by_tree, None),
    "expression": (expression, None),
    "samples": (sample_table, None),
    "pairs": (lambda path, tally: interacting(tally, pairs=path), None),
    "rnas": (lambda path, tally: interacting(tally, rnas=path), None),
    "proteins": (lambda path, tally: interacting(tally, proteins=path), None),
}
KINDS["2bit"] = KINDS["fasta"]


@pytest.fixture
def built(tmp_path, no_figure):
    """Builds a dataset of a file of a kind; returns its report."""

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
    assert message == expected.replace("{path}", str(path)).replace("{folder}", str(FOLDER))


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


# --- 2bit

PACKED = twobit({"1": "ACGTACGTAC" * 3, "2": "ACGT"})
TWOBIT = {
    "cut short": (PACKED[:-2], "sequence of '2': got 3 bytes up to the end of the file, wanted 4"),
    "bytes after its end": (PACKED + b"ACGT", "sequence of '2': got 4 bases up to byte 69, wanted"),
    "version unknown": (PACKED[:4] + b"\2" + PACKED[5:], "version: got 2, wanted 0 or 1"),
    "without sequences": (PACKED[:8] + bytes(8) + PACKED[16:], "index: got no sequence, wanted"),
    "name twice": (
        PACKED.replace(b"\0012", b"\0011"),
        "index entry 2: name: got '1' again, wanted",
    ),
    "name of control characters": (PACKED.replace(b"\0012", b"\1\n"), "index entry 2: name: got"),
    "offset outside": (PACKED[:18] + b"\xff" + PACKED[19:], "offset of '1': got 255, wanted one"),
    "block of N past the end": (
        twobit({"1": "A" * 30, "2": "A"}, records=[twobit_record("N" * 30), twobit_record("A")])
        .replace(b"\x1e\0\0\0", b"\x1f\0\0\0")
        .replace(b"\x1f\0\0\0", b"\x1e\0\0\0", 1),
        "sequence of '1': block of N: got 0 to 31, wanted at most 30, its length",
    ),
}


@pytest.mark.parametrize("name", TWOBIT)
def test_2bit(name, tmp_path, built):
    content, message = TWOBIT[name]
    path = tmp_path / "genome.2bit"
    path.write_bytes(content)
    for call in (lambda: annotated(GTF, Tally(), path), lambda: built("2bit", path)):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value).startswith(f"{path}: {message}")
        assert str(error.value).isprintable()


# --- What damages any text.

EXON = "1\tx\texon\t1\t9\t.\t+\t."
TEXTS = {
    "gtf": f'{EXON}\tgene_id "g"; transcript_id "NAME";\n' * 2,
    "gff3": f"{EXON.replace('exon', 'mRNA')}\tID=NAME\n{EXON}\tParent=NAME\n",
    "genepred": "NAME\t1\t+\t0\t9\t9\t9\t1\t0,\t9,\n#\n",
    "bed12": "1\t0\t9\tNAME\t0\t+\t9\t9\t0\t1\t9,\t0,\n#\n",
    "fasta": f">NAME\nACGT\n{GENOME.read_text()}",
    "aliases": "NAME\t1\nchr2\t2\n",
    "table": "transcript_id\tgene_id\tspecies\tsequence\nNAME\tg\thuman\tACGT\n",
    "homology": "group_id\tspecies\tgene_id\nH\thuman\tNAME\n",
    "labels": "transcript_id\tgene_id\tspecies\tsequence\thalf_life\nNAME\tg\thuman\tACGT\t1\n",
    "homologs": "2 4\nNAME MKVL\nmouse MKVA\n",
    "tree": "((NAME:0.1,human:0.1):1,\nmouse:1);\n",
    "expression": "gene\tNAME\tother\nENSG00000000001\t1\t2\nENSG00000000002\t3\t4\n",
}
GZIP = ": got a truncated or damaged gzip stream ("
DAMAGE = {
    "CRLF": (lambda text: text.replace(b"\n", b"\r\n"), None),
    "byte order mark": (lambda text: b"\xef\xbb\xbf" + text, None),
    "gzip": (gzip.compress, None),
    "bgzip": (lambda text: bgzip(text, 20), None),
    "no newline at the end": (lambda text: text.rstrip(b"\n"), None),
    "CR only": (lambda text: text.replace(b"\n", b"\r"), "1: got a carriage return within a line"),
    "UTF-16": (lambda text: text.decode().encode("utf-16"), "1: got UTF-16, or no text at all"),
    "UTF-16 without its mark": (
        lambda text: text.decode().encode("utf-16-le"),
        "1: got UTF-16, or no text at all",
    ),
    "name of no UTF-8": (lambda text: text.replace(b"NAME", b"N\xffME"), "wanted UTF-8 text"),
    "name with a NUL": (lambda text: text.replace(b"NAME", b"NA\0ME"), r"\x00"),
    "name with an escape sequence": (lambda text: text.replace(b"NAME", b"NA\x1b[2J"), r"\x1b"),
    "NUL bytes at the end": (lambda text: text + bytes(40), ":"),
    "line of megabytes": (lambda text: text + b"x" * (3 << 20) + b"\n", ":"),
    "gzip cut short": (lambda text: gzip.compress(text)[:-9], GZIP),
    "gzip with a bit changed": (
        lambda text: gzip.compress(text)[:-6] + b"\0" + gzip.compress(text)[-5:],
        GZIP,
    ),
    "gzip with bytes after it": (lambda text: gzip.compress(text) + b"ACGT", GZIP),
    "bgzip cut between its blocks": (lambda text: bgzip(text, 20)[:-28], GZIP),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("kind", TEXTS)
def test_damaged_text(kind, name, tmp_path):
    damage, message = DAMAGE[name]
    read = KINDS[kind][0]
    path = tmp_path / "file"
    path.write_text(TEXTS[kind])
    expected = read(path, Tally())
    path.write_bytes(damage(TEXTS[kind].encode()))
    if message is None:
        assert read(path, Tally()) == expected
        return
    with pytest.raises(InputError) as error:
        read(path, Tally())
    found = str(error.value)
    assert found.startswith(f"{path}:")
    assert message in found
    assert found.isprintable()
    assert len(found) < 1_000


# --- The table of docs/FORMATS.md

TITLES = {
    **{"gtf": "GTF", "gff3": "GFF3", "genepred": "genePred, refGene", "bed12": "BED12"},
    **{"fasta": "FASTA", "2bit": "2bit", "aliases": "aliases", "table": "transcript table"},
    **{"homology": "homology", "labels": "labels"},
    **{"homologs": "homologs", "tree": "tree of species"},
    **{"expression": "expression", "samples": "table of samples"},
    **{"pairs": "pairs of RNAs and proteins", "rnas": "RNAs of pairs"},
    **{"proteins": "proteins of pairs"},
}


def documented():
    """The table, in Markdown."""
    cells = {kind: {"error": [], "skipped": [], "changed": [], "read": []} for kind in TITLES}
    for end in ENDS:
        kind, name = end.file.rsplit(".", 1)[0].replace("_", " ").split("/")
        cells[kind][end.end].append(name)
    cells["2bit"]["error"] += TWOBIT
    cells["any text"] = {"error": [], "read": []}
    for name, (_, message) in DAMAGE.items():
        cells["any text"]["error" if message else "read"].append(name)
    lines = [
        "| | error | skipped, counted | read, the change counted | read |",
        "|---|---|---|---|---|",
    ]
    for kind, by_end in cells.items():
        columns = (
            ", ".join(by_end.get(end, ())) for end in ("error", "skipped", "changed", "read")
        )
        lines.append(f"| {TITLES.get(kind, kind)} | {' | '.join(columns)} |")
    return "\n".join(lines)


def test_documented():
    assert documented() in DOCS.read_text(), f"wanted in {DOCS}:\n{documented()}"
