"""Critics: what an embedding says of another, as the contrast between homologs needs it.

Under InfoNCE the best score is the log of how much likelier two homologs are together than apart.
Where sites change alike and independently that is a cosine of one-hot letters times a scale, and
the scale depends on the distance of the two: so it is learned, one for each band of distances.
"""

import math

import torch
from torch import nn

from .configuration_isoclr import IsoCLRConfig


class IsoCLRCritic(nn.Module):
    """Scores of projections: cosine, or bilinear, times a learned scale of each band."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.temperature = config.loss_temperature
        self.log_scale = nn.Parameter(torch.empty(config.critic_bands))
        size = config.projector_sizes[-1]
        bilinear = config.critic == "bilinear"
        self.weight = nn.Parameter(torch.empty(size, size)) if bilinear else None
        self.reset()

    @torch.no_grad()
    def reset(self):
        """Begin with the configured temperature in every band, and with a plain product."""
        self.log_scale.fill_(-math.log(self.temperature))
        if self.weight is not None:
            nn.init.eye_(self.weight)

    def forward(self, first, second, bands=None):
        """Score every first with every second, and every second with every first.

        Args:
            first: projections, (m, size).
            second: projections, (n, size).
            bands: with several bands, that of each pair, integers (m,) with m = n; None: the first.

        Returns:
            Scores of (m, n) and of (n, m), in float32, or in float64 where the projections are.
            They differ by the scale alone: the band of a row is that of its own pair.
        """
        dtype = torch.promote_types(first.dtype, torch.float32)
        first = nn.functional.normalize(first.to(dtype), dim=1)
        second = nn.functional.normalize(second.to(dtype), dim=1)
        if self.weight is not None:
            first = first @ self.weight.to(dtype)
        products = first @ second.T
        scale = self.log_scale.to(dtype).exp()
        scale = scale[0] if bands is None else scale[bands][:, None]
        return products * scale, products.T * scale
