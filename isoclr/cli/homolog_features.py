"""isoclr homolog-features: features that homologs teach a small network, added to an encoder."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Groups, Model, Option, SampleSeed
from isoclr.cli.printed import Printed, plain_data
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def homolog_features(
    groups: Groups,
    output: Annotated[str, Option(metavar="DIR", help="folder of the model with them")],
    model: Model = DEFAULT_MODEL,
    features: Annotated[int, Option(help="columns made of them")] = 512,
    hidden: Annotated[int, Option(help="width of the hidden layer")] = 256,
    steps: Annotated[int, Option(help="steps of 512 pairs")] = 600,
    transcripts: Annotated[int, Option(help="how many suffice")] = 20_000,
    seed: SampleSeed = 0,
) -> Printed:
    """Add to a trained encoder features that a small network learns from homologs.

    Example:
    isoclr homolog-features --model model --groups groups --output model-with-features
    """
    from isoclr.evaluation.homolog_features import NetworkOptions, add_homolog_features

    options = NetworkOptions(features=features, hidden=hidden, steps=steps, seed=seed)
    about = add_homolog_features(
        resolve_model(model), groups, Path(output), options, transcripts=transcripts
    )
    return Printed(text=about.table(), data={"output": output, **plain_data(about)})
