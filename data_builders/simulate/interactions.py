"""Simulate RNA–protein pairs whose label follows from motifs of both sequences.

Each of several pairs of motifs is a word of an RNA and a word of a protein that bind each other. An
RNA has one or two motifs, in three copies each, and a protein in two. A pair interacts when a motif
of the one binds a motif of the other. All else of the sequences is random, so nearly every molecule
is alone in its cluster, and what was learned of some holds for new ones: C3 can be solved. As every
motif is as frequent as the others, no single molecule tells much of the label.
"""

import numpy as np

from data_builders.interactions.dataset import InteractionSet, Molecule
from data_builders.records import InputError

_NUCLEOTIDES, _AMINO_ACIDS = "ACGT", "ACDEFGHIKLMNPQRSTVWY"
_RNA_MOTIF, _PROTEIN_MOTIF = 8, 5
_COPIES = 3, 2
"""Of a motif in an RNA and in a protein; more would make the proteins of a motif one cluster."""
_SECOND = 0.2


def simulate_interactions(
    rnas: int = 240,
    proteins: int = 160,
    *,
    motifs: int = 6,
    pairs_per_rna: int = 8,
    seed: int = 0,
) -> InteractionSet:
    """Simulate a set with as many pairs that interact as pairs that do not.

    Args:
        rnas: how many, of 60 to 120 nt.
        proteins: how many, of 60 to 120 residues.
        motifs: pairs of motifs, at least 2; the family of a molecule is its first.
        pairs_per_rna: pairs of each label that an RNA has.
        seed: of every draw.

    Raises:
        InputError: too few motifs, RNAs or proteins.
    """
    for name, value, least in (
        ("motifs", motifs, 2),
        ("rnas", rnas, 2 * motifs),
        ("proteins", proteins, 2 * motifs),
        ("pairs_per_rna", pairs_per_rna, 1),
    ):
        if value < least:
            raise InputError(f"{name}: got {value}, wanted at least {least}")
    rng = np.random.default_rng(seed)
    words = [
        (_word(rng, _NUCLEOTIDES, _RNA_MOTIF), _word(rng, _AMINO_ACIDS, _PROTEIN_MOTIF))
        for _ in range(motifs)
    ]
    sides = []
    for side, (count, letters, prefix) in enumerate(
        ((rnas, _NUCLEOTIDES, "rna"), (proteins, _AMINO_ACIDS, "protein"))
    ):
        has = _motifs_of(rng, count, motifs)
        molecules = tuple(
            Molecule(
                f"{prefix}{i}",
                _sequence(
                    rng, letters, [words[m][side] for m in np.flatnonzero(row)] * _COPIES[side]
                ),
                f"motif{np.flatnonzero(row)[0]}",
            )
            for i, row in enumerate(has)
        )
        sides.append((molecules, has))
    binds = (sides[0][1].astype(int) @ sides[1][1].astype(int).T) > 0
    rna, protein, label = [], [], []
    for one in range(rnas):
        for value in (1, 0):
            of_label = np.flatnonzero(binds[one] == value)
            drawn = rng.permutation(of_label)[:pairs_per_rna]
            rna += [one] * len(drawn)
            protein += drawn.tolist()
            label += [value] * len(drawn)
    return InteractionSet(
        rnas=sides[0][0],
        proteins=sides[1][0],
        rna=np.array(rna, np.int32),
        protein=np.array(protein, np.int32),
        label=np.array(label, np.int8),
        source=("simulated",) * len(label),
    )


def _motifs_of(rng: np.random.Generator, count: int, motifs: int) -> np.ndarray:
    """Which molecule has which motif, bool (count, motifs): one, and some of them a second."""
    has = np.zeros((count, motifs), bool)
    first = rng.permutation(np.arange(count) % motifs)
    has[np.arange(count), first] = True
    second = (first + rng.integers(1, motifs, count)) % motifs
    has[np.arange(count), second] |= rng.random(count) < _SECOND
    return has


def _word(rng: np.random.Generator, letters: str, length: int) -> str:
    return "".join(rng.choice(list(letters), length))


def _sequence(rng: np.random.Generator, letters: str, words: list[str]) -> str:
    """Random letters with the words among them, none of which overlap."""
    length = int(rng.integers(60, 121))
    pieces = rng.permutation(words).tolist()
    between = rng.multinomial(
        length - sum(map(len, pieces)), np.full(len(pieces) + 1, 1 / (len(pieces) + 1))
    )
    parts = [_word(rng, letters, int(between[0]))]
    for piece, gap in zip(pieces, between[1:], strict=True):
        parts += [piece, _word(rng, letters, int(gap))]
    return "".join(parts)
