"""Splits of RNA–protein pairs that keep clusters of sequences apart, and negatives inside a side.

Park & Marcotte (2012) call pairs of two known molecules C1, of one new one C2, and of two new ones
C3. A cluster, such as that of similar sequences, is as a whole on one side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_builders.interactions.dataset import CLUSTER, InteractionSet, clusters_of
from data_builders.labels.splits import Split
from data_builders.records import InputError

RANDOM, NEW_RNA, NEW_PROTEIN, BOTH_NEW = KINDS = ("random", "new-rna", "new-protein", "both-new")
"""C1, C2 of RNAs, C2 of proteins, and C3."""

REDRAWN = "redrawn"
"""Source of the pairs that `with_redrawn_negatives` adds."""

_VALIDATION = 0.15
_TRIES = 100


def interaction_folds(
    interactions: InteractionSet, kind: str, folds: int, seed: int, by: str = CLUSTER
) -> list[Split]:
    """Cut pairs into folds, each of which is test once.

    Of both-new, a fold is test with the pairs of its RNA clusters and its protein clusters; the
    pairs that have one of the two are on no side. Validation is about 15 % of the other rows: of
    random rows, of new RNAs, of new proteins, or, of both-new, of RNAs or proteins that train does
    not have, since few pairs are of both.

    Args:
        interactions: n pairs.
        kind: one of `KINDS`.
        folds: how many, at least 2.
        seed: of the cut; the splits have it too.
        by: what stays on one side, clusters or families, see `clusters_of`.

    Returns:
        One split a fold; ascending row numbers, int64. Clusters are dealt to folds so that these
        have numbers of pairs as equal as whole clusters allow.

    Raises:
        InputError: an unknown kind, fewer clusters than folds, or a side without a pair that
            interacts.
    """
    if kind not in KINDS:
        raise InputError(f"split: got {kind!r}, wanted one of {', '.join(KINDS)}")
    if folds < 2:
        raise InputError(f"folds: got {folds}, wanted at least 2")
    rng = np.random.default_rng(seed)
    ways = _ways(interactions, kind, by)
    dealt = [_dealt(way, folds, rng, kind) for way in ways]
    splits = []
    for fold in range(folds):
        tested = [parts == fold for parts in dealt]
        test = np.logical_and.reduce(tested)
        rest = np.flatnonzero(~np.logical_or.reduce(tested))
        chosen = np.zeros(len(rest), bool)
        for way in ways:
            # Each of two ways brings half of the validation rows.
            share = _VALIDATION / len(ways)
            chosen |= _held_out(way[rest], share, rng)
        sides = rest[~chosen], rest[chosen], np.flatnonzero(test)
        interact = [int(interactions.label[side].sum()) for side in sides]
        if not all(interact):
            raise InputError(
                f"split {kind}: got {', '.join(map(str, interact))} pairs that interact to train, "
                f"validate and test in fold {fold}, wanted some on every side: fewer folds, or "
                "more clusters"
            )
        train, validation, test = sides
        splits.append(
            Split(train=train, validation=validation, test=test, seed=seed, fold=fold, kind=kind)
        )
    return splits


def _ways(interactions: InteractionSet, kind: str, by: str) -> list[np.ndarray]:
    """For each way that sides are kept apart, the group of each pair."""
    if kind == RANDOM:
        return [np.arange(len(interactions))]
    ways = []
    if kind in (NEW_RNA, BOTH_NEW):
        ways.append(clusters_of(interactions.rnas, by)[interactions.rna])
    if kind in (NEW_PROTEIN, BOTH_NEW):
        ways.append(clusters_of(interactions.proteins, by)[interactions.protein])
    return ways


def _dealt(groups: np.ndarray, folds: int, rng: np.random.Generator, kind: str) -> np.ndarray:
    """The fold of each pair: the largest groups first, each to the fold with the fewest pairs."""
    names, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < folds:
        raise InputError(
            f"split {kind}: got {len(names)} clusters, wanted at least {folds}, one a fold"
        )
    shuffled = rng.permutation(len(names))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, filled = np.empty(len(names), np.int64), np.zeros(folds, np.int64)
    for group in order:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[places]


def _held_out(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Whether a row is of the groups, drawn at random, that make up about this share: bool (n,)."""
    names, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    wanted, taken = share * len(groups), np.zeros(len(names), bool)
    for group in rng.permutation(len(names)):
        # A large cluster would take everything that is left to learn from.
        if sizes[taken].sum() + sizes[group] <= max(1.5 * wanted, sizes.min()):
            taken[group] = True
        if sizes[taken].sum() >= wanted:
            break
    return taken[places]


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """Pairs drawn in place of negatives.

    Attributes:
        rna: places of their RNAs, int32 (n,).
        protein: places of their proteins, int32 (n,).
        missing: how many more were wanted: no pair was left that is not known to interact.
    """

    rna: np.ndarray
    protein: np.ndarray
    missing: int


def redraw_negatives(interactions: InteractionSet, rows: np.ndarray, seed: int) -> Negatives:
    """Draw one negative for each positive of a side, so that no molecule tells the label.

    The proteins of the positives are dealt anew among their RNAs, by swaps that keep how often each
    molecule occurs. So each RNA and each protein is in as many negatives as positives, and neither
    alone says whether a pair interacts. No pair is drawn twice, and none that interacts anywhere in
    the set.

    Args:
        interactions: the set; all of its positives are avoided.
        rows: of the side; its negatives do not count.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    positives = interactions.positives
    known = set(
        zip(
            interactions.rna[positives].tolist(),
            interactions.protein[positives].tolist(),
            strict=True,
        )
    )
    rows = np.asarray(rows)
    rows = rows[interactions.label[rows] == 1]
    rna = interactions.rna[rows].tolist()
    protein = rng.permutation(interactions.protein[rows]).tolist()
    drawn: dict[tuple[int, int], int] = {}  # of the pairs that can stay, how many times
    for pair in zip(rna, protein, strict=True):
        drawn[pair] = drawn.get(pair, 0) + 1

    def fits(pair: tuple[int, int], times: int) -> bool:
        return pair not in known and drawn.get(pair, 0) <= times

    def change(pair: tuple[int, int], by: int) -> None:
        drawn[pair] = drawn.get(pair, 0) + by

    for _ in range(_TRIES):
        wrong = [i for i in range(len(rna)) if not fits((rna[i], protein[i]), 1)]
        if not wrong:
            break
        for i in wrong:
            if fits((rna[i], protein[i]), 1):
                continue  # a swap before has mended it
            for j in rng.integers(len(rna), size=20).tolist():
                one, other = (rna[i], protein[j]), (rna[j], protein[i])
                if one != other and fits(one, 0) and fits(other, 0):
                    change((rna[i], protein[i]), -1)
                    change((rna[j], protein[j]), -1)
                    change(one, 1)
                    change(other, 1)
                    protein[i], protein[j] = protein[j], protein[i]
                    break
    kept = dict.fromkeys(pair for pair in zip(rna, protein, strict=True) if pair not in known)
    pairs = np.array(list(kept), np.int32).reshape(-1, 2)
    return Negatives(rna=pairs[:, 0], protein=pairs[:, 1], missing=len(rna) - len(pairs))


def with_redrawn_negatives(
    interactions: InteractionSet, splits: Sequence[Split]
) -> tuple[InteractionSet, list[Split], int]:
    """Replace the negatives of every side of every split by ones drawn inside that side.

    The set gets more rows, and its own negatives stay in it, but are on no side. The splits are of
    its rows, at best of its positives alone, see `positives_of`. The last result is how many
    negatives are missing over all sides, see `Negatives`.
    """
    rna, protein, changed, missing = [], [], [], 0
    count = len(interactions)
    for split in splits:
        sides = {}
        for number, name in enumerate(("train", "validation", "test")):
            rows = getattr(split, name)
            rows = rows[interactions.label[rows] == 1]
            entropy = np.random.SeedSequence([split.seed, split.fold, number])
            found = redraw_negatives(interactions, rows, int(entropy.generate_state(1)[0]))
            rna.append(found.rna)
            protein.append(found.protein)
            missing += found.missing
            sides[name] = np.concatenate([rows, count + np.arange(len(found.rna))])
            count += len(found.rna)
        changed.append(split._replace(**sides))
    more = interactions.with_negatives(np.concatenate(rna), np.concatenate(protein), REDRAWN)
    return more, changed, missing


def positives_of(interactions: InteractionSet) -> InteractionSet:
    """Return the pairs that interact alone: splits of them have as many positives on each side."""
    return interactions.select(interactions.positives)
