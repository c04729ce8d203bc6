"""The keys of recipes, with what their docstrings say of them."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel

_ENTRY = re.compile(r"(\w+)(?: \([^)]*\))?: (.*)")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a recipe.

    Attributes:
        name: "steps"; of a part "model.dropout".
        type: as Python writes it.
        meaning: from the docstring; empty where it says nothing.
        default: as text; None of a key that a recipe must have.
    """

    name: str
    type: str
    meaning: str
    default: str | None


def recipe_keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """Yield the keys of a recipe, each followed by those of the part that it is.

    Args:
        model: a subclass of `Recipe`, or of `Options`.
        prefix: of the names, such as "model.".
    """
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel):
            meanings |= attributes_of(base.__doc__ or "")
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        required = field.is_required()
        default = None if required else str(field.get_default(call_default_factory=True))
        yield Key(
            name=f"{prefix}{name}",
            type=_type(field.annotation),
            meaning=meanings.get(name, ""),
            default="its keys" if parts and not required else default,
        )
        for part in parts:
            yield from recipe_keys(part, f"{prefix}{name}.")


def attributes_of(docstring: str) -> dict[str, str]:
    """Return what the section "Attributes" of a docstring says, by name."""
    _, _, text = inspect.cleandoc(docstring).partition("Attributes:\n")
    found: dict[str, str] = {}
    name = None
    for line in text.splitlines():
        if line and not line.startswith(" "):
            break
        entry = _ENTRY.fullmatch(line[4:]) if re.match(r" {4}\S", line) else None
        if entry:
            name, found[entry[1]] = entry[1], entry[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def _type(annotation) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return "None" if annotation is type(None) else annotation.__name__
    text = re.sub(
        r"Annotated\[([^,\[\]]+)(?:\[[^\]]*\])?,.*?\](?=$| \||,|\])", r"\1", str(annotation)
    )
    return re.sub(r"\b[\w.]+\.(?=\w)", "", text).replace("NoneType", "None")
