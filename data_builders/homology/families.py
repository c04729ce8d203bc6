"""Families of homologs: their record, their Parquet schema, writing and reading.

A family is an isoform group without gene structure, in the same columns, with two more: the
alphabet, and distances between its members. So one row is one family, and `load_dataset` streams
families as it streams isoform groups.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.codec import GROUP_SCHEMA as GROUPS
from data_builders.dataset_files import dataset_files, read_batches
from data_builders.homology.alphabets import ALPHABETS
from data_builders.records import InputError
from data_builders.staging import ROWS_PER_FILE, replacing, shard_name

SCHEMA = pa.schema(
    [
        GROUPS.field(0),
        pa.field("alphabet", pa.string(), nullable=False),
        *(GROUPS.field(i) for i in range(1, len(GROUPS))),
        ("distance", pa.list_(pa.float32())),
    ]
)
"""One row a family. `distance` is the upper triangle of the matrix, row by row, as scipy's
condensed form; NaN where a distance is unknown, null where none is known."""

_ROWS_PER_ROW_GROUP = 100  # families have many members
_MEMBER_COLUMNS = ("transcript_id", "gene_id", "species", "sequence")


@dataclass(frozen=True, slots=True)
class Homolog:
    """One member of a family.

    Attributes:
        member_id: unique within its species and family.
        gene_id: its gene, or its name where the source names no gene.
        species: normalised, see `headers.normalised_species`.
        sequence: upper-case letters of the family's alphabet, without gaps.
        coding: (start, end) of the coding sequence, (-1, -1) when there is none.
    """

    member_id: str
    gene_id: str
    species: str
    sequence: str
    coding: tuple[int, int] = (-1, -1)


@dataclass(frozen=True)
class HomologFamily:
    """Homologous sequences.

    Attributes:
        family_id: unique in a dataset.
        alphabet: rna or protein.
        members: at least one.
        distances: (members, members), symmetric, NaN where unknown; None where none is known.
    """

    family_id: str
    alphabet: str
    members: tuple[Homolog, ...]
    distances: np.ndarray | None = None


def families_of_tree(
    species: Sequence[str], families: Iterable[Sequence[str]], alphabet: str, distances: np.ndarray
) -> Iterator[HomologFamily]:
    """Yield families that have one sequence of each species, and the distances of these."""
    for number, sequences in enumerate(families):
        named = zip(species, sequences, strict=True)
        members = tuple(Homolog(name, name, name, sequence) for name, sequence in named)
        yield HomologFamily(f"family_{number}", alphabet, members, distances)


def write_families(
    families: Iterable[HomologFamily],
    folder: str | os.PathLike,
    rows_per_file: int = ROWS_PER_FILE,
) -> list[Path]:
    """Write families to `folder/data/*.parquet`, for `load_dataset(folder)`; see `write_groups`."""
    families = iter(families)
    written: list[Path] = []
    with replacing(folder) as partial:
        (partial / "data").mkdir()
        for first in families:
            path = partial / "data" / str(len(written))
            of_file = chain([first], islice(families, rows_per_file - 1))
            with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
                while chunk := list(islice(of_file, _ROWS_PER_ROW_GROUP)):
                    writer.write_table(_table(chunk))
            written.append(path)
        if not written:
            raise InputError(f"{folder}: got no family to write, wanted at least one")
        names = [f"train-{shard_name((i, len(written)))}.parquet" for i in range(len(written))]
        for path, name in zip(written, names, strict=True):
            path.rename(path.with_name(name))
    return [Path(folder) / "data" / name for name in names]


def read_families(folder: str | os.PathLike) -> Iterator[HomologFamily]:
    """Read what `write_families` wrote, a hundred families in memory at a time."""
    for table in read_family_tables(folder):
        yield from families_of_table(table)


def read_family_tables(folder: str | os.PathLike) -> Iterator[pa.Table]:
    """Read a dataset as tables of `SCHEMA`, of at most a hundred families."""
    return read_batches(family_files(folder), _ROWS_PER_ROW_GROUP, check_schema)


def check_schema(schema: pa.Schema, source: str) -> None:
    """Raise an InputError unless the columns and their types are those of families."""
    found = {field.name: field.type for field in schema}
    if found != {field.name: field.type for field in SCHEMA}:
        raise InputError(
            f"{source}: columns: got {', '.join(schema.names)}, wanted families of homologs "
            f"({', '.join(SCHEMA.names)})"
        )


def families_of_table(table: pa.Table) -> Iterator[HomologFamily]:
    """Return the families of a table of `SCHEMA`; what does not fit together is an InputError."""
    for row in table.to_pylist():
        members = tuple(
            Homolog(*values, coding=(start, end))
            for *values, start, end in zip(
                *(row[name] for name in _MEMBER_COLUMNS),
                row["cds_start"],
                row["cds_end"],
                strict=True,
            )
        )
        name = row["group_id"]
        if row["alphabet"] not in ALPHABETS:
            raise InputError(
                f"family {name}: alphabet: got {row['alphabet']!r}, wanted rna, protein"
            )
        condensed = row["distance"]
        distances = None if condensed is None else square(condensed, len(members), name)
        yield HomologFamily(name, row["alphabet"], members, distances)


def square(condensed, members: int, family: str) -> np.ndarray:
    """Return condensed distances as a float32 matrix (members, members), if so many are there."""
    upper = np.triu_indices(members, 1)
    if len(condensed) != len(upper[0]):
        raise InputError(
            f"family {family}: distance: got {len(condensed)} values of {members} members, wanted "
            f"{len(upper[0])}"
        )
    matrix = np.zeros((members, members), np.float32)
    matrix[upper] = np.asarray(condensed, np.float32)
    matrix.T[upper] = matrix[upper]
    return matrix


def _table(families: list[HomologFamily]) -> pa.Table:
    columns: dict[str, list] = {
        "group_id": [family.family_id for family in families],
        "alphabet": [family.alphabet for family in families],
        "transcript_id": [[m.member_id for m in family.members] for family in families],
        "cds_start": [[m.coding[0] for m in family.members] for family in families],
        "cds_end": [[m.coding[1] for m in family.members] for family in families],
        "exon_junctions": [[None] * len(family.members) for family in families],
        "distance": [_condensed(family) for family in families],
    }
    for name in ("gene_id", "species", "sequence"):
        columns[name] = [[getattr(m, name) for m in family.members] for family in families]
    return pa.table(columns, schema=SCHEMA)


def _condensed(family: HomologFamily) -> np.ndarray | None:
    if family.distances is None:
        return None
    upper = np.triu_indices(len(family.members), 1)
    return np.asarray(family.distances, np.float32)[upper]


def family_files(folder: str | os.PathLike) -> list[Path]:
    """Return the Parquet files of a dataset of families, as `dataset_files`."""
    return dataset_files(folder, "families of homologs")
