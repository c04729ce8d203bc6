"""Pictures as inline SVG: text from files is escaped, and nothing is loaded from elsewhere."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from data_builders.records import Transcript
from isoclr.report.structure import structure_of

COLOURS = ("#1f4e79", "#c0562b", "#3d8b5f", "#8e5ea2", "#c9a227", "#4aa3c7", "#7a4b2a", "#d1698c")
OTHER = "#b5bcc4"
_RAMP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])
_REGION_COLOURS = (("#9db8d2", 8), ("#1f4e79", 16), ("#9db8d2", 8))
_SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="{}">{}</svg>')


def svg(width: float, height: float, label: str, parts: Sequence[Markup], kind: str) -> Markup:
    """Return a picture of `width` × `height`, with a label for those who cannot see it."""
    return _SVG.format(round(width), round(height), label, kind, Markup("").join(parts))


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> Markup:
    """Return words at a place; `anchor` says which end of them is there."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(
        x, y, anchor, kind, words
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> Markup:
    """Return a line."""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(
        x1, y1, x2, y2, kind
    )


def box(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> Markup:
    """Return a filled rectangle; `title` is shown under the mouse."""
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}">'
        "<title>{}</title></rect>"
    ).format(x, y, max(width, 0), max(height, 0), colour, title)


def tracks(transcripts: Sequence[Transcript], width: int = 900) -> Markup:
    """Draw transcripts from 5' to 3' on one scale: CDS thick, UTRs thin, exon junctions as bars."""
    left, right, row = 190, 70, 26
    longest = max(len(transcript.sequence) for transcript in transcripts)
    scale = (width - left - right) / longest
    parts = []
    for number, transcript in enumerate(transcripts):
        middle = row * (number + 0.5)
        structure = structure_of(transcript)
        parts.append(text(left - 8, middle + 4, shortened(transcript.transcript_id), "end"))
        position = 0
        regions = structure.regions or (structure.length, 0, 0)
        names = ("5'UTR", "CDS", "3'UTR") if structure.regions else ("no CDS", "", "")
        for size, name, (colour, height) in zip(regions, names, _REGION_COLOURS, strict=True):
            if size:
                title = f"{name}: {size:,} nt, from {position:,}"
                x, y = left + position * scale, middle - height / 2
                parts.append(box(x, y, size * scale, height, colour, title))
            position += size
        for junction in transcript.exon_junctions or ():
            x = left + junction * scale
            parts.append(line(x, middle - 10, x, middle + 10, "junction"))
        known = f"{structure.length:,} nt"
        parts.append(text(left + structure.length * scale + 6, middle + 4, known, kind="small"))
    label = f"{len(transcripts)} transcripts with CDS and exon junctions"
    return svg(width, row * len(transcripts), label, parts, "tracks")


def histogram(values: Sequence[float], title: str, width: int = 430, height: int = 210) -> Markup:
    """Draw how often values occur, on a logarithmic axis."""
    logs = np.log10(np.maximum(values, 1))
    low, high = float(logs.min()), float(logs.max())
    low, high = (low - 0.1, high + 0.1) if high - low < 0.2 else (low, high)
    counts, edges = np.histogram(logs, bins=min(24, max(6, len(logs) // 4)), range=(low, high))
    left, bottom, top = 40, height - 40, 12
    scale = (width - left - 12) / (high - low)
    parts = [line(left, bottom, width - 12, bottom), text(left, height - 6, title, kind="small")]
    for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = count / max(counts.max(), 1) * (bottom - top)
        said = f"{10**start:,.0f} to {10**end:,.0f}: {count}"
        x, wide = left + (start - low) * scale, (end - start) * scale - 1
        parts.append(box(x, bottom - tall, wide, tall, COLOURS[0], said))
    parts.append(text(left - 6, top + 8, f"{counts.max()}", "end", "small"))
    for tick in _log_ticks(low, high):
        x = left + (math.log10(tick) - low) * scale
        parts += [line(x, bottom, x, bottom + 4), text(x, bottom + 17, f"{tick:,}", "middle")]
    return svg(width, height, title, parts, "histogram")


def _log_ticks(low: float, high: float) -> list[int]:
    """Round numbers within powers of ten, few enough to be read."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [step * 10**power for power in powers if power >= 0 for step in steps]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) <= 7:
            return ticks
    return ticks


def colours_of_names(names: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a colour for each name, the most frequent ones apart, and a legend."""
    frequent = [name for name, _ in Counter(names).most_common(len(COLOURS))]
    colour = dict(zip(frequent, COLOURS, strict=False))
    legend = [(colour[name], name) for name in frequent]
    if len(set(names)) > len(frequent):
        legend.append((OTHER, f"{len(set(names)) - len(frequent)} others"))
    return [colour.get(name, OTHER) for name in names], legend


def colours_of_numbers(
    values: Sequence[float | None], show: Callable[[float], str] = "{:,.4g}".format
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a colour for each number from dark to light, grey for None, and a legend."""
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        return [OTHER] * len(values), [(OTHER, "not known")]
    low, high = float(known.min()), float(known.max())

    def colour(value: float | None) -> str:
        if value is None:
            return OTHER
        place = (value - low) / (high - low or 1) * (len(_RAMP) - 1)
        at = min(int(place), len(_RAMP) - 2)
        red, green, blue = _RAMP[at] + (place - at) * (_RAMP[at + 1] - _RAMP[at])
        return f"#{round(red):02x}{round(green):02x}{round(blue):02x}"

    legend = [(colour(value), show(value)) for value in np.linspace(low, high, 5)]
    legend += [(OTHER, "not known")] * (len(known) < len(values))
    return [colour(value) for value in values], legend


def scatter(
    points: np.ndarray,
    axes: tuple[str, str],
    titles: Sequence[str],
    schemes: Sequence[Sequence[str]],
    width: int = 640,
) -> Markup:
    """Draw points (n, 2); each carries its colour of every scheme, of which the page shows one.

    Titles of the points are shown under the mouse.
    """
    height, left, bottom = round(width * 0.72), 34, 30
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    span = np.where(span > 0, span, 1)
    places = (points - low) / span
    parts = [
        line(left, height - bottom, width - 8, height - bottom),
        line(left, 8, left, height - bottom),
        text((left + width) / 2, height - 8, axes[0], "middle", "small"),
        Markup('<text transform="translate(14 {}) rotate(-90)" {}>{}</text>').format(
            height / 2 - 10, Markup('text-anchor="middle" class="small"'), axes[1]
        ),
    ]
    radius = 5 if len(points) < 300 else 3.5
    for (x, y), title, *colours in zip(places, titles, *schemes, strict=True):
        parts.append(
            Markup(
                '<circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}" data-colours="{}">'
                "<title>{}</title></circle>"
            ).format(
                left + 10 + x * (width - left - 28),
                height - bottom - 10 - y * (height - bottom - 28),
                radius,
                colours[0],
                " ".join(colours),
                title,
            )
        )
    return svg(width, height, f"map of {len(points)} transcripts", parts, "scatter")


def intervals(
    names: Sequence[str],
    values: Sequence[float],
    ends: Sequence[tuple[float, float]],
    axis: str,
    width: int = 900,
) -> Markup:
    """Draw a value with its interval, a line each."""
    left, row, bottom = 190, 22, 36
    low = min(start for start, _ in ends)
    high = max(end for _, end in ends)
    scale = (width - left - 30) / (high - low or 1)
    parts = []
    for number, (name, value, (start, end)) in enumerate(zip(names, values, ends, strict=True)):
        y = row * (number + 0.5)
        said = f"{name}: {value:.3g} ({start:.3g} to {end:.3g})"
        parts.append(text(left - 8, y + 4, shortened(name), "end"))
        parts.append(
            box(left + (start - low) * scale, y - 3, (end - start) * scale, 6, OTHER, said)
        )
        parts.append(box(left + (value - low) * scale - 2, y - 7, 4, 14, COLOURS[0], said))
    y = row * len(names) + 6
    parts.append(line(left, y, width - 30, y))
    for tick in np.linspace(low, high, 5):
        x = left + (tick - low) * scale
        parts += [line(x, y, x, y + 4), text(x, y + 16, f"{tick:.3g}", "middle", "small")]
    parts.append(text(left, y + 29, axis, kind="small"))
    return svg(width, row * len(names) + bottom + 4, axis, parts, "intervals")


def shortened(name: str, most: int = 26) -> str:
    """Return a name of at most so many characters, its end replaced by an ellipsis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
