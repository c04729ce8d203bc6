"""The results of a model card once more, from weights and data, and what differs."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.model_folder import HEADS
from isoclr.progress import progress as progress_bar
from isoclr.statistics import aligned
from isoclr.training.yaml_file import read_yaml

COMMANDS = "commands.yaml"
"""File in the folder of results that says by which commands each of them is made."""

_PLACES = ("model", "data", "output")
# Of JSON, what says how a run went rather than what came out, or repeats it split by split.
_PASSED_OVER = {"runs", "about", "seconds", "model", "encoder"}
_SHOWN = 20


@dataclass
class Comparison:
    """A file of results beside what was made anew.

    Attributes:
        name: of the file, below the folder of results.
        same: numbers that print alike, or figures that are alike in every pixel.
        differ: where, what it was, what it is now.
        missing: what was not made again, such as a row of a table.
    """

    name: str
    same: int = 0
    differ: list[tuple[str, str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def reproduce(
    model: Path,
    data: Path,
    output: Path,
    *,
    only: Sequence[str] = (),
    slow: bool = False,
) -> list[Comparison]:
    """Run the commands that made the results of a model, and compare.

    `results/commands.yaml` of the model maps each result's folder to lines of `isoclr`, in which
    {model}, {data} and {output} stand for folders; after "slow:" lines that train networks for
    hours. `heads/NAME` is a head, which lies beside the results. Results whose commands were run to
    their end by an earlier call are not run again.

    Args:
        model: folder of the model.
        data: folder of labels and annotations.
        output: folder to write into, a folder for each result.
        only: results to make; none: all.
        slow: run the lines that take hours too.

    Returns:
        A comparison of each file of results: JSON by its numbers to three decimals, figures by
        their pixels.

    Raises:
        InputError: no commands, an unknown result, or a command that fails.
    """
    path = model / "results" / COMMANDS
    wanted = "lines of isoclr for each result"
    commands = read_yaml(path, wanted)
    if not isinstance(commands, dict):
        raise InputError(f"{path}: got {type(commands).__name__}, wanted {wanted}")
    for name in only:
        if name not in commands:
            raise InputError(f"{path}: got no '{name}', wanted one of {', '.join(commands)}")
    if not data.is_dir():
        raise InputError(f"{data}: no such folder, wanted the data that the results are made of")
    found = []
    for name in progress_bar(list(only or commands), "results", unit="result"):
        made = output / name
        places = {"model": model.resolve(), "data": data.resolve(), "output": made.resolve()}
        _run(_lines(commands[name], slow, f"{path}: {name}"), places, made)
        found += list(_compared(_folder(model, name), made))
    return found


def table_of(found: Sequence[Comparison]) -> str:
    """Return how many numbers are the same, and which differ, for reading."""
    lines = [("file", "same", "differ", "not made again")]
    for each in found:
        lines.append((each.name, str(each.same), str(len(each.differ)), ", ".join(each.missing)))
    differing = [
        f"{each.name}: {where}: {was}, now {now}"
        for each in found
        for where, was, now in each.differ
    ]
    more = [f"and {len(differing) - _SHOWN} more"] if len(differing) > _SHOWN else []
    return "\n".join([aligned(lines), *differing[:_SHOWN], *more])


def _folder(model: Path, name: str) -> Path:
    """Where the result of a name lies in a model's folder."""
    return model / name if name.startswith(f"{HEADS}/") else model / "results" / name


def _lines(commands, slow: bool, where: str) -> list[str]:
    """Return the lines to run of a result."""
    if not isinstance(commands, dict):
        commands = {"fast": commands}
    parts = [commands.get(part, []) for part in (("fast", "slow") if slow else ("fast",))]
    lines = [line for part in parts if isinstance(part, list) for line in part]
    whole = all(isinstance(part, list) for part in parts)
    if not (whole and all(isinstance(line, str) for line in lines)):
        raise InputError(f"{where}: wanted lines of isoclr, or 'fast' and 'slow' with such")
    return lines


def _run(lines: Sequence[str], places: dict[str, Path], made: Path) -> None:
    """Run lines of isoclr unless they were run to their end before."""
    done = made / "commands.done"
    text = "\n".join(lines)
    if done.exists() and done.read_text() == text:
        return
    made.mkdir(parents=True, exist_ok=True)
    for line in lines:
        words = [word.format(**places) for word in shlex.split(line)]
        command = [sys.executable, "-m", "isoclr", *words]
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
            raise InputError(f"failed: {said[-1]}")
    done.write_text(text)


def _compared(old: Path, new: Path) -> Iterator[Comparison]:
    """Compare every JSON and figure of a folder of results with the one made anew."""
    for path in sorted([*old.glob("*.json"), *old.glob("*.png")]):
        found = Comparison(f"{old.name}/{path.name}")
        again = new / path.name
        if not again.exists():
            found.missing.append("the file")
        elif path.suffix == ".json":
            before, after = (read_json(p, (), "results of isoclr") for p in (path, again))
            _compare(before, after, (), found)
            found.missing = list(dict.fromkeys(found.missing))
        elif _same_pixels(path, again):
            found.same = 1
        else:
            found.differ.append(("pixels", "a figure", "another"))
        yield found


def _compare(old, new, where: tuple[str, ...], found: Comparison) -> None:
    """Compare values of JSON, number by number as they are printed."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() - _PASSED_OVER:
            if key in new:
                _compare(old[key], new[key], (*where, key), found)
            else:
                found.missing.append(key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            _compare(*pair, (*where, str(number)), found)
    elif _printed(old) == _printed(new):
        found.same += 1
    else:
        found.differ.append((" / ".join(where), _printed(old), _printed(new)))


def _printed(value) -> str:
    """Return a number as tables print it, and anything else as JSON."""
    return f"{value:.3f}" if isinstance(value, float) else json.dumps(value)


def _same_pixels(first: Path, second: Path) -> bool:
    return np.array_equal(imread(first), imread(second))
