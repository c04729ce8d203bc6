"""The figure of Gene Ontology terms."""

import os
import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib import color_sequences

from data_builders.figures import new_figure, plain, save_figure
from isoclr.evaluation.terms import MEASURES, Separation

_VALUE_COLOUR, _SHUFFLED_COLOUR = "#1f4e79", "#b0b0b0"


def plot_terms(
    separation: Separation,
    maps: Mapping[str, np.ndarray],
    term: np.ndarray,
    path: str | os.PathLike,
) -> None:
    """Draw genes on planes (genes, 2), coloured by term, and how well the terms lie apart."""
    names = list(separation.scores)[::-1]  # the first on top
    figure = new_figure(11, 6.2 + 0.3 * len(names))
    ratios = (5.2, 1 + 0.3 * len(names))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios)[:, 0]
    colours = color_sequences["tab10" if len(separation.terms) <= 10 else "tab20"]
    panels = above.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, points) in zip(panels, maps.items(), strict=True):
        for i in range(len(separation.terms)):
            mine = points[term == i]
            axes.scatter(*mine.T, s=7, color=colours[i % len(colours)], linewidths=0, alpha=0.8)
        axes.set_title(name, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    labels = [
        f"{textwrap.fill(_readable(name), 26)} ({n:,})"
        for name, n in zip(separation.terms, separation.genes, strict=True)
    ]
    points = [
        panels[0].scatter([], [], s=24, color=colours[i % len(colours)]) for i in range(len(labels))
    ]
    above.legend(points, labels, loc="outside right upper", fontsize=8, frameon=False)
    y = np.arange(len(names))
    plots = below.subplots(1, 2, sharey=True)
    for axes, measure in zip(plots, MEASURES, strict=True):
        found = [separation.scores[name][measure] for name in names]
        low, high = np.array([each["shuffled"] for each in found]).T
        axes.barh(y, high - low, 0.5, low, color=_SHUFFLED_COLOUR, label="shuffled terms, 95 %")
        axes.plot([each["value"] for each in found], y, "o", c=_VALUE_COLOUR, label="terms")
        axes.set_yticks(y, [plain(name) for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(_TITLES[measure])
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    handles = plots[-1].get_legend_handles_labels()
    below.legend(*handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    save_figure(figure, f"{separation.title()}; maps by t-SNE", path)


_TITLES = {
    "silhouette": "silhouette, cosine",
    "purity": "share of ten neighbours with the gene's term",
}


def _readable(term: str) -> str:
    """MSigDB's GO_KINASE_ACTIVITY as words."""
    return term.removeprefix("GO_").replace("_", " ").lower() if "_" in term else term
