"""Predictors of RNA–protein pairs: what sees no sequence, what sees one, and plain models of both.

A predictor takes row numbers of an `InteractionSet`. Those that see no sequence say how far a set
can be predicted by memory alone.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from data_builders.interactions.dataset import InteractionSet
from data_builders.labels.label_set import filled
from data_builders.records import InputError
from data_builders.tables import names_of_columns, read_table
from data_builders.words import PROTEIN_LETTERS, RNA_LETTERS, word_frequencies
from isoclr.evaluation.compare import Fold, Prediction, Predictor
from isoclr.evaluation.fit import fit, predict_fold
from isoclr.evaluation.networks import seeded
from isoclr.evaluation.settings import FitSettings

TRIADS = ("AGV", "ILFP", "YMTS", "HNQW", "RK", "DE", "C")
"""Amino acids alike in dipole and volume (Shen et al. 2007), as RPISeq has them."""

WORDS = {
    "rna": tuple((length, RNA_LETTERS) for length in (1, 2, 3, 4)),
    "protein": ((1, PROTEIN_LETTERS), (3, TRIADS)),
}
"""Of each molecule, the lengths of words that are counted, and their letters."""
_TOWER = FitSettings(
    dropout=0.2, learning_rate=2e-3, batch_size=64, evaluate_every=40, patience=4, evaluations=15
)


class PairFeatures:
    """Frequencies of words of the molecules of pairs: an array of row numbers indexes them."""

    def __init__(self, interactions: InteractionSet, sides: tuple[str, ...] = ("rna", "protein")):
        self._parts = []
        for side in sides:
            molecules = interactions.rnas if side == "rna" else interactions.proteins
            sequences = [molecule.sequence for molecule in molecules]
            tables = [word_frequencies(sequences, *words) for words in WORDS[side]]
            self._parts.append((np.hstack(tables), getattr(interactions, side)))

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each side."""
        return tuple(table.shape[1] for table, _ in self._parts)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Features of some rows, float32 (rows, width)."""
        return np.hstack([table[places[rows]] for table, places in self._parts])


@dataclass(frozen=True)
class LookUp:
    """What the labels of a molecule's other pairs say: a table that sees no sequence.

    Of the RNA and of the protein of a pair, how many other known pairs interact, how many do not,
    and the share; a logistic regression learns what that means. Where a molecule has as many
    negatives as positives, the label of a held-out pair is against the share of those that are
    left, and it learns that too: of a known pair, the others are counted, without itself.
    """

    interactions: InteractionSet

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to the train rows; the table has those of validation too."""
        known = np.concatenate([fold.train, fold.validation])
        labels = np.concatenate([fold.train_targets, fold.validation_targets]).astype(np.int64)
        others = self._counts(known, known, labels, labels)
        size = len(fold.train)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=2000))
        model.fit(others[:size], fold.train_targets)
        test = self._counts(fold.test, known, labels)
        return Prediction(
            test=model.predict_proba(test)[:, 1],
            validation=model.predict_proba(others[size:])[:, 1],
        )

    def _counts(
        self,
        rows: np.ndarray,
        known: np.ndarray,
        labels: np.ndarray,
        own: np.ndarray | None = None,
    ) -> np.ndarray:
        """Of both molecules of each row, known pairs of each label and the share, (rows, 6).

        `own` are the labels of rows that are known themselves, which do not count.
        """
        columns = []
        for places, count in (
            (self.interactions.rna, len(self.interactions.rnas)),
            (self.interactions.protein, len(self.interactions.proteins)),
        ):
            both = [
                np.bincount(places[known[labels == label]], minlength=count)[places[rows]]
                - (0 if own is None else own == label)
                for label in (1, 0)
            ]
            total = both[0] + both[1]
            columns += [*both, np.where(total > 0, both[0] / np.maximum(total, 1), 0.5)]
        return np.column_stack(columns)


@dataclass(frozen=True)
class Degree:
    """How many train pairs of the RNA and of the protein interact: the sum of the two logarithms.

    It learns nothing; a score is higher for molecules that bind many others.
    """

    interactions: InteractionSet

    def __call__(self, fold: Fold) -> Prediction:
        """Count in train, and score test and validation."""
        known = fold.train[fold.train_targets]
        scores = np.zeros(len(self.interactions))
        for places in (self.interactions.rna, self.interactions.protein):
            counts = np.bincount(places[known], minlength=places.max() + 1)
            scores += np.log1p(counts[places])
        return Prediction(test=scores[fold.test], validation=scores[fold.validation])


@dataclass(frozen=True)
class Trees:
    """Trees on features; `make` makes a classifier of scikit-learn of a seed."""

    features: PairFeatures
    make: Callable

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it."""
        model = self.make(fold.seed).fit(self.features[fold.train], fold.train_targets)
        return Prediction(
            test=model.predict_proba(self.features[fold.test])[:, 1],
            validation=model.predict_proba(self.features[fold.validation])[:, 1],
        )


def forest(trees: int) -> Callable:
    """Return what makes a random forest of so many trees."""
    return lambda seed: RandomForestClassifier(trees, random_state=seed)


def boosting(seed: int) -> HistGradientBoostingClassifier:
    """Return boosted trees; a tenth of the train rows says when to stop."""
    return HistGradientBoostingClassifier(
        max_iter=200,
        max_leaf_nodes=15,
        max_features=0.2,
        early_stopping=True,  # pyright: ignore[reportArgumentType] scikit-learn has no types
        n_iter_no_change=15,
        random_state=seed,
    )


@dataclass(frozen=True)
class TwoTowers:
    """A small network a molecule, whose outputs are multiplied: it sees pairs, not single rows.

    Words are in units of their standard deviation over train.
    """

    features: PairFeatures

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it."""
        train = self.features[fold.train]
        centre, scale = train.mean(axis=0), train.std(axis=0)
        scale = np.where(scale > 0, scale, np.inf)
        used = np.unique(np.concatenate([fold.train, fold.validation, fold.test]))
        rows = np.zeros((used.max() + 1, train.shape[1]), np.float32)
        rows[used] = np.clip((self.features[used] - centre) / scale, -5, 5)
        model = seeded(lambda: _Towers(self.features.widths), fold.seed)
        fit(model, rows, fold, _TOWER, progress=False)
        return predict_fold(model, rows, fold, 1 << 20)


class _Towers(nn.Module):
    """Two towers of one hidden layer; the last layer weighs the products of their outputs."""

    def __init__(self, widths: tuple[int, ...], hidden: int = 32):
        super().__init__()
        self.widths = widths
        self.towers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, hidden)
            )
            for width in widths
        )
        self.classifier = nn.Linear(hidden, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, width of both) to (batch, 1)."""
        parts = rows.split(self.widths, dim=1)
        rna, protein = (tower(part) for tower, part in zip(self.towers, parts, strict=True))
        return self.classifier(rna * protein)


@dataclass(frozen=True)
class GivenScores:
    """Scores of a model of one's own, from a table.

    Attributes:
        interactions: the pairs.
        scores: (rna_id, protein_id) -> score, or (rna_id, protein_id, seed) -> score.
        path: of the table, for errors.
        by_seed: whether the seed is part of the key.
    """

    interactions: InteractionSet
    scores: dict[tuple, float]
    path: str | os.PathLike
    by_seed: bool = False

    def __call__(self, fold: Fold) -> Prediction:
        """Look up the rows of a fold."""
        return Prediction(
            test=self._of(fold, fold.test), validation=self._of(fold, fold.validation)
        )

    def _of(self, fold: Fold, rows: np.ndarray) -> np.ndarray:
        found = np.empty(len(rows))
        for i, row in enumerate(rows):
            rna = self.interactions.rnas[self.interactions.rna[row]].id
            protein = self.interactions.proteins[self.interactions.protein[row]].id
            key = (rna, protein, fold.seed) if self.by_seed else (rna, protein)
            if key not in self.scores:
                raise InputError(
                    f"{self.path}: got no score of {rna} with {protein}"
                    + (f" of seed {fold.seed}" if self.by_seed else "")
                    + ", wanted one of every pair of RNA and protein"
                )
            found[i] = self.scores[key]
        return found


def read_scores(path: str | os.PathLike, interactions: InteractionSet) -> GivenScores:
    """Read scores of pairs that a model made.

    The table has rna_id, protein_id and score, of all pairs of an RNA and a protein that a fold may
    draw; with a column seed, of models that were trained for the splits of a seed. A gap, and a
    score that is no number, are an InputError.
    """
    table = read_table(path)
    if not {"rna_id", "protein_id", "score"} <= set(table.columns):
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted rna_id, protein_id and score"
        )
    names = [filled(table, name, path) for name in ("rna_id", "protein_id")]
    by_seed = "seed" in table.columns
    if by_seed:
        names.append(table["seed"].cast(pl.Int64, strict=False).to_list())
    scores = table["score"].cast(pl.Float64, strict=False).to_list()
    for row, value in enumerate(scores, 1):
        if value is None or not np.isfinite(value):
            raise InputError(f"{path}: row {row}: score: got no finite number, wanted one")
    return GivenScores(
        interactions, dict(zip(zip(*names, strict=True), scores, strict=True)), path, by_seed
    )


FOREST = "k-mer forest"
CONTROLS = (
    FOREST,
    "k-mer boosting",
    "two towers of k-mers",
    "RNA only",
    "protein only",
    "look-up table",
    "degree",
)
"""What stands beside a model; the first is what others are compared with."""


def plain_predictors(
    interactions: InteractionSet, trees: int, names: Sequence[str] = CONTROLS
) -> dict:
    """Return what a table has beside a model, by name; the forest is always there, and first."""
    for name in names:
        if name not in CONTROLS:
            raise InputError(f"controls: got {name!r}, wanted {', '.join(CONTROLS)}")
    both = PairFeatures(interactions)
    makers: dict[str, Callable[[], Predictor]] = {
        FOREST: lambda: Trees(both, forest(trees)),
        "k-mer boosting": lambda: Trees(both, boosting),
        "two towers of k-mers": lambda: TwoTowers(both),
        "RNA only": lambda: Trees(PairFeatures(interactions, ("rna",)), forest(trees)),
        "protein only": lambda: Trees(PairFeatures(interactions, ("protein",)), forest(trees)),
        "look-up table": lambda: LookUp(interactions),
        "degree": lambda: Degree(interactions),
    }
    return {name: make() for name, make in makers.items() if name in (FOREST, *names)}
