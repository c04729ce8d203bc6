"""Counts of what a dataset of isoform groups holds, and their figure."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from data_builders.figures import write_figure
from data_builders.text import read_json

_KEYS = ("sources", "homology", "grouping", "dataset")
_MANY = 20
_BINS = 60


@dataclass(slots=True)
class Summary:
    """Counts of isoform groups and their transcripts.

    Attributes:
        sizes: transcripts in a group -> groups.
        species: species -> transcripts.
        coding: length in nt -> transcripts with a CDS.
        other: length in nt -> transcripts without.
        exons: exons -> transcripts whose structure is known.
        genes: in each group, summed.
    """

    sizes: Counter[int] = field(default_factory=Counter)
    species: Counter[str] = field(default_factory=Counter)
    coding: Counter[int] = field(default_factory=Counter)
    other: Counter[int] = field(default_factory=Counter)
    exons: Counter[int] = field(default_factory=Counter)
    genes: int = 0

    def add(self, table: pa.Table) -> None:
        """Count the groups of a table of `GROUP_SCHEMA`."""
        flat = {name: pc.list_flatten(table[name]) for name in table.column_names[1:]}
        lengths, has_cds = (
            pc.binary_length(flat["sequence"]),
            pc.greater_equal(flat["cds_start"], 0),
        )
        _count(self.sizes, pc.list_value_length(table["sequence"]))
        _count(self.species, flat["species"])
        _count(self.coding, lengths.filter(has_cds))
        _count(self.other, lengths.filter(pc.invert(has_cds)))
        _count(self.exons, pc.add(pc.list_value_length(flat["exon_junctions"]).drop_null(), 1))
        genes = {
            "group": pc.list_parent_indices(table["gene_id"]),
            "species": flat["species"],
            "gene": flat["gene_id"],
        }
        self.genes += (
            pa.table(genes).group_by(list(genes), use_threads=False).aggregate([]).num_rows
        )

    @property
    def groups(self) -> int:
        """The number of groups."""
        return self.sizes.total()

    @property
    def transcripts(self) -> int:
        """The number of transcripts."""
        return self.coding.total() + self.other.total()

    def as_dict(self) -> dict:
        """Return the counts for report.json; exon_junctions are those of known structures."""
        return {
            "groups": self.groups,
            "transcripts": self.transcripts,
            "genes": self.genes,
            "nucleotides": _sum(self.coding) + _sum(self.other),
            "species": dict(sorted(self.species.items())),
            "with_cds": self.coding.total(),
            "with_exon_structure": self.exons.total(),
            "exon_junctions": _sum(self.exons) - self.exons.total(),
            "transcripts_per_group": {str(size): self.sizes[size] for size in sorted(self.sizes)},
        }


def draw_report(summary: Summary, path: str | os.PathLike) -> None:
    """Draw transcripts per group, their lengths and their exons as one PNG."""
    figure = Figure(figsize=(12, 3.6))
    FigureCanvasAgg(figure)
    per_group, lengths, structure = figure.subplots(1, 3)
    figure.subplots_adjust(0.085, 0.15, 0.98, 0.88, 0.22)
    _bars(per_group, summary.sizes)
    per_group.set(xlabel="transcripts in a group", ylabel="groups", yscale="log")
    per_group.set_ylim(bottom=0.5)  # a single group is seen too
    per_group.minorticks_off()
    per_group.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    per_group.yaxis.set_major_formatter("{x:,.0f}")  # a formula, 10^x, would take long
    edges = np.histogram_bin_edges([*summary.coding, *summary.other], _BINS)
    coding, other = (
        np.histogram(list(kind), edges, weights=list(kind.values()))[0]
        for kind in (summary.coding, summary.other)
    )
    lengths.stairs(coding, edges, fill=True, label="with CDS")
    lengths.stairs(coding + other, edges, baseline=coding, fill=True, label="without")
    lengths.set(xlabel="length (nt)", ylabel="transcripts")
    lengths.legend(frameon=False)
    _bars(structure, summary.exons)
    unknown = summary.transcripts - summary.exons.total()
    structure.set(xlabel=f"exons ({unknown:,} transcripts unknown)", ylabel="transcripts")
    for axes in (per_group, lengths, structure):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{summary.groups:,} isoform groups, {summary.transcripts:,} transcripts")
    write_figure(figure, path, dpi=120)


def write_report(report: dict, summary: Summary, path: Path) -> None:
    """Write `path`.json and its figure, `path`.png."""
    path.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    draw_report(summary, path.with_suffix(".png"))


def read_report(path: str | os.PathLike) -> dict:
    """Read the report that `build` wrote."""
    return read_json(path, _KEYS, "the report of isoclr build")


def _count(counts: Counter, values: pa.ChunkedArray) -> None:
    for counted in pc.value_counts(values).to_pylist():
        counts[counted["values"]] += counted["counts"]


def _sum(counts: Counter[int]) -> int:
    return sum(value * number for value, number in counts.items())


def _bars(axes, counts: Counter[int]) -> None:
    shown: Counter[int] = Counter()
    for value, number in counts.items():
        shown[min(value, _MANY)] += number
    axes.bar(list(shown), list(shown.values()), width=0.85)
    axes.set_xticks([1, 5, 10, 15, _MANY], ["1", "5", "10", "15", f"≥{_MANY}"])
