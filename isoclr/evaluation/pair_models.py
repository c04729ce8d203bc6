"""Models of RNA–protein pairs as predictors of a comparison: trained on the rows of each fold."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from data_builders.interactions.dataset import InteractionSet, write_interactions
from isoclr.evaluation.compare import Fold, Prediction
from isoclr.objectives.interactions.batches import PairBatches, Pairs
from isoclr.objectives.interactions.objective import score_pairs
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
        sides = [fold.train, fold.validation]
        sources = ("train",) * len(sides[0]) + ("validation",) * len(sides[1])
        chosen = replace(self.interactions.select(np.concatenate(sides)), source=sources)
        write_interactions(_of_pairs(chosen), run / "data")
        values = {"evaluate_every": 50, "checkpoint_every": 1000, "tracker": None}
        values |= {**self.recipe, "objective": "interactions", "data": str(run / "data")}
        values |= {"output": str(output), "split": "source", "seed": fold.seed}
        values |= {"cache": str(self._cache)}
        recipe = check_recipe(values, InteractionRecipe, "recipe")
        with hold_output(recipe.output), StopRequest() as stop:
            train(recipe, stop)
        return output


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
