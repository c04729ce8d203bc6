"""A recipe is a file: typed, documented, complete."""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from data_builders.records import InputError
from isoclr.training.schedule import SCHEDULES
from modeling_isoclr import IsoCLRConfig


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a contrastive pre-training run.

    A duration is a number of steps, or text: `10 epochs`, `10 %` (of all steps).

    Attributes:
        data: folder of isoform groups as `isoclr build` writes it, or a dataset on the Hub; or a
            list of such, each perhaps as `{path: ..., config: ..., weight: 2}`: a configuration of
            the dataset on the Hub, and the times that a group of it comes in an epoch.
        output: folder of the model, its checkpoints and its log.
        model: arguments of `IsoCLRConfig`; `preset` names one of the paper's encoders.
        steps: duration of the run, in optimiser steps or epochs.
        batch_size: groups a step, over all processes, at most; each gives one pair.
        learning_rate: peak, of AdamW.
        schedule: after the warm-up: cosine, inverse_sqrt or constant (`learning_rate` in
            `isoclr.training.schedule`).
        warmup_steps: duration of the linear warm-up.
        cooldown_steps: duration of the last stretch, in which the rate is blended into 1e-8.
        weight_decay: of AdamW.
        pairs: arguments of `PairSampler`: which two transcripts of a group make a pair.
        mask_fraction: nucleotides of every view that are hidden; or two numbers, between which
            each view draws.
        mark_mask_fraction: codon starts and exon ends that are hidden, each on its own, as Orthrus
            does. None: those of the hidden nucleotides are, as IsoCLR does.
        count_weights: weigh positive terms by ln(n + 0.4)/0.802, n transcripts in the group.
        max_length: transcripts over this many nt are left out, and counted.
        micro_batch_tokens: nucleotides, padding included, that go through the encoder at once; the
            batch is cut by length, so statistics of a `batch` norm are those of a micro-batch.
            None: all that a process has at once, as the paper; a batch norm then takes its
            statistics over all processes.
        gradient_cache: encode each micro-batch twice, so that memory does not grow with the batch.
            False: once, and keep all graphs.
        precision: float32, or bfloat16 (autocast: weights and statistics stay float32).
        compile: run the encoder through torch.compile.
        token_cache: folder of a local cache of tokens, one byte a nucleotide, for fast disks.
        streaming: read datasets of the Hub while training, without a local copy.
        held_out_groups: groups of two transcripts and more that are never trained on.
        evaluate_every: steps between evaluations on the held-out groups.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: newest checkpoints that are kept.
        workers: processes that make batches ahead; 0: the main one does.
        tracker: an experiment tracker of accelerate's, by name; None: only log.jsonl.
        probe: arguments of `LabelProbe`, to follow a linear probe over the steps; {}: none.
        push_to_hub: repository that the model goes to at every checkpoint and at the end.
        seed: of the weights, the order, the pairs, the masks and dropout.
    """

    data: str | list
    output: str
    steps: int | str
    model: dict = field(default_factory=dict)
    batch_size: int = 768
    learning_rate: float = 0.005
    schedule: str = "cosine"
    warmup_steps: int | str = 0
    cooldown_steps: int | str = 0
    weight_decay: float = 1e-5
    pairs: dict = field(default_factory=dict)
    mask_fraction: float | list = 0.15
    mark_mask_fraction: float | None = None
    count_weights: bool = True
    max_length: int = 12288
    micro_batch_tokens: int | None = None
    gradient_cache: bool = True
    precision: str = "float32"
    compile: bool = False
    token_cache: str | None = None
    streaming: bool = False
    held_out_groups: int = 256
    evaluate_every: int = 100
    checkpoint_every: int = 100
    keep_checkpoints: int = 2
    workers: int = 0
    tracker: str | None = "tensorboard"
    probe: dict = field(default_factory=dict)
    push_to_hub: str | None = None
    seed: int = 0

    def datasets(self) -> list[tuple[str, str | None, float]]:
        """Path or repository, configuration, and weight, of each dataset."""
        found = []
        for entry in [self.data] if isinstance(self.data, str) else self.data:
            entry = {"path": entry} if isinstance(entry, str) else entry
            if not isinstance(entry, dict) or entry.keys() - {"path", "config", "weight"}:
                raise InputError(f"data: got {entry!r}, wanted path, config and weight")
            path, config, weight = entry.get("path"), entry.get("config"), entry.get("weight", 1)
            names = isinstance(path, str) and isinstance(config, str | None)
            if not (names and type(weight) in (int, float) and weight > 0):
                raise InputError(f"data: got {entry!r}, wanted a path and a weight above 0")
            found.append((path, config, weight))
        if not found:
            raise InputError("data: got an empty list, wanted a path")
        return found

    def mask_fractions(self) -> tuple[float, float]:
        """The least and the greatest fraction of hidden nucleotides."""
        bounds = self.mask_fraction
        low, high = bounds if isinstance(bounds, list) else (bounds, bounds)
        return float(low), float(high)

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
    try:
        _check_values(recipe)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return recipe


def _check_values(recipe: Recipe) -> None:
    for name in (
        "batch_size",
        "max_length",
        "evaluate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "held_out_groups",
        "workers",
    ):
        least = 0 if name in ("held_out_groups", "workers") else 1
        if getattr(recipe, name) < least:
            raise InputError(f"{name}: got {getattr(recipe, name)}, wanted at least {least}")
    for name in ("steps", "warmup_steps", "cooldown_steps"):
        duration(recipe, name, steps_per_epoch=1)
    for name, allowed in (("schedule", SCHEDULES), ("precision", ("float32", "bfloat16"))):
        if getattr(recipe, name) not in allowed:
            raise InputError(
                f"{name}: got {getattr(recipe, name)!r}, wanted one of {', '.join(allowed)}"
            )
    fractions = recipe.mask_fraction
    fractions = fractions if isinstance(fractions, list) else [fractions] * 2
    numbers = all(type(fraction) in (int, float) for fraction in fractions)
    if not (numbers and len(fractions) == 2 and 0 <= fractions[0] <= fractions[1] < 1):
        raise InputError(
            f"mask_fraction: got {recipe.mask_fraction}, wanted 0 <= it < 1, or two such"
        )
    if recipe.mark_mask_fraction is not None and not 0 <= recipe.mark_mask_fraction < 1:
        raise InputError(f"mark_mask_fraction: got {recipe.mark_mask_fraction}, wanted 0 <= it < 1")
    if recipe.streaming and recipe.token_cache:
        raise InputError("token_cache: got one beside streaming, wanted one of them")
    recipe.datasets()
    recipe.model_config()


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(epochs?|%)")


def duration(recipe: Recipe, name: str, steps_per_epoch: int) -> int:
    """A duration of a recipe in steps.

    Args:
        recipe: that has it.
        name: of the attribute.
        steps_per_epoch: of its data.

    Raises:
        InputError: it is no duration, negative, or, for `steps`, zero or a percentage.
    """
    value = getattr(recipe, name)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    steps = value
    if found:
        whole = steps_per_epoch
        if found[2] == "%":
            whole = None if name == "steps" else duration(recipe, "steps", steps_per_epoch) / 100
        steps = None if whole is None else round(float(found[1]) * whole)
    least = 1 if name == "steps" else 0
    if type(steps) is not int or steps < least:
        raise InputError(f"{name}: got {value!r}, wanted steps, '10 epochs' or '10 %' (of steps)")
    return steps


def _has_no_default(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _is_a(value, hint) -> bool:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return type(value) in allowed or (type(value) is int and float in allowed)


def _nearest(name: str, names) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names)}"
