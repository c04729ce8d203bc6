"""Files of expression to matrices: AnnData, Parquet, TSV and CSV, and tables of one sample each."""

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from data_builders.expression.matrix import (
    ROWS_PER_GROUP,
    is_matrix_file,
    read_parts,
)
from data_builders.records import InputError

ENSEMBL_GENE = re.compile(r"(ENS[A-Z]*G\d{6,})(?:\.\d+)?(?:_PAR_Y)?")


@dataclass(frozen=True, kw_only=True)
class RawMatrix:
    """A matrix as its file has it: the unit is not known yet, and names may repeat.

    Attributes:
        values: (samples, genes).
        samples: names.
        genes: names, versions of Ensembl ids removed.
        obs: column -> a value a sample.
        unit: where the file's format says it, else None.
    """

    values: np.ndarray | sparse.csr_array
    samples: Sequence[str]
    genes: Sequence[str]
    obs: dict[str, Sequence]
    unit: str | None = None


def gene_name(name: str) -> str:
    """A gene's name without the version of an Ensembl id; `gene_id|symbol` is its first part."""
    name = name.strip().split("|")[0]
    found = ENSEMBL_GENE.fullmatch(name)
    return found[1] if found else name


def read_raw(
    path: str | Path,
    *,
    layer: str | None = None,
    genes_in: Literal["rows", "columns"] | None = None,
) -> Iterator[RawMatrix]:
    """Read a file of expression, in parts of some hundred samples where its format allows.

    What a file is, its content says: `.h5ad` (AnnData), Parquet (of `write_matrix`, or of a list
    `expression` beside a file `genes.txt`, or of a gene a column), a TSV or CSV matrix, or the
    table of featureCounts, Salmon, RSEM or STAR.

    Args:
        path: the file; TSV and CSV may be gzip.
        layer: of AnnData; None: `X`.
        genes_in: of a TSV or CSV matrix; None: told apart by the names.

    Raises:
        InputError: the file is none of these, is empty, or has text where a number must stand.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(8)
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        yield from _read_h5ad(path, layer)
        return
    if layer is not None:
        raise InputError(f"{path}: layer: got {layer!r} for a file that is not .h5ad, wanted none")
    if start[:4] == b"PAR1":
        try:
            yield from _read_parquet(path)
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not a whole Parquet file: {reason}") from None
        return
    yield _read_text(path, genes_in)


def _read_h5ad(path: Path, layer: str | None) -> Iterator[RawMatrix]:
    try:
        import anndata
    except ImportError:
        raise InputError(
            f"{path}: reading .h5ad needs the package anndata: pip install 'isoclr[expression]'"
        ) from None
    try:
        data = anndata.read_h5ad(path, backed="r")
    except Exception as error:  # anndata raises many kinds, of its own and of h5py
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not an AnnData file that this version reads: {reason}") from None
    with_rows = data.X if layer is None else data.layers.get(layer)
    if with_rows is None:
        found = ", ".join(["X", *data.layers]) if data.layers else "X"
        raise InputError(f"{path}: layer: got {layer or 'X'!r}, wanted one of {found}")
    genes = [gene_name(name) for name in data.var_names]
    for start in range(0, data.n_obs, ROWS_PER_GROUP):
        rows = slice(start, start + ROWS_PER_GROUP)
        values = with_rows[rows]
        values = sparse.csr_array(values) if sparse.issparse(values) else np.asarray(values)
        part = data.obs.iloc[rows]
        obs = {str(name): _obs_values(part[name]) for name in part.columns}
        yield RawMatrix(values=values, samples=list(map(str, part.index)), genes=genes, obs=obs)
    if not data.n_obs:
        raise InputError(f"{path}: got no sample, wanted at least one")


def _obs_values(column) -> list:
    """Values of a column of a data frame; NaN stays in numbers, so that all parts have one type."""
    values = column.tolist()
    if column.dtype.kind == "f":
        return values
    return [None if value != value else value for value in values]


def _read_parquet(path: Path) -> Iterator[RawMatrix]:
    if is_matrix_file(path):
        for part in read_parts(path):
            yield RawMatrix(
                values=part.values,
                samples=part.samples,
                genes=part.genes,
                obs=dict(part.obs),
                unit=part.unit,
            )
        return
    table = pq.read_table(path)
    if "expression" in table.column_names:
        yield _list_column(path, table)
        return
    texts = [name for name in table.column_names if not _is_number(table.schema.field(name).type)]
    if not texts:
        raise InputError(f"{path}: got no column of sample names, wanted one of text")
    numbers = [name for name in table.column_names if name not in texts]
    if not numbers:
        raise InputError(f"{path}: got no column of numbers, wanted one a gene")
    yield RawMatrix(
        values=np.column_stack([table[name].to_numpy() for name in numbers]).astype(np.float32),
        samples=[str(value) for value in table[texts[0]].to_pylist()],
        genes=[gene_name(name) for name in numbers],
        obs={name: table[name].to_pylist() for name in texts[1:]},
    )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _list_column(path: Path, table) -> RawMatrix:
    names = path.with_name("genes.txt")
    if not names.is_file():
        raise InputError(f"{path}: got a list column expression, wanted {names.name} beside it")
    genes = names.read_text(encoding="utf-8").split()
    values = table["expression"].combine_chunks()
    flat = values.flatten().to_numpy(zero_copy_only=False)
    if len(flat) != len(table) * len(genes):
        raise InputError(
            f"{path}: expression: got {len(flat):,} numbers in {len(table):,} samples, wanted "
            f"{len(genes):,} a sample as {names.name} has"
        )
    sample = "sample_id" if "sample_id" in table.column_names else table.column_names[0]
    others = [name for name in table.column_names if name not in (sample, "expression")]
    return RawMatrix(
        values=flat.reshape(len(table), len(genes)).astype(np.float32),
        samples=[str(value) for value in table[sample].to_pylist()],
        genes=[gene_name(name) for name in genes],
        obs={name: table[name].to_pylist() for name in others},
    )


_ONE_SAMPLE = (
    # column of the gene, column of the value, unit; the first whose columns are all there
    (("Geneid", "Chr", "Start", "End", "Strand", "Length"), "Geneid", None, "counts"),
    (("Name", "Length", "EffectiveLength", "TPM", "NumReads"), "Name", "TPM", "tpm"),
    (("gene_id", "expected_count", "TPM", "FPKM"), "gene_id", "TPM", "tpm"),
)


def _read_text(path: Path, genes_in: str | None) -> RawMatrix:
    rows = _rows_of_text(path)
    if len(rows) < 2:
        raise InputError(f"{path}: got {len(rows)} lines, wanted a header and at least one row")
    if rows[0][0] == "N_unmapped":
        return _star(path, rows)
    header = rows[0]
    for columns, gene, value, unit in _ONE_SAMPLE:
        if set(columns) <= set(header):
            chosen = [value] if value else [name for name in header if name not in columns]
            places = [header.index(name) for name in chosen]
            values = _numbers(path, rows, places, header)
            samples = [path.name.split(".")[0]] if value else [Path(name).stem for name in chosen]
            genes = [gene_name(row[header.index(gene)]) for row in rows[1:]]
            return RawMatrix(values=values.T, samples=samples, genes=genes, obs={}, unit=unit)
    return _plain_matrix(path, rows, genes_in)


def _rows_of_text(path: Path) -> list[list[str]]:
    with path.open("rb") as file:
        opened = gzip.open if file.read(2) == b"\x1f\x8b" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: not text, gzip text, Parquet or .h5ad: {' '.join(str(error).split())}"
        ) from None
    if not lines:
        raise InputError(f"{path}: empty, wanted a matrix of expression")
    delimiter = "\t" if "\t" in lines[0] else ","
    rows = list(csv.reader(lines, delimiter=delimiter))
    width = max(len(rows[0]), len(rows[1]) if len(rows) > 1 else 0)
    if len(rows[0]) == width - 1:  # R writes no name above the row names
        rows[0].insert(0, "")
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise InputError(f"{path}:{number}: got {len(row)} fields, wanted {width}")
    if width < 2:
        raise InputError(f"{path}:1: got one field, wanted tabs or commas between names and values")
    return rows


def _star(path: Path, rows: list[list[str]]) -> RawMatrix:
    genes = [row for row in rows if not row[0].startswith("N_")]
    values = _numbers(path, [[""] * len(rows[0]), *genes], [1], ["gene", "unstranded"])
    return RawMatrix(
        values=values.T,
        samples=[path.name.split(".")[0].removesuffix("ReadsPerGene")],
        genes=[gene_name(row[0]) for row in genes],
        obs={},
        unit="counts",
    )


def _numbers(path: Path, rows: list[list[str]], places: list[int], header) -> np.ndarray:
    """Columns of a table as float32 (rows, columns); `rows` begins with the header."""
    values = np.empty((len(rows) - 1, len(places)), np.float32)
    for number, row in enumerate(rows[1:]):
        for i, place in enumerate(places):
            try:
                values[number, i] = float(row[place])
            except ValueError:
                raise InputError(
                    f"{path}:{number + 2}: {header[place]}: got {row[place]!r}, wanted a number"
                ) from None
    return values


def _plain_matrix(path: Path, rows: list[list[str]], genes_in: str | None) -> RawMatrix:
    header = rows[0]
    texts = [0]
    for place in range(1, len(header)):
        if not _looks_numeric(rows[1][place]):
            texts.append(place)
    numbers = [place for place in range(len(header)) if place not in texts]
    if not numbers:
        raise InputError(f"{path}:2: got no number, wanted samples × genes or genes × samples")
    values = _numbers(path, rows, numbers, header)
    along_columns = [header[place] for place in numbers]
    along_rows = [row[0] for row in rows[1:]]
    if genes_in is None:
        genes_in = _where_genes_are(path, along_rows, along_columns)
    if genes_in == "columns":
        obs = {header[place]: [row[place] for row in rows[1:]] for place in texts[1:]}
        genes = [gene_name(name) for name in along_columns]
        return RawMatrix(values=values, samples=along_rows, genes=genes, obs=obs)
    genes = [gene_name(name) for name in along_rows]
    return RawMatrix(values=values.T.copy(), samples=along_columns, genes=genes, obs={})


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() in ("", "NA")  # an error about it names the line
    return True


def _where_genes_are(path: Path, rows: list[str], columns: list[str]) -> str:
    """Tell genes from samples: by Ensembl ids, else by the longer side if it is much longer."""
    shares = {
        "rows": np.mean([ENSEMBL_GENE.fullmatch(name) is not None for name in rows]),
        "columns": np.mean([ENSEMBL_GENE.fullmatch(name) is not None for name in columns]),
    }
    if max(shares.values()) > 0.5 and min(shares.values()) < 0.5:
        return max(shares, key=shares.get)
    known = {"rows": _share_of_known(rows), "columns": _share_of_known(columns)}
    if abs(known["rows"] - known["columns"]) > 0.02:
        return max(known, key=known.get)
    if len(rows) >= 3 * len(columns):
        return "rows"
    if len(columns) >= 3 * len(rows):
        return "columns"
    raise InputError(
        f"{path}: cannot tell genes from samples: got {len(rows)} rows such as {rows[0]!r} and "
        f"{len(columns)} columns such as {columns[0]!r}; say which with --genes-in rows or columns"
    )


# Genes that nearly every list of human or mouse genes has, in either case.
_COMMON = frozenset(
    "ACTB GAPDH TP53 MYC EGFR VIM CD44 CD4 CD8A PTPRC EPCAM KRT8 KRT18 ALB COL1A1 FN1 MKI67 "
    "TOP2A ESR1 ERBB2 SOX2 GATA3 TTR APOE B2M RPLP0 EEF1A1 TUBB HSP90AB1 ENO1 LDHA PSCA".split()
)


def _share_of_known(names: list[str]) -> float:
    found = sum(name.strip().upper() in _COMMON for name in names)
    return found / min(len(names), len(_COMMON))
