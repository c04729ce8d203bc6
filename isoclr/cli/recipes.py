"""isoclr recipes: the recipes that come with the package."""

import re
import textwrap
from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr import shipped
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed


def recipes(
    name: Annotated[str | None, typer.Argument(help="print this recipe")] = None,
    keys: Annotated[
        str | None,
        Option(metavar="OBJECTIVE", help="print the keys of its recipes instead, such as isoforms"),
    ] = None,
) -> Printed:
    """List the shipped recipes, or print one to begin your own from.

    Example:
    isoclr recipes
    isoclr recipes laptop > mine.yaml
    isoclr recipes --keys isoforms
    """
    if keys is not None:
        return _keys_of(keys)
    found = shipped.recipes()
    if name is None:
        width = max(map(len, found), default=0)
        said = {known: _first_sentence(path.read_text()) for known, path in found.items()}
        lines = [f"{known:<{width}}  {sentence}" for known, sentence in said.items()]
        return Printed(text="\n".join(lines), data={"recipes": said})
    if name not in found:
        raise InputError(f"{name}: got no such recipe, wanted one of {', '.join(found)}")
    from isoclr.training.yaml_file import read_yaml

    path = found[name]
    text = path.read_text().removesuffix("\n")
    return Printed(text=text, data={"name": name, "recipe": read_yaml(path, "a recipe")})


def _keys_of(objective: str) -> Printed:
    from isoclr.objectives import objective_class
    from isoclr.training.recipe_keys import recipe_keys

    found = list(recipe_keys(objective_class(objective).recipe_class))
    lines = []
    for key in found:
        default = "required" if key.default is None else key.default
        lines.append(f"{key.name}: {key.type}, {default}")
        if key.meaning:
            lines.append(textwrap.indent(textwrap.fill(key.meaning, 92), "    "))
    return Printed(text="\n".join(lines), data={"objective": objective, "keys": found})


def _first_sentence(text: str) -> str:
    """Return what the comment at the top of a recipe begins with."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.;:]) ", " ".join(comment))[0].rstrip(".;:")
