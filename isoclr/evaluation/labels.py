"""Measured properties of transcripts, joined with their sequences and homology groups."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.tables import ROW, transcripts_of_frame
from data_builders.text import Tally

_MISSING = ("", "NA", "N/A", "NaN", "nan", "null")
_NOT_A_BASE = re.compile("[^ACGTN]")

_Key = tuple[str, str]  # species, transcript_id


@dataclass(frozen=True)
class LabelledTranscripts:
    """n transcripts, each with a measured value and a homology group.

    Attributes:
        label: what was measured, the name of its column.
        transcripts: n of them, in the order of the label table.
        targets: float64 (n,), finite.
        groups: the homology group of each, `species:gene_id` where none is known.
        report: rows of the label table by what became of them: "matched" are here; skipped were
            "label missing", "ambiguous" (a transcript labelled twice, or in two isoform groups) and
            "unmatched" (no such transcript). "without homology" are the matched rows of which no
            homology group is known; what was changed to read a transcript is counted by reason.
    """

    label: str
    transcripts: tuple[Transcript, ...]
    targets: np.ndarray
    groups: tuple[str, ...]
    report: Counter[str]


def read_labels(
    path: str | os.PathLike,
    column: str,
    *,
    homology: Mapping[str, str] | None = None,
    isoform_groups: Iterable[IsoformGroup] | None = None,
    species: str = "unknown",
) -> LabelledTranscripts:
    """Reads labels, and the transcripts that they belong to.

    With `isoform_groups`, the table has the columns species, transcript_id and the label;
    transcripts and homology groups are looked up. Without, it carries the transcripts itself:
    transcript_id, gene_id and perhaps gene_symbol (or just gene), and sequence, cds_start, cds_end
    and perhaps exon_junctions as in `Transcript` (or just utr5, cds and utr3).

    Args:
        path: Parquet (`.parquet`), else a tab-separated table with a header, plain or gzip.
        column: the label, a number; empty, NA or not finite means missing.
        homology: gene symbol or gene id -> homology group, for a table that carries transcripts.
        isoform_groups: where to look transcripts up; read once.
        species: of a table that carries transcripts and has no column species.

    Raises:
        InputError: a file that can't be read, a missing column, a value of another type, a
            transcript that contradicts itself, or no usable row.
    """
    table = _read_table(path)
    targets = _numbers(table, column, path)
    if isoform_groups is None:
        table = _as_transcript_columns(table, species)
    columns = [_values(table, name, pl.String, path) for name in ("species", "transcript_id")]
    keys = list(zip(*columns, strict=True))
    repeats = Counter(keys)
    report: Counter[str] = Counter()
    rows: dict[_Key, int] = {}
    for row, (key, target) in enumerate(zip(keys, targets, strict=True)):
        if target is None:
            report["label missing"] += 1
        elif repeats[key] > 1:
            report["ambiguous"] += 1
        else:
            rows[key] = row

    if isoform_groups is None:
        found = _read_transcripts(table, rows, homology or {}, path, report)
    else:
        found = _look_up(isoform_groups, rows)
    matched = [(rows[key], *found[key][0]) for key in rows if len(found[key]) == 1]
    report["matched"] = len(matched)
    report["unmatched"] = sum(not found[key] for key in rows)
    report["ambiguous"] += sum(len(found[key]) > 1 for key in rows)
    report["without homology"] = sum(group == _own_group(t) for _, t, group in matched)
    if not matched:
        raise InputError(f"{path}: got no usable row: {dict(+report)}, wanted labelled transcripts")
    kept, transcripts, groups = zip(*matched, strict=True)
    return LabelledTranscripts(
        column, transcripts, np.array([targets[row] for row in kept]), groups, +report
    )


def _read_table(path) -> pl.DataFrame:
    try:
        if str(path).endswith(".parquet"):
            return pl.read_parquet(path)
        return pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{path}: got '{reason}', wanted a Parquet file (.parquet) or a tab-separated table"
        ) from error


def _series(table: pl.DataFrame, name: str, path) -> pl.Series:
    if name not in table.columns:
        raise InputError(
            f"{path}: got no column '{name}', wanted one of {', '.join(table.columns)}"
        )
    return table[name]


def _values(table: pl.DataFrame, name: str, dtype: pl.DataType, path) -> list:
    """A column of one type that has a value in every row."""
    series = _series(table, name, path)
    gaps = series.is_null().arg_true()
    if len(gaps):
        raise InputError(f"{path}: row {gaps[0] + 1}: {name}: got nothing, wanted a value")
    try:
        return series.cast(dtype).to_list()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: column '{name}': got {series.dtype}, wanted {dtype}") from error


def _numbers(table: pl.DataFrame, name: str, path) -> list[float | None]:
    """The label of each row, None where it is missing."""
    series = _series(table, name, path)
    missing = series.is_null()
    if series.dtype == pl.String:
        missing |= series.is_in(_MISSING)
    if series.dtype.is_nested():
        raise InputError(f"{path}: column '{name}': got {series.dtype}, wanted numbers")
    numbers = series.cast(pl.Float64, strict=False)
    wrong = (numbers.is_null() & ~missing).arg_true()
    if len(wrong):
        raise InputError(
            f"{path}: row {wrong[0] + 1}: {name}: got {series[wrong[0]]!r}, wanted a number"
        )
    return [x if x is not None and np.isfinite(x) else None for x in numbers]


def _as_transcript_columns(table: pl.DataFrame, species: str) -> pl.DataFrame:
    """Adds the columns of `Transcript` that follow from others."""
    if "gene_id" not in table.columns and "gene" in table.columns:
        table = table.with_columns(gene_id="gene")
    if "transcript_id" not in table.columns and "gene_id" in table.columns:
        table = table.with_columns(transcript_id="gene_id")
    if "species" not in table.columns:
        table = table.with_columns(species=pl.lit(species))
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
    rows: Mapping[_Key, int],
    homology: Mapping[str, str],
    path,
    report: Counter[str],
) -> dict[_Key, list[tuple[Transcript, str]]]:
    """The transcripts that the label table carries, with their homology groups."""
    tally = Tally()
    table = table.with_row_index(ROW, 1)[list(rows.values())]
    transcripts = transcripts_of_frame(table, path, tally=tally)
    symbols = table["gene_symbol" if "gene_symbol" in table.columns else "gene_id"].to_list()
    found = {}
    for key, symbol, transcript in zip(rows, symbols, transcripts, strict=True):
        group = homology.get(symbol) or homology.get(transcript.gene_id) or _own_group(transcript)
        found[key] = [(transcript, group)]
    report.update(tally.adjusted)
    return found


def _look_up(
    isoform_groups: Iterable[IsoformGroup], wanted: Iterable[_Key]
) -> dict[_Key, list[tuple[Transcript, str]]]:
    """Each wanted transcript with its group, as often as it is found."""
    found: dict[_Key, list[tuple[Transcript, str]]] = {key: [] for key in wanted}
    for group in isoform_groups:
        for transcript in group.transcripts:
            key = transcript.species, transcript.transcript_id
            if key in found:
                found[key].append((transcript, group.group_id))
    return found


def _own_group(transcript: Transcript) -> str:
    return f"{transcript.species}:{transcript.gene_id}"
