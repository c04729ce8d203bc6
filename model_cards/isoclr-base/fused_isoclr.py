"""The encoder's training path in few kernel launches, without a compiler.

Modules and autograd alone would launch a kernel for every ReLU, mask, cast and bias, and more for
their gradients. Here a ReLU works in the memory of its convolution, mask and ReLU are one clamp
with one comparison for both gradients, and weights are cast together. Values are those of the
modules, to the bit: every operator gets the same numbers.
"""

from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable


class Bounds(NamedTuple):
    """What keeps padding at zero at one depth.

    Attributes:
        floor: 0, of no dimensions.
        lowest: the least number of the type, of no dimensions.
        gaps: bool (batch, 1, 1, length), True where padded, in steps through a dense tensor.
        ceiling: 0 where padded, infinity elsewhere, of that shape.
    """

    floor: torch.Tensor
    lowest: torch.Tensor
    gaps: torch.Tensor
    ceiling: torch.Tensor

    @classmethod
    def of(cls, mask, dtype) -> "Bounds":
        """The bounds of (batch, 1, 1, length), True where valid, for activations of a type."""
        floor, lowest, infinity = _constants(dtype, mask.device)
        gaps = (~mask).contiguous()
        return cls(floor, lowest, gaps, torch.where(gaps, floor, infinity))

    def halved(self) -> "Bounds":
        """Those of half the length."""
        return self._replace(gaps=self.gaps[..., ::2], ceiling=self.ceiling[..., ::2])


@lru_cache(maxsize=16)
def _constants(dtype, device):
    numbers = (0.0, torch.finfo(dtype).min, torch.inf)
    return tuple(torch.tensor(number, dtype=dtype, device=device) for number in numbers)


def conv_of(conv, x, weight, bias):
    """As an `IsoCLRConv` in training, whose weight, (out, in, 1, width), and bias are these."""
    x, padding, dilation = _padded(conv, x)
    with torch.autocast(x.device.type, enabled=False):
        return nn.functional.conv2d(x, weight, bias, padding=padding, dilation=dilation)


_POSITIONS = (0, 2, 3)  # of (batch, channels, 1, length)


def relu_conv(conv, x, weight, bias):
    """ReLU of what `conv_of` gives."""
    return _ReLUConv.apply(*_padded(conv, x), weight, bias)


def _padded(conv, x):
    """What is to be convolved, how much the convolution pads by itself, and its dilation."""
    before, after, dilation = conv.reach()
    if after > before:
        x = nn.functional.pad(x, (0, after - before))
    return x, (0, before), (1, dilation)


def relu_mask(x, residual, bounds):
    """ReLU of (batch, channels, 1, length), plus a residual if any, zero where padded."""
    return _ReLUMask.apply(x, residual, bounds.floor, bounds.ceiling)


def halve(x, bounds):
    """As `IsoCLRHalving`; `bounds` are those of the whole length."""
    return _Halve.apply(x, bounds, bounds.halved())


def norm_over_valid(x, mask, weight, bias, eps):
    """Batch normalisation over valid positions, in float32 at least.

    Args:
        x: (batch, channels, 1, length).
        mask: (batch, 1, 1, length), 1 or True where valid.
        weight: (channels,).
        bias: (channels,); padding becomes that.
        eps: added to variances.

    Returns:
        As `x`; without gradients, mean and variance of each channel, (1, channels, 1, 1), and how
        many positions are valid.
    """
    n = (mask != 0).sum()
    mask = mask.to(torch.promote_types(x.dtype, torch.float32))
    return *_NormOverValid.apply(x, mask, n, weight, bias, eps), n


class _ReLUConv(torch.autograd.Function):
    """A convolution and, in its memory, the ReLU; what is saved is the ReLU's alone."""

    @staticmethod
    def forward(ctx, x, padding, dilation, weight, bias):
        ctx.padding, ctx.dilation = padding, dilation
        with torch.autocast(x.device.type, enabled=False):
            y = nn.functional.conv2d(x, weight, bias, padding=padding, dilation=dilation).relu_()
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, y = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        wanted = [ctx.needs_input_grad[i] for i in (0, 3, 4)]
        shape, one = [weight.shape[0]], (1, 1)
        of_x, *others = torch.ops.aten.convolution_backward(
            gradient, x, weight, shape, one, ctx.padding, ctx.dilation, False, (0, 0), 1, wanted
        )
        return of_x, None, None, *others


class _ReLUMask(torch.autograd.Function):
    """ReLU and mask by one clamp. Where the result is 0, by either, no gradient passes."""

    @staticmethod
    def forward(ctx, x, residual, floor, ceiling):
        if residual is None:
            y = torch.clamp(x, floor, ceiling)
        else:
            y = x + residual
            torch.clamp(y, floor, ceiling, out=y)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        return gradient, gradient if ctx.needs_input_grad[1] else None, None, None


class _Halve(torch.autograd.Function):
    """Max-pool pairs of positions; padding does not win, so the gradient need not mask it again."""

    @staticmethod
    def forward(ctx, x, bounds, half):
        filled = torch.where(bounds.gaps, bounds.lowest, x)
        pooled, places = torch.ops.aten.max_pool2d_with_indices(filled, (1, 2))
        ctx.save_for_backward(x, places, half.gaps, half.floor)
        return torch.where(half.gaps, half.floor, pooled)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, places, gaps, floor = ctx.saved_tensors
        gradient = torch.where(gaps, floor, gradient)
        return (
            torch.ops.aten.max_pool2d_with_indices_backward(
                gradient, x, (1, 2), (1, 2), (0, 0), (1, 1), False, places
            ),
            None,
            None,
        )


class _NormOverValid(torch.autograd.Function):
    """See `norm_over_valid`; the input alone is saved."""

    @staticmethod
    def forward(ctx, x, mask, n, weight, bias, eps):
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = (exact * mask).sum(_POSITIONS, keepdim=True) / n
        centred = (exact - mean).mul_(mask)
        var = centred.square().sum(_POSITIONS, keepdim=True) / n
        scale = torch.rsqrt(var + eps)
        ctx.save_for_backward(x, mask, n, weight, mean, scale)
        ctx.mark_non_differentiable(mean, var)
        y = centred.mul_(scale * weight.view(1, -1, 1, 1)).add_(bias.view(1, -1, 1, 1))
        return y.to(x.dtype), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, _mean, _var):
        x, mask, n, weight, mean, scale = ctx.saved_tensors
        gradient = gradient.to(mean.dtype)
        of_bias = gradient.sum(_POSITIONS)
        gradient = gradient * mask
        centred = (x - mean).mul_(mask)
        product = (gradient * centred).sum(_POSITIONS, keepdim=True)
        total = gradient.sum(_POSITIONS, keepdim=True)
        factor = scale * weight.view(1, -1, 1, 1)
        of_x = gradient.mul_(factor)
        of_x.addcmul_(centred, factor * scale.square() * product / -n)
        of_x.addcmul_(mask, factor * total / -n)
        of_weight = (product * scale).flatten()
        return of_x.to(x.dtype), None, None, of_weight, of_bias, None


class _Together(torch.autograd.Function):
    """Cast parameters as one tensor; their gradients come back as one too.

    With `order` they are also rearranged, see `_memory_orders`.
    """

    @staticmethod
    def forward(ctx, dtype, orders, *parameters):
        ctx.dtype, ctx.orders = parameters[0].dtype, orders
        ctx.shapes = [parameter.shape for parameter in parameters]
        flat = torch.cat([parameter.reshape(-1) for parameter in parameters])
        if orders is not None:
            flat = flat.index_select(0, orders[0])
        flat = flat.to(dtype)
        parts = flat.split([shape.numel() for shape in ctx.shapes])
        return tuple(_shaped(*both, orders) for both in zip(parts, ctx.shapes, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        if ctx.orders is not None:
            gradients = [g.permute(0, 2, 3, 1) if g.ndim == 4 else g for g in gradients]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).to(ctx.dtype)
        if ctx.orders is not None:
            flat = flat.index_select(0, ctx.orders[1])
        parts = flat.split([shape.numel() for shape in ctx.shapes])
        return None, None, *map(torch.Tensor.view, parts, ctx.shapes)


def _shaped(part, shape, orders):
    """A parameter from its numbers; a kernel, of three dimensions, gets the fourth."""
    if len(shape) != 3:
        return part.view(shape)
    if orders is None:
        return part.view(shape).unsqueeze(2)
    return part.view(shape[0], 1, shape[2], shape[1]).permute(0, 3, 1, 2)


@lru_cache(maxsize=8)
def _memory_orders(shapes, device):
    """Where the numbers of parameters, one after another, go, so that kernels are channels_last.

    Returns:
        The index that rearranges them, and the one that puts them back.
    """
    starts = accumulate((shape.numel() for shape in shapes[:-1]), initial=0)
    parts = []
    for start, shape in zip(starts, shapes, strict=True):
        part = torch.arange(start, start + shape.numel()).view(shape)
        parts.append((part.transpose(1, 2) if len(shape) == 3 else part).flatten())
    order = torch.cat(parts)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return order.int().to(device), back.int().to(device)


def cast_together(parameters, dtype):
    """Parameters in the type of activations; kernels (out, in, width) become (out, in, 1, width).

    On a GPU kernels also get the order in memory that its convolutions read.
    """
    device = parameters[0].device
    if device.type == "cpu":
        if all(parameter.dtype == dtype for parameter in parameters):
            return [p.unsqueeze(2) if p.ndim == 3 else p for p in parameters]
        return _Together.apply(dtype, None, *parameters)
    orders = _memory_orders(tuple(parameter.shape for parameter in parameters), device)
    return _Together.apply(dtype, orders, *parameters)
