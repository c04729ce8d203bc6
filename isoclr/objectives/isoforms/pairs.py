"""Batches of token pairs from isoform groups.

Order is a function, not a state: which groups make step s comes from (seed, s), which pair and
which mask a group gives from (seed, pass over its dataset, group). So a run can start at any step,
with any number of processes and workers, and see what an uninterrupted one saw.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from data_builders.records import InputError
from isoclr.objectives.base import moved
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.members import Members
from isoclr.objectives.isoforms.sampling import Pairs, PairSampler, graft_utrs
from isoclr.objectives.isoforms.views import (
    ViewOptions,
    cropped,
    cropped_lengths,
    hidden_codons,
    hidden_exons,
    hidden_spans,
    one_region,
    recoded,
    substituted,
)
from isoclr.training.order import keyed_hash
from modeling_isoclr.configuration_isoclr import CODON_START_BIT, EXON_END_BIT, MASK_BASE, N_BASE
from modeling_isoclr.packing_isoclr import (
    PackedShape,
    Packing,
    evenly_filled,
    fitting_rows,
    pack,
)

_BASE = np.uint8(7)
_IGNORED = 255
_MEASURED_STEPS = 4  # whose lengths say how large batches are
# Keep the streams of draws apart from each other and from those of pairs and of order.
_MASK, _DROPOUT, _VIEW, _CROP = 1 << 32, 1 << 33, 1 << 34, 1 << 35


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Views of one step that one process encodes, and the sizes of those of the others.

    Attributes:
        tokens: of all micro-batches, packed, uint8 (micro-batches, rows, length).
        segment_ids: which view of its row each nucleotide is of, see `IsoCLRModel`, of that shape.
        n_segments: most views in a row.
        labels: bases that are hidden, of that shape, `_IGNORED` elsewhere, on a device int64 and
            -100; None where none are asked for.
        seeds: of dropout in each micro-batch.
        slots: where the embeddings of micro-batches, rows and segments have each view,
            (views of this process,).
        views_of_rank: views that each process encodes.
        order: position, in the views of all processes in turn, of the first view of every pair,
            then of the second, (2 · pairs,).
        counts: eligible transcripts in the group of each pair, (pairs,).
        types: indices into `PAIR_TYPES`, (pairs,).
        nucleotides: of all processes' views.
        encoded: those, and gaps and padding.
    """

    tokens: torch.Tensor
    segment_ids: torch.Tensor
    n_segments: int
    labels: torch.Tensor | None
    seeds: list[int]
    slots: torch.Tensor
    views_of_rank: list[int]
    order: torch.Tensor
    counts: torch.Tensor
    types: torch.Tensor
    nucleotides: int
    encoded: int

    @property
    def padding(self) -> float:
        """Return the fraction of encoded positions that is padding."""
        return 1 - self.nucleotides / self.encoded

    @property
    def sizes(self) -> dict[str, int]:
        """Return the counts that the engine reports per second, see `isoclr.objectives.base`."""
        return {
            "transcripts": len(self.order),
            "nucleotides": self.nucleotides,
            "padded": self.encoded,
        }

    def pin_memory(self) -> "PairBatch":
        """Copy to memory that a GPU can read while it computes."""
        tensors = {n: v for n, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return replace(self, **{name: tensor.pin_memory() for name, tensor in tensors.items()})

    def to(self, device: torch.device) -> "PairBatch":
        """Copy to a device; labels become what a loss takes."""
        there = moved(self, device)
        if there.labels is None:
            return there
        labels = there.labels.long().masked_fill_(there.labels == _IGNORED, -100)
        return replace(there, labels=labels)


@dataclass(frozen=True, kw_only=True)
class Located:
    """Groups of a step, and where they are.

    Attributes:
        groups: that have them, perhaps among others.
        eligible: their transcripts that take part.
        rows: of both, one for each pair, (pairs,).
        keys: numbers of the groups that no other group of the data has, (pairs,).
        passes: how often each group came before, (pairs,).
    """

    groups: ArrowGroups
    eligible: Members
    rows: np.ndarray
    keys: np.ndarray
    passes: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How nucleotides of a view are hidden.

    Attributes:
        fractions: least and greatest share of hidden nucleotides, between which each view draws.
        mark_fraction: see `mark_mask_fraction` of `IsoformRecipe`.
        labels: make labels of the hidden nucleotides.
        views: what else makes a view differ from its transcript.
    """

    fractions: tuple[float, float]
    mark_fraction: float | None = None
    labels: bool = False
    views: ViewOptions = ViewOptions()


class PairBatches(torch.utils.data.Dataset):
    """Item s is the batch of step s, of the part that one process encodes.

    The views of the whole batch are packed into micro-batches of one shape, each with a fair
    mixture of lengths, which the processes take in turn: so micro-batches, their statistics and
    their dropout are the same for any number of processes (up to one a micro-batch).

    Args:
        source: finds the groups of a step, and those held out.
        sampler: draws a pair from each group.
        masking: of the views; None: none.
        shape: of a micro-batch; with rows of 0 there is one a process, as large as it must be.
        seed: of pairs, masks and dropout.
        rank: this process.
        world_size: all processes.
    """

    def __init__(
        self,
        source,
        sampler: PairSampler,
        *,
        masking: Masking | None,
        shape: PackedShape,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.source, self.sampler = source, sampler
        self.masking, self.shape = masking, shape
        self.seed, self.rank, self.world_size = seed, rank, world_size

    def __getitem__(self, step: int) -> PairBatch:
        """Return the batch of `step`, counted from 0."""
        return self._collate(self.source.locate(step), step)

    def fill_evenly(self) -> None:
        """Take rows off the shape of micro-batches that the batches of the first steps leave empty.

        One shape serves the whole run, whatever the number of processes.
        """
        if self.shape.rows:
            first = map(self.source.locate, range(_MEASURED_STEPS))
            steps = [self._lengths(located, self._draw(located)) for located in first]
            views = round(np.mean([len(lengths) for lengths in steps]))
            self.shape = evenly_filled(np.concatenate(steps), self.shape, views)

    def held_out(self) -> PairBatch | None:
        """Return the pairs of all held-out groups, unmasked; None where there are too few."""
        located = self.source.held_out()
        if len(located.rows) < 2:
            return None
        alone = PairBatches(**vars(self) | {"rank": 0, "world_size": 1, "masking": None})
        return alone._collate(located, 0)

    def records(self, step: int) -> list[str]:
        """Name the group and the two transcripts of each pair in the batch of `step`."""
        located = self.source.locate(step)
        pairs, groups = self._draw(located), located.groups
        return [
            f"{groups.group_id(row)}: {groups.transcript_id(one)}, {groups.transcript_id(other)}"
            for row, one, other in zip(located.rows, pairs.first, pairs.second, strict=True)
        ]

    def _draw(self, located: Located) -> Pairs:
        return self.sampler.draw(located.eligible, located.rows, located.passes, located.keys)

    def _lengths(self, located: Located, pairs: Pairs) -> np.ndarray:
        """Return the nt of each view, (2 · pairs,), first views first."""
        lengths = np.concatenate(
            [located.groups.members.lengths[pairs.first], pairs.second_lengths]
        )
        if self.masking is not None:
            lengths = cropped_lengths(lengths, self.masking.views.crop)
        return lengths

    def _collate(self, located: Located, step: int) -> PairBatch:
        pairs = self._draw(located)
        lengths = self._lengths(located, pairs)
        packing = self._pack(lengths)
        views = [packing.members(batch) for batch in range(packing.batches)]
        dealt = [range(rank, packing.batches, self.world_size) for rank in range(self.world_size)]
        mine = [views[batch] for batch in dealt[self.rank]]
        predict = self.masking is not None and self.masking.labels
        tokens, labels = [], []
        for members in mine:
            made = [self._view(located, pairs, view) for view in members.tolist()]
            tokens.append(packing.tokens(members, [view for view, _ in made]))
            if predict:
                labels.append(packing.tokens(members, [bases for _, bases in made], _IGNORED))
        seeds = keyed_hash(self.seed, _DROPOUT, step, np.array(dealt[self.rank], np.int64))
        in_batch = packing.shape.rows * packing.shape.segments
        slots = [number * in_batch + packing.slots(members) for number, members in enumerate(mine)]
        by_rank = np.concatenate([views[batch] for numbers in dealt for batch in numbers])
        return PairBatch(
            tokens=_stacked(tokens),
            segment_ids=_stacked([packing.segment_ids(members) for members in mine]),
            n_segments=packing.shape.segments,
            labels=_stacked(labels) if predict else None,
            seeds=(seeds >> np.uint64(1)).tolist(),
            slots=torch.from_numpy(np.concatenate(slots)),
            views_of_rank=[sum(len(views[batch]) for batch in numbers) for numbers in dealt],
            order=torch.from_numpy(np.argsort(by_rank, kind="stable")),
            counts=torch.from_numpy(located.eligible.counts[located.rows]),
            types=torch.from_numpy(pairs.types),
            nucleotides=int(lengths.sum()),
            encoded=packing.batches * packing.shape.size,
        )

    def _pack(self, lengths: np.ndarray) -> Packing:
        """Place each view, in at least one micro-batch for each process."""
        if len(lengths) < self.world_size:
            raise InputError(
                f"batch_size: got {len(lengths) // 2} groups in a step, "
                f"wanted a view or more for each of {self.world_size} processes"
            )
        shape = self.shape
        if not shape.rows:
            shape = fitting_rows(lengths, shape, self.world_size)
        return pack(lengths, shape, self.world_size)

    def _view(self, located: Located, pairs: Pairs, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of a view, and its hidden bases (`_IGNORED` where none is hidden)."""
        second, pair = divmod(view, len(located.rows))
        tokens = _view_tokens(located.groups, pairs, pair, second)
        if self.masking is None:
            return tokens, np.full(len(tokens), _IGNORED, np.uint8)
        options, key = self.masking.views, (located.passes[pair], located.keys[pair])
        tokens = self._differing(tokens, options, key, second)
        hidden = np.full(len(tokens), _IGNORED, np.uint8)
        rng = _generator(self.seed, _MASK, *key, second)
        low, high = self.masking.fractions
        if options.span > 1:
            fraction = low + (high - low) * rng.random()
            chosen = hidden_spans(len(tokens), fraction, options.span, rng)
        else:
            chosen = rng.random(len(tokens), np.float32) < low + (high - low) * rng.random()
        if options.codons:
            chosen |= hidden_codons(tokens, options.codons, rng)
        if options.exons:
            chosen |= hidden_exons(tokens, options.exons, rng)
        bases = tokens & _BASE
        hidden[chosen] = np.where(bases == N_BASE, _IGNORED, bases)[chosen]
        if self.masking.mark_fraction is None:
            tokens[chosen] = MASK_BASE
            return tokens, hidden
        tokens[chosen] = tokens[chosen] & ~_BASE | MASK_BASE
        for mark in (CODON_START_BIT, EXON_END_BIT):
            lost = rng.random(len(tokens), np.float32) < self.masking.mark_fraction
            tokens[lost] &= np.uint8(~mark & 0xFF)
        return tokens, hidden

    def _differing(
        self, tokens: np.ndarray, options: ViewOptions, key: tuple, second: int
    ) -> np.ndarray:
        """Return a view before nucleotides are hidden at random: recoded, cropped, one region."""
        rng = _generator(self.seed, _VIEW, *key, second)
        if options.synonyms:
            tokens = recoded(tokens, options.synonyms, rng)
        if options.substitutions:
            tokens = substituted(tokens, options.substitutions, rng)
        if options.crop < 1:
            swapped = int(keyed_hash(self.seed, _CROP, *key)[0]) & 1
            tokens = cropped(tokens, options.crop, at_end=bool(second ^ swapped))
        if not second and options.region and rng.random() < options.region:
            tokens = one_region(tokens, rng)
        return tokens


def _generator(*key) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=int(keyed_hash(*key)[0])))


def _stacked(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))


def _view_tokens(groups: ArrowGroups, pairs: Pairs, pair: int, second: int) -> np.ndarray:
    first = pairs.first[pair]
    if not second:
        return groups.tokens(first)
    tokens = groups.tokens(pairs.second[pair])
    if not pairs.grafted[pair]:
        return tokens
    cds = int(groups.members.cds_start[first]), int(groups.members.cds_end[first])
    return graft_utrs(groups.tokens(first), cds, tokens)
