"""Where on the genome transcripts come from: what every annotation reader returns."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from data_builders.text import Tally

Interval = tuple[int, int]
_FAR = float("inf")


class TranscriptModel(NamedTuple):
    """Where on the genome a transcript comes from.

    Coordinates are genomic, 0-based and half-open, whatever the strand.

    Attributes:
        transcript_id: as in the file.
        gene_id: as in the file.
        chromosome: as in the file.
        strand: "+" or "-".
        exons: ascending, not overlapping.
        cds: ascending, stop codon included, at most one piece an exon and no gap on the
            transcript; empty when there is none.
        phase: bases of the 5'-most CDS piece before its first full codon: 0, 1 or 2.
        line: the number of its first line.
        biotype: the transcript's biotype (GTF) or feature type (GFF3), if given.
    """

    transcript_id: str
    gene_id: str
    chromosome: str
    strand: str
    exons: tuple[Interval, ...]
    cds: tuple[Interval, ...]
    phase: int
    line: int
    biotype: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """The transcripts of an annotation file.

    Attributes:
        path: the file.
        transcripts: in the order of the file; those of a GTF are made as they are taken out.
        gene_symbols: gene_id -> symbol, where one is given.
        features: feature type -> lines; their sum is the file's feature lines.
        tally: transcripts read, and skipped by reason; kept are those in `transcripts`.
        gene_names: gene_id -> its ids in other databases (NCBI's GeneID, HGNC, MGI, ...) and, if
            details were asked for, those of its proteins.
        preferences: transcript_id -> what annotators prefer it as (`tags`), if details were asked
            for and there is something.
    """

    path: Path
    transcripts: Sequence[TranscriptModel]
    gene_symbols: Mapping[str, str]
    features: Counter[str]
    tally: Tally
    gene_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preferences: Mapping[str, Collection[str]] = field(default_factory=dict)


def transcript_genes(annotation: Annotation) -> Iterator[tuple[str, str]]:
    """Yield transcript_id and gene_id of each transcript, without making its exons."""
    transcripts = annotation.transcripts
    for transcript_id, gene_id, *_ in getattr(transcripts, "fields", transcripts):
        yield transcript_id, gene_id


class SkipTranscript(Exception):
    """Why a transcript is skipped."""


def ordered_exons(exons: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the exons of one transcript, ascending and without repeats.

    Raises:
        SkipTranscript: there is none, or two overlap.
    """
    ordered = tuple(sorted(exons))
    if not ordered:
        raise SkipTranscript("no exons")
    if overlap(ordered):  # as repeated ones do, which are rare
        ordered = tuple(sorted(set(ordered)))
        if overlap(ordered):
            raise SkipTranscript("exons overlap")
    return ordered


def overlap(ascending: Iterable[Interval]) -> bool:
    """Return whether any of some ascending intervals begins before the previous one ends."""
    last = 0
    for start, end in ascending:
        if start < last:
            return True
        last = end
    return False


def coding_pieces(exons: tuple[Interval, ...], pieces: Iterable[Interval]) -> tuple[Interval, ...]:
    """Join pieces of a CDS, its stop codon included, to one piece an exon.

    Args:
        exons: as `ordered_exons` returns them.
        pieces: ascending.

    Raises:
        SkipTranscript: they leave the exons, or are not one run on the transcript (a
            programmed frameshift).
    """
    joined: list[Interval] = []
    index, before = 0, -1  # of the exon that holds this piece, and the one before it
    for piece in pieces:
        start, end = piece
        while index < len(exons) and exons[index][1] <= start:
            index += 1
        if index == len(exons) or start < exons[index][0] or end > exons[index][1]:
            raise SkipTranscript("CDS leaves the exons")
        if index == before:
            first, last = joined[-1]
            if start > last:
                raise SkipTranscript("CDS not one run on the transcript")
            joined[-1] = first, max(last, end)
            continue
        exon = exons[index]
        if joined and (
            index != before + 1 or joined[-1][1] != exons[before][1] or start != exon[0]
        ):
            raise SkipTranscript("CDS not one run on the transcript")
        joined.append(exon if exon == piece else piece)  # one object for both
        before = index
    return tuple(joined)


def pieces_of_consecutive_exons(
    exons: tuple[Interval, ...], pieces: Sequence[Interval]
) -> tuple[Interval, ...] | None:
    """Do as `coding_pieces`, several times as fast, where each piece has one exon; else None."""
    first, last = pieces[0], pieces[-1]
    begin = bisect_right(exons, (first[0], _FAR)) - 1
    end = begin + len(pieces)
    if begin < 0 or end > len(exons) or last[1] > exons[end - 1][1]:
        return None
    held = list(exons[begin:end])
    if len(pieces) > 1 and (
        first[1] != held[0][1] or last[0] != held[-1][0] or pieces[1:-1] != held[1:-1]
    ):
        return None
    for at in (0, -1):
        if held[at] != pieces[at]:  # else one object for both
            held[at] = pieces[at]
    return tuple(held)
