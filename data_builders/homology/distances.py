"""How far homologs are from each other, counted from their letters.

All distances are in expected substitutions a site, and every function gives a symmetric (n, n)
matrix with zeros on its diagonal; NaN where there is nothing to count, or where so many sites
differ that the model has no finite distance.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array

from data_builders.records import InputError

METHODS = ("p", "jc69", "k80", "poisson")
MASH_K = {"rna": 15, "protein": 5}
"""Lengths of k-mers, long enough that one rarely occurs twice by chance in a gene."""

_PURINES = np.isin(np.arange(256), np.frombuffer(b"AG", np.uint8))


def alignment_distances(rows: Sequence[str], method: str, unknown: str) -> np.ndarray:
    """Return distances between the rows of an alignment.

    A column counts for two rows where both have a letter that is known.

    Args:
        rows: of one length, upper-case, with `-` for gaps.
        method: p, the share of sites that differ; jc69 (Jukes and Cantor 1969) and k80 (Kimura
            1980), of nucleotides; poisson, -ln(1 - p) (Zuckerkandl and Pauling 1965), of proteins.
        unknown: the letter of an unknown position.

    Raises:
        InputError: an unknown method.
    """
    if method not in METHODS:
        raise InputError(f"distances: got {method!r}, wanted one of {', '.join(METHODS)}")
    letters = np.frombuffer("".join(rows).encode(), np.uint8).reshape(len(rows), -1)
    known = (letters != ord("-")) & (letters != ord(unknown))
    compared = known.astype(np.float32) @ known.T.astype(np.float32)
    same = np.zeros_like(compared)
    for letter in np.unique(letters[known]):
        has = ((letters == letter) & known).astype(np.float32)
        same += has @ has.T
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(compared > 0, 1 - same / compared, np.nan).astype(np.float64)
        if method == "k80":
            purine = (_PURINES[letters] & known).astype(np.float32)
            pyrimidine = (~_PURINES[letters] & known).astype(np.float32)
            transversions = (purine @ pyrimidine.T + pyrimidine @ purine.T) / compared
            distances = _kimura(p - transversions, transversions)
        else:
            distances = _CORRECTIONS[method](p)
    distances[~np.isfinite(distances)] = np.nan
    np.fill_diagonal(distances, 0)
    return distances


def _jukes_cantor(p: np.ndarray) -> np.ndarray:
    return -0.75 * np.log(np.where(p < 0.75, 1 - 4 * p / 3, np.nan))


def _poisson(p: np.ndarray) -> np.ndarray:
    return -np.log(np.where(p < 1, 1 - p, np.nan))


def _kimura(transitions: np.ndarray, transversions: np.ndarray) -> np.ndarray:
    first = 1 - 2 * transitions - transversions
    second = 1 - 2 * transversions
    defined = (first > 0) & (second > 0)
    distances = -0.5 * np.log(np.where(defined, first, np.nan))
    return distances - 0.25 * np.log(np.where(defined, second, np.nan))


_CORRECTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "p": lambda p: p,
    "jc69": _jukes_cantor,
    "poisson": _poisson,
}


def mash_distances(sequences: Sequence[str], k: int, unknown: str) -> np.ndarray:
    """Return Mash distances, -ln(2j / (1 + j)) / k of the Jaccard index j (Ondov 2016).

    Of all k-mers, not of a sketch: genes are short. Those with the unknown letter do not count.
    """
    if k < 1:
        raise InputError(f"k: got {k}, wanted at least 1")
    words = [_distinct_words(sequence, k, unknown) for sequence in sequences]
    sizes = np.array([len(of_one) for of_one in words])
    kinds, columns = np.unique(np.concatenate(words), return_inverse=True)
    rows = np.repeat(np.arange(len(words)), sizes)
    ones = np.ones(len(rows), np.float32)
    has = csr_array((ones, (rows, columns)), shape=(len(words), max(len(kinds), 1)))
    shared = (has @ has.T).toarray().astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        jaccard = shared / (sizes[:, None] + sizes - shared)
        distances = -np.log(2 * jaccard / (1 + jaccard)) / k
    distances[shared == 0] = np.nan
    np.fill_diagonal(distances, 0)
    return np.abs(distances)  # not -0 of equal sequences


def _distinct_words(sequence: str, k: int, unknown: str) -> np.ndarray:
    """Its k-mers without unknown letters, each once, as fixed bytes."""
    letters = np.frombuffer(sequence.encode(), np.uint8)
    if len(letters) < k:
        return np.zeros(0, f"S{k}")
    windows = np.lib.stride_tricks.sliding_window_view(letters, k)
    known = windows[(windows != ord(unknown)).all(1)]
    return np.unique(np.ascontiguousarray(known).view(f"S{k}")[:, 0])
