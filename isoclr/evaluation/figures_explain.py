"""The figure of an explanation."""

import os
from collections.abc import Mapping

import numpy as np

from data_builders.figures import new_figure, save_figure
from data_builders.records import Transcript

_UP, _DOWN, _BODY = "#1f4e79", "#c0562b", "#9db8d2"
_ZOOM = 60  # nt


def plot_explanation(
    transcript: Transcript,
    contributions: Mapping[str, np.ndarray],
    effects: np.ndarray,
    exon_ends: np.ndarray,
    title: str,
    path: str | os.PathLike,
) -> None:
    """Draw contributions of bases over CDS and exon junctions, and the strongest 60 nt up close.

    Contributions are of bases, by what they were found, (length,); the strongest are taken by the
    last. Effects of mutations are (length, 4), those of exon ends (length,), all NaN where there
    are none.
    """
    shown = dict(contributions)
    if np.isfinite(exon_ends).any():
        shown["exon ends"] = exon_ends
    figure = new_figure(9, 3.4 + 1.4 * len(shown))
    ratios = [*[2] * len(contributions), *[1.2] * (len(shown) - len(contributions)), 0.7, 1.5]
    *panels, body, close = figure.subplots(len(ratios), 1, height_ratios=ratios)
    start, end = strongest(list(contributions.values())[-1], _ZOOM)
    for axes, (name, values) in zip(panels, shown.items(), strict=True):
        known = np.flatnonzero(np.isfinite(values) & (values != 0))
        colours = np.where(values[known] > 0, _UP, _DOWN)
        axes.vlines(known, 0, values[known], colors=colours, lw=0.8)
        if name not in contributions:
            axes.scatter(known, values[known], s=12, c=colours, clip_on=False)
        axes.axhline(0, c="k", lw=0.5)
        axes.set_ylabel(name)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes.spines[["top", "right"]].set_visible(False)
        axes.sharex(body)
        axes.tick_params(axis="x", labelbottom=False)
        axes.axvspan(start - 0.5, end - 0.5, color="#f2e8c9", lw=0, zorder=0)
    _draw_body(body, transcript)
    _draw_close(figure, close, transcript, effects, start, end)
    legend = "What each base adds beside the mean of the three others"
    legend += ", and each mark of an exon's end" * (len(shown) > len(contributions))
    note = f"{title}\n{legend}. Shaded: shown at the bottom."
    save_figure(figure, note, path)


def strongest(values: np.ndarray, width: int) -> tuple[int, int]:
    """Return start and end of the `width` positions, or fewer, with the largest sum of sizes."""
    sums = np.concatenate([[0], np.cumsum(np.abs(np.nan_to_num(values)))])
    width = min(width, len(values))
    start = int(np.argmax(sums[width:] - sums[: len(sums) - width]))
    return start, start + width


def _draw_body(axes, transcript: Transcript) -> None:
    length, start, end = len(transcript.sequence), transcript.cds_start, transcript.cds_end
    parts = [(0, length, "no CDS", 0.15)]
    if start >= 0:
        parts = [(0, start, "5'UTR", 0.15), (start, end, "CDS", 0.35), (end, length, "3'UTR", 0.15)]
    for left, right, name, half in parts:
        axes.fill_between([left - 0.5, right - 0.5], -half, half, color=_BODY, lw=0)
        if right - left > 0.05 * length:
            axes.text((left + right) / 2, 0, name, ha="center", va="center", fontsize=8)
    junctions = transcript.exon_junctions
    axes.vlines(np.array(junctions or ()) - 0.5, -0.5, 0.5, colors="k", lw=0.8)
    axes.set_xlim(-0.5, length - 0.5)
    axes.set_ylim(-0.6, 0.6)
    axes.set_yticks([])
    known = "exon structure unknown" if junctions is None else "one exon"
    known = "bars: exon junctions" if junctions else known
    axes.set_xlabel(f"position on the transcript, nt ({known})")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_close(figure, axes, transcript: Transcript, effects, start: int, end: int) -> None:
    shown = effects[start:end].T
    most = np.nanmax(np.abs(shown), initial=0) or 1
    image = axes.imshow(
        shown,
        cmap="RdBu",
        vmin=-most,
        vmax=most,
        aspect="auto",
        interpolation="none",
        extent=(start - 0.5, end - 0.5, 3.5, -0.5),
    )
    axes.set_facecolor("#e0e0e0")
    axes.set_yticks(range(4), "ACGT", fontsize=8)
    for x in range(start, end):
        base = transcript.sequence[x]
        row = 1.5 if base == "N" else "ACGT".index(base)
        axes.text(x, row, base, ha="center", va="center", fontsize=6)
    axes.set_xlabel("position, nt; letters: the bases that are there; grey: not mutated")
    axes.set_ylabel("mutated to")
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.ax.tick_params(labelsize=7)
    bar.formatter.set_powerlimits((-2, 3))
