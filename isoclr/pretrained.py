"""Load a model of this family from a folder or the Hub: any fault of it is one line."""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.repositories import check_source
from isoclr.shipped import DEFAULT_MODEL, SHIPPED_MODELS, resolve_model
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer

_WANTED = "a model that train.py wrote"
# Keys of the configuration that older models lack: a model is the same without, or at these values.
NEW_KEYS = {
    "alphabet": "rna",
    "critic": None,
    "critic_bands": 1,
    "residue_pairs": False,
    "sites_size": 0,
    "start_window": 0,
    "zero_init_residual": False,
}
# Of these the oldest models lack all; those that have them name them in their digest.
_OLDER_KEYS = {"discriminants", "discriminant_size"}
_REASON = 300  # letters of a foreign error that are shown
_Model = TypeVar("_Model", bound=torch.nn.Module)


def load_model(
    model: str | os.PathLike = DEFAULT_MODEL,
) -> tuple[IsoCLRModel, IsoCLRTokenizer]:
    """The encoder, for inference and on the GPU if there is one, and its tokenizer.

    Of a shipped model by its name, of a folder that train.py wrote, or of a repository on the Hub.
    One of another family, one that is damaged or lacks weights is an InputError.
    """
    model = resolve_model(model)
    encoder: IsoCLRModel = load_pretrained(AutoModel, model)
    with one_line(model):
        tokenizer = AutoTokenizer.from_pretrained(model)
    if type(tokenizer).__name__ != IsoCLRTokenizer.__name__:
        raise InputError(f"{model}: got the tokenizer {type(tokenizer).__name__}, wanted ours")
    wanted, got = encoder.config.alphabet, tokenizer.alphabet
    if got != wanted:
        raise InputError(f"{model}: got a tokenizer of {got} and a model of {wanted}, wanted one")
    return on_device(encoder.eval()), tokenizer


def on_device(model: _Model, device: torch.device | None = None) -> _Model:
    """Move a model to a device; None: to the GPU if there is one."""
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def load_pretrained(auto_class: type, model: str | os.PathLike) -> Any:
    """Call `auto_class.from_pretrained` on a model of the IsoCLR family.

    What comes is of the class that `auto_class` has for this family.

    Args:
        auto_class: an Auto class of transformers.
        model: a folder, or a repository on the Hub.

    Raises:
        InputError: when it is neither, of another family, damaged, quantized, or lacks weights.
    """
    check_source(model, f"{_WANTED}, or one of {', '.join(SHIPPED_MODELS)}", "config.json")
    if Path(model).is_dir():
        path = Path(model) / "config.json"
        if getattr(read_config(path), "quantization_config", None) is not None:
            raise InputError(f"{path}: quantization_config: got one, wanted weights as trained")
    with one_line(model):
        loaded, info = auto_class.from_pretrained(
            model, output_loading_info=True, ignore_mismatched_sizes=True
        )
    if loaded.config.model_type != IsoCLRConfig.model_type:
        raise InputError(f"{model}: got a model of type {loaded.config.model_type}, wanted isoclr")
    unlike = {name for name, *_ in info["mismatched_keys"]}
    if missing := sorted({*info["missing_keys"], *unlike}):  # transformers makes them up
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InputError(
            f"{model}: got no weights that fit {', '.join(missing[:5])}{more}, wanted all"
        )
    return loaded


def read_config(path: Path) -> IsoCLRConfig:
    """The configuration of a model folder, by the path of its config.json.

    Another family, and keys that it lacks, for which defaults would stand in silence, are an
    InputError.
    """
    config = read_json(path, ("model_type",), _WANTED)
    if config["model_type"] != IsoCLRConfig.model_type:
        raise InputError(f"{path}: model_type: got {config['model_type']!r}, wanted 'isoclr'")
    known = set(inspect.signature(IsoCLRConfig.__init__).parameters) - {"self", "kwargs"}
    if lacking := sorted(known - set(config) - set(NEW_KEYS) - _OLDER_KEYS):
        raise InputError(f"{path}: no {lacking[0]} in it, wanted {_WANTED}")
    with one_line(path):
        return IsoCLRConfig.from_dict(config)


@contextmanager
def one_line(source: str | os.PathLike) -> Iterator[None]:
    """Turn whatever loading a model raises into one line, and keep transformers' reports back."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds: transformers, safetensors, torch, json, the Hub
        reason = " ".join(str(error).split())[:_REASON] or type(error).__name__
        reason = reason.removeprefix(f"{source}: ")
        raise InputError(f"{source}: cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(before)
