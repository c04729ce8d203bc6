"""Objectives, by name: each owns its data, model, loss and evaluation without labels."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from data_builders.records import InputError
from isoclr.shipped import resolve_recipe

if TYPE_CHECKING:
    from isoclr.objectives.base import Objective
    from isoclr.training.recipe import Recipe

OBJECTIVES = {
    "expression": "isoclr.objectives.expression.objective:ExpressionObjective",
    "homologs": "isoclr.objectives.homologs.objective:HomologObjective",
    "interactions": "isoclr.objectives.interactions.objective:InteractionObjective",
    "isoforms": "isoclr.objectives.isoforms.objective:IsoformObjective",
}
"""Name in a recipe -> `module:Class`, imported when a recipe asks for it."""

DEFAULT = "isoforms"
"""What a recipe that names none trains."""


def objective_class(name: str) -> type["Objective"]:
    """Import the class of an objective, which a key of `OBJECTIVES` names."""
    from isoclr.training.recipe import nearest, shown

    if not isinstance(name, str) or name not in OBJECTIVES:
        raise InputError(
            f"objective: got {shown(name)}, unknown{nearest(str(name)[:80], OBJECTIVES)}"
        )
    module, _, attribute = OBJECTIVES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> "Recipe":
    """Read a recipe file, of any objective, and apply `--key value` overrides.

    Args:
        path: a YAML file, or the name of a shipped recipe; its keys are the attributes of the
            objective's `recipe_class`.
        overrides: `--key value` or `--key=value`, values in YAML; `--model.key value` reaches into
            `model`, and so for any key that holds keys.

    Returns:
        An instance of the objective's `recipe_class`.

    Raises:
        InputError: on a missing file, an unknown objective or key (with the nearest name), or a
            value that is not what it must be.
    """
    from isoclr.training.recipe import check_recipe, read_values

    path = resolve_recipe(path)
    values = read_values(path, overrides)
    try:
        found = objective_class(values.get("objective", DEFAULT))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return check_recipe(values, found.recipe_class, path)
