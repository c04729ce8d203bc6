"""Runs that start from the weights of a released model."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging

from data_builders.records import InputError
from isoclr.repositories import check_source

# What a configuration says of its file, not of the model.
_ABOUT_THE_FILE = {"architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"}
_SHOWN = 5


def warm_start(model: PreTrainedModel, source: str | os.PathLike) -> str:
    """Give a model the weights of a released one, in place; what that one lacks stays as it is.

    Args:
        model: a new one.
        source: folder of a model, or repository on the Hub; its weights in safetensors form.

    Returns:
        One line: what was taken, what was not there, and where the configurations differ.

    Raises:
        InputError: no such model, another model type, weights of another shape, or none in common.
    """
    config_class, model_class = type(model.config), type(model)
    try:
        check_source(source, "a model to start from", "config.json")
        config = config_class.from_pretrained(source)
        wanted, got = model.config.model_type, config.model_type
        if got != wanted:
            raise InputError(f"{source}: got a model of type {got!r}, wanted {wanted!r}")
        with _silent_transformers():
            both: Any = model_class.from_pretrained(
                source,
                config=model.config,
                use_safetensors=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # told below, by name
                output_loading_info=True,
            )
            loaded, info = both
    except InputError as error:
        raise InputError(f"init_from: {error}") from None
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"init_from: {source}: cannot be loaded: {reason[:300]}") from error
    for name, theirs, ours in info["mismatched_keys"]:
        raise InputError(
            f"init_from: {source}: {name}: got the shape {tuple(theirs)}, wanted {tuple(ours)} as "
            "the recipe's model has"
        )
    lacking = set(info["missing_keys"])
    taken = {n: t for n, t in loaded.state_dict().items() if n not in lacking}
    if not taken:
        raise InputError(f"init_from: {source}: got no weights of this model's names")
    model.load_state_dict(taken, strict=False)
    parts = [f"init_from: {source}: {len(taken)} tensors taken"]
    for what, names in (("new", lacking), ("left there", info["unexpected_keys"])):
        if names:
            parts.append(f"{len(names)} {what}, such as {min(names)}")
    return "; ".join(parts + _differences(config.to_dict(), model.config.to_dict()))


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Suppress the report of transformers, which one line of ours replaces."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _differences(theirs: dict, ours: dict) -> list[str]:
    """Describe the keys on which two configurations differ, in at most one phrase."""
    keys = sorted((theirs.keys() & ours.keys()) - _ABOUT_THE_FILE)
    found = [
        f"{key} {theirs[key]!r} there, {ours[key]!r} here"
        for key in keys
        if theirs[key] != ours[key]
    ]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return [f"configurations differ: {', '.join(found[:_SHOWN] + more)}"] if found else []
