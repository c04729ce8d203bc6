"""Families as training reads them: the tokens of every member, one after the other, in memory."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_builders.homology.families import SCHEMA, check_schema, read_family_tables
from data_builders.records import InputError
from isoclr.objectives.sequences import DataSource
from isoclr.tokens import tokenize
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import N_BASE


class Families:
    """Families of one alphabet.

    Members are numbered through, in the order of the families.

    Args:
        tables: of `data_builders.homology.families.SCHEMA`.
        source: what an error calls the data.
        drop_unknown: leave unknown letters out of the sequences: where they stand is alike in
            homologs, and tells them from others.

    Attributes:
        alphabet: rna or protein.
        ids: of the families.
        bounds: first member of each family, and the number of all, (families + 1,).
        species_names: of all species, in order of the text.
        species: of each member, an index of `species_names`, (members,).
        lengths: letters of each member, (members,).

    Raises:
        InputError: no family, or families of several alphabets.
    """

    def __init__(self, tables: Iterator[pa.Table], source: str, *, drop_unknown: bool = False):
        rows = [row for table in tables for row in table.to_pylist()]
        if not rows:
            raise InputError(f"{source}: got no family, wanted at least one")
        alphabets = sorted({row["alphabet"] for row in rows})
        if len(alphabets) > 1:
            raise InputError(f"{source}: alphabet: got {' and '.join(alphabets)}, wanted one")
        self.source, self.alphabet = source, alphabets[0]
        self.ids = [row["group_id"] for row in rows]
        self.bounds = np.cumsum([0, *(len(row["sequence"]) for row in rows)])
        names = [name for row in rows for name in row["species"]]
        self.species_names, self.species = np.unique(names, return_inverse=True)
        tokenizer = IsoCLRTokenizer(alphabet=self.alphabet)
        tokens = [
            tokenize(tokenizer, sequence, name=lambda row=row: f"{source}: {row['group_id']}")
            for row in rows
            for sequence in row["sequence"]
        ]
        if drop_unknown:
            known = [of_one[of_one != N_BASE] for of_one in tokens]
            # Nothing known is left as it is, rather than as nothing.
            tokens = [new if len(new) else old for new, old in zip(known, tokens, strict=True)]
        self.lengths = np.array([len(of_one) for of_one in tokens])
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self._tokens = np.concatenate(tokens)
        self._condensed = [
            None if row["distance"] is None else np.asarray(row["distance"], np.float32)
            for row in rows
        ]

    @property
    def checksum(self) -> str:
        """A hash of all that batches are made of."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self._tokens, self._offsets, self.bounds, self.species):
            digest.update(np.ascontiguousarray(part).tobytes())
        for names in (self.ids, self.species_names.tolist()):
            digest.update("\n".join(names).encode())
        for condensed in self._condensed:
            digest.update(b"none" if condensed is None else condensed.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Families."""
        return len(self.ids)

    def members(self, family: int) -> np.ndarray:
        """Return the numbers of its members."""
        return np.arange(self.bounds[family], self.bounds[family + 1])

    def tokens(self, member: int) -> np.ndarray:
        """Return a view of a member's tokens, uint8 (length,)."""
        return self._tokens[self._offsets[member] : self._offsets[member + 1]]

    def distances(self, family: int) -> np.ndarray | None:
        """Return distances of all pairs i < j of its members, row by row; None: there are none."""
        return self._condensed[family]

    def distance(self, family: int, first: int, second: int) -> float:
        """Return the distance of two members, NaN where it is unknown."""
        condensed = self._condensed[family]
        if condensed is None:
            return np.nan
        low, high = sorted((first - self.bounds[family], second - self.bounds[family]))
        n = self.bounds[family + 1] - self.bounds[family]
        if low == high:
            return 0.0
        return float(condensed[low * n - low * (low + 1) // 2 + high - low - 1])


def load_families(source: DataSource, *, drop_unknown: bool = False) -> Families:
    """Load a folder of families, or a dataset of them on the Hub; see `Families`."""
    if Path(source.path).is_dir():
        tables = read_family_tables(source.path)
    else:
        tables = iter([_hub_table(source)])
    return Families(tables, source.path, drop_unknown=drop_unknown)


def _hub_table(source: DataSource) -> pa.Table:
    from datasets import load_dataset

    try:
        rows = load_dataset(source.path, source.config, split="train")
    except Exception as error:  # whatever the Hub and its client have to say
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"data: {source.path}: got '{reason}', wanted families") from error
    arrow: Any = rows.with_format("arrow")
    table = arrow[:]
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        check_schema(table.schema, source.path)
    return table.select(SCHEMA.names).cast(SCHEMA)


def held_out(ids: Sequence[str], number: int, seed: int) -> np.ndarray:
    """Return which families are held out, bool (families,): names with the smallest hashes.

    So a family is held out whatever else is in the data, and in whatever order.
    """
    keys = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in ids]
    chosen = np.zeros(len(ids), bool)
    chosen[sorted(range(len(ids)), key=keys.__getitem__)[:number]] = True
    return chosen
