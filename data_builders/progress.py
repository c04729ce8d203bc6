"""Show how far a long step is, in the way that suits where the output goes."""

import os
import sys
import time
from collections.abc import Iterable

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0

_shown = {"progress": True}  # by this process, see `be_quiet`

Progress = tqdm
"""What shows progress: an iterable and a context manager, to be updated by hand or by its loop."""


def progress(
    iterable: Iterable | None = None,
    description: str = "",
    *,
    unit: str = "",
    total: int | None = None,
    initial: int = 0,
    keep: bool = False,
    show: bool = True,
) -> Progress:
    """Return the iterable with progress on standard error while it is consumed.

    On a terminal that is a bar, after two seconds. In a file or a pipe it is a line with the time
    that is left, at most every ten seconds: none for a step that is done sooner.

    Args:
        iterable: what to go through; None: call `update(n)` on the returned object.
        description: what is being done, such as "embedding".
        unit: what is counted, in the singular; "B" for bytes.
        total: how many there are; None: the iterable's length, if it has one.
        initial: how many were done before.
        keep: leave the bar on the terminal when all is done.
        show: False shows nothing.

    Returns:
        A tqdm: an iterable and a context manager, with `update`, `set_postfix` and `close`.
    """
    kind = tqdm if sys.stderr.isatty() else _PlainLines
    return kind(
        iterable,
        desc=description,
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B" or (total or 0) >= 100_000,
        unit_divisor=1024 if unit == "B" else 1000,
        total=total,
        initial=initial,
        delay=0 if keep else 2,
        leave=keep,
        disable=not (show and _shown["progress"]),
        file=sys.stderr,
    )


def be_quiet(quiet: bool = True) -> None:
    """Show no progress in this process, those of Hugging Face's libraries included, or do again."""
    _shown["progress"] = not quiet
    if quiet:
        _disable_bars_of_libraries()


def print_above(message: str) -> None:
    """Print a line on standard error without breaking the bar that is shown there."""
    if sys.stderr.isatty():
        tqdm.write(message, file=sys.stderr)
    else:  # no bar, and tqdm would write carriage returns
        print(message, file=sys.stderr, flush=True)


def quiet_libraries() -> None:
    """Turn off the bars of Hugging Face's libraries where standard error is no terminal."""
    if not sys.stderr.isatty():
        _disable_bars_of_libraries()


def _disable_bars_of_libraries() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if "transformers" in sys.modules:  # it read the environment when it was imported
        from transformers.utils import logging

        logging.disable_progress_bar()


class _PlainLines(tqdm):
    """Progress as lines: no carriage return, at most one line every ten seconds of a process."""

    monitor_interval = 0  # no thread that would print in between
    _last_line = -float("inf")

    def __init__(self, *arguments, **options):
        self._began = time.monotonic()
        super().__init__(*arguments, **options | {"mininterval": 1.0, "delay": 0})

    def display(self, msg=None, pos=None) -> None:
        """Print a line, unless one was printed just now or the step has only begun."""
        now = time.monotonic()
        if now - max(self._began, _PlainLines._last_line) >= SECONDS_BETWEEN_LINES:
            _PlainLines._last_line = now
            print(self._line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """End; a line is no bar that could be cleared."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)  # pyright: ignore[reportAttributeAccessIssue]  not in stubs

    def _line(self) -> str:
        shown = self.format_dict
        count, of = shown["n"], shown["total"]
        if shown["unit_scale"]:
            count, of = (
                None if n is None else self.format_sizeof(n, divisor=shown["unit_divisor"])
                for n in (count, of)
            )
        unit = shown["unit"].rstrip()
        text = f"{shown['prefix'] or 'progress'}: {count}{f'/{of}' if of else ''}{unit}"
        text += f", {self.format_interval(shown['elapsed'])} elapsed"
        rate = (shown["n"] - shown["initial"]) / shown["elapsed"] if shown["elapsed"] else 0
        if shown["total"] and rate:
            left = max(shown["total"] - shown["n"], 0) / rate
            text += f", {self.format_interval(left)} left"
        return text + (f", {shown['postfix']}" if shown["postfix"] else "")
