"""Sites of decay: m6A away from exon junctions, AU-rich and Pumilio elements of the 3'UTR.

m6A makes transcripts short-lived, and most of it lies near the stop codon. Exon junction complexes
keep its writers away from what is near a junction (Uzonyi et al. 2023; He et al. 2023). So the
motifs of m6A are counted by their distance from junctions and from the stop codon. AU-rich elements
(Chen & Shyu 1995) and sites of Pumilio (Gerber et al. 2006) in the 3'UTR shorten lives too.
"""

import torch
from torch import nn

from .configuration_isoclr import BASES
from .fused_isoclr import at_least_float32

M6A, M6A_CORE, AU_RICH, PUMILIO = "DRACH", "GGAC", "ATTTA", "TGTAHATA"
FROM_JUNCTION = (100, 200, 400)
"""nt on either side of a junction in which a motif of m6A does not count."""
FROM_STOP = 300
"""nt on either side of the end of the CDS that are near the stop codon."""
# Mean and standard deviation of `site_numbers` in human coding transcripts of known exons.
TYPICAL = (
    *((1.7, 0.9), (1.5, 0.9), (1.2, 1.0)),  # cores of m6A's motif away from junctions
    *((2.4, 0.35), (1.9, 0.6), (0.7, 0.6)),  # near the stop codon
    *((1.0, 0.9), (0.2, 0.4), (0.2, 0.2)),  # AU-rich and Pumilio elements, density of the first
)
SITE_NUMBERS = len(TYPICAL)
LETTERS = {"A": "A", "C": "C", "G": "G", "T": "T", "D": "AGT", "R": "AG", "H": "ACT"}
OF_UTR = 100
"""nt that are added to the length of a 3'UTR, of which a short one says little."""
_REACH = max(map(len, (M6A, M6A_CORE, AU_RICH, PUMILIO)))


def site_values(tracks, edges):
    """What each nucleotide adds to the counts of sites.

    Products of tracks, so that gradients reach them; N and masked bases count as a part of each.

    Args:
        tracks: (batch, n_tracks, 1, length), zero where no transcript is.
        edges: integers (batch, 4, length), or 1 for the length: where each nucleotide's transcript,
            its CDS and its 3'UTR begin, and one beyond the end of its transcript. Without a CDS the
            last three are the same.

    Returns:
        (batch, length, 8), float32 at least: the core of m6A's motif away from junctions by each
        distance of `FROM_JUNCTION`; near the stop codon its motif, the same and its core away from
        junctions by the first distance; AU-rich and Pumilio elements that begin in the 3'UTR.
    """
    begin, coding, after, end = edges.unbind(1)
    position = torch.arange(tracks.shape[3], device=tracks.device)
    # The transcript's own end is no junction.
    junctions = (tracks[:, BASES + 1, 0] > 0.5) & (position + 1 < end)
    before = nn.functional.pad(junctions.to(torch.int32).cumsum(1), (1, 0))

    def is_away(distance):
        low = torch.maximum(position - distance, begin).expand(len(tracks), -1)
        high = torch.minimum(position + distance, end).expand(len(tracks), -1)
        return before.gather(1, high.clamp(min=0)) == before.gather(1, low)

    away = [is_away(distance) for distance in FROM_JUNCTION]
    near = ((position - after).abs() < FROM_STOP) & (after > coding)
    in_utr = (position >= after) & (position < end)
    letters = _letters(tracks)
    # At the A that is methylated.
    motif, core = _found(letters, M6A, 2), _found(letters, M6A_CORE, 2)
    values = [core * each for each in away]
    near_and_away = near & away[0]
    values += [motif * near, motif * near_and_away, core * near_and_away]
    values += [_found(letters, element, 0) * in_utr for element in (AU_RICH, PUMILIO)]
    return torch.stack(values, 2)


def site_numbers(counts, utr):
    """What the counts of sites come to, each about 0 with a spread of 1 in human transcripts.

    Args:
        counts: sums of `site_values` over transcripts, (..., 8).
        utr: nt of their 3'UTRs, (...).

    Returns:
        (..., SITE_NUMBERS): log(1 + count) of each, then AU-rich elements for 100 nt of the 3'UTR.
    """
    density = 100 * counts[..., 6:7] / (utr[..., None] + OF_UTR)
    mean, spread = counts.new_tensor(TYPICAL).unbind(1)
    return (torch.cat([torch.log1p(counts), density], -1) - mean) / spread


def _letters(tracks):
    """How much each nucleotide is of each letter of motifs, with `_REACH` zeros at either end."""
    bases = at_least_float32(tracks[:, :BASES, 0])
    bases = nn.functional.pad(bases, (_REACH, _REACH))
    allowed = {letter: ["ACGT".index(base) for base in of] for letter, of in LETTERS.items()}
    return {letter: bases[:, rows].sum(1) for letter, rows in allowed.items()}


def _found(letters, motif, place):
    """How much each nucleotide is that of a motif at `place`, 1 or 0 of known bases."""
    length = letters[motif[0]].shape[1] - 2 * _REACH
    begins = range(_REACH - place, _REACH - place + len(motif))
    parts = [
        letters[letter][:, begin : begin + length]
        for letter, begin in zip(motif, begins, strict=True)
    ]
    found = parts[0]
    for part in parts[1:]:
        found = found * part
    return found
