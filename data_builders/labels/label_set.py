"""Measured properties of transcripts, joined with their sequences and homology groups."""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_builders.homology.homologous_genes import Homology
from data_builders.labels.join import (
    Match,
    TranscriptKey,
    find_genes,
    find_transcripts,
    gene_key,
    transcript_key,
)
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.tables import ROW, names_of_columns, read_table, transcripts_of_frame
from data_builders.text import Tally

_MISSING = ("", "NA", "N/A", "NaN", "nan", "null")
_GENE_COLUMNS = ("gene_id", "gene", "gene_symbol")


@dataclass(frozen=True)
class LabelSet:
    """n transcripts, each with a label and a homology group.

    Attributes:
        label: what was measured, the name of its column.
        transcripts: n of them, in the order of the label table.
        targets: float64 (n,), finite; or bool (n, classes) of a label with several classes.
        groups: the homology group of each, `species:gene_id` where none is known.
        report: rows of the label table by what became of them, together every row once: "matched"
            are here; left out were "label missing", "ambiguous" (a transcript or gene labelled
            twice, or a name that means two) and "unmatched" (no such transcript or gene).
            "without homology" are the matched rows of which no homology group is known; what was
            changed to read a transcript is counted by reason.
        classes: the names of the columns of `targets`, none for a number.
    """

    label: str
    transcripts: tuple[Transcript, ...]
    targets: np.ndarray
    groups: tuple[str, ...]
    report: Counter[str]
    classes: tuple[str, ...] = ()

    def feed(self, digest) -> None:
        """Updates a digest of hashlib with transcripts, homology groups and targets."""
        for transcript, group in zip(self.transcripts, self.groups, strict=True):
            digest.update(repr((transcript, group)).encode())
        digest.update(self.targets.tobytes())


def read_labels(
    path: str | os.PathLike,
    column: str,
    *,
    homology: Homology | None = None,
    isoform_groups: Iterable[IsoformGroup] | None = None,
    gene_symbols: Mapping[tuple[str, str], str] | None = None,
    species: str = "unknown",
) -> LabelSet:
    """Reads a number for each transcript or gene, and the transcripts that they belong to.

    With `isoform_groups`, transcripts and homology groups are looked up: by transcript_id where the
    table has that column, else by gene_id, gene or gene_symbol. A gene is then represented by its
    transcript with the longest CDS, of these the longest, of these the first by name. Versions of
    Ensembl ids do not count. Without, the table carries the transcripts itself: transcript_id,
    gene_id and perhaps gene_symbol (or just gene), and sequence, cds_start, cds_end and perhaps
    exon_junctions as in `Transcript` (or just utr5, cds and utr3), and perhaps homology_group.

    Args:
        path: as in `read_table`.
        column: the label, a number; empty, NA or not finite means missing.
        homology: for a table that carries transcripts; asked for the gene_id, then the symbol.
        isoform_groups: where to look transcripts up; read once.
        gene_symbols: (species, gene_id) -> symbol of their genes, another name to match.
        species: of a table without a column species.

    Raises:
        InputError: a file that can't be read, a missing column, a value of another type, a
            transcript that contradicts itself, homology that knows none of the genes, or no usable
            row.
    """
    table = read_table(path)
    targets = numbers(table, column, path)
    return label_rows(
        table,
        column,
        targets,
        path,
        homology=homology,
        isoform_groups=isoform_groups,
        gene_symbols=gene_symbols,
        species=species,
    )


def label_rows(
    table: pl.DataFrame,
    label: str,
    values: Sequence,
    path: str | os.PathLike,
    *,
    classes: tuple[str, ...] = (),
    homology: Homology | None = None,
    isoform_groups: Iterable[IsoformGroup] | None = None,
    gene_symbols: Mapping[tuple[str, str], str] | None = None,
    species: str = "unknown",
) -> LabelSet:
    """As `read_labels`, of a table in memory and the value of each row, None where missing."""
    if "species" not in table.columns:
        table = table.with_columns(species=pl.lit(species))
    if isoform_groups is None:
        return _label_carried(table, label, values, path, classes, homology)
    of_species = filled(table, "species", path)
    if "transcript_id" in table.columns:
        names = filled(table, "transcript_id", path)
        keys = list(map(transcript_key, of_species, names))
        return collect(
            label, keys, values, lambda rows: find_transcripts(rows, isoform_groups), path, classes
        )
    columns = [name for name in _GENE_COLUMNS if name in table.columns]
    if not columns:
        raise InputError(
            f"{path}: got the columns {names_of_columns(table)}, wanted transcript_id or one of "
            f"{', '.join(_GENE_COLUMNS)} too"
        )
    more = (_texts(table[name], path) for name in columns[1:])
    names = zip(filled(table, columns[0], path), *more, strict=True)
    keys = list(map(gene_key, of_species, names))
    return collect(
        label,
        keys,
        values,
        lambda rows: find_genes(rows, isoform_groups, gene_symbols),
        path,
        classes,
    )


def collect(
    label: str,
    keys: Sequence[Hashable],
    values: Sequence,
    look_up: Callable[[Mapping[Hashable, int]], Mapping[Hashable, list[Match]]],
    path: str | os.PathLike,
    classes: tuple[str, ...] = (),
) -> LabelSet:
    """Joins labels with transcripts.

    Args:
        label: their name.
        keys: of each row, what it labels.
        values: of each row, the label; None where missing.
        look_up: from key -> row to key -> every match.
        path: where the rows come from.
        classes: as in `LabelSet`.

    Raises:
        InputError: no row has both a label and one match.
    """
    repeats = Counter(keys)
    report: Counter[str] = Counter()
    rows: dict[Hashable, int] = {}
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        if value is None:
            report["label missing"] += 1
        elif repeats[key] > 1:
            report["ambiguous"] += 1
        else:
            rows[key] = row
    found = look_up(rows)
    # Two names of one gene label it twice.
    claims = Counter(_identity(matches[0]) for matches in found.values() if len(matches) == 1)
    kept = []
    for key, row in rows.items():
        matches = found[key]
        if not matches:
            report["unmatched"] += 1
        elif len(matches) > 1 or claims[_identity(matches[0])] > 1:
            report["ambiguous"] += 1
        else:
            kept.append((row, *matches[0]))
    report["matched"] = len(kept)
    report["without homology"] = sum(group == own_group(t) for _, t, group in kept)
    if not kept:
        raise InputError(f"{path}: got no usable row: {dict(+report)}, wanted labelled transcripts")
    numbers_of_rows, transcripts, groups = zip(*kept, strict=True)
    targets = np.array([values[row] for row in numbers_of_rows])
    return LabelSet(label, transcripts, targets, groups, +report, classes)


def _identity(match: Match) -> tuple[str, str]:
    return match[0].species, match[0].transcript_id


def own_group(transcript: Transcript) -> str:
    """The group of a gene without homologs."""
    return f"{transcript.species}:{transcript.gene_id}"


def _series(table: pl.DataFrame, name: str, path) -> pl.Series:
    if name not in table.columns:
        raise InputError(f"{path}: got no column '{name}', wanted one of {names_of_columns(table)}")
    return table[name]


def filled(table: pl.DataFrame, name: str, path: str | os.PathLike) -> list[str]:
    """A column of text that has a value in every row.

    Raises:
        InputError: no such column, a gap, or values that are no text.
    """
    series = _series(table, name, path)
    gaps = series.is_null().arg_true()
    if len(gaps):
        raise InputError(f"{path}: row {gaps[0] + 1}: {name}: got nothing, wanted a value")
    return _texts(series, path)


def _texts(series: pl.Series, path) -> list[str | None]:
    try:
        return series.cast(pl.String).to_list()
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{path}: column '{series.name}': got {series.dtype}, wanted text"
        ) from error


def numbers(table: pl.DataFrame, name: str, path: str | os.PathLike) -> list[float | None]:
    """A column of numbers, None where one is missing.

    Raises:
        InputError: no such column, or a value that is no number.
    """
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


def _label_carried(
    table: pl.DataFrame,
    label: str,
    values: Sequence,
    path,
    classes: tuple[str, ...],
    homology: Homology | None,
) -> LabelSet:
    """Labels of transcripts that the table carries itself."""
    table = _as_transcript_columns(table)
    tally = Tally()
    of_species, names = (filled(table, name, path) for name in ("species", "transcript_id"))
    labels = collect(
        label,
        list(map(transcript_key, of_species, names)),
        values,
        lambda rows: _read_transcripts(table, rows, homology, path, tally),
        path,
        classes,
    )
    if homology is not None and labels.report["without homology"] == len(labels.transcripts):
        first = labels.transcripts[0]
        raise InputError(
            f"{path}: got no gene that the homology knows, wanted some: the first is "
            f"'{first.gene_id}' of '{first.species}'"
        )
    labels.report.update(tally.adjusted)
    return labels


def _as_transcript_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Adds the columns of `Transcript` that follow from others."""
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
    homology: Homology | None,
    path,
    tally: Tally,
) -> dict[TranscriptKey, list[Match]]:
    """The transcripts of some rows, with their homology groups."""
    table = table.with_row_index(ROW, 1)[list(rows.values())]
    transcripts = transcripts_of_frame(table, path, tally=tally)
    unknown = [None] * len(rows)
    groups = table["homology_group"] if "homology_group" in table.columns else unknown
    symbols = table["gene_symbol"] if "gene_symbol" in table.columns else unknown
    found = {}
    for key, known, symbol, transcript in zip(rows, groups, symbols, transcripts, strict=True):
        if known is None and homology is not None:
            known = homology.group(transcript.species, transcript.gene_id, symbol or "")
        found[key] = [(transcript, known or own_group(transcript))]
    return found
