"""A batch through the encoder in pieces of like length."""

import torch
from torch import nn

from isoclr.training.pairs import PairBatch
from modeling_isoclr import IsoCLRForPreTraining


class PairEncoder(nn.Module):
    """Encodes micro-batches one by one and projects all embeddings at once.

    One forward for the whole batch, so that DistributedDataParallel sees one however many
    micro-batches a process has.
    """

    def __init__(self, model: IsoCLRForPreTraining):
        super().__init__()
        self.model = model

    def forward(self, batch: PairBatch) -> torch.Tensor:
        """Projections in the order of the pairs, (2 · pairs, projected)."""
        pooled = [self.model.isoclr(tokens).pooler_output for tokens in batch.micro_batches]
        return self.model.projector(torch.cat(pooled)[batch.order])
