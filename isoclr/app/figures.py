"""Figures of the page, as arrays of pixels."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from data_builders.figures import new_axes, write_figure
from data_builders.records import Transcript
from isoclr.evaluation.explain import Explanation
from isoclr.evaluation.figures_explain import plot_explanation

_DPI = 150
_CODING, _OTHER = "#1f4e79", "#c9d6e4"
_COMPOSITION = 50  # nt of a window of the curve of G and C


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """A picture of a transcript that knows where its bases are; equal to itself alone.

    Attributes:
        pixels: uint8 (height, width, 3).
        left: where the transcript begins, in pixels from the left.
        right: where it ends.
        length: of the transcript, nt.
    """

    pixels: np.ndarray
    left: float
    right: float
    length: int

    def position(self, x: float) -> int:
        """Return the base, 0-based, that is drawn at a pixel from the left; the nearest beside."""
        share = (x - self.left) / (self.right - self.left)
        return int(np.clip(np.floor(share * self.length), 0, self.length - 1))


def draw_tracks(transcript: Transcript) -> Tracks:
    """Draw exons, CDS, junctions and the share of G and C."""
    length, start, end = len(transcript.sequence), transcript.cds_start, transcript.cds_end
    figure, (body, content) = new_axes(9, 2.6, 2, 1, height_ratios=[1, 1.2], sharex=True)
    body.fill_between([0, length], -0.15, 0.15, color=_OTHER, lw=0)
    parts = [(0, length, "no CDS")]
    if start >= 0:
        body.fill_between([start, end], -0.32, 0.32, color=_CODING, lw=0)
        parts = [(0, start, "5'UTR"), (start, end, "CDS"), (end, length, "3'UTR")]
    for left, right, name in parts:
        if right - left > 0.06 * length:
            colour = "white" if name == "CDS" else "black"
            middle = (left + right) / 2
            body.text(middle, 0, name, ha="center", va="center", fontsize=8, color=colour)
    junctions = transcript.exon_junctions
    body.vlines(np.array(junctions or (), float), -0.5, 0.5, colors="#c0562b", lw=1)
    body.set_ylim(-0.6, 0.6)
    body.set_yticks([])
    exons = "exon structure unknown" if junctions is None else f"exons: {len(junctions) + 1}"
    body.set_title(
        f"{transcript.transcript_id[:60]}: {length:,} nt, {exons}"
        + (", bars: exon junctions" if junctions else ""),
        fontsize=9,
        loc="left",
    )
    content.plot(*_composition(transcript.sequence), color="#555555", lw=0.9)
    content.set_ylim(0, 1)
    content.set_ylabel("G and C", fontsize=8)
    content.set_xlim(0, length)
    content.set_xlabel(f"position, nt, 0-based (G and C: windows of {_COMPOSITION} nt)", fontsize=8)
    content.tick_params(labelsize=8)
    for axes in (body, content):
        axes.spines["left"].set_visible(False)
    pixels = pixels_of(lambda path: write_figure(figure, path, _DPI))
    bounds = content.get_position()
    width = pixels.shape[1]
    return Tracks(pixels=pixels, left=bounds.x0 * width, right=bounds.x1 * width, length=length)


def draw_explanation(explanation: Explanation) -> np.ndarray:
    """Draw an explanation as `isoclr explain` does: uint8 (height, width, 3)."""
    return pixels_of(
        lambda path: plot_explanation(
            explanation.transcript,
            explanation.contributions,
            explanation.effects,
            explanation.exon_ends,
            explanation.title(),
            path,
        )
    )


def _composition(sequence: str) -> tuple[np.ndarray, np.ndarray]:
    """Centres of windows, and the share of G and C among the bases of each."""
    letters = np.frombuffer(sequence.encode(), np.uint8)
    size = min(_COMPOSITION, len(letters))
    sums = np.concatenate([[0], np.cumsum(np.isin(letters, list(b"GC")))])
    return np.arange(len(letters) - size + 1) + size / 2, (sums[size:] - sums[:-size]) / size


def pixels_of(draw: Callable[[Path], object]) -> np.ndarray:
    """Return what a function draws into a file that it is given: uint8 (height, width, 3)."""
    with tempfile.TemporaryDirectory(prefix="isoclr-app-") as folder:
        path = Path(folder) / "figure.png"
        draw(path)
        return (imread(path)[:, :, :3] * 255).round().astype(np.uint8)
