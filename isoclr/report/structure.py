"""What a transcript is made of, and what is odd about it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_builders.records import STOP_CODONS, Transcript

REGIONS = ("5'UTR", "CDS", "3'UTR")
_MOST_UNKNOWN = 0.05


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The parts of a transcript, in nt.

    Attributes:
        length: of the whole.
        regions: 5'UTR, CDS with its stop codon, 3'UTR; None without a CDS.
        exons: how many, None where that is not known.
        gc: share of G and C among the known bases; None where there is none.
    """

    length: int
    regions: tuple[int, int, int] | None
    exons: int | None
    gc: float | None


def structure_of(transcript: Transcript) -> Structure:
    """Return the parts of a transcript."""
    sequence, start, end = transcript.sequence, transcript.cds_start, transcript.cds_end
    counts = Counter(sequence)
    known = sum(counts[base] for base in "ACGT")
    junctions = transcript.exon_junctions
    return Structure(
        length=len(sequence),
        regions=None if start < 0 else (start, end - start, len(sequence) - end),
        exons=None if junctions is None else len(junctions) + 1,
        gc=(counts["G"] + counts["C"]) / known if known else None,
    )


def warnings_of(transcript: Transcript, longest: int | None) -> list[str]:
    """Say what makes an embedding or a prediction of a transcript less certain.

    Args:
        transcript: of any kind.
        longest: transcripts over this many nt were not trained on; None: not known.
    """
    sequence = transcript.sequence
    found = []
    if longest is not None and len(sequence) > longest:
        found.append(f"over {longest:,} nt, the longest that the model was trained on")
    if transcript.exon_junctions is None:
        found.append("exon structure unknown: read as one exon")
    if sequence.count("N") > _MOST_UNKNOWN * len(sequence):
        found.append(f"over {_MOST_UNKNOWN:.0%} of its bases are N")
    if transcript.cds_start < 0:
        return ["no CDS: all of it counts as 5'UTR", *found]
    return found + _faults_of_cds(sequence[transcript.cds_start : transcript.cds_end])


def _faults_of_cds(cds: str) -> list[str]:
    found = []
    if len(cds) % 3:
        found.append("the length of the CDS is no multiple of 3")
    if cds[:3] != "ATG":
        found.append("the CDS does not begin with ATG")
    codons = [cds[i : i + 3] for i in range(0, len(cds) - 2, 3)]
    if codons and codons[-1] not in STOP_CODONS:
        found.append("the CDS has no stop codon at its end")
    if STOP_CODONS & set(codons[:-1]):
        found.append("a stop codon inside the CDS")
    return found


def tally_warnings(warnings: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Return every warning with the number of transcripts that have it, most frequent first."""
    return Counter(text for of_one in warnings for text in of_one).most_common()
