"""Transcript models to GTF and BED12, which `read_annotation` reads back.

Formats: https://genome.ucsc.edu/FAQ/FAQformat.html#format1 (BED),
https://www.ensembl.org/info/website/upload/gff.html (GTF).
"""

import gzip
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from data_builders.annotation.models import Interval, TranscriptModel
from data_builders.records import InputError
from data_builders.storage import check_ending

GTF, BED12 = "gtf", "bed"
ENDINGS = {".gtf": GTF, ".bed": BED12}
"""Of files that are written, before .gz or last: the format."""

_HEAD = "# CDS lines include the stop codon, where the transcript has one\n"
_UNWRITABLE = re.compile(r'["\\\x00-\x1f\x7f]')  # ends a value or a column


def format_of(path: str | os.PathLike) -> str:
    """Return the format that a file's name asks for: `GTF` or `BED12`.

    Raises:
        InputError: it asks for neither.
    """
    check_ending(path, *ENDINGS, *(f"{ending}.gz" for ending in ENDINGS))
    return ENDINGS[Path(str(path).lower().removesuffix(".gz")).suffix]


def write_annotation(
    path: str | os.PathLike,
    models: Iterable[TranscriptModel],
    symbols: Mapping[str, str] | None = None,
) -> None:
    """Write transcripts as GTF or BED12, by the ending of the name; gzipped where that is .gz.

    What is read back equals the models, but for their line numbers; BED12 has no gene, no phase, no
    biotype and no symbol. In a GTF the CDS includes the stop codon, as in a `TranscriptModel`: the
    annotation alone does not say whether its last codon is one.

    Args:
        path: of the file, which is replaced once all of it is written.
        models: in the order of the file.
        symbols: gene_id -> symbol, for a GTF.

    Raises:
        InputError: as `format_of`, or a name that no line can have.
    """
    is_gtf = format_of(path) == GTF
    lines = _gtf_lines(models, symbols or {}) if is_gtf else map(bed12_line, models)
    partial = Path(f"{path}.partial")
    try:
        with open(partial, "wb") as file:
            # A fixed time and no name: the same transcripts make the same bytes.
            is_packed = str(path).lower().endswith(".gz")
            out = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if is_packed else file
            with out:
                out.writelines(line.encode() for line in lines)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _gtf_lines(models: Iterable[TranscriptModel], symbols: Mapping[str, str]) -> Iterator[str]:
    yield _HEAD
    for model in models:
        yield from gtf_lines(model, symbols.get(model.gene_id))


def gtf_lines(model: TranscriptModel, symbol: str | None = None) -> Iterator[str]:
    """Yield the lines of a transcript: itself, its exons 5'→3', its CDS with the stop codon.

    Args:
        model: of the transcript.
        symbol: of its gene.

    Raises:
        InputError: a name with a quote, a backslash or a control character.
    """
    named = {"gene_id": model.gene_id, "transcript_id": model.transcript_id}
    named |= {"gene_name": symbol, "transcript_biotype": model.biotype}
    attributes = " ".join(
        f'{name} "{_checked(value, name, model)}";' for name, value in named.items() if value
    )
    chromosome = _checked(model.chromosome, "chromosome", model)

    def line(kind: str, interval: Interval, phase: int | str = ".") -> str:
        start, end = interval
        columns = (chromosome, "isoclr", kind, start + 1, end, ".", model.strand, phase)
        return "\t".join(map(str, (*columns, attributes))) + "\n"

    in_order = slice(None, None, 1 if model.strand == "+" else -1)
    yield line("transcript", (model.exons[0][0], model.exons[-1][1]))
    for exon in model.exons[in_order]:
        yield line("exon", exon)
    phase = model.phase
    for start, end in model.cds[in_order]:
        yield line("CDS", (start, end), phase)
        phase = (phase - (end - start)) % 3


def bed12_line(model: TranscriptModel) -> str:
    """Return the line of a transcript, thick from the first to the last base of its CDS.

    Raises:
        InputError: a name with a quote, a backslash or a control character.
    """
    start, end = model.exons[0][0], model.exons[-1][1]
    thick = (model.cds[0][0], model.cds[-1][1]) if model.cds else (start, start)
    sizes = ",".join(str(last - first) for first, last in model.exons)
    starts = ",".join(str(first - start) for first, _ in model.exons)
    name = _checked(model.transcript_id, "transcript_id", model)
    chromosome = _checked(model.chromosome, "chromosome", model)
    columns = (chromosome, start, end, name, 0, model.strand, *thick, 0)
    return "\t".join(map(str, (*columns, len(model.exons), sizes, starts))) + "\n"


def _checked(value: str, field: str, model: TranscriptModel) -> str:
    if _UNWRITABLE.search(value):
        raise InputError(
            f"{model.transcript_id!r}: {field}: got {value!r}, wanted a name without quotes, "
            "backslashes and control characters to write"
        )
    return value
