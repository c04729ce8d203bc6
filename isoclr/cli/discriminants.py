"""isoclr discriminants: features that homologs share, added to a trained encoder."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Groups, Model, Option, SampleSeed
from isoclr.cli.printed import Printed, plain_data
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def discriminants(
    groups: Groups,
    output: Annotated[str, Option(metavar="DIR", help="folder of the model with them")],
    model: Model = DEFAULT_MODEL,
    discriminants: Annotated[int, Option(help="how many")] = 24,
    features: Annotated[int, Option(help="columns made of them")] = 1024,
    transcripts: Annotated[int, Option(help="how many suffice")] = 20_000,
    seed: SampleSeed = 0,
) -> Printed:
    """Add to a trained encoder what homologs have in common.

    Example:
    isoclr discriminants --model model --groups groups --output model-with-discriminants
    """
    from isoclr.evaluation.discriminants import add_discriminants

    about = add_discriminants(
        resolve_model(model),
        groups,
        Path(output),
        discriminants=discriminants,
        features=features,
        transcripts=transcripts,
        seed=seed,
    )
    return Printed(text=about.table(), data={"output": output, **plain_data(about)})
