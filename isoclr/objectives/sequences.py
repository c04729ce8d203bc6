"""Parts that objectives on sequences share: data sources, configurations, batch norms."""

from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from isoclr.training.processes import summed_over_processes
from isoclr.training.recipe import Options, Place, make_config
from modeling_isoclr import IsoCLRConfig
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm


class DataSource(Options):
    """Groups of sequences to train on.

    Attributes:
        path: folder as `isoclr build` writes it, or a dataset on the Hub.
        config: configuration of the dataset on the Hub.
        weight: times that a group of it comes in an epoch.
    """

    path: Place
    config: Place | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0


def _listed(value: Any) -> Any:
    """Convert a path, or a list of paths and of keys and values, to a list of the latter."""
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not entries:
        raise ValueError("a path or a list of them")
    return [{"path": entry} if isinstance(entry, str) else entry for entry in entries]


DataSources = Annotated[list[DataSource], BeforeValidator(_listed)]
"""A key of a recipe: a path, or a list of paths and of the keys of `DataSource`."""


def encoder_config(arguments: dict[str, Any]) -> IsoCLRConfig:
    """Make the encoder's configuration; `preset` names one of the paper's encoders.

    A bad argument is a ValueError, an unknown one with the nearest name.
    """

    def make(preset=None, **others) -> IsoCLRConfig:
        return IsoCLRConfig.preset(preset, **others) if preset else IsoCLRConfig(**others)

    return make_config(make, arguments, [*IsoCLRConfig().to_dict(), "preset"])


def share_statistics(model: torch.nn.Module) -> None:
    """Have batch norms take their statistics over all processes.

    Every process must then run the same number of forward passes.
    """
    for part in model.modules():
        if isinstance(part, IsoCLRBatchNorm):
            part.over_processes = summed_over_processes
