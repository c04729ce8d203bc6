"""The figure of a set of pairs: what is left after each step, lengths, and categories."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from data_builders.figures import new_axes, plain, save_figure
from data_builders.interactions.dataset import InteractionSet

_KEPT, _GONE = "#1f4e79", "#d9a441"
_MOST_CATEGORIES = 12


def draw_report(
    interactions: InteractionSet,
    steps: Sequence[Mapping],
    categories: Mapping[tuple[str, str], int],
    path: str | os.PathLike,
) -> None:
    """Draw what is left after each step, the lengths of molecules, and pairs by categories.

    Categories are (RNA category, protein category) -> pairs; "" where none is known. Without any,
    the pairs of a molecule are drawn instead.
    """
    height, widths = 1.6 + 0.32 * max(len(steps), 8), (1.3, 1, 1)
    figure, (left, middle, right) = new_axes(13, height, 1, 3, width_ratios=widths)
    places = np.arange(len(steps))[::-1]
    pairs = np.array([step["pairs"] for step in steps])
    gone = np.array([step["left_out"] for step in steps])
    left.barh(places, pairs, color=_KEPT, label="left")
    left.barh(places, gone, left=pairs, color=_GONE, label="left out")
    left.set_yticks(places, [plain(step["step"], 42) for step in steps], fontsize=8)
    for place, count in zip(places, pairs, strict=True):
        left.annotate(
            f"{count:,}",
            (0, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color="white" if count > pairs.max() / 5 else "black",
        )
    left.set_xlabel("pairs")
    left.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.09), ncols=2)
    for name, molecules, colour in (
        ("RNAs, nt", interactions.rnas, _KEPT),
        ("proteins, residues", interactions.proteins, _GONE),
    ):
        lengths = np.array([len(molecule.sequence) for molecule in molecules])
        edges = np.geomspace(max(lengths.min(), 1), lengths.max() + 1, 40)
        middle.hist(lengths, edges, histtype="step", lw=1.6, color=colour, label=name)
    middle.set(xscale="log", xlabel="length", ylabel="molecules")
    middle.legend(fontsize=8, frameon=False)
    if any(name for pair in categories for name in pair):
        _draw_categories(figure, right, categories)
    else:
        _draw_degrees(right, interactions)
    positives = len(interactions.positives)
    save_figure(
        figure,
        f"{len(interactions):,} pairs, {positives:,} of which interact, of "
        f"{len(interactions.rnas):,} RNAs and {len(interactions.proteins):,} proteins",
        path,
    )


def _draw_categories(figure, axes, categories: Mapping[tuple[str, str], int]) -> None:
    names = []
    for side in (0, 1):
        totals: dict[str, int] = {}
        for pair, count in categories.items():
            totals[pair[side]] = totals.get(pair[side], 0) + count
        names.append(sorted(totals, key=lambda name: -totals[name])[:_MOST_CATEGORIES])
    table = np.array([[categories.get((r, p), 0) for p in names[1]] for r in names[0]])
    image = axes.imshow(np.log10(np.maximum(table, 0.5)), cmap="Blues", aspect="auto", vmin=-0.3)
    for (row, column), count in np.ndenumerate(table):
        dark = count > 0 and np.log10(count) > 0.6 * np.log10(table.max() + 1)
        axes.text(
            column,
            row,
            f"{count:,}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    axes.spines[["top", "right"]].set_visible(True)
    image.set_clim(-0.3, max(np.log10(table.max()), 0.1))
    axes.set_xticks(range(len(names[1])), [plain(name or "unknown") for name in names[1]])
    axes.set_yticks(range(len(names[0])), [plain(name or "unknown") for name in names[0]])
    axes.set(title="pairs by category of RNA and protein")
    axes.title.set_fontsize(8)


def _draw_degrees(axes, interactions: InteractionSet) -> None:
    for name, places, colour in (
        ("RNAs", interactions.rna, _KEPT),
        ("proteins", interactions.protein, _GONE),
    ):
        degrees = np.sort(np.bincount(places))[::-1]
        axes.plot(np.arange(1, len(degrees) + 1), degrees, color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="molecule, by number of pairs", ylabel="its pairs")
    axes.legend(fontsize=8, frameon=False)
