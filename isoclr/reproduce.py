"""The results of a model card once more, from weights and data, and what differs."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from data_builders.counts import counted
from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.hub.commands import COMMANDS, Commands, cpu_minutes, read_commands
from isoclr.model_folder import HEADS
from isoclr.progress import print_above
from isoclr.progress import progress as progress_bar
from isoclr.statistics import aligned

# Of JSON, what says how a run went rather than what came out, or repeats it split by split.
_PASSED_OVER = {"runs", "about", "seconds", "model", "encoder"}
_BETWEEN = " / "


@dataclass
class Comparison:
    """A file of results beside what was made anew.

    Attributes:
        name: of the file, below the folder of results.
        same: numbers that print alike, or figures that are alike in every pixel.
        differ: where, what it was, what it is now.
        missing: rows that no command that was run makes, or a figure that would have them.
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

    `results/commands.yaml` of the model maps each result's folder to what `Commands` has, or to the
    fast lines alone. In lines {model}, {data} and {output} stand for folders. `heads/NAME` is a
    head, which lies beside the results. Results whose commands were run to their end by an earlier
    call are not run again. What is to be run, what runs, and what came of each result is printed on
    standard error.

    Args:
        model: folder of the model.
        data: folder of labels and annotations.
        output: folder to write into, a folder for each result.
        only: results to make; none: all.
        slow: run the lines that take hours too.

    Returns:
        A comparison of each file of results: JSON by its numbers to three decimals, tables in text
        by their cells, figures by their pixels. A row that is gone is a difference unless the
        commands say that none makes it, or only slow ones that were not run.

    Raises:
        InputError: no commands, an unknown result, or a command that fails.
    """
    path = model / "results" / COMMANDS
    commands = read_commands(path)
    for name in only:
        if name not in commands:
            raise InputError(f"{path}: got no '{name}', wanted one of {', '.join(commands)}")
    if not data.is_dir():
        raise InputError(f"{data}: no such folder, wanted the data that the results are made of")
    chosen = {name: commands[name] for name in only or commands}
    print_above(f"{model.resolve().name}: {_planned(chosen, slow)}")
    found = []
    for name, how in progress_bar(chosen.items(), "results", unit="result"):
        made = output / name
        places = {"model": model.resolve(), "data": data.resolve(), "output": made.resolve()}
        _run(how.fast + (how.slow if slow else []), places, made)
        unmade = frozenset(how.not_made + ([] if slow else how.slow_rows))
        compared = _compared(_folder(model, name), made, unmade)
        differ = sum(len(each.differ) for each in compared)
        numbers = counted(differ + sum(each.same for each in compared), "number")
        print_above(f"{name}: {numbers} compared, {differ:,} differ")
        found += compared
    return found


def _planned(commands: Mapping[str, Commands], slow: bool) -> str:
    """Say what will be run, and how long it took where it was measured."""
    parts, minutes = [], cpu_minutes(commands.values())
    for name, how in commands.items():
        lines = counted(len(how.fast) + (len(how.slow) if slow else 0), "command")
        known = "" if how.cpu_minutes is None else f", {how.cpu_minutes:g} CPU minutes"
        parts.append(f"{name} ({lines}{known if not slow or not how.slow else ', hours'})")
    total = f", about {minutes:g} CPU minutes" if minutes and not slow else ""
    return f"{counted(len(parts), 'result')}{total}: {', '.join(parts)}"


def table_of(found: Sequence[Comparison]) -> str:
    """Return how many numbers are the same, and all that differ, for reading."""
    lines = [("file", "same", "differ", "not made again")]
    for each in found:
        lines.append((each.name, str(each.same), str(len(each.differ)), ", ".join(each.missing)))
    differing = [
        f"{each.name}: {where}: {was}, now {now}"
        for each in found
        for where, was, now in each.differ
    ]
    return "\n".join([aligned(lines), *differing])


def _folder(model: Path, name: str) -> Path:
    """Where the result of a name lies in a model's folder."""
    return model / name if name.startswith(f"{HEADS}/") else model / "results" / name


def _run(lines: Sequence[str], places: dict[str, Path], made: Path) -> None:
    """Run lines of isoclr unless they were run to their end before; show what they say."""
    done = made / "commands.done"
    text = "\n".join(lines)
    if done.exists() and done.read_text() == text:
        return
    made.mkdir(parents=True, exist_ok=True)
    for line in lines:
        words = [word.format(**places) for word in shlex.split(line)]
        print_above(f"isoclr {shlex.join(words)}")
        command = [sys.executable, "-m", "isoclr", *words]
        last = "no word"
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as running:
            assert running.stderr is not None  # a pipe was asked for
            for said in running.stderr:
                last = said.strip() or last
                print_above(said.rstrip())
        if running.returncode:
            raise InputError(f"failed: {last}")
    done.write_text(text)


def _compared(old: Path, new: Path, unmade: frozenset[str]) -> list[Comparison]:
    """Compare every table and figure of a folder of results with the one made anew.

    `unmade` are names of rows and files that nothing that was run makes.
    """
    found: list[Comparison] = []
    for suffix in ("json", "md", "txt", "png"):  # figures last: they may lack what tables lack
        for path in sorted(old.glob(f"*.{suffix}")):
            each = Comparison(f"{old.name}/{path.name}")
            found.append(each)
            again = new / path.name
            if not again.exists():
                _gone(each, "the file", (path.name,), unmade)
            elif suffix == "json":
                before, after = (read_json(p, (), "results of isoclr") for p in (path, again))
                _compare(before, after, (), each, unmade)
            elif suffix != "png":
                _compare_text(path.read_text("utf-8"), again.read_text("utf-8"), each, unmade)
            elif np.array_equal(imread(path), imread(again)):
                each.same = 1
            elif any(one.missing for one in found):
                each.missing.append("the figure, with these rows")
            else:
                each.differ.append(("pixels", "a figure", "another"))
            each.missing = list(dict.fromkeys(each.missing))
    return found


def _gone(found: Comparison, where: str, names: Sequence[str], unmade: frozenset[str]) -> None:
    """Note what was not made again: as told, or as a difference."""
    if unmade.intersection(names):
        found.missing.append(names[-1])
    else:
        found.differ.append((where, "there", "not made"))


def _compare(old, new, where: tuple[str, ...], found: Comparison, unmade: frozenset[str]) -> None:
    """Compare values of JSON, number by number as they are printed."""
    old, new = _named(old), _named(new)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (key for key in old if key not in _PASSED_OVER):
            if key in new:
                _compare(old[key], new[key], (*where, key), found, unmade)
            else:
                _gone(found, " / ".join((*where, key)), key.split(_BETWEEN), unmade)
        for key in new.keys() - old.keys() - _PASSED_OVER:
            found.differ.append((" / ".join((*where, key)), "not there", "made"))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            _compare(*pair, (*where, str(number)), found, unmade)
    elif _printed(old) == _printed(new):
        found.same += 1
    else:
        found.differ.append((" / ".join(where), _printed(old), _printed(new)))


def _named(value):
    """Return a list of rows that their texts tell apart as a dict by these; all else as it is."""
    if not (isinstance(value, list) and value and all(isinstance(row, dict) for row in value)):
        return value
    names = [_BETWEEN.join(v for v in row.values() if isinstance(v, str)) for row in value]
    return dict(zip(names, value, strict=True)) if len({*names}) == len(names) else value


def _compare_text(old: str, new: str, found: Comparison, unmade: frozenset[str]) -> None:
    """Compare tables in text: a line with that of the same first two cells."""
    before, after = ([_cells(line) for line in text.splitlines()] for text in (old, new))
    changed = [cells for cells in after if cells not in before]
    for cells in before:
        if cells in after:
            found.same += sum(any(map(str.isdigit, cell)) for cell in cells)
            continue
        where = " ".join(cells[:2])
        near = [other for other in changed if len(other) == len(cells) and other[:2] == cells[:2]]
        if not near and unmade.intersection(cells):
            found.missing.append(next(cell for cell in cells if cell in unmade))
        elif not near:
            found.differ.append((where, " ".join(cells), "no such line"))
        for was, now in zip(cells, near[0] if near else cells, strict=True):
            if was != now:
                found.differ.append((where, was, now))


def _cells(line: str) -> list[str]:
    """The cells of a line of a table, in Markdown or aligned by spaces."""
    return [cell.strip() for cell in re.split(r"\||\s{2,}", line) if cell.strip()]


def _printed(value) -> str:
    """Return a number as tables print it, and anything else as JSON."""
    return f"{value:.3f}" if isinstance(value, float) else json.dumps(value)
