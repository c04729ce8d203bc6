"""Figures of a comparison."""

import os
import textwrap

import numpy as np

from data_builders.figures import new_axes, plain, save_figure
from isoclr.evaluation.results import Count, Results
from isoclr.evaluation.scores import METRIC_NAMES

_SPLIT_COLOUR, _MEAN_COLOUR = "#9db8d2", "#1f4e79"
_LINES = [_MEAN_COLOUR, *(f"C{i}" for i in range(1, 10))]
_FEWEST = 3  # splits whose interval a curve shows
_INTERVAL = "95 % interval, corrected for overlapping splits"


def plot_splits(results: Results, path: str | os.PathLike) -> None:
    """Draw the first metric of every predictor with most labels: splits, mean and its interval."""
    results = results.at(results.label_counts[-1])
    means = {
        name: mean for name in results.predictors if (mean := results.mean(name)[0]) is not None
    }
    names = sorted(means, key=lambda name: means[name])
    figure, axes = new_axes(7, 1.4 + 0.45 * len(names))
    for y, name in enumerate(names):
        values = results.values(name)
        mean, half_width = means[name], results.mean(name)[1]
        heights = y + np.linspace(-0.18, 0.18, len(values))
        axes.scatter(values, heights, s=14, c=_SPLIT_COLOUR, linewidths=0)
        axes.errorbar(mean, y, xerr=half_width, fmt="o", ms=6, capsize=4, c=_MEAN_COLOUR)
        at_right_edge = ("axes fraction", "data")
        axes.annotate(f"{mean:.3f}", (1.01, y), xycoords=at_right_edge, va="center", c=_MEAN_COLOUR)
    axes.set_yticks(range(len(names)), [textwrap.fill(plain(name), 32) for name in names])
    axes.get_yticklabels()[names.index(results.reference)].set_fontweight("bold")
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"{METRIC_NAMES[results.metrics[0]]} on test rows")
    note = f"Dark: mean and {_INTERVAL}. Light: each split."
    axes.grid(axis="x", alpha=0.3)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    save_figure(figure, f"{textwrap.fill(results.title(), 110)}\n{note}", path)


def plot_curve(results: Results, path: str | os.PathLike) -> None:
    """Draw the first metric of every predictor over the number of labels learned from."""
    figure, axes = new_axes(8.5, 5)
    counts, most = results.label_counts, results.label_counts[-1]
    sizes = np.array([results.train_rows(labels) for labels in counts])
    names = results.predictors
    every = []
    for i, name in enumerate(names):
        of_counts = [results.mean(name, labels=labels)[0] for labels in counts]
        known = [j for j, mean in enumerate(of_counts) if mean is not None]
        means = [mean for mean in of_counts if mean is not None]
        every += means
        # Side by side, so that intervals don't hide each other.
        apart = 1.02 ** (i - (len(names) - 1) / 2)
        axes.errorbar(
            sizes[known] * apart,
            means,
            yerr=[_half_width(results, name, counts[j]) for j in known],
            marker="o",
            ms=4,
            lw=2.2 if i == 0 else 1.2,
            capsize=2,
            elinewidth=0.8,
            color=_LINES[i % len(_LINES)],
            linestyle=("-", "--", ":")[i // len(_LINES) % 3],
            label=textwrap.fill(plain(name), 24),
        )
    handles, labels = axes.get_legend_handles_labels()
    # The legend in the order of the right ends of the lines; those that end before come last.
    ends = [results.mean(name, labels=most)[0] for name in names]
    order = sorted(range(len(names)), key=lambda i: (ends[i] is None, -(ends[i] or 0)))
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside right center",
        fontsize=8,
        frameon=False,
    )
    # Intervals of few labels would else be all there is to see.
    low, high = min(every), max(every)
    margin = 0.25 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], rotation=45)
    axes.minorticks_off()
    score = METRIC_NAMES[results.metrics[0]]
    axes.set(xlabel="labels to learn from", ylabel=f"{score} on test rows")
    note = f"Mean and {_INTERVAL}, of {_FEWEST} or more. Thick: {results.reference}."
    axes.grid(alpha=0.3)
    save_figure(figure, f"{textwrap.fill(results.title(), 110)}\n{note}", path)


def _half_width(results: Results, name: str, labels: Count) -> float:
    """Of the interval of a mean; 0 of two splits, whose interval hides everything else."""
    many = len(results.of(name, labels)) >= _FEWEST
    return (results.mean(name, labels=labels)[1] or 0.0) if many else 0.0
