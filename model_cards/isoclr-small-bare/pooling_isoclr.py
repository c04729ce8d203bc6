"""From positions to one vector a transcript: what `IsoCLRConfig.pooling` names.

`last` and `stages` average whole transcripts, as the paper and over every stage. `regions` reads
5'UTR, CDS and 3'UTR apart, the stem too, and keeps what an average of strided convolutions forgets:
which codons there are, how long regions are, and how they are spliced. Of all that, linear
discriminants take what homologs have in common. With `start_window` it also reads the end of the
5'UTR by distance from the start codon, so that a reading frame that opens upstream is seen.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .codons_isoclr import CODONS, codon_parts, neighbouring_residues, pair_columns
from .configuration_isoclr import BASES, FRAMES, START_BANDS, IsoCLRConfig
from .fused_isoclr import at_least_float32
from .layers_isoclr import IsoCLRVectorNorm
from .segments_isoclr import PRIOR, REGIONS, SegmentRegions, joined_means
from .sites_isoclr import SITE_NUMBERS, site_numbers, site_values

# What `layout_numbers` gives, and what it is about in human coding transcripts of known exons:
# log10(1 + nt) of 5'UTR, CDS, 3'UTR, the whole, and before the first and after the last junction;
# log10(1 + 100 junctions) of the same four; junctions per 500 nt of CDS.
_TYPICAL = (2.1, 3.0, 2.8, 3.4, 2.3, 2.9, 0.9, 2.6, 0.2, 2.7, 3.0)
LAYOUT_NUMBERS = len(_TYPICAL)
_CODON_TRACK, _EXON_TRACK = BASES, BASES + 1


def masked_mean(x, mask):
    """Mean over valid positions: (batch, channels, 1, length) to (batch, channels)."""
    return (x * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1)


class IsoCLRRandomFeatures(nn.Module):
    """Random features (Rahimi & Recht 2007) of a few numbers; none is learned.

    Args:
        inputs: how many numbers.
        size: how many features.
        variance: of a feature before the tanh, where those of the numbers are 1.
    """

    directions: torch.Tensor
    offsets: torch.Tensor

    def __init__(self, inputs: int, size: int, variance: float):
        super().__init__()
        self.variance = variance
        self.register_buffer("directions", torch.zeros(inputs, size))
        self.register_buffer("offsets", torch.zeros(size))
        self.tanh = nn.Tanh()

    def draw(self):
        """The same features in all models of a size, whatever the seed."""
        rng = np.random.default_rng(0)
        scale = (self.variance / len(self.directions)) ** 0.5
        self.directions.copy_(torch.from_numpy(rng.normal(0, scale, self.directions.shape)))
        self.offsets.copy_(torch.from_numpy(rng.normal(0, 0.5, self.offsets.shape)))

    def forward(self, numbers):
        """(batch, inputs) to (batch, size), within -1 and 1."""
        return self.tanh(numbers.to(self.directions.dtype) @ self.directions + self.offsets)


class IsoCLRLayout(IsoCLRRandomFeatures):
    """Random features of how long regions are and how they are spliced.

    Isoforms of a gene differ in just this, so a contrast would unlearn it, and between two views of
    one transcript it would give everything else away.
    """

    def __init__(self, config: IsoCLRConfig):
        super().__init__(LAYOUT_NUMBERS, config.layout_size, variance=2.0)

    def forward(self, numbers):
        """`layout_numbers`, (batch, LAYOUT_NUMBERS), to (batch, layout_size)."""
        return super().forward(numbers - numbers.new_tensor(_TYPICAL))


class IsoCLRDiscriminants(nn.Module):
    """Random features of what tells homology groups apart and their members do not differ in.

    The axes are found after training (`isoclr discriminants`), until then they are at random.
    """

    centre: torch.Tensor
    axes: torch.Tensor

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        width = config.layout_size + CODONS + REGIONS * config.stem_channels
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, config.discriminants))
        self.features = IsoCLRRandomFeatures(
            config.discriminants, config.discriminant_size, variance=1.0
        )

    def forward(self, columns):
        """Layout, codon usage and stem, (batch, width), to (batch, discriminant_size)."""
        columns = at_least_float32(columns)  # axes are long where columns are narrow
        centre, axes = (part.to(columns.dtype) for part in (self.centre, self.axes))
        return self.features((columns - centre) @ axes)


class IsoCLRSites(IsoCLRRandomFeatures):
    """Random features of how many sites of decay a transcript has, and where."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__(SITE_NUMBERS, config.sites_size, variance=2.0)


class IsoCLRRegionPooling(nn.Module):
    """Layout, codon usage, and what stem and stages see in 5'UTR, CDS and 3'UTR."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.layout = IsoCLRLayout(config)
        self.relu = nn.ReLU()
        self.content = nn.Linear(REGIONS * sum(config.filters), config.content_size)
        self.content_norm = IsoCLRVectorNorm(config.content_size, eps=config.norm_eps)
        self.discriminants = IsoCLRDiscriminants(config) if config.discriminants else None
        self.sites = IsoCLRSites(config) if config.sites_size else None
        self.residue_pairs, self.start_window = config.residue_pairs, config.start_window

    def read(self, layout, fused):
        """What is learned, of a batch whose outputs the training path has read, see `forward`."""
        stem, stages = joined_means(fused.means, layout.matrix)
        return torch.cat([stem, fused.content(self, stages)], -1)

    def forward(self, tracks, mask, stem, stages, segments=None, learned_only=False, layout=None):
        """Pool a batch.

        Args:
            tracks: (batch, n_tracks, 1, length), zero where padded.
            mask: (batch, 1, 1, length), True where valid.
            stem: its output, (batch, channels, 1, length).
            stages: output and mask of each, as `IsoCLREncoder` gives them.
            segments: `Segments` of rows that hold several transcripts.
            learned_only: leave out what is not learned, all but stem and content.
            layout: `Layout` of such rows instead, for what is learned alone.

        Returns:
            (batch, `pooled_size` of the configuration): features of the layout, codon usage,
            features of discriminants and of sites, pairs of residues, what lies before the start
            codon, what the stem sees in the three regions, content. With segments (batch, segments,
            the same).
        """
        if layout is not None:
            regions = layout
        elif segments is None:
            regions = _RowRegions(tracks, mask)
        else:
            regions = SegmentRegions(tracks, segments)
        outputs = [stage for stage, _ in stages]
        stem_positive = self.relu(stem)
        stem_features, stage_features = regions.means([stem_positive, *outputs])
        # In the precision of the activations: a quantized layer's weights are of another type.
        content = self.content_norm(self.content(stage_features.to(stem.dtype)))
        pooled = [stem_features, content]
        if not learned_only:
            fixed = [self.layout(regions.layout_numbers()), regions.codon_usage()]
            if self.discriminants is not None:
                fixed.append(self.discriminants(torch.cat([*fixed, stem_features], -1)))
            if self.sites is not None:
                fixed.append(self.sites(regions.site_numbers()))
            if self.residue_pairs:
                fixed.append(pair_columns(regions.residue_pairs()))
            if self.start_window:
                begin, start = regions.upstream()
                place = Upstream(begin, start, self.start_window)
                found = start_columns(tracks, stem_positive, mask, place)
                fixed.append(found if segments is not None else found.squeeze(1))
            pooled = fixed + pooled
        return torch.cat([part.to(stem.dtype) for part in pooled], -1)


class _RowRegions:
    """5'UTR, CDS and 3'UTR of rows that hold a transcript each."""

    def __init__(self, tracks, mask):
        self.tracks, self.mask = tracks, mask
        self.starts = (tracks[:, _CODON_TRACK:][:, :1] > 0.5) & mask
        self.regions = regions_of(self.starts, mask)

    def means(self, maps):
        """As those of `SegmentRegions`, two of (batch, regions · channels)."""
        # Only the stem sees single nucleotides: in the CDS it is read where a codon starts.
        in_frame = torch.cat([self.regions[:, :1], self.starts, self.regions[:, 2:]], 1)
        means = [region_means(maps[0], in_frame, self.mask, PRIOR).flatten(1)]
        for values in maps[1:]:
            size = self.mask.shape[3] // values.shape[3]
            share = nn.functional.avg_pool2d(self.regions.to(values.dtype), (1, size))
            valid = self.mask[..., ::size]
            means.append(region_means(values, share, valid, PRIOR / size).flatten(1))
        return means[0], torch.cat(means[1:], 1)

    def upstream(self):
        """First nucleotide and start codon, as those of `SegmentRegions`: two of (batch, 1)."""
        position = torch.arange(self.mask.shape[3], device=self.mask.device)
        end = (self.mask * (position + 1)).amax((2, 3))
        first = torch.where(self.starts, position, len(position)).amin((2, 3))
        return torch.zeros_like(end), torch.minimum(first, end)

    def codon_usage(self):
        """(batch, 64)."""
        return codon_usage(self.tracks, self.starts)

    def layout_numbers(self):
        """(batch, LAYOUT_NUMBERS)."""
        return layout_numbers(self.tracks, self.mask, self.regions)

    def residue_pairs(self):
        """How often each pair of neighbouring residues comes, (batch, 400)."""
        bases = at_least_float32(self.tracks[:, :BASES]).flatten(2)
        residues, following = neighbouring_residues(bases, self.starts.flatten(1))
        return torch.bmm(residues, following.transpose(1, 2)).flatten(1)

    def site_numbers(self):
        """(batch, SITE_NUMBERS)."""
        lengths = self.regions.sum((2, 3))
        edges = nn.functional.pad(lengths.cumsum(1), (1, 0))
        counts = site_values(self.tracks, edges[..., None]).sum(1)
        return site_numbers(counts, lengths[:, 2])


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
    x = at_least_float32(x).flatten(2).transpose(1, 2)
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
    starts = starts.flatten(2)
    pairs, third = codon_parts(at_least_float32(tracks[:, :BASES]).flatten(2), starts.squeeze(1))
    counts = torch.bmm(pairs, third.transpose(1, 2)).flatten(1)
    return counts * CODONS / starts.sum(2).clamp(min=1)


class Upstream(NamedTuple):
    """Where the ends of 5'UTRs lie.

    Attributes:
        begin: first nucleotide of each transcript, integers (batch, segments).
        start: first base of its start codon, the same; where it has no CDS, one beyond its end, as
            all of it counts as 5'UTR.
        window: how many nt before the start codon are read.
    """

    begin: torch.Tensor
    start: torch.Tensor
    window: int


def start_columns(tracks, stem, mask, place):
    """What lies before the start codon, by distance and reading frame.

    A word of three bases is in the frame that its distance to the start codon leaves by three: in
    frame 0 an ATG opens the frame of the CDS, in the others it opens one that overlaps it unless a
    stop codon comes first. Nucleotides that a short 5'UTR does not have count as zeros.

    Args:
        tracks: (batch, n_tracks, 1, length).
        stem: its output, not negative, (batch, channels, 1, length).
        mask: (batch, 1, 1, length), True where valid.
        place: of each transcript, an `Upstream` of a window that is a multiple of 24.

    Returns:
        (batch, segments, 384 + 7 · channels), float32 at least: for each frame how often each of
        the 64 words comes, then whether it comes at all; means of the stem for each frame, then
        for each band of distances, nearest first.
    """
    distances = torch.arange(1, place.window + 1, device=mask.device)
    positions = place.start[..., None] - distances  # (batch, segments, window), the nearest first
    there = positions >= place.begin[..., None]
    positions = positions.clamp(min=0)
    there = there & _at(mask, positions)[..., 0]
    bases, seen = (
        at_least_float32(_at(values, positions)) * there[..., None]
        for values in (tracks[:, :BASES], stem)
    )
    # By their first base, which is the farthest of the three: at distances 3, 4, 5, ...
    third, second, first = bases[..., :-2, :], bases[..., 1:-1, :], bases[..., 2:, :]
    words = first[..., :, None, None] * second[..., None, :, None] * third[..., None, None, :]
    words = words.flatten(-3)
    of_frame = [words[..., frame::FRAMES, :] for frame in range(FRAMES)]
    counts = [each.sum(-2) for each in of_frame]
    presence = [each.amax(-2) for each in of_frame]
    # At distances 1, 2, 3, ..., of which the third is the first of frame 0.
    frames = [seen[..., (frame - 1) % FRAMES :: FRAMES, :].mean(-2) for frame in range(FRAMES)]
    edges = [0, *(int(share * place.window) for share in START_BANDS)]
    bands = [seen[..., low:high, :].mean(-2) for low, high in pairwise(edges)]
    return torch.cat([*counts, *presence, *frames, *bands], -1)


def _at(values, positions):
    """Values at positions: (batch, channels, 1, length) to (batch, segments, window, channels)."""
    index = positions.flatten(1)[:, None].expand(-1, values.shape[1], -1)
    found = values.squeeze(2).gather(2, index).transpose(1, 2)
    return found.unflatten(1, positions.shape[1:])


def layout_numbers(tracks, mask, regions):
    """Lengths and junctions, see `_TYPICAL`: (batch, LAYOUT_NUMBERS).

    Args:
        tracks: (batch, n_tracks, 1, length).
        mask: (batch, 1, 1, length), True where valid.
        regions: bool (batch, 3, 1, length).
    """
    dtype = at_least_float32(tracks).dtype
    follows = nn.functional.pad(mask, (0, 1))[..., 1:]  # the transcript's own end is no junction
    junctions = (tracks[:, _EXON_TRACK:][:, :1] > 0.5) & follows
    places = torch.cat([regions, mask], 1)
    lengths, counts = places.sum((2, 3)).to(dtype), (places & junctions).sum((2, 3)).to(dtype)
    passed = junctions.to(torch.int32).cumsum(3)
    outside = torch.cat([passed == 0, (passed == passed[..., -1:]) & (passed > 0)], 1) & mask
    ends = outside.sum((2, 3)).to(dtype)
    density = 500 * counts[:, 1:2] / lengths[:, 1:2].clamp(min=1)
    logs = torch.log10(1 + torch.cat([lengths, ends, 100 * counts], 1))
    return torch.cat([logs, density], 1)
