"""The control without homologs: a sequence mutated at random, as far as a homolog would be.

Substitutions follow a matrix: of proteins BLOSUM62 (Henikoff and Henikoff 1992), of nucleotides
transitions twice as often as each transversion. Insertions and deletions come beside them, as
EvoAug (Lee, Tang, Toneyan and Koo 2023) has them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from modeling_isoclr.configuration_isoclr import BASES, RESIDUE_TOKENS

_ORDER = "ARNDCQEGHILKMFPSTWYV"
_BLOSUM62 = """
 4
-1  5
-2  0  6
-2 -2  1  6
 0 -3 -3 -3  9
-1  1  0  0 -3  5
-1  0  0  2 -4  2  5
 0 -2  0 -1 -3 -2 -2  6
-2  0  1 -1 -3  0  0 -2  8
-1 -3 -3 -3 -1 -3 -3 -4 -3  4
-1 -2 -3 -4 -1 -2 -3 -4 -3  2  4
-1  2  0 -1 -3  1  1 -2 -1 -3 -2  5
-1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5
-2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7
 1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4
 0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11
-2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7
 0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
"""
# Frequencies of the amino acids in the blocks, in the order of the matrix.
_FREQUENCIES = (
    *(0.078, 0.051, 0.045, 0.054, 0.019, 0.043, 0.063, 0.074, 0.022, 0.051),
    *(0.091, 0.057, 0.022, 0.039, 0.052, 0.071, 0.058, 0.013, 0.032, 0.064),
)


@dataclass(frozen=True)
class Mutation:
    """How sequences are mutated.

    Attributes:
        alphabet: rna or protein.
        indel_rate: insertions and as many deletions, a letter of the sequence.
        indel_length: mean letters of each.
    """

    alphabet: str
    indel_rate: float = 0.002
    indel_length: float = 3.0

    def __call__(self, tokens: np.ndarray, identity: float, uniform: np.ndarray) -> np.ndarray:
        """Return a mutated copy of tokens uint8 (length,) of the alphabet, without marks.

        `identity` is the expected share of letters that are kept, of those that stay in place; the
        numbers in [0, 1) of `uniform`, (4, length), decide all.
        """
        letters, cumulative = _replacements(self.alphabet)
        known = np.isin(tokens, letters)
        hit = (uniform[0] >= identity) & known
        rows = np.searchsorted(letters, tokens[hit])
        drawn = (uniform[1][hit, None] >= cumulative[rows]).sum(1)
        mutated = tokens.copy()
        mutated[hit] = letters[drawn]
        return self._with_indels(mutated, uniform[2:])

    def _with_indels(self, tokens: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """An insertion repeats what is before it, so composition stays as it is."""
        where = np.flatnonzero(uniform[0] < 2 * self.indel_rate)
        if not where.size:
            return tokens
        # Lengths are geometric; both kinds are as likely.
        keep = 1 - 1 / self.indel_length
        draws = uniform[1][where]
        sizes = np.ones(len(where), int)
        if keep > 0:
            within = np.maximum(2 * np.abs(draws - 0.5), 1e-12)
            sizes += np.minimum(np.log(within) / np.log(keep), 1e6).astype(int)
        parts, begin = [], 0
        for place, size, draw in zip(where.tolist(), sizes.tolist(), draws.tolist(), strict=True):
            if place < begin:
                continue
            parts.append(tokens[begin:place])
            if draw < 0.5:
                begin = min(place + size, len(tokens) - 1)  # never all of it
            else:
                parts.append(tokens[max(place - size, 0) : place])
                begin = place
        return np.concatenate([*parts, tokens[begin:]])


@cache
def _replacements(alphabet: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that change, ascending; and cumulative probabilities of what each changes into."""
    if alphabet == "rna":
        letters = np.arange(BASES, dtype=np.uint8)
        weights = np.ones((BASES, BASES))
        for a, b in ((0, 2), (1, 3)):  # A with G, C with T
            weights[a, b] = weights[b, a] = 2
    else:
        tokens = np.array([RESIDUE_TOKENS[letter] for letter in _ORDER], np.uint8)
        order = np.argsort(tokens)
        rows = [[float(v) for v in line.split()] for line in _BLOSUM62.split("\n") if line.strip()]
        scores = np.array([row + [0.0] * (20 - len(row)) for row in rows])
        scores += np.tril(scores, -1).T
        # A score is twice the log2 odds of a pair over chance (Henikoff and Henikoff 1992).
        weights = np.array(_FREQUENCIES) * 2 ** (scores / 2)
        letters, weights = tokens[order], weights[np.ix_(order, order)]
    np.fill_diagonal(weights, 0)
    cumulative = np.cumsum(weights / weights.sum(1, keepdims=True), 1)
    return letters, cumulative[:, :-1]
