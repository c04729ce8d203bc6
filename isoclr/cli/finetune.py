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
    from_scratch: Annotated[
        bool,
        Option(
            "--from-scratch",
            help="train the same network from random weights beside, which takes several times as "
            "long as all else",
        ),
    ] = False,
) -> Printed:
    """Fine-tune an encoder on labels, and compare it with the frozen one, or one from scratch.

    Example:
    isoclr finetune --labels half_life.parquet --output finetuned
    isoclr finetune --labels half_life.parquet --from-scratch --output finetuned
    """
    from isoclr.evaluation.finetune import BY_DEFAULT, METHODS, finetune_model
    from isoclr.evaluation.settings import TrainingOptions

    found = finetune_model(
        resolve_model(supervised.model),
        labels.made(homology),
        Path(output),
        TrainingOptions(**supervised.made()),
        METHODS if from_scratch else BY_DEFAULT,
    )
    return Printed(text=found.results.table(), data={"output": output, **found.as_dict()})
