"""isoclr finetune: fine-tuned, frozen and from scratch."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Homology, Labels, Option
from isoclr.cli.printed import Printed
from isoclr.cli.supervised import Supervised
from isoclr.shipped import resolve_model


def finetune(
    labels: Labels,
    supervised: Supervised,
    homology: Homology,
    output: Annotated[
        str, Option(metavar="DIR", help="folder of model, finetune.json and finetune.png")
    ],
    methods: Annotated[
        str | None,
        Option(
            metavar="NAME,...",
            help="frozen, fine-tuned, from scratch; all by default, of which the last takes most "
            "of the time",
        ),
    ] = None,
) -> Printed:
    """Compare a fine-tuned encoder with a frozen one and one trained from scratch.

    Example:
    isoclr finetune --labels half_life.parquet --output finetuned
    isoclr finetune --labels half_life.parquet --methods frozen,fine-tuned --output finetuned
    """
    from isoclr.evaluation.finetune import METHODS, finetune_model
    from isoclr.evaluation.settings import TrainingOptions

    found = finetune_model(
        resolve_model(supervised.model),
        labels.made(homology),
        Path(output),
        TrainingOptions(**supervised.made()),
        tuple(methods.split(",")) if methods else METHODS,
    )
    return Printed(text=found.results.table(), data={"output": output, **found.as_dict()})
