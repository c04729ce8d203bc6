"""Figures as files, without pyplot: it keeps figures, and chooses a backend for the process.

Text in them is text: names come from files, and mean nothing to matplotlib.
"""

import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

_MATH = re.compile(r"(?<!\\)\$")
_LONGEST_LINE = 200


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(
    width: float, height: float, rows: int = 1, columns: int | None = None, **options
) -> tuple[Figure, Any]:
    """Return a figure, in inches, and its panels, without frames at the top and at the right.

    Returns:
        The figure, and its panel, or where rows or columns are given an array of all, row by row.
    """
    figure = new_figure(width, height)
    panels = figure.subplots(rows, columns or 1, squeeze=False, **options).ravel()
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels[0] if rows == 1 and columns is None else panels


def save_figure(figure: Figure, title: str, path: str | os.PathLike) -> None:
    """Write a figure with a title over the whole of it, small, on the left."""
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    write_figure(figure, path)


def write_figure(figure: Figure, path: str | os.PathLike, dpi: int = 150) -> None:
    """Write a figure in which a `$` is a `$`: it begins no formula, whatever name it stands in."""
    for text in _texts_beside_ticks(figure):
        if text.get_text():
            lines = text.get_text().split("\n")
            text.set_text("\n".join(_plain_line(line) for line in lines))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(path, dpi=dpi)


def plain(text: str, most: int = 60) -> str:
    """A name as matplotlib shows it: no formula, no control characters, not too long.

    Labels of ticks and legends need this where they are made; `write_figure` sees to other text.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    shown = shown if len(shown) <= most else f"{shown[: most - 1]}…"
    # A legend leaves out what is empty or begins with an underscore.
    return _MATH.sub(r"\\$", f" {shown}" if not shown or shown.startswith("_") else shown)


def _texts_beside_ticks(artist: Artist) -> Iterator[Text]:
    """Yield the texts of a figure but those of ticks: on a logarithmic axis these are formulas."""
    if isinstance(artist, Axis):  # which would make its ticks to give them as children
        yield from (artist.label, artist.offsetText)
        return
    for part in artist.get_children():
        if isinstance(part, Text):
            yield part
        yield from _texts_beside_ticks(part)


def _plain_line(line: str) -> str:
    indent = len(line) - len(line.lstrip())  # which `plain` may have made
    return line[:indent] + plain(line[indent:], _LONGEST_LINE).lstrip()
