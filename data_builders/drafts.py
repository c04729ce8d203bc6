"""A transcript of a GTF or GFF3 while its lines come in, and the model that they make."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from data_builders.features import EXONS, NO_PHASE, Line
from data_builders.models import (
    Interval,
    Odd,
    TranscriptModel,
    coding_pieces,
    ordered_exons,
    overlap,
    pieces_in_a_row,
)
from data_builders.records import InputError
from data_builders.text import Tally

_LONGEST_SLIP = 2  # nt that a ribosome skips in a programmed frameshift; no intron is as short
_TRANS_SPLICING = b"trans-splicing"


@dataclass(slots=True)
class Draft:
    """A transcript while its lines come in; still in the bytes of the file.

    Attributes:
        line: the first that speaks of it.
        gene: its gene_id.
        biotype: its biotype or feature type.
        definitions: lines that are the transcript itself.
        chromosome, strand: of its first part.
        oddity: why it will be skipped.
        exons, stops, utrs: intervals, in the order of the file; `utrs` only as long as there are
            no exons, which make them redundant.
        cds: interval -> phase.
        renamed: whether a prefix was taken off its ID or its gene's.
    """

    line: int
    gene: bytes | None = None
    biotype: bytes | None = None
    definitions: int = 0
    chromosome: bytes | None = None
    strand: str | None = None
    oddity: str | None = None
    exons: list[Interval] = field(default_factory=list)
    cds: dict[Interval, int] = field(default_factory=dict)
    stops: list[Interval] = field(default_factory=list)
    utrs: list[Interval] = field(default_factory=list)
    renamed: bool = False


def trans_spliced(attributes: bytes) -> bool:
    """Whether the annotators say so; exons of such a transcript may be on one strand or two."""
    return _TRANS_SPLICING in attributes


def missing(name: str, kind: bytes, path: str | os.PathLike, number: int) -> NoReturn:
    """Raises the error for a line of a type that needs an attribute and has none."""
    raise InputError(
        f"{path}:{number}: {name}: got none, wanted one on a line of type '{kind.decode()}'"
    )


def add_parts(
    draft: Draft,
    chromosome: bytes,
    strand: str,
    exons: list[Interval],
    cds: list[Interval],
    phases: list[int],
    stops: list[Interval],
    utrs: list[Interval],
) -> None:
    """As `add_part`, parts of one chromosome and strand."""
    _place(draft, chromosome, strand)
    draft.exons += exons
    draft.stops += stops
    if not draft.exons:
        draft.utrs += utrs
    for interval, phase in zip(cds, phases, strict=True):
        if draft.cds.setdefault(interval, phase) != phase:
            draft.oddity = draft.oddity or "CDS with two phases"


def _place(draft: Draft, chromosome: bytes, strand: str) -> None:
    if chromosome != draft.chromosome or strand != draft.strand:
        if draft.chromosome is None:
            draft.chromosome, draft.strand = chromosome, strand
        elif draft.oddity is None:
            where = "strands" if draft.chromosome == chromosome else "chromosomes"
            draft.oddity = f"exons on two {where}"


def add_part(draft: Draft, line: Line) -> None:
    """Adds an exon, a piece of CDS, a stop codon or a UTR."""
    _, kind, chromosome, strand, interval, phase, _ = line
    _place(draft, chromosome, strand)
    if kind in EXONS:
        draft.exons.append(interval)
    elif kind == b"CDS":
        if draft.cds.setdefault(interval, phase) != phase:
            draft.oddity = draft.oddity or "CDS with two phases"
    elif kind == b"stop_codon":
        draft.stops.append(interval)
    elif not draft.exons:
        draft.utrs.append(interval)


def build_model(
    transcript_id: str, draft: Draft, text: Callable[[bytes, int], str], tally: Tally
) -> TranscriptModel:
    """The model of a transcript whose lines are all read.

    Args:
        transcript_id: of the model.
        draft: with its gene.
        text: decodes what the file has, given with the line.
        tally: where changes to the transcript are counted.

    Raises:
        Odd: the transcript cannot be kept.
    """
    if draft.gene is None:
        raise Odd("transcript feature absent")
    if draft.oddity:
        raise Odd(draft.oddity)
    if draft.definitions > 1:
        raise Odd("transcript defined twice")
    exons = ordered_exons(draft.exons or _exons_of_cds(draft))
    if draft.strand not in ("+", "-"):
        raise Odd("strand unknown")
    cds, phase = _coding(exons, draft) if draft.cds else ((), 0)
    if phase == NO_PHASE:
        tally.adjusted["CDS without a phase read as in frame"] += 1
        phase = 0
    if draft.stops and not draft.cds:
        tally.adjusted["stop codon without a CDS not used"] += 1
    if not draft.exons:
        tally.adjusted["exons taken from CDS and UTR"] += 1
    if draft.renamed:
        tally.adjusted["prefix taken off the ID"] += 1
    return TranscriptModel(
        transcript_id=transcript_id,
        gene_id=text(draft.gene, draft.line),
        chromosome=text(draft.chromosome, draft.line),
        strand=draft.strand,
        exons=exons,
        cds=cds,
        phase=phase,
        line=draft.line,
        biotype=draft.biotype and text(draft.biotype, draft.line),
    )


def _exons_of_cds(draft: Draft) -> Iterator[Interval]:
    """CDS, stop codon and UTR, joined where no intron is between them; none without a CDS."""
    pieces = sorted({*draft.cds, *draft.stops, *draft.utrs}) if draft.cds else ()
    exon = None
    for start, end in pieces:
        if exon and start <= exon[1] + _LONGEST_SLIP:
            exon = exon[0], max(exon[1], end)
            continue
        if exon:
            yield exon
        exon = start, end
    if exon:
        yield exon


def _coding(exons: tuple[Interval, ...], draft: Draft) -> tuple[tuple[Interval, ...], int]:
    """The CDS with its stop codon, one piece an exon, and its phase."""
    pieces = sorted(draft.cds)
    phase, begin = draft.cds[pieces[0 if draft.strand == "+" else -1]], _begin(pieces, draft)
    cds = pieces_in_a_row(exons, _with_stop(pieces, draft))
    if cds is None:
        if overlap(pieces):
            raise Odd("CDS not one run on the transcript")
        cds = coding_pieces(exons, sorted({*pieces, *draft.stops}))
    if _begin(cds, draft) != begin:
        raise Odd("stop codon before the CDS")
    return cds, phase


def _with_stop(pieces: list[Interval], draft: Draft) -> list[Interval]:
    """Pieces of CDS, ascending, and stop codons, one that follows the CDS joined to it."""
    if len(draft.stops) == 1:
        (start, end), (first, last) = draft.stops[0], (pieces[0], pieces[-1])
        if draft.strand == "+" and start == last[1]:
            return [*pieces[:-1], (last[0], end)]
        if draft.strand == "-" and end == first[0]:
            return [(start, first[1]), *pieces[1:]]
    return [*pieces, *draft.stops]


def _begin(ascending: Sequence[Interval], draft: Draft) -> int:
    return ascending[0][0] if draft.strand == "+" else ascending[-1][1]
