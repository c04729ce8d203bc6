"""isoclr select: chosen transcripts of an annotation as GTF or BED12."""

from typing import Annotated, Literal

import typer

from data_builders.records import InputError
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed, reason_lines, reasons


def select(
    annotation: Annotated[str, typer.Argument(help="GTF, GFF3, genePred or BED12, plain or gzip")],
    output: Annotated[
        str,
        Option(metavar="FILE", help=".gtf or .bed (BED12), plain or .gz"),
        (".gtf", ".bed", ".gtf.gz", ".bed.gz"),
    ],
    ids: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="transcripts: an id a line, or a table with transcript_id (Parquet, TSV, CSV)",
        ),
    ] = None,
    column: Annotated[
        str | None,
        Option(metavar="NAME", help="of the table; 'neighbour' of what isoclr neighbours wrote"),
    ] = None,
    transcript: Annotated[
        list[str] | None, Option(metavar="ID", help="a transcript; repeat it for several")
    ] = None,
    select: Annotated[
        Literal["mane", "appris", "longest"] | None,
        Option(
            help="one transcript a gene, of those: that which annotators prefer (MANE Select, "
            "APPRIS principal), else that with the longest CDS"
        ),
    ] = None,
    strict: Annotated[
        bool, Option("--strict", help="a skipped record, or an id not there, is an error")
    ] = False,
) -> Printed:
    """Write chosen transcripts of an annotation as GTF or BED12.

    Example:
    isoclr select genes.gtf.gz --select mane --output mane.gtf
    isoclr select genes.gff3.gz --transcript T1 --transcript T2 --output two.bed
    isoclr select genes.gtf.gz --ids neighbours.tsv --column neighbour --output near.bed
    """
    from data_builders.annotation.select import read_ids, select_transcripts

    if column is not None and ids is None:
        raise InputError(f"--column {column}: wanted --ids with it")
    if ids is None and not transcript and select is None:
        raise InputError("wanted --ids, --transcript or --select")
    chosen = None
    if ids is not None or transcript:
        chosen = [*(transcript or ()), *(read_ids(ids, column) if ids is not None else ())]
    found = select_transcripts(annotation, output, ids=chosen, rule=select, strict=strict)
    first, *more = found.lines()
    data = {
        "output": output,
        "transcripts": len(found.transcripts),
        "genes": found.genes,
        "read": found.read,
        "selected": found.reasons,
        "unknown": found.unknown,
        "unversioned": found.unversioned,
        **reasons(found.tally),
    }
    text = "\n".join([f"{output}: {first}", *more, *reason_lines(found.tally)])
    return Printed(text=text, data=data)
