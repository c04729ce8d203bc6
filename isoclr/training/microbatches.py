"""A batch through the encoder in pieces of like length, with the gradient of the whole batch.

This is GradCache (arXiv 2101.06983) by way of gradient checkpointing: every micro-batch is encoded
without keeping its graph, the loss is taken over all embeddings, and in the backward pass each
micro-batch is encoded again, alone, for its gradient. As far as autograd, DDP and whatever else
wraps the model can tell, it is one forward and one backward.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from isoclr.training.pairs import PairBatch
from isoclr.training.processes import gather_rows, sum_over_processes
from modeling_isoclr import IsoCLRForPreTraining
from modeling_isoclr.configuration_isoclr import PAD_BASE
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm, frozen_statistics
from modeling_isoclr.losses_isoclr import supervised_loss


class PairEncoder(nn.Module):
    """Encodes the micro-batches of this process and projects the embeddings of all processes.

    Dropout of a micro-batch depends on its seed alone, so the second pass repeats the first, and
    neither the number of processes nor a resume changes it.

    Args:
        model: whose encoder, projector and, if it has one, masked-nucleotide head are used.
        gradient_cache: False keeps every micro-batch's graph: faster by a quarter, with memory that
            grows with the batch.
        compile_encoder: through torch.compile, one graph for all shapes.
    """

    def __init__(
        self,
        model: IsoCLRForPreTraining,
        *,
        gradient_cache: bool = True,
        compile_encoder: bool = False,
    ):
        super().__init__()
        self.model, self.gradient_cache = model, gradient_cache
        self.encode = torch.compile(self._encode, dynamic=True) if compile_encoder else self._encode

    def forward(self, batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Projections of all processes' views, and the masked-nucleotide term of this one.

        Returns:
            (2 · pairs, projected) in the order of the pairs, first views first; and the sum, over
            the masked nucleotides of this process, of their cross-entropy (None without labels).
        """
        pooled, masked_lm = [], []
        with pooled_statistics(self.model.isoclr) as add_statistics:
            for micro_batch in zip(batch.tokens, batch.labels, batch.seeds, strict=True):
                embeddings, loss = self._in_two_passes(*micro_batch)
                add_statistics(micro_batch[0])
                pooled.append(embeddings)
                if loss is not None:
                    masked_lm.append(loss)
        rows = torch.cat(pooled).to(next(self.model.parameters()).dtype)  # half precision ends here
        rows = gather_rows(rows, batch.rows_of_rank)[batch.order]
        return self.model.projector(rows), sum(masked_lm) if masked_lm else None

    def _in_two_passes(self, tokens, labels, seed: int):
        if not (self.gradient_cache and torch.is_grad_enabled()):
            torch.manual_seed(seed)
            return self.encode(tokens, labels)
        passes = []

        def forward():
            # The second pass, for the gradient, must not update running statistics again.
            frozen = frozen_statistics(self.model.isoclr) if passes else nullcontext()
            passes.append(None)
            torch.manual_seed(seed)
            with frozen:
                return self.encode(tokens, labels)

        return checkpoint(forward, use_reentrant=False, preserve_rng_state=False)

    def _encode(self, tokens, labels):
        output = self.model.isoclr(tokens, output_hidden_states=labels is not None)
        if labels is None:
            return output.pooler_output, None
        logits = self.model.lm_head(output.hidden_states, labels.shape[1])
        mean = supervised_loss(logits, labels, "single_label_classification")
        return output.pooler_output, mean * (labels != -100).sum()


@contextmanager
def pooled_statistics(encoder: nn.Module) -> Iterator:
    """Update running statistics of batch norms once a step, with those of the whole batch.

    One update a micro-batch, as a batch norm does by itself, would leave the statistics of the
    last ones: of one length. Means and variances are pooled over micro-batches and processes,
    weighted by nucleotides.

    Yields:
        A function to call with the tokens of each micro-batch after its forward pass.
    """
    norms = [part for part in encoder.modules() if isinstance(part, IsoCLRBatchNorm)]
    if not (norms and encoder.training):
        yield lambda tokens: None
        return
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    channels = [len(mean) for mean, _ in before]
    # Columns: mean, mean of squares, weight.
    sums = torch.zeros(sum(channels), 3, dtype=torch.float64, device=before[0][0].device)

    def add(tokens: torch.Tensor) -> None:
        mean = torch.cat([norm.running_mean for norm in norms]).double()
        square = torch.cat([norm.running_var for norm in norms]).double() + mean.square()
        weight = (tokens != PAD_BASE).sum()
        sums.add_(torch.stack([mean, square, torch.ones_like(mean)], 1) * weight)

    for norm in norms:
        norm.momentum = 1.0  # running statistics become those of the last micro-batch
    try:
        yield add
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    mean, square, weight = sum_over_processes(sums).unbind(1)
    mean, square = mean / weight, square / weight
    pooled = zip(mean.split(channels), (square - mean.square()).split(channels), strict=True)
    for norm, was, now in zip(norms, before, pooled, strict=True):
        for buffer, old, new in zip((norm.running_mean, norm.running_var), was, now, strict=True):
            buffer.copy_(old.lerp(new.to(old), norm.momentum))
