"""Recipes: everything that decides a run, typed and documented, in one file."""

import difflib
import os
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from data_builders.records import InputError
from isoclr.training.optimizers import WITH_MOMENTUM, Optimizer
from isoclr.training.schedule import Schedule
from isoclr.training.yaml_file import parse_yaml, read_mapping

_SHOWN = 80  # characters of a value that an error shows


class Options(BaseModel):
    """Part of a recipe with typed keys of its own; other keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(epochs?|%)")


def _parsed_duration(value: Any) -> tuple[float, str] | None:
    """Return a number and its unit (steps, epochs or %), None if it is no duration."""
    if type(value) is int and value >= 0:
        return value, "steps"
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return found and (float(found[1]), "%" if found[2] == "%" else "epochs")


def _checked_duration(value: Any) -> int | str:
    if _parsed_duration(value) is None:
        raise ValueError("steps, '10 epochs' or '10 %' (of steps)")
    return value


def _checked_total(value: Any) -> int | str:
    number, unit = _parsed_duration(value) or (0, "")
    if not number or unit == "%":
        raise ValueError("steps or '10 epochs', above 0")
    return value


Place = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]*$")]
"""A path, a repository or another name."""


class ProbeSource(Options):
    """Labels of a linear probe that follows a run, see `LabelProbe` of `isoclr.evaluation`.

    Attributes:
        labels: table of labels.
        label: its column.
        groups: folder of isoform groups that has the transcripts, when the table has not.
        homology: table of homology, when it has.
        taxonomy: NCBI id of the species of labels without a column species.
    """

    labels: Place
    label: Place
    groups: Place | None = None
    homology: Place | None = None
    taxonomy: Annotated[int, Field(ge=1)] = 9606


def _none_if_empty(value: Any) -> Any:
    return None if value == {} else value


Duration = Annotated[int | str, BeforeValidator(_checked_duration)]
"""A number of steps, or text: `10 epochs`, `10 %` (of all steps)."""


SCHEDULE_KEYS = frozenset({"steps", "schedule", "learning_rate", "warmup_steps", "cooldown_steps"})
"""Keys that a run may go on with others of, where no step that is done had another rate."""


class Recipe(Options):
    """Keys of a run that every objective shares; an objective's recipe adds its own.

    A duration is a number of steps, or text: `10 epochs`, `10 %` (of all steps).

    Attributes:
        objective: what is trained, by its name in `isoclr.objectives.OBJECTIVES`.
        output: folder of the model, its checkpoints and its log.
        steps: duration of the run, in optimiser steps or epochs.
        batch_size: items of a step, over all processes, at most.
        optimizer: adamw, adam, rmsprop or sgd.
        momentum: of rmsprop and sgd.
        learning_rate: peak.
        schedule: after the warm-up: cosine, inverse_sqrt or constant (`learning_rate` in
            `isoclr.training.schedule`).
        warmup_steps: duration of the linear warm-up.
        cooldown_steps: duration of the last stretch, in which the rate is blended into 1e-8.
        weight_decay: of the optimizer.
        precision: float32, or bfloat16 (autocast: weights and statistics stay float32).
        compile: run the encoder through torch.compile.
        evaluate_every: steps between evaluations on held-out data.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: newest checkpoints that are kept.
        workers: processes that make batches ahead; 0: the main one does.
        tracker: an experiment tracker of accelerate's, by name; None: only log.jsonl.
        probe: labels to follow a linear probe on over the steps, see `ProbeSource`; None: none.
        push_to_hub: repository that the model goes to at every checkpoint and at the end.
        init_from: folder of a model, or repository on the Hub, whose weights the run starts from.
        seed: of the weights, the order of the data, and all other draws.
    """

    changeable: ClassVar[frozenset[str]] = frozenset(
        {"output", "workers", "keep_checkpoints", "checkpoint_every", "tracker", "push_to_hub"}
    )
    """Keys that decide nothing of what is computed: a run may go on with others."""

    objective: str = "isoforms"
    output: Place
    steps: Annotated[int | str, BeforeValidator(_checked_total)]
    batch_size: Annotated[int, Field(ge=1)] = 768
    optimizer: Optimizer = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    learning_rate: Annotated[float, Field(gt=0)] = 0.005
    schedule: Schedule = "cosine"
    warmup_steps: Duration = 0
    cooldown_steps: Duration = 0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    evaluate_every: Annotated[int, Field(ge=1)] = 100
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    workers: Annotated[int, Field(ge=0)] = 0
    tracker: Place | None = "tensorboard"
    probe: Annotated[ProbeSource | None, BeforeValidator(_none_if_empty)] = None
    push_to_hub: Place | None = None
    init_from: Place | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _check_momentum(self) -> "Recipe":
        if self.momentum and self.optimizer not in WITH_MOMENTUM:
            raise ValueError(
                f"momentum: got {self.momentum} beside optimizer {self.optimizer}, wanted it with "
                f"{' or '.join(WITH_MOMENTUM)} alone"
            )
        return self

    def save(self, path: Path) -> None:
        """Write the recipe with all its values as YAML."""
        path.write_text(yaml.safe_dump(self.model_dump(), sort_keys=False))


R = TypeVar("R", bound=Options)
C = TypeVar("C")


def read_values(path: str | os.PathLike, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read keys and values of a recipe file and apply `--key value` overrides.

    Args:
        path: a YAML file.
        overrides: `--key value` or `--key=value`, values in YAML; `--model.key value` reaches into
            `model`, and so for any key that holds keys.

    Raises:
        InputError: on a missing file, one that is not keys and values, or an odd override.
    """
    values = read_mapping(path, "recipe")
    for key, value in _overrides(list(overrides)):
        outer, dot, inner = key.partition(".")
        if dot:
            held = values.get(outer)
            if not isinstance(held, dict | None):
                raise InputError(f"command line: --{key}: {outer} holds {shown(held)}, not keys")
            value = {**(held or {}), inner: value}
        values[outer] = value
    return values


def check_recipe(values: Mapping[str, Any], recipe_class: type[R], source) -> R:
    """Make a recipe of keys and values.

    Args:
        values: as `read_values` returns them.
        recipe_class: of the recipe's objective.
        source: what an error calls the recipe.

    Raises:
        InputError: an unknown key (with the nearest name), a missing one, or a value that is not
            what it must be.
    """
    try:
        return recipe_class(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        raise InputError(f"{source}: {_message(error, recipe_class)}") from None


def duration(recipe: Recipe, name: str, steps_per_epoch: int) -> int:
    """Convert a duration of a recipe to steps.

    Args:
        recipe: that has it.
        name: of the attribute.
        steps_per_epoch: of its data.
    """
    number, unit = _parsed_duration(getattr(recipe, name)) or (0, "steps")
    if unit == "%":
        return round(number * duration(recipe, "steps", steps_per_epoch) / 100)
    return round(number * steps_per_epoch) if unit == "epochs" else int(number)


def make_config(make: Callable[..., C], arguments: Mapping[str, Any], known: Iterable[str]) -> C:
    """Make a configuration of the arguments that a recipe has under `model`.

    Args:
        make: takes the arguments.
        arguments: as in the recipe.
        known: names that they may have.

    Raises:
        ValueError: an unknown name (with the nearest known one), or a value that is refused.
    """
    known = list(known)
    for name in arguments:
        if name not in known:
            raise ValueError(f"model.{name}: unknown key{nearest(str(name), known)}")
    try:
        return make(**arguments)
    except (ValueError, TypeError, AttributeError) as error:  # transformers' own checks, too
        raise ValueError(f"model.{error}") from error


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the known name that is most like an unknown one, or list all."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names)}"


def shown(value: Any) -> str:
    """Return a value as an error shows it: the beginning of its repr."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _overrides(words: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of `--key value` and `--key=value`."""
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise InputError(f"command line: got {word!r}, wanted --key value")
        key, equals, text = word[2:].partition("=")
        if not equals:
            if not words:
                raise InputError(f"command line: --{key}: wanted a value")
            text = words.pop(0)
        yield key.replace("-", "_"), parse_yaml(text, f"command line: --{key}")


# pydantic's name of an error: what was wanted, with the values that it tells.
_WANTED = {
    "int_type": "int",
    "int_from_float": "int",
    "float_type": "float",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text",
    "string_pattern_mismatch": "text without control characters",
    "dict_type": "keys and values",
    "list_type": "a list",
    "model_type": "keys and values",
    "finite_number": "a finite number",
    "literal_error": "one of {expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "value_error": "{error}",
}


def _message(error: ValidationError, recipe_class: type[Options]) -> str:
    """Describe the first fault of a recipe in one line; missing keys come last."""
    problems = error.errors(include_url=False)
    missing = [".".join(map(str, p["loc"])) for p in problems if p["type"] == "missing"]
    problem = next((p for p in problems if p["type"] != "missing"), None)
    if problem is None:
        return f"missing {', '.join(missing)}"
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = _keys(recipe_class, problem["loc"])
        return f"{name}: unknown key{nearest(name.split('.')[-1], known)}"
    wanted = _WANTED.get(problem["type"], problem["msg"]).format(**problem.get("ctx", {}))
    if problem["type"] == "literal_error":  # "'a', 'b' or 'c'"
        wanted = wanted.replace("'", "").replace(" or ", ", ")
    if not name:  # of several keys: the check names them
        return wanted
    return f"{name}: got {shown(problem['input'])}, wanted {wanted}"


def _keys(options: type[BaseModel], location: tuple) -> list[str]:
    """Return the known keys at the location of an unknown one."""
    for name in location[:-1]:
        field = options.model_fields.get(name) if isinstance(name, str) else None
        if field is not None:
            options = next(_parts(field.annotation), options)
    return list(options.model_fields)


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the option classes in a type, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _parts(argument)
