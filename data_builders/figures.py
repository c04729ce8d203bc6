"""Figures as files, without pyplot: it keeps figures, and chooses a backend for the process."""

import os

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, title: str, path: str | os.PathLike) -> None:
    """Write a figure with a title over the whole of it.

    Args:
        figure: of `new_figure`.
        title: small, on the left; of several lines perhaps.
        path: the image to write; its suffix names the format.
    """
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
