"""Let DeepLIFT of captum add up: rules for norms over channels, and one way for each gradient.

A norm of a position divides by what all its channels make. With c the centred input, s its standard
deviation, and 0 for the reference,

    c/s - c₀/s₀ = (c - c₀) (1/s + 1/s₀)/2 - (c + c₀)/2 · mean((c + c₀)(c - c₀)) / (s s₀ (s + s₀)),

which is exact and linear in c - c₀: its coefficients are multipliers as DeepLIFT needs them, and no
difference is divided by.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# By name: a folder's own code has classes of its own.
_REGIONS = "IsoCLRRegionPooling"
_CENTRED = {"IsoCLRLayerNorm": True, "IsoCLRVectorNorm": True, "IsoCLRRMSNorm": False}


@contextmanager
def deeplift_rules(model: nn.Module) -> Iterator[None]:
    """Have captum's DeepLIFT add up for a model.

    Within it, attributions of `captum.attr.DeepLift(model).attribute(inputs, baselines)` sum to the
    difference of the outputs, for every norm; and for every pooling with `learned_only=True`, where
    inputs and baselines have the same codons, junctions and lengths. Codon usage, a product of
    tracks, has no rule.

    Args:
        model: in evaluation mode. Within the context it must see batches of which the second half
            are the references of the first, as captum puts them together.
    """
    norms = [part for part in model.modules() if type(part).__name__ in _CENTRED]
    poolings = [part for part in model.modules() if type(part).__name__ == _REGIONS]
    for norm in norms:
        norm.forward = _with_multipliers(norm)
    # The stem goes through this ReLU and past it. captum would give the ReLU's multipliers to both
    # ways; a copy for the ReLU has one.
    relus = [part.get_submodule("relu") for part in poolings]
    copies = [relu.register_forward_pre_hook(lambda _, x: x[0].clone()) for relu in relus]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward
        for copy in copies:
            copy.remove()


def _with_multipliers(norm: nn.Module):
    plain, centred = norm.forward, _CENTRED[type(norm).__name__]

    def forward(x, mask=None):
        return _Multipliers.apply(x, plain, norm.weight, norm.eps, centred)

    return forward


class _Multipliers(torch.autograd.Function):
    """A norm over the channels, dimension 1, whose gradient are multipliers."""

    @staticmethod
    def forward(ctx, x, plain, weight, eps, centred):
        """What the norm gives."""
        ctx.save_for_backward(x, weight)
        ctx.eps, ctx.centred = eps, centred
        return plain(x)

    @staticmethod
    def backward(ctx, *grads):
        """The multipliers of both halves, which differ where their gradients do."""
        (grad,) = grads
        x, weight = ctx.saved_tensors
        centred = x - x.mean(1, keepdim=True) if ctx.centred else x
        scale = (centred.square().mean(1, keepdim=True) + ctx.eps).sqrt()
        (c, c0), (s, s0) = centred.chunk(2), scale.chunk(2)
        total, weighted = c + c0, grad * weight.view(1, -1, *[1] * (x.dim() - 2))
        found = []
        for part in weighted.chunk(2):
            shared = (part * total).mean(1, keepdim=True) / (2 * s * s0 * (s + s0))
            multipliers = part * (1 / s + 1 / s0) / 2 - total * shared
            if ctx.centred:
                multipliers = multipliers - multipliers.mean(1, keepdim=True)
            found.append(multipliers)
        return torch.cat(found), None, None, None, None
