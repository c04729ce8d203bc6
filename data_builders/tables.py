"""Tables of transcripts (Parquet, TSV, CSV) to transcripts."""

import os
from collections.abc import Iterator

import polars as pl

from data_builders.fasta import AMBIGUOUS
from data_builders.records import InputError, Transcript
from data_builders.text import Tally

_REQUIRED = ("transcript_id", "gene_id", "sequence")
_INT = pl.Int64
_COLUMNS = {
    "transcript_id": pl.String,
    "gene_id": pl.String,
    "species": pl.String,
    "sequence": pl.String,
    "cds_start": _INT,
    "cds_end": _INT,
    "exon_junctions": pl.List(_INT),
}
ROW = "row"
"""Column that numbers the rows of a file, from 1, for errors."""
_STOP_CODONS = ["TAA", "TAG", "TGA"]


def read_transcript_table(
    path: str | os.PathLike, species: str | None = None, tally: Tally | None = None
) -> Iterator[Transcript]:
    """Reads a table with one transcript a row.

    Columns: transcript_id, gene_id, sequence; optionally species, cds_start, cds_end (0-based,
    half-open, -1 or null: none) and exon_junctions (first base of every exon but the first; null:
    structure unknown; as text `[136, 256]`). Other columns are ignored. Letters are read as in
    `read_fasta`. A CDS of a length that is no multiple of three is cut to full codons: at its
    start when it begins at base 0 and ends in a stop codon (5' incomplete), else at its end.

    Args:
        path: Parquet, told by its content; else text with a header, tab-separated if a tab is in
            the header, comma-separated if not.
        species: given to every transcript, in place of the column.
        tally: where rows, and changes to them, are counted.

    Yields:
        Transcripts, in the order of the table.

    Raises:
        InputError: a column is missing or of another type; a row without an id, gene, species or
            sequence, with a transcript_id used before in its species, with a letter that is no
            nucleotide, a CDS outside the sequence or junctions not ascending inside it.
    """
    yield from transcripts_of_frame(_read(path).with_row_index(ROW, 1), path, species, tally)


def transcripts_of_frame(
    table: pl.DataFrame,
    path: str | os.PathLike,
    species: str | None = None,
    tally: Tally | None = None,
) -> Iterator[Transcript]:
    """As `read_transcript_table`, of rows of `path` that are in memory, their numbers in `ROW`."""
    tally = Tally() if tally is None else tally
    table = _typed(table, path, species)
    tally.read += table.height
    table = _clean_letters(table, tally)
    _validate(table, path)
    for row in _full_codons(table, tally).iter_rows(named=True):
        junctions = row.pop("exon_junctions")
        yield Transcript(**row, exon_junctions=None if junctions is None else tuple(junctions))


def read_gene_symbols(path: str | os.PathLike) -> dict[str, str]:
    """gene_id -> symbol, from the column gene_symbol of a transcript table; empty without it."""
    table = _read(path)
    if not {"gene_id", "gene_symbol"} <= set(table.columns):
        return {}
    named = table.filter(pl.col("gene_symbol").fill_null("") != "")
    return dict(named.select("gene_id", "gene_symbol").iter_rows())


def _read(path) -> pl.DataFrame:
    try:
        with open(path, "rb") as file:
            head = file.readline(1 << 16)
        if head.startswith(b"PAR1"):
            return pl.read_parquet(path)
        separator = "\t" if b"\t" in head else ","
        return pl.read_csv(path, separator=separator, infer_schema=False)
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: got '{reason}', wanted Parquet, TSV or CSV") from error


def _typed(table: pl.DataFrame, path, species: str | None) -> pl.DataFrame:
    if species is not None:
        table = table.with_columns(species=pl.lit(species))
    missing = [name for name in (*_REQUIRED, "species") if name not in table.columns]
    if missing:
        found = ", ".join(name for name in table.columns if name != ROW)
        raise InputError(f"{path}: columns: got {found}, wanted {', '.join(missing)} too")
    optional = [name for name in _COLUMNS if name not in table.columns]
    table = table.with_columns(pl.lit(None, dtype=_COLUMNS[name]).alias(name) for name in optional)
    if table.schema["exon_junctions"] == pl.String:
        numbers = pl.col("exon_junctions").str.strip_chars(" []").str.split(",")
        table = table.with_columns(
            exon_junctions=numbers.list.eval(
                pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != "")
            )
        )
    try:
        table = table.select(ROW, *(pl.col(name).cast(kind) for name, kind in _COLUMNS.items()))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: types: got {str(error).splitlines()[0]}") from error
    return table.with_columns(pl.col("cds_start", "cds_end").fill_null(-1))


def _clean_letters(table: pl.DataFrame, tally: Tally) -> pl.DataFrame:
    sequence = table["sequence"]
    rows = sequence.str.contains("[^ACGTN]").arg_true()  # few, and the rest is most of the time
    changed = sequence.gather(rows).str.to_uppercase().str.replace_all("U", "T", literal=True)
    codes = f"[{AMBIGUOUS}]"
    ambiguous = changed.str.count_matches(codes).sum()
    if ambiguous:
        tally.adjusted["ambiguous base read as N"] += ambiguous
    return table.with_columns(sequence.scatter(rows, changed.str.replace_all(codes, "N")))


def _validate(table: pl.DataFrame, path) -> None:
    """Raises for the first row that breaks a rule."""
    length = pl.col("sequence").str.len_bytes().cast(_INT)
    start, end, junctions = pl.col("cds_start"), pl.col("cds_end"), pl.col("exon_junctions")
    no_cds = (start == -1) & (end == -1)
    cds_inside = (start >= 0) & (end - start >= 3) & (end <= length)
    ascending = junctions.list.diff().list.min().fill_null(1) > 0
    inside = (junctions.list.min().fill_null(1) > 0) & (junctions.list.max().fill_null(0) < length)
    junctions_known = ~junctions.list.contains(None).fill_null(False)
    text = pl.col("transcript_id", "gene_id", "species", "sequence")
    blank = pl.any_horizontal(text.fill_null("") == "")
    repeated = pl.struct("species", "transcript_id").is_first_distinct().not_()
    letter = pl.col("sequence").str.extract("([^ACGTN])")
    rules = [
        ("text", blank, pl.lit("an empty field"), "an id, gene, species and sequence"),
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
        bad = table.filter(broken).select(ROW, "transcript_id", found)
        if bad.height:
            row, transcript, shown = bad.row(0)
            raise InputError(
                f"{path}: row {row} ({transcript}): {name}: got {shown}, wanted {wanted}"
            )


def _full_codons(table: pl.DataFrame, tally: Tally) -> pl.DataFrame:
    start, end = pl.col("cds_start"), pl.col("cds_end")
    partial = (end - start) % 3
    ends_in_stop = pl.col("sequence").str.slice(end - 3, 3).is_in(_STOP_CODONS)
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
