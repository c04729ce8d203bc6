"""isoclr recipes: the recipes that come with the package."""

import re
from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr import shipped


def recipes(
    name: Annotated[str | None, typer.Argument(help="print this recipe")] = None,
) -> None:
    """List the shipped recipes, or print one to begin your own from.

    Example:
    isoclr recipes
    isoclr recipes laptop > mine.yaml
    """
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
