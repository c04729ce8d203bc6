"""isoclr report: a page about transcripts."""

from pathlib import Path
from typing import Annotated

import typer

from data_builders.counts import counted
from data_builders.records import InputError
from isoclr.cli.embed import checked
from isoclr.cli.options import GuessCds, Model, Option
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL


def report(
    fasta: Annotated[str, typer.Argument(help="FASTA of spliced transcripts, plain or gzip")],
    annotation: Annotated[
        str | None, typer.Argument(help="GTF, GFF3, genePred or BED12 of their exons and CDS")
    ] = None,
    output: Annotated[
        str, Option(metavar="FILE", help="HTML page"), (".html", ".htm")
    ] = "report.html",
    model: Model = DEFAULT_MODEL,
    species: Annotated[str, Option(metavar="NAME", help="of the transcripts")] = "unknown",
    guess_cds: GuessCds = None,
    head: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="of the model, to predict by; repeat it; none: those fitted to the species",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="of isoclr embed by the same model, to find the nearest transcripts in",
        ),
    ] = None,
    map_by: Annotated[str, Option("--map", help="pca, or umap where umap-learn is installed")] = (
        "pca"
    ),
) -> Printed:
    """Write one HTML page about transcripts, to be opened by any browser, offline too.

    It shows lengths and structure, a map of the embeddings, predictions with intervals, the
    isoforms of a gene that differ most and by which region, nearest transcripts, and warnings.

    Example:
    isoclr report isoforms.fa.gz isoforms.gtf.gz --species human --output report.html
    isoclr report isoforms.fa --guess-cds 300 --output report.html
    """
    from dataclasses import replace

    from data_builders.groups.transcripts import read_source
    from data_builders.sources import FastaSource
    from data_builders.text import Tally
    from isoclr.report import make_report, write_report

    if not Path(output).absolute().parent.is_dir():
        raise InputError(f"{output}: got no folder {Path(output).parent}, wanted one to write into")
    tally = Tally()
    transcripts = list(read_source(FastaSource(fasta, species, annotation), tally))
    transcripts = checked(transcripts, f"{fasta}: no transcript", tally, guess_cds)
    counts = {
        f"{what}: {reason}": n
        for what in ("skipped", "adjusted")
        for reason, n in getattr(tally, what).items()
        if n
    }
    made = make_report(
        transcripts,
        model,
        title=Path(fasta).name,
        heads=head or (),
        map_by=map_by,
        reference=reference,
    )
    made = replace(made, counts=counts)
    write_report(made, output)
    warned = sum(map(bool, made.warnings))
    return Printed(
        text=f"{output}: {counted(len(transcripts), 'transcript')}, "
        f"{counted(len(made.switches), 'gene')} whose isoforms differ, "
        f"{counted(warned, 'transcript')} with a warning",
        data={"output": output, "transcripts": len(transcripts), "switches": len(made.switches)}
        | {"with_warning": warned, "counts": counts},
    )
