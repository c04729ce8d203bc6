"""Gaussian kernels with the molecules of training, for models of RNA–protein interaction."""

import torch
from torch import nn


class RPIKernel(nn.Module):
    """Weighted kernels between the mean vector of a molecule and those of training.

    The kernel is exp(-d² / w), of vectors whose numbers have unit variance over training, where w
    is the median of d² there. `place` says where training is, `weigh` what its kernels are worth.

    Args:
        size: of the vectors.
        landmarks: molecules of training.
        components: weighted sums of their kernels.
    """

    scale: torch.Tensor
    landmarks: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, size: int, landmarks: int, components: int):
        super().__init__()
        self.register_buffer("scale", torch.empty(size))
        self.register_buffer("landmarks", torch.empty(landmarks, size))
        self.register_buffer("weight", torch.empty(components, landmarks))
        self.register_buffer("bias", torch.empty(components))

    def reset(self):
        """Kernels with the unit vectors, until something is fitted."""
        nn.init.ones_(self.scale)
        nn.init.eye_(self.landmarks)
        nn.init.eye_(self.weight)
        nn.init.zeros_(self.bias)

    @torch.no_grad()
    def place(self, means):
        """Take the molecules of training.

        Args:
            means: float64 (landmarks, size), none of them twice.
        """
        spread = means.std(0, correction=0)
        scale = torch.where(spread > 0, 1 / spread, 0.0)
        apart = torch.pdist(means * scale).square()
        width = apart.median() if len(apart) else torch.ones(())
        self.scale.copy_(scale / width.clamp(min=1e-6).sqrt())
        self.landmarks.copy_(means)

    @torch.no_grad()
    def weigh(self, weight, centre):
        """Take the weights of kernels that are centred over training.

        Args:
            weight: float64 (components, landmarks).
            centre: mean of the kernels of each molecule of training, float64 (landmarks,).
        """
        # A centred kernel is k - mean(k) - centre + mean(centre): linear in k.
        self.weight.copy_(weight - weight.mean(1, keepdim=True))
        self.bias.copy_(weight @ (centre.mean() - centre))

    def kernels(self, means):
        """Return (batch, landmarks) of vectors (batch, size)."""
        # Without matrix products, whose rounding is large where two molecules are one.
        apart = torch.cdist(
            means * self.scale,
            self.landmarks * self.scale,
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        return (-apart.square()).exp()

    def forward(self, means):
        """(batch, size) to (batch, components)."""
        return nn.functional.linear(self.kernels(means), self.weight, self.bias)


class RPISum(nn.Module):
    """The sum of the products of two molecules, times a slope, and an intercept."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))
        self.intercept = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        """(batch, width) to (batch, 1)."""
        return x.sum(1, keepdim=True) * self.slope + self.intercept
