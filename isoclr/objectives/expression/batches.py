"""Profiles to batches of two views: a function of the seed and the step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from isoclr.objectives.base import moved
from isoclr.objectives.expression.recipe import ExpressionRecipe
from isoclr.objectives.expression.rows import DenseRows, SparseRows
from isoclr.training.order import EpochOrder, keyed_hash, permute

_ORDER, CORRUPTION, _DROPOUT, _HELD_OUT = range(4)


@dataclass
class ExpressionBatch:
    """This process's rows of a batch.

    Attributes:
        clean: z-scores, (rows, genes).
        first: first view, (rows, genes).
        second: second view; None where the method has one.
        mask: of the first view, True where a value was replaced, (rows, genes).
        keep: what dropout leaves, (views, layers, rows, hidden), or None without dropout.
        rows_of_rank: rows of every process.
        sizes: counts of the whole batch.
    """

    clean: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor | None
    mask: torch.Tensor
    keep: torch.Tensor | None
    rows_of_rank: list[int]
    sizes: dict[str, int]

    def to(self, device: torch.device) -> "ExpressionBatch":
        """The same on a device."""
        return moved(self, device)


class ExpressionBatches:
    """Batches of z-scores.

    Draws are made for the whole batch and then divided, so that the number of processes changes
    nothing.

    Args:
        z: z-scores of training: float32 (samples, genes), or rows that are made when asked for.
        recipe: says how views are made.
        dropout_shape: (layers, hidden) of the encoder.
        dropout: of the encoder.
        modules: module of each gene, (genes,), for halves; None: each gene on its own.
        rank: this process.
        world_size: all processes.
    """

    def __init__(
        self,
        z: np.ndarray | DenseRows | SparseRows,
        recipe: ExpressionRecipe,
        *,
        dropout_shape: tuple[int, int],
        dropout: float,
        modules: np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.z = DenseRows(z) if isinstance(z, np.ndarray) else z
        self.recipe, self.modules = recipe, modules
        if isinstance(self.z, DenseRows):
            self.low, self.high = self.z.z.min(0), self.z.z.max(0)
        else:
            processor = self.z.processor
            self.low = np.asarray(processor.low, np.float32)
            self.high = np.asarray(processor.high, np.float32)
        self.order = EpochOrder([len(z)], [1.0], recipe.batch_size)
        self.dropout_shape, self.dropout = dropout_shape, dropout
        self.rank, self.world_size = rank, world_size

    def rows(self, step: int) -> np.ndarray:
        """Row numbers of the whole batch of a step."""
        positions = self.order.positions(step)[0]
        passes, places = np.divmod(positions, len(self.z))
        rows = np.empty(len(positions), np.int64)
        for number in np.unique(passes):
            here = passes == number
            key = self.recipe.seed, _ORDER, int(number)
            rows[here] = permute(places[here], len(self.z), *key)
        return rows

    def __getitem__(self, step: int) -> ExpressionBatch:
        """This process's part of the batch of `step`, counted from 0."""
        clean = self.z[self.rows(step)]
        bounds = np.linspace(0, len(clean), self.world_size + 1).astype(int)
        views, mask = self.views(clean, self.generator(CORRUPTION, step))
        mine = slice(bounds[self.rank], bounds[self.rank + 1])
        keep = None
        if self.dropout:
            shape = (2, self.dropout_shape[0], len(clean), self.dropout_shape[1])
            draws = self.generator(_DROPOUT, step).random(shape, np.float32)
            keep = torch.from_numpy(draws[:, :, mine] >= self.dropout)
        return ExpressionBatch(
            clean=torch.from_numpy(clean[mine]),
            first=torch.from_numpy(views[0][mine]),
            second=None if len(views) < 2 else torch.from_numpy(views[1][mine]),
            mask=torch.from_numpy(mask[mine]),
            keep=keep,
            rows_of_rank=np.diff(bounds).tolist(),
            sizes={"samples": len(clean), "values": clean.size},
        )

    def views(
        self, clean: np.ndarray, rng: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """One view (vime, denoising) or two of clean rows, and the mask of the first."""
        method = self.recipe.method
        if method == "halves":
            mask = self._half(clean, rng)
            return (np.where(mask, 0, clean), np.where(mask, clean, 0)), mask
        corrupted, mask = self._corrupt(clean, rng)
        if method == "scarf":
            return (clean, corrupted), np.zeros_like(mask)
        if method == "byol":
            return (corrupted, self._corrupt(clean, rng)[0]), mask
        return (corrupted,), mask

    def _corrupt(self, clean: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
        mask = rng.random(clean.shape, np.float32) < self.recipe.corruption
        if self.recipe.replacement == "uniform":
            # In place: a fresh array of a large batch costs more than its arithmetic.
            corrupted = rng.random(clean.shape, np.float32)
            corrupted *= self.high - self.low
            corrupted += self.low
        else:
            samples = rng.integers(len(self.z), size=clean.shape)
            corrupted = self.z.at(samples)
        np.copyto(corrupted, clean, where=~mask)
        return corrupted, mask

    def _half(self, clean: np.ndarray, rng) -> np.ndarray:
        """Of each row, the half of the genes, or of their modules, that the first view lacks."""
        n = clean.shape[1] if self.modules is None else int(self.modules.max()) + 1
        ranks = rng.random((len(clean), n)).argsort(1)
        lacking = ranks < n // 2
        return lacking if self.modules is None else lacking[:, self.modules]

    def generator(self, what: int, step: int) -> np.random.Generator:
        """The random numbers of one purpose at one step."""
        key = keyed_hash(self.recipe.seed, what, step)
        return np.random.Generator(np.random.Philox(key=int(key[0])))


def held_out_samples(groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Choose whole groups that hold about a fraction of the samples: bool (samples,)."""
    names, which = np.unique(groups.astype(str), return_inverse=True)
    order = permute(np.arange(len(names)), len(names), seed, _HELD_OUT)
    counts = np.bincount(which)[order].cumsum()
    chosen = order[counts <= fraction * len(groups)]
    return np.isin(which, chosen)


def gene_modules(z: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Put genes into modules of co-expressed genes, by k-means on their profiles of unit length.

    From z-scores (samples, genes) to the module of each gene, (genes,).
    """
    from sklearn.cluster import MiniBatchKMeans

    profiles = z.T / np.maximum(np.linalg.norm(z.T, axis=1, keepdims=True), 1e-6)
    # Its default for `n_init` is text, so a type checker takes it for text alone.
    starts: Any = 3
    means = MiniBatchKMeans(min(n, len(profiles)), random_state=seed, n_init=starts)
    _, which = np.unique(means.fit_predict(profiles), return_inverse=True)
    return which
