"""Encoders that keep positions apart, for simulated families of one length.

The best critic of a channel of independent sites compares letters site by site. A mean over
positions cannot; these can. `sites` and `linear` are linear in the letters and can reach the best
critic: the former has one small map for all sites and a weight of each, the latter one map of all
letters at once, which needs far more families to be learned (its numbers grow with the square of
the sites). `positions` is the encoder's convolutions with the read-out of `sites`.
"""

import torch
from torch import nn

from modeling_isoclr.configuration_isoclr import IsoCLRConfig
from modeling_isoclr.critic_isoclr import IsoCLRCritic
from modeling_isoclr.layers_isoclr import IsoCLREncoder, IsoCLRTrackEmbedding
from modeling_isoclr.modeling_isoclr import (
    IsoCLRForPreTrainingOutput,
    IsoCLRPreTrainedModel,
)

SITE_ENCODERS = ("sites", "linear", "positions")


class SiteWeights(nn.Module):
    """A weight of each position, 1 to begin with."""

    def __init__(self, positions: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(positions))

    def forward(self, x):
        """(batch, positions, width) to the same shape."""
        return x * self.weight[:, None]


class SiteModel(IsoCLRPreTrainedModel):
    """Letters of a fixed number of sites to a projection, with a critic.

    Args:
        config: with two more attributes: `sites`, letters of a sequence, and `site_encoder`, one of
            `SITE_ENCODERS`. The last of `projector_sizes` is the width of the projection; of the
            encoders `sites` and `positions`, that of each position.
    """

    base_model_prefix = "encoder"

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.embeddings = IsoCLRTrackEmbedding(config)
        by_convolution = config.site_encoder == "positions"
        self.encoder = IsoCLREncoder(config) if by_convolution else None
        width, positions = config.n_tracks, config.sites
        if by_convolution:
            width, positions = config.hidden_size, -(-config.sites // config.downsampling)
        if config.site_encoder == "linear":
            width, positions = width * positions, 1
        self.linear = nn.Linear(width, config.projector_sizes[-1], bias=False)
        self.weights = SiteWeights(positions) if positions > 1 else None
        self.critic = IsoCLRCritic(config)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, SiteWeights):
            nn.init.ones_(module.weight)
        else:
            super()._init_weights(module)

    def forward(self, input_ids, return_loss=False):
        """Project sequences of (batch, sites or more), the rest being padding.

        Raises:
            ValueError: fewer letters than sites.
        """
        sites = self.config.sites
        if input_ids.shape[1] < sites:
            raise ValueError(f"input_ids: got {input_ids.shape[1]} letters, wanted {sites}")
        tracks = self.embeddings(input_ids[:, :sites])
        if self.encoder is None:
            features = tracks - tracks.mean(2, keepdim=True)
        else:
            features = self._convolved(tracks)
        if self.config.site_encoder == "linear":
            features = features.flatten(1)[:, None]
        read = self.linear(features)
        if self.weights is not None:
            read = self.weights(read)
        return IsoCLRForPreTrainingOutput(projections=read.flatten(1))

    def _convolved(self, tracks):
        """(batch, sites, tracks) to the last stage, (batch, positions, channels)."""
        sites, spare = tracks.shape[1], -tracks.shape[1] % self.config.downsampling
        x = nn.functional.pad(tracks, (0, 0, 0, spare)).unsqueeze(1).permute(0, 3, 1, 2)
        mask = torch.ones_like(x[:, :1], dtype=torch.bool)
        mask[..., sites:] = False
        return self.encoder(x, mask)[1][-1][0].squeeze(2).transpose(1, 2)
