"""How networks are trained on labels, as keys of a YAML file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from data_builders.labels.splits import SEEDS
from isoclr.training.recipe import Options, check_recipe, read_values

_Positive = Annotated[int, Field(ge=1)]
_NotNegative = Annotated[float, Field(ge=0)]


class FitSettings(Options):
    """How a network is trained on labels; the defaults are for one from scratch.

    Attributes:
        dropout: of the network.
        learning_rate: of AdamW.
        warm_up: steps over which the learning rate rises to that.
        weight_decay: of AdamW.
        batch_size: rows a step.
        tokens_per_batch: nucleotides that go through a network at once, padding included; a batch
            over it goes in parts of like length. Where a batch norm takes the statistics of a
            batch, that is never parted.
        evaluate_every: steps between two evaluations on the validation rows; at least an epoch.
        patience: evaluations without a new best after which training ends.
        evaluations: the most evaluations that a run makes.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    learning_rate: _NotNegative = 1e-3
    warm_up: _Positive = 10
    weight_decay: _NotNegative = 1e-5
    batch_size: _Positive = 16
    tokens_per_batch: _Positive = 1 << 16
    evaluate_every: _Positive = 10
    patience: _Positive = 8
    evaluations: _Positive = 60


class FineTunedSettings(FitSettings):
    """Weights begin at those of an encoder that was trained before, below a head fitted to it.

    Dropout would shift what that head gets to see, so there is none.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    learning_rate: _NotNegative = 3e-5
    evaluate_every: _Positive = 5
    patience: _Positive = 4
    evaluations: _Positive = 12


class SalukiSettings(FitSettings):
    """The network after Saluki, from scratch.

    It learns lengths within 300 steps, and what else there is only after some 1,000 to 2,500,
    however few the labels.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch_size: _Positive = 8
    evaluate_every: _Positive = 200
    patience: _Positive = 14
    evaluations: _Positive = 14


class Settings(Options):
    """How networks are trained; recipes/finetune has the paper's way.

    Attributes:
        from_scratch: weights begin at random.
        fine_tuned: weights begin at those of an encoder that was trained before.
        saluki_like: weights of the network after Saluki, which begin at random.
    """

    from_scratch: FitSettings = FitSettings()
    fine_tuned: FineTunedSettings = FineTunedSettings()
    saluki_like: SalukiSettings = SalukiSettings()


DEFAULTS = Settings()


def read_settings(path: str | os.PathLike) -> Settings:
    """Read settings from a YAML file; what it leaves out is as `Settings` has it."""
    return check_recipe(read_values(path), Settings, path)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What fine-tuning and the curve of few labels have in common.

    Attributes:
        seeds: of the splits, of which rows are known, and of weights and training.
        split: the kind of the splits, as `make_splits` takes it.
        settings: of the networks.
        max_length: longer transcripts are cropped for the networks, around the centre of their CDS,
            in nt; None: none are.
        progress: show bars on stderr.
    """

    seeds: Sequence[int] = SEEDS[:3]
    split: str = "homology"
    settings: Settings = DEFAULTS
    max_length: int | None = None
    progress: bool = True
