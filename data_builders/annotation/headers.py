"""Headers of transcript FASTA files: the gene of a transcript, and GENCODE's CDS."""

import re
from dataclasses import dataclass

_GENCODE = re.compile(r"(ENS[A-Z]*T[^|]*)\|(ENS[A-Z]*G[^|]*)\|(.*)")
_CDS = re.compile(r"CDS:(\d+)-(\d+)")
# Ensembl writes gene:ID and gene_symbol:NAME; gffread and WormBase write gene=ID.
_GENE = re.compile(r"(?:^|\s)gene[:=]([^\s;]+)")
_SYMBOL = re.compile(r"(?:^|\s)gene_symbol:(\S+)")
_SYMBOL_FIELD = 3  # of GENCODE's after transcript and gene: two of Havana, name, symbol, length


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptHeader:
    """What the header of a transcript says.

    Attributes:
        transcript_id: the first word, or the first field of GENCODE's.
        gene_id: its gene, None where the header has none.
        symbol: that of the gene, None where the header has none.
        cds: start and end, 0-based and half-open, None where the header has none.
    """

    transcript_id: str
    gene_id: str | None = None
    symbol: str | None = None
    cds: tuple[int, int] | None = None


def read_header(name: str, description: str) -> TranscriptHeader:
    """Read the header of a transcript.

    Layouts: GENCODE (`ENST...|ENSG...|...|name|symbol|length|...|CDS:37-954|...`), Ensembl
    (`ENST... cdna ... gene:ENSG... gene_symbol:BRCA2`), gffread and WormBase (`T1 gene=G1`).

    Args:
        name: the first word.
        description: what follows it.
    """
    if gencode := _GENCODE.fullmatch(name):
        transcript, gene, rest = gencode.groups()
        fields = rest.split("|")
        cds = next((found for field in fields if (found := _CDS.fullmatch(field))), None)
        return TranscriptHeader(
            transcript_id=transcript,
            gene_id=gene,
            symbol=(fields[_SYMBOL_FIELD] if len(fields) > _SYMBOL_FIELD else "") or None,
            cds=(int(cds[1]) - 1, int(cds[2])) if cds else None,
        )
    gene, symbol = _GENE.search(description), _SYMBOL.search(description)
    return TranscriptHeader(
        transcript_id=name,
        gene_id=gene[1] if gene else None,
        symbol=symbol[1] if symbol else None,
    )
