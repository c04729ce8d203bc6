"""One kernel for what follows a convolution: bias, ReLU, layer norm, residual, ReLU and mask.

On a GPU with Triton, which comes with torch there. It must equal, to rounding, what
`fused_isoclr.py` does in single operators. Measured on one H200, isoclr-small trains 1.3 times as
fast by it without a compiler in bfloat16, 1.6 times in float32.
"""

# What is Triton's is there on a GPU alone:
# pyright: reportPossiblyUnboundVariable=false, reportMissingImports=false
# pyright: reportOptionalMemberAccess=false, reportIndexIssue=false

import warnings
from functools import lru_cache

import torch
from torch.autograd.function import once_differentiable

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

_ELEMENTS = 4096  # of a tile
_PROGRAMS = 528  # of a gradient, four a processor; their sums over positions are added up after


def has_kernels(x):
    """Whether activations like `x` have kernels: on a GPU, in float32 or less."""
    return triton is not None and x.is_cuda and x.dtype != torch.float64 and _builds(x.device)


@lru_cache(maxsize=16)
def _builds(device):
    """Whether a kernel can be made: Triton wants a C compiler."""
    x = torch.zeros(1, 16, 1, 16, device=device)
    numbers = torch.zeros(16, device=device)
    gaps = torch.zeros(1, 1, 1, 16, dtype=torch.bool, device=device)
    try:
        with torch.no_grad():
            _Norm.apply(x, numbers, numbers, numbers, None, gaps, 1e-5, True, True)
    except Exception as error:  # of the compiler's, the driver's or the system's own kinds
        reason = f"{type(error).__name__}: {error}"[:200]
        warnings.warn(f"Triton makes no kernels ({reason}): training is slower", stacklevel=2)
        return False
    return True


def norm_of_conv(x, conv_bias, norm, gaps, *, relu, residual=None, masked=False):
    """What follows a convolution that left its bias out.

    Args:
        x: its output, (batch, channels, 1, length).
        conv_bias: its bias, (channels,).
        norm: an `IsoCLRLayerNorm`.
        gaps: bool (batch, 1, 1, length), True where padded.
        relu: whether there is a ReLU before the norm.
        residual: as `x`, added after the norm; None: nothing.
        masked: whether there is a ReLU at the end, and zero where padded.

    Returns:
        As `x`.
    """
    weight, bias = norm.weight, norm.bias
    return _Norm.apply(x, conv_bias, weight, bias, residual, gaps, norm.eps, relu, masked)


def _tile(channels):
    """Rows and columns of what one program holds at a time."""
    width = triton.next_power_of_2(channels)
    return max(_ELEMENTS // width, 1), width


class _Norm(torch.autograd.Function):
    """See `norm_of_conv`; what is saved is the input, the result and two numbers a position."""

    @staticmethod
    def forward(ctx, x, conv_bias, weight, bias, residual, gaps, eps, relu, masked):
        x = x.contiguous(memory_format=torch.channels_last)
        if residual is not None:
            residual = residual.contiguous(memory_format=torch.channels_last)
        channels, rows = x.shape[1], x.numel() // x.shape[1]
        y = torch.empty_like(x, memory_format=torch.channels_last)
        statistics = x.new_empty(2, rows, dtype=torch.float32)
        tile, width = _tile(channels)
        added, gaps = x if residual is None else residual, gaps.view(torch.uint8)
        with torch.cuda.device_of(x):  # in the backward pass autograd sees to it
            _forward[(triton.cdiv(rows, tile),)](
                x, conv_bias, weight, bias, added, gaps, y, statistics,
                rows, channels, gaps.stride(3), eps,
                RELU=relu, RESIDUAL=residual is not None, MASKED=masked, TILE=tile, WIDTH=width,
            )  # fmt: skip
        ctx.save_for_backward(x, conv_bias, weight, y if masked else x, statistics)
        ctx.relu, ctx.masked, ctx.residual = relu, masked, residual is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, conv_bias, weight, y, statistics = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels, rows = x.shape[1], x.numel() // x.shape[1]
        of_x = torch.empty_like(x, memory_format=torch.channels_last)
        of_residual = torch.empty_like(of_x) if ctx.residual else of_x
        tile, width = _tile(channels)
        tiles = triton.cdiv(rows, tile)
        programs = min(tiles, _PROGRAMS)
        sums = statistics.new_empty(programs, 3, channels)
        _backward[(programs,)](
            gradient, y, x, conv_bias, weight, statistics, of_x, of_residual, sums,
            rows, channels, tiles,
            RELU=ctx.relu, RESIDUAL=ctx.residual, MASKED=ctx.masked, TILE=tile, WIDTH=width,
        )  # fmt: skip
        of_conv_bias, of_weight, of_bias = sums.sum(0).unbind(0)
        return (
            of_x,
            of_conv_bias,
            of_weight,
            of_bias,
            of_residual if ctx.residual else None,
            *[None] * 4,
        )


if triton is not None:

    @triton.jit
    def _forward(
        X, CONV_BIAS, WEIGHT, BIAS, RESIDUAL_OF, GAPS, Y, STATISTICS, rows, channels, stride, eps,
        RELU: tl.constexpr, RESIDUAL: tl.constexpr, MASKED: tl.constexpr,
        TILE: tl.constexpr, WIDTH: tl.constexpr,
    ):  # fmt: skip
        row = (tl.program_id(0) * TILE + tl.arange(0, TILE)).to(tl.int64)
        column = tl.arange(0, WIDTH)
        here, wide = row < rows, column < channels
        at = row[:, None] * channels + column[None, :]
        both = here[:, None] & wide[None, :]
        x = tl.load(X + at, mask=both, other=0.0).to(tl.float32)
        x += tl.load(CONV_BIAS + column, mask=wide, other=0.0).to(tl.float32)[None, :]
        if RELU:
            x = tl.maximum(x, 0.0)
        x = tl.where(both, x, 0.0)
        mean = tl.sum(x, 1) / channels
        centred = tl.where(both, x - mean[:, None], 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / channels + eps)
        tl.store(STATISTICS + row, mean, mask=here)
        tl.store(STATISTICS + rows + row, scale, mask=here)
        weight = tl.load(WEIGHT + column, mask=wide, other=0.0).to(tl.float32)
        bias = tl.load(BIAS + column, mask=wide, other=0.0).to(tl.float32)
        y = centred * scale[:, None] * weight[None, :] + bias[None, :]
        if RESIDUAL:
            y += tl.load(RESIDUAL_OF + at, mask=both, other=0.0).to(tl.float32)
        if MASKED:
            gap = tl.load(GAPS + row * stride, mask=here, other=1)
            y = tl.where((gap == 0)[:, None], tl.maximum(y, 0.0), 0.0)
        tl.store(Y + at, y.to(Y.dtype.element_ty), mask=both)

    @triton.jit
    def _backward(
        GRADIENT, Y, X, CONV_BIAS, WEIGHT, STATISTICS, OF_X, OF_RESIDUAL, SUMS,
        rows, channels, tiles,
        RELU: tl.constexpr, RESIDUAL: tl.constexpr, MASKED: tl.constexpr,
        TILE: tl.constexpr, WIDTH: tl.constexpr,
    ):  # fmt: skip
        program = tl.program_id(0)
        column = tl.arange(0, WIDTH)
        wide = column < channels
        conv_bias = tl.load(CONV_BIAS + column, mask=wide, other=0.0).to(tl.float32)
        weight = tl.load(WEIGHT + column, mask=wide, other=0.0).to(tl.float32)
        of_conv_bias = tl.zeros((WIDTH,), dtype=tl.float32)
        of_weight = tl.zeros((WIDTH,), dtype=tl.float32)
        of_bias = tl.zeros((WIDTH,), dtype=tl.float32)
        for number in range(program, tiles, tl.num_programs(0)):
            row = (number * TILE + tl.arange(0, TILE)).to(tl.int64)
            here = row < rows
            at = row[:, None] * channels + column[None, :]
            both = here[:, None] & wide[None, :]
            g = tl.load(GRADIENT + at, mask=both, other=0.0).to(tl.float32)
            if MASKED:
                y = tl.load(Y + at, mask=both, other=0.0).to(tl.float32)
                g = tl.where(y > 0.0, g, 0.0)
            if RESIDUAL:
                tl.store(OF_RESIDUAL + at, g.to(OF_RESIDUAL.dtype.element_ty), mask=both)
            x = tl.load(X + at, mask=both, other=0.0).to(tl.float32) + conv_bias[None, :]
            mean = tl.load(STATISTICS + row, mask=here, other=0.0)
            scale = tl.load(STATISTICS + rows + row, mask=here, other=0.0)
            positive = x > 0.0
            if RELU:
                x = tl.maximum(x, 0.0)
            normal = tl.where(both, (x - mean[:, None]) * scale[:, None], 0.0)
            of_weight += tl.sum(g * normal, 0)
            of_bias += tl.sum(g, 0)
            g *= weight[None, :]
            first = tl.sum(g, 1) / channels
            second = tl.sum(g * normal, 1) / channels
            g = scale[:, None] * (g - first[:, None] - second[:, None] * normal)
            if RELU:
                g = tl.where(positive, g, 0.0)
            g = tl.where(both, g, 0.0)
            of_conv_bias += tl.sum(g, 0)
            tl.store(OF_X + at, g.to(OF_X.dtype.element_ty), mask=both)
        out = SUMS + program * 3 * channels + column
        tl.store(out, of_conv_bias, mask=wide)
        tl.store(out + channels, of_weight, mask=wide)
        tl.store(out + 2 * channels, of_bias, mask=wide)
