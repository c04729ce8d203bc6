"""Tables of a line a transcript (genePred, genePredExt, refGene, BED12) to transcript models.

Formats: https://genome.ucsc.edu/FAQ/FAQformat.html#format9 (genePred) and #format1 (BED).
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders.annotation.models import (
    Annotation,
    Interval,
    SkipTranscript,
    TranscriptModel,
    ordered_exons,
)
from data_builders.records import InputError
from data_builders.text import Tally, decode, numbered_lines, shown

COLUMNS = {10: "genePred", 11: "genePred", 12: "BED12", 15: "genePredExt", 16: "genePredExt"}
_WITH_BIN = frozenset({11, 16})
_NOT_A_RECORD = re.compile(rb"#|(?:track|browser)(?!\S)")
_STRANDS = frozenset({b"+", b"-", b".", b"?"})
_STATES = frozenset({b"none", b"unk", b"incmpl", b"cmpl"})
_FRAMES = frozenset({b"-1", b"0", b"1", b"2"})
_INTEGER = re.compile(rb"\d{1,12}")


@dataclass(slots=True)
class _Row:
    """One line; coordinates are genomic, 0-based and half-open, the CDS as from its first base.

    `frames`, where given: exon -> the place in its codon (0, 1, 2) of its first coding base on the
    transcript, -1 without one.
    """

    name: bytes
    chromosome: bytes
    strand: bytes
    span: Interval
    cds: Interval
    exons: list[Interval]
    gene: bytes = b""
    frames: dict[Interval, int] | None = None


def records(path: str | os.PathLike) -> Iterator[tuple[int, list[bytes]]]:
    """Reads tab-separated lines but for comments, blank ones, and a browser's.

    A byte order mark and blanks at a line's end are no part of it.

    Args:
        path: plain or gzip.

    Yields:
        The line's number, from 1, and its columns.

    Raises:
        InputError: as in `numbered_lines`.
    """
    for number, line in numbered_lines(path):
        line = line.rstrip()
        if line and not _NOT_A_RECORD.match(line):
            yield number, line.split(b"\t")


def read_genepred(path: str | os.PathLike, *, strict: bool = False) -> Annotation:
    """Reads genePred, genePredExt, either after a bin (refGene), or BED12: told by their columns.

    The CDS (cdsStart to cdsEnd, thickStart to thickEnd; none where these are equal) includes the
    stop codon. Its phase is that of `exonFrames`; other tables have none, and each CDS that is read
    as in frame for that is counted. The gene is name2; where there is none, a transcript is a gene
    of its own, which is counted too.

    A malformed line is an error. Skipped and counted are: a name that a kept transcript has;
    strand unknown; exons that overlap; a CDS whose ends are in no exon; exonFrames that are not
    those of the CDS (a frameshift).

    Args:
        path: the file, plain or gzip.
        strict: a transcript that would be skipped is an error.

    Raises:
        InputError: another number of columns than `COLUMNS` has, or than the first line; a name or
            chromosome that is empty; numbers that are no integers; an end before its start, or
            exons without a base; a list that is not as long as its count; exons that do not span
            the transcript, or a CDS that leaves it; a strand, frame or state of the CDS that does
            not exist; a file without transcripts.
    """
    tally, width = Tally(strict=strict), None
    transcripts: dict[str, TranscriptModel] = {}
    for number, columns in records(path):
        where = f"{path}:{number}"
        width = width or len(columns)
        if len(columns) != width or width not in COLUMNS:
            wanted = width if width in COLUMNS else ", ".join(map(str, COLUMNS))
            raise InputError(f"{where}: columns: got {len(columns)}, wanted {wanted}")
        row = _row(columns, where)
        tally.read += 1
        name = decode(row.name, path, number)
        try:
            if name in transcripts:
                raise SkipTranscript("transcript defined twice")
            transcripts[name] = _model(row, name, path, number, tally)
        except SkipTranscript as reason:
            tally.skip(str(reason), f"{where}: transcript '{name}'")
    if width is None:
        raise InputError(f"{path}: got no transcript, wanted genePred or BED12")
    symbols = {}
    if COLUMNS[width] == "genePredExt":  # whose name2 is the symbol in refGene
        symbols = {model.gene_id: model.gene_id for model in transcripts.values()}
    return Annotation(
        path=Path(path),
        transcripts=tuple(transcripts.values()),
        gene_symbols=symbols,
        features=Counter({"transcript": tally.read}),
        tally=tally,
    )


def _row(columns: list[bytes], where: str) -> _Row:
    if len(columns) in _WITH_BIN:
        _integer(columns[0], "bin", where)
        columns = columns[1:]
    row = (_bed12 if COLUMNS[len(columns)] == "BED12" else _genepred)(columns, where)
    for field, value in (("name", row.name), ("chromosome", row.chromosome)):
        if not value.strip():
            raise InputError(f"{where}: {field}: got none, wanted one")
    _choice(row.strand, _STRANDS, "strand", where)
    for start, end in (*row.exons, row.span):
        if start >= end:
            raise InputError(f"{where}: coordinates: got {start} to {end}, wanted start < end")
    ends = min(start for start, _ in row.exons), max(end for _, end in row.exons)
    if ends != row.span:
        raise InputError(
            f"{where}: exons: got {ends[0]} to {ends[1]}, "
            f"wanted {row.span[0]} to {row.span[1]}, the transcript"
        )
    start, end = row.cds
    if start != end and not row.span[0] <= start < end <= row.span[1]:
        raise InputError(
            f"{where}: CDS: got {start} to {end}, "
            f"wanted start <= end, from {row.span[0]} to {row.span[1]}"
        )
    return row


def _genepred(columns: list[bytes], where: str) -> _Row:
    name, chromosome, strand, *numbers = columns[:8]
    fields = ("txStart", "txEnd", "cdsStart", "cdsEnd", "exonCount")
    first, last, cds_start, cds_end, count = map(_integer, numbers, fields, [where] * 5)
    starts, ends = (
        [_integer(value, field, where) for value in _list(values, count, field, where)]
        for values, field in zip(columns[8:10], ("exonStarts", "exonEnds"), strict=True)
    )
    exons = list(zip(starts, ends, strict=True))
    row = _Row(name, chromosome, strand, (first, last), (cds_start, cds_end), exons)
    if len(columns) > 10:
        _, row.gene, start_state, end_state, frames = columns[10:]
        _choice(start_state, _STATES, "cdsStartStat", where)
        _choice(end_state, _STATES, "cdsEndStat", where)
        frames = _list(frames, count, "exonFrames", where)
        for frame in frames:
            _choice(frame, _FRAMES, "exonFrames", where)
        row.frames = dict(zip(exons, map(int, frames), strict=True))
    return row


def _bed12(columns: list[bytes], where: str) -> _Row:
    chromosome, start, end, name, _, strand, thick_start, thick_end, _, count, *blocks = columns
    fields = ("chromStart", "chromEnd", "thickStart", "thickEnd", "blockCount")
    numbers = (start, end, thick_start, thick_end, count)
    first, last, cds_start, cds_end, count = map(_integer, numbers, fields, [where] * 5)
    sizes, starts = (
        [_integer(value, field, where) for value in _list(values, count, field, where)]
        for values, field in zip(blocks, ("blockSizes", "blockStarts"), strict=True)
    )
    exons = [(first + at, first + at + size) for size, at in zip(sizes, starts, strict=True)]
    return _Row(name, chromosome, strand, (first, last), (cds_start, cds_end), exons)


def _integer(value: bytes, field: str, where: str) -> int:
    if not _INTEGER.fullmatch(value):
        raise InputError(f"{where}: {field}: got '{shown(value)}', wanted an integer >= 0")
    return int(value)


def _list(values: bytes, count: int, field: str, where: str) -> list[bytes]:
    found = values.removesuffix(b",").split(b",")
    if len(found) != count:
        raise InputError(f"{where}: {field}: got {len(found)}, wanted {count}, the count of exons")
    return found


def _choice(value: bytes, choices: frozenset[bytes], field: str, where: str) -> None:
    if value not in choices:
        wanted = ", ".join(sorted(choice.decode() for choice in choices))
        raise InputError(f"{where}: {field}: got '{shown(value)}', wanted one of {wanted}")


def _model(row: _Row, name: str, path, number: int, tally: Tally) -> TranscriptModel:
    exons = ordered_exons(row.exons)
    if row.strand not in (b"+", b"-"):
        raise SkipTranscript("strand unknown")
    cds = _coding(exons, row.cds)
    phase = 0
    if row.frames is not None:
        phase = _phase(exons if row.strand == b"+" else exons[::-1], row)
    elif cds:
        tally.adjusted["CDS without a phase read as in frame"] += 1
    if not row.gene:
        tally.adjusted["transcript without a gene is a gene of its own"] += 1
    return TranscriptModel(
        transcript_id=name,
        gene_id=decode(row.gene, path, number) or name,
        chromosome=decode(row.chromosome, path, number),
        strand=row.strand.decode(),
        exons=exons,
        cds=cds,
        phase=phase,
        line=number,
        biotype=None,
    )


def _coding(exons: Sequence[Interval], cds: Interval) -> tuple[Interval, ...]:
    """What of the exons is CDS."""
    first, last = cds
    if first == last:
        return ()
    pieces = tuple((max(s, first), min(e, last)) for s, e in exons if s < last and e > first)
    if not pieces or (pieces[0][0], pieces[-1][1]) != cds:
        raise SkipTranscript("CDS leaves the exons")
    return pieces


def _phase(exons: Sequence[Interval], row: _Row) -> int:
    """The phase of the CDS by the frames of the exons, which come 5'→3'; 0 without a CDS."""
    phase = frame = None
    for exon in exons:
        bases = min(exon[1], row.cds[1]) - max(exon[0], row.cds[0])
        given = row.frames[exon]
        if bases <= 0:
            wanted = -1
        else:
            if phase is None:
                frame = max(given, 0)
                phase = -frame % 3
            wanted, frame = frame, (frame + bases) % 3
        if given != wanted:
            raise SkipTranscript("exonFrames are not those of the CDS")
    return phase or 0
