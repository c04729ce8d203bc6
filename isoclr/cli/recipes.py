"""isoclr recipes: the recipes that come with the package."""

import re
import textwrap
from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr import shipped
from isoclr.cli.options import Option


def recipes(
    name: Annotated[str | None, typer.Argument(help="print this recipe")] = None,
    keys: Annotated[
        str | None,
        Option(metavar="OBJECTIVE", help="print the keys of its recipes instead, such as isoforms"),
    ] = None,
) -> None:
    """List the shipped recipes, or print one to begin your own from.

    Example:
    isoclr recipes
    isoclr recipes laptop > mine.yaml
    isoclr recipes --keys isoforms
    """
    if keys is not None:
        from isoclr.objectives import objective_class
        from isoclr.training.recipe_keys import recipe_keys

        for key in recipe_keys(objective_class(keys).recipe_class):
            default = "required" if key.default is None else key.default
            print(f"{key.name}: {key.type}, {default}")
            if key.meaning:
                print(
                    textwrap.fill(key.meaning, 96, initial_indent="    ", subsequent_indent="    ")
                )
        return
    found = shipped.recipes()
    if name is None:
        width = max(map(len, found), default=0)
        for known, path in found.items():
            print(f"{known:<{width}}  {_first_sentence(path.read_text())}")
        return
    if name not in found:
        raise InputError(f"{name}: got no such recipe, wanted one of {', '.join(found)}")
    print(found[name].read_text(), end="")


def _first_sentence(text: str) -> str:
    """Return what the comment at the top of a recipe begins with."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.;:]) ", " ".join(comment))[0].rstrip(".;:")
