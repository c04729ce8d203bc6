"""A report as one HTML page that needs nothing beside it."""

import base64
import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import jinja2
import numpy as np

from data_builders.cells import safe_cell
from data_builders.records import Transcript
from isoclr.report.findings import Report
from isoclr.report.pictures import (
    colours_of_names,
    colours_of_numbers,
    histogram,
    intervals,
    scatter,
    tracks,
)
from isoclr.report.structure import REGIONS, tally_warnings

ROWS = 200  # of a table that are shown; the file that the page carries has all
_GENES = 12  # drawn
_ISOFORMS = 8  # drawn of a gene
_POINTS = 4000  # drawn of the map
_INTERVALS = 30


def write_report(report: Report, path: str | os.PathLike) -> None:
    """Write the page; it is there whole or not at all."""
    partial = Path(f"{path}.partial")
    partial.write_text(report_page(report), encoding="utf-8")
    partial.replace(path)


def report_page(report: Report) -> str:
    """Return the page: HTML, with its pictures, its style and its tables in it.

    Every text that comes from files is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lengths = [structure.length for structure in report.structures]
    return environment.get_template("report.html").render(
        report=report,
        cards=_cards(report),
        warnings=tally_warnings(report.warnings),
        lengths=histogram(lengths, "length of transcripts, nt"),
        genes=list(_drawn_genes(report.transcripts)),
        n_genes=len({(t.species, t.gene_id) for t in report.transcripts}),
        map=_map(report),
        predictions=[_prediction(report, i) for i in range(len(report.predictions))],
        rows=range(min(ROWS, len(report.transcripts))),
        switches=[_switch(report, switch) for switch in report.switches],
        table=_download(report),
        regions=REGIONS,
    )


def _cards(report: Report) -> list[tuple[str, str]]:
    transcripts, structures = report.transcripts, report.structures
    lengths = np.array([structure.length for structure in structures])
    several = defaultdict(int)
    for transcript in transcripts:
        several[transcript.species, transcript.gene_id] += 1
    return [
        (f"{len(transcripts):,}", "transcripts"),
        (f"{len(several):,}", "genes"),
        (f"{sum(n > 1 for n in several.values()):,}", "genes of several isoforms"),
        (f"{sum(s.regions is not None for s in structures):,}", "with a CDS"),
        (f"{sum(s.exons is not None for s in structures):,}", "of known exons"),
        (f"{np.median(lengths):,.0f}", "nt, median length"),
    ]


def _drawn_genes(transcripts: Sequence[Transcript]) -> Iterator[dict]:
    """The genes of most isoforms, with their picture."""
    isoforms = defaultdict(list)
    for transcript in transcripts:
        isoforms[transcript.species, transcript.gene_id].append(transcript)
    most = sorted(isoforms.items(), key=lambda gene: -len(gene[1]))[:_GENES]
    for (species, gene_id), members in most:
        yield {
            "name": gene_id,
            "species": species,
            "left_out": max(0, len(members) - _ISOFORMS),
            "picture": tracks(members[:_ISOFORMS]),
        }


def _map(report: Report) -> dict | None:
    if report.map is None:
        return None
    n = len(report.transcripts)
    shown = np.linspace(0, n - 1, min(n, _POINTS)).round().astype(int)
    structures = [report.structures[i] for i in shown]
    transcripts = [report.transcripts[i] for i in shown]
    schemes = {
        "length, nt": colours_of_numbers(
            [float(np.log10(s.length)) for s in structures], lambda log: f"{10**log:,.0f}"
        ),
        "CDS": colours_of_names(["with a CDS" if s.regions else "no CDS" for s in structures]),
        "gene": colours_of_names([t.gene_id for t in transcripts]),
        "exons": colours_of_numbers([s.exons for s in structures]),
        "share of G and C": colours_of_numbers([s.gc for s in structures]),
    }
    if len({t.species for t in transcripts}) > 1:
        schemes["species"] = colours_of_names([t.species for t in transcripts])
    for prediction in report.predictions:
        values = [float(prediction.values[i]) for i in shown]
        schemes[f"predicted {prediction.name}"] = colours_of_numbers(values)
    titles = [
        f"{t.transcript_id} · {t.gene_id} · {s.length:,} nt"
        for t, s in zip(transcripts, structures, strict=True)
    ]
    colours = [colours for colours, _ in schemes.values()]
    return {
        "picture": scatter(report.map.points[shown], report.map.axes, titles, colours),
        "legends": [(name, legend) for name, (_, legend) in schemes.items()],
        "shown": len(shown),
    }


def _prediction(report: Report, number: int) -> dict:
    prediction = report.predictions[number]
    n = len(prediction.values)
    order = np.argsort(-prediction.values, kind="stable")
    if n > _INTERVALS:  # from the highest to the lowest, evenly
        order = order[np.linspace(0, n - 1, _INTERVALS).round().astype(int)]
    picture = intervals(
        [report.transcripts[i].transcript_id for i in order],
        [float(prediction.values[i]) for i in order],
        [(float(prediction.low[i]), float(prediction.high[i])) for i in order],
        f"{prediction.name}; grey: {prediction.coverage:.0%} interval",
    )
    warned = sum(map(bool, prediction.warnings))
    return {"about": prediction, "picture": picture, "shown": len(order), "warned": warned}


def _switch(report: Report, switch) -> dict:
    pair = [report.transcripts[switch.first], report.transcripts[switch.second]]
    sizes = [report.structures[switch.first].regions, report.structures[switch.second].regions]
    changes = []
    for i, name in enumerate(REGIONS):
        if sizes[0] is None or sizes[1] is None or switch.by_region is None:
            continue
        said = (
            "the same" if name not in switch.by_region else f"{sizes[0][i]:,} → {sizes[1][i]:,} nt"
        )
        changes.append((name, said, switch.by_region.get(name)))
    predicted = [
        (p.name, float(p.values[switch.first]), float(p.values[switch.second]))
        for p in report.predictions
    ]
    return {
        "about": switch,
        "pair": pair,
        "changes": changes,
        "predicted": predicted,
        "picture": tracks(pair),
    }


def _download(report: Report) -> str:
    """All rows as a data URL of tab-separated values."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    names = ["transcript_id", "gene_id", "species", "length", "utr5", "cds", "utr3", "exons", "gc"]
    names += ["nearest", "nearest_gene", "similarity"]
    for prediction in report.predictions:
        names += [prediction.name, f"{prediction.name}_low", f"{prediction.name}_high"]
    writer.writerow([*names, "warnings"])
    for i, (transcript, structure) in enumerate(
        zip(report.transcripts, report.structures, strict=True)
    ):
        near = report.neighbours[i]
        row = [transcript.transcript_id, transcript.gene_id, transcript.species, structure.length]
        row += [*(structure.regions or ("", "", "")), structure.exons]
        row.append("" if structure.gc is None else f"{structure.gc:.3f}")
        row += ["", "", ""] if near is None else [near.transcript_id, near.gene_id]
        row += [] if near is None else [f"{near.similarity:.4f}"]
        for p in report.predictions:
            row += [f"{values[i]:.4g}" for values in (p.values, p.low, p.high)]
        doubts = [f"{p.name}: {p.warnings[i]}" for p in report.predictions if p.warnings[i]]
        row.append("; ".join([*report.warnings[i], *doubts]))
        writer.writerow([safe_cell(cell) if isinstance(cell, str) else cell for cell in row])
    encoded = base64.b64encode(file.getvalue().encode()).decode()
    return f"data:text/tab-separated-values;base64,{encoded}"
