"""A transcript of a GTF or GFF3 while its lines come in, and the model that they make."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from data_builders.annotation.features import NO_PHASE, Line
from data_builders.annotation.models import (
    Interval,
    SkipTranscript,
    TranscriptModel,
    coding_pieces,
    ordered_exons,
    overlap,
    pieces_in_a_row,
)
from data_builders.annotation.runs import CDS, EXON, PART_KINDS, STOP, Runs
from data_builders.records import InputError
from data_builders.text import Tally

_LONGEST_SLIP = 2  # nt that a ribosome skips in a programmed frameshift; no intron is as short
_TRANS_SPLICING = b"trans-splicing"

Run = tuple[Runs, int]
"""Runs of lines, and the number of one."""


@dataclass(slots=True)
class Parts:
    """Intervals in the order of the file.

    Attributes:
        exons, stops: all of them.
        cds: interval -> phase.
        utrs: only as long as there are no exons, which make them redundant.
    """

    exons: list[Interval] = field(default_factory=list)
    cds: dict[Interval, int] = field(default_factory=dict)
    stops: list[Interval] = field(default_factory=list)
    utrs: list[Interval] = field(default_factory=list)

    def add(self, sort: int, interval: Interval, phase: int) -> bool:
        """Takes in EXON, CDS, STOP or UTR; False for a CDS that came in with another phase."""
        if sort == EXON:
            self.exons.append(interval)
        elif sort == CDS:
            return self.cds.setdefault(interval, phase) == phase
        elif sort == STOP:
            self.stops.append(interval)
        elif not self.exons:
            self.utrs.append(interval)
        return True


@dataclass(slots=True)
class Draft:
    """A transcript while its lines come in; still in the bytes of the file.

    Attributes:
        line: the first that speaks of it.
        gene: its gene_id.
        biotype: its biotype or feature type.
        definitions: lines that are the transcript itself.
        chromosome, strand: of its first part.
        skip_reason: why it will be skipped.
        parts: what came in, unless it is all in `run`.
        run: a regular run of lines, and its number, which has all the parts.
        renamed: whether a prefix was taken off its ID or its gene's.
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
    renamed: bool = False


def trans_spliced(attributes: bytes) -> bool:
    """Whether the annotators say so; exons of such a transcript may be on one strand or two."""
    return _TRANS_SPLICING in attributes


def missing(name: str, kind: bytes, path: str | os.PathLike, number: int) -> NoReturn:
    """Raises the error for a line of a type that needs an attribute and has none."""
    raise InputError(
        f"{path}:{number}: {name}: got none, wanted one on a line of type '{kind.decode()}'"
    )


def add_run(draft: Draft, chromosome: bytes, strand: str, run: Run, *, regular: bool) -> None:
    """As `add_part`, the parts of a run; kept as it is where it is regular and the first.

    Args:
        draft: the transcript.
        chromosome: of all the parts.
        strand: of all the parts.
        run: which.
        regular: as `Runs.regular` says.
    """
    if regular and draft.chromosome is None:
        draft.chromosome, draft.strand, draft.run = chromosome, strand, run
        return
    runs, number = run
    for part in runs.parts(number):
        _add(draft, chromosome, strand, *part)


def add_part(draft: Draft, line: Line) -> None:
    """Adds an exon, a piece of CDS, a stop codon or a UTR."""
    _, kind, chromosome, strand, interval, phase, _ = line
    _add(draft, chromosome, strand, PART_KINDS[kind], interval, phase)


def _add(
    draft: Draft, chromosome: bytes, strand: str, sort: int, interval: Interval, phase: int
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
    if not draft.parts.add(sort, interval, phase):
        draft.skip_reason = draft.skip_reason or "CDS with two phases"


def _parts_of(run: Run) -> Parts:
    """Those of a regular run, which has exons, so that its UTRs are redundant."""
    runs, number = run
    parts = runs.parts(number)
    return Parts(
        exons=[interval for sort, interval, _ in parts if sort == EXON],
        cds={interval: phase for sort, interval, phase in parts if sort == CDS},
        stops=[interval for sort, interval, _ in parts if sort == STOP],
    )


def build_model(
    transcript_id: str, draft: Draft, text: Callable[[bytes, int], str], tally: Tally
) -> TranscriptModel:
    """The model of a transcript whose lines are all read; of a regular run without exons and CDS.

    Args:
        transcript_id: of the model.
        draft: with its gene.
        text: decodes what the file has, given with the line.
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
    exons, cds, phase = (), (), 0
    if not draft.run:
        parts = draft.parts or Parts()
        exons, cds, phase = _spliced(parts, draft.strand)
        if phase == NO_PHASE:
            tally.adjusted["CDS without a phase read as in frame"] += 1
            phase = 0
        if parts.stops and not parts.cds:
            tally.adjusted["stop codon without a CDS not used"] += 1
        if not parts.exons:
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


class Models(Sequence[TranscriptModel]):
    """Models as a tuple has them; exons and CDS of regular runs are put in as one is taken out.

    Args:
        models: what `build_model` returned.
        runs: the run of each that still lacks exons and CDS, None for the others.
    """

    def __init__(self, models: Sequence[TranscriptModel], runs: Sequence[Run | None]):
        self._models, self._runs = models, runs

    def __len__(self) -> int:
        return len(self._models)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(_whole, self._models[index], self._runs[index]))
        return _whole(self._models[index], self._runs[index])

    def __iter__(self) -> Iterator[TranscriptModel]:
        return map(_whole, self._models, self._runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, Models)) and tuple(self) == tuple(other)


def _whole(model: TranscriptModel, run: Run | None) -> TranscriptModel:
    if run is None:
        return model
    exons, cds, phase = _spliced(_parts_of(run), model.strand)
    return model._replace(exons=exons, cds=cds, phase=phase)


def _spliced(
    parts: Parts, strand: str | None
) -> tuple[tuple[Interval, ...], tuple[Interval, ...], int]:
    """Exons, CDS and its phase."""
    exons = ordered_exons(parts.exons or _exons_of_cds(parts))
    if strand not in ("+", "-"):
        raise SkipTranscript("strand unknown")
    return exons, *(_coding(exons, parts, strand) if parts.cds else ((), 0))


def _exons_of_cds(parts: Parts) -> Iterator[Interval]:
    """CDS, stop codon and UTR, joined where no intron is between them; none without a CDS."""
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
    """The CDS with its stop codon, one piece an exon, and its phase."""
    pieces = sorted(parts.cds)
    phase, begin = parts.cds[pieces[0 if strand == "+" else -1]], _begin(pieces, strand)
    cds = pieces_in_a_row(exons, _with_stop(pieces, parts.stops, strand))
    if cds is None:
        if overlap(pieces):
            raise SkipTranscript("CDS not one run on the transcript")
        cds = coding_pieces(exons, sorted({*pieces, *parts.stops}))
    if _begin(cds, strand) != begin:
        raise SkipTranscript("stop codon before the CDS")
    return cds, phase


def _with_stop(pieces: list[Interval], stops: list[Interval], strand: str) -> list[Interval]:
    """Pieces of CDS, ascending, and stop codons, one that follows the CDS joined to it."""
    if len(stops) == 1:
        (start, end), (first, last) = stops[0], (pieces[0], pieces[-1])
        if strand == "+" and start == last[1]:
            return [*pieces[:-1], (last[0], end)]
        if strand == "-" and end == first[0]:
            return [(start, first[1]), *pieces[1:]]
    return [*pieces, *stops]


def _begin(ascending: Sequence[Interval], strand: str) -> int:
    return ascending[0][0] if strand == "+" else ascending[-1][1]
