"""Batches of homologs: item s is this process's part of step s."""

from dataclasses import dataclass

import numpy as np
import torch

from data_builders.records import InputError
from isoclr.objectives.base import moved
from isoclr.objectives.homologs.families import Families, held_out
from isoclr.objectives.homologs.recipe import HomologRecipe
from isoclr.objectives.homologs.views import ViewMaker, Views, hidden
from isoclr.training.order import EpochOrder, keyed_hash, permute
from modeling_isoclr.configuration_isoclr import MASK_BASE, N_BASE, PAD_BASE
from modeling_isoclr.tokenization_isoclr import pad_tokens

_BLOCK = 8  # steps whose families are sorted by length together
_EVALUATION_STEP = 2**40  # a step that no run comes to
_EVALUATED = 256  # families of an evaluation while a run goes on


@dataclass(frozen=True)
class HomologBatch:
    """Anchors and their positives.

    Attributes:
        tokens: uint8 (pairs of this process · (1 + homologs), length): anchors first, then the
            first positives of all, and so on.
        labels: int64 of the same shape, what is hidden, -100 elsewhere; None: nothing is predicted.
        bands: of all processes' pairs, (pairs,).
        pairs_of_rank: pairs of each process.
        rank: of this process.
        seed: of dropout.
        same_species: share of the pairs of this process whose positive is of the species of the
            step; None: the step has none.
        sizes: see `isoclr.objectives.base.Batch`.
    """

    tokens: torch.Tensor
    labels: torch.Tensor | None
    bands: torch.Tensor
    pairs_of_rank: tuple[int, ...]
    rank: int
    seed: int
    same_species: float | None
    sizes: dict[str, int]

    def to(self, device: torch.device) -> "HomologBatch":
        """The same on a device."""
        return moved(self, device)


class HomologBatches:
    """See `isoclr.objectives.base.Batches`.

    Args:
        datasets: families of each source of the recipe.
        recipe: of the run.
        rank: of this process.
        world_size: number of processes.

    Attributes:
        makers: of the views, one a dataset.
        order: of the families.
        trained: families of each dataset that are trained on.
        held: held-out families of the first dataset that evaluations look at during training.
        test: those that only the final evaluation looks at; without `test_families` of the recipe,
            the same as `held`.

    Raises:
        InputError: fewer than two families to train on, or a band that holds no pair.
    """

    def __init__(self, datasets: list[Families], recipe: HomologRecipe, rank: int, world_size: int):
        self.recipe, self.rank, self.world_size = recipe, rank, world_size
        self.makers = [ViewMaker(families, recipe) for families in datasets]
        self._check_bands()
        aside = [held_out(datasets[0].ids, recipe.held_out_families, recipe.seed)]
        aside += [np.zeros(len(families), bool) for families in datasets[1:]]
        self.trained = [
            np.flatnonzero(maker.eligible & ~held)
            for maker, held in zip(self.makers, aside, strict=True)
        ]
        tested = held_out(datasets[0].ids, recipe.test_families, recipe.seed)
        eligible = self.makers[0].eligible
        self.held = np.flatnonzero(eligible & aside[0] & ~tested)
        self.test = np.flatnonzero(eligible & tested) if recipe.test_families else self.held
        weights = [source.weight for source in recipe.data]
        self.order = EpochOrder([len(t) for t in self.trained], weights, recipe.batch_size)

    def _check_bands(self) -> None:
        if not self.recipe.bands:
            return
        counts = np.sum([maker.band_pairs() for maker in self.makers], axis=0)
        empty = [band for band, n in zip(self.recipe.bands, counts, strict=True) if not n]
        if empty:
            raise InputError(f"bands: got {empty[0]}, which holds no pair, wanted one that does")

    def described(self) -> str:
        """Say what takes part, and what does not."""
        families = self.makers[0].families
        tested = f"{len(self.test)} to test, " if self.recipe.test_families else ""
        lines = [
            f"{sum(map(len, self.trained))} families of {families.alphabet} to train on, "
            f"{len(self.held)} held out, {tested}{self.order.steps_per_epoch} steps an epoch"
        ]
        for maker in self.makers:
            lines += [f"left out: {n}, {reason}" for reason, n in maker.reasons.items()]
        return "\n".join(lines)

    def located(self, step: int) -> list[tuple[int, int]]:
        """Return dataset and family of every pair of a step; no family comes twice."""
        if not self.recipe.length_matched:
            return self._families(step)
        epoch, part = divmod(step, self.order.steps_per_epoch)
        first = part - part % _BLOCK
        parts = range(first, min(first + _BLOCK, self.order.steps_per_epoch))
        of_parts = [self._families(epoch * self.order.steps_per_epoch + p) for p in parts]
        together = sorted({pair for of_part in of_parts for pair in of_part})
        together.sort(key=lambda pair: self._length(*pair))
        begin = len(together) * (part - first) // len(parts)
        end = len(together) * (part - first + 1) // len(parts)
        return together[begin:end]

    def _families(self, step: int) -> list[tuple[int, int]]:
        found: dict[tuple[int, int], None] = {}
        for dataset, positions in enumerate(self.order.positions(step)):
            families = self.trained[dataset]
            for number in np.unique(positions // max(len(families), 1)):
                inside = positions[positions // len(families) == number] % len(families)
                key = self.recipe.seed, dataset, int(number)
                for place in permute(inside, len(families), *key):
                    found[dataset, int(families[place])] = None
        return list(found)

    def _length(self, dataset: int, family: int) -> float:
        families = self.makers[dataset].families
        return float(np.median(families.lengths[families.members(family)]))

    def __getitem__(self, step: int) -> HomologBatch:
        """This process's part of a step."""
        located = self.located(step)
        ends = [len(located) * (r + 1) // self.world_size for r in range(self.world_size)]
        begins = [0, *ends[:-1]]
        mine = slice(begins[self.rank], ends[self.rank])
        if self.recipe.tell_bands:  # those of other processes' pairs, too
            views = self._views(located, step)
            bands, views = [view.band for view in views], views[mine]
        else:
            views, bands = self._views(located[mine], step), [0] * len(located)
        sizes = tuple(end - begin for begin, end in zip(begins, ends, strict=True))
        return collate(views, bands, self.recipe, sizes, (step, self.rank))

    def _views(self, located: list[tuple[int, int]], step: int) -> list[Views]:
        """Views of each pair, in the order given."""
        found: dict[int, Views] = {}
        pairs = np.array(located).reshape(-1, 2)
        for dataset in np.unique(pairs[:, 0]):
            places = np.flatnonzero(pairs[:, 0] == dataset)
            of_dataset = self.makers[dataset].views(pairs[places, 1], step)
            for place, views in zip(places, of_dataset, strict=True):
                found[int(place)] = views
        return [found[place] for place in range(len(located))]

    def evaluation(
        self, number: int = 0, families: np.ndarray | None = None
    ) -> HomologBatch | None:
        """Return held-out families, or the first 256, as a batch of one process; None: too few.

        Another number gives other pairs of the same families.
        """
        families = self.held[:_EVALUATED] if families is None else families
        if len(families) < 2:
            return None
        views = self.makers[0].views(families, _EVALUATION_STEP + number)
        bands = [view.band if self.recipe.tell_bands else 0 for view in views]
        return collate(views, bands, self.recipe, (len(views),), (_EVALUATION_STEP + number, 0))

    def describe(self, step: int) -> list[str]:
        """Return family and members of every pair of a step."""
        lines, located = [], self.located(step)
        for (dataset, family), views in zip(located, self._views(located, step), strict=True):
            families = self.makers[dataset].families
            names = [families.species_names[int(families.species[m])] for m in views.members]
            lines.append(f"{families.ids[family]}: {', '.join(names)}")
        return lines


def collate(
    views: list[Views],
    bands: list[int],
    recipe: HomologRecipe,
    pairs_of_rank: tuple[int, ...],
    drawn: tuple[int, int],
) -> HomologBatch:
    """Make one process's batch of its views; `drawn` is the step and the rank."""
    count, processes = 1 + recipe.homologs, len(pairs_of_rank)
    rows = [view.rows[place] for place in range(count) for view in views]
    tokens, labels = pad_tokens(rows), None
    if recipe.mask_fraction:
        key = recipe.seed, *drawn
        masked = hidden(tokens.shape, recipe.mask_fraction, recipe.mask_span, *key)
        masked &= (tokens != N_BASE) & (tokens != PAD_BASE)
        if recipe.loss == "masked":
            labels = torch.from_numpy(np.where(masked, tokens.astype(np.int64), -100))
        tokens[masked] = MASK_BASE
    same = None
    if recipe.negatives == "same_species":
        same = float(np.mean([view.same_species for view in views])) if views else 1.0
    return HomologBatch(
        tokens=torch.from_numpy(tokens),
        labels=labels,
        bands=torch.tensor(bands),
        pairs_of_rank=pairs_of_rank,
        rank=drawn[1],
        seed=int(keyed_hash(recipe.seed, *drawn)[0] >> np.uint64(2)),
        same_species=same,
        sizes={
            "sequences": sum(pairs_of_rank) * count,
            "letters": sum(map(len, rows)) * processes,
            "padded": tokens.size * processes,
        },
    )
