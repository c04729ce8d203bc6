"""Tables of a line a transcript (genePred, refFlat, BED12 and their like) to transcript models.

Formats: https://genome.ucsc.edu/FAQ/FAQformat.html#format9 (genePred, refFlat) and #format1 (BED),
https://genome.ucsc.edu/goldenPath/help/bigGenePred.html.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

_NOT_A_RECORD = re.compile(rb"#|(?:track|browser)(?!\S)")
_HEADER_WORDS = frozenset({b"txStart", b"exonStarts", b"chromStart", b"blockSizes", b"blockStarts"})
_STRANDS = frozenset({b"+", b"-", b".", b"?"})
_STATES = frozenset({b"none", b"unk", b"incmpl", b"cmpl"})
_FRAMES = frozenset({b"-1", b"0", b"1", b"2"})
_INTEGER = re.compile(rb"\d{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How the lines of a table are laid out.

    Attributes:
        name: of the format.
        columns: how many a line has; more are allowed where `open_ended`.
        skipped: how many columns come before the first one of the format.
        gene: the columns of the gene's name, the first that has one counts.
        symbol: the columns of its symbol.
        states: the column of cdsStartStat, which cdsEndStat and exonFrames follow.
        is_bed: whether blocks are sizes and starts, as in BED.
        open_ended: whether further columns may follow.
    """

    name: str
    columns: int
    skipped: int = 0
    gene: tuple[int, ...] = ()
    symbol: tuple[int, ...] = ()
    states: int | None = None
    is_bed: bool = False
    open_ended: bool = False


_GENEPRED = _Layout(name="genePred", columns=10)
_GENEPRED_WITH_BIN = _Layout(name="genePred after a bin", columns=11, skipped=1)
_REFFLAT = _Layout(name="refFlat", columns=11, skipped=1, gene=(0,), symbol=(0,))
_BED12 = _Layout(name="BED12", columns=12, is_bed=True, open_ended=True)
_KNOWN_GENE = _Layout(name="knownGene", columns=10, open_ended=True)  # a protein, an alignment
_SGD_GENE = _Layout(name="genePred after a bin, with a protein", columns=12, skipped=1)
_EXTENDED = _Layout(name="genePredExt", columns=15, gene=(11,), symbol=(11,), states=12)
_REFGENE = _Layout(
    name="genePredExt after a bin", columns=16, skipped=1, gene=(12,), symbol=(12,), states=13
)
_BIG_GENEPRED = _Layout(
    name="bigGenePred",
    columns=16,
    gene=(17, 12),
    symbol=(18, 12, 17),
    states=13,
    is_bed=True,
    open_ended=True,
)
# By the column that has the strand, and the number of columns.
_BY_STRAND = {
    (2, 10): _GENEPRED,
    (2, 11): _KNOWN_GENE,
    (2, 12): _KNOWN_GENE,
    (2, 15): _EXTENDED,
    (3, 11): _GENEPRED_WITH_BIN,
    (3, 12): _SGD_GENE,
    (3, 16): _REFGENE,
}
_BY_WIDTH = {10: _GENEPRED, 11: _GENEPRED_WITH_BIN, 12: _BED12, 15: _EXTENDED, 16: _REFGENE}
FORMATS = (
    "9 (GTF, GFF3), 10 (genePred), 11 (refFlat, genePred after a bin), 12 (BED12, knownGene), "
    "15 (genePredExt), 16 (refGene), 20 (bigGenePred)"
)
"""For errors: columns, and the formats that have so many."""

_NO_NAMES = frozenset({b"", b"none", b"None", b"n/a"})
_LARGEST_BIN = 4681 + 4681 + (1 << 15) - 1  # of UCSC's extended scheme


@dataclass(slots=True, kw_only=True)
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
    symbol: bytes = b""
    frames: dict[Interval, int] | None = None


def records(path: str | os.PathLike) -> Iterator[tuple[int, list[bytes]]]:
    """Read tab-separated lines, without comments, blank lines, and lines for a browser.

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


def is_bed(columns: Sequence[bytes]) -> bool:
    """Return whether columns are those of BED: a chromosome, start, end, and the sixth a strand."""
    return (
        len(columns) >= 3
        and all(map(_INTEGER.fullmatch, columns[1:3]))
        and (len(columns) < 6 or columns[5] in _STRANDS)
    )


def read_genepred(path: str | os.PathLike, *, strict: bool = False) -> Annotation:
    """Read a table of a line a transcript: genePred, refFlat, knownGene, BED12 and their like.

    The columns of the first line tell the format (docs/FORMATS.md lists them). The CDS (cdsStart to
    cdsEnd, thickStart to thickEnd; none where these are equal) includes the stop codon. Its phase
    is that of `exonFrames`; other tables have none, and each CDS that is read as in frame for that
    reason is counted. Where there is no gene, a transcript is a gene of its own, which is counted
    too.

    A malformed line is an error. Skipped and counted are: a name that a kept transcript has; a
    strand that is unknown; exons that overlap; a CDS whose ends are in no exon; exonFrames that are
    not those of the CDS (a frameshift).

    Args:
        path: the file, plain or gzip.
        strict: whether a transcript that would be skipped is an error.

    Raises:
        InputError: no such format, or a line with another number of columns than the first line; a
            name or chromosome that is empty; numbers that are no integers; an end before its start,
            or exons without a base; a list that is not as long as its count; exons that do not span
            the transcript, or a CDS that leaves it; a strand, frame or state of the CDS that does
            not exist; a file without transcripts.
    """
    tally, layout = Tally(strict=strict), None
    transcripts: dict[str, TranscriptModel] = {}
    symbols: dict[str, str] = {}
    for number, columns in records(path):
        where = f"{path}:{number}"
        if layout is None:
            if not _HEADER_WORDS.isdisjoint(columns):
                continue
            layout = _layout(columns, where)
        _check_width(columns, layout, where)
        row = _row(columns, layout, where)
        tally.read += 1
        name = decode(row.name, path, number)
        try:
            if name in transcripts:
                raise SkipTranscript("transcript defined twice")
            model = _model(row, name, path, number, tally)
        except SkipTranscript as reason:
            tally.skip(str(reason), f"{where}: transcript '{name}'")
            continue
        transcripts[name] = model
        if row.symbol:
            symbols.setdefault(model.gene_id, decode(row.symbol, path, number))
    if layout is None:
        raise InputError(f"{path}: got no transcript, wanted genePred or BED12")
    return Annotation(
        path=Path(path),
        transcripts=tuple(transcripts.values()),
        gene_symbols=symbols,
        features=Counter({"transcript": tally.read}),
        tally=tally,
    )


def _layout(columns: list[bytes], where: str) -> _Layout:
    """Return the layout of the first line.

    The strand tells: BED has it in column 6, genePred in column 3, or in column 4 after a bin (an
    integer) or, in refFlat, after the gene.
    """
    width = len(columns)
    if is_bed(columns):
        if width < _BED12.columns:
            raise InputError(
                f"{where}: columns: got {width}, BED{width}, which has no exons; "
                "wanted BED12 or another format with exons"
            )
        return _BIG_GENEPRED if _has_frames(columns) else _BED12
    if width == _REFFLAT.columns and columns[3] in _STRANDS:
        return _refflat_or_bin(columns, where)
    strand = next((at for at in (2, 3) if columns[at : at + 1] and columns[at] in _STRANDS), -1)
    layout = _BY_STRAND.get((strand, width)) or _BY_WIDTH.get(width)
    if layout is None:
        found = f"{width}"
        if width == 1 and len(columns[0].split()) > 1:
            found = f"1, with blanks in it where tabs are wanted: '{shown(columns[0])}'"
        raise InputError(f"{where}: columns: got {found}, wanted {FORMATS}")
    return layout


def _refflat_or_bin(columns: list[bytes], where: str) -> _Layout:
    """Return the layout of 11 columns: the first one is a gene's name, or UCSC's bin."""
    first = columns[0]
    if not _INTEGER.fullmatch(first) or int(first) > _LARGEST_BIN:
        return _REFFLAT
    start, end = columns[4], columns[5]
    if not (_INTEGER.fullmatch(start) and _INTEGER.fullmatch(end)):
        return _GENEPRED_WITH_BIN  # whose reader names the field
    if int(first) != (right := _bin(int(start), int(end))):
        raise InputError(
            f"{where}: first column: got '{shown(first)}', which may be a bin (refGene) or a gene "
            f"(refFlat), wanted the bin {right} of {shown(start)} to {shown(end)}, or a name"
        )
    return _GENEPRED_WITH_BIN


def _bin(start: int, end: int) -> int:
    """Return UCSC's bin of an interval: the smallest range of 128 kb * 8^n that holds all of it.

    Source: binRange.c of kent. Beyond 512 Mb the extended scheme has one level more.
    """
    extended = end > 1 << 29
    first, last = start >> 17, (max(end, start + 1) - 1) >> 17
    offsets = [4681, 585, 73, 9, 1, 0] if extended else [585, 73, 9, 1, 0]
    while first != last:
        first, last = first >> 3, last >> 3
        del offsets[0]
    return offsets[0] + first + (4681 if extended else 0)


def _has_frames(columns: list[bytes]) -> bool:
    """Return whether the columns after those of BED12 are those of bigGenePred."""
    return (
        len(columns) >= _BIG_GENEPRED.columns
        and columns[13] in _STATES
        and columns[14] in _STATES
        and _FRAMES.issuperset(columns[15].removesuffix(b",").split(b","))
    )


def _check_width(columns: list[bytes], layout: _Layout, where: str) -> None:
    wanted = layout.columns
    if len(columns) < wanted or (len(columns) > wanted and not layout.open_ended):
        raise InputError(f"{where}: columns: got {len(columns)}, wanted {wanted}")


def _row(columns: list[bytes], layout: _Layout, where: str) -> _Row:
    if layout.skipped and not layout.gene or layout is _REFGENE:
        _integer(columns[0], "bin", where)
    row = (_bed12 if layout.is_bed else _genepred)(columns[layout.skipped :], where)
    row.gene, row.symbol = _named(columns, layout.gene), _named(columns, layout.symbol)
    if layout.states is not None:
        row.frames = _frames(columns[layout.states :], row.exons, where)
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


def _named(columns: list[bytes], places: tuple[int, ...]) -> bytes:
    """Return the first of some columns that has a name."""
    values = (columns[place].strip() for place in places if place < len(columns))
    return next((value for value in values if value not in _NO_NAMES), b"")


def _genepred(columns: list[bytes], where: str) -> _Row:
    name, chromosome, strand, *numbers = columns[:8]
    fields = ("txStart", "txEnd", "cdsStart", "cdsEnd", "exonCount")
    first, last, cds_start, cds_end, count = map(_integer, numbers, fields, [where] * 5)
    exons = _pairs(columns[8:10], ("exonStarts", "exonEnds"), count, where)
    return _Row(
        name=name,
        chromosome=chromosome,
        strand=strand,
        span=(first, last),
        cds=(cds_start, cds_end),
        exons=exons,
    )


def _frames(columns: list[bytes], exons: list[Interval], where: str) -> dict[Interval, int]:
    """Return the frame of each exon, from cdsStartStat, cdsEndStat and exonFrames."""
    start_state, end_state, frames = columns[:3]
    _choice(start_state, _STATES, "cdsStartStat", where)
    _choice(end_state, _STATES, "cdsEndStat", where)
    frames = _list(frames, len(exons), "exonFrames", where)
    for frame in frames:
        _choice(frame, _FRAMES, "exonFrames", where)
    return dict(zip(exons, map(int, frames), strict=True))


def _bed12(columns: list[bytes], where: str) -> _Row:
    chromosome, start, end, name, _, strand, thick_start, thick_end, _, count = columns[:10]
    fields = ("chromStart", "chromEnd", "thickStart", "thickEnd", "blockCount")
    numbers = (start, end, thick_start, thick_end, count)
    first, last, cds_start, cds_end, count = map(_integer, numbers, fields, [where] * 5)
    blocks = _pairs(columns[10:12], ("blockSizes", "blockStarts"), count, where)
    return _Row(
        name=name,
        chromosome=chromosome,
        strand=strand,
        span=(first, last),
        cds=(cds_start, cds_end),
        exons=[(first + at, first + at + size) for size, at in blocks],
    )


def _pairs(
    columns: list[bytes], fields: tuple[str, str], count: int, where: str
) -> list[tuple[int, int]]:
    """Return two columns of lists, of `count` integers each, as pairs."""
    first, second = (
        [_integer(value, field, where) for value in _list(values, count, field, where)]
        for values, field in zip(columns, fields, strict=True)
    )
    return list(zip(first, second, strict=True))


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
        phase = _phase(exons if row.strand == b"+" else exons[::-1], row.cds, row.frames)
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
    """Return the parts of the exons that are CDS."""
    first, last = cds
    if first == last:
        return ()
    pieces = tuple((max(s, first), min(e, last)) for s, e in exons if s < last and e > first)
    if not pieces or (pieces[0][0], pieces[-1][1]) != cds:
        raise SkipTranscript("CDS leaves the exons")
    return pieces


def _phase(exons: Sequence[Interval], cds: Interval, frames: Mapping[Interval, int]) -> int:
    """Return the phase of the CDS by the frames of the exons, 5'→3'; 0 without a CDS."""
    phase, frame = None, 0
    for exon in exons:
        bases = min(exon[1], cds[1]) - max(exon[0], cds[0])
        given, wanted = frames[exon], -1
        if bases > 0:
            if phase is None:
                frame = max(given, 0)
                phase = -frame % 3
            wanted, frame = frame, (frame + bases) % 3
        if given != wanted:
            raise SkipTranscript("exonFrames are not those of the CDS")
    return phase or 0
