"""Genomes, transcript files and tables to one dataset of isoform groups, with its report."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data_builders.annotation import read_annotation
from data_builders.assembly import assemble, transcripts_from_fasta
from data_builders.groups import MAX_LENGTH, group_transcripts, write_groups
from data_builders.homology import read_homology
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.tables import read_gene_symbols, read_transcript_table
from data_builders.text import Tally

_MANY = 20
_BINS = 60


@dataclass(frozen=True, slots=True)
class GenomeSource:
    """A genome (FASTA) and its annotation (GTF or GFF3)."""

    genome: str | os.PathLike
    annotation: str | os.PathLike
    species: str

    def read(self, tally: Tally, symbols: dict[tuple[str, str], str]) -> Iterator[Transcript]:
        """Yields its transcripts; counts them, and notes (species, gene_id) -> symbol."""
        annotation = read_annotation(self.annotation)
        tally.update(annotation.tally)
        symbols.update({(self.species, g): s for g, s in annotation.gene_symbols.items()})
        yield from assemble(annotation, self.genome, self.species, tally)


@dataclass(frozen=True, slots=True)
class FastaSource:
    """Spliced transcripts (FASTA), and the annotation of their structure if there is one."""

    transcripts: str | os.PathLike
    species: str
    annotation: str | os.PathLike | None = None

    def read(self, tally: Tally, symbols: dict[tuple[str, str], str]) -> Iterator[Transcript]:
        """Yields its transcripts; counts them, and notes (species, gene_id) -> symbol."""
        annotation = None
        if self.annotation is not None:
            annotation = read_annotation(self.annotation)
            tally.update(annotation.tally)
            symbols.update({(self.species, g): s for g, s in annotation.gene_symbols.items()})
        yield from transcripts_from_fasta(self.transcripts, annotation, self.species, tally)


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table of transcripts (Parquet, TSV or CSV); a species stands in for its column."""

    table: str | os.PathLike
    species: str | None = None

    def read(self, tally: Tally, symbols: dict[tuple[str, str], str]) -> Iterator[Transcript]:
        """Yields its transcripts; counts them, and notes (species, gene_id) -> symbol."""
        named = read_gene_symbols(self.table)
        for transcript in read_transcript_table(self.table, self.species, tally):
            if transcript.gene_id in named:
                gene = transcript.species, transcript.gene_id
                symbols[gene] = named[transcript.gene_id]
            yield transcript


Source = GenomeSource | FastaSource | TableSource


def build(
    sources: Sequence[Source],
    output: str | os.PathLike,
    *,
    homology: str | os.PathLike | None = None,
    merge: Literal["across", "within"] = "across",
    max_length: int = MAX_LENGTH,
    rows_per_shard: int = 10_000,
    overwrite: bool = False,
) -> dict:
    """Builds a dataset of isoform groups that `datasets.load_dataset(output)` opens.

    Writes `data/*.parquet`, `report.json` (what was read, kept and skipped, why, and the sha256
    of every input) and `report.png` into the output folder. All transcripts are held in memory.

    Args:
        sources: at least one; their transcripts are pooled in this order.
        output: the folder, made if absent.
        homology: a table for `read_homology`; None: groups are genes.
        merge: as in `group_transcripts`.
        max_length: as in `group_transcripts`.
        rows_per_shard: as in `write_groups`.
        overwrite: replace a dataset that is there.

    Returns:
        The report, as written.

    Raises:
        InputError: no source, a missing file, a dataset in the output folder already, nothing
            left to write, or what the readers raise.
    """
    output = Path(output)
    _check_inputs(sources, homology, output, overwrite)
    symbols: dict[tuple[str, str], str] = {}
    tallies = [Tally() for _ in sources]
    grouping, homology_tally = Tally(), Tally()
    groups = group_transcripts(
        (t for s, tally in zip(sources, tallies, strict=True) for t in s.read(tally, symbols)),
        None if homology is None else read_homology(homology, homology_tally),
        merge,
        max_length=max_length,
        gene_symbols=symbols,
        tally=grouping,
    )
    if not groups:
        reasons = sum((t.skipped for t in (*tallies, grouping)), Counter())
        raise InputError(f"{output}: got no transcript to write, wanted some: {_listed(reasons)}")
    report = {
        "sources": [
            {"kind": type(s).__name__, "species": s.species, "files": _digests(_files(s))}
            | _counts(tally)
            for s, tally in zip(sources, tallies, strict=True)
        ],
        "homology": None
        if homology is None
        else {"merge": merge, "files": _digests({"homology": homology})} | _counts(homology_tally),
        "grouping": {"max_length": max_length} | _counts(grouping),
        "dataset": summarise(groups),
    }
    write_groups(groups, output, rows_per_shard)
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    draw_report(groups, output / "report.png")
    return report


def summarise(groups: Sequence[IsoformGroup]) -> dict:
    """Counts of groups, transcripts, CDS and junctions; and transcripts per group -> groups."""
    transcripts = [t for group in groups for t in group.transcripts]
    structured = [t for t in transcripts if t.exon_junctions is not None]
    sizes = Counter(len(group.transcripts) for group in groups)
    return {
        "groups": len(groups),
        "transcripts": len(transcripts),
        "genes": len({(t.species, t.gene_id) for t in transcripts}),
        "nucleotides": sum(len(t.sequence) for t in transcripts),
        "species": dict(sorted(Counter(t.species for t in transcripts).items())),
        "with_cds": sum(t.cds_start >= 0 for t in transcripts),
        "with_exon_structure": len(structured),
        "exon_junctions": sum(len(t.exon_junctions) for t in structured),
        "transcripts_per_group": {str(size): sizes[size] for size in sorted(sizes)},
    }


def draw_report(groups: Sequence[IsoformGroup], path: str | os.PathLike) -> None:
    """Draws transcripts per group, their lengths and their exons as one PNG."""
    transcripts = [t for group in groups for t in group.transcripts]
    exons = [len(t.exon_junctions) + 1 for t in transcripts if t.exon_junctions is not None]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    per_group, lengths, structure = figure.subplots(1, 3)
    _bars(per_group, [len(group.transcripts) for group in groups])
    per_group.set(xlabel="transcripts in a group", ylabel="groups", yscale="log")
    per_group.set_ylim(bottom=0.5)  # a single group is seen too
    coding = [len(t.sequence) for t in transcripts if t.cds_start >= 0]
    other = [len(t.sequence) for t in transcripts if t.cds_start < 0]
    lengths.hist([coding, other], bins=_BINS, stacked=True, label=["with CDS", "without"])
    lengths.set(xlabel="length (nt)", ylabel="transcripts")
    lengths.legend(frameon=False)
    if exons:
        _bars(structure, exons)
    unknown = len(transcripts) - len(exons)
    structure.set(xlabel=f"exons ({unknown:,} transcripts unknown)", ylabel="transcripts")
    for axes in (per_group, lengths, structure):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{len(groups):,} isoform groups, {len(transcripts):,} transcripts")
    figure.savefig(path, dpi=120)


def _bars(axes, values: list[int]) -> None:
    counts = Counter(min(value, _MANY) for value in values)
    axes.bar(list(counts), list(counts.values()), width=0.85)
    axes.set_xticks([1, 5, 10, 15, _MANY], ["1", "5", "10", "15", f"≥{_MANY}"])


def _check_inputs(sources, homology, output: Path, overwrite: bool) -> None:
    if not sources:
        raise InputError(f"{output}: got no source, wanted a genome, transcripts or a table")
    paths = [path for source in sources for path in _files(source).values()]
    for path in [*paths, *([] if homology is None else [homology])]:
        if not Path(path).is_file():
            raise InputError(f"{path}: got no such file, wanted an input")
    if (output / "data").exists() and not overwrite:
        raise InputError(f"{output}: got a dataset already, wanted an empty folder or overwrite")


def _files(source: Source) -> dict[str, str | os.PathLike]:
    fields = ("genome", "transcripts", "table", "annotation")
    named = {name: getattr(source, name, None) for name in fields}
    return {name: path for name, path in named.items() if path is not None}


def _digests(files: dict) -> dict:
    digests = {}
    for name, path in files.items():
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        digests[name] = {"name": Path(path).name, "sha256": sha256}
    return digests


def _counts(tally: Tally) -> dict:
    return {
        "read": tally.read,
        "kept": tally.kept,
        "skipped": dict(sorted(tally.skipped.items())),
        "adjusted": dict(sorted(tally.adjusted.items())),
    }


def _listed(counts: Counter) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.most_common()) or "none read"
