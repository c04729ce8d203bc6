"""Figures of bounds."""

import math
import os
from itertools import groupby

from data_builders.figures import new_axes, new_figure, write_figure

_WIDTH, _COLUMNS = 3.2, 3


def plot_known(table, path: str | os.PathLike) -> None:
    """Draw, of every channel of a `Table`, the bounds of every critic over the batch size."""
    channels = [list(cells) for _, cells in groupby(table.cells, lambda c: (c.sites, c.distance))]
    rows = -(-len(channels) // _COLUMNS)
    figure = new_figure(_WIDTH * _COLUMNS, 0.6 + 2.5 * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel, cells in zip(panels, channels, strict=False):
        sizes = [cell.batch_size for cell in cells]
        panel.plot(sizes, [cell.log_n for cell in cells], c="0.6", ls=":", label="log N")
        panel.axhline(cells[0].exact, c="k", lw=1, label="exact")
        for number, name in enumerate(cells[0].bounds):
            found = [cell.bounds[name].info_nce for cell in cells]
            panel.errorbar(
                sizes,
                [one.mean for one in found],
                yerr=[1.96 * one.standard_error for one in found],
                marker="o",
                ms=4,
                capsize=2,
                c=f"C{number}",
                label=f"InfoNCE, {name}",
            )
        if any(cell.published is not None for cell in cells):
            known = [float("nan") if c.published is None else c.published for c in cells]
            panel.plot(sizes, known, "x", c="C3", ms=7, label="published")
        panel.set_xscale("log", base=2)
        panel.set_ylim(0, 1.15 * max(cells[0].log_n, *(cell.log_n for cell in cells)))
        panel.set_title(f"{cells[0].sites} sites, distance {cells[0].distance:g}", fontsize=9)
        if cells[0].exact > panel.get_ylim()[1]:
            panel.text(
                0.03, 0.95, f"exact: {cells[0].exact:.1f}", transform=panel.transAxes, va="top"
            )
    for panel in panels[len(channels) :]:
        panel.set_axis_off()
    for panel in panels[::_COLUMNS]:
        panel.set_ylabel("nats")
    for panel in panels[-_COLUMNS:]:
        panel.set_xlabel("batch size N")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    write_figure(figure, path)


def plot_families(found, path: str | os.PathLike) -> None:
    """Draw the bounds of a trained critic, its `FamilyBounds`, by band of distances."""
    figure, axes = new_axes(1.8 + 1.3 * len(found.bands), 3.6)
    places = range(len(found.bands))
    shown = (
        ("InfoNCE", "C0", [b.bounds.info_nce.mean for b in found.bands]),
        ("InfoNCE, permuted", "0.5", [b.bounds.permuted.mean for b in found.bands]),
    )
    for name, colour, means in shown:
        errors = [1.96 * b.family_error for b in found.bands] if name == "InfoNCE" else None
        axes.errorbar(places, means, yerr=errors, fmt="o", capsize=3, c=colour, label=name)
    limits = [math.log(band.batch_size) for band in found.bands]
    axes.plot(places, limits, "_", ms=24, c="k", label="log N")
    axes.axhline(0, c="0.8", lw=0.8, zorder=0)
    names = [
        "as trained" if b.band is None else "{:g} to {:g}".format(*b.band) for b in found.bands
    ]
    axes.set_xticks(places, names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set(xlabel="distance of the pair", ylabel="nats; interval over families, 95 %")
    axes.legend(frameon=False, fontsize=8)
    write_figure(figure, path)
