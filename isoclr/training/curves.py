"""What a run logs, and the figure of it."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders.records import InputError
from data_builders.storage import reason_of, sync


@dataclass(frozen=True)
class Panel:
    """One axis of the figure of curves.

    Attributes:
        title: what the axis shows, with its unit.
        series: key in the log, and label, of each curve.
        limits: of the vertical axis; None: as the curves ask.
    """

    title: str
    series: Sequence[tuple[str, str]]
    limits: tuple[float, float] | None = None


class RunLog:
    """One JSON line a step, cut back to where a resumed run starts.

    Lines that a failing disk or an editor damaged, that are there twice or not at all, do not stop
    the run: they are counted on standard error, and the log as it was is kept as `NAME.damaged`.

    Args:
        path: the log file.
        steps_done: later records are dropped: the resumed run writes them again.

    Raises:
        InputError: the log cannot be read or written.
    """

    def __init__(self, path: Path, steps_done: int):
        self.path = path
        try:
            found, faults = _read_what_is_sound(path, steps_done)
            self.records = found
            if faults:
                kept = path.with_name(f"{path.name}.damaged")
                if path.exists():
                    shutil.copyfile(path, kept)
                    faults.append(f"as it was: {kept.name}")
                print(f"{path}: {', '.join(faults)}", file=sys.stderr)
            beside = path.with_name(f".{path.name}")
            beside.write_text("".join(json.dumps(record) + "\n" for record in self.records))
            sync(beside)
            beside.replace(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {reason_of(error)}") from error

    def write(self, **record) -> None:
        """Append a record; it must have a `step`.

        Raises:
            InputError: the disk is full, or the log was deleted.
        """
        self.records.append(record)
        try:
            # Not made anew: a log without its first steps would pass for a whole one.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            with open(descriptor, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.path}: step {record['step']} cannot be written: {reason_of(error)}; "
                "the run can go on from its last checkpoint"
            ) from error

    def sync(self) -> None:
        """Flush all records to the disk, before a checkpoint that relies on them.

        Raises:
            InputError: the log was deleted.
        """
        try:
            sync(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {reason_of(error)}") from error


def read_log(path: Path) -> list[dict]:
    """Read the records of a log; none where there is no file. A last line cut short is ignored.

    Raises:
        InputError: a line that is no record of a step.
    """
    records, faults = [], []
    for number, line in _whole_lines(path):
        record = _record(line)
        if record is None:
            faults.append(number)
        else:
            records.append(record)
    if faults:
        raise InputError(
            f"{path}:{faults[0]}: got no record, wanted a JSON object with a step; "
            f"{len(faults)} such lines in all"
        )
    return records


def _read_what_is_sound(path: Path, steps_done: int) -> tuple[list[dict], list[str]]:
    """Return one record for each step up to `steps_done`, and what was wrong, in words."""
    lines = _whole_lines(path)
    found = [record for _, line in lines if (record := _record(line)) is not None]
    damaged, kept = len(lines) - len(found), {}
    for record in found:
        if record["step"] <= steps_done:
            kept[record["step"]] = record  # of two, the later was written by the run that went on
    repeated = sum(record["step"] <= steps_done for record in found) - len(kept)
    lost = steps_done - len(kept)
    faults = [
        f"{count} {what}"
        for count, what in (
            (damaged, "damaged lines"),
            (repeated, "steps that came again"),
            (lost, f"of {steps_done} steps lost"),
        )
        if count
    ]
    return [kept[step] for step in sorted(kept)], faults


def _whole_lines(path: Path) -> list[tuple[int, str]]:
    """Return the numbered lines that are complete and not blank; none without a file."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from error
    lines = enumerate(text.split("\n")[:-1], 1)
    return [(number, line) for number, line in lines if line.strip()]


def _record(line: str) -> dict | None:
    """Return the record of a line, None if it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if type(step) is int and step > 0 else None


def plot_curves(records: list[dict], panels: Sequence[Panel], path: Path) -> None:
    """Draw a run's curves over its steps.

    What was recorded at every step is a line; what was recorded now and then has markers.

    Args:
        records: of a `RunLog`.
        panels: of an objective; a curve of which nothing is recorded is left out.
        path: the PNG to write.
    """
    from data_builders.figures import new_axes, write_figure

    figure, every = new_axes(5 * len(panels), 4, 1, len(panels))
    for axis, panel in zip(every, panels, strict=True):
        for number, (key, label) in enumerate(panel.series):
            points = [(record["step"], record[key]) for record in records if key in record]
            if not points:
                continue
            dense = len(points) > len(records) / 2
            style = {"alpha": 0.6} if dense else {"marker": "o", "ms": 3}
            axis.plot(*zip(*points, strict=True), label=label, color=f"C{number}", **style)
        axis.set_title(panel.title, fontsize="medium")
        axis.set_xlabel("step")
        if panel.limits:
            axis.set_ylim(*panel.limits)
        if axis.lines:
            axis.legend(frameon=False)
    write_figure(figure, path)
