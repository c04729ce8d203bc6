"""Figures of results."""

import os
import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isoclr.evaluation.probe import ProbeResult

_SEED_COLOUR, _MEAN_COLOUR = "#9db8d2", "#1f4e79"


def plot_probe(result: ProbeResult, path: str | os.PathLike) -> None:
    """Draws Pearson r of every feature set: each seed, the mean and its 95 % interval.

    Args:
        result: of `probe`.
        path: the image to write; its suffix names the format.
    """
    names = sorted(result.scores, key=lambda name: result.mean(name)[0])
    # No pyplot: it would keep the figure, and choose a backend for the whole process.
    figure = Figure(figsize=(7, 1.3 + 0.45 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for y, name in enumerate(names):
        r = result.scores[name]["pearson"]
        mean, half_width = result.mean(name)
        axes.scatter(r, y + np.linspace(-0.18, 0.18, len(r)), s=14, c=_SEED_COLOUR, linewidths=0)
        axes.errorbar(mean, y, xerr=half_width, fmt="o", ms=6, capsize=4, c=_MEAN_COLOUR)
        at_right_edge = ("axes fraction", "data")
        axes.annotate(f"{mean:.3f}", (1.01, y), xycoords=at_right_edge, va="center", c=_MEAN_COLOUR)
    axes.set_yticks(range(len(names)), [textwrap.fill(name, 30) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("Pearson r on test rows")
    # Over the whole figure: the axes are narrow when the names are long.
    legend = "Dark: mean and 95 % interval. Light: each seed."
    figure.suptitle(f"{result.title()}\n{legend}", fontsize=9, x=0.01, ha="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=150)
