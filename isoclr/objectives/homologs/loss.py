"""The losses of homologs: contrast by a critic, and hidden letters, its control."""

import math

import torch
from torch import nn
from transformers import PreTrainedModel

from isoclr.objectives.homologs.batches import HomologBatch
from isoclr.training.processes import gather_rows, mean_over_processes, sum_over_processes
from modeling_isoclr.critic_isoclr import IsoCLRCritic


class ContrastiveLoss(nn.Module):
    """InfoNCE of a critic, the mean of both directions.

    With several positives, each anchor is contrasted with the mean of their projections, each of
    unit length.
    """

    def __init__(self, model: PreTrainedModel, *, compile_encoder: bool = False):
        super().__init__()
        self.model = model
        self.encode = torch.compile(self._encode, dynamic=True) if compile_encoder else self._encode

    @property
    def critic(self) -> IsoCLRCritic:
        """That of the model."""
        critic = self.model.critic
        assert isinstance(critic, IsoCLRCritic)
        return critic

    def _encode(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(tokens, return_loss=False).projections

    def forward(self, batch: HomologBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss, equal on all processes; and what of it is shown.

        Returns:
            A scalar; and `loss`, `bound` (log N minus the loss, in nats), `accuracy` (how often the
            partner ranks first), `temperature` of each band and, where the step asked for a
            species, `same_species`.
        """
        torch.manual_seed(batch.seed)
        projections = self.encode(batch.tokens)
        with torch.autocast(projections.device.type, enabled=False):
            first, second = self.pairs(projections.float(), batch)
            bands = batch.bands if self.model.config.critic_bands > 1 else None
            scores, backward = self.critic(first, second, bands)
            target = torch.arange(len(scores), device=scores.device)
            loss = (
                nn.functional.cross_entropy(scores, target)
                + nn.functional.cross_entropy(backward, target)
            ) / 2
        scales = self.critic.log_scale.detach()
        record = {
            "loss": loss.detach(),
            "bound": math.log(len(scores)) - loss.detach(),
            "accuracy": (scores.detach().argmax(1) == target).float().mean(),
        }
        if batch.same_species is not None:
            share = torch.tensor(batch.same_species, device=scores.device)
            record["same_species"] = mean_over_processes(share)
        for number, scale in enumerate(scales):
            name = "temperature" if len(scales) == 1 else f"temperature_{number}"
            record[name] = (-scale).exp()
        return loss, record

    def pairs(self, projections: torch.Tensor, batch: HomologBatch) -> tuple[torch.Tensor, ...]:
        """Projections of this process to anchors and positives of all, (pairs, size) each."""
        own = batch.pairs_of_rank[batch.rank]
        anchors, *sets = projections.split(own) if own else (projections, projections)
        if len(sets) == 1:
            positives = sets[0]
        else:
            unit = [nn.functional.normalize(of_one, dim=1) for of_one in sets]
            positives = torch.stack(unit).mean(0)
        return (
            gather_rows(anchors, batch.pairs_of_rank),
            gather_rows(positives, batch.pairs_of_rank),
        )


class MaskedLoss(nn.Module):
    """Cross-entropy of the letters that are hidden, the mean over those of all processes."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch: HomologBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss whose mean over processes is that of all; `loss` and `accuracy`."""
        if self.model.training:  # an evaluation draws nothing, and may run beside training
            torch.manual_seed(batch.seed)
        logits = self.model(batch.tokens).logits
        with torch.autocast(logits.device.type, enabled=False):
            labels = batch.labels
            assert labels is not None  # the recipe's loss is masked
            hidden = labels != -100
            total = nn.functional.cross_entropy(
                logits[hidden].float(), labels[hidden], reduction="sum"
            )
        right = (logits[hidden].argmax(1) == labels[hidden]).sum()
        counts = torch.stack([total.detach().double(), hidden.sum().double(), right.double()])
        sums = sum_over_processes(counts)
        loss = total * (len(batch.pairs_of_rank) / sums[1].float())
        return loss, {"loss": sums[0] / sums[1], "accuracy": sums[2] / sums[1]}
