"""Figures of results."""

import os
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isoclr.evaluation.probe import ProbeResult, metric_name

_SEED_COLOUR, _MEAN_COLOUR = "#9db8d2", "#1f4e79"
_LINES = [_MEAN_COLOUR, *(f"C{i}" for i in range(1, 10))]


def plot_probe(result: ProbeResult, path: str | os.PathLike) -> None:
    """Draws the first metric of every feature set: each seed, the mean and its 95 % interval.

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
        r = result.scores[name][result.metrics[0]]
        mean, half_width = result.mean(name)
        axes.scatter(r, y + np.linspace(-0.18, 0.18, len(r)), s=14, c=_SEED_COLOUR, linewidths=0)
        axes.errorbar(mean, y, xerr=half_width, fmt="o", ms=6, capsize=4, c=_MEAN_COLOUR)
        at_right_edge = ("axes fraction", "data")
        axes.annotate(f"{mean:.3f}", (1.01, y), xycoords=at_right_edge, va="center", c=_MEAN_COLOUR)
    axes.set_yticks(range(len(names)), [textwrap.fill(name, 32) for name in names])
    axes.get_yticklabels()[names.index(result.reference)].set_fontweight("bold")
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"{metric_name(result.metrics[0])} on test rows")
    # Over the whole figure: the axes are narrow when the names are long.
    legend = "Dark: mean and 95 % interval. Light: each seed."
    figure.suptitle(f"{result.title()}\n{legend}", fontsize=9, x=0.01, ha="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=150)


def plot_few_labels(results: Sequence[ProbeResult], path: str | os.PathLike) -> None:
    """Draws the first metric of every feature set over the number of labels learned from.

    Args:
        results: of `probe_few_labels`.
        path: the image to write; its suffix names the format.
    """
    last = results[-1]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    sizes = np.array([np.mean(result.train_rows) for result in results])
    # The legend in the order of the right ends of the lines.
    names = sorted(last.scores, key=lambda name: -last.mean(name)[0])
    for i, name in enumerate(last.scores):
        means, half_widths = zip(*(result.mean(name) for result in results), strict=True)
        # Side by side, so that intervals don't hide each other.
        apart = 1.02 ** (i - (len(names) - 1) / 2)
        axes.errorbar(
            sizes * apart,
            means,
            yerr=half_widths,
            marker="o",
            ms=4,
            lw=2.2 if i == 0 else 1.2,
            capsize=2,
            color=_LINES[i % len(_LINES)],
            linestyle=("-", "--", ":")[i // len(_LINES) % 3],
            label=name,
        )
    handles, labels = axes.get_legend_handles_labels()
    place = [labels.index(name) for name in names]
    shown = [textwrap.fill(name, 24) for name in names]
    figure.legend([handles[i] for i in place], shown, loc="outside right center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("labels to learn from")
    axes.set_ylabel(f"{metric_name(last.metrics[0])} on test rows")
    figure.suptitle(
        f"{last.title()}\nMean and 95 % interval. Thick: {last.reference}.",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
