"""A transcript of a GTF or GFF3 while its lines come in, and the model that they make."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, overload

from data_builders.annotation.features import NO_PHASE, Line
from data_builders.annotation.models import (
    Interval,
    SkipTranscript,
    TranscriptModel,
    coding_pieces,
    ordered_exons,
    overlap,
    pieces_of_consecutive_exons,
)
from data_builders.annotation.runs import CDS, EXON, PART_KINDS, STOP, Runs
from data_builders.records import InputError
from data_builders.text import Tally

_LONGEST_SLIP = 2  # nt that a ribosome skips in a programmed frameshift; no intron is as short

Run = tuple[Runs, int]
"""Runs of lines, and the number of one of them."""

Structure = tuple[tuple[Interval, ...], tuple[Interval, ...], int]
"""Exons, CDS and the phase of the CDS, as a `TranscriptModel` has them."""

Fields = tuple[str, str, str, str, Structure | Run, int, str | None]
"""Those of a `TranscriptModel`: both ids, chromosome, strand, structure, line and biotype.

A structure that a regular run has is made when the model is asked for.
"""


@dataclass(slots=True)
class Parts:
    """The parts of one transcript, in the order of the file.

    Attributes:
        exons, stops: all of them.
        cds: interval -> phase.
        utrs: only where no exon came before them, as exons make UTRs redundant.
    """

    exons: list[Interval] = field(default_factory=list)
    cds: dict[Interval, int] = field(default_factory=dict)
    stops: list[Interval] = field(default_factory=list)
    utrs: list[Interval] = field(default_factory=list)

    def add(self, kind: int, interval: Interval, phase: int) -> bool:
        """Add an EXON, CDS, STOP or UTR; return False for a CDS that is there in another phase."""
        if kind == EXON:
            self.exons.append(interval)
        elif kind == CDS:
            return self.cds.setdefault(interval, phase) == phase
        elif kind == STOP:
            self.stops.append(interval)
        elif not self.exons:
            self.utrs.append(interval)
        return True


@dataclass(slots=True)
class Draft:
    """A transcript while its lines are read; names are still the bytes of the file.

    Attributes:
        line: the number of its first line.
        gene: its gene_id.
        biotype: its biotype or feature type.
        definitions: how many lines define the transcript itself.
        chromosome, strand: of its first part.
        skip_reason: why it will be skipped.
        parts: its parts, unless all of them are in `run`.
        run: a regular run of lines, and its number, which has all the parts.
        changes: what was changed to read it, each counted as adjusted.
    """

    line: int
    gene: bytes | None = None
    biotype: bytes | None = None
    definitions: int = 0
    chromosome: bytes | None = None
    strand: str | None = None
    skip_reason: str | None = None
    parts: Parts | None = None
    run: Run | None = None
    changes: tuple[str, ...] = ()

    @property
    def exons(self) -> list[Interval]:
        """The exons of a draft whose parts are not in a run."""
        return self.parts.exons if self.parts else []

    @property
    def cds(self) -> dict[Interval, int]:
        """The CDS of a draft whose parts are not in a run."""
        return self.parts.cds if self.parts else {}


@dataclass(slots=True, kw_only=True)
class Drafts:
    """What the lines of a file say; names are still the bytes of the file.

    Attributes:
        transcripts: transcript id -> transcript, in the order of the file.
        symbols: gene id -> symbol.
        gene_names: gene id -> its ids in other databases, and of its proteins if they were asked
            for, as a set in order.
        preferences: transcript id -> what annotators prefer it as, if that was asked for.
    """

    transcripts: dict[bytes, Draft] = field(default_factory=dict)
    symbols: dict[bytes, bytes] = field(default_factory=dict)
    gene_names: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    preferences: dict[bytes, set[str]] = field(default_factory=dict)


def missing(name: str, kind: bytes, path: str | os.PathLike, number: int) -> NoReturn:
    """Raise the error for a line of a type that needs an attribute and has none."""
    raise InputError(
        f"{path}:{number}: {name}: got none, wanted one on a line of type '{kind.decode()}'"
    )


def add_run(draft: Draft, chromosome: bytes, strand: str, run: Run, *, regular: bool) -> None:
    """Add the parts of a run; a regular run is kept as it is where the draft has no other part.

    Args:
        draft: the transcript.
        chromosome: of all the parts.
        strand: of all the parts.
        run: the run that has them.
        regular: what `Runs.regular` returned for it.
    """
    if regular and draft.chromosome is None:
        draft.chromosome, draft.strand, draft.run = chromosome, strand, run
        return
    runs, number = run
    for part in runs.parts(number):
        _add(draft, chromosome, strand, *part)


def add_part(draft: Draft, line: Line) -> None:
    """Add an exon, a piece of CDS, a stop codon or a UTR."""
    _, kind, chromosome, strand, interval, phase, _ = line
    _add(draft, chromosome, strand, PART_KINDS[kind], interval, phase)


def _add(
    draft: Draft, chromosome: bytes, strand: str, kind: int, interval: Interval, phase: int
) -> None:
    if draft.parts is None:
        draft.parts = _parts_of(draft.run) if draft.run else Parts()
        draft.run = None
    if chromosome != draft.chromosome or strand != draft.strand:
        if draft.chromosome is None:
            draft.chromosome, draft.strand = chromosome, strand
        elif draft.skip_reason is None:
            where = "strands" if draft.chromosome == chromosome else "chromosomes"
            draft.skip_reason = f"exons on two {where}"
    if not draft.parts.add(kind, interval, phase):
        draft.skip_reason = draft.skip_reason or "CDS with two phases"


def _parts_of(run: Run) -> Parts:
    """Return the parts of a regular run, which has exons, so that its UTRs are redundant."""
    runs, number = run
    parts = Parts()
    for kind, interval, phase in runs.parts(number):
        if kind == EXON:
            parts.exons.append(interval)
        elif kind == CDS:
            parts.cds[interval] = phase
        elif kind == STOP:
            parts.stops.append(interval)
    return parts


def model_fields(
    transcript_id: str, draft: Draft, texts: Mapping[bytes, str], tally: Tally
) -> Fields:
    """Return what the model of a transcript is made of.

    Args:
        transcript_id: of the model.
        draft: all lines of the transcript, and its gene.
        texts: the names of the file -> the same as text.
        tally: where changes to the transcript are counted.

    Raises:
        SkipTranscript: the transcript cannot be kept.
    """
    if draft.gene is None:
        raise SkipTranscript("transcript feature absent")
    if draft.skip_reason:
        raise SkipTranscript(draft.skip_reason)
    if draft.definitions > 1:
        raise SkipTranscript("transcript defined twice")
    structure = draft.run
    if structure is None:
        parts = draft.parts or Parts()
        exons, cds, phase = _spliced(parts, draft.strand)
        if phase == NO_PHASE:
            tally.adjusted["CDS without a phase read as in frame"] += 1
            phase = 0
        if parts.stops and not parts.cds:
            tally.adjusted["stop codon without a CDS not used"] += 1
        if not parts.exons:
            tally.adjusted["exons taken from CDS and UTR"] += 1
        structure = exons, cds, phase
    for change in draft.changes:
        tally.adjusted[change] += 1
    gene_id, chromosome = texts[draft.gene], texts[draft.chromosome or b""]
    biotype = texts[draft.biotype] if draft.biotype else None
    return transcript_id, gene_id, chromosome, draft.strand or "", structure, draft.line, biotype


class Models(Sequence[TranscriptModel]):
    """A sequence of models, each made when it is taken out.

    Attributes:
        fields: what `model_fields` returned for each.
    """

    def __init__(self, fields: Sequence[Fields]):
        self.fields = fields

    def __len__(self) -> int:
        return len(self.fields)

    @overload
    def __getitem__(self, index: int) -> TranscriptModel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TranscriptModel, ...]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(_model, self.fields[index]))
        return _model(self.fields[index])

    def __iter__(self) -> Iterator[TranscriptModel]:
        return map(_model, self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, Models)) and tuple(self) == tuple(other)


def _model(fields: Fields) -> TranscriptModel:
    transcript_id, gene_id, chromosome, strand, structure, line, biotype = fields
    if len(structure) == 2:
        structure = _spliced(_parts_of(structure), strand)
    exons, cds, phase = structure
    return TranscriptModel(
        transcript_id=transcript_id,
        gene_id=gene_id,
        chromosome=chromosome,
        strand=strand,
        exons=exons,
        cds=cds,
        phase=phase,
        line=line,
        biotype=biotype,
    )


def _spliced(parts: Parts, strand: str | None) -> Structure:
    exons = ordered_exons(parts.exons or _exons_of_cds(parts))
    if strand not in ("+", "-"):
        raise SkipTranscript("strand unknown")
    cds, phase = _coding(exons, parts, strand) if parts.cds else ((), 0)
    return exons, cds, phase


def _exons_of_cds(parts: Parts) -> Iterator[Interval]:
    """Yield CDS, stop codon and UTR, joined where no intron is between them; none without CDS."""
    pieces = sorted({*parts.cds, *parts.stops, *parts.utrs}) if parts.cds else ()
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


def _coding(
    exons: tuple[Interval, ...], parts: Parts, strand: str
) -> tuple[tuple[Interval, ...], int]:
    """Return the CDS with its stop codon, one piece an exon, and its phase."""
    pieces = sorted(parts.cds)
    phase, begin = parts.cds[pieces[0 if strand == "+" else -1]], _begin(pieces, strand)
    cds = pieces_of_consecutive_exons(exons, _with_stop(pieces, parts.stops, strand))
    if cds is None:
        if overlap(pieces):
            raise SkipTranscript("CDS not one run on the transcript")
        cds = coding_pieces(exons, sorted({*pieces, *parts.stops}))
    if _begin(cds, strand) != begin:
        raise SkipTranscript("stop codon before the CDS")
    return cds, phase


def _with_stop(pieces: list[Interval], stops: list[Interval], strand: str) -> list[Interval]:
    """Return CDS and stop codons; one stop codon that follows the CDS is joined to it."""
    if len(stops) == 1:
        (start, end), (first, last) = stops[0], (pieces[0], pieces[-1])
        if strand == "+" and start == last[1]:
            return [*pieces[:-1], (last[0], end)]
        if strand == "-" and end == first[0]:
            return [(start, first[1]), *pieces[1:]]
    return [*pieces, *stops]


def _begin(ascending: Sequence[Interval], strand: str) -> int:
    return ascending[0][0] if strand == "+" else ascending[-1][1]
