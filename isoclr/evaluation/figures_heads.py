"""Figure of a head on transcripts of homology groups that it was not fitted to."""

import os

import numpy as np

from data_builders.figures import new_axes, save_figure
from data_builders.labels.base import REGRESSION
from isoclr.evaluation.results import Results
from isoclr.evaluation.scores import METRIC_NAMES
from isoclr.statistics import plus_minus

_DARK, _LIGHT, _BAND = "#1f4e79", "#9db8d2", "#dfe8f1"


def plot_held_out(results: Results, head, path: str | os.PathLike) -> None:
    """Draw predictions of the first split's test rows, and how many the intervals cover.

    Of classes, the first metric of every split is drawn instead.
    """
    if results.task != REGRESSION:
        results.figure(path)
        return
    run = next(iter(results.of(head.name).values()))
    of_run = results.predictions[run.key]
    figure, (scatter, coverage) = new_axes(8.5, 4, 1, 2)
    ends = np.array([of_run.predicted.min(), of_run.predicted.max()])
    half_width = run.choices["0.9"]
    scatter.fill_between(
        ends, ends - half_width, ends + half_width, color=_BAND, label="90 % interval"
    )
    scatter.plot(ends, ends, c=_DARK, lw=1)
    scatter.scatter(of_run.predicted, of_run.observed, s=6, c=_DARK, alpha=0.5, linewidths=0)
    scatter.set(xlabel=f"predicted {head.label}", ylabel=f"measured {head.label}")
    scatter.legend(frameon=False, loc="upper left")
    levels = np.array(list(map(float, head.half_widths)))
    found = [head.held_out[f"coverage {level}"] for level in head.half_widths]
    coverage.plot([0.4, 1], [0.4, 1], c=_LIGHT, lw=1, label="as wanted")
    means, half_widths = zip(*found, strict=True)
    coverage.errorbar(levels, means, yerr=half_widths, fmt="o", ms=5, capsize=3, c=_DARK)
    coverage.set(xlabel="share that an interval is to cover", ylabel="share covered on test rows")
    coverage.legend(frameon=False, loc="upper left")
    for axes in (scatter, coverage):
        axes.grid(alpha=0.3)
    metric = results.metrics[0]
    score = f"{METRIC_NAMES[metric]} {plus_minus(*head.held_out[metric])}"
    title = f"{results.title()}\nLeft: test rows of the first split. {score} over all splits."
    save_figure(figure, title, path)
