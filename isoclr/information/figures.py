"""Figures of bounds."""

import os
from itertools import groupby

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_WIDTH, _COLUMNS = 3.2, 3


def plot_known(table, path: str | os.PathLike) -> None:
    """Draw, of every channel, the bounds of every critic over the batch size.

    Args:
        table: a `Table` of isoclr.information.known.
        path: the image to write.
    """
    channels = [list(cells) for _, cells in groupby(table.cells, lambda c: (c.sites, c.distance))]
    rows = -(-len(channels) // _COLUMNS)
    figure = Figure(figsize=(_WIDTH * _COLUMNS, 0.6 + 2.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
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
    figure.savefig(path, dpi=150)
