"""Isoform switches: which isoforms of a gene differ most, and by which of their regions.

A pair of isoforms is compared by chimeras. A chimera is the first isoform with one region (5'UTR,
CDS or 3'UTR, with the exon junctions in it) taken from the second. How far it lies from the first
isoform says what that region alone changes.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_builders.records import Transcript
from isoclr.report.structure import REGIONS, structure_of


@dataclass(frozen=True, kw_only=True)
class Switch:
    """The two isoforms of a gene that differ most.

    Attributes:
        gene_id: of both.
        isoforms: of the gene among the transcripts.
        first: row of one isoform.
        second: row of the other.
        distance: of their embeddings, 1 - cosine.
        by_region: distance from the first isoform to its chimera, by region; of regions that differ
            alone. None where one of the two has no CDS.
    """

    gene_id: str
    isoforms: int
    first: int
    second: int
    distance: float
    by_region: dict[str, float] | None

    @property
    def region(self) -> str | None:
        """The region that alone moves the embedding most; None where that is not known."""
        return max(self.by_region, key=self.by_region.__getitem__) if self.by_region else None


def find_switches(
    transcripts: Sequence[Transcript],
    embeddings: np.ndarray,
    embed: Callable[[Sequence[Transcript]], np.ndarray],
    most: int = 50,
) -> list[Switch]:
    """Return the pair of isoforms that differs most, of each gene that has several.

    Args:
        transcripts: n of them.
        embeddings: (n, width).
        embed: of other transcripts, for chimeras: m of them to (m, width).
        most: genes, those whose pair differs most.

    Returns:
        Most different first; no gene whose isoforms all have one embedding.
    """
    rows_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, transcript in enumerate(transcripts):
        rows_of[transcript.species, transcript.gene_id].append(row)
    unit = unit_rows(embeddings)
    found = []
    for (_, gene_id), rows in rows_of.items():
        apart = 1 - unit[rows] @ unit[rows].T
        first, second = np.unravel_index(np.argmax(np.triu(apart, 1)), apart.shape)
        if apart[first, second] > 0 and not np.array_equal(
            embeddings[rows[first]], embeddings[rows[second]]
        ):
            pair = rows[first], rows[second]
            found.append((float(apart[first, second]), gene_id, len(rows), *pair))
    found.sort(key=lambda switch: -switch[0])
    return _with_regions(found[:most], transcripts, unit, embed)


def _with_regions(found, transcripts, unit, embed) -> list[Switch]:
    chimeras, of_pair = [], []
    for _, _, _, first, second in found:
        made = _chimeras(transcripts[first], transcripts[second])
        of_pair.append(list(made or ()))
        chimeras += (made or {}).values()
    made = iter(unit_rows(embed(chimeras)) if chimeras else ())
    switches = []
    for (distance, gene_id, isoforms, first, second), regions in zip(found, of_pair, strict=True):
        known = min(transcripts[first].cds_start, transcripts[second].cds_start) >= 0
        moved = {region: float(max(0.0, 1 - next(made) @ unit[first])) for region in regions}
        switches.append(
            Switch(
                gene_id=gene_id,
                isoforms=isoforms,
                first=first,
                second=second,
                distance=distance,
                by_region=moved if known else None,
            )
        )
    return switches


def _chimeras(first: Transcript, second: Transcript) -> dict[str, Transcript] | None:
    """The first isoform with each region that differs taken from the second."""
    if min(first.cds_start, second.cds_start) < 0:
        return None
    own, other = _pieces(first), _pieces(second)
    unlike = [i for i in range(len(REGIONS)) if own[i] != other[i]]
    return {REGIONS[i]: _joined(first, [*own[:i], other[i], *own[i + 1 :]]) for i in unlike}


def _pieces(transcript: Transcript) -> list[tuple[str, tuple[int, ...] | None]]:
    """Sequence of each region, and the exon junctions in it, counted from its start."""
    pieces, start = [], 0
    for size in structure_of(transcript).regions or ():
        end = start + size
        junctions = transcript.exon_junctions
        if junctions is not None:
            junctions = tuple(j - start for j in junctions if start <= j < end)
        pieces.append((transcript.sequence[start:end], junctions))
        start = end
    return pieces


def _joined(like: Transcript, pieces: Sequence[tuple[str, tuple[int, ...] | None]]) -> Transcript:
    sequence, junctions = "", []
    known = all(of_piece is not None for _, of_piece in pieces)
    for letters, of_piece in pieces:
        # A region may begin at a junction; the first base of a transcript is none.
        junctions += [len(sequence) + j for j in of_piece or () if len(sequence) + j > 0]
        sequence += letters
    start = len(pieces[0][0])
    return replace(
        like,
        sequence=sequence,
        cds_start=start,
        cds_end=start + len(pieces[1][0]),
        exon_junctions=tuple(junctions) if known else None,
    )


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Return rows of length 1, float64 (n, width); a row of zeros stays."""
    rows = np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)
