"""What a CDS says codon by codon: how often each codon comes, and which residues follow each other.

Products of tracks, so that gradients reach them; N and masked bases count as a part of each.
"""

from functools import cache

import torch
from torch import nn

from .configuration_isoclr import AMINO_ACIDS, BASES

CODONS = BASES**3
RESIDUE_PAIRS = len(AMINO_ACIDS) ** 2
# The standard genetic code, by codons in alphabetical order.
CODE = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
_RARE = 1e-12  # a frequency; the square root of less has no gradient


def codon_parts(bases, starts):
    """The first two bases of codons together, and the third, at the first.

    Args:
        bases: (batch, 4, length).
        starts: True on first bases of codons, (batch, length).

    Returns:
        (batch, 16, length), zero elsewhere, and (batch, 4, length).
    """
    second, third = (nn.functional.pad(bases, (0, k))[..., k:] for k in (1, 2))
    first = bases * starts[:, None].to(bases.dtype)
    return (first[:, :, None] * second[:, None]).flatten(1, 2), third


def neighbouring_residues(bases, starts):
    """The residue of each codon and that of the next, at the codon's first base.

    A stop codon is no residue. Takes what `codon_parts` takes, and returns two of (batch, 20,
    length).
    """
    pairs, third = codon_parts(bases, starts)
    code = _code().to(bases)
    residues = code[0] @ (pairs * third[:, :1])
    for base in range(1, BASES):
        residues = residues + code[base] @ (pairs * third[:, base, None])
    return residues, nn.functional.pad(residues, (0, 3))[..., 3:]


def pair_columns(counts):
    """20 times the square roots of the frequencies of pairs of neighbouring residues.

    The product of two rows of such roots is the Bhattacharyya coefficient of the frequencies.

    Args:
        counts: of pairs, (..., 400).

    Returns:
        The same shape, about 1 where all pairs are as frequent, 0 without a CDS.
    """
    frequencies = counts / counts.sum(-1, keepdim=True).clamp(min=1)
    return RESIDUE_PAIRS**0.5 * frequencies.clamp(min=_RARE).sqrt()


@cache
def _code():
    """Which residue a codon is, by its third base, the residue and the first two: (4, 20, 16)."""
    is_residue = [[float(residue == letter) for residue in CODE] for letter in AMINO_ACIDS]
    return torch.tensor(is_residue).view(len(AMINO_ACIDS), -1, BASES).permute(2, 0, 1)
