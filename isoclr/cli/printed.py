"""What a command prints: lines for a person or, with `--json`, one object for a machine."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What a command found. A command that returns it has the option `--json`.

    Attributes:
        text: for a person.
        data: the same for a machine; what `plain_data` takes.
        status: of the exit.
    """

    text: str
    data: Mapping = field(default_factory=dict)
    status: int = 0

    def show(self, as_json: bool) -> None:
        """Print the object, or the text."""
        print(self.json() if as_json else self.text)

    def json(self) -> str:
        """Return `data` as one JSON object."""
        return json.dumps(plain_data(self.data), indent=1, ensure_ascii=False, allow_nan=False)


def plain_data(value: Any) -> Any:
    """Return a value in JSON's own types.

    Args:
        value: of JSON's types, dataclasses, paths, tuples, sets, NumPy numbers and arrays, nested.

    Returns:
        The same as dicts, lists, text, numbers, true, false and null. A number that is not finite
        is null: JSON has none.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    to_list = getattr(value, "tolist", None)  # NumPy is not imported for a list of commands
    if to_list is not None:
        value = to_list()
    if isinstance(value, Mapping):
        return {str(key): plain_data(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return [plain_data(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def reasons(tally) -> dict[str, dict[str, int]]:
    """Return how many records were skipped and adjusted, by reason.

    Args:
        tally: has both counts, as attributes or keys.
    """
    names = ("skipped", "adjusted")
    return {n: dict(tally[n] if isinstance(tally, dict) else getattr(tally, n)) for n in names}


def reason_lines(tally) -> list[str]:
    """Return the same in lines for reading."""
    return [
        f"  {what} {n}: {reason}"
        for what, counts in reasons(tally).items()
        for reason, n in counts.items()
    ]
