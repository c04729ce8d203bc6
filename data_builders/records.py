"""The records of every builder: a transcript, an isoform group, and the error for bad input.

Coordinates are 0-based and half-open, on the spliced transcript, 5'→3'.
"""

from dataclasses import dataclass

AMBIGUOUS = "RYSWKMBDHV"
"""IUPAC's codes of several nucleotides, which are read as N."""

STOP_CODONS = frozenset({"TAA", "TAG", "TGA"})


class InputError(ValueError):
    """Input that cannot be used.

    Its message is one line that names the file (and line or record), what was found and what was
    expected. The command line prints it as it is and exits with status 2.
    """


@dataclass(frozen=True, slots=True)
class Transcript:
    """One spliced transcript.

    Attributes:
        transcript_id: unique within its species.
        gene_id: the gene it is spliced from.
        species: any text, the same for all transcripts of one genome.
        sequence: upper-case A C G T N, 5'→3'.
        cds_start: first base of the coding sequence, -1 when there is none.
        cds_end: one past the last base of the stop codon, -1 when there is none.
        exon_junctions: first base of every exon but the first, ascending; empty for one exon,
            None when the exon structure is unknown.
    """

    transcript_id: str
    gene_id: str
    species: str
    sequence: str
    cds_start: int = -1
    cds_end: int = -1
    exon_junctions: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class IsoformGroup:
    """Related transcripts: the isoforms of a gene, or those of homologous genes.

    Attributes:
        group_id: the homology group, else `species:gene_id`.
        transcripts: at least one, in the order of the input.
    """

    group_id: str
    transcripts: tuple[Transcript, ...]
