"""Which homologs make a pair, and what of them the encoder sees.

Every choice is a hash of the recipe's seed, the step and the family: a run resumes exactly, and
neither processes nor workers change it.
"""

from dataclasses import dataclass

import numpy as np

from isoclr.objectives.homologs.families import Families
from isoclr.objectives.homologs.mutation import Mutation
from isoclr.objectives.homologs.recipe import HomologRecipe
from isoclr.training.order import keyed_hash

_CHOICE, _WINDOW, _MUTATION, _SPECIES = range(4)
_KEPT, _SMALL = 4096, 128  # families whose pairs are kept, and the most members of such
_COMMON = 0.5  # share of families that a species must be in, to be that of a step


@dataclass(frozen=True)
class Views:
    """The views of one family.

    Attributes:
        rows: tokens of the anchor, then of its positives.
        members: of the anchor and its positives.
        band: of the pair, an index into the recipe's bands; 0 without bands.
        same_species: whether the positive is of the species that the step asked for.
    """

    rows: list[np.ndarray]
    members: list[int]
    band: int
    same_species: bool


def uniform(size: int, *key) -> np.ndarray:
    """Return numbers in [0, 1) that are a function of a key alone.

    The key is integers, or integer arrays that broadcast together, before (size,).
    """
    parts = [np.asarray(part)[..., None] for part in key]
    return (keyed_hash(*parts, np.arange(size)) >> np.uint64(11)) * 2.0**-53


def hidden(shape: tuple[int, int], fraction: float, span: int, *key: int) -> np.ndarray:
    """Return which letters of a batch are hidden, in spans, bool of its shape (rows, length).

    A letter is hidden when a span begins at it or at one of the letters before it. The fraction is
    the expected share; the key decides all.
    """
    draws = uniform(shape[1] + span - 1, *key, np.arange(shape[0]))
    begins = draws < 1 - (1 - fraction) ** (1 / span)
    ends = np.cumsum(np.pad(begins, ((0, 0), (1, 0))), 1)
    return ends[:, span:] > ends[:, :-span]


class ViewMaker:
    """Makes the views of a family in a step.

    Args:
        families: of the data.
        recipe: says how.

    Attributes:
        eligible: families that can make a pair, bool (families,).
        reasons: why others cannot -> families.
    """

    def __init__(self, families: Families, recipe: HomologRecipe):
        self.families, self.recipe = families, recipe
        indels = recipe.mutation.model_dump(exclude={"unknown_identity"})
        self.mutation = Mutation(families.alphabet, **indels)
        self._edges = np.array(recipe.bands).reshape(-1, 2)
        self._modes = list(recipe.windows)
        weights = np.array([recipe.windows[mode] for mode in self._modes])
        self._mode_ends = np.cumsum(weights / weights.sum())
        present = np.zeros((len(families), len(families.species_names)), bool)
        sizes = np.diff(families.bounds)
        present[np.repeat(np.arange(len(families)), sizes), families.species] = True
        common = present.mean(0) >= _COMMON
        self._common = np.flatnonzero(common) if common.sum() > 1 else np.zeros(0, int)
        weight = [recipe.species_weights.get(name, 1.0) for name in families.species_names]
        self._species_weights = np.array(weight)
        self.reasons: dict[str, int] = {}
        self._found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self.eligible = self._count_eligible(sizes)

    def _count_eligible(self, sizes: np.ndarray) -> np.ndarray:
        alone = sizes < 2
        disjoint = "disjoint" in self.recipe.windows and self.recipe.positives == "uniform"
        if disjoint or self.recipe.positives == "mutation":
            alone = np.zeros(len(sizes), bool)  # one sequence has two windows, or a mutated copy
        eligible = ~alone
        if alone.any():
            self.reasons["family of one"] = int(alone.sum())
        short = np.array([not len(self._members(f)) for f in range(len(sizes))]) & eligible
        if short.any():
            self.reasons["family without a sequence of two windows"] = int(short.sum())
        eligible &= ~short
        if self.recipe.positives == "bands":
            without = np.array([not len(self._pairs(f)) for f in range(len(sizes))]) & eligible
            if without.any():
                self.reasons["family without a pair in any band"] = int(without.sum())
            eligible &= ~without
        return eligible

    def band_pairs(self) -> np.ndarray:
        """Return how many pairs of all families lie in each band, (bands,)."""
        counts = np.zeros(len(self._edges), int)
        for family in range(len(self.families)):
            distances = self._known_distances(family)
            if distances is not None:
                counts += [int(_inside(distances, band).sum()) for band in self._edges]
        return counts

    def _members(self, family: int) -> np.ndarray:
        """Members that can be drawn: where windows are disjoint, those that have room for two.

        Shorter windows of short sequences would tell which belong together.
        """
        members = self.families.members(family)
        if "disjoint" in self.recipe.windows:
            assert self.recipe.window is not None  # the recipe asks for it
            members = members[self.families.lengths[members] >= 2 * self.recipe.window]
        return members

    def _known_distances(self, family: int) -> np.ndarray | None:
        """Condensed distances, NaN where a member cannot be drawn."""
        distances, drawn = self.families.distances(family), self._members(family)
        first, end = self.families.bounds[family : family + 2]
        if distances is None or len(drawn) == end - first:
            return distances
        kept = np.zeros(end - first, bool)
        kept[drawn - first] = True
        rows, columns = np.triu_indices(end - first, 1)
        return np.where(kept[rows] & kept[columns], distances, np.nan)

    def _pairs(self, family: int) -> np.ndarray:
        """Condensed places of pairs in any band."""
        distances = self._known_distances(family)
        if distances is None:
            return np.zeros(0, int)
        inside = np.zeros(len(distances), bool)
        for band in self._edges:
            inside |= _inside(distances, band)
        return np.flatnonzero(inside)

    def band_of(self, distance: float) -> int:
        """Return the band of a distance; of none, the next above, or the last."""
        if not len(self._edges):
            return 0
        if np.isnan(distance):
            return len(self._edges) - 1
        return min(int((distance >= self._edges[:, 1]).sum()), len(self._edges) - 1)

    def species_of_step(self, step: int) -> tuple[int, int] | None:
        """Return the species of the anchors and of the positives; None: any."""
        if self.recipe.negatives == "any" or not len(self._common):
            return None
        draws = uniform(2, self.recipe.seed, step, _SPECIES)
        first = int(draws[0] * len(self._common))
        second = int(draws[1] * (len(self._common) - 1))
        return int(self._common[first]), int(self._common[second + (second >= first)])

    def views(self, families: np.ndarray, step: int) -> list[Views]:
        """Return the views of each of some families in a step."""
        seed, species = self.recipe.seed, self.species_of_step(step)
        choices = uniform(2 + self.recipe.homologs, seed, step, _CHOICE, families)
        windows = uniform(4 + self.recipe.homologs, seed, step, _WINDOW, families)
        return [
            self._views(int(family), species, of_choice, of_window, step)
            for family, of_choice, of_window in zip(families, choices, windows, strict=True)
        ]

    def _views(self, family: int, species: tuple | None, choice, window, step: int) -> Views:
        members, band = self._choose(family, choice, species)
        letters = [self.families.tokens(member) for member in members]
        if self.recipe.positives == "mutation":
            identity = self._identity(family, members)
            letters[1] = self._mutated(letters[0], identity, (self.recipe.seed, step, family))
            members = [members[0], members[0]]
        same = species is None or self.families.species[members[1]] == species[1]
        return Views(self._windows(family, letters, window), members, band, bool(same))

    def _choose(self, family: int, draws: np.ndarray, species: tuple | None):
        """The anchor and its positives, and the band of the first pair."""
        members = self._members(family)
        if len(members) == 1:
            return [int(members[0])] * (1 + self.recipe.homologs), 0
        if self.recipe.positives == "bands":
            return self._choose_in_band(family, draws, species)
        anchor = _pick(self._of_species(members, species, 0), draws[0])
        others = members[members != anchor]
        if self.recipe.positives != "species" and species is None and self.recipe.homologs == 1:
            found = [_pick(others, draws[2])]
            return [anchor, *found], self._band(family, anchor, found[0])
        weights = np.ones(len(others))
        if self.recipe.positives == "species":
            of = self.families.species[others]
            weights = self._species_weights[of] / np.bincount(of)[of]
        if not weights.any():
            weights[:] = 1
        if species is not None and (self.families.species[others] == species[1]).any():
            weights = weights * (self.families.species[others] == species[1])
            weights = weights if weights.any() else np.ones(len(others))
        found = _sample(others, weights, draws[2:])
        return [anchor, *found], self._band(family, anchor, found[0])

    def _band(self, family: int, first: int, second: int) -> int:
        if not len(self._edges):
            return 0
        return self.band_of(self.families.distance(family, first, second))

    def _choose_in_band(self, family: int, draws: np.ndarray, species: tuple | None):
        of_bands = self._pairs_of_bands(family)
        there = [i for i, (rows, _) in enumerate(of_bands) if len(rows)]
        band = there[int(draws[0] * len(there))]
        rows, columns = of_bands[band]
        if species is not None:
            second = self.families.species[columns] == species[1]
            wanted = second & (self.families.species[rows] == species[0])
            if not wanted.any():
                wanted = second
            if wanted.any():
                rows, columns = rows[wanted], columns[wanted]
        pair = int(draws[1] * len(rows))
        anchor, positive = int(rows[pair]), int(columns[pair])
        others = columns[(rows == anchor) & (columns != positive)]
        more = others if len(others) else np.array([positive])
        return [anchor, positive, *_sample(more, np.ones(len(more)), draws[3:])], band

    def _pairs_of_bands(self, family: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Members of the pairs of each band, in both orders; of many families, found once."""
        if family in self._found:
            return self._found[family]
        distances, first = self._known_distances(family), self.families.bounds[family]
        assert distances is not None  # else the family is not eligible
        size = int(self.families.bounds[family + 1] - first)
        ends = np.stack(np.triu_indices(size, 1)) + first
        found = []
        for band in self._edges:
            rows, columns = ends[:, _inside(distances, band)]
            both = np.concatenate([rows, columns]), np.concatenate([columns, rows])
            found.append(both)
        if len(self._found) < _KEPT and size <= _SMALL:
            self._found[family] = found
        return found

    def _of_species(self, members: np.ndarray, species: tuple | None, which: int) -> np.ndarray:
        if species is None:
            return members
        chosen = members[self.families.species[members] == species[which]]
        return chosen if len(chosen) else members

    def _identity(self, family: int, members: list[int]) -> float:
        """Expected identity of a pair at its distance, by the model that distances are of."""
        distance = self.families.distance(family, members[0], members[1])
        if np.isnan(distance) or members[0] == members[1]:
            return self.recipe.mutation.unknown_identity
        if self.families.alphabet == "rna":
            return 0.25 + 0.75 * np.exp(-4 * distance / 3)
        return float(np.exp(-distance))

    def _mutated(self, tokens: np.ndarray, identity: float, key: tuple) -> np.ndarray:
        draws = uniform(4 * len(tokens), *key, _MUTATION).reshape(4, -1)
        return self.mutation(tokens, identity, draws)

    def _windows(self, family: int, letters: list, draws: np.ndarray) -> list[np.ndarray]:
        """The letters of each view. The first draws are shared by all views of the family."""
        mode = self._modes[int(np.searchsorted(self._mode_ends, draws[0], "right"))]
        if "disjoint" in self._modes and len(self._members(family)) == 1:
            mode = "disjoint"
        if mode == "disjoint":
            return self._disjoint(letters, draws[1:])
        windows = []
        for place, tokens in enumerate(letters):
            size = min(self.recipe.window or self.recipe.max_length, len(tokens))
            draw = draws[1] if mode == "same" else draws[3 + place]
            start = int(draw * (len(tokens) - size + 1))
            windows.append(tokens[start : start + size])
        return windows

    def _disjoint(self, letters: list, draws: np.ndarray) -> list[np.ndarray]:
        """Left and right of a cut at one share of the length of all."""
        size = self.recipe.window
        assert size is not None  # the recipe asks for it
        # The cut leaves room for a window on both sides of every sequence.
        margin = size / min(map(len, letters))
        cut = margin + draws[0] * (1 - 2 * margin)
        windows = []
        for place, tokens in enumerate(letters):
            boundary = min(max(round(cut * len(tokens)), size), len(tokens) - size)
            is_left = (place == 0) == (draws[1] < 0.5)
            low, high = (0, boundary - size) if is_left else (boundary, len(tokens) - size)
            start = low + int(draws[2 + place] * (high - low + 1))
            windows.append(tokens[start : start + size])
        return windows


def _inside(distances: np.ndarray, band: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (distances >= band[0]) & (distances < band[1])


def _pick(choices: np.ndarray, draw: float) -> int:
    return int(choices[int(draw * len(choices))])


def _sample(choices: np.ndarray, weights: np.ndarray, draws: np.ndarray) -> list[int]:
    """One choice a draw, by weight; none twice while there are others."""
    weights, found = weights.astype(float), []
    left = weights.copy()
    for draw in draws:
        if not left.any():
            left = weights.copy()
        ends = np.cumsum(left)
        place = int(np.searchsorted(ends, draw * ends[-1], "right"))
        found.append(int(choices[place]))
        left[place] = 0
    return found
