"""A recipe is a file: typed, documented, complete."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from data_builders.records import InputError
from modeling_isoclr import IsoCLRConfig


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a contrastive pre-training run.

    Attributes:
        data: folder of isoform groups as `isoclr build` writes it, or a dataset on the Hub.
        output: folder of the model, its checkpoints and its log.
        model: arguments of `IsoCLRConfig`; `preset` names one of the paper's encoders.
        steps: optimiser steps.
        batch_size: groups a step, over all processes; each gives one pair.
        learning_rate: peak, of AdamW.
        weight_decay: of AdamW.
        warmup_steps: linear warm-up; then a half cosine to zero.
        mask_fraction: positions of every view whose tracks are hidden.
        count_weights: weigh positive terms by ln(n + 0.4)/0.802, n transcripts in the group.
        max_length: transcripts over this many nt are left out, and counted.
        micro_batch_tokens: nucleotides, padding included, that go through the encoder at once; the
            batch is cut by length, so statistics of a `batch` norm are those of a micro-batch.
            None: the whole batch at once, as the paper.
        held_out_groups: groups of two transcripts and more that are never trained on.
        evaluate_every: steps between evaluations on the held-out groups.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: newest checkpoints that are kept.
        workers: processes that make batches ahead; 0: the main one does.
        seed: of the weights, the order, the pairs, the masks and dropout.
    """

    data: str
    output: str
    steps: int
    model: dict = field(default_factory=dict)
    batch_size: int = 768
    learning_rate: float = 0.005
    weight_decay: float = 1e-5
    warmup_steps: int = 0
    mask_fraction: float = 0.15
    count_weights: bool = True
    max_length: int = 12288
    micro_batch_tokens: int | None = None
    held_out_groups: int = 256
    evaluate_every: int = 100
    checkpoint_every: int = 100
    keep_checkpoints: int = 2
    workers: int = 0
    seed: int = 0

    def model_config(self) -> IsoCLRConfig:
        """The encoder's configuration."""
        arguments = dict(self.model)
        preset = arguments.pop("preset", None)
        known = IsoCLRConfig().to_dict()
        for name in arguments:
            if name not in known:
                raise InputError(f"model.{name}: unknown key{_nearest(name, [*known, 'preset'])}")
        try:
            return IsoCLRConfig.preset(preset, **arguments) if preset else IsoCLRConfig(**arguments)
        except ValueError as error:
            raise InputError(f"model.{error}") from error

    def save(self, path: Path) -> None:
        """Write the resolved recipe as YAML."""
        path.write_text(yaml.safe_dump(dataclasses.asdict(self), sort_keys=False))


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe file and apply `--key value` overrides.

    Args:
        path: a YAML file; its keys are the attributes of `Recipe`.
        overrides: `--key value` or `--key=value`, values in YAML; `--model.key value` reaches into
            `model`.

    Raises:
        InputError: on a missing file, an unknown key (with the nearest name) or a wrong type.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: got {type(values).__name__}, wanted keys and values")
    for key, value in _pairs(list(overrides)):
        if key.startswith("model."):
            values["model"] = {**values.get("model", {}), key.removeprefix("model."): value}
        else:
            values[key] = value
    return _checked(path, values)


def _pairs(words: list[str]):
    """`--key value` and `--key=value` to (key, value)."""
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise InputError(f"command line: got {word!r}, wanted --key value")
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not words:
                raise InputError(f"command line: --{key}: wanted a value")
            text = words.pop(0)
        yield key.replace("-", "_"), yaml.safe_load(text)


def _checked(path, values: dict) -> Recipe:
    hints = typing.get_type_hints(Recipe)
    for key, value in values.items():
        if key not in hints:
            raise InputError(f"{path}: {key}: unknown key{_nearest(key, hints)}")
        if hints[key] is float and isinstance(value, int) and not isinstance(value, bool):
            values[key] = float(value)
        elif not _is_a(value, hints[key]):
            wanted = getattr(hints[key], "__name__", str(hints[key]))
            raise InputError(f"{path}: {key}: got {value!r}, wanted {wanted}")
    required = [f.name for f in dataclasses.fields(Recipe) if _has_no_default(f)]
    missing = [name for name in required if name not in values]
    if missing:
        raise InputError(f"{path}: missing {', '.join(missing)}")
    recipe = Recipe(**values)
    for name in ("steps", "batch_size", "max_length", "evaluate_every", "checkpoint_every"):
        if getattr(recipe, name) < 1:
            raise InputError(f"{path}: {name}: got {getattr(recipe, name)}, wanted at least 1")
    if not 0 <= recipe.mask_fraction < 1:
        raise InputError(f"{path}: mask_fraction: got {recipe.mask_fraction}, wanted 0 <= it < 1")
    recipe.model_config()
    return recipe


def _has_no_default(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _is_a(value, hint) -> bool:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return type(value) in allowed


def _nearest(name: str, names) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names)}"
