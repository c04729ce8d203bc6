"""What is done to a view of a transcript beyond hiding single nucleotides; all of it is optional.

A pretext that the identity of strings solves teaches little, so the views of a pair are made to
differ: by their ends, by their bases, by their codons, by whole exons, by all but one region.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import numpy as np
from pydantic import Field

from data_builders.simulate.evolution import AMINO_ACIDS
from isoclr.training.recipe import Options
from modeling_isoclr.configuration_isoclr import CODON_START_BIT, EXON_END_BIT, MASK_BASE

_BASE = np.uint8(7)
_BASES = 4
# By exclusive or of A, C, G and T = 0 to 3: 2 is a transition, 1 and 3 are the transversions.
_CHANGES = np.array([2, 2, 1, 3], np.uint8)

Share = Annotated[float, Field(ge=0, lt=1)]


class ViewOptions(Options):
    """How views differ from their transcripts, beside hidden nucleotides.

    Attributes:
        crop: share of a transcript that a view keeps, from one end; the two views of a pair keep
            opposite ends, so up to 0.5 they share nothing where both are of one transcript. 1: all.
        synonyms: share of the codons that are replaced by another codon of their amino acid.
        substitutions: share of the nucleotides that are replaced by another, a transition twice as
            often as either transversion (K80 of kappa 2, Kimura 1980).
        span: nucleotides in a row that are hidden together; `mask_fraction` stays what it is.
        codons: share of the codons that are hidden whole, beside `mask_fraction`.
        exons: share of the exons that are hidden whole, beside `mask_fraction`; never all.
        region: how often the first view of a pair shows one region alone, of 5'UTR, CDS and 3'UTR,
            with the marks of codons and exons in place.
    """

    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    synonyms: Share = 0.0
    substitutions: Share = 0.0
    span: Annotated[int, Field(ge=1)] = 1
    codons: Share = 0.0
    exons: Share = 0.0
    region: Annotated[float, Field(ge=0, le=1)] = 0.0


def cropped_lengths(lengths: np.ndarray, crop: float) -> np.ndarray:
    """Return how many nucleotides of each view are kept, at least one: int64 (views,)."""
    return np.maximum(np.ceil(lengths * crop), 1).astype(np.int64)


def cropped(tokens: np.ndarray, crop: float, at_end: bool) -> np.ndarray:
    """Return the beginning of a transcript, or its end, as a view keeps it."""
    kept = int(cropped_lengths(np.array(len(tokens)), crop))
    return tokens[len(tokens) - kept :] if at_end else tokens[:kept]


def recoded(tokens: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Replace a share of the codons by others of the same amino acid, each alike likely, in place.

    Codons of one codon alone, such as that of methionine, stay, and so do those with an unknown
    base or cut off. Marks stay where they are.
    """
    starts = np.flatnonzero(tokens & CODON_START_BIT)
    starts = starts[starts + 2 < len(tokens)]
    places = starts[:, None] + np.arange(3)
    bases = tokens[places] & _BASE
    drawn = rng.random((2, len(starts)))
    whole = (bases < _BASES).all(axis=1) & (drawn[0] < share)
    places, bases = places[whole], bases[whole].astype(np.int64)
    others, counts = _synonyms()
    codons = bases @ np.array([16, 4, 1])
    choice = (drawn[1][whole] * counts[codons]).astype(np.int64)
    new = np.where(counts[codons] > 0, others[codons, choice], codons)
    letters = np.stack([new // 16, new // 4 % 4, new % 4], axis=1).astype(np.uint8)
    tokens[places] = tokens[places] & ~_BASE | letters
    return tokens


@lru_cache(maxsize=1)
def _synonyms() -> tuple[np.ndarray, np.ndarray]:
    """Other codons of the amino acid of each codon, (64, 5), and how many, (64,)."""
    others = np.zeros((64, 5), np.int64)
    counts = np.zeros(64, np.int64)
    for codon, amino_acid in enumerate(AMINO_ACIDS):
        found = [other for other in np.flatnonzero(amino_acid == AMINO_ACIDS) if other != codon]
        others[codon, : len(found)], counts[codon] = found, len(found)
    return others, counts


def substituted(tokens: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Replace a share of the nucleotides by others, in place; marks and unknown bases stay."""
    chosen = (rng.random(len(tokens), np.float32) < share) & (tokens & _BASE < _BASES)
    tokens[chosen] ^= _CHANGES[rng.integers(len(_CHANGES), size=int(chosen.sum()))]
    return tokens


def hidden_codons(tokens: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose whole codons to hide: bool (length,)."""
    starts = np.flatnonzero(tokens & CODON_START_BIT)
    chosen = starts[rng.random(len(starts)) < share]
    hidden = np.zeros(len(tokens), bool)
    hidden[np.minimum(chosen[:, None] + np.arange(3), len(tokens) - 1)] = True
    return hidden


def hidden_spans(length: int, fraction: float, span: int, rng: np.random.Generator) -> np.ndarray:
    """Choose nucleotides to hide in runs of `span`, which may touch: bool (length,).

    Each is hidden with probability `fraction`, those near the 5' end a little less often.
    """
    begins = rng.random(length, np.float32) < 1 - (1 - fraction) ** (1 / span)
    since = np.cumsum(begins)
    before = np.concatenate([np.zeros(min(span, length), since.dtype), since[:-span]])
    return since > before


def hidden_exons(tokens: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose whole exons to hide, but never all: bool (length,)."""
    ends = (tokens & EXON_END_BIT) > 0
    exon = np.cumsum(ends) - ends  # the last base of an exon belongs to it
    chosen = rng.random(int(exon[-1]) + 1) < share
    return np.zeros(len(tokens), bool) if chosen.all() else chosen[exon]


def one_region(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide the bases of all regions but one, drawn among those that are there; marks stay.

    In place. A view without a codon mark stays as it is.
    """
    codons = np.flatnonzero(tokens & CODON_START_BIT)
    if not len(codons):
        return tokens
    edges: Sequence[int] = (0, int(codons[0]), min(int(codons[-1]) + 3, len(tokens)), len(tokens))
    there = [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]
    start, end = there[int(rng.random() * len(there))]
    outside = np.ones(len(tokens), bool)
    outside[start:end] = False
    tokens[outside] = tokens[outside] & ~_BASE | MASK_BASE
    return tokens
