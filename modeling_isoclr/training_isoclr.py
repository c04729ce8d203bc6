"""The training path through an encoder and its pooling, in few operators; see fused_isoclr.py."""

import torch
from torch import nn

from .fused_isoclr import (
    Bounds,
    cast_together,
    conv_of,
    enter,
    halve,
    read,
    relu_conv,
    relu_mask,
    relu_mask_halve,
    working_dtype,
)
from .kernels_isoclr import has_kernels, norm_of_conv
from .layers_isoclr import NORMS, IsoCLRConv, IsoCLRLayerNorm


class Fused:
    """What the blocks of an encoder, and what is learned of its pooling, share in training.

    Args:
        weights: those of convolutions and norms that are cast, by their modules.
        bounds: at the depth of a block.
        taps: weights of means over the outputs of stem and stages, see `Layout.weights`; empty
            where pooling reads them itself.
        means: what taps have read so far.
    """

    def __init__(self, weights, bounds, taps, means):
        self.weights, self.bounds, self.taps, self.means = weights, bounds, taps, means

    @classmethod
    def of(cls, encoder, x, mask, pooling=None, layout=None):
        """The training path for a batch; None where it goes module by module.

        Args:
            encoder: an `IsoCLREncoder`.
            x: tracks, (batch, tracks, 1, length).
            mask: bool (batch, 1, 1, length), True where valid.
            pooling: of regions, if any.
            layout: of `x`, if there is one.
        """
        if not _fuses(encoder):
            return None
        device = x.device.type
        dtype = working_dtype(x.dtype, device)
        bounds = None if layout is None else layout.bounds
        if bounds is None or bounds.floor.dtype != dtype:
            bounds = Bounds.of(mask, dtype)
        taps = ()
        if layout is not None and pooling is not None and _is_plain(pooling, encoder):
            taps = tuple(weight.flatten(0, 1).to(dtype) for weight in layout.weights)
        modules = list(encoder.modules())
        cast = [part for part in modules if isinstance(part, IsoCLRConv)]
        by_kernels = has_kernels(x) and isinstance(encoder.stem_norm, IsoCLRLayerNorm)
        if by_kernels:  # which add the bias
            groups = [(conv, (conv.weight,)) for conv in cast]
        else:
            if device != "cpu":  # whose norms take both types
                cast = [part for part in modules if isinstance(part, (IsoCLRConv, IsoCLRLayerNorm))]
            groups = [(part, (part.weight, part.bias)) for part in cast]
        if taps and pooling is not None:
            learned = (pooling.content, pooling.content_norm)
            learned = learned[:1] if device == "cpu" else learned
            groups += [(part, (part.weight, part.bias)) for part in learned]
        weights = iter(cast_together([p for _, own in groups for p in own], dtype))
        by_module = {part: tuple(next(weights) for _ in own) for part, own in groups}
        return (_FusedByKernels if by_kernels else cls)(by_module, bounds, taps, [])

    def halved(self):
        """At half the length."""
        return type(self)(self.weights, self.bounds.halved(), self.taps, self.means)

    def encode(self, encoder, x, mask):
        """What `IsoCLREncoder.forward` gives, in fewer operators; fills `means`."""
        stem = self.normed(encoder.stem, encoder.stem_norm, x, mask)
        x, positive = halve(stem, self.bounds, read=bool(self.taps))
        if self.taps:
            self.means.append(read(positive, self.taps[0]))
        # Some norms count what is valid; nothing else asks.
        counts = not isinstance(encoder.stem_norm, IsoCLRLayerNorm)
        valid = mask.to(x.dtype) if counts else mask
        outputs, fused = [], self
        for number, (first, *rest) in enumerate(encoder.stages):
            mask, valid, fused = mask[..., ::2], valid[..., ::2], fused.halved()
            # The first block of a stage reads what the stage before gave; the stem has been read.
            tap = self.taps[number] if self.taps and number else None
            x = fused.block(first, x, valid, tap, halves=True)
            for block in rest:
                x = fused.halved().block(block, x, valid[..., ::2])
            outputs.append((x, mask[..., ::2]))
        if self.taps:
            self.means.append(read(x, self.taps[-1]))
        return stem, outputs

    def block(self, block, x, valid, tap=None, halves=False):
        """What `IsoCLRBlock.forward` gives, and the greatest of each pair if it `halves`."""
        x, residual = self._enter(block, x, valid, tap)
        x = block.dropout(x)
        return self._leave(block, x, residual, valid, halves)

    def normed(self, conv, norm, x, valid):
        """Convolution → norm."""
        return self._norm(norm, conv_of(conv, self._cast(x), *self.weights[conv]), valid)

    def content(self, pooling, x):
        """What is learned of regions, (rows, segments, regions · channels) to (…, content)."""
        weight, bias = self.weights[pooling.content]
        with torch.autocast(x.device.type, enabled=False):
            # One call, where `linear` on three dimensions adds the bias by another.
            y = torch.addmm(bias, x.flatten(0, 1), weight.t()).unflatten(0, x.shape[:2])
        norm = pooling.content_norm
        return norm.normalized(y, *self.weights.get(norm, (norm.weight, norm.bias)))

    def _enter(self, block, x, valid, tap):
        """The first half of a block and its residual."""
        convs = [block.conv1] if block.shortcut is None else [block.conv1, block.shortcut]
        y, residual, means = enter(block.conv1, x, *(self.weights[conv] for conv in convs), tap=tap)
        if means is not None:
            self.means.append(means)
        y = relu_mask(self._norm(block.norm1, y, valid), None, self.bounds)
        return y, x if residual is None else self._norm(block.shortcut_norm, residual, valid)

    def _leave(self, block, x, residual, valid, halves):
        x = self._norm(block.norm2, relu_conv(block.conv2, x, *self.weights[block.conv2]), valid)
        return (relu_mask_halve if halves else relu_mask)(x, residual, self.bounds)

    def _norm(self, norm, x, valid):
        if norm in self.weights:
            return norm.normalized(x, *self.weights[norm])
        return norm(x, valid)

    def _cast(self, x):
        return x.to(self.bounds.floor.dtype)


class _FusedByKernels(Fused):
    """The same with layer norms, by kernels_isoclr.py, which add the biases of convolutions."""

    def normed(self, conv, norm, x, valid):
        """Convolution → norm."""
        x = conv_of(conv, self._cast(x), self.weights[conv][0], None)
        return norm_of_conv(x, conv.bias, norm, self.bounds.gaps, relu=False)

    def _enter(self, block, x, valid, tap):
        conv, shortcut, gaps = block.conv1, block.shortcut, self.bounds.gaps
        weights = (*self.weights[conv], None)
        more = None if shortcut is None else (*self.weights[shortcut], None)
        y, residual, means = enter(conv, x, weights, more, tap, relu=False)
        if means is not None:
            self.means.append(means)
        y = norm_of_conv(y, conv.bias, block.norm1, gaps, relu=True, masked=True)
        if shortcut is None:
            return y, x
        return y, norm_of_conv(residual, shortcut.bias, block.shortcut_norm, gaps, relu=False)

    def _leave(self, block, x, residual, valid, halves):
        x = conv_of(block.conv2, x, self.weights[block.conv2][0], None)
        x = norm_of_conv(
            x,
            block.conv2.bias,
            block.norm2,
            self.bounds.gaps,
            relu=True,
            residual=residual,
            masked=True,
        )
        return nn.functional.max_pool2d(x, (1, 2)) if halves else x


def _fuses(encoder):
    """Whether the training path applies: not where clients changed, or watch, what is inside."""
    if not encoder.training or encoder.gradient_checkpointing or torch.compiler.is_compiling():
        return False
    kinds = (IsoCLRConv, *NORMS.values())
    return _is_untouched(encoder, kinds, encoder.stem.weight.dtype)


def _is_plain(pooling, encoder):
    """The same of what is learned of pooling."""
    kinds = (nn.Linear, type(pooling.content_norm))
    return _is_untouched(pooling, kinds, encoder.stem.weight.dtype)


def _is_untouched(module, kinds, dtype):
    for part in module.modules():
        if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks:
            return False
        if next(part.parameters(recurse=False), None) is None:
            continue
        if type(part) not in kinds or part.weight.dtype != dtype:
            return False
    return True
