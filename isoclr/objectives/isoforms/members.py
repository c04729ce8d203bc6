"""Members of isoform groups: rows of Arrow as flat arrays.

Arrays over the members of all groups, with offsets, are read straight from Arrow's buffers: no
Python object is made for a transcript.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_builders.records import InputError

COLUMNS = ("gene_id", "species", "sequence", "cds_start", "cds_end")
"""What `members_of` reads; each has one entry a transcript."""


@dataclass(frozen=True, kw_only=True)
class Members:
    """The members of groups: those of group g are entries offsets[g] to offsets[g + 1] of the rest.

    Attributes:
        offsets: (groups + 1,).
        transcripts: number of each member, counted through all rows of the data, (members,).
        species: indices into `species_names`, (members,).
        genes: alike for transcripts of one gene; to compare within a group only, (members,).
        lengths: in nt, (members,).
        cds_start: -1 when there is no CDS, (members,).
        cds_end: -1 when there is no CDS, (members,).
        species_names: each once.
    """

    offsets: np.ndarray
    transcripts: np.ndarray
    species: np.ndarray
    genes: np.ndarray
    lengths: np.ndarray
    cds_start: np.ndarray
    cds_end: np.ndarray
    species_names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> np.ndarray:
        """Return the members of each group, (groups,)."""
        return np.diff(self.offsets)

    def select(self, keep: np.ndarray) -> "Members":
        """Return the members for which `keep` (members,) holds; a group may become empty."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        entries = {name: getattr(self, name)[keep] for name in _ENTRIES}
        return replace(self, offsets=kept[self.offsets], **entries)


_ENTRIES = ("transcripts", "species", "genes", "lengths", "cds_start", "cds_end")


def members_of(groups: pa.Table, source: str) -> Members:
    """Collect the members of a table of groups, of which `COLUMNS` are read.

    A column that is missing, has a null, or another number of entries than `sequence` is an
    InputError.
    """
    offsets, sequences = flat_column(groups, "sequence", source)
    flat = {}
    for name in COLUMNS:
        _, flat[name] = flat_column(groups, name, source, offsets=offsets)
    species = flat["species"].dictionary_encode()
    return Members(
        offsets=offsets,
        transcripts=np.arange(offsets[-1]),
        species=species.indices.to_numpy(),
        genes=flat["gene_id"].dictionary_encode().indices.to_numpy(),
        lengths=pc.binary_length(sequences).cast(pa.int64()).to_numpy(),
        cds_start=flat["cds_start"].cast(pa.int64()).to_numpy(),
        cds_end=flat["cds_end"].cast(pa.int64()).to_numpy(),
        species_names=tuple(species.dictionary.to_pylist()),
    )


def flat_column(
    groups: pa.Table,
    name: str,
    source: str,
    nullable: bool = False,
    offsets: np.ndarray | None = None,
) -> tuple[np.ndarray, pa.Array]:
    """Return the offsets (rows + 1,) and the entries of all rows of a column of lists.

    The entries begin where their buffers do. With `offsets`, those of `sequence`, the column must
    have the same. No such column, a null unless nullable, and other offsets are an InputError.
    """
    kind = groups.schema.field(name).type if name in groups.column_names else None
    if kind is None or not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise InputError(f"{source}: {name}: got {kind or 'no such column'}, wanted a list a group")
    column = groups[name].cast(pa.large_list(kind.value_type))
    # What is whole, as a mapped file's record batch is, is not copied; what is not, becomes so.
    is_whole = column.num_chunks == 1 and not column.chunk(0).flatten().offset
    lists = column.chunk(0) if is_whole else column.combine_chunks()
    entries = lists.flatten()
    if lists.null_count or (entries.null_count and not nullable):
        raise InputError(f"{source}: {name}: got a null, wanted a value a transcript")
    found = lists.offsets.to_numpy()
    if offsets is not None and not np.array_equal(found, offsets):
        raise InputError(f"{source}: {name}: got other numbers of entries than sequence has")
    return found, entries


def junction_lists(groups: pa.Table, source: str, offsets: np.ndarray) -> pa.ListArray:
    """Return the exon junctions of every transcript of some groups, null where unknown.

    A column that has not one list a transcript of the `offsets`, or a null in a list, is an
    InputError.
    """
    _, junctions = flat_column(groups, "exon_junctions", source, True, offsets)
    kind = junctions.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not lists or not pa.types.is_integer(kind.value_type):
        raise InputError(
            f"{source}: exon_junctions: got a list of {kind}, wanted a list of integers a "
            "transcript"
        )
    if junctions.flatten().null_count:
        raise InputError(f"{source}: exon_junctions: got a null in a list, wanted a position")
    return junctions


def concatenate(parts: Sequence[Members]) -> Members:
    """Join the groups of all parts, in order; no part may have gone through `select`."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.species_names))
    renamed = [
        replace(part, species=np.array([names.index(n) for n in part.species_names])[part.species])
        for part in parts
    ]
    counts = np.concatenate([part.counts for part in parts])
    entries = {name: np.concatenate([getattr(p, name) for p in renamed]) for name in _ENTRIES}
    entries["transcripts"] = np.arange(counts.sum())
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Members(offsets=offsets, species_names=names, **entries)
