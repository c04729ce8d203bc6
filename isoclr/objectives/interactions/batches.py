"""Pairs to batches of like length: a function of the seed and the step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from isoclr.objectives.base import moved
from isoclr.objectives.interactions.vectors import MeanVectors, MoleculeVectors
from isoclr.training.order import EpochOrder, permute
from modeling_isoclr import RPIProcessor

_ROWS, _STEPS = range(2)
_BATCHES_SORTED = 16


@dataclass
class PairBatch:
    """This process's pairs of a batch.

    Attributes:
        inputs: of the model: embeddings and masks.
        labels: float32 (pairs,).
        weights: of each pair in the loss; over the whole batch they add up to 1.
        sizes: counts of the whole batch.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    weights: torch.Tensor
    sizes: dict[str, int]

    def to(self, device: torch.device) -> "PairBatch":
        """The same on a device."""
        return moved(self, device)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of which labels are known.

    Attributes:
        rna: places of their RNAs, (pairs,).
        protein: places of their proteins, (pairs,).
        label: 1 or 0, (pairs,).
        weight: of each, (pairs,).
    """

    rna: np.ndarray
    protein: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.label)


class PairBatches:
    """Batches of pairs.

    Every epoch has all pairs once, in an order of its own. Of 16 batches the pairs are sorted by
    length, so that like lengths meet; these batches come in random order.

    Args:
        pairs: to learn from.
        rnas: vectors of all RNAs.
        proteins: vectors of all proteins.
        processor: pads them.
        batch_size: pairs of a step, over all processes, at most.
        seed: of the order.
        share: (rank, world size) of this process.
    """

    def __init__(
        self,
        pairs: Pairs,
        rnas: MoleculeVectors | MeanVectors,
        proteins: MoleculeVectors | MeanVectors,
        processor: RPIProcessor,
        *,
        batch_size: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ):
        self.pairs, self.rnas, self.proteins, self.processor = pairs, rnas, proteins, processor
        self.seed, self.share = seed, share
        self.order = EpochOrder([len(pairs)], [1.0], batch_size)
        self._longest = rnas.lengths[pairs.rna] + proteins.lengths[pairs.protein]
        self._epoch = lru_cache(2)(self._sorted_epoch)

    def _sorted_epoch(self, epoch: int) -> list[np.ndarray]:
        """The rows of each step of an epoch."""
        n, steps = len(self.pairs), self.order.steps_per_epoch
        rows = permute(np.arange(n), n, self.seed, _ROWS, epoch)
        bounds = [n * step // steps for step in range(steps + 1)]
        found = []
        for first in range(0, steps, _BATCHES_SORTED):
            last = min(first + _BATCHES_SORTED, steps)
            part = rows[bounds[first] : bounds[last]]
            part = part[np.argsort(self._longest[part], kind="stable")]
            offsets = [bounds[step] - bounds[first] for step in range(first, last + 1)]
            cut = [part[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
            key = self.seed, _STEPS, epoch, first
            found += [cut[i] for i in permute(np.arange(len(cut)), len(cut), *key)]
        return found

    def rows(self, step: int) -> np.ndarray:
        """Row numbers of the whole batch of a step."""
        epoch, part = divmod(step, self.order.steps_per_epoch)
        return self._epoch(epoch)[part]

    def __getitem__(self, step: int) -> PairBatch:
        """This process's part of the batch of `step`, counted from 0."""
        rows = self.rows(step)
        rank, world_size = self.share
        bounds = np.linspace(0, len(rows), world_size + 1).astype(int)
        weights = self.pairs.weight[rows] / self.pairs.weight[rows].sum()
        batch = self.of(rows[bounds[rank] : bounds[rank + 1]], rows)
        batch.weights = torch.from_numpy(weights[bounds[rank] : bounds[rank + 1]]).float()
        return batch

    def of(self, rows: np.ndarray, whole: np.ndarray | None = None) -> PairBatch:
        """The batch of some rows, each of the same weight; sizes are those of the whole batch."""
        pairs, whole = self.pairs, rows if whole is None else whole
        return PairBatch(
            padded(
                self.processor,
                [self.rnas[i] for i in pairs.rna[rows]],
                [self.proteins[i] for i in pairs.protein[rows]],
            ),
            torch.from_numpy(pairs.label[rows].astype(np.float32)),
            torch.full((len(rows),), 1 / max(len(rows), 1)),
            {"pairs": len(whole), "positions": int(self._longest[whole].sum())},
        )


def padded(
    processor: RPIProcessor, rnas: Sequence[np.ndarray], proteins: Sequence[np.ndarray]
) -> dict[str, torch.Tensor]:
    """Return the inputs of a model for pairs of vectors, as tensors."""
    inputs = processor.pad("rna", rnas) | processor.pad("protein", proteins)
    return {name: torch.from_numpy(value) for name, value in inputs.items()}
