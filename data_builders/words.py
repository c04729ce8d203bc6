"""Words of a sequence, the k letters from each of its positions, as numbers."""

from collections.abc import Collection, Sequence

import numpy as np
from scipy.sparse import csr_matrix

RNA_LETTERS = "ACGT"
PROTEIN_LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def letter_numbers(sequence: str, groups: Sequence[str]) -> np.ndarray:
    """Return the group of each letter, int64 (length,); -1 of letters in none.

    A group is letters that count as one, such as "ILV"; an alphabet is groups of one letter each.
    """
    table = np.full(256, -1, np.int64)
    for number, letters in enumerate(groups):
        for letter in letters:
            table[ord(letter)] = number
    return table[np.frombuffer(sequence.encode("ascii"), np.uint8)]


def words_of(sequence: str, k: int, groups: Sequence[str]) -> np.ndarray:
    """Return the words of k letters in order, int64; those with a letter of no group are left out.

    `len(groups) ** k` must fit 63 bits.
    """
    letters = letter_numbers(sequence, groups)
    count = max(len(letters) - k + 1, 0)
    words, whole = np.zeros(count, np.int64), np.ones(count, bool)
    for offset in range(k):
        letter = letters[offset : offset + count]
        words = len(groups) * words + letter
        whole &= letter >= 0
    return words[whole]


def word_table(sequences: Sequence[str], k: int, groups: Sequence[str]) -> csr_matrix:
    """Return which sequence has which word: a sparse matrix of ones, (sequences, words found)."""
    found = [np.unique(words_of(sequence, k, groups)) for sequence in sequences]
    sizes = np.array([len(words) for words in found], np.int64)
    vocabulary, columns = np.unique(
        np.concatenate([*found, np.zeros(0, np.int64)]), return_inverse=True
    )
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shape = len(sequences), max(len(vocabulary), 1)
    return csr_matrix((np.ones(len(columns), np.int32), columns, starts), shape)


def word_frequencies(sequences: Collection[str], k: int, groups: Sequence[str]) -> np.ndarray:
    """Return how often each word is among the words of a sequence: float32 (sequences, words).

    There are len(groups) ** k words; a sequence without words gets zeros.
    """
    table = np.zeros((len(sequences), len(groups) ** k), np.float32)
    for row, sequence in enumerate(sequences):
        counts = np.bincount(words_of(sequence, k, groups), minlength=table.shape[1])
        table[row] = counts / max(counts.sum(), 1)
    return table
