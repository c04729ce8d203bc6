"""Models of RNA–protein pairs as predictors of a comparison: trained on the rows of each fold."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from data_builders.interactions.dataset import InteractionSet, write_interactions
from isoclr.evaluation.compare import Fold, Prediction
from isoclr.objectives.interactions.batches import PairBatches, Pairs
from isoclr.objectives.interactions.objective import (
    portable,
    score_pairs,
    sides_of,
    solved,
    weighted_pairs,
)
from isoclr.objectives.interactions.recipe import InteractionRecipe
from isoclr.objectives.interactions.vectors import MeanVectors, MoleculeVectors, vectors_of
from isoclr.pretrained import one_line
from isoclr.train import hold_output, train
from isoclr.training.recipe import check_recipe
from isoclr.training.signals import StopRequest
from modeling_isoclr import RPIForSequenceClassification, RPIProcessor


@dataclass(frozen=True, kw_only=True)
class TrainedPairs:
    """A model of pairs, trained by train.py on the train rows of each fold.

    Attributes:
        interactions: what row numbers count.
        folder: of the runs; a fold that has been trained there is not trained again.
        recipe: keys of `InteractionRecipe`, but for data, output, split and seed.
    """

    interactions: InteractionSet
    folder: Path
    recipe: Mapping

    def __call__(self, fold: Fold) -> Prediction:
        """Train on a fold, choose the weights on its validation rows, and score its test rows."""
        output = self._trained(fold)
        with one_line(output):
            model = AutoModelForSequenceClassification.from_pretrained(output).eval()
        data, specs = self.interactions, self.recipe.get("model", {})
        embedders = {name: specs.get(f"{name}_embedder", {}) for name in ("rna", "protein")}
        vectors = vectors_of(
            {"rna": data.rnas, "protein": data.proteins},
            model.config,
            cache=self._cache,
            files={name: spec["file"] for name, spec in embedders.items() if "file" in spec},
        )
        scores = {
            name: score_rows(model, self.interactions, getattr(fold, name), vectors)
            for name in ("validation", "test")
        }
        return Prediction(**scores, choices={"slope": model.config.calibration[0]})

    @property
    def _cache(self) -> Path:
        return self.folder / "embeddings"

    def _trained(self, fold: Fold) -> Path:
        rows = np.concatenate([fold.train, fold.validation, fold.test]).astype(np.int64)
        digest = hashlib.sha256(rows.tobytes()).hexdigest()[:12]
        run = self.folder / f"{fold.seed}-{digest}"
        output = run / "model"
        if (output / "model.safetensors").is_file():
            return output
        # Of the test side training sees nothing, not even the sequences.
        write_interactions(_of_pairs(_known(self.interactions, fold)), run / "data")
        values = {"evaluate_every": 50, "checkpoint_every": 1000, "tracker": None}
        values |= {**self.recipe, "objective": "interactions", "data": str(run / "data")}
        values |= {"output": str(output), "split": "source", "seed": fold.seed}
        values |= {"cache": str(self._cache)}
        recipe = check_recipe(values, InteractionRecipe, "recipe")
        with hold_output(recipe.output), StopRequest() as stop:
            train(recipe, stop)
        return output


@dataclass(kw_only=True)
class SolvedPairs:
    """A model of the design kernel, solved on the train rows of each fold and not trained.

    It orders pairs as `TrainedPairs` does, which learns a slope and an intercept beside, and takes
    far longer.

    Attributes:
        interactions: what row numbers count.
        folder: of vectors that encoders make.
        recipe: as of `TrainedPairs`.
    """

    interactions: InteractionSet
    folder: Path
    recipe: Mapping

    def __call__(self, fold: Fold) -> Prediction:
        """Solve on a fold, and score its validation and test rows."""
        data, split, _ = sides_of(_known(self.interactions, fold), self._recipe)
        pairs = weighted_pairs(data, split.train, self._recipe)
        model = solved(self._recipe, self._recipe.pair_config(), pairs, self._vectors).eval()
        return Prediction(
            validation=score_rows(model, self.interactions, fold.validation, self._vectors),
            test=score_rows(model, self.interactions, fold.test, self._vectors),
        )

    @cached_property
    def _recipe(self) -> InteractionRecipe:
        values = {**self.recipe, "objective": "interactions", "split": "source"}
        values |= {"data": str(self.folder), "output": str(self.folder)}
        return check_recipe(values, InteractionRecipe, "recipe")

    @cached_property
    def _vectors(self) -> Mapping[str, MoleculeVectors | MeanVectors]:
        molecules = {"rna": self.interactions.rnas, "protein": self.interactions.proteins}
        embedders = ((name, self._recipe.model.get(f"{name}_embedder", {})) for name in molecules)
        files = {name: spec["file"] for name, spec in embedders if "file" in spec}
        return vectors_of(
            molecules,
            portable(self._recipe.pair_config()),
            cache=self.folder / "embeddings",
            files=files,
        )


def _known(interactions: InteractionSet, fold: Fold) -> InteractionSet:
    """The pairs of the train and the validation side, with these as their sources."""
    sides = [fold.train, fold.validation]
    sources = ("train",) * len(sides[0]) + ("validation",) * len(sides[1])
    return replace(interactions.select(np.concatenate(sides)), source=sources)


def _of_pairs(interactions: InteractionSet) -> InteractionSet:
    """The set with the molecules of its pairs alone."""
    rnas, rna = np.unique(interactions.rna, return_inverse=True)
    proteins, protein = np.unique(interactions.protein, return_inverse=True)
    return replace(
        interactions,
        rnas=tuple(interactions.rnas[i] for i in rnas),
        proteins=tuple(interactions.proteins[i] for i in proteins),
        rna=rna.astype(np.int32),
        protein=protein.astype(np.int32),
    )


@torch.no_grad()
def score_rows(
    model: RPIForSequenceClassification,
    interactions: InteractionSet,
    rows: np.ndarray,
    vectors: Mapping[str, MoleculeVectors | MeanVectors],
) -> np.ndarray:
    """Return the logits of some pairs of a set, in their order, float64 (rows,)."""
    pairs = Pairs(
        rna=interactions.rna[rows],
        protein=interactions.protein[rows],
        label=interactions.label[rows],
        weight=np.ones(len(rows)),
    )
    processor = RPIProcessor.of(model.config)
    made = vectors["rna"], vectors["protein"]
    return score_pairs(model, PairBatches(pairs, *made, processor, batch_size=64, seed=0))
