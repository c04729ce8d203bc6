"""Pairs that interact where the motif of the RNA and that of the protein belong together."""

import numpy as np

from data_builders.interactions.dataset import InteractionSet, Molecule, write_interactions

RNA_MOTIFS = ("GGACUCAC".replace("U", "T"), "TTGTATAT", "CACCACCC")
PROTEIN_MOTIFS = ("KWRHK", "FYEDM", "CGPWC")


def toy_interactions(molecules=30, pairs=240, length=30, seed=0):
    """A set of which every molecule is a cluster, and motif i goes with motif i."""
    rng = np.random.default_rng(seed)

    def made(kind, letters, motifs):
        found = []
        for number in range(molecules):
            sequence = rng.choice(list(letters), length)
            motif = motifs[number % len(motifs)]
            start = rng.integers(length - len(motif))
            sequence[start : start + len(motif)] = list(motif)
            found.append(Molecule(f"{kind}{number}", "".join(sequence), cluster=f"{number}"))
        return tuple(found)

    rnas = made("rna", "ACGT", RNA_MOTIFS)
    proteins = made("protein", "ACDEFGHIKLMNPQRSTVWY", PROTEIN_MOTIFS)
    fitting = [
        (a, b) for a in range(molecules) for b in range(molecules) if (a - b) % len(RNA_MOTIFS) == 0
    ]
    chosen = np.array(fitting)[rng.permutation(len(fitting))[:pairs]]
    return InteractionSet(
        rnas=rnas,
        proteins=proteins,
        rna=chosen[:, 0].astype(np.int32),
        protein=chosen[:, 1].astype(np.int32),
        label=np.ones(len(chosen), np.int8),
        source=("toy",) * len(chosen),
    )


def write_toy(folder, **keys):
    """The same as a folder."""
    write_interactions(toy_interactions(**keys), folder)
    return folder
