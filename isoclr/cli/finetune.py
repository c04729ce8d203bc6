"""isoclr finetune: fine-tuned, frozen and from scratch."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Homology, Option
from isoclr.cli.supervised import Supervised
from isoclr.shipped import resolve_model


def finetune(
    supervised: Supervised,
    homology: Homology,
    output: Annotated[
        str, Option(metavar="DIR", help="folder of model, finetune.json and finetune.png")
    ],
    single_label: Annotated[
        bool, Option("--single-label", help="a transcript has exactly one of the classes")
    ] = False,
) -> None:
    """Compare a fine-tuned encoder with a frozen one and one trained from scratch.

    Example:
    isoclr finetune --labels half_life.parquet --output finetuned
    """
    from isoclr.evaluation.finetune import finetune_model

    result = finetune_model(
        resolve_model(supervised.model),
        supervised.labels,
        supervised.label,
        Path(output),
        homology=homology.made(),
        single_label=single_label,
        **supervised.made(),
    )
    print(result.table())
