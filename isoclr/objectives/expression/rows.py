"""z-scores of samples: all in memory, or made of a sparse matrix when a batch asks for them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from data_builders.expression.matrix import is_sparse_file, read_parts
from data_builders.expression.prepare import read_expression
from data_builders.records import InputError
from isoclr.objectives.expression.recipe import ExpressionRecipe
from modeling_isoclr import ExpressionProcessor

_ROWS_FOR_MODULES = 5000


class SparseRows:
    """z-scores of rows of a sparse matrix, which never stand in memory together.

    From log2(x + 1), CSR (samples, genes of the processor), which has the transform log.
    """

    def __init__(self, values: sparse.csr_array, processor: ExpressionProcessor):
        self.values, self.processor = values, processor

    def __len__(self) -> int:
        """Samples."""
        return self.values.indptr.size - 1

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """z-scores, float32 (rows, genes)."""
        return self.processor(self.values[rows].toarray())["values"]

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The z-score of gene j in sample `rows[i, j]`, float32 (rows, genes)."""
        columns = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
        found = self.values[rows.ravel(), columns.ravel()]
        found = found.toarray() if sparse.issparse(found) else np.asarray(found)
        return self.processor(found.reshape(rows.shape))["values"]


class DenseRows:
    """z-scores in memory, float32 (samples, genes)."""

    def __init__(self, z: np.ndarray):
        self.z = z

    def __len__(self) -> int:
        """Samples."""
        return len(self.z)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """z-scores, float32 (rows, genes)."""
        return self.z[rows]

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The z-score of gene j in sample `rows[i, j]`, float32 (rows, genes)."""
        return self.z[rows, np.arange(rows.shape[1])]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a run trains on and holds out.

    Attributes:
        train: z-scores of training.
        held_out: z-scores that are never trained on.
        samples: names of the samples of training.
        processor: fitted on them.
        checksum: of all values.
        said: lines about what was read.
    """

    train: DenseRows | SparseRows
    held_out: DenseRows | SparseRows
    samples: Sequence[str]
    processor: ExpressionProcessor
    checksum: str
    said: Sequence[str]

    def for_modules(self) -> np.ndarray:
        """z-scores of training, of the first 5,000 samples if they are sparse."""
        if isinstance(self.train, DenseRows):
            return self.train.z
        return self.train[np.arange(min(len(self.train), _ROWS_FOR_MODULES))]


def load_training_data(recipe: ExpressionRecipe, choose) -> TrainingData:
    """Read the data of a recipe, divide it, and fit the processor on the samples of training.

    `choose` says which samples are held out, by their groups. A sparse matrix of `isoclr expression
    prepare` is read in parts, three times, and only the genes of the processor stay, sparse, in
    arrays that are allocated once. Anything else is dense in memory.
    """
    path = Path(recipe.data)
    if recipe.transform == "log" and is_sparse_file(path):
        return _sparse(path, recipe, choose)
    matrix, report = read_expression([recipe.data])
    if recipe.group_column is None:
        groups = np.array(matrix.samples)
    else:
        groups = matrix.column(recipe.group_column)
    held_out = choose(groups)
    train = np.flatnonzero(~held_out)
    values = matrix.values if isinstance(matrix.values, np.ndarray) else matrix.values.toarray()
    try:
        processor = ExpressionProcessor.fit(
            values[train],
            matrix.genes,
            n_genes=recipe.n_genes,
            transform=recipe.transform,
            clip=recipe.clip,
        )
    except ValueError as error:
        raise InputError(f"{recipe.data}: {error}") from None
    z = processor(values, matrix.genes)["values"]
    return TrainingData(
        train=DenseRows(z[train]),
        held_out=DenseRows(z[held_out]),
        samples=[matrix.samples[row] for row in train],
        processor=processor,
        checksum=hashlib.sha256(z.tobytes()).hexdigest(),
        said=report.lines(),
    )


def _sparse(path: Path, recipe: ExpressionRecipe, choose) -> TrainingData:
    samples: list[str] = []
    groups: list = []
    for part in read_parts(path):
        samples += part.samples
        column = recipe.group_column
        groups += list(part.samples if column is None else part.column(column))
    held_out = choose(np.array(groups, dtype=object))
    genes, moments, entries = _moments(path, ~held_out)
    if moments.count < 2 or not (moments.variance > 0).any():
        raise InputError(f"{path}: values: got no gene that varies, wanted one or more")
    order = np.argsort(-moments.variance, kind="stable")
    order = order[moments.variance[order] > 0][: recipe.n_genes]
    chosen = np.sort(order)
    processor = moments.processor(genes, chosen, recipe.clip)
    # Rows of the two sides apart from the start: no copy of the whole stands beside them.
    sides = [
        _Filled(int(rows.sum()), len(chosen), int(stored[chosen].sum()))
        for rows, stored in zip((~held_out, held_out), entries, strict=True)
    ]
    checksum, start = hashlib.sha256(), 0
    for part in read_parts(path):
        values = part.values[:, chosen]
        assert isinstance(values, sparse.csr_array)
        for array in (values.data, values.indices, values.indptr):
            checksum.update(array.tobytes())
        held = held_out[start : start + len(part.samples)]
        start += len(part.samples)
        for side, rows in zip(sides, (~held, held), strict=True):
            side.append(values[np.flatnonzero(rows)])
    train, left_out = (SparseRows(side.matrix(), processor) for side in sides)
    return TrainingData(
        train=train,
        held_out=left_out,
        samples=[samples[row] for row in np.flatnonzero(~held_out)],
        processor=processor,
        checksum=checksum.hexdigest(),
        said=[f"{len(samples):,} samples × {len(genes):,} genes, sparse, read in parts"],
    )


class _Filled:
    """A CSR matrix that takes its rows part by part; a list of parts would stand beside it."""

    def __init__(self, rows: int, columns: int, entries: int):
        kind = np.int32 if max(entries, columns) <= np.iinfo(np.int32).max else np.int64
        self._data = np.empty(entries, np.float32)
        self._indices, self._ends = np.empty(entries, kind), np.zeros(rows + 1, kind)
        self._columns, self._row, self._entry = columns, 0, 0

    def append(self, part: sparse.csr_array) -> None:
        """Take the rows of a part."""
        row, entry = self._row + len(part.indptr) - 1, self._entry + part.nnz
        self._data[self._entry : entry] = part.data
        self._indices[self._entry : entry] = part.indices
        self._ends[self._row + 1 : row + 1] = self._entry + np.asarray(part.indptr)[1:]
        self._row, self._entry = row, entry

    def matrix(self) -> sparse.csr_array:
        """All rows; no array is copied."""
        shape = (len(self._ends) - 1, self._columns)
        return sparse.csr_array((self._data, self._indices, self._ends), shape=shape, copy=False)


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Statistics of genes over samples, each (genes,)."""

    count: int
    mean: np.ndarray
    variance: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def processor(
        self, genes: Sequence[str], chosen: np.ndarray, clip: float
    ) -> ExpressionProcessor:
        """A processor with these statistics."""
        mean, scale = self.mean[chosen], np.sqrt(self.variance[chosen])
        low, high = ((each[chosen] - mean) / scale for each in (self.least, self.most))
        return ExpressionProcessor(
            [genes[place] for place in chosen],
            "log",
            clip=clip,
            mean=mean,
            scale=scale,
            low=np.clip(low, -clip, clip),
            high=np.clip(high, -clip, clip),
        )


def _moments(
    path: Path, train: np.ndarray
) -> tuple[Sequence[str], _Moments, tuple[np.ndarray, np.ndarray]]:
    """The genes of a sparse file, and their statistics over the samples of training.

    With them the stored values of each gene, (genes,), in those samples and in the others.
    """
    genes: Sequence[str] = ()
    start, total = 0, None
    in_train, in_all = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for part in read_parts(path):
        genes = part.genes
        rows = train[start : start + len(part.samples)]
        assert isinstance(part.values, sparse.csr_array)  # see `is_sparse_file`
        in_all = in_all + np.bincount(part.values.indices, minlength=len(genes))
        values = sparse.csc_array(part.values[np.flatnonzero(rows)].astype(np.float64))
        in_train = in_train + np.diff(values.indptr)
        start += len(part.samples)
        if not rows.any():
            continue
        found = [values.sum(0), values.multiply(values).sum(0)]
        ends = values.min(axis=0).toarray().ravel(), values.max(axis=0).toarray().ravel()
        if total is None:
            total = [*found, *ends]
        else:
            total = [total[0] + found[0], total[1] + found[1]] + [
                np.minimum(total[2], ends[0]),
                np.maximum(total[3], ends[1]),
            ]
    n, entries = int(train.sum()), (in_train, in_all - in_train)
    if total is None:
        none = np.zeros(len(genes))
        moments = _Moments(count=0, mean=none, variance=none, least=none, most=none)
        return genes, moments, entries
    mean = total[0] / n
    variance = np.maximum(total[1] / n - mean**2, 0)
    variance[variance < 1e-12 * np.maximum(total[1] / n, 1)] = 0  # what rounding leaves
    moments = _Moments(count=n, mean=mean, variance=variance, least=total[2], most=total[3])
    return genes, moments, entries
