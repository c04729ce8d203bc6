"""One record of expression: samples × genes, what is known of the samples, and the unit.

On disk it is a Parquet file of a sample a row, in row groups, so that a matrix larger than memory
is written and read in parts: `sample_id`, the columns of `obs`, and either `expression`, a list of
one float a gene, or, for sparse matrices, `indices` and `values`. The genes and the unit are in the
metadata of the schema.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from data_builders.records import InputError

_KEY = b"isoclr.expression"
ROWS_PER_GROUP = 512
_FIXED = ("sample_id", "expression", "indices", "values")


@dataclass(frozen=True, kw_only=True)
class ExpressionMatrix:
    """Expression of genes in samples.

    Attributes:
        values: (samples, genes), float32; a NumPy array, or a SciPy CSR array for sparse counts.
        samples: names, each once, (samples,).
        genes: symbols or Ensembl ids, each once, (genes,).
        unit: one of `data_builders.expression.units.UNITS`.
        obs: column -> a value a sample, None where it is missing; the columns of AnnData's `obs`.
    """

    values: np.ndarray | sparse.csr_array
    samples: tuple[str, ...]
    genes: tuple[str, ...]
    unit: str
    obs: Mapping[str, Sequence] = field(default_factory=dict)

    def __post_init__(self):
        shape = (len(self.samples), len(self.genes))
        if self.values.shape != shape:
            raise InputError(f"expression: got values of shape {self.values.shape}, wanted {shape}")

    def column(self, name: str) -> np.ndarray:
        """A column of `obs`, (samples,); one that is not there is an InputError."""
        if name not in self.obs:
            raise InputError(
                f"obs: got no column {name!r}, wanted one of {', '.join(self.obs) or '(none)'}"
            )
        return np.asarray(self.obs[name], dtype=object)

    def select(self, rows: np.ndarray) -> "ExpressionMatrix":
        """The samples of some row numbers, in their order."""
        return replace(
            self,
            values=self.values[rows],
            samples=tuple(self.samples[row] for row in rows),
            obs={name: [column[row] for row in rows] for name, column in self.obs.items()},
        )


def write_matrix(parts: Iterable[ExpressionMatrix], path: Path) -> int:
    """Write consecutive samples of one matrix, a row group at a time; return how many.

    The Parquet file appears when it is whole. Parts that differ in genes, unit or columns, and a
    sample twice, are an InputError.
    """
    beside = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer, seen = None, set()
    first: ExpressionMatrix | None = None
    try:
        for part in parts:
            if first is None or writer is None:
                first = part
                writer = pq.ParquetWriter(beside, _schema(part), compression="zstd")
            if (part.genes, part.unit, list(part.obs)) != (
                first.genes,
                first.unit,
                list(first.obs),
            ):
                raise InputError(f"{path}: got parts of different genes, unit or columns")
            for sample in part.samples:
                if sample in seen:
                    raise InputError(f"{path}: got sample {sample!r} twice, wanted each name once")
                seen.add(sample)
            writer.write_table(_table(part, writer.schema), row_group_size=ROWS_PER_GROUP)
        if writer is None:
            raise InputError(f"{path}: got no sample, wanted at least one")
        writer.close()
        beside.replace(path)
    except BaseException:
        if writer is not None:
            writer.close()
        beside.unlink(missing_ok=True)
        raise
    return len(seen)


def _schema(matrix: ExpressionMatrix) -> pa.Schema:
    if sparse.issparse(matrix.values):
        columns = [("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float32()))]
    else:
        columns = [("expression", pa.list_(pa.float32(), len(matrix.genes)))]
    obs = [(name, pa.array(list(column)).type) for name, column in matrix.obs.items()]
    obs = [(name, pa.string() if kind == pa.null() else kind) for name, kind in obs]
    about = json.dumps({"genes": matrix.genes, "unit": matrix.unit})
    return pa.schema([("sample_id", pa.string()), *obs, *columns], {_KEY: about})


def _table(matrix: ExpressionMatrix, schema: pa.Schema) -> pa.Table:
    if sparse.issparse(matrix.values):
        values = sparse.csr_array(matrix.values)
        offsets = pa.array(values.indptr.astype(np.int32))
        columns = {
            "indices": pa.ListArray.from_arrays(offsets, values.indices.astype(np.int32)),
            "values": pa.ListArray.from_arrays(offsets, values.data.astype(np.float32)),
        }
    else:
        flat = np.ascontiguousarray(matrix.values, np.float32).reshape(-1)
        kind = schema.field("expression").type
        columns = {"expression": pa.FixedSizeListArray.from_arrays(flat, type=kind)}
    obs = {name: list(column) for name, column in matrix.obs.items()}
    return pa.table({"sample_id": list(matrix.samples), **obs, **columns}, schema=schema)


def is_matrix_file(path: Path) -> bool:
    """Whether a Parquet file was written by `write_matrix`."""
    return _KEY in (pq.read_schema(path).metadata or {})


def is_sparse_file(path: Path) -> bool:
    """Whether a file was written by `write_matrix`, of sparse values."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False  # no Parquet file: whoever reads it says so
    return _KEY in (schema.metadata or {}) and "indices" in schema.names


def read_parts(path: Path) -> Iterator[ExpressionMatrix]:
    """The samples of a file of `write_matrix`, a row group at a time."""
    file = pq.ParquetFile(path)
    about = json.loads(file.schema_arrow.metadata[_KEY])
    genes = tuple(about["genes"])
    for number in range(file.num_row_groups):
        table = file.read_row_group(number).combine_chunks()
        yield ExpressionMatrix(
            values=_values(table, len(genes)),
            samples=tuple(table["sample_id"].to_pylist()),
            genes=genes,
            unit=about["unit"],
            obs={n: table[n].to_pylist() for n in table.column_names if n not in _FIXED},
        )


def _values(table: pa.Table, n_genes: int) -> np.ndarray | sparse.csr_array:
    if "expression" in table.column_names:
        flat = table["expression"].chunk(0).flatten().to_numpy()
        return flat.reshape(len(table), n_genes)
    indices, values = (table[name].chunk(0) for name in ("indices", "values"))
    parts = values.flatten().to_numpy(), indices.flatten().to_numpy(), indices.offsets.to_numpy()
    return sparse.csr_array(parts, shape=(len(table), n_genes))


def concatenate(parts: Sequence[ExpressionMatrix]) -> ExpressionMatrix:
    """One matrix of consecutive parts of the same genes, unit and columns."""
    first = parts[0]
    arrays = [part.values for part in parts]
    if isinstance(first.values, np.ndarray):
        values = np.concatenate([np.asarray(array) for array in arrays])
    else:
        values = sparse.csr_array(sparse.vstack(arrays))
    return replace(
        first,
        values=values,
        samples=tuple(sample for part in parts for sample in part.samples),
        obs={name: [v for part in parts for v in part.obs[name]] for name in first.obs},
    )
