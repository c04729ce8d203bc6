"""isoclr probe-coding: what proteins and coding sequences say of a label."""

from pathlib import Path
from typing import Annotated

from isoclr.cli import options
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed
from isoclr.shipped import PROTEIN_MODEL, resolve_model


def probe_coding(
    labels: Annotated[str, Option(metavar="FILE", help="label set that 'isoclr labels' wrote")],
    output: Annotated[str, Option(metavar="DIR", help="folder of probe.json and probe.png")],
    model: Annotated[
        list[str] | None,
        Option(
            metavar="MODEL",
            help=f"of proteins, or of coding sequences; repeat it for several; {PROTEIN_MODEL}",
        ),
    ] = None,
    terms: Annotated[int, Option(help="of labels with many classes, the most frequent")] = 10,
    max_share: Annotated[float, Option(help="of the genes that have a term")] = 0.1,
    kmers: Annotated[int, Option(help="longest k-mers of proteins beside them, 1 to 3")] = 3,
    seeds: Annotated[int, Option(help="how many splits")] = 10,
) -> Printed:
    """Probe frozen embeddings of proteins, or of coding sequences, beside what letters alone say.

    Of each labelled transcript an encoder of proteins gets the translated CDS, one of RNA the CDS.

    Example:
    isoclr probe-coding --labels go.parquet --output go
    isoclr probe-coding --model cds-model --labels half_life.parquet --output half-life
    """
    from isoclr.evaluation.coding import CodingOptions, probe_coding

    chosen = CodingOptions(
        terms=terms, max_share=max_share, kmers=kmers, seeds=options.seeds(seeds)
    )
    models = [resolve_model(one) for one in model or [PROTEIN_MODEL]]
    results, skipped = probe_coding(models, labels, Path(output), chosen)
    lines = [f"  skipped {n}: {reason}" for reason, n in skipped.items()]
    return Printed(
        text="\n".join([*lines, results.table()]),
        data={"output": output, **results.as_dict(), "skipped": skipped},
    )
