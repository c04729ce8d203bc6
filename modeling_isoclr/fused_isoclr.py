"""The encoder's training path in few operators, without a compiler.

Modules and autograd alone would launch a kernel for every ReLU, mask, cast and bias, and more for
their gradients. Here a convolution writes its ReLU, mask and ReLU are one clamp with one comparison
for both gradients, the pool after a block passes its gradient through that comparison at half the
length, all that reads an input adds to one gradient of it, and weights are cast together. Values
are those of the modules to the bit; gradients to rounding, as sums have another order.
"""

from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable


def working_dtype(dtype, device_type):
    """The type in which convolutions compute on inputs of a type: under autocast its own."""
    if dtype != torch.float64 and torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return dtype


def at_least_float32(x):
    """`x` in a precision that can count the nucleotides of a transcript."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Bounds(NamedTuple):
    """What keeps padding at zero at one depth.

    Attributes:
        floor: 0, of no dimensions.
        gaps: bool (batch, 1, 1, length), True where padded, in steps through a dense tensor.
        ceiling: 0 where padded, infinity elsewhere, of that shape.
        closed: of the whole length: True where padded, or the pair's first position is, which
            decides whether the pair is valid after the stem.
        filling: what the stem's output becomes where closed, so that the greatest of each pair is
            that of its valid positions, or 0; of that shape.
        open: 0 where closed, 1 elsewhere.
    """

    floor: torch.Tensor
    gaps: torch.Tensor
    ceiling: torch.Tensor
    closed: torch.Tensor
    filling: torch.Tensor
    open: torch.Tensor

    @classmethod
    def of(cls, mask, dtype) -> "Bounds":
        """The bounds of (batch, 1, 1, length), True where valid, for activations of a type."""
        floor, one, infinity, pair = _constants(dtype, mask.device)
        gaps = (~mask).contiguous()
        first = gaps[..., ::2, None]
        closed = (gaps.unflatten(3, (-1, 2)) | first).flatten(3)
        return cls(
            floor=floor,
            gaps=gaps,
            ceiling=torch.where(gaps, floor, infinity),
            closed=closed,
            filling=torch.where(first, floor, pair).flatten(3),
            open=torch.where(closed, floor, one),
        )

    def halved(self) -> "Bounds":
        """Those of half the length."""
        return self._replace(gaps=self.gaps[..., ::2], ceiling=self.ceiling[..., ::2])

    def part(self, rows: slice) -> "Bounds":
        """Those of some rows."""
        return Bounds(self.floor, *(part[rows] for part in self[1:]))


@lru_cache(maxsize=16)
def _constants(dtype, device):
    """0, 1, infinity, and what fills a pair whose second is padded: that never wins."""
    numbers = (0.0, 1.0, torch.inf, [0.0, torch.finfo(dtype).min])
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


def enter(conv, x, weights, shortcut=None, tap=None, relu=True):
    """What reads the input of a block, whose gradients so become one without further sums.

    Args:
        conv: the block's first convolution.
        x: (batch, in, 1, length), in channels_last memory.
        weights: weight and bias of `conv`, as for `conv_of`; the bias may be None.
        shortcut: the same of a convolution of width 1; None: there is none.
        tap: weights of means over `x`, see `in_blocks`; None: there are none.
        relu: whether a ReLU follows `conv`.

    Returns:
        Output of `conv`, of the shortcut, and the means; None where there are none.
    """
    before, after, dilation = conv.reach()
    geometry = ((0, before), (1, dilation), after - before)
    return _Enter.apply(x, geometry, relu, *weights, *(shortcut or (None, None)), tap)


def _padded(conv, x):
    """What is to be convolved, how much the convolution pads by itself, and its dilation."""
    before, after, dilation = conv.reach()
    if after > before:
        x = nn.functional.pad(x, (0, after - before))
    return x, (0, before), (1, dilation)


def relu_mask(x, residual, bounds):
    """ReLU of (batch, channels, 1, length), plus a residual if any, zero where padded."""
    return _ReLUMask.apply(x, residual, bounds.floor, bounds.ceiling)


def relu_mask_halve(x, residual, bounds):
    """The same of both, then the greatest of each pair of positions."""
    return _ReLUMaskHalve.apply(x, residual, bounds.floor, bounds.ceiling)


def halve(x, bounds, read=False):
    """As `IsoCLRHalving`; `bounds` are those of the whole length.

    Returns:
        `x` at half the length; and ReLU of `x` if wanted, else None.
    """
    return _Halve.apply(x, bounds, read)


def read(x, tap):
    """Means of regions over blocks of (rows, channels, 1, length), see `in_blocks`.

    Args:
        x: as in `tap`'s type.
        tap: what each position counts for, (rows · blocks, regions, positions of a block).

    Returns:
        (rows · blocks, regions, channels).
    """
    return torch.bmm(tap, in_blocks(x, len(tap) // len(x)))


def in_blocks(values, blocks):
    """(batch, channels, 1, length) to (batch · blocks, positions of a block, channels), a view."""
    values = values.squeeze(2).transpose(1, 2)
    return values.unflatten(1, (blocks, -1)).flatten(0, 1)


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


def _conv(x, weight, bias, padding, dilation, relu):
    """A convolution and, if wanted, its ReLU, by one call where the processor's library has it."""
    with torch.autocast(x.device.type, enabled=False):
        if relu and _by_onednn(x, weight, bias, padding, dilation):
            return torch.ops.mkldnn._convolution_pointwise(
                x, weight, bias, padding, _ONE, dilation, 1, "relu", [], ""
            )
        y = nn.functional.conv2d(x, weight, bias, padding=padding, dilation=dilation)
    return y.relu_() if relu else y


_ONE = (1, 1)


def _by_onednn(x, weight, bias, padding, dilation):
    """Whether torch takes oneDNN for a convolution, and has it with a ReLU."""
    if x.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    chosen = torch._C._select_conv_backend(
        x, weight, bias, _ONE, padding, dilation, False, (0, 0), 1
    )
    return chosen.name == "Mkldnn"


def _gradients_of_conv(gradient, x, weight, padding, dilation, wanted):
    """Those of input, weight and bias, as far as wanted."""
    shape = [weight.shape[0]]
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, shape, _ONE, padding, dilation, False, (0, 0), 1, wanted
    )


class _ReLUConv(torch.autograd.Function):
    """A convolution with its ReLU, whose output alone is saved."""

    @staticmethod
    def forward(ctx, x, padding, dilation, weight, bias):
        ctx.padding, ctx.dilation = padding, dilation
        y = _conv(x, weight, bias, padding, dilation, relu=True)
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, y = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        wanted = [ctx.needs_input_grad[i] for i in (0, 3, 4)]
        of_x, *others = _gradients_of_conv(gradient, x, weight, ctx.padding, ctx.dilation, wanted)
        return of_x, None, None, *others


class _Enter(torch.autograd.Function):
    """See `enter`."""

    @staticmethod
    def forward(ctx, x, geometry, relu, weight, bias, shortcut_weight, shortcut_bias, tap):
        padding, dilation, spare = geometry
        ctx.geometry, ctx.relu = geometry, relu
        padded = nn.functional.pad(x, (0, spare)) if spare else x
        y = _conv(padded, weight, bias, padding, dilation, relu)
        residual = means = None
        if shortcut_weight is not None:
            residual = _conv(x, shortcut_weight, shortcut_bias, (0, 0), _ONE, relu=False)
        if tap is not None:
            means = read(x, tap)
        ctx.save_for_backward(x, padded, y if relu else None, weight, shortcut_weight, tap)
        return y, residual, means

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, of_residual, of_means):
        x, padded, y, weight, shortcut_weight, tap = ctx.saved_tensors
        padding, dilation, spare = ctx.geometry
        wanted = ctx.needs_input_grad
        if ctx.relu:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        of_x, *others = _gradients_of_conv(
            gradient, padded, weight, padding, dilation, [wanted[i] for i in (0, 3, 4)]
        )
        if of_x is not None:
            of_x = of_x[..., : x.shape[3]].contiguous(memory_format=torch.channels_last)
        of_shortcut = [None, None]
        if shortcut_weight is not None:
            more, *of_shortcut = _gradients_of_conv(
                of_residual, x, shortcut_weight, (0, 0), _ONE, [wanted[i] for i in (0, 5, 6)]
            )
            if of_x is not None:
                of_x.add_(more)
        if tap is not None and of_x is not None:
            in_blocks(of_x, len(tap) // len(x)).baddbmm_(tap.transpose(1, 2), of_means)
        return of_x, None, None, *others, *of_shortcut, None


class _ReLUMask(torch.autograd.Function):
    """ReLU and mask by one clamp. Where the result is 0, by either, no gradient passes."""

    @staticmethod
    def forward(ctx, x, residual, floor, ceiling):
        y = _clamped(x, residual, floor, ceiling)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        return gradient, gradient if ctx.needs_input_grad[1] else None, None, None


def _clamped(x, residual, floor, ceiling):
    """The sum of both, if there are both, between bounds; in the memory of `x`.

    That is the output of a norm, which no gradient needs. (Autograd would refuse to go on if one
    did: a change in place counts as a new version of a tensor.)
    """
    y = x.detach()
    if residual is not None:
        y.add_(residual)
    return torch.clamp(y, floor, ceiling, out=y)


class _ReLUMaskHalve(torch.autograd.Function):
    """The same and the greatest of each pair: where that is 0, no gradient passes to either."""

    @staticmethod
    def forward(ctx, x, residual, floor, ceiling):
        y = _clamped(x, residual, floor, ceiling)
        ctx.shape = y.shape
        y, places = torch.ops.aten.max_pool2d_with_indices(y, _PAIR)
        ctx.save_for_backward(y, places)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        y, places = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        like = {"dtype": y.dtype, "device": y.device, "memory_format": torch.channels_last}
        gradient = _gradient_of_pool(gradient, torch.empty(ctx.shape, **like), places)
        return gradient, gradient, None, None


_PAIR = (1, 2)


def _gradient_of_pool(gradient, x, places):
    """That of the greatest of pairs, for a tensor like `x`, whose values are not read."""
    return torch.ops.aten.max_pool2d_with_indices_backward(
        gradient, x, _PAIR, _PAIR, (0, 0), _ONE, False, places
    )


class _Halve(torch.autograd.Function):
    """See `halve`; padding does not win, and no gradient reaches it."""

    @staticmethod
    def forward(ctx, x, bounds, read):
        filled = torch.where(bounds.closed, bounds.filling, x)
        pooled, places = torch.ops.aten.max_pool2d_with_indices(filled, _PAIR)
        positive = x.relu() if read else None
        ctx.read = read
        gaps = None if read else bounds.closed[..., ::2]
        ctx.save_for_backward(positive if read else x, places, bounds.open, gaps, bounds.floor)
        return pooled, positive

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, of_positive):
        x, places, open_, gaps, floor = ctx.saved_tensors
        if not ctx.read:
            return _gradient_of_pool(torch.where(gaps, floor, gradient), x, places), None, None
        of_pool = _gradient_of_pool(gradient, x, places)
        of_x = torch.ops.aten.threshold_backward(of_positive, x, 0)
        return of_x.addcmul_(of_pool, open_), None, None


class _NormOverValid(torch.autograd.Function):
    """See `norm_over_valid`; the input alone is saved."""

    @staticmethod
    def forward(ctx, x, mask, n, weight, bias, eps):
        exact = at_least_float32(x)
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
        # In the order of memory, that of channels_last, in which convolutions give them.
        gradients = [g.permute(0, 2, 3, 1) if g.ndim == 4 else g for g in gradients]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).to(ctx.dtype)
        if ctx.orders is not None:
            flat = flat.index_select(0, ctx.orders[1])
        parts = flat.split([shape.numel() for shape in ctx.shapes])
        if ctx.orders is not None:
            return None, None, *map(torch.Tensor.view, parts, ctx.shapes)
        return None, None, *map(_from_memory, parts, ctx.shapes)


def _from_memory(part, shape):
    """A parameter's gradient from its numbers, of which those of a kernel lie channels_last."""
    if len(shape) != 3:
        return part.view(shape)
    return part.view(shape[0], shape[2], shape[1]).transpose(1, 2)


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
