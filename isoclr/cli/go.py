"""isoclr go: genes of one Gene Ontology term."""

from pathlib import Path
from typing import Annotated, Literal

from isoclr.cli import options
from isoclr.cli.options import Model, Option, Saluki
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def go(
    labels: Annotated[str, Option(metavar="FILE", help="label set that 'isoclr labels go' wrote")],
    output: Annotated[str, Option(metavar="DIR", help="folder of go and probe, .json and .png")],
    model: Model = DEFAULT_MODEL,
    terms: Annotated[int, Option(help="how many, the most frequent")] = 10,
    max_share: Annotated[float, Option(help="of the genes that have a term")] = 0.1,
    obo: Annotated[
        str | None, Option(metavar="FILE", help="ontology, to choose terms by level instead")
    ] = None,
    level: Annotated[int, Option(help="steps from the root of the ontology")] = 3,
    aspect: Annotated[Literal["F", "P", "C"], Option(help="of the ontology")] = "F",
    seeds: Annotated[int, Option(help="how many splits the probe takes")] = 10,
    saluki: Saluki = False,
) -> Printed:
    """Measure whether genes of one GO term lie together.

    Example:
    isoclr go --labels go.parquet --output go
    """
    from isoclr.evaluation.go import TermOptions, go_model

    chosen = TermOptions(
        terms=terms,
        max_share=max_share,
        obo=obo,
        level=level,
        aspect=aspect,
        seeds=options.seeds(seeds),
        saluki=saluki,
    )
    separation, probed = go_model(resolve_model(model), labels, Path(output), chosen)
    return Printed(
        text=f"{separation.table()}\n{probed.table()}",
        data={"output": output, "separation": separation, "probe": probed.as_dict()},
    )
