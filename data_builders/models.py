"""Where on the genome transcripts come from: what every annotation reader gives."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from data_builders.text import Tally

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TranscriptModel:
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
        line: the first line that speaks of the transcript's parts.
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


@dataclass(frozen=True, slots=True)
class Annotation:
    """The transcripts of an annotation file.

    Attributes:
        path: the file.
        transcripts: in the order of the file.
        gene_symbols: gene_id -> symbol, where one is given.
        features: feature type -> lines; their sum is the file's feature lines.
        tally: transcripts read, and skipped by reason; kept are those in `transcripts`.
    """

    path: Path
    transcripts: tuple[TranscriptModel, ...]
    gene_symbols: Mapping[str, str]
    features: Counter[str]
    tally: Tally


class Odd(Exception):
    """Why a transcript is skipped."""


def ordered_exons(exons: Iterable[Interval]) -> tuple[Interval, ...]:
    """Exons of one transcript, ascending, repeated ones once.

    Raises:
        Odd: there is none, or two overlap.
    """
    ordered = tuple(sorted(set(exons)))
    if not ordered:
        raise Odd("no exons")
    if any(start < end for (_, end), (start, _) in pairwise(ordered)):
        raise Odd("exons overlap")
    return ordered


def coding_pieces(exons: tuple[Interval, ...], pieces: Iterable[Interval]) -> tuple[Interval, ...]:
    """Joins pieces of a CDS, among them its stop codon, to one piece an exon.

    Args:
        exons: as `ordered_exons` returns them.
        pieces: ascending.

    Raises:
        Odd: they leave the exons, or are not one run on the transcript (a programmed frameshift).
    """
    joined: dict[int, Interval] = {}
    for start, end in pieces:
        exon = bisect_right(exons, start, key=itemgetter(0)) - 1
        if exon < 0 or end > exons[exon][1]:
            raise Odd("CDS leaves the exons")
        first, last = joined.get(exon, (start, start))
        if start > last:
            raise Odd("CDS not one run on the transcript")
        joined[exon] = first, max(last, end)
    for (exon, (_, end)), (after, (start, _)) in pairwise(joined.items()):
        if after != exon + 1 or end != exons[exon][1] or start != exons[after][0]:
            raise Odd("CDS not one run on the transcript")
    return tuple(joined.values())
