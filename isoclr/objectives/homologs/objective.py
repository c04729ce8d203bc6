"""Contrastive learning on homologs: phylogenetic augmentation (arXiv 2012.13475)."""

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from data_builders.records import InputError
from isoclr.bounds import info_nce, permuted
from isoclr.objectives.base import Objective
from isoclr.objectives.card import CardFacts
from isoclr.objectives.homologs.batches import HomologBatches
from isoclr.objectives.homologs.card import card_facts
from isoclr.objectives.homologs.families import load_families
from isoclr.objectives.homologs.loss import ContrastiveLoss, MaskedLoss
from isoclr.objectives.homologs.recipe import HomologRecipe
from isoclr.objectives.homologs.site_model import SiteModel
from isoclr.objectives.sequences import share_statistics
from isoclr.training.curves import Panel
from modeling_isoclr import IsoCLRForMaskedLM, IsoCLRForPreTraining, IsoCLRTokenizer

_EVALUATIONS = 4  # draws of the held-out families


class HomologObjective(Objective[HomologRecipe, HomologBatches, PreTrainedModel]):
    """Homologs attract each other; other families of the batch repel."""

    recipe_class = HomologRecipe
    panels = (
        Panel(
            "loss (nats)", (("loss", "training batches"), ("held_out_loss", "held-out families"))
        ),
        Panel(
            "bound on the information of a pair (nats)",
            (
                ("bound", "training batches"),
                ("held_out_bound", "held-out families"),
                ("held_out_permuted", "held-out families, permuted"),
                ("held_out_log_n", "log N of the held-out families"),
            ),
        ),
        Panel(
            "partner ranked first (fraction)",
            (("accuracy", "training batches"), ("held_out_accuracy", "held-out families")),
            limits=(0, 1),
        ),
    )

    def __init__(self, recipe: HomologRecipe, rank: int, world_size: int):
        super().__init__(recipe, rank, world_size)
        self.datasets = [
            load_families(source, drop_unknown=recipe.drop_unknown) for source in recipe.data
        ]
        self.fingerprint = [(families.source, families.checksum) for families in self.datasets]
        alphabets = {families.alphabet for families in self.datasets}
        if len(alphabets) > 1:
            raise InputError(f"data: got {' and '.join(sorted(alphabets))}, wanted one alphabet")
        self.alphabet = self.datasets[0].alphabet
        self.batches = HomologBatches(self.datasets, recipe, rank, world_size)
        self.steps_per_epoch = self.batches.order.steps_per_epoch
        self.processor = IsoCLRTokenizer(alphabet=self.alphabet)
        self.hub_datasets = [s.path for s in recipe.data if not Path(s.path).is_dir()]
        if rank == 0:
            print(self.batches.described(), file=sys.stderr)

    def build_model(self) -> PreTrainedModel:
        """The encoder that the recipe names, with its critic, or with a head for hidden letters."""
        config = self.recipe.encoder_config(self.alphabet)
        if self.recipe.loss == "masked":
            return IsoCLRForMaskedLM(config)
        if self.recipe.encoder == "isoclr":
            return IsoCLRForPreTraining(config)
        config.sites = self._sites()
        config.site_encoder = self.recipe.encoder
        return SiteModel(config)

    def _sites(self) -> int:
        lengths = np.unique(np.concatenate([families.lengths for families in self.datasets]))
        if len(lengths) > 1 or self.recipe.window is not None:
            raise InputError(
                f"encoder: got {self.recipe.encoder!r} with {len(lengths)} lengths of sequences "
                f"and window {self.recipe.window}, wanted one length, and no window"
            )
        return int(lengths[0])

    def loss_module(self, model: PreTrainedModel) -> nn.Module:
        """The contrast over the pairs of all processes, or the letters that are hidden."""
        if self.world_size > 1:
            share_statistics(model)
        if self.recipe.loss == "masked":
            return MaskedLoss(model)
        return ContrastiveLoss(model, compile_encoder=self.recipe.compile)

    @torch.no_grad()
    def evaluate(self, model: PreTrainedModel) -> dict[str, float]:
        """The bound, its permuted control and the accuracy on held-out families."""
        model.eval()
        try:
            if self.recipe.loss == "masked":
                return self._evaluate_masked(model)
            scores = self.held_out_scores(model)
        finally:
            model.train()
        if not scores:
            return {}
        rng = np.random.default_rng(self.recipe.seed)
        told = model.config.critic_bands > 1

        def mean_bound(batches) -> float:
            return float(np.mean([info_nce(batch, rows_alone=told).mean() for batch in batches]))

        bound, control = mean_bound(scores), mean_bound(permuted(batch, rng) for batch in scores)
        log_n = math.log(len(scores[0]))
        first = [(batch.argmax(1) == np.arange(len(batch))).mean() for batch in scores]
        return {
            "held_out_loss": log_n - bound,
            "held_out_bound": bound,
            "held_out_permuted": control,
            "held_out_log_n": log_n,
            "held_out_accuracy": float(np.mean(first)),
        }

    @torch.no_grad()
    def held_out_scores(
        self,
        model: PreTrainedModel,
        draws: Iterable[int] = range(_EVALUATIONS),
        families: Callable[[int], np.ndarray | None] = lambda draw: None,
    ) -> list[np.ndarray]:
        """Scores of anchors with positives of held-out families, one float64 matrix a draw.

        The same number of a draw gives the same pairs. `families` are those of a draw, None: the
        first 256. There is nothing where fewer than two are held out.
        """
        loss, found = ContrastiveLoss(model), []
        for draw in draws:
            batch = self.batches.evaluation(draw, families(draw))
            if batch is None:
                return []
            batch = batch.to(model.device)
            first, second = loss.pairs(loss.encode(batch.tokens).float(), batch)
            bands = batch.bands if model.config.critic_bands > 1 else None
            found.append(loss.critic(first, second, bands)[0].double().cpu().numpy())
        return found

    def _evaluate_masked(self, model: PreTrainedModel) -> dict[str, float]:
        batch = self.batches.evaluation()
        if batch is None:
            return {}
        _, record = MaskedLoss(model)(batch.to(model.device))
        return {f"held_out_{name}": float(value) for name, value in record.items()}

    @classmethod
    def card_facts(cls, folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
        """See `isoclr.objectives.homologs.card`."""
        return card_facts(folder, recipe, log)

    def describe(self, step: int) -> list[str]:
        """The family and the species of each pair."""
        return self.batches.describe(step)
