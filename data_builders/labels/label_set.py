"""Measured properties of transcripts, joined with their sequences and homology groups."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from data_builders.homology.homologous_genes import Homology
from data_builders.homology.matches import Match as HomologyMatch
from data_builders.homology.matches import MatchCounter
from data_builders.labels.base import BINARY, MULTICLASS, REGRESSION, Labels
from data_builders.labels.join import (
    ANY_SPECIES,
    Found,
    GeneKey,
    Match,
    TranscriptKey,
    described,
    find_genes,
    find_transcripts,
    gene_key,
    transcript_key,
)
from data_builders.names import check_species
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.tables import ROW, names_of_columns, read_table, transcripts_of_frame
from data_builders.text import Tally

_MISSING = ("", "NA", "N/A", "NaN", "nan", "null")
_GENE_COLUMNS = ("gene_id", "gene", "gene_symbol")
_FEW = 0.2  # of the labels


@dataclass(frozen=True, kw_only=True)
class LabelSet(Labels):
    """The labels of n transcripts, each with a homology group.

    Attributes:
        transcripts: n of them, in the order of the label table.
        groups: the homology group of each, `species:gene_id` where none is known.
        report: rows of the label table by what became of them, together every row once: "matched"
            are here; left out were "label missing", "ambiguous" (a transcript or gene labelled
            twice, or a name that means two) and "unmatched" (no such transcript or gene).
            "without homology" are the matched rows of which no homology group is known; what was
            changed to read a transcript is counted by reason.
        matched: species -> rows that are here.
        homology_matches: how many genes each table of homology knows, where homology was given.
        warnings: what a person should know of the join.
    """

    transcripts: tuple[Transcript, ...]
    groups: tuple[str, ...] = ()
    report: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)
    homology_matches: tuple[HomologyMatch, ...] = ()
    warnings: tuple[str, ...] = ()
    unit: str = "transcripts"
    group_unit: str = "homology groups"

    def feed(self, digest) -> None:
        """Update a digest of hashlib with transcripts, homology groups and targets."""
        for transcript, group in zip(self.transcripts, self.groups, strict=True):
            digest.update(repr((transcript, group)).encode())
        digest.update(self.targets.tobytes())


@dataclass(frozen=True, kw_only=True)
class Join:
    """Where the transcripts of a label table, and their homology groups, come from.

    Attributes:
        isoform_groups: where to look transcripts up; read once. None: the table has them.
        homology: for a table that has them.
        gene_symbols: (species, gene_id) -> symbol of the groups' genes, another name to match.
        species: of the table; one that has a column species must name it there.
        default_species: of a table without a column species where `species` is None; None: any
            species of the isoform groups in which a name is found, and "unknown" for a table that
            carries its transcripts.
    """

    isoform_groups: Iterable[IsoformGroup] | None = None
    homology: Homology | None = None
    gene_symbols: Mapping[tuple[str, str], str] | None = None
    species: str | None = None
    default_species: str | None = None


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """The label of each row of a table.

    Attributes:
        label: its name.
        task: one of `data_builders.labels.base.TASK_TYPES`.
        values: of each row a number, a truth value, a class number or a bool (classes,); None where
            missing.
        classes: the names of the classes.
        path: the table's file, for errors.
    """

    label: str
    task: str
    values: Sequence
    classes: tuple[str, ...] = ()
    path: str | os.PathLike


def read_labels(
    path: str | os.PathLike, column: str, join: Join | None = None, task: str | None = None
) -> LabelSet:
    """Read a label for each transcript or gene, and the transcripts that they belong to.

    With `Join.isoform_groups`, transcripts and homology groups are looked up: by transcript_id
    where the table has that column, else by gene_id, gene or gene_symbol. A gene is then
    represented by its transcript with the longest CDS, of these the longest, of these the first by
    name. Versions of Ensembl ids do not count. Without, the table carries the transcripts itself:
    transcript_id, gene_id and perhaps gene_symbol (or just gene), and sequence, cds_start, cds_end
    and perhaps exon_junctions as in `Transcript` (or just utr5, cds and utr3), and perhaps
    homology_group.

    Args:
        path: as in `read_table`.
        column: the label; empty, NA or not finite means missing.
        join: where transcripts come from; None: all from the table.
        task: "regression" or "binary" of a column of numbers, "multiclass" of one of class names.
            None: "binary" where all numbers are 0 or 1, else "regression".

    Raises:
        InputError: a file that can't be read, a missing column, a value of another type, a
            transcript that contradicts itself, homology that knows none of the genes, or no usable
            row.
    """
    table = read_table(path)
    return label_rows(table, read_column(table, column, path, task), join)


def read_column(
    table: pl.DataFrame, column: str, path: str | os.PathLike, task: str | None = None
) -> LabelColumn:
    """Read the label of each row, as in `read_labels`, but of no multilabel task."""
    if task == MULTICLASS:
        names = [None if x in _MISSING else x for x in _texts(_series(table, column, path), path)]
        classes = tuple(sorted({name for name in names if name is not None}))
        place = {name: i for i, name in enumerate(classes)}
        values: list = [None if name is None else place[name] for name in names]
        return LabelColumn(label=column, task=task, values=values, classes=classes, path=path)
    if task not in (None, REGRESSION, BINARY):
        raise InputError(
            f"{path}: {column}: task: got '{task}', wanted {REGRESSION}, {BINARY} or {MULTICLASS}"
        )
    values = numbers(table, column, path)
    known = {value for value in values if value is not None}
    if task == BINARY and not known <= {0, 1}:
        raise InputError(f"{path}: {column}: got {max(known - {0, 1}):g}, wanted 0 or 1")
    task = task or (BINARY if known <= {0, 1} else REGRESSION)
    if task == BINARY:
        values = [None if value is None else value == 1 for value in values]
    return LabelColumn(label=column, task=task, values=values, path=path)


def label_rows(table: pl.DataFrame, column: LabelColumn, join: Join | None = None) -> LabelSet:
    """Join the labels of a table in memory with transcripts; see `read_labels`."""
    join = join or Join()
    path = column.path
    species = join.species or join.default_species
    if "species" in table.columns and join.species is not None:
        there = {str(name) for name in table["species"].drop_nulls()}
        check_species(f"{path}: species", [join.species], sorted(there))
    if "species" not in table.columns and (species or join.isoform_groups is None):
        table = table.with_columns(species=pl.lit(species or "unknown"))
    isoform_groups = join.isoform_groups
    if isoform_groups is None:
        return _label_carried(table, column, join.homology)
    of_species: list[str | None] = [None] * table.height
    if "species" in table.columns:
        of_species = list(filled(table, "species", path))
    if "transcript_id" in table.columns:
        names = filled(table, "transcript_id", path)
        keys = list(map(transcript_key, of_species, names))
        return collect(column, keys, lambda rows: find_transcripts(rows, isoform_groups))
    columns = [name for name in _GENE_COLUMNS if name in table.columns]
    if not columns:
        raise InputError(
            f"{path}: got the columns {names_of_columns(table)}, wanted transcript_id or one of "
            f"{', '.join(_GENE_COLUMNS)} too"
        )
    more = (_texts(table[name], path) for name in columns[1:])
    names = zip(filled(table, columns[0], path), *more, strict=True)
    return label_genes(column, list(map(gene_key, of_species, names)), join)


def label_genes(column: LabelColumn, keys: Sequence[GeneKey], join: Join) -> LabelSet:
    """Join the labels of genes, by their keys, with transcripts of isoform groups."""
    groups = join.isoform_groups or ()
    return collect(column, keys, lambda rows: find_genes(rows, groups, join.gene_symbols))


def collect(
    column: LabelColumn,
    keys: Sequence[TranscriptKey | GeneKey],
    look_up: Callable[[Mapping[Any, int]], Found],
) -> LabelSet:
    """Join the label of each row with the transcripts of what its key means.

    No row that has both a label and one match is an InputError.
    """
    repeats = Counter(keys)
    report: Counter[str] = Counter()
    rows: dict[TranscriptKey | GeneKey, int] = {}
    for row, (key, value) in enumerate(zip(keys, column.values, strict=True)):
        if value is None:
            report["label missing"] += 1
        elif repeats[key] > 1:
            report["ambiguous"] += 1
        else:
            rows[key] = row
    found = look_up(rows)
    # Two names of one gene label it twice.
    claims = Counter(
        _identity(matches[0]) for matches in found.matches.values() if len(matches) == 1
    )
    kept, unmatched = [], None
    for key, row in rows.items():
        matches = found.matches[key]
        if not matches:
            report["unmatched"] += 1
            unmatched = key if unmatched is None else unmatched
        elif len(matches) > 1 or claims[_identity(matches[0])] > 1:
            report["ambiguous"] += 1
        else:
            kept.append((row, *matches[0]))
    report["matched"] = len(kept)
    report["without homology"] = sum(group == own_group(t) for _, t, group in kept)
    sides = _sides(unmatched or next(iter(rows), None), found)
    if not kept:
        raise InputError(
            f"{column.path}: got no usable row: {dict(+report)}, wanted labelled transcripts{sides}"
        )
    warnings = []
    if report["matched"] < _FEW * len(rows):
        warnings.append(
            f"{column.path}: only {report['matched']:,} of {len(rows):,} labels have a "
            f"transcript{sides}"
        )
    numbers_of_rows, transcripts, groups = zip(*kept, strict=True)
    return LabelSet(
        label=column.label,
        task=column.task,
        targets=np.array([column.values[row] for row in numbers_of_rows]),
        classes=column.classes,
        transcripts=transcripts,
        groups=groups,
        report=+report,
        matched=Counter(transcript.species for transcript in transcripts),
        warnings=tuple(warnings),
    )


def _sides(key: TranscriptKey | GeneKey | None, found: Found) -> str:
    """Return an id of the labels and one of the data, for errors and warnings."""
    if key is None or found.example is None:
        return ""
    species, name = found.example
    text = f"; a label has {described(key)}, the data '{name}' of '{species}'"
    if key[0] == ANY_SPECIES and len(found.species) > 1:
        text += f"; the species of the labels may be named: {', '.join(sorted(found.species))}"
    return text


def _identity(match: Match) -> tuple[str, str]:
    return match[0].species, match[0].transcript_id


def own_group(transcript: Transcript) -> str:
    """Return the group of a gene without homologs."""
    return f"{transcript.species}:{transcript.gene_id}"


def _series(table: pl.DataFrame, name: str, path) -> pl.Series:
    if name not in table.columns:
        raise InputError(f"{path}: got no column '{name}', wanted one of {names_of_columns(table)}")
    return table[name]


def filled(table: pl.DataFrame, name: str, path: str | os.PathLike) -> list[str]:
    """Return a column of text that has a value in every row."""
    series = _series(table, name, path)
    gaps = series.is_null().arg_true()
    if len(gaps):
        raise InputError(f"{path}: row {gaps[0] + 1}: {name}: got nothing, wanted a value")
    return [text or "" for text in _texts(series, path)]


def _texts(series: pl.Series, path) -> list[str | None]:
    try:
        return series.cast(pl.String).to_list()
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{path}: column '{series.name}': got {series.dtype}, wanted text"
        ) from error


def numbers(table: pl.DataFrame, name: str, path: str | os.PathLike) -> list[float | None]:
    """Return a column of numbers, None where one is missing."""
    series = _series(table, name, path)
    missing = series.is_null()
    if series.dtype == pl.String:
        missing |= series.is_in(_MISSING)
    if series.dtype.is_nested():
        raise InputError(f"{path}: column '{name}': got {series.dtype}, wanted numbers")
    cast = series.cast(pl.Float64, strict=False)
    wrong = (cast.is_null() & ~missing).arg_true()
    if len(wrong):
        raise InputError(
            f"{path}: row {wrong[0] + 1}: {name}: got {series[wrong[0]]!r}, wanted a number"
        )
    return [x if x is not None and np.isfinite(x) else None for x in cast]


def _label_carried(table: pl.DataFrame, column: LabelColumn, homology: Homology | None) -> LabelSet:
    """Return the labels of transcripts that the table carries itself."""
    path = column.path
    table = _as_transcript_columns(table)
    tally = Tally()
    matches = None if homology is None else MatchCounter(homology)
    of_species, names = (filled(table, name, path) for name in ("species", "transcript_id"))
    labels = collect(
        column,
        list(map(transcript_key, of_species, names)),
        lambda rows: _read_transcripts(table, rows, matches, path, tally),
    )
    labels.report.update(tally.adjusted)
    if matches is None:
        return labels
    try:
        warnings = matches.check()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return replace(
        labels,
        warnings=(*labels.warnings, *warnings),
        homology_matches=tuple(matches.matches()),
    )


def _as_transcript_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Add the columns of `Transcript` that follow from others."""
    if "gene_id" not in table.columns and "gene" in table.columns:
        table = table.with_columns(gene_id="gene")
    if "transcript_id" not in table.columns and "gene_id" in table.columns:
        table = table.with_columns(transcript_id="gene_id")
    if "sequence" not in table.columns and {"utr5", "cds", "utr3"} <= set(table.columns):
        cds_start = pl.col("utr5").str.len_chars()
        table = table.with_columns(
            sequence=pl.concat_str("utr5", "cds", "utr3"),
            cds_start=cds_start,
            cds_end=cds_start + pl.col("cds").str.len_chars(),
        )
    return table


def _read_transcripts(
    table: pl.DataFrame,
    rows: Mapping[TranscriptKey, int],
    matches: MatchCounter | None,
    path,
    tally: Tally,
) -> Found:
    """Return the transcripts of some rows, with their homology groups."""
    table = table.with_row_index(ROW, 1)[list(rows.values())]
    transcripts = transcripts_of_frame(table, path, tally=tally)
    unknown = [None] * len(rows)
    groups = table["homology_group"] if "homology_group" in table.columns else unknown
    symbols = table["gene_symbol"] if "gene_symbol" in table.columns else unknown
    found = {}
    for key, known, symbol, transcript in zip(rows, groups, symbols, transcripts, strict=True):
        if known is None and matches is not None:
            known = matches.group(transcript.species, transcript.gene_id, symbol or "")
        found[key] = [(transcript, known or own_group(transcript))]
    return Found(matches=found)
