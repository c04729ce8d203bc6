"""Embeddings of all processes, with exact gradients."""

import torch
import torch.distributed as dist


class _GatherRows(torch.autograd.Function):
    """All-gather whose backward sums what every process asks of these rows."""

    @staticmethod
    def forward(ctx, rows):
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad):
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Rows of all processes, in the order of their ranks.

    Every process takes the same loss over all rows, so the gradient that reaches its own is
    world_size times that of the loss; the mean that DDP takes over processes divides it again.

    Args:
        rows: (rows, dim), the same shape in every process.

    Returns:
        (world_size · rows, dim); `rows` itself where there is one process.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    return _GatherRows.apply(rows)


def gather_views(views: torch.Tensor) -> torch.Tensor:
    """Views of all processes: (2 · pairs, dim), first views first, here and in the result."""
    return torch.cat([gather_rows(half) for half in views.chunk(2)])
