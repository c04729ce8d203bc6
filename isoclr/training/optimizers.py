"""Optimizers by name."""

from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch

Optimizer = Literal["adamw", "adam", "rmsprop", "sgd"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
WITH_MOMENTUM = ("rmsprop", "sgd")


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter],
    name: str,
    *,
    weight_decay: float,
    momentum: float,
    fused: bool,
) -> torch.optim.Optimizer:
    """Build an optimizer; its learning rate is set at every step.

    Args:
        parameters: that it changes.
        name: one of `OPTIMIZERS`. AdamW decays the weights themselves; the others add the decay to
            the gradient.
        weight_decay: of all parameters alike.
        momentum: of those in `WITH_MOMENTUM`.
        fused: one kernel for all parameters, where the optimizer has it.
    """
    options: dict[str, Any] = {"weight_decay": weight_decay}
    if name in WITH_MOMENTUM:
        options["momentum"] = momentum
    if name != "rmsprop":
        options["fused"] = fused
    classes = (torch.optim.AdamW, torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD)
    return dict(zip(OPTIMIZERS, classes, strict=True))[name](parameters, **options)
