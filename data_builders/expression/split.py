"""Keep samples of a matrix for testing: what is trained on never sees them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_builders.expression.matrix import ExpressionMatrix, write_matrix
from data_builders.labels.splits import group_folds
from data_builders.records import InputError

PART, TRAIN, TEST = "part", "train", "test"
ALL_FILE, TRAIN_FILE = "all.parquet", "train.parquet"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How samples are cut.

    Attributes:
        label: column of classes, which all parts have in proportion.
        group: column, such as the donor, whose samples stay on one side; None: each on its own.
        folds: the test part is one of so many.
        fold: which one, from 0.
        seed: of the cut.
    """

    label: str
    group: str | None = None
    folds: int = 5
    fold: int = 0
    seed: int = 0


def split_expression(matrix: ExpressionMatrix, output: Path, cut: Cut) -> dict[str, int]:
    """Write the samples to train on, and all samples with the part that each is of.

    The parts, those of `isoclr phenotype` of the same seed and number of folds, are counted.
    `train.parquet` has the samples to train on, without their label; in `all.parquet` a column
    `part` says train or test. Samples without the label must not be in the matrix.
    """
    if not 0 <= cut.fold < cut.folds:
        raise InputError(f"fold: got {cut.fold}, wanted 0 to {cut.folds - 1}")
    if PART in matrix.obs:
        raise InputError(f"obs: got a column '{PART}' already, wanted another name of it")
    _, classes = np.unique(matrix.column(cut.label).astype(str), return_inverse=True)
    groups = matrix.samples
    if cut.group is not None:
        groups = matrix.column(cut.group).astype(str).tolist()
    test = group_folds(groups, classes, cut.folds, cut.seed)[cut.fold].test
    parts = np.full(len(matrix.samples), TRAIN, object)
    parts[test] = TEST
    whole = replace(matrix, obs={**matrix.obs, PART: parts.tolist()})
    write_matrix(_pieces(whole), output / ALL_FILE)
    train = matrix.select(np.flatnonzero(parts == TRAIN))
    kept = {name: column for name, column in train.obs.items() if name != cut.label}
    write_matrix(_pieces(replace(train, obs=kept)), output / TRAIN_FILE)
    return {TRAIN: int((parts == TRAIN).sum()), TEST: len(test)}


def _pieces(matrix: ExpressionMatrix, rows: int = 512) -> Iterator[ExpressionMatrix]:
    for start in range(0, len(matrix.samples), rows):
        yield matrix.select(np.arange(start, min(start + rows, len(matrix.samples))))
