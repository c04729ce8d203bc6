"""From positions to one vector a transcript: what `IsoCLRConfig.pooling` names.

`last` and `stages` average whole transcripts, as the paper and over every stage. `regions` reads
5'UTR, CDS and 3'UTR apart, the stem too, and keeps what an average of strided convolutions forgets:
which codons there are, how long regions are, and how they are spliced.
"""

import numpy as np
import torch
from torch import nn

from .configuration_isoclr import BASES, IsoCLRConfig

REGIONS = 3
CODONS = BASES**3
# Of each region: nt, exon ends, the four bases; then nt up to the first and from the last junction.
LAYOUT_NUMBERS = REGIONS * (2 + BASES) + 2
_CODON_TRACK, _EXON_TRACK = BASES, BASES + 1
# nt of the whole transcript's mean that each region's is mixed with: the mean of a region of a few
# nt says little, and would be an outlier among those of others.
_PRIOR = 32


def masked_mean(x, mask):
    """Mean over valid positions: (batch, channels, 1, length) to (batch, channels)."""
    return (x * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1)


class IsoCLRLayout(nn.Module):
    """Random features (Rahimi & Recht 2007) of how long regions are and how they are spliced.

    Nothing in it is learned: isoforms of a gene differ in just this, so a contrast would unlearn
    it, and between two views of one transcript it would give everything else away.
    """

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.register_buffer("directions", torch.zeros(LAYOUT_NUMBERS, config.layout_size))

    @torch.no_grad()
    def draw(self):
        """The same directions for all models of a size, whatever the seed."""
        rng = np.random.default_rng(0)
        drawn = rng.normal(size=self.directions.shape) * (2 / LAYOUT_NUMBERS) ** 0.5
        self.directions.copy_(torch.from_numpy(drawn))

    def forward(self, numbers):
        """`layout_numbers`, (batch, LAYOUT_NUMBERS), to (batch, layout_size)."""
        return (numbers.to(self.directions.dtype) @ self.directions).relu()


class IsoCLRRegionPooling(nn.Module):
    """Layout, codon usage, and what stem and stages see in 5'UTR, CDS and 3'UTR."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.layout = IsoCLRLayout(config)
        self.content = nn.Linear(REGIONS * sum(config.filters), config.content_size)
        self.content_norm = nn.LayerNorm(config.content_size, eps=config.norm_eps)

    def forward(self, tracks, mask, stem, stages):
        """Pool a batch.

        Args:
            tracks: (batch, n_tracks, 1, length), zero where padded.
            mask: (batch, 1, 1, length), True where valid.
            stem: its output, (batch, channels, 1, length).
            stages: output and mask of each, as `IsoCLREncoder` gives them.

        Returns:
            (batch, layout_size + 64 + 3 · channels of the stem + content_size).
        """
        starts = (tracks[:, _CODON_TRACK:][:, :1] > 0.5) & mask
        regions = regions_of(starts, mask)
        # Only the stem sees single nucleotides: in the CDS it is read where a codon starts.
        in_frame = torch.cat([regions[:, :1], starts, regions[:, 2:]], 1)
        near = region_means(stem.relu(), in_frame, mask, _PRIOR).flatten(1)
        far = []
        for number, (stage, valid) in enumerate(stages):
            nucleotides = 2 ** (number + 2)
            share = nn.functional.avg_pool2d(regions.to(stage.dtype), (1, nucleotides))
            far.append(region_means(stage, share, valid, _PRIOR / nucleotides).flatten(1))
        layout = self.layout(layout_numbers(tracks, mask, regions))
        content = self.content(torch.cat(far, 1)).to(self.content_norm.weight.dtype)
        content = self.content_norm(content).to(stem.dtype)
        usage = codon_usage(tracks, starts)
        return torch.cat([layout.to(stem.dtype), usage.to(stem.dtype), near, content], 1)


def regions_of(starts, mask):
    """5'UTR, CDS and 3'UTR by the first and the last codon; all is 5'UTR where there is no codon.

    Args:
        starts: (batch, 1, 1, length), True on first bases of codons.
        mask: (batch, 1, 1, length), True where valid.

    Returns:
        bool (batch, 3, 1, length).
    """
    counts = starts.to(torch.int32).cumsum(3)
    begun = counts > 0
    # The last codon goes on for two bases after its first.
    before = nn.functional.pad(counts, (3, 0))[..., : starts.shape[3]]
    ended = begun & (before == counts[..., -1:])
    return torch.cat([~begun, begun & ~ended, ended], 1) & mask


def region_means(x, weights, everywhere, prior):
    """Weighted means, mixed with the mean of the whole transcript, which is that of empty regions.

    Args:
        x: (batch, channels, 1, length).
        weights: (batch, regions, 1, length).
        everywhere: weights of the whole transcript, (batch, 1, 1, length).
        prior: weight of its mean.

    Returns:
        (batch, regions, channels).
    """
    x = x.flatten(2).transpose(1, 2)
    weights, everywhere = (w.flatten(2).to(x.dtype) for w in (weights, everywhere))
    whole = torch.bmm(everywhere, x) / everywhere.sum(2, keepdim=True).clamp(min=1e-6)
    return (torch.bmm(weights, x) + prior * whole) / (weights.sum(2, keepdim=True) + prior)


def codon_usage(tracks, starts):
    """How much more often than 1 in 64 each codon of the CDS comes, 0 without a CDS.

    A product of tracks, so that gradients reach them; N and masked bases count as a part of each.

    Args:
        tracks: (batch, n_tracks, 1, length).
        starts: (batch, 1, 1, length), True on first bases of codons.

    Returns:
        (batch, 64), by alphabet.
    """
    first = tracks[:, :BASES].flatten(2)
    second, third = (nn.functional.pad(first, (0, k))[..., k:] for k in (1, 2))
    starts = starts.flatten(2).to(first.dtype)
    pairs = ((first * starts)[:, :, None] * second[:, None]).flatten(1, 2)
    counts = torch.bmm(pairs, third.transpose(1, 2)).flatten(1)
    return counts * CODONS / starts.sum(2).clamp(min=1)


def layout_numbers(tracks, mask, regions):
    """How a transcript is laid out, in numbers of order 1: (batch, LAYOUT_NUMBERS).

    Args:
        tracks: (batch, n_tracks, 1, length).
        mask: (batch, 1, 1, length), True where valid.
        regions: bool (batch, 3, 1, length).
    """
    tracks = tracks.to(torch.promote_types(tracks.dtype, torch.float32))  # halves cannot count
    bases = region_means(tracks[:, :BASES], regions, mask, _PRIOR)
    within, mask = regions.flatten(2), mask.flatten(1)
    ends = tracks[:, _EXON_TRACK].flatten(1) > 0.5
    length, junctions = within.sum(2), (within & ends[:, None]).sum(2)
    # The last exon end is the transcript's own; where ends are unknown, all is one exon.
    before = ends.to(torch.int32).cumsum(1)
    total = before[:, -1:]
    first = ((before == 0) & mask).sum(1)
    last = ((before == total - 1) & mask & (total > 1)).sum(1)
    counts = torch.cat([length, 100 * junctions, torch.stack([first, last], 1)], 1)
    lengths = torch.log10(1 + counts.to(tracks.dtype)) - 2.5
    return torch.cat([lengths, (bases.flatten(1) - 0.25) * 4], 1)
