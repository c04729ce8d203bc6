"""The protocol between train.py and what it trains.

train.py asks an objective for batches, a model, a loss and an evaluation without labels. Resume,
processes, precision, logs, curves, checkpoints, the model card and pushing come from the engine,
for every objective. `tests/helpers/toy_objective.py` is the smallest one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from isoclr.model_folder import write_model_folder
from isoclr.objectives.card import CardFacts
from isoclr.training.curves import Panel
from isoclr.training.recipe import Recipe


class Batch(Protocol):
    """What an objective's `batches` hold.

    Attributes:
        sizes: counts of what is in the batch of all processes, such as `transcripts` and
            `nucleotides`; the engine reports each a second. `padded`, if there, counts the
            positions that are computed, padding included, against the largest other count.
    """

    @property
    def sizes(self) -> dict[str, int]:
        """Counts."""
        ...

    def to(self, device: torch.device) -> Self:
        """Move it to a device."""
        ...


def moved(value: Any, device: torch.device) -> Any:
    """Return a tensor on a device; of a dict or a dataclass, the same with its tensors there."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: moved(each, device) for name, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **moved(vars(value), device))
    return value


class Batches(Protocol):
    """Item s is this process's part of the batch of step s, counted from 0.

    It is a function of the recipe's seed, of s, and of rank and world size, and of nothing else:
    so a run resumes exactly, and worker processes change nothing.
    """

    def __getitem__(self, step: int, /) -> Batch:
        """Return the batch of a step."""
        ...


R = TypeVar("R", bound=Recipe)
B = TypeVar("B", bound=Batches)
M = TypeVar("M", bound=PreTrainedModel)


class Objective(ABC, Generic[R, B, M]):
    """What is learned, from which data, and how it is evaluated.

    Its types are those of the recipe, of `batches` and of the model.

    Args:
        recipe: of `recipe_class`.
        rank: of this process.
        world_size: number of processes.

    Attributes:
        recipe_class: the keys of its recipes: the engine's and its own.
        panels: of the figure of curves.
        recipe: as given.
        rank: as given.
        world_size: as given.
        batches: of this process; the constructor sets it.
        steps_per_epoch: in which the data comes once; the constructor sets it.
        processor: tokenizer or processor that is saved with the model; None: there is none.
        evaluates_in_thread: whether `evaluate` may run while training does, see there.
        hub_datasets: repositories on the Hub that the data is read from.
        fingerprint: (name, checksum) of each dataset and file that batches are made of; a run goes
            on only with the same.
    """

    recipe_class: ClassVar[type[Recipe]] = Recipe
    panels: ClassVar[Sequence[Panel]] = (
        Panel("loss", (("loss", "training batches"), ("held_out_loss", "held-out data"))),
    )

    batches: B
    steps_per_epoch: int
    processor: Any = None
    evaluates_in_thread: bool = True
    hub_datasets: Sequence[str] = ()
    fingerprint: Sequence[tuple[str, str]] = ()

    def __init__(self, recipe: R, rank: int, world_size: int):
        self.recipe, self.rank, self.world_size = recipe, rank, world_size

    @abstractmethod
    def build_model(self) -> M:
        """Build a new model on the CPU; the engine has seeded torch.

        All that is learned must be among its parameters: checkpoints hold these.
        """

    @abstractmethod
    def loss_module(self, model: M) -> nn.Module:
        """Return the module that accelerate prepares: `forward(batch) -> (loss, record)`.

        Before each call the engine seeds torch with the seed, the step and the rank, so dropout
        and other draws are repeated by a run that is resumed on as many processes.

        `loss` is a scalar whose gradient, averaged over processes, is that of the whole batch.
        `record` says what a log line shows, floats or tensors of one number, the same on every
        process (`isoclr.training.processes` has means and sums over them); `loss` should be among
        its keys. Loss arithmetic stays in float32 under autocast.
        """

    def after_step(self, model: M) -> None:  # noqa: B027  most have nothing to do
        """Change what is not learned by gradients, such as a moving average of weights.

        Called on every process after each step, with the same model; it must not communicate.
        """

    def evaluate(self, model: M) -> dict[str, float]:
        """Score the model on data that is never trained on, without labels.

        Called on the main process alone, so it must not communicate. The model has all its weights,
        is in training mode, and must be left so. Where there is a GPU, it is a copy, and a thread
        calls this while the next steps run: it must draw no global random numbers and change
        nothing that `batches` or the loss read.
        """
        return {}

    def describe(self, step: int) -> list[str]:
        """Name what is in the batch of a step, for the report of a loss that is not finite."""
        return []

    def save(self, model: M, folder: Path) -> None:
        """Write the model and its processor, with the code that loads them."""
        write_model_folder(model, self.processor, folder)

    @classmethod
    def card_facts(cls, folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
        """Return what the card of a model says beyond what holds for every objective.

        Args:
            folder: of the model.
            recipe: as it was written; empty where there is none.
            log: records of the run.

        Raises:
            InputError: a configuration of another model, or a report that is not one.
        """
        return CardFacts()
