"""Encoders that keep positions apart, for simulated families of one length.

The best critic of a channel of independent sites compares letters site by site. A mean over
positions cannot; these can: a linear map of all letters at once, which can reach the best critic
exactly, and the convolutions of the encoder with a linear map of all their positions.
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


class SiteModel(IsoCLRPreTrainedModel):
    """Letters of a fixed number of sites to a projection, with a critic.

    Args:
        config: with two more attributes: `sites`, letters of a sequence, and `linear`, whether the
            map is linear in them.
    """

    base_model_prefix = "encoder"

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.embeddings = IsoCLRTrackEmbedding(config)
        self.encoder = None if config.linear else IsoCLREncoder(config)
        width = config.sites * config.n_tracks
        if self.encoder is not None:
            width = -(-config.sites // config.downsampling) * config.hidden_size
        self.linear = nn.Linear(width, config.projector_sizes[-1], bias=False)
        self.critic = IsoCLRCritic(config)
        self.post_init()

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
            spare = -sites % self.config.downsampling
            x = nn.functional.pad(tracks, (0, 0, 0, spare)).unsqueeze(1).permute(0, 3, 1, 2)
            mask = torch.ones_like(x[:, :1], dtype=torch.bool)
            mask[..., sites:] = False
            features, _ = self.encoder(x, mask)[1][-1]
        projections = self.linear(features.flatten(1))
        return IsoCLRForPreTrainingOutput(projections=projections)
