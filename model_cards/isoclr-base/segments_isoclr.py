"""Pooling of rows that hold several transcripts each, see packing_isoclr.py.

A transcript begins at a multiple of `downsampling`, so a *block* of so many nucleotides belongs to
one transcript or to none. Sums go through blocks: first over the positions of each, then, as one
product with a matrix of zeros and ones, over the blocks of each transcript. Nothing of a neighbour
is in them, and their order does not change from run to run.
"""

from functools import lru_cache, wraps
from typing import NamedTuple

import torch
from torch import nn

from .codons_isoclr import CODONS, codon_parts, neighbouring_residues
from .configuration_isoclr import BASES
from .fused_isoclr import Bounds, read
from .sites_isoclr import site_numbers, site_values

REGIONS = 3
# nt of the whole transcript's mean that each region's is mixed with: the mean of a region of a few
# nt says little, and would be an outlier among those of others.
PRIOR = 32
_CODON_TRACK, _EXON_TRACK = BASES, BASES + 1


def _without_autocast(method):
    """In the precision of its arguments: half precision cannot count nucleotides."""

    @wraps(method)
    def exact(self, *args):
        with torch.autocast(self.device_type, enabled=False):
            return method(self, *args)

    return exact


class Layout(NamedTuple):
    """What a model needs to know of packed rows beside its weights, made once for many rows.

    Attributes:
        tracks: of each position, (rows, n_tracks, 1, length), zero between transcripts.
        mask: bool (rows, 1, 1, length), True where a transcript is.
        bounds: of that mask.
        matrix: which blocks each transcript has, 0 or 1, (rows, segments, blocks).
        lengths: nt of each transcript, (rows, segments).
        step: nt of a block.
        weights: for each depth that regions are read at, what a position counts for in the means of
            regions, (rows, blocks, regions, positions of a block); empty where none are read.
    """

    tracks: torch.Tensor
    mask: torch.Tensor
    bounds: Bounds
    matrix: torch.Tensor
    lengths: torch.Tensor
    step: int
    weights: tuple[torch.Tensor, ...]

    def part(self, rows: slice) -> "Layout":
        """That of some rows."""
        tracks, mask, matrix, lengths, *weights = (
            part[rows]
            for part in (self.tracks, self.mask, self.matrix, self.lengths, *self.weights)
        )
        return Layout(
            tracks, mask, self.bounds.part(rows), matrix, lengths, self.step, tuple(weights)
        )

    def means(self, maps):
        """As those of `SegmentRegions`, or of `Segments` without weights of regions."""
        if self.weights:
            return region_means(maps, self.weights, self.matrix)
        return whole_means(maps, self.lengths, self.step, self.matrix)


class Segments:
    """Which blocks belong to which transcript.

    Args:
        segment_ids: integers (batch, length): 1, 2, ... for the transcripts of a row, 0 between
            them; the length is a multiple of `step`.
        n_segments: most transcripts in a row.
        step: nucleotides of a block.
        dtype: of sums.
    """

    def __init__(self, segment_ids, n_segments, step, dtype):
        of_block = segment_ids[:, ::step]
        numbers = torch.arange(1, n_segments + 1, device=of_block.device, dtype=of_block.dtype)
        self.step, self.device_type = step, segment_ids.device.type
        self.valid = segment_ids > 0  # (batch, length)
        self.belongs = of_block[:, None] == numbers[:, None]  # (batch, segments, blocks)
        self.matrix = self.belongs.to(dtype)

    def in_blocks(self, values):
        """(batch, positions, ...) to (batch, blocks, positions of a block, ...)."""
        return values.unflatten(1, (self.belongs.shape[2], -1))

    @_without_autocast
    def sums(self, values):
        """Over the blocks of each transcript: (batch, blocks, n) to (batch, segments, n)."""
        return torch.bmm(self.matrix, values.to(self.matrix.dtype))

    @_without_autocast
    def spread(self, values):
        """To the blocks of each transcript, zero elsewhere: (batch, segments, n) to blocks."""
        return torch.bmm(self.matrix.transpose(1, 2), values)

    def counts(self, flags):
        """How many of each transcript's positions are True: (batch, length) to segments."""
        return self.sums(self.in_blocks(flags).sum(2)[..., None]).squeeze(2)

    def ends(self, flags):
        """First and last position of each transcript that is True.

        Args:
            flags: bool (batch, kinds, length).

        Returns:
            Two of (batch, kinds, segments), integers; where none is True, one beyond the row, and a
            negative one.
        """
        length = flags.shape[2]
        position = torch.arange(length, device=flags.device, dtype=torch.int32)
        both = torch.stack([-position, position])
        found = torch.where(flags[:, :, None], both, -length - 1)
        found = found.unflatten(3, (-1, self.step)).amax(4)  # (batch, kinds, 2, blocks)
        found = torch.where(self.belongs[:, None, None], found[:, :, :, None], -length - 1).amax(4)
        return -found[:, :, 0], found[:, :, 1]

    def means(self, stages):
        """Means of each transcript over its positions, of which all others are zero.

        Args:
            stages: each (batch, channels, 1, positions).

        Returns:
            (batch, segments, all channels).
        """
        return whole_means(stages, self.counts(self.valid), self.step, self.matrix)


class SegmentRegions:
    """5'UTR, CDS and 3'UTR of each transcript, by its first and its last codon.

    Args:
        tracks: (batch, n_tracks, 1, length), zero between transcripts.
        segments: of the rows.
    """

    def __init__(self, tracks, segments):
        self.tracks, self.segments = tracks, segments
        self.device_type = segments.device_type
        self.starts = tracks[:, _CODON_TRACK, 0] > 0.5  # first bases of codons, (batch, length)
        first, last = segments.ends(torch.stack([segments.valid, self.starts], 1))
        begin, end = first[:, 0], last[:, 0] + 1
        codons = torch.minimum(first[:, 1], end)  # where there are none, all is 5'UTR
        # The last codon goes on for two bases after its first.
        after = torch.maximum(torch.minimum(last[:, 1] + 3, end), codons)
        edges = torch.stack([begin, codons, after, end], 2).to(segments.matrix.dtype)
        self.edges = edges.masked_fill(~segments.belongs.any(2)[..., None], 0)
        self.lengths = self.edges.diff(dim=2)  # nt of each region, (batch, segments, regions)
        self.codons = segments.counts(self.starts)

    def upstream(self):
        """First nucleotide of each transcript and first base of its start codon.

        Returns:
            Two of (batch, segments), integers; where there is no CDS the second is one beyond the
            end, where there is no transcript both are 0.
        """
        begin, start = self.edges[..., :2].long().unbind(-1)
        return begin, start

    def weights(self, sizes, dtype=None):
        """What each position counts for in the means of regions, block by block.

        Args:
            sizes: nucleotides of a position at each depth; the first is 1, where the CDS is read at
                the first bases of codons.
            dtype: of what is returned; None: that of `segments`.

        Returns:
            For each depth (batch, blocks, regions, positions of a block).
        """
        segments, edges = self.segments, self.edges
        sizes = tuple(sizes)
        low, high, depth, nucleotides = _cells(segments.step, sizes, edges.device, edges.dtype)
        begins = torch.arange(
            0, segments.valid.shape[1], segments.step, device=edges.device, dtype=edges.dtype
        )
        here = segments.spread(edges) - begins[:, None]  # (batch, blocks, 4)
        here = here[..., None].clamp(low, high)
        share = here.diff(dim=2)  # nt of each region at each position
        share[:, :, 1, : segments.step] = segments.in_blocks(self.starts)
        some = here[:, :, 3:] > here[:, :, :1]

        whole = self.lengths.sum(2)[..., None, None]
        positions = torch.ceil(whole / nucleotides).clamp(min=1)  # (batch, segments, 1, depths)
        total = self.lengths[..., None].expand(-1, -1, -1, len(sizes)).clone()
        total[:, :, 1, 0] = self.codons
        scale = torch.reciprocal(total + PRIOR)
        scales = segments.spread(torch.stack([scale, scale * PRIOR / positions], 2).flatten(2))
        scales = scales.unflatten(2, (2, REGIONS, -1))[..., depth]
        weights = share * scales[:, :, 0] + some * scales[:, :, 1]
        weights = weights.to(dtype or weights.dtype)
        counts = [segments.step // size for size in sizes]
        return weights.split(counts, 3)

    def means(self, maps):
        """Means of regions, each mixed with the mean of the whole, see `region_means`.

        Args:
            maps: the stem's output and those of the stages, each (batch, channels, 1, positions).

        Returns:
            Of the first and of all others together, (batch, segments, regions · channels).
        """
        length = self.segments.valid.shape[1]
        weights = self.weights([length // values.shape[3] for values in maps])
        return region_means(maps, weights, self.segments.matrix)

    @_without_autocast
    def codon_usage(self):
        """(batch, segments, 64), see `codon_usage`."""
        counts = self._products(*codon_parts(self._bases(), self.starts))
        return counts * CODONS / self.codons.clamp(min=1)[..., None]

    @_without_autocast
    def residue_pairs(self):
        """How often each pair of neighbouring residues comes, (batch, segments, 400)."""
        return self._products(*neighbouring_residues(self._bases(), self.starts))

    def _bases(self):
        return self.tracks[:, :BASES, 0].to(self.segments.matrix.dtype)

    def _products(self, left, right):
        """Sums of products over each transcript: (batch, n or m, length) to (..., n · m)."""
        left, right = (
            self.segments.in_blocks(values.transpose(1, 2)).flatten(0, 1)
            for values in (left, right)
        )
        of_blocks = torch.bmm(left.transpose(1, 2), right).flatten(1)
        return self.segments.sums(of_blocks.unflatten(0, (len(self.tracks), -1)))

    def layout_numbers(self):
        """(batch, segments, LAYOUT_NUMBERS), see `layout_numbers`."""
        segments, edges = self.segments, self.edges
        follows = nn.functional.pad(segments.valid, (0, 1))[:, 1:]
        junctions = (self.tracks[:, _EXON_TRACK, 0] > 0.5) & follows
        places = segments.in_blocks(self._places())  # (batch, blocks, step, regions)
        counts = (places & segments.in_blocks(junctions)[..., None]).sum(2)
        counts = segments.sums(counts)
        first, last = (found[:, 0].to(edges.dtype) for found in segments.ends(junctions[:, None]))
        begin, end = edges[..., 0], edges[..., 3]
        outside = torch.stack([torch.minimum(first, end) - begin, end - last], 2)
        outside[..., 1].masked_fill_(counts.sum(2) == 0, 0)
        lengths = torch.cat([self.lengths, self.lengths.sum(2, keepdim=True)], 2)
        counts = torch.cat([counts, counts.sum(2, keepdim=True)], 2)
        density = 500 * counts[..., 1:2] / lengths[..., 1:2].clamp(min=1)
        logs = torch.log10(1 + torch.cat([lengths, outside, 100 * counts], 2))
        return torch.cat([logs, density], 2)

    def site_numbers(self):
        """(batch, segments, SITE_NUMBERS), see `site_numbers`."""
        values = site_values(self.tracks, self._edges_here().long().transpose(1, 2))
        counts = self.segments.sums(self.segments.in_blocks(values).sum(2))
        return site_numbers(counts, self.lengths[..., 2])

    def _edges_here(self):
        """Those of the transcript that each nucleotide belongs to, (batch, length, 4)."""
        return self.segments.spread(self.edges).repeat_interleave(self.segments.step, 1)

    def _places(self):
        """Which region each nucleotide is in, bool (batch, length, regions)."""
        position = torch.arange(self.segments.valid.shape[1], device=self.edges.device)
        here = self._edges_here()
        inside = position[:, None] >= here[..., :-1]
        return inside & (position[:, None] < here[..., 1:])


def whole_means(stages, lengths, step, matrix):
    """Means of transcripts over their positions, of which all others are zero.

    `stages` are (batch, channels, 1, positions), `lengths` nt (batch, segments), `step` nt of a
    block, and `matrix` (batch, segments, blocks) says which blocks each transcript has. Returns
    (batch, segments, all channels).
    """
    found, blocks = [], matrix.shape[2]
    with torch.autocast(matrix.device.type, enabled=False):
        for stage in stages:
            parts = _channels_last(stage).unflatten(1, (blocks, -1))
            total = torch.bmm(matrix, parts.sum(2, dtype=matrix.dtype))
            count = torch.ceil(lengths * (parts.shape[2] / step)).clamp(min=1)
            found.append(total / count[..., None])
    return torch.cat(found, 2)


def region_means(maps, weights, matrix):
    """Means of regions, of the first map and of all others together.

    Args:
        maps: each (batch, channels, 1, positions).
        weights: of each, (batch, blocks, regions, positions of a block).
        matrix: which blocks each transcript has, (batch, segments, blocks).

    Returns:
        Two of (batch, segments, regions · channels).
    """
    with torch.autocast(matrix.device.type, enabled=False):
        means = [
            read(values, weight.flatten(0, 1).to(values.dtype))
            for values, weight in zip(maps, weights, strict=True)
        ]
    return joined_means(means, matrix)


def joined_means(means, matrix):
    """Means of regions from those over blocks.

    Args:
        means: of each map, (batch · blocks, regions, channels).
        matrix: which blocks each transcript has, (batch, segments, blocks).

    Returns:
        Of the first map and of all others together, (batch, segments, regions · channels).
    """
    with torch.autocast(matrix.device.type, enabled=False):
        means = [part.flatten(1) for part in means]
        together = torch.cat(means, 1).unflatten(0, (len(matrix), -1))
        sums = torch.bmm(matrix, together.to(matrix.dtype))
    first = means[0].shape[1]
    return sums.split([first, sums.shape[2] - first], 2)


def _make_cells(step, sizes, device, dtype):
    """Begin, end and depth of each position of a block, over all depths; and `sizes`."""
    options = {"device": device, "dtype": dtype}
    counts = [step // size for size in sizes]
    low = torch.cat([torch.arange(0, step, size, **options) for size in sizes])
    widths = [
        torch.full((count,), size, **options) for count, size in zip(counts, sizes, strict=True)
    ]
    depths = [torch.full((count,), depth, device=device) for depth, count in enumerate(counts)]
    return low, low + torch.cat(widths), torch.cat(depths), torch.cat([w[:1] for w in widths])


_kept_cells = lru_cache(maxsize=16)(_make_cells)


def _cells(*arguments):
    """What `_make_cells` makes, kept; a compiler makes it part of what it compiles."""
    make = _make_cells if torch.compiler.is_compiling() else _kept_cells
    return make(*arguments)


def _channels_last(values):
    """(batch, channels, 1, positions) to (batch, positions, channels)."""
    return values.squeeze(2).transpose(1, 2)
