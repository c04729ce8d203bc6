"""Which proteins are relatives of others, by the words that they share; no aligner is needed."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from data_builders.words import PROTEIN_LETTERS, word_table

_WORD = 4
_ROWS = 2000  # that are compared with all others at once
# By chance two sequences of common composition share more words than of even composition.
_CHANCE = 1.5


def relatives(
    proteins: Sequence[str], others: Sequence[str], *, share: float = 0.05, least: int = 8
) -> np.ndarray:
    """Return which proteins share words of four letters with any of some others, beyond chance.

    Where a share p of letters is the same, about p**4 of the words are: a share of 0.05 is an
    identity of 47 % over the length of the shorter one. Distant relatives, and those whose relation
    is a short domain, are not found.

    Args:
        proteins: n of them, without gaps; words with other letters than the 20 do not count.
        others: that they are compared with.
        share: least share of the distinct words of the shorter one, those of chance taken off.
        least: least number of them, likewise.

    Returns:
        bool (n,).
    """
    table = csr_matrix(word_table([*proteins, *others], _WORD, PROTEIN_LETTERS), dtype=np.float32)
    counts = np.diff(table.indptr).astype(float)
    of_others = table[len(proteins) :].T.tocsr()
    found = np.zeros(len(proteins), bool)
    for start in range(0, len(proteins), _ROWS):
        both = (table[start : min(start + _ROWS, len(proteins))] @ of_others).tocoo()
        rows, columns = both.row + start, both.col + len(proteins)
        by_chance = _CHANCE * counts[rows] * counts[columns] / len(PROTEIN_LETTERS) ** _WORD
        shared = both.data - by_chance
        near = (shared >= share * np.minimum(counts[rows], counts[columns])) & (shared >= least)
        found[rows[near]] = True
    return found
