"""Checks of what a launcher and the environment ask of a run."""

import os

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import parse_flag_from_env

from data_builders.records import InputError
from isoclr.training.recipe import Recipe, nearest

_HALF = {"float32": "no", "bfloat16": "bf16"}
_FLAGS = {
    "ACCELERATE_USE_DEEPSPEED": "--use_deepspeed",
    "ACCELERATE_USE_MEGATRON_LM": "--use_megatron_lm",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "--use_parallelism_config",
}
# What accelerate would do to the gradient, and the value that leaves it alone.
_VALUES = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("1", "a micro-batch is the recipe's business"),
    "ACCELERATE_GRADIENT_CLIPPING": ("none", "gradients are not clipped"),
    "ACCELERATE_DYNAMO_BACKEND": ("no", "the recipe's compile: true compiles the encoder"),
}


def check_environment(recipe: Recipe) -> None:
    """Refuse what `accelerate launch` or its variables ask for against the recipe.

    Otherwise a run would not compute what its recipe says: accelerate divides the loss by the steps
    of gradient accumulation, for example.

    Raises:
        InputError: naming the variable, or the option that sets it.
    """
    for variable, option in _FLAGS.items():
        if parse_flag_from_env(variable):
            raise InputError(
                f"accelerate launch: got {option}, wanted --multi_gpu or --use_fsdp "
                "--fsdp_version 2: optimizer and backward pass are this program's"
            )
    for variable, (allowed, why) in _VALUES.items():
        value = os.environ.get(variable, allowed)
        if value.lower() not in ("", allowed):
            raise InputError(f"{variable}: got {value}, wanted {allowed}: {why}")
    # `accelerate launch` sets "no" unasked, which leaves the precision to the recipe.
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    if precision not in ("no", _HALF[recipe.precision]):
        raise InputError(
            f"ACCELERATE_MIXED_PRECISION: got {precision}, wanted {_HALF[recipe.precision]} as the "
            f"recipe's precision is {recipe.precision}; it may be float32 or bfloat16"
        )


def check_tracker(name: str | None) -> None:
    """Refuse an experiment tracker that accelerate does not know, or that is not installed.

    Raises:
        InputError: naming it.
    """
    if name is None:
        return
    if name not in LOGGER_TYPE_TO_CLASS:
        raise InputError(f"tracker: got {name!r}, unknown{nearest(name, LOGGER_TYPE_TO_CLASS)}")
    if name not in [tracker.value for tracker in get_available_trackers()]:
        raise InputError(f"tracker: got {name!r}, which is not installed; tracker: null has none")


def note_on_device(recipe: Recipe, device: str) -> str | None:
    """Return a line on a recipe for GPUs that runs on a CPU; None where there is nothing to say.

    Args:
        recipe: of the run.
        device: its type: "cpu" or another.
    """
    if device != "cpu" or not recipe.compile:
        return None
    return (
        "no GPU here: compile: true compiles the encoder for the CPU first, which takes minutes; "
        "--compile false begins at once, and isoclr recipes lists recipes for CPUs"
    )
