"""Encode a batch in micro-batches of one shape, with the gradient of the whole batch.

This is GradCache (arXiv 2101.06983) as one autograd node: every micro-batch is encoded without a
graph, the loss is taken over all embeddings, and in the backward pass each micro-batch is encoded
again, alone, for its gradient. DDP and other wrappers see one forward and one backward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from isoclr.objectives.isoforms.pairs import PairBatch
from isoclr.training.processes import gather_rows, sum_over_processes
from modeling_isoclr import IsoCLRForPreTraining
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm, frozen_statistics
from modeling_isoclr.losses_isoclr import supervised_loss
from modeling_isoclr.segments_isoclr import Layout

_ROWS = 512  # through the projector at once
_LAID_OUT = 4  # micro-batches at once: it takes a kilobyte a nucleotide, a fifth of an encoding


class PairEncoder(nn.Module):
    """Encodes the micro-batches of this process and projects the embeddings of all processes.

    Dropout of a micro-batch depends on its seed alone, so the second pass repeats the first, and
    neither the number of processes nor a resume changes it.

    Args:
        model: whose encoder, projector and, if it has one, masked-nucleotide head are used.
        gradient_cache: False keeps every micro-batch's graph: faster by a quarter, with memory that
            grows with the batch.
        compile_encoder: through torch.compile, once, as all micro-batches are of one shape.
        cuda_graphs: replay what was compiled as CUDA graphs.
    """

    def __init__(
        self,
        model: IsoCLRForPreTraining,
        *,
        gradient_cache: bool = True,
        compile_encoder: bool = False,
        cuda_graphs: bool = False,
    ):
        super().__init__()
        self.model, self.gradient_cache, self.cuda_graphs = model, gradient_cache, cuda_graphs
        self.encode = self._encode
        if compile_encoder:
            mode = "reduce-overhead" if cuda_graphs else None
            self.encode = torch.compile(self._encode, dynamic=False, mode=mode)

    def forward(self, batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Project the views of all processes; sum the masked-nucleotide loss of this one.

        Returns:
            (2 · pairs, projected) in the order of the pairs, first views first; and the sum, over
            the masked nucleotides of this process, of their cross-entropy (None without labels).
        """
        if self.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step gave may be overwritten
        with pooled_statistics(self.model.isoclr) as add_statistics:
            if self.gradient_cache and torch.is_grad_enabled():
                rows, masked_lm = _EncodeTwice.apply(self, batch, add_statistics, *self._learned())
            else:
                rows, masked_lm = self.encode_all(batch, add_statistics)
        rows = rows.flatten(0, 2)[batch.slots]
        rows = rows.to(next(self.model.parameters()).dtype)  # half precision ends here
        rows = gather_rows(rows, batch.views_of_rank)[batch.order]
        return self._project(rows), None if batch.labels is None else masked_lm

    def _project(self, rows: torch.Tensor) -> torch.Tensor:
        """Project rows to (2 · pairs, projected), in parts, as the projector is wide."""
        projector = self.model.projector
        if self.model.config.norm == "batch":  # whose statistics are those of all rows
            return projector(rows)
        if not (self.gradient_cache and torch.is_grad_enabled()):
            return torch.cat([projector(part) for part in rows.split(_ROWS)])
        parts = [checkpoint(projector, part, use_reentrant=False) for part in rows.split(_ROWS)]
        return torch.cat(parts)

    def _learned(self) -> list[nn.Parameter]:
        """Return the parameters that micro-batches have gradients for: all but the projector."""
        heads = [self.model.lm_head] if self.model.lm_head else []
        return [p for part in (self.model.isoclr, *heads) for p in part.parameters()]

    def encode_all(self, batch: PairBatch, add_statistics) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (micro-batches, rows, segments, contrasted), and the sum of the losses."""
        pooled, masked_lm = [], []
        for numbers in self.parts(batch):
            for number, layout in self.layouts(batch, numbers).items():
                embeddings, loss = self.encode_one(batch, number, layout)
                add_statistics(batch.segment_ids[number])
                pooled.append(embeddings)
                masked_lm.append(loss)
        return torch.stack(pooled), sum(masked_lm, start=pooled[0].new_zeros(()))

    def parts(self, batch: PairBatch) -> list[range]:
        """Return the numbers of the micro-batches that are laid out together, part by part."""
        numbers = range(len(batch.seeds))
        return [numbers[start : start + _LAID_OUT] for start in numbers[::_LAID_OUT]]

    def layouts(self, batch: PairBatch, numbers: range) -> dict[int, Layout]:
        """Return the layouts of some micro-batches, see `IsoCLRModel.layout`."""
        part, rows = slice(numbers.start, numbers.stop), batch.tokens.shape[1]
        tokens, segment_ids = (x[part].flatten(0, 1) for x in (batch.tokens, batch.segment_ids))
        together = self.model.isoclr.layout(tokens, segment_ids, batch.n_segments)
        starts = range(0, len(tokens), rows)
        return {
            number: together.part(slice(start, start + rows))
            for number, start in zip(numbers, starts, strict=True)
        }

    def encode_one(
        self, batch: PairBatch, number: int, layout: Layout
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed a micro-batch and compute its loss; the same whenever it is called."""
        if self.model.training:  # an evaluation draws nothing, and may run beside training
            torch.manual_seed(batch.seeds[number])
        labels = None if batch.labels is None else batch.labels[number]
        tokens, segment_ids = batch.tokens[number], batch.segment_ids[number]
        return self.encode(tokens, segment_ids, layout, labels)

    def _encode(self, tokens, segment_ids, layout, labels):
        output = self.model.isoclr(
            tokens,
            segment_ids=segment_ids,
            layout=layout,
            learned_only=True,
            output_hidden_states=labels is not None,
        )
        pooled = output.pooler_output
        if labels is None:
            return pooled, pooled.new_zeros(())
        assert self.model.lm_head is not None  # there are labels with a masked_lm_weight alone
        logits = self.model.lm_head(output.hidden_states, labels.shape[1])
        mean = supervised_loss(logits, labels, "single_label_classification")
        return pooled, mean * (labels != -100).sum()


class _EncodeTwice(torch.autograd.Function):
    """Encode micro-batches without their graphs, which the backward pass builds one by one."""

    @staticmethod
    def forward(ctx, encoder: PairEncoder, batch: PairBatch, add_statistics, *learned):
        ctx.encoder, ctx.batch, ctx.learned = encoder, batch, learned
        device = batch.order.device.type
        ctx.autocast = {
            "device_type": device,
            "dtype": torch.get_autocast_dtype(device),
            "enabled": torch.is_autocast_enabled(device),
        }
        return encoder.encode_all(batch, add_statistics)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, rows_gradient, masked_lm_gradient):
        encoder, batch, learned = ctx.encoder, ctx.batch, ctx.learned
        sums = [torch.zeros_like(parameter) for parameter in learned]
        with frozen_statistics(encoder.model.isoclr):  # the first pass updated them
            # Last first, as autograd itself sums gradients: to the bit the same.
            for numbers in reversed(encoder.parts(batch)):
                with torch.autocast(**ctx.autocast):
                    layouts = encoder.layouts(batch, numbers)
                for number in reversed(numbers):
                    with torch.enable_grad(), torch.autocast(**ctx.autocast):
                        rows, masked_lm = encoder.encode_one(batch, number, layouts[number])
                    outputs, wanted = [rows], [rows_gradient[number]]
                    if masked_lm.requires_grad:
                        outputs.append(masked_lm)
                        wanted.append(masked_lm_gradient)
                    found = torch.autograd.grad(outputs, learned, wanted)
                    torch._foreach_add_(sums, found)
        return None, None, None, *sums


@contextmanager
def pooled_statistics(encoder: nn.Module) -> Iterator:
    """Update running statistics of batch norms once a step, with those of the whole batch.

    One update a micro-batch, as a batch norm does by itself, would leave the statistics of the
    last ones: of one length. Means and variances are pooled over micro-batches and processes,
    weighted by nucleotides.

    Yields:
        A function to call with the segment ids of each micro-batch after its forward pass.
    """
    norms = [part for part in encoder.modules() if isinstance(part, IsoCLRBatchNorm)]
    if not (norms and encoder.training):
        yield lambda segment_ids: None
        return
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    channels = [len(mean) for mean, _ in before]
    # Columns: mean, mean of squares, weight.
    sums = torch.zeros(sum(channels), 3, dtype=torch.float64, device=before[0][0].device)

    def add(segment_ids: torch.Tensor) -> None:
        mean = torch.cat([norm.running_mean for norm in norms]).double()
        square = torch.cat([norm.running_var for norm in norms]).double() + mean.square()
        weight = (segment_ids > 0).sum()
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
