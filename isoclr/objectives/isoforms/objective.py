"""Contrastive learning on pairs of isoforms and homologs, as IsoCLR (arXiv 2310.08738)."""

import sys
from pathlib import Path

import torch
from torch import nn

from isoclr.objectives.base import Objective
from isoclr.objectives.card import CardFacts
from isoclr.objectives.isoforms.card import card_facts
from isoclr.objectives.isoforms.held_out import evaluate
from isoclr.objectives.isoforms.microbatches import PairEncoder
from isoclr.objectives.isoforms.pairs import PairBatch, PairBatches
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.objectives.isoforms.sources import build_batches
from isoclr.objectives.sequences import share_statistics
from isoclr.training.curves import Panel
from isoclr.training.processes import sum_over_processes
from modeling_isoclr import IsoCLRForPreTraining, IsoCLRTokenizer, transcript_count_weights
from modeling_isoclr.fused_isoclr import at_least_float32


class IsoformObjective(Objective[IsoformRecipe, PairBatches, IsoCLRForPreTraining]):
    """Views of transcripts of one group attract each other; all others of the batch repel.

    See `Objective` for arguments and attributes.
    """

    recipe_class = IsoformRecipe
    panels = (
        Panel(
            "contrastive loss",
            (
                ("loss", "training batches"),
                ("held_out_loss", "held-out pairs"),
                ("shuffled_loss", "held-out pairs, shuffled"),
            ),
        ),
        Panel(
            "partner ranked first (fraction)",
            (("accuracy", "training batches"), ("held_out_accuracy", "held-out pairs")),
            limits=(0, 1),
        ),
    )

    def __init__(self, recipe: IsoformRecipe, rank: int, world_size: int):
        super().__init__(recipe, rank, world_size)
        self.processor = IsoCLRTokenizer()
        self.batches = build_batches(recipe, self.processor, rank, world_size)
        self.fingerprint = self.batches.source.fingerprint
        self.steps_per_epoch = self.batches.source.order.steps_per_epoch
        self.hub_datasets = [s.path for s in recipe.data if not Path(s.path).is_dir()]
        # A capture clears workspaces and memory that all threads of the process share.
        self.evaluates_in_thread = not recipe.cuda_graphs
        self._held_out = None
        if rank == 0:
            print(self.batches.source.described(), file=sys.stderr)
            self._held_out = self.batches.held_out()

    def build_model(self) -> IsoCLRForPreTraining:
        """Build an encoder with the heads of pre-training."""
        return IsoCLRForPreTraining(self.recipe.encoder_config())

    def loss_module(self, model: IsoCLRForPreTraining) -> "IsoformLoss":
        """Return the contrastive loss over all views, with the masked-nucleotide term if asked."""
        if self.recipe.micro_batch_tokens is None and self.world_size > 1:
            share_statistics(model)
        encoder = PairEncoder(
            model,
            gradient_cache=self.recipe.gradient_cache,
            compile_encoder=self.recipe.compile,
            cuda_graphs=self.recipe.cuda_graphs,
        )
        return IsoformLoss(encoder, count_weights=self.recipe.count_weights)

    def evaluate(self, model: IsoCLRForPreTraining) -> dict[str, float]:
        """Compute loss and geometry of held-out pairs; nothing where there are fewer than two."""
        if self._held_out is None:
            return {}
        batch = self._held_out.to(model.device)
        weights = transcript_count_weights(batch.counts) if self.recipe.count_weights else None
        return evaluate(model, batch, weights)

    def describe(self, step: int) -> list[str]:
        """Name the group and the two transcripts of each pair."""
        return self.batches.records(step)

    @classmethod
    def card_facts(cls, folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
        """Collect the facts of a model folder, see `isoclr.objectives.isoforms.card`."""
        return card_facts(folder, recipe, log)


class IsoformLoss(nn.Module):
    """The loss of a batch of pairs, of which this process encodes a part.

    Every process takes the contrastive term over all views (see `gather_rows`). The
    masked-nucleotide term is a sum over this process's nucleotides, scaled to the mean over all.
    """

    def __init__(self, encoder: PairEncoder, *, count_weights: bool):
        super().__init__()
        self.encoder, self.count_weights = encoder, count_weights

    def forward(self, batch: PairBatch) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """The loss whose gradient, averaged over processes, is that of the whole batch; its terms.

        Returns:
            A scalar; and `loss`, `accuracy` (how often the partner ranks first), `padding` (the
            fraction of it in what is encoded) and, with masked nucleotides, both terms apart.
        """
        projections, masked_lm = self.encoder(batch)
        with torch.autocast(projections.device.type, enabled=False):
            loss, record = self._combine(batch, at_least_float32(projections), masked_lm)
        return loss, record | {"padding": batch.padding}

    def _combine(self, batch, projections, masked_lm):
        model = self.encoder.model
        by_count = transcript_count_weights(batch.counts) if self.count_weights else None
        types = None if model.config.pair_type_weights is None else batch.types
        contrastive, accuracy = model.contrast(projections, model.positive_weights(by_count, types))
        loss, record = contrastive, {}
        if masked_lm is not None:
            hidden = (batch.labels != -100).sum()
            sums = sum_over_processes(torch.stack([masked_lm.detach().double(), hidden.double()]))
            record["contrastive_loss"] = contrastive.detach()
            record["masked_lm_loss"] = sums[0] / sums[1]
            share, world_size = model.config.masked_lm_weight, len(batch.views_of_rank)
            masked_lm = masked_lm * (world_size / sums[1])
            loss = share * masked_lm + (1 - share) * contrastive
        total = loss.detach()
        if masked_lm is not None:  # of which this process has its own part alone
            share = model.config.masked_lm_weight
            total = share * record["masked_lm_loss"] + (1 - share) * record["contrastive_loss"]
        return loss, {"loss": total, "accuracy": accuracy} | record
