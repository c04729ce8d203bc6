"""Genomes, transcript files and tables to one dataset of isoform groups, with its report."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from data_builders.codec import groups_of_table
from data_builders.groups.grouping import GroupCounts, Grouping, group_tables
from data_builders.groups.parquet import write_tables
from data_builders.groups.report import Summary, write_report
from data_builders.groups.transcripts import GeneNames, read_source
from data_builders.homology.homologous_genes import Homology, Tables, homology_tables, read_homology
from data_builders.homology.matches import MatchCounter, described
from data_builders.homology.report import draw_homology, report_homology
from data_builders.homology.tables import HomologyTable
from data_builders.names import check_species
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.sources import FastaSource, GenomeSource, Source, TableSource, files_of
from data_builders.staging import (
    MAX_SHARDS,
    Shard,
    finish,
    one_builder,
    replacing,
    shard_name,
)
from data_builders.text import Tally, sha256_of

__all__ = ["FastaSource", "GenomeSource", "Grouping", "TableSource", "build", "group_sources"]


def build(
    sources: Sequence[Source],
    output: str | os.PathLike,
    grouping: Grouping | None = None,
    *,
    homology: Tables | None = None,
    shard: Shard | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> dict:
    """Build a dataset of isoform groups that `datasets.load_dataset(output)` opens.

    Writes `data/*.parquet`, `report.json` (what was read, kept and skipped, why, how many genes the
    homology knows, and the sha256 of every input), `report.png` and, with homology, `homology.png`
    into the output folder; of a shard, `reports/0000i-of-0000n.json` and `.png` alone, from which
    `merge_reports` makes those of the whole. Groups are in the order of `group_tables`.

    In memory are the annotation of one source, its largest chromosome, the homology and the names
    of genes that it needs; a table is read whole. Meanwhile all transcripts lie uncompressed on the
    disk of the output. A dataset that an interrupted build left beside the old one is put in place
    first.

    Args:
        sources: at least one; their transcripts are pooled in this order.
        output: the folder, made if absent.
        grouping: how transcripts become groups; None: the defaults.
        homology: one or several tables for `read_homology`; None: groups are genes.
        shard: (i, n), i from 0: one of n parts that need not know of each other and, put into one
            folder, are the dataset. Where no group has two species (no homology, or merge
            "within") species are dealt out, and a shard needs only the files of its own. Else, or
            when a table names its species itself, every shard reads all sources and keeps the
            groups that their hash gives it; transcripts of others count as read by the sources,
            not by the grouping. A shard may be empty.
        strict: whether a skipped record is an error.
        overwrite: whether to replace the dataset, or the shard, that is there.

    Returns:
        The report, as written. "warnings" lists what a person should know.

    Raises:
        InputError: no source, a shard that does not exist, a missing file, a dataset in the output
            folder already, another process that builds in it, nothing left to write, a homology
            that knows no gene of a species that it has, or what the readers raise.
    """
    output = Path(output)
    grouping = Grouping() if grouping is None else grouping
    if shard is not None and not 0 <= shard[0] < shard[1] <= MAX_SHARDS:
        raise InputError(
            f"{output}: shard: got {shard[0]}/{shard[1]}, wanted i/n, 0 <= i < n <= {MAX_SHARDS}"
        )
    if not sources:
        raise InputError(f"{output}: got no source, wanted a genome, transcripts or a table")
    crossing = homology is not None and grouping.merge == "across"
    all_sources = sources
    sources, share = _dealt(sources, crossing, shard)
    tables = [] if homology is None else homology_tables(homology)
    _check_inputs(sources, tables)
    _check_unmatched(grouping.unmatched, all_sources, homology)
    tallies = [Tally(strict=strict) for _ in sources]
    homology_tally, counts = Tally(strict=strict), GroupCounts(Tally(strict=strict))
    summary = Summary()
    with _writing(output, shard, overwrite) as partial:
        known = None if homology is None else read_homology(tables, homology_tally)
        matches = None if known is None else MatchCounter(known)
        names = GeneNames(homology=known, selection=grouping.select)
        with TemporaryDirectory(prefix="spill-", dir=partial) as workspace:
            grouped = group_tables(
                _transcripts(sources, tallies, names),
                workspace,
                grouping,
                matches=matches,
                names=names,
                shard=share,
                counts=counts,
            )
            write_tables(
                _counted(grouped, summary), partial / "data", grouping.rows_per_file, shard
            )
        if not summary.groups and shard is None:
            reasons = sum((t.skipped for t in (*tallies, counts.tally)), Counter())
            raise InputError(
                f"{output}: got no transcript to write, wanted some: {_listed(reasons)}"
            )
        all_species = len(sources) == len(all_sources)
        warnings = (
            []
            if matches is None
            else matches.check(all_species=all_species, unmatched=grouping.unmatched)
        )
        warnings += _check_selection(grouping, names, summary, sources, all_species)
        report = {
            "shard": None if shard is None else {"number": shard[0], "of": shard[1]},
            "warnings": sorted(warnings),
            "sources": [
                _described(source) | _counts(tally)
                for source, tally in zip(sources, tallies, strict=True)
            ],
            "homology": None
            if matches is None or known is None
            else {"merge": grouping.merge, "files": _homology_digests(tables)}
            | _counts(homology_tally)
            | {"matches": described(matches.matches()), "partition": report_homology(known)},
            "grouping": {"max_length": grouping.max_length, "select": grouping.select}
            | _counts(counts.tally)
            | {"selected": dict(sorted(counts.selected.items()))},
            "dataset": summary.as_dict(),
        }
        path = partial / ("report" if shard is None else f"reports/{shard_name(shard)}")
        path.parent.mkdir(exist_ok=True)
        write_report(report, summary, path)
        if known is not None and shard is None:
            draw_homology(report["homology"], partial / "homology.png")
    return report


def group_sources(
    sources: Sequence[Source],
    homology: Homology | None = None,
    tally: Tally | None = None,
    unmatched: Collection[str] = (),
) -> tuple[Iterator[IsoformGroup], Mapping[tuple[str, str], str]]:
    """Return the groups that `build` would write, merged across species, and gene symbols.

    Args:
        sources: as in `build`.
        homology: what the groups go by; None: they are genes.
        tally: where transcripts, and what the readers skip and change, are counted.
        unmatched: species of which the homology may know no gene.

    Returns:
        The groups, and (species, gene_id) -> symbol, which is filled when the first group comes.
        After the last group an `InputError` is raised as by `build` if the homology knows no gene
        of another species that it has.
    """
    tally = Tally() if tally is None else tally
    if unmatched and homology is None:
        raise InputError(f"unmatched: got {', '.join(unmatched)} and no homology, wanted a table")
    names = GeneNames(homology=homology)
    matches = None if homology is None else MatchCounter(homology)

    def groups() -> Iterator[IsoformGroup]:
        transcripts = _transcripts(sources, [tally] * len(sources), names)
        with TemporaryDirectory(prefix="isoclr-") as workspace:
            for table in group_tables(transcripts, workspace, matches=matches, names=names):
                yield from groups_of_table(table)
        if matches is not None:
            matches.check(unmatched=unmatched)

    return groups(), names.symbols


def _check_selection(
    grouping: Grouping,
    names: GeneNames,
    summary: Summary,
    sources: Sequence[Source],
    all_species: bool,
) -> list[str]:
    """Return a warning if no transcript has a tag to select it by; an error in a whole dataset."""
    if grouping.select in (None, "longest") or names.preferences or not summary.groups:
        return []
    paths = ", ".join(str(path) for s in sources for path in files_of(s).values())
    message = (
        f"{paths[:200]}: select {grouping.select}: got no transcript with such a tag, wanted "
        "annotation that has them (GENCODE, Ensembl, RefSeq), or select longest"
    )
    if all_species:
        raise InputError(message)
    return [message]


def _dealt(
    sources: Sequence[Source], crossing: bool, shard: Shard | None
) -> tuple[Sequence[Source], Shard]:
    """Return the sources that a shard reads, and the share of their groups that it keeps."""
    if shard is None:
        return sources, (0, 1)
    species = list(dict.fromkeys(source.species for source in sources))
    if crossing or None in species:
        return sources, shard
    number, shards = shard
    return [s for s in sources if species.index(s.species) % shards == number], (0, 1)


def _transcripts(
    sources: Sequence[Source], tallies: Sequence[Tally], names: GeneNames
) -> Iterator[Transcript]:
    for source, tally in zip(sources, tallies, strict=True):
        yield from read_source(source, tally, names)


def _counted(tables: Iterable[pa.Table], summary: Summary) -> Iterator[pa.Table]:
    for table in tables:
        summary.add(table)
        yield table


def _check_inputs(sources: Sequence[Source], tables: Sequence[HomologyTable]) -> None:
    for species in (source.species for source in sources):
        if species is not None and not (species.strip() and species.isprintable()):
            raise InputError(f"species: got {species!r}, wanted a name")
    paths = [path for source in sources for path in files_of(source).values()]
    paths += [path for table in tables for path in (table.path, table.genes) if path is not None]
    for path in paths:
        if not Path(path).is_file():
            raise InputError(f"{path}: got no such file, wanted an input")


def _check_unmatched(
    unmatched: Sequence[str], sources: Sequence[Source], homology: Tables | None
) -> None:
    """Refuse species that no source has; those of tables are known once they are read."""
    if unmatched and homology is None:
        raise InputError(f"unmatched: got {', '.join(unmatched)} and no homology, wanted a table")
    there = {source.species for source in sources if source.species is not None}
    if all(source.species is not None for source in sources):
        check_species("unmatched", unmatched, there)


@contextmanager
def _writing(output: Path, shard: Shard | None, overwrite: bool) -> Iterator[Path]:
    """Yield a folder whose content replaces the dataset, or the shard; no other process does."""
    with one_builder(output, shard):
        finish(output, shard)
        _check_output(output, shard, overwrite)
        with replacing(output, shard) as partial:
            yield partial


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
    """Return what a source is, for report.json."""
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
    """Return the attributes that are there."""
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
