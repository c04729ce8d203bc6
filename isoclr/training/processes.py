"""Communication between processes: rows with exact gradients, sums and means."""

from collections.abc import Sequence

import torch
import torch.distributed as dist


class _GatherRows(torch.autograd.Function):
    """All-gather whose backward sums the gradients that every process has for these rows."""

    @staticmethod
    def forward(ctx, rows, sizes):
        ctx.sizes = sizes
        longest = max(sizes)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx, grad):
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.split(ctx.sizes)[dist.get_rank()], None


def is_alone() -> bool:
    """Return whether this process is the only one."""
    return not dist.is_initialized() or dist.get_world_size() == 1


def gather_rows(rows: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Gather rows of all processes, in the order of their ranks.

    Every process takes the same loss over all rows, so the gradient that reaches its own is
    world_size times that of the loss; the mean that DDP takes over processes divides it again.

    Args:
        rows: (rows, ...), of this process.
        sizes: rows of every process.

    Returns:
        (sum of sizes, ...); `rows` itself where one process has all.
    """
    return rows if len(sizes) == 1 else _GatherRows.apply(rows, list(sizes))


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over all processes, in place."""
    if not is_alone():
        dist.all_reduce(values)
    return values


def mean_over_processes(value: torch.Tensor) -> float:
    """Return the mean of a number over all processes, such as the loss of each one's part."""
    total = sum_over_processes(value.detach().double())
    return total.item() / (1 if is_alone() else dist.get_world_size())


def all_agree(value) -> bool:
    """Return whether every process has the same value; every process must call it."""
    if is_alone():
        return True
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return all(other == value for other in values)


class _Sum(torch.autograd.Function):
    """Sum over processes whose backward is a sum too."""

    @staticmethod
    def forward(ctx, values):
        return sum_over_processes(values.clone())

    @staticmethod
    def backward(ctx, grad):
        return sum_over_processes(grad.clone())


def summed_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Sum a copy of a tensor over all processes; its gradient is summed too."""
    return _Sum.apply(values)
