"""The figure of phenotypes by labels: what is frozen beside what is trained on them."""

import os
import textwrap
from collections.abc import Sequence

from data_builders.figures import new_axes, plain, save_figure
from isoclr.evaluation.results import Results
from isoclr.evaluation.scores import METRIC_NAMES

_BAND = 0.12


def plot_phenotypes(results: Results, path: str | os.PathLike) -> None:
    """Draw the first metric over the labels: plain baselines, frozen encoders, trained networks.

    The reference is in every panel. A band is the 95 % interval of the reference's mean, corrected
    for overlapping splits; the others have intervals of a like width, which the table has.
    """
    names = [name for name in results.predictors if name != results.reference]
    frozen = [name for name in names if "frozen" in name or "untrained" in name]
    trained = [name for name in names if "fine-tuned" in name or "from scratch" in name]
    plain_ones = [name for name in names if name not in (*frozen, *trained)]
    panels = [
        ("without an encoder", plain_ones),
        ("frozen encoders", frozen),
        ("networks trained on the labels", trained),
    ]
    panels = [(title, shown) for title, shown in panels if shown]
    figure, every = new_axes(4.2 * len(panels), 4.6, 1, len(panels), sharey=True)
    for axes, (title, shown) in zip(every, panels, strict=True):
        _panel(axes, results, shown)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("labels to learn from")
        axes.legend(fontsize=7, frameon=False, loc="lower right")
    every[0].set_ylabel(f"{METRIC_NAMES[results.metrics[0]]} on test rows")
    note = f"Black, with the 95 % interval of its mean: {results.reference}."
    save_figure(figure, f"{textwrap.fill(results.title(), 110)}\n{note}", path)


def _panel(axes, results: Results, names: Sequence[str]) -> None:
    sizes, means, widths = _curve(results, results.reference)
    low = [mean - width for mean, width in zip(means, widths, strict=True)]
    high = [mean + width for mean, width in zip(means, widths, strict=True)]
    axes.fill_between(sizes, low, high, color="#000000", alpha=_BAND, linewidth=0)
    axes.plot(sizes, means, color="#000000", lw=2, marker="o", ms=3, label=results.reference)
    for number, name in enumerate(names):
        sizes, means, _ = _curve(results, name)
        label = textwrap.fill(plain(name), 30)
        axes.plot(sizes, means, color=f"C{number}", lw=1.3, marker="o", ms=3, label=label)
    ticks = [results.train_rows(count) for count in results.label_counts]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], rotation=45)
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _curve(results: Results, name: str) -> tuple[list[float], list[float], list[float]]:
    """Labels, mean and half-width of its interval, where a predictor was run."""
    found = []
    for count in results.label_counts:
        mean, width = results.mean(name, labels=count)
        if mean is not None:
            found.append((results.train_rows(count), mean, width or 0.0))
    sizes, means, widths = zip(*found, strict=True)
    return list(sizes), list(means), list(widths)
