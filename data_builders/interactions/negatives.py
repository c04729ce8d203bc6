"""Negatives for a whole set of positives. See `splits` for those of one side of a split."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from data_builders.interactions.dataset import InteractionSet
from data_builders.interactions.splits import Negatives, redraw_negatives
from data_builders.records import InputError

GIVEN, NONE, FAMILY_CLAN, SWAPS = RULES = ("given", "none", "family-clan", "swaps")
"""Those of the files; none; the rule of RNAInterAct; degree-preserving swaps."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """Molecules as places, their families as numbers, and the categories of each."""

    family: np.ndarray
    category: np.ndarray


def draw_negatives(interactions: InteractionSet, rule: str, seed: int) -> Negatives:
    """Draw negatives for all positives of a set, by one of `RULES` but "given" and "none"."""
    if rule == SWAPS:
        return redraw_negatives(interactions, interactions.positives, seed)
    return family_clan_negatives(interactions, seed)


def family_clan_negatives(interactions: InteractionSet, seed: int) -> Negatives:
    """Draw two negatives for each positive, by the rule of RNAInterAct.

    One keeps the RNA. Its protein is that of a random pair of a random clan which meets the RNA's
    family in no pair, and whose proteins have no category that proteins of the family's pairs have;
    where every such clan shares a category, these do not count. The other keeps the protein, and
    draws an RNA in the same way. A pair that was drawn before is not drawn again. A molecule of a
    pair without a family is an InputError.
    """
    rows = interactions.positives
    rna, protein = interactions.rna[rows], interactions.protein[rows]
    rnas = _side(interactions.rnas, rna, "RNA")
    proteins = _side(interactions.proteins, protein, "protein")
    rng = np.random.default_rng(seed)
    new_proteins = _partners(rnas, proteins, rna, protein, rng)
    new_rnas = _partners(proteins, rnas, protein, rna, rng)
    pairs = [(int(r), p) for r, p in zip(rna, new_proteins, strict=True) if p is not None]
    pairs += [(r, int(p)) for p, r in zip(protein, new_rnas, strict=True) if r is not None]
    unique = np.array(list(dict.fromkeys(pairs)), np.int32).reshape(-1, 2)
    missing = 2 * len(rows) - len(unique)
    return Negatives(rna=unique[:, 0], protein=unique[:, 1], missing=missing)


def _side(molecules, used: np.ndarray, what: str) -> _Side:
    for place in np.unique(used).tolist():
        if molecules[place].family is None:
            raise InputError(
                f"negatives {FAMILY_CLAN}: {what} {molecules[place].id!r}: got no family, wanted "
                "one for each molecule"
            )
    families = np.unique([m.family or "" for m in molecules], return_inverse=True)[1]
    categories = np.unique([m.category or "" for m in molecules], return_inverse=True)[1]
    return _Side(family=families, category=categories)


def _partners(
    kept: _Side, drawn: _Side, kept_places: np.ndarray, drawn_places: np.ndarray, rng
) -> list[int | None]:
    """For each positive, a molecule of the drawn side in place of its own; None where none fits."""
    rows_of = defaultdict(list)  # family of the drawn side -> molecules of its pairs
    categories_of = defaultdict(set)
    met, met_categories = defaultdict(set), defaultdict(set)
    for one, other in zip(kept_places.tolist(), drawn_places.tolist(), strict=True):
        family, partner = int(kept.family[one]), int(drawn.family[other])
        rows_of[partner].append(other)
        categories_of[partner].add(int(drawn.category[other]))
        met[family].add(partner)
        met_categories[family].add(int(drawn.category[other]))
    choices = {}
    for family, partners in met.items():
        never = sorted(rows_of.keys() - partners)
        apart = [c for c in never if not categories_of[c] & met_categories[family]]
        choices[family] = apart or never
    found: list[int | None] = []
    for one in kept_places.tolist():
        of_family = choices[int(kept.family[one])]
        if not of_family:
            found.append(None)
            continue
        rows = rows_of[of_family[rng.integers(len(of_family))]]
        found.append(rows[rng.integers(len(rows))])
    return found
