"""Pairs of RNAs and proteins: the RPI layouts, plain tables, and RNAInter's download."""

import os
from pathlib import Path

import polars as pl

from data_builders.labels.label_set import filled
from data_builders.records import InputError
from data_builders.tables import is_parquet, names_of_columns, read_table
from data_builders.text import decode, numbered_lines

COLUMNS = {
    "rna": pl.List(pl.String),
    "protein": pl.List(pl.String),
    "label": pl.Int8,
    "source": pl.String,
    "rna_category": pl.String,
    "protein_category": pl.String,
    "score": pl.Float64,
    "kind": pl.String,
    "where": pl.String,
}
"""Columns of a frame of pairs: `rna` and `protein` are the names that the molecule may have in a
file of sequences, the likeliest first; `kind` is RNA and protein, or what else interacts; `where`
is the file and row."""

PROTEIN_CATEGORIES = frozenset({"protein", "tf", "rbp"})
OTHER_CATEGORIES = frozenset({"dna", "compound", "histone modification"})
RNA_PROTEIN = "RNA and protein"
_RNAINTER = ("Interactor1.Symbol", "Category1", "Interactor2.Symbol", "Category2", "Raw_ID1")
_NAMES = {"rna": ("rna_id", "rna"), "protein": ("protein_id", "protein")}


def read_pairs(path: str | os.PathLike) -> pl.DataFrame:
    """Read a file of pairs, whose layout is told by what is in it.

    - RPI369, RPI1807, RPI2241, RPI488: lines of a protein, an RNA and 1 or 0, without a header;
    - a table (Parquet, TSV, CSV) with rna_id, protein_id, and perhaps label (1 or 0; without it all
      interact) and source or kind, as RPI7317 and RPI1847 are;
    - RNAInter's download, known by its columns Interactor1.Symbol, Category1 and so on.

    Returns:
        A frame of `COLUMNS`.

    Raises:
        InputError: none of these, no row, a gap, or a label that is neither 0 nor 1.
    """
    path = Path(path)
    frame = _read_rpi(path) if _is_rpi(path) else _read_table(path)
    if not frame.height:
        raise InputError(f"{path}: got no pair, wanted at least one")
    return frame


def _first_lines(path: Path):
    with_text = ((n, line) for n, line in numbered_lines(path) if line.strip())
    return ((n, decode(line, path, n).split()) for n, line in with_text)


def _is_rpi(path: Path) -> bool:
    if is_parquet(path):
        return False
    fields = next(_first_lines(path), (0, []))[1]
    return len(fields) == 3 and fields[2] in ("0", "1")


def _read_rpi(path: Path) -> pl.DataFrame:
    proteins, rnas, labels, places = [], [], [], []
    for number, fields in _first_lines(path):
        if len(fields) != 3 or fields[2] not in ("0", "1"):
            raise InputError(
                f"{path}:{number}: got {' '.join(fields)[:40]!r}, wanted a protein, an RNA and 1 "
                "or 0"
            )
        proteins.append([fields[0]])
        rnas.append([fields[1]])
        labels.append(int(fields[2]))
        places.append(f"{path}:{number}")
    return _frame(rna=rnas, protein=proteins, label=labels, where=places, source=_stem(path))


def _read_table(path: Path) -> pl.DataFrame:
    table = read_table(path)
    if set(_RNAINTER) <= set(table.columns):
        return _read_rnainter(table, path)
    chosen = {
        kind: next((name for name in names if name in table.columns), None)
        for kind, names in _NAMES.items()
    }
    rna, protein = chosen["rna"], chosen["protein"]
    if rna is None or protein is None:
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted rna_id and protein_id, the "
            "columns of RNAInter, or lines of a protein, an RNA and 1 or 0"
        )
    source = next((name for name in ("source", "kind") if name in table.columns), None)
    return _frame(
        rna=[[name] for name in filled(table, rna, path)],
        protein=[[name] for name in filled(table, protein, path)],
        label=_labels(table, path),
        where=_rows(path, table.height),
        source=_stem(path) if source is None else filled(table, source, path),
    )


def _labels(table: pl.DataFrame, path: Path) -> list[int]:
    if "label" not in table.columns:
        return [1] * table.height
    found = [str(value) for value in table["label"].to_list()]
    for row, value in enumerate(found, 1):
        if value not in ("0", "1"):
            raise InputError(f"{path}: row {row}: label: got {value[:20]!r}, wanted 0 or 1")
    return [int(value) for value in found]


def _read_rnainter(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """RNAInter's rows, the RNA first; of two RNAs or two proteins, as they are."""
    columns = {}
    for number in ("1", "2"):
        symbol = filled(table, f"Interactor{number}.Symbol", path)
        category = filled(table, f"Category{number}", path)
        raw = (
            table[f"Raw_ID{number}"].cast(pl.String).to_list()
            if f"Raw_ID{number}" in table.columns
            else [None] * table.height
        )
        names = [_names(*pair) for pair in zip(raw, symbol, strict=True)]
        columns[number] = list(zip(names, category, strict=True))
    ordered, kinds = [], []
    for one, other in zip(columns["1"], columns["2"], strict=True):
        sides = _is_protein(one[1]), _is_protein(other[1])
        ordered.append((other, one) if sides == (True, False) else (one, other))
        odd = [c for _, c in (one, other) if c.casefold() in OTHER_CATEGORIES]
        kinds.append(
            RNA_PROTEIN
            if not odd and sides in ((True, False), (False, True))
            else f"{one[1]} and {other[1]}"
        )
    return _frame(
        rna=[first[0] for first, _ in ordered],
        protein=[second[0] for _, second in ordered],
        label=[1] * table.height,
        where=_rows(path, table.height),
        source="RNAInter",
        rna_category=[first[1] for first, _ in ordered],
        protein_category=[second[1] for _, second in ordered],
        score=_scores(table, path),
        kind=kinds,
    )


def _names(raw: str | None, symbol: str) -> list[str]:
    """What a molecule may be called in a file of sequences: RefSeq:NM_1.2 is NM_1.2 or NM_1."""
    names = []
    if raw and raw not in ("-", "NA"):
        short = raw.rpartition(":")[2]
        names += [raw, short, short.partition(".")[0]]
    return list(dict.fromkeys([*names, symbol]))


def _is_protein(category: str) -> bool:
    return category.casefold() in PROTEIN_CATEGORIES


def _scores(table: pl.DataFrame, path: Path) -> list[float | None]:
    if "score" not in table.columns:
        return [None] * table.height
    given = table["score"].cast(pl.String)
    scores = given.cast(pl.Float64, strict=False)
    unread = scores.is_null() & ~given.fill_null("").is_in(["", "-", "NA"])
    wrong = (unread | scores.is_infinite()).arg_true()
    if len(wrong):
        raise InputError(
            f"{path}: row {wrong[0] + 1}: score: got {given[int(wrong[0])][:20]!r}, wanted a "
            "finite number"
        )
    return scores.fill_nan(None).to_list()


def _rows(path: Path, count: int) -> list[str]:
    return [f"{path}: row {row}" for row in range(1, count + 1)]


def _stem(path: Path) -> str:
    """The name of a set, as RPI369 of RPI369_pairs.txt.gz."""
    return path.name.partition(".")[0].removesuffix("_pairs")


def _frame(**columns) -> pl.DataFrame:
    """A frame of `COLUMNS`; a text stands for a column of it, and what is missing is null."""
    height = len(columns["where"])
    whole = {"kind": RNA_PROTEIN} | columns
    filled_in = {
        name: [value] * height if isinstance(value := whole.get(name), str) else value
        for name in COLUMNS
    }
    return pl.DataFrame(
        {name: [None] * height if v is None else v for name, v in filled_in.items()},
        schema=COLUMNS,
    )
