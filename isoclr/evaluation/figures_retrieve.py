"""The figure of retrieval."""

import os
import textwrap
from collections.abc import Sequence

import numpy as np

from data_builders.figures import new_axes, save_figure

# Of an encoder raw and whitened, trained and with random weights; of axes of search; then others.
_COLOURS = ("#7fa6cc", "#1f4e79", "#c9c9c9", "#7a7a7a", "#d98c3f", "#7fb58f", "#b8a23a", "#2f6b47")


def plot_retrieval(
    summary: Sequence[dict], title: str, path: str | os.PathLike, metric: str = "recall@1"
) -> None:
    """Draw a metric of every way to compare, by pair type and by identity of the pair."""
    kinds = list(dict.fromkeys(row["pairs"] for row in summary))
    inches = 1.2 + 3.9 * len(kinds)
    figure, panels = new_axes(inches, 4.0, 1, len(kinds), sharey=True)
    for axes, kind in zip(panels, kinds, strict=True):
        rows = [row for row in summary if row["pairs"] == kind]
        x = np.arange(len(rows))
        names = list(rows[0]["scores"])
        width = 0.8 / len(names)
        for i, name in enumerate(names):
            value, low, high = np.array([row["scores"][name][metric] for row in rows]).T
            axes.bar(
                x + (i - (len(names) - 1) / 2) * width,
                value,
                width,
                yerr=np.maximum((value - low, high - value), 0),
                color=_COLOURS[i % len(_COLOURS)],
                ecolor="#404040",
                error_kw={"elinewidth": 0.8},
                label=name,
            )
        chance = [row["chance"][metric] for row in rows]
        axes.hlines(chance, x - 0.45, x + 0.45, colors="k", ls=":", lw=1, label="chance")
        names_of_bins = [f"{row['identity']}\n{row['queries']:,}" for row in rows]
        axes.set_xticks(x, names_of_bins, fontsize=8)
        axes.set_title(kind, fontsize=10)
        axes.set_xlabel("identity of the pair, and queries", fontsize=9)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set_ylabel(metric)
    panels[0].set_ylim(0, 1)
    handles, labels = panels[0].get_legend_handles_labels()
    columns = len(kinds)  # as many as fit beside each other, with long names too
    place = "outside lower center"
    figure.legend(handles, labels, loc=place, ncols=columns, frameon=False, fontsize=9)
    note = "Lines: 95 % interval of a bootstrap over queries."
    title = textwrap.fill(title, int(13 * inches))
    save_figure(figure, f"{title}\n{note}", path)
