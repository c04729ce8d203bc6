"""Encoders that keep positions apart, for simulated families of one length.

The best critic of a channel of independent sites compares letters site by site. A mean over
positions cannot; these can. `sites` and `linear` are linear in the letters and can reach the best
critic: the former has one small map for all sites and a weight of each, the latter one map of all
letters at once, which needs far more families to be learned (its numbers grow with the square of
the sites). `positions` is the encoder's convolutions with the read-out of `sites`, from the stem,
which has every position, and from the last stage: the maxima before it lose which of two neighbours
had a letter.
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
from modeling_isoclr.training_isoclr import Fused


class SiteReadOut(nn.Module):
    """One linear map for all positions, and a weight of each, 1 to begin with."""

    def __init__(self, positions: int, width: int, size: int):
        super().__init__()
        self.linear = nn.Linear(width, size)
        self.weight = nn.Parameter(torch.ones(positions))

    def forward(self, x):
        """(batch, positions, width) to (batch, positions, size)."""
        return self.linear(x) * self.weight[:, None]


class SiteModel(IsoCLRPreTrainedModel):
    """Letters of a fixed number of sites to a projection, with a critic.

    Args:
        config: with two more attributes: `sites`, letters of a sequence, and `site_encoder`:
            sites, linear or positions. The last of `projector_sizes` is the width of the
            projection; of the encoders `sites` and `positions`, that of each position.
    """

    base_model_prefix = "encoder"

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.embeddings = IsoCLRTrackEmbedding(config)
        by_convolution = config.site_encoder == "positions"
        self.encoder = IsoCLREncoder(config) if by_convolution else None
        shapes = [(config.sites, config.n_tracks)]
        if by_convolution:
            halved = -(-config.sites // config.downsampling)
            shapes = [(config.sites, config.stem_channels), (halved, config.hidden_size)]
        if config.site_encoder == "linear":
            shapes = [(1, config.sites * config.n_tracks)]
        size = config.projector_sizes[-1]
        self.read_outs = nn.ModuleList(SiteReadOut(*shape, size) for shape in shapes)
        self.critic = IsoCLRCritic(config)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, SiteReadOut):
            nn.init.ones_(module.weight)
        else:
            super()._init_weights(module)

    def forward(self, input_ids, return_loss=False):
        """Project sequences of (batch, sites or more), the rest being padding."""
        sites = self.config.sites
        if input_ids.shape[1] < sites:
            raise ValueError(f"input_ids: got {input_ids.shape[1]} letters, wanted {sites}")
        tracks = self.embeddings(input_ids[:, :sites])
        if self.encoder is not None:
            features = self._convolved(tracks)
        elif self.config.site_encoder == "linear":
            features = [(tracks - tracks.mean(2, keepdim=True)).flatten(1)[:, None]]
        else:
            features = [tracks - tracks.mean(2, keepdim=True)]
        read = [out(x).flatten(1) for out, x in zip(self.read_outs, features, strict=True)]
        return IsoCLRForPreTrainingOutput(projections=torch.cat(read, 1))

    def _convolved(self, tracks):
        """(batch, sites, tracks) to stem and last stage, (batch, positions, channels) each."""
        sites, spare = tracks.shape[1], -tracks.shape[1] % self.config.downsampling
        x = nn.functional.pad(tracks, (0, 0, 0, spare)).unsqueeze(1).permute(0, 3, 1, 2)
        mask = torch.ones_like(x[:, :1], dtype=torch.bool)
        mask[..., sites:] = False
        assert self.encoder is not None
        stem, stages = self.encoder(x, mask, Fused.of(self.encoder, x, mask))
        both = [x.squeeze(2).transpose(1, 2) for x in (stem, stages[-1][0])]
        return [both[0][:, :sites], both[1]]
