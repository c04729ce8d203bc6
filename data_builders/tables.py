"""Tables of transcripts (Parquet, TSV, CSV) to transcripts."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from data_builders.codec import TRANSCRIPT_SCHEMA
from data_builders.records import AMBIGUOUS, STOP_CODONS, InputError, Transcript
from data_builders.text import Tally, begins_with, decode, numbered_lines

_REQUIRED = ("transcript_id", "gene_id", "sequence")
_INT = pl.Int64  # wide enough to see numbers that are too large
_COLUMNS = {
    name: {pl.Int32(): _INT(), pl.List(pl.Int32): pl.List(_INT)}.get(kind, kind)
    for name, kind in pl.DataFrame(TRANSCRIPT_SCHEMA.empty_table()).schema.items()
}
ROW = "row"
"""Column that numbers the rows of a file, from 1, for errors."""
_LIST = r"^\[?\s*(\d{1,18}(\s*,\s*\d{1,18})*)?\s*\]?$"
_NOT_IN_NAMES = r'"|\p{Cc}|\p{Zl}|\p{Zp}'
_SHOWN = 200


def read_transcript_table(
    path: str | os.PathLike, species: str | None = None, tally: Tally | None = None
) -> Iterator[Transcript]:
    """Read a table with one transcript a row.

    Columns: transcript_id, gene_id, sequence; optionally species, cds_start, cds_end (0-based,
    half-open, -1 or null: none) and exon_junctions (first base of every exon but the first; null:
    structure unknown; as text `[136, 256]`). Other columns are ignored. Letters are read as in
    `read_fasta`. A CDS of a length that is no multiple of three is cut to full codons: at its
    start when it begins at base 0 and ends in a stop codon (5' incomplete), else at its end.

    Args:
        path: as in `read_table`.
        species: given to every transcript, in place of the column.
        tally: where rows, and changes to them, are counted.

    Yields:
        Transcripts, in the order of the table.

    Raises:
        InputError: as in `read_table`; no row; a column is missing or of another type; a row
            without an id, gene, species or sequence, with a transcript_id used before in its
            species, with a letter that is no nucleotide, a CDS outside the sequence or junctions
            not ascending inside it.
    """
    table = read_table(path).with_row_index(ROW, 1)
    if not table.height:
        raise InputError(f"{path}: got a table without rows, wanted transcripts")
    yield from transcripts_of_frame(table, path, species, tally)


def transcripts_of_frame(
    table: pl.DataFrame,
    path: str | os.PathLike,
    species: str | None = None,
    tally: Tally | None = None,
) -> Iterator[Transcript]:
    """Do as `read_transcript_table` for rows in memory, whose numbers are in the column `ROW`."""
    tally = Tally() if tally is None else tally
    table = _typed(table, path, species)
    tally.read += table.height
    table = _clean_letters(table, tally)
    _validate(table, path)
    for row in _full_codons(table, tally).iter_rows(named=True):
        junctions = row.pop("exon_junctions")
        yield Transcript(**row, exon_junctions=None if junctions is None else tuple(junctions))


def read_names(path: str | os.PathLike) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return gene_id -> symbol, and gene_id -> transcripts, of a table of transcripts.

    Symbols are those of the column gene_symbol; without it there are none.
    """
    table = read_table(path)
    symbols: dict[str, str] = {}
    if {"gene_id", "gene_symbol"} <= set(table.columns):
        named = table.filter(pl.col("gene_symbol").fill_null("") != "")
        symbols = dict(named.select("gene_id", "gene_symbol").iter_rows())
    transcripts: dict[str, list[str]] = {}
    if {"gene_id", "transcript_id"} <= set(table.columns):
        for gene, transcript in table.select("gene_id", "transcript_id").iter_rows():
            transcripts.setdefault(gene, []).append(transcript)
    return symbols, transcripts


def is_parquet(path: str | os.PathLike) -> bool:
    """Say whether a file is Parquet, by its content."""
    return begins_with(path, b"PAR1")


def read_table(path: str | os.PathLike) -> pl.DataFrame:
    """Read Parquet, known by its content, or text with a header as strings, plain or gzip.

    Text is tab-separated if a tab is in the header, where quotes are letters like others; else
    comma-separated. A row is a line, and has all columns.

    Raises:
        InputError: it cannot be read as either; a column named twice; a row of another number of
            columns than the header.
    """
    try:
        if is_parquet(path):
            return pl.read_parquet(Path(path))
        separator = _separator(path)
        quote = None if separator == "\t" else '"'
        return pl.read_csv(Path(path), separator=separator, quote_char=quote, infer_schema=False)
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path}: got '{reason}', wanted Parquet, TSV or CSV") from error


def _separator(path) -> str:
    """Return the separator of a table, after checking that all of its lines have all columns."""
    separator, header = "\t", []
    for number, line in numbered_lines(path):
        text = decode(line, path, number).rstrip("\r\n")
        if not header:
            separator = "\t" if "\t" in text else ","
        fields = _fields(text, separator, path, number)
        header = header or fields
        if len(fields) != len(header):
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted {len(header)}")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{path}:1: columns: got '{repeated[0]}' twice, wanted it once")
    return separator


def _fields(text: str, separator: str, path, number: int) -> list[str]:
    if separator == "\t" or '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{number}: got '{error}', wanted comma-separated text") from error


def names_of_columns(table: pl.DataFrame) -> str:
    """Return the names of columns for an error: one short line, even where a header is damaged."""
    names = ", ".join(" ".join(name.split()) for name in table.columns if name != ROW)
    return names if len(names) <= _SHOWN else names[:_SHOWN] + "..."


def _typed(table: pl.DataFrame, path, species: str | None) -> pl.DataFrame:
    if species is not None:
        table = table.with_columns(species=pl.lit(species))
    missing = [name for name in (*_REQUIRED, "species") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted {', '.join(missing)} too"
        )
    optional = [name for name in _COLUMNS if name not in table.columns]
    table = table.with_columns(pl.lit(None, dtype=_COLUMNS[name]).alias(name) for name in optional)
    if table.schema["exon_junctions"] == pl.String:
        table = table.with_columns(exon_junctions=_listed(table, path))
    for name in ("cds_start", "cds_end"):
        table = table.with_columns(_integers(table, name, path))
    try:
        table = table.select(ROW, *(pl.col(name).cast(kind) for name, kind in _COLUMNS.items()))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: types: got {str(error).splitlines()[0]}") from error
    return table.with_columns(pl.col("cds_start", "cds_end").fill_null(-1))


def _integers(table: pl.DataFrame, name: str, path) -> pl.Series:
    """Return a column of text, or of whole floats, as integers."""
    given = table[name]
    if given.dtype == pl.String:
        given = given.replace("", None)
    whole = given.cast(_INT, strict=False)
    wrong = given.is_not_null() & whole.is_null()
    if given.dtype.is_float():
        wrong |= given != whole
    _refuse(wrong, table, name, path, "an integer")
    return whole


def _listed(table: pl.DataFrame, path) -> pl.Series:
    """Return junctions that are given as text as lists."""
    text = table["exon_junctions"].str.strip_chars().replace("", None)
    wrong = text.str.contains(_LIST).not_().fill_null(False)
    _refuse(wrong, table, "exon_junctions", path, "integers, such as [136, 256]")
    return text.str.extract_all(r"\d+").cast(pl.List(_INT))


def _refuse(wrong: pl.Series, table: pl.DataFrame, name: str, path, wanted: str) -> None:
    """Raise an error for the first row that is wrong."""
    bad = table.filter(wrong)
    if bad.height:
        row, value = bad.select(ROW, name).row(0)
        raise InputError(f"{path}: row {row}: {name}: got {value!r:.40}, wanted {wanted}")


def _clean_letters(table: pl.DataFrame, tally: Tally) -> pl.DataFrame:
    sequence = table["sequence"]
    rows = sequence.str.contains("[^ACGTN]").arg_true()  # few; the others need no change
    changed = sequence.gather(rows).str.to_uppercase().str.replace_all("U", "T", literal=True)
    codes = f"[{AMBIGUOUS}]"
    ambiguous = int(changed.str.count_matches(codes).sum())
    if ambiguous:
        tally.adjusted["ambiguous base read as N"] += ambiguous
    return table.with_columns(sequence.scatter(rows, changed.str.replace_all(codes, "N")))


def _validate(table: pl.DataFrame, path) -> None:
    """Raise an error for the first row that breaks a rule."""
    length = pl.col("sequence").str.len_bytes().cast(_INT)
    start, end, junctions = pl.col("cds_start"), pl.col("cds_end"), pl.col("exon_junctions")
    no_cds = (start == -1) & (end == -1)
    cds_inside = (start >= 0) & (end - start >= 3) & (end <= length)
    ascending = junctions.list.diff().list.min().fill_null(1) > 0
    inside = (junctions.list.min().fill_null(1) > 0) & (junctions.list.max().fill_null(0) < length)
    junctions_known = ~junctions.list.contains(None).fill_null(False)
    text = pl.col("transcript_id", "gene_id", "species", "sequence")
    blank = pl.any_horizontal(text.fill_null("") == "")
    names = pl.concat_str("transcript_id", "gene_id", "species")
    odd = names.str.extract(f"({_NOT_IN_NAMES})")
    repeated = pl.struct("species", "transcript_id").is_first_distinct().not_()
    letter = pl.col("sequence").str.extract("([^ACGTN])")
    rules = [
        ("text", blank, pl.lit("an empty field"), "an id, gene, species and sequence"),
        ("text", odd.is_not_null(), odd, "names without quotes and control characters"),
        ("transcript_id", repeated, pl.lit("it again"), "one row a transcript of a species"),
        ("sequence", letter.is_not_null(), letter, "nucleotides"),
        (
            "CDS",
            ~(no_cds | cds_inside),
            pl.format("{} to {} of {} nt", start, end, length),
            "a codon or more inside the sequence, or -1 and -1",
        ),
        (
            "exon_junctions",
            ~(ascending & inside & junctions_known),
            junctions.cast(pl.List(pl.String)).list.head(5).list.join(", "),
            "ascending positions inside the sequence, not 0",
        ),
    ]
    for name, broken, found, wanted in rules:
        bad = table.filter(broken).select(ROW, "transcript_id", found.alias("found"))
        if bad.height:
            row, transcript, shown = bad.row(0)
            raise InputError(
                f"{path}: row {row} ({_printable(transcript)}): {name}: "
                f"got {_printable(shown)}, wanted {wanted}"
            )


def _printable(value: str | None) -> str:
    text = str(value)[:_SHOWN]
    return text if text.isprintable() else repr(text)


def _full_codons(table: pl.DataFrame, tally: Tally) -> pl.DataFrame:
    start, end = pl.col("cds_start"), pl.col("cds_end")
    partial = (end - start) % 3
    ends_in_stop = pl.col("sequence").str.slice(end - 3, 3).is_in(sorted(STOP_CODONS))
    table = table.with_columns(at_start=(start == 0) & ends_in_stop, partial=partial)
    for at_start, reason in ((True, "first"), (False, "last")):
        cut = table.filter((pl.col("partial") > 0) & (pl.col("at_start") == at_start)).height
        if cut:
            tally.adjusted[f"CDS cut to its {reason} full codon"] += cut
    return table.select(
        *("transcript_id", "gene_id", "species", "sequence"),
        start + pl.when("at_start").then("partial").otherwise(0),
        end - pl.when("at_start").then(0).otherwise("partial"),
        "exon_junctions",
    )
