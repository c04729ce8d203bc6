"""Isoform groups in Arrow memory: random access to any transcript, without copies."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_builders.records import InputError
from isoclr.objectives.isoforms.members import (
    concatenate,
    flat_column,
    junction_lists,
    members_of,
)
from isoclr.tokens import tokenize
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import CODON_START_BIT, EXON_END_BIT, N_BASE
from modeling_isoclr.letters_isoclr import base_codes


@dataclass(frozen=True, kw_only=True)
class Identities:
    """What identifies groups across datasets.

    Attributes:
        groups: their names.
        genes: species and gene of their transcripts.
        sequences: of their transcripts.
    """

    groups: pa.Array
    genes: pa.Array
    sequences: pa.Array


class ArrowGroups:
    """Rows of isoform groups in Arrow memory, perhaps that of a mapped file.

    Transcripts are numbered through, in the order of the rows.

    Args:
        batches: of the columns that `data_builders.codec.GROUP_SCHEMA` describes.
        tokenizer: makes the tokens.
        source: what an error calls the data.

    Attributes:
        members: of every row.

    Raises:
        InputError: a column is missing or has other numbers of entries than `sequence`, or no row
            is there.
    """

    def __init__(
        self, batches: Iterable[pa.RecordBatch], tokenizer: IsoCLRTokenizer, source: str = "data"
    ):
        self.tokenizer, self.source = tokenizer, source
        tables = [pa.Table.from_batches([batch]) for batch in batches if batch.num_rows]
        if not tables:
            raise InputError(f"{source}: got no isoform group, wanted at least one")
        members = [members_of(table, source) for table in tables]
        self._tables = tables
        self._chunks = [
            _Chunk(table, part.offsets, source) for table, part in zip(tables, members, strict=True)
        ]
        self.members = concatenate(members)
        self._row_bounds = np.cumsum([0, *(len(table) for table in tables)])
        self._bounds = self.members.offsets[self._row_bounds]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.members)

    def identities(self, rows: Iterable[int]) -> Identities:
        """Return what identifies some rows."""
        tables = [self._row(int(row)) for row in rows]
        return _identities(pa.concat_tables(tables or [self._tables[0].slice(0, 0)]), self.source)

    def alike(self, known: Identities) -> np.ndarray:
        """Return whether each row shares a name, gene or sequence with `known`, bool (rows,)."""
        return np.concatenate([_alike(table, known, self.source) for table in self._tables])

    def _row(self, row: int) -> pa.Table:
        table = int(np.searchsorted(self._row_bounds, row, "right")) - 1
        return self._tables[table].slice(row - int(self._row_bounds[table]), 1)

    def group_id(self, row: int) -> str:
        """Return the name of a row."""
        chunk = int(np.searchsorted(self._row_bounds, row, "right")) - 1
        names = self._chunks[chunk].group_ids
        assert names is not None  # whoever asks for names has read them
        return names[int(row - self._row_bounds[chunk])].as_py()

    def transcript_id(self, transcript: int) -> str:
        """Return the name of a transcript."""
        chunk, inside = self._find(transcript)
        return chunk.transcript_ids[inside].as_py()

    def tokens(self, transcript: int) -> np.ndarray:
        """Return the tokens of a transcript, uint8 (length,), which the caller may change."""
        chunk, inside = self._find(transcript)
        cds = self.members.cds_start[transcript], self.members.cds_end[transcript]
        return tokenize(
            self.tokenizer,
            chunk.sequence(inside),
            cds,
            chunk.junctions(inside),
            name=lambda: self._name(transcript),
        )

    def all_tokens(self) -> list[np.ndarray]:
        """Return what `tokens` returns for each transcript, made many at once where all is well."""
        tokens = []
        for chunk, *bounds in zip(self._chunks, self._bounds, self._bounds[1:], strict=False):
            cds = (each[slice(*bounds)] for each in (self.members.cds_start, self.members.cds_end))
            made = chunk.all_tokens(*cds) if self.tokenizer.alphabet == "rna" else None
            tokens += map(self.tokens, range(*bounds)) if made is None else made
        return tokens

    def _name(self, transcript: int) -> str:
        """Return what an error calls a transcript."""
        row = int(np.searchsorted(self.members.offsets, transcript, "right")) - 1
        return f"{self.source}: group {self.group_id(row)}: {self.transcript_id(transcript)}"

    def _find(self, transcript: int) -> tuple["_Chunk", int]:
        chunk = int(np.searchsorted(self._bounds, transcript, "right")) - 1
        return self._chunks[chunk], int(transcript - self._bounds[chunk])


def _identities(table: pa.Table, source: str) -> Identities:
    _, species = flat_column(table, "species", source)
    _, genes = flat_column(table, "gene_id", source)
    _, sequences = flat_column(table, "sequence", source)
    large = pa.large_string()
    groups = table["group_id"].cast(large).combine_chunks()
    separator = pa.scalar("\0", large)
    return Identities(
        groups=groups,
        genes=pc.binary_join_element_wise(species.cast(large), genes.cast(large), separator),
        sequences=sequences.cast(large),
    )


def _alike(table: pa.Table, known: Identities, source: str) -> np.ndarray:
    own = _identities(table, source)
    offsets, _ = flat_column(table, "sequence", source)
    members = pc.or_(
        pc.is_in(own.genes, known.genes), pc.is_in(own.sequences, known.sequences)
    ).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(table)), np.diff(offsets))
    found = np.bincount(rows[members], minlength=len(table)) > 0
    return found | pc.is_in(own.groups, known.groups).to_numpy(zero_copy_only=False)


class _Chunk:
    """The columns of some rows that `Members` lacks, as arrays over their buffers."""

    def __init__(self, table: pa.Table, members: np.ndarray, source: str):
        self.group_ids = table["group_id"] if "group_id" in table.column_names else None
        _, self.transcript_ids = flat_column(table, "transcript_id", source, offsets=members)
        _, sequences = flat_column(table, "sequence", source)
        _, offsets, letters = sequences.cast(pa.large_string()).buffers()
        self._offsets = np.frombuffer(offsets, np.int64)[sequences.offset :]
        self._letters = memoryview(letters or b"")
        junctions = junction_lists(table, source, members)
        self._known = junctions.is_valid().to_numpy(zero_copy_only=False)
        self._junction_offsets = junctions.offsets.to_numpy()
        self._junctions = junctions.values.to_numpy()

    def sequence(self, transcript: int) -> str:
        start, end = self._offsets[transcript : transcript + 2]
        return str(self._letters[start:end], "utf-8")

    def junctions(self, transcript: int) -> np.ndarray | None:
        if not self._known[transcript]:
            return None
        start, end = self._junction_offsets[transcript : transcript + 2]
        return self._junctions[start:end]

    def all_tokens(self, cds_start: np.ndarray, cds_end: np.ndarray) -> list[np.ndarray] | None:
        """Return the tokens of every transcript; None if the tokenizer must look at one itself."""
        offsets = self._offsets[: len(cds_start) + 1]
        tokens = base_codes(self._letters[offsets[0] : offsets[-1]])
        bounds, lengths = offsets - offsets[0], np.diff(offsets)
        coding = (cds_start != -1) | (cds_end != -1)
        whole = (0 <= cds_start) & (cds_start < cds_end) & (cds_end <= lengths)
        whole &= (cds_end - cds_start) % 3 == 0
        first, last = self._junction_offsets[[0, -1]]
        junctions = self._junctions[first:last].astype(np.int64)
        of_transcript = np.repeat(np.arange(len(lengths)), np.diff(self._junction_offsets))
        inside = (1 <= junctions) & (junctions < lengths[of_transcript])
        exon_starts = bounds[of_transcript] + junctions
        sound = (lengths > 0, tokens <= N_BASE, whole | ~coding, inside, np.diff(exon_starts) > 0)
        if not all(each.all() for each in sound):
            return None
        starts, ends = (bounds[:-1] + cds_start)[coding], (bounds[:-1] + cds_end)[coding]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            tokens[start:end:3] |= CODON_START_BIT
        exon_ends = np.concatenate([exon_starts, bounds[1:]]) - 1
        known = np.concatenate([self._known[of_transcript], self._known])
        tokens[exon_ends[known]] |= EXON_END_BIT
        return [tokens[start:end] for start, end in pairwise(bounds.tolist())]
