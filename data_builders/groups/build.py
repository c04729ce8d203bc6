"""Genomes, transcript files and tables to one dataset of isoform groups, with its report."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pyarrow as pa

from data_builders.annotation.assembly import assemble, transcripts_from_fasta
from data_builders.annotation.reader import read_annotation
from data_builders.genomes.aliases import read_aliases
from data_builders.groups.grouping import group_tables
from data_builders.groups.parquet import MAX_LENGTH, ROWS_PER_FILE, groups_of_table, write_tables
from data_builders.groups.report import Summary, write_report
from data_builders.homology.homologous_genes import Homology, Tables, homology_tables, read_homology
from data_builders.homology.report import draw_homology, report_homology
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.staging import MAX_SHARDS, Shard, finish, replacing, shard_name
from data_builders.tables import read_gene_symbols, read_transcript_table
from data_builders.text import Tally, sha256_of


@dataclass(frozen=True, slots=True)
class GenomeSource:
    """A genome, its annotation, and a table of its chromosomes' aliases if they need one.

    Where they are from, as far as known, goes into the report: provider, release and assembly.
    """

    genome: str | os.PathLike
    annotation: str | os.PathLike
    species: str
    aliases: str | os.PathLike | None = None
    provider: str | None = None
    release: str | None = None
    assembly: str | None = None

    def read(self, tally: Tally, symbols: dict[tuple[str, str], str]) -> Iterator[Transcript]:
        """Yields its transcripts; counts them, and notes (species, gene_id) -> symbol."""
        annotation = read_annotation(self.annotation, strict=tally.strict)
        tally.update(annotation.tally)
        symbols.update({(self.species, g): s for g, s in annotation.gene_symbols.items()})
        aliases = None if self.aliases is None else read_aliases(self.aliases)
        yield from assemble(annotation, self.genome, self.species, tally, aliases)


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
            annotation = read_annotation(self.annotation, strict=tally.strict)
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
    homology: Tables | None = None,
    merge: Literal["across", "within"] = "across",
    max_length: int = MAX_LENGTH,
    rows_per_file: int = ROWS_PER_FILE,
    shard: Shard | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> dict:
    """Builds a dataset of isoform groups that `datasets.load_dataset(output)` opens.

    Writes `data/*.parquet`, `report.json` (what was read, kept and skipped, why, and the sha256
    of every input), `report.png` and, with homology, `homology.png` into the output folder; of a
    shard, `reports/0000i-of-0000n.json` and `.png` alone, which `merge_reports` makes those of the
    whole. Groups are in the order of `group_tables`.

    In memory are the annotation of one source, its largest chromosome, the homology and the gene
    symbols that it needs; a table is read whole. On the disk of the output, all transcripts lie
    uncompressed meanwhile. What a build left that was interrupted while it replaced a dataset is
    put in place first.

    Args:
        sources: at least one; their transcripts are pooled in this order.
        output: the folder, made if absent.
        homology: one or several tables for `read_homology`; None: groups are genes.
        merge: as in `group_tables`.
        max_length: as in `group_tables`.
        rows_per_file: groups a Parquet file.
        shard: (i, n), i from 0: one of n parts that need not know of each other and, put into one
            folder, are the dataset. Where no group has two species (no homology, or merge
            "within") species are dealt out, and a shard needs only the files of its own. Else, or
            when a table says its species itself, every shard reads all sources and keeps the
            groups that their hash gives it; transcripts of others count as read by the sources,
            not by the grouping. A shard may be empty.
        strict: a skipped record is an error.
        overwrite: replace the dataset, or the shard, that is there.

    Returns:
        The report, as written.

    Raises:
        InputError: no source, a shard that does not exist, a missing file, a dataset in the output
            folder already, nothing left to write, or what the readers raise.
    """
    output = Path(output)
    if shard is not None and not 0 <= shard[0] < shard[1] <= MAX_SHARDS:
        raise InputError(
            f"{output}: shard: got {shard[0]}/{shard[1]}, wanted i/n, 0 <= i < n <= {MAX_SHARDS}"
        )
    if not sources:
        raise InputError(f"{output}: got no source, wanted a genome, transcripts or a table")
    finish(output, shard)
    crossing = homology is not None and merge == "across"
    sources, share = _dealt(sources, crossing, shard)
    tables = [] if homology is None else homology_tables(homology)
    _check_inputs(sources, tables)
    _check_output(output, shard, overwrite)
    tallies = [Tally(strict=strict) for _ in sources]
    homology_tally, grouping = Tally(strict=strict), Tally(strict=strict)
    known = None if homology is None else read_homology(tables, homology_tally)
    symbols: dict[tuple[str, str], str] | None = None if known is None else {}
    summary = Summary()
    with replacing(output, shard) as partial:
        with TemporaryDirectory(prefix="spill-", dir=partial) as workspace:
            grouped = group_tables(
                _transcripts(sources, tallies, symbols),
                workspace,
                known,
                merge,
                max_length=max_length,
                gene_symbols=symbols,
                shard=share,
                tally=grouping,
            )
            write_tables(_counted(grouped, summary), partial / "data", rows_per_file, shard)
        if not summary.groups and shard is None:
            reasons = sum((t.skipped for t in (*tallies, grouping)), Counter())
            raise InputError(
                f"{output}: got no transcript to write, wanted some: {_listed(reasons)}"
            )
        report = {
            "shard": None if shard is None else {"number": shard[0], "of": shard[1]},
            "sources": [
                _described(source) | _counts(tally)
                for source, tally in zip(sources, tallies, strict=True)
            ],
            "homology": None
            if known is None
            else {"merge": merge, "files": _homology_digests(tables)}
            | _counts(homology_tally)
            | {"partition": report_homology(known)},
            "grouping": {"max_length": max_length} | _counts(grouping),
            "dataset": summary.as_dict(),
        }
        path = partial / ("report" if shard is None else f"reports/{shard_name(shard)}")
        path.parent.mkdir(exist_ok=True)
        write_report(report, summary, path)
        if known is not None and shard is None:
            draw_homology(report["homology"]["partition"], partial / "homology.png")
    return report


def group_sources(
    sources: Sequence[Source], homology: Homology | None = None, tally: Tally | None = None
) -> tuple[Iterator[IsoformGroup], Mapping[tuple[str, str], str]]:
    """The groups that `build` would write, merged across species, and the symbols of their genes.

    Args:
        sources: as in `build`.
        homology: what the groups go by; None: they are genes.
        tally: where transcripts, and what the readers skip and change, are counted.

    Returns:
        The groups, and (species, gene_id) -> symbol, which is filled when the first group comes.
    """
    tally = Tally() if tally is None else tally
    symbols: dict[tuple[str, str], str] = {}

    def groups() -> Iterator[IsoformGroup]:
        transcripts = _transcripts(sources, [tally] * len(sources), symbols)
        with TemporaryDirectory(prefix="isoclr-") as workspace:
            for table in group_tables(transcripts, workspace, homology, gene_symbols=symbols):
                yield from groups_of_table(table)

    return groups(), symbols


def files_of(source: Source) -> dict[str, str | os.PathLike]:
    """The files of a source, by what they are."""
    fields = ("genome", "transcripts", "table", "annotation", "aliases")
    named = {name: getattr(source, name, None) for name in fields}
    return {name: path for name, path in named.items() if path is not None}


def _dealt(
    sources: Sequence[Source], crossing: bool, shard: Shard | None
) -> tuple[Sequence[Source], Shard]:
    """The sources that a shard reads, and the share of their groups that it keeps."""
    if shard is None:
        return sources, (0, 1)
    species = list(dict.fromkeys(source.species for source in sources))
    if crossing or None in species:
        return sources, shard
    number, shards = shard
    return [s for s in sources if species.index(s.species) % shards == number], (0, 1)


def _transcripts(
    sources: Sequence[Source],
    tallies: Sequence[Tally],
    symbols: dict[tuple[str, str], str] | None,
) -> Iterator[Transcript]:
    for source, tally in zip(sources, tallies, strict=True):
        yield from source.read(tally, {} if symbols is None else symbols)


def _counted(tables: Iterable[pa.Table], summary: Summary) -> Iterator[pa.Table]:
    for table in tables:
        summary.add(table)
        yield table


def _check_inputs(sources: Sequence[Source], tables: Sequence[HomologyTable]) -> None:
    paths = [path for source in sources for path in files_of(source).values()]
    paths += [path for table in tables for path in (table.path, table.genes) if path is not None]
    for path in paths:
        if not Path(path).is_file():
            raise InputError(f"{path}: got no such file, wanted an input")


def _check_output(output: Path, shard: Shard | None, overwrite: bool) -> None:
    data = output / "data"
    there = data.exists()
    if shard is not None:
        names = [path.name for path in data.glob("*")]
        shards = f"-of-{shard[1]:05d}-part-"
        if others := [name for name in names if shards not in name]:
            raise InputError(f"{data}: got '{others[0]}', wanted nothing but shards of {shard[1]}")
        there = any(name.startswith(f"train-{shard_name(shard)}-part-") for name in names)
    if there and not overwrite:
        what = "a dataset" if shard is None else f"shard {shard[0]}/{shard[1]}"
        raise InputError(f"{output}: got {what} already, wanted an empty folder or overwrite")


def _described(source: Source) -> dict:
    """What a source is, for report.json."""
    return {
        "kind": type(source).__name__,
        "species": source.species,
        **_known(source, "provider", "release", "assembly"),
        "files": {name: _digest(path) for name, path in files_of(source).items()},
    }


def _homology_digests(tables: Sequence[HomologyTable]) -> dict:
    digests = {}
    for number, table in enumerate(tables, 1):
        name = "homology" if len(tables) == 1 else f"homology {number}"
        digests[name] = _digest(table.path) | _known(table, "species", "query", "level")
        if table.genes is not None:
            digests[f"{name}, genes"] = _digest(table.genes)
    return digests


def _digest(path: str | os.PathLike) -> dict:
    return {"name": Path(path).name, **_known(path, "url"), "sha256": sha256_of(path)}


def _known(of: object, *names: str) -> dict[str, str]:
    """The attributes that are there."""
    values = {name: getattr(of, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _counts(tally: Tally) -> dict:
    return {
        "read": tally.read,
        "kept": tally.kept,
        "skipped": dict(sorted(tally.skipped.items())),
        "adjusted": dict(sorted(tally.adjusted.items())),
    }


def _listed(counts: Counter) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.most_common()) or "none read"
