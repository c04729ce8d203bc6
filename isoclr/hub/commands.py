"""By which commands the results of a model card are made, and which rows no command makes."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from data_builders.records import InputError
from isoclr.training.yaml_file import read_mapping

COMMANDS = "commands.yaml"
"""File in the folder of results that says by which commands each of them is made."""

_LISTS = ("fast", "slow", "slow_rows", "not_made")


@dataclass(frozen=True, kw_only=True)
class Commands:
    """How one result is made.

    Attributes:
        fast: lines of isoclr.
        slow: lines that train networks for hours.
        slow_rows: rows, and files, that the slow lines alone make.
        not_made: rows that no line makes, such as those of a control whose weights are not shipped.
        cpu_minutes: that the fast lines take, as measured; None: nobody has.
    """

    fast: list[str]
    slow: list[str] = field(default_factory=list)
    slow_rows: list[str] = field(default_factory=list)
    not_made: list[str] = field(default_factory=list)
    cpu_minutes: float | None = None


def read_commands(path: Path) -> dict[str, Commands]:
    """Read the commands of a card."""
    if not path.is_file():
        raise InputError(f"{path}: no such file, wanted the commands that make a card's results")
    found = {}
    for name, how in read_mapping(path, "lines of isoclr for each result").items():
        how = how if isinstance(how, dict) else {"fast": how}
        texts = [how.get(key, []) for key in _LISTS]
        minutes = how.get("cpu_minutes")
        if not (
            how.keys() <= {each.name for each in fields(Commands)}
            and "fast" in how
            and all(isinstance(lines, list) for lines in texts)
            and all(isinstance(line, str) for lines in texts for line in lines)
            and (minutes is None or isinstance(minutes, int | float))
        ):
            raise InputError(
                f"{path}: {name}: wanted lines of isoclr, or 'fast' and perhaps 'slow' with such, "
                "'slow_rows' and 'not_made' with names of rows, and 'cpu_minutes'"
            )
        found[name] = Commands(**how)
    return found


def cpu_minutes(commands: Iterable[Commands]) -> float | None:
    """Return what all fast lines take; None where one was not measured, or there is none."""
    known = [how.cpu_minutes for how in commands]
    return sum(each for each in known if each) if known and None not in known else None
