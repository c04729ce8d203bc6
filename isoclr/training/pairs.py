"""Isoform groups to batches of token pairs.

Order is a function, not a state: which groups make step s comes from (seed, epoch), which pair and
which mask a group gives from (seed, epoch, group). So a run can start at any step, with any number
of processes and workers, and see what an uninterrupted one saw.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset

from data_builders.records import InputError
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import MASK_BASE
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, pad_tokens


@dataclass(frozen=True)
class GroupIndex:
    """Which groups and transcripts take part.

    Attributes:
        train: rows of the dataset to train on.
        held_out: rows never trained on, each with at least two transcripts.
        short_enough: for each row of the dataset, the positions of its eligible transcripts.
        left_out: what does not take part, by reason.
    """

    train: np.ndarray
    held_out: np.ndarray
    short_enough: list[np.ndarray]
    left_out: Counter


def index_groups(groups: Dataset, max_length: int, held_out: int, seed: int) -> GroupIndex:
    """Choose transcripts by length and set groups aside for evaluation.

    Args:
        groups: rows as `data_builders.groups` describes them.
        max_length: longest transcript that takes part, in nt.
        held_out: groups to set aside; at most a fifth of those with two transcripts or more.
        seed: of the choice.

    Raises:
        InputError: when no group is left.
    """
    left_out: Counter = Counter()
    short_enough = []
    for row in groups.select_columns("sequence"):
        lengths = np.array([len(sequence) for sequence in row["sequence"]])
        short_enough.append(np.flatnonzero(lengths <= max_length))
        left_out[f"transcripts over {max_length} nt"] += int((lengths > max_length).sum())
    sizes = np.array([len(eligible) for eligible in short_enough])
    left_out["groups with no transcript left"] = int((sizes == 0).sum())
    several = np.flatnonzero(sizes > 1)
    held_out = min(held_out, len(several) // 5)
    evaluation = np.random.default_rng(seed).permutation(several)[:held_out]
    train = np.setdiff1d(np.flatnonzero(sizes > 0), evaluation)
    if not len(train):
        raise InputError(f"no isoform group has a transcript of at most {max_length} nt")
    return GroupIndex(train, np.sort(evaluation), short_enough, left_out)


def draw_pair(n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Two of n transcripts, uniformly, different when n > 1 (IsoCLR, section 3)."""
    first = int(rng.integers(n))
    return first, (first + int(rng.integers(1, n))) % n if n > 1 else first


@dataclass(frozen=True)
class PairBatch:
    """The views of one step.

    Attributes:
        micro_batches: tokens of one length class each, uint8 (rows, padded length), together the
            first views of every pair, then the second, sorted by length.
        order: position in the sorted rows of each view, (2 · pairs,): undoes the sorting.
        counts: transcripts in the group of each pair, (pairs,).
        nucleotides: useful ones; the rest of the micro-batches is padding.
    """

    micro_batches: list[torch.Tensor]
    order: torch.Tensor
    counts: torch.Tensor
    nucleotides: int

    @property
    def padding(self) -> float:
        """Fraction of what goes through the encoder that is padding."""
        return 1 - self.nucleotides / sum(tokens.numel() for tokens in self.micro_batches)

    def to(self, device) -> "PairBatch":
        """The same on another device."""
        return PairBatch(
            [tokens.to(device, non_blocking=True) for tokens in self.micro_batches],
            self.order.to(device),
            self.counts.to(device),
            self.nucleotides,
        )


class PairBatches(torch.utils.data.Dataset):
    """Item s is the batch of step s, of the part that one process sees.

    Args:
        groups: rows as `data_builders.groups` describes them.
        index: which of them take part.
        tokenizer: turns transcripts into tokens.
        batch_size: groups a step, over all processes.
        mask_fraction: positions of every view that become MASK.
        micro_batch_tokens: see `Recipe`.
        seed: of order, pairs and masks.
        rank: this process.
        world_size: all processes; must divide `batch_size`.

    Raises:
        InputError: when a batch is larger than the data or not divisible.
    """

    def __init__(
        self,
        groups: Dataset,
        index: GroupIndex,
        tokenizer: IsoCLRTokenizer,
        *,
        batch_size: int,
        mask_fraction: float,
        micro_batch_tokens: int | None,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        if batch_size > len(index.train):
            raise InputError(f"batch_size: got {batch_size}, wanted at most {len(index.train)}")
        if batch_size % world_size:
            raise InputError(f"batch_size: got {batch_size}, wanted a multiple of {world_size}")
        self.groups, self.index, self.tokenizer = groups, index, tokenizer
        self.batch_size, self.mask_fraction = batch_size, mask_fraction
        self.micro_batch_tokens, self.seed = micro_batch_tokens, seed
        self.rank, self.world_size = rank, world_size
        self.steps_per_epoch = len(index.train) // batch_size  # the rest waits for another order

    def __getitem__(self, step: int) -> PairBatch:
        """The batch of `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.index.train)
        batch = order[position * self.batch_size : (position + 1) * self.batch_size]
        mine = batch[self.rank :: self.world_size]
        pairs = [self._views(int(group), (self.seed, epoch, int(group))) for group in mine]
        counts = [len(self.index.short_enough[group]) for group in mine]
        return self._collate(pairs, counts)

    def held_out(self) -> PairBatch:
        """Pairs of the held-out groups, unmasked; the same at every call."""
        rows = self.index.held_out
        pairs = [self._views(int(group), (self.seed, int(group)), mask=False) for group in rows]
        return self._collate(pairs, [len(self.index.short_enough[group]) for group in rows])

    def _views(self, group: int, stream: tuple, mask: bool = True) -> list[np.ndarray]:
        rng = np.random.default_rng(stream)
        row, eligible = self.groups[group], self.index.short_enough[group]
        views = []
        for drawn in draw_pair(len(eligible), rng):
            transcript = int(eligible[drawn])
            tokens = self.tokenizer.tokenize_transcript(
                row["sequence"][transcript],
                (row["cds_start"][transcript], row["cds_end"][transcript]),
                row["exon_junctions"][transcript],
                record=f"group {row['group_id']}: {row['transcript_id'][transcript]}",
            )
            if mask:
                tokens[rng.random(len(tokens)) < self.mask_fraction] = MASK_BASE
            views.append(tokens)
        return views

    def _collate(self, pairs: list[list[np.ndarray]], counts: list[int]) -> PairBatch:
        rows = [view for views in zip(*pairs, strict=True) for view in views]
        lengths = np.array([len(row) for row in rows])
        if self.micro_batch_tokens is None:
            parts = [np.arange(len(rows))]
        else:
            parts = cut_by_tokens(lengths, self.micro_batch_tokens)
        return PairBatch(
            [torch.from_numpy(pad_tokens([rows[i] for i in part])) for part in parts],
            torch.from_numpy(np.argsort(np.concatenate(parts), kind="stable")),
            torch.tensor(counts),
            int(lengths.sum()),
        )
