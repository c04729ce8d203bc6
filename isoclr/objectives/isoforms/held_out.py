"""Evaluation without labels: loss and geometry of pairs that were never trained on."""

import torch
from torch import nn

from isoclr.objectives.isoforms.microbatches import PairEncoder
from isoclr.objectives.isoforms.pairs import PairBatch
from modeling_isoclr import IsoCLRForPreTraining
from modeling_isoclr.fused_isoclr import at_least_float32


@torch.no_grad()
def evaluate(model: IsoCLRForPreTraining, batch: PairBatch, weights) -> dict[str, float]:
    """Compute loss and geometry of held-out pairs.

    Args:
        model: put into evaluation mode temporarily.
        batch: the pairs, on the model's device.
        weights: of the positive terms, (pairs,), or None.

    Returns:
        `held_out_loss`; `shuffled_loss`, of the same when partners are exchanged;
        `held_out_accuracy`, how often the partner ranks first; `alignment`, the mean squared
        distance of partners on the unit sphere, and `uniformity`, the log of the mean Gaussian
        potential of all first views (both of arXiv 2005.10242, less is better);
        `held_out_pairs`.
    """
    model.eval()
    projections, _ = PairEncoder(model)(batch)
    model.train()
    first, second = nn.functional.normalize(at_least_float32(projections), dim=1).chunk(2)
    loss, accuracy = model.contrast(torch.cat([first, second]), weights)
    shuffled_loss, _ = model.contrast(torch.cat([first, second.roll(1, 0)]), weights)
    others = torch.pdist(first).square()
    return {
        "held_out_loss": loss.item(),
        "shuffled_loss": shuffled_loss.item(),
        "held_out_accuracy": accuracy.item(),
        "alignment": (first - second).square().sum(1).mean().item(),
        "uniformity": others.mul(-2).exp().mean().log().item(),
        "held_out_pairs": len(first),
    }
