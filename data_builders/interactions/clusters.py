"""Clusters of similar RNAs and of similar proteins, which splits keep on one side."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from data_builders.interactions.dataset import Molecule
from data_builders.records import InputError
from data_builders.text import decode, numbered_lines
from data_builders.words import PROTEIN_LETTERS, RNA_LETTERS, word_table

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When two sequences are similar.

    Attributes:
        letters: of the words that count.
        k: letters of a word.
        share: of the different words of the one with fewer, how many the other must have too.
        fewest: shared words, at least.
    """

    letters: str
    k: int
    share: float
    fewest: int = 4


SHORT_RNA = Rule(letters=RNA_LETTERS, k=8, share=0.25)
LONG_RNA = Rule(letters=RNA_LETTERS, k=14, share=0.2)
PROTEIN_RULE = Rule(letters=PROTEIN_LETTERS, k=5, share=0.05)
LONG = 1000
"""Of two RNAs of which one is longer, in nt, `LONG_RNA` holds, else `SHORT_RNA`: a long RNA has so
many of the 65,536 words of 8 nt that it would be similar to everything."""


def similar_rnas(sequences: Sequence[str]) -> np.ndarray:
    """Return the cluster of each RNA, int32 (n,): linked by `SHORT_RNA` or by `LONG_RNA`."""
    long = np.array([len(sequence) > LONG for sequence in sequences], bool)
    short = np.flatnonzero(~long)
    a, b = _links([sequences[int(row)] for row in short], SHORT_RNA)
    c, d = _links(sequences, LONG_RNA)
    either = long[c] | long[d]
    links = np.concatenate([short[a], c[either]]), np.concatenate([short[b], d[either]])
    return _components(links, len(sequences))


def similar_proteins(sequences: Sequence[str]) -> np.ndarray:
    """Return the cluster of each protein, int32 (n,): linked by `PROTEIN_RULE`."""
    return _components(_links(sequences, PROTEIN_RULE), len(sequences))


def with_clusters(
    molecules: Sequence[Molecule],
    similar: Callable[[Sequence[str]], np.ndarray],
    table: str | os.PathLike | None = None,
) -> tuple[tuple[Molecule, ...], dict]:
    """Give molecules their clusters, of a table or by `similar_rnas` or `similar_proteins`.

    A molecule that the table does not have is alone. It returns the molecules, each with the name
    of its cluster, which is the id of a member; and the number of clusters, the size of the largest
    and how many molecules the table has. One that has none is an InputError.
    """
    ids = [molecule.id for molecule in molecules]
    given = {} if table is None else read_cluster_table(table)
    known = [name in given for name in ids]
    if table is not None and molecules and not any(known):
        raise InputError(
            f"{table}: got none of {len(ids)} ids of sequences, such as {ids[0]!r}, wanted some"
        )
    if table is None:
        numbers = similar([molecule.sequence for molecule in molecules])
        first: dict[int, str] = {}
        names = [first.setdefault(n, name) for n, name in zip(numbers.tolist(), ids, strict=True)]
    else:
        names = [given.get(name, name) for name in ids]
    _, sizes = np.unique(np.array(names, object).astype(str), return_counts=True)
    report = {"clusters": len(sizes), "largest": int(sizes.max(initial=0))}
    if table is not None:
        report |= {"table": str(table), "in_table": sum(known)}
    named = zip(molecules, names, strict=True)
    return tuple(replace(molecule, cluster=name) for molecule, name in named), report


def read_cluster_table(path: str | os.PathLike) -> dict[str, str]:
    """Read clusters as MMseqs2 writes them, as member -> representative.

    A line is a representative, a tab and a member, without header; a member is of one cluster.
    """
    found: dict[str, str] = {}
    for number, line in numbered_lines(path):
        fields = decode(line, path, number).rstrip("\r\n").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 2 or not all(field.strip() for field in fields):
            raise InputError(
                f"{path}:{number}: got {len(fields)} fields, wanted a representative, a tab and a "
                "member, as MMseqs2 writes them"
            )
        representative, member = (field.strip() for field in fields)
        if found.setdefault(member, representative) != representative:
            raise InputError(f"{path}:{number}: {member[:40]!r}: got a second cluster, wanted one")
    if not found:
        raise InputError(f"{path}: got no line, wanted clusters of MMseqs2")
    return found


def _links(sequences: Sequence[str], rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places of similar sequences.

    Few words are no evidence: of repeats such as poly-U, all that has any is alike. So fewer than
    `Rule.fewest` count only where the two sequences have the same words.
    """
    words = word_table(sequences, rule.k, rule.letters)
    sizes = np.diff(words.indptr)
    by_word = words.T.tocsr()
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(sequences), _ROWS_AT_ONCE):
        shared = (words[start : start + _ROWS_AT_ONCE] @ by_word).tocoo()
        a, b, count = shared.row + start, shared.col, shared.data
        similar = (count >= rule.share * np.minimum(sizes[a], sizes[b])) & (count >= rule.fewest)
        similar |= (count == sizes[a]) & (count == sizes[b])
        similar &= a < b
        first.append(a[similar])
        second.append(b[similar])
    return np.concatenate(first), np.concatenate(second)


def _components(links: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    table = csr_matrix((np.ones(len(links[0]), bool), links), (count, count))
    return connected_components(table, directed=False)[1]
