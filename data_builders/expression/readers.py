"""Files of expression to matrices: AnnData, Parquet, TSV and CSV, and tables of one sample each."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
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
from data_builders.text import decode, numbered_lines

_ROWS_TO_LOOK_AT = 100
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
        left_out: columns of text about the genes, such as their description.
    """

    values: np.ndarray | sparse.csr_array
    samples: Sequence[str]
    genes: Sequence[str]
    obs: Mapping[str, Sequence]
    unit: str | None = None
    left_out: tuple[str, ...] = ()


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
        raise InputError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
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
        except InputError as error:
            raise InputError(
                str(error) if str(path) in str(error) else f"{path}: {error}"
            ) from None
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not a whole Parquet file: {reason}") from None
        return
    yield _read_text(path, genes_in)


def check_names(raw: RawMatrix, source: str) -> None:
    """Refuse names that are empty or have control characters, and samples that are genes."""
    for kind, names in (("sample", raw.samples), ("gene", raw.genes)):
        for place, name in enumerate(names):
            if not name or not name.isprintable():
                raise InputError(f"{source}: {kind} {place + 1}: got {name!r}, wanted a name")
    turned = [name for name in raw.samples if ENSEMBL_GENE.fullmatch(name)]
    if len(turned) > len(raw.samples) / 2:
        raise InputError(
            f"{source}: got samples named as genes, such as {turned[0]!r}, wanted genes on the "
            "other side: transpose the matrix, or say --genes-in of a TSV or CSV"
        )


def _read_h5ad(path: Path, layer: str | None) -> Iterator[RawMatrix]:
    try:
        import anndata
    except ImportError:
        raise InputError(
            f"{path}: reading .h5ad needs the package anndata: pip install 'isoclr[expression]'"
        ) from None
    try:
        data = anndata.read_h5ad(path, backed="r")
        _check_encodings(path, data.file)
        with_rows = data.X if layer is None else data.layers.get(layer)
    except InputError:
        raise
    except Exception as error:  # anndata raises many kinds, of its own and of h5py
        raise _no_anndata(path, error) from None
    if with_rows is None:
        found = ", ".join(["X", *data.layers]) if data.layers else "X"
        raise InputError(f"{path}: layer: got {layer or 'X'!r}, wanted one of {found}")
    genes = [gene_name(name) for name in data.var_names]
    shape = (data.n_obs, len(genes))
    if with_rows.shape != shape:
        raise InputError(f"{path}: {layer or 'X'}: got shape {with_rows.shape}, wanted {shape}")
    if not data.n_obs:
        raise InputError(f"{path}: got no sample, wanted at least one")
    for start in range(0, data.n_obs, ROWS_PER_GROUP):
        rows = slice(start, start + ROWS_PER_GROUP)
        try:
            values = with_rows[rows]
            part = data.obs.iloc[rows]
        except Exception as error:
            raise _no_anndata(path, error) from None
        values = sparse.csr_array(values) if sparse.issparse(values) else np.asarray(values)
        if values.dtype.kind not in "fiu":
            raise InputError(f"{path}: {layer or 'X'}: got {values.dtype}, wanted numbers")
        obs = {str(name): _obs_values(part[name]) for name in part.columns}
        yield RawMatrix(values=values, samples=list(map(str, part.index)), genes=genes, obs=obs)


def _no_anndata(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{path}: not an AnnData file that this version reads: {reason}")


def _check_encodings(path: Path, file) -> None:
    """Refuse a layout of a later major version, which anndata may read as if it were this one.

    So far all layouts are 0.x; a file of the time before they were numbered has none.
    """
    for name in ("/", "X"):
        version = str(file[name].attrs.get("encoding-version", "0"))
        if version.partition(".")[0] != "0":
            raise InputError(
                f"{path}: {name}: got encoding-version {version!r}, wanted 0.x: a later anndata "
                "wrote it"
            )


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
    file = pq.ParquetFile(path)
    make = _list_column if "expression" in file.schema_arrow.names else _gene_columns
    part = None
    for batch in file.iter_batches(ROWS_PER_GROUP):
        part = make(path, pa.Table.from_batches([batch]))
        yield part
    if part is None:
        raise InputError(f"{path}: got no sample, wanted at least one")


def _gene_columns(path: Path, table: pa.Table) -> RawMatrix:
    texts = [name for name in table.column_names if not _is_number(table.schema.field(name).type)]
    if not texts:
        raise InputError(f"{path}: got no column of sample names, wanted one of text")
    numbers = [name for name in table.column_names if name not in texts]
    if not numbers:
        raise InputError(f"{path}: got no column of numbers, wanted one a gene")
    return RawMatrix(
        values=np.column_stack([table[name].to_numpy() for name in numbers]).astype(np.float32),
        samples=_sample_names(path, table, texts[0]),
        genes=[gene_name(name) for name in numbers],
        obs={name: table[name].to_pylist() for name in texts[1:]},
    )


def _sample_names(path: Path, table: pa.Table, column: str) -> list[str]:
    if table[column].null_count:
        raise InputError(f"{path}: {column}: got a sample without a name, wanted one of each")
    return [str(value) for value in table[column].to_pylist()]


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _list_column(path: Path, table) -> RawMatrix:
    names = path.with_name("genes.txt")
    if not names.is_file():
        raise InputError(f"{path}: got a list column expression, wanted {names.name} beside it")
    genes = names.read_text(encoding="utf-8").split()
    kind = table.schema.field("expression").type
    if not (_is_list(kind) and _is_number(kind.value_type)):
        raise InputError(f"{path}: expression: got {kind}, wanted a list of numbers a sample")
    sample = "sample_id" if "sample_id" in table.column_names else table.column_names[0]
    samples = _sample_names(path, table, sample)
    lengths = table["expression"].combine_chunks().value_lengths().fill_null(0).to_numpy()
    odd = np.flatnonzero(lengths != len(genes))
    if len(odd):
        raise InputError(
            f"{path}: sample {samples[odd[0]]!r}: got {lengths[odd[0]]:,} numbers, wanted "
            f"{len(genes):,} as {names.name} has"
        )
    flat = table["expression"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    others = [name for name in table.column_names if name not in (sample, "expression")]
    return RawMatrix(
        values=flat.reshape(len(table), len(genes)).astype(np.float32),
        samples=samples,
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
    lines = _rows_of_text(path)
    head = list(islice(lines, _ROWS_TO_LOOK_AT))
    if len(head) < 2:
        raise InputError(f"{path}: got {len(head)} lines, wanted a header and at least one row")
    (_, header), *first = head
    if header[0] == "N_unmapped":
        rows = (row for row in chain(head, lines) if not row[1][0].startswith("N_"))
        names = ["gene", "unstranded", *header[2:]]
        sample = path.name.split(".")[0].removesuffix("ReadsPerGene")
        return _one_layout(_Cells.read(path, names, [0], [1], rows), [sample], "counts")
    rows = chain(first, lines)
    for columns, gene, value, unit in _ONE_SAMPLE:
        if set(columns) <= set(header):
            chosen = [value] if value else [name for name in header if name not in columns]
            places = [header.index(name) for name in chosen]
            samples = [path.name.split(".")[0]] if value else [Path(name).stem for name in chosen]
            cells = _Cells.read(path, header, [header.index(gene)], places, rows)
            return _one_layout(cells, samples, unit)
    return _plain_matrix(path, header, first, rows, genes_in)


def _rows_of_text(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines of a table: their numbers, and their fields, of which all have as many.

    R writes no name above the row names; an empty one is put there.
    """
    header: tuple[int, list[str]] | None = None
    width, delimiter = 0, ""
    for number, line in numbered_lines(path):
        text = decode(line.rstrip(b"\r\n"), path, number)
        if not text.strip() or text.startswith("#"):
            continue
        delimiter = delimiter or ("\t" if "\t" in text else ",")
        fields = text.split(delimiter)
        if '"' in text:
            try:
                fields = next(csv.reader([text], delimiter=delimiter))
            except csv.Error as error:
                raise InputError(f"{path}:{number}: got no row of a table: {error}") from None
        if header is None:
            header = number, fields
            continue
        if not width:
            width = len(fields)
            if len(header[1]) == width - 1:
                header[1].insert(0, "")
            if width < 2:
                raise InputError(
                    f"{path}:{number}: got one field, wanted tabs or commas between names and "
                    "values"
                )
            if len(header[1]) != width:
                raise InputError(f"{path}:{number}: got {width} fields, wanted {len(header[1])}")
            yield header
        if len(fields) != width:
            raise InputError(f"{path}:{number}: got {len(fields)} fields, wanted {width}")
        yield number, fields
    if header is None:
        raise InputError(f"{path}: empty, wanted a matrix of expression")
    if not width:
        yield header


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """What is taken of a table.

    Attributes:
        texts: of each column of text, its value in every row.
        values: of the columns of numbers, float32 (rows, columns).
    """

    texts: list[list[str]]
    values: np.ndarray

    @classmethod
    def read(
        cls,
        path: Path,
        header: list[str],
        texts: list[int],
        numbers: list[int],
        rows: Iterable[tuple[int, list[str]]],
    ) -> "_Cells":
        """Read rows, of which a number a cell stays in memory; text there is an InputError."""
        found: list[list[str]] = [[] for _ in texts]
        values = []
        for number, fields in rows:
            for column, place in zip(found, texts, strict=True):
                column.append(fields[place])
            chosen = [fields[place] for place in numbers]
            try:
                values.append(np.fromiter(map(_float, chosen), np.float32, len(chosen)))
            except ValueError:
                place = next(place for place in numbers if not _is_float(fields[place]))
                raise InputError(
                    f"{path}:{number}: {header[place]}: got {fields[place][:60]!r}, wanted a number"
                ) from None
        return cls(texts=found, values=np.array(values).reshape(len(values), len(numbers)))


def _float(text: str) -> float:
    if "_" in text:  # Python reads 1_000, which no other program writes
        raise ValueError
    return float(text)


def _is_float(text: str) -> bool:
    try:
        _float(text)
    except ValueError:
        return False
    return True


def _one_layout(cells: _Cells, samples: list[str], unit: str) -> RawMatrix:
    """A table of a gene a row, whose format says the unit."""
    genes = [gene_name(name) for name in cells.texts[0]]
    return RawMatrix(values=cells.values.T, samples=samples, genes=genes, obs={}, unit=unit)


def _plain_matrix(path: Path, header: list[str], first, rows, genes_in: str | None) -> RawMatrix:
    texts = [0]
    for place in range(1, len(header)):
        if not any(_looks_numeric(row[place]) for _, row in first):
            texts.append(place)
    numbers = [place for place in range(len(header)) if place not in texts]
    if not numbers:
        raise InputError(
            f"{path}:{first[0][0]}: got no number, wanted samples × genes or genes × samples"
        )
    cells = _Cells.read(path, header, texts, numbers, rows)
    along_columns, along_rows = [header[place] for place in numbers], cells.texts[0]
    if genes_in is None:
        genes_in = _where_genes_are(path, along_rows, along_columns)
    others = [header[place] for place in texts[1:]]
    if genes_in == "columns":
        obs = dict(zip(others, cells.texts[1:], strict=True))
        genes = [gene_name(name) for name in along_columns]
        return RawMatrix(values=cells.values, samples=along_rows, genes=genes, obs=obs)
    genes = [gene_name(name) for name in along_rows]
    return RawMatrix(
        values=cells.values.T.copy(),
        samples=along_columns,
        genes=genes,
        obs={},
        left_out=tuple(others),
    )


def _looks_numeric(text: str) -> bool:
    return _is_float(text) or text.strip() in ("", "NA")  # an error about it names the line


def _where_genes_are(path: Path, rows: list[str], columns: list[str]) -> str:
    """Tell genes from samples: by Ensembl ids, else by the longer side if it is much longer."""
    shares = {
        "rows": np.mean([ENSEMBL_GENE.fullmatch(name) is not None for name in rows]),
        "columns": np.mean([ENSEMBL_GENE.fullmatch(name) is not None for name in columns]),
    }
    if max(shares.values()) > 0.5 and min(shares.values()) < 0.5:
        return max(shares, key=shares.__getitem__)
    known = {"rows": _share_of_known(rows), "columns": _share_of_known(columns)}
    if abs(known["rows"] - known["columns"]) > 0.02:
        return max(known, key=known.__getitem__)
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
