"""Transcripts to isoform groups, through the disk: memory does not grow with their number.

Transcripts are written to disk in runs, each sorted by a stable hash of the group. Then the groups
of one range of hashes after the other are collected from a slice of every run.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_builders.annotation.tags import LONGEST, SELECTIONS, order_of_choice
from data_builders.codec import FIELDS, GROUP_SCHEMA, TRANSCRIPT_SCHEMA, transcript_columns
from data_builders.groups.transcripts import GeneNames
from data_builders.homology.matches import MatchCounter
from data_builders.progress import progress
from data_builders.records import InputError, Transcript
from data_builders.staging import ROWS_PER_FILE
from data_builders.text import Tally

MAX_LENGTH = 12_288
"""Longest transcript kept, in nt (IsoCLR, arXiv 2310.08738)."""

_HASHES = 1 << 64
_BYTES_IN_MEMORY = 32 << 20  # of a run, and of the groups of a range
_BYTES_BESIDE_SEQUENCE = 256  # of a transcript, roughly
_SPILLED = pa.schema(
    [
        ("hash", pa.uint64()),
        ("group_id", pa.string()),
        ("content", pa.binary(16)),
        *TRANSCRIPT_SCHEMA,
    ]
)
_NOT_SELECTED = "another transcript of its gene was selected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """How transcripts become groups.

    Attributes:
        merge: "across" joins homologous genes of all species, as IsoCLR's first build did; "within"
            only those of one species, as its final build (group_id `group:species`).
        max_length: in nt; longer transcripts are dropped, as the paper does.
        select: keep one transcript a gene, None: all. "longest": that with the longest CDS, of
            these the longest, of these the first by name. "mane" and "appris": that which
            annotators prefer by their tags (`annotation.tags`), of several such, or without one,
            the longest.
        rows_per_file: groups a Parquet file.
        unmatched: species of the data, by any of their names, of which a homology table may know
            no gene; without, that is an error.
    """

    merge: Literal["across", "within"] = "across"
    max_length: int = MAX_LENGTH
    select: str | None = None
    rows_per_file: int = ROWS_PER_FILE
    unmatched: tuple[str, ...] = ()

    def __post_init__(self):
        if self.merge not in ("across", "within"):
            raise InputError(f"merge: got '{self.merge}', wanted 'across' or 'within'")
        if self.select not in (None, *SELECTIONS):
            wanted = ", ".join(SELECTIONS)
            raise InputError(f"select: got '{self.select}', wanted one of {wanted}")
        for name in ("max_length", "rows_per_file"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: got {getattr(self, name)}, wanted at least 1")


@dataclass(slots=True)
class GroupCounts:
    """What became of the transcripts that were grouped.

    Attributes:
        tally: skipped are those too long, those not selected, and those whose sequence, CDS and
            junctions equal an earlier one's of the same group.
        selected: by what a transcript was selected -> genes.
    """

    tally: Tally = field(default_factory=Tally)
    selected: Counter[str] = field(default_factory=Counter)


def group_hash(group_id: str) -> int:
    """Return a hash of 64 bits that is the same in every process and on every machine."""
    return int.from_bytes(blake2b(group_id.encode(), digest_size=8).digest())


def group_tables(
    transcripts: Iterable[Transcript],
    workspace: str | os.PathLike,
    grouping: Grouping | None = None,
    *,
    matches: MatchCounter | None = None,
    names: GeneNames | None = None,
    shard: tuple[int, int] = (0, 1),
    counts: GroupCounts | None = None,
) -> Iterator[pa.Table]:
    """Group transcripts by gene, or by homology group where their gene has one.

    Args:
        transcripts: of any number of species; all are read before the first table comes.
        workspace: an empty folder for the sequences of all transcripts, uncompressed.
        grouping: how; None: the defaults.
        matches: finds groups of homologous genes, and counts the genes that it finds; None: a group
            is a gene, `species:gene_id`.
        names: other names of genes, tried where the homology does not know the gene_id, and which
            transcripts are preferred; may be filled while `transcripts` is read.
        shard: (i, n): only the groups whose hash leaves i when divided by n.
        counts: where transcripts of these groups are counted.

    Yields:
        Tables of `GROUP_SCHEMA`. Groups come in the order of `group_hash`, which mixes genes and
        species and depends on nothing else; their transcripts in the order of the input.
    """
    grouping = Grouping() if grouping is None else grouping
    counts = GroupCounts() if counts is None else counts
    names = GeneNames() if names is None else names
    tally = counts.tally
    index, shards = shard
    spill = _Spill(Path(workspace))
    for transcript in transcripts:
        group_id = _group_id(transcript, matches, grouping.merge, names)
        number = group_hash(group_id)
        if number % shards != index:
            continue
        tally.read += 1
        if len(transcript.sequence) > grouping.max_length:
            where = f"{transcript.species} {transcript.transcript_id}"
            tally.skip(f"longer than {grouping.max_length} nt", where)
            continue
        spill.add(number, group_id, transcript)
    for rows in spill.ranges():
        if grouping.select is not None:
            rows = _selected(rows, names, counts)
        yield _grouped(rows, tally)


def _group_id(
    transcript: Transcript, matches: MatchCounter | None, merge: str, names: GeneNames
) -> str:
    gene = transcript.species, transcript.gene_id
    group = None if matches is None else matches.group(*gene, *names.of(*gene))
    if group is None:
        return ":".join(gene)
    return f"{group}:{transcript.species}" if merge == "within" else group


def _selected(rows: pa.Table, names: GeneNames, counts: GroupCounts) -> pa.Table:
    """Return one row a gene."""
    best: dict[tuple[str, str], tuple] = {}
    columns = ("species", "gene_id", "transcript_id", "cds_start", "cds_end")
    lengths = pc.call_function("binary_length", [rows["sequence"]]).to_pylist()
    for row, values in enumerate(zip(*(rows[name].to_pylist() for name in columns), strict=True)):
        species, gene, name, start, end = values
        rank, reason = names.preferences.get((species, name), (math.inf, LONGEST))
        order = order_of_choice(rank, end - start, lengths[row], name)
        candidate = (*order, row, reason)
        best[species, gene] = min(candidate, best.get((species, gene), candidate))
    counts.selected.update(reason for *_, reason in best.values())
    counts.tally.skipped[_NOT_SELECTED] += rows.num_rows - len(best)
    return rows.take(pa.array(sorted(row for *_, row, _ in best.values()), pa.int64()))


class _Spill:
    """Runs of transcripts on disk, each sorted by the hash of the group."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs: list[Path] = []
        self.rows: list[tuple[int, str, Transcript]] = []
        self.bytes_in_rows = self.bytes_in_all = 0

    def add(self, number: int, group_id: str, transcript: Transcript) -> None:
        """Add a transcript, and write a run when there are enough."""
        self.rows.append((number, group_id, transcript))
        self.bytes_in_rows += len(transcript.sequence) + _BYTES_BESIDE_SEQUENCE
        if self.bytes_in_rows >= _BYTES_IN_MEMORY:
            self._write_run()

    def ranges(self) -> Iterator[pa.Table]:
        """Yield the transcripts of one range of hashes after the other, in the order of `add`."""
        self._write_run()
        ranges = max(1, math.ceil(self.bytes_in_all / _BYTES_IN_MEMORY))
        bounds = [_HASHES * number // ranges for number in range(ranges + 1)]
        for first, end in progress(list(pairwise(bounds)), "groups", unit="part"):
            slices = [_slice(run, first, end) for run in self.runs]
            yield pa.concat_tables(slices).combine_chunks()

    def _write_run(self) -> None:
        self.rows.sort(key=itemgetter(0))
        transcripts = [transcript for _, _, transcript in self.rows]
        columns = {
            "hash": [number for number, _, _ in self.rows],
            "group_id": [group_id for _, group_id, _ in self.rows],
            "content": [_content(transcript) for transcript in transcripts],
        }
        columns |= transcript_columns(transcripts)
        table = pa.table(columns, schema=_SPILLED)
        run = self.folder / f"{len(self.runs)}.arrow"
        with pa.ipc.new_file(run, _SPILLED) as file:
            file.write_table(table)
        self.runs.append(run)
        self.rows = []
        self.bytes_in_all += self.bytes_in_rows
        self.bytes_in_rows = 0


def _slice(run: Path, first: int, end: int) -> pa.Table:
    """Return the rows of a run with first <= hash < end; only they are read."""
    table = pa.ipc.open_file(pa.memory_map(str(run))).read_all()
    hashes = table["hash"].to_numpy()
    start = np.searchsorted(hashes, np.uint64(first), "left")
    stop = np.searchsorted(hashes, np.uint64(end - 1), "right")
    return table.slice(start, stop - start)


def _content(t: Transcript) -> bytes:
    """Return a hash of sequence, CDS and junctions: 128 bits, so that only duplicates share it."""
    content = f"{t.sequence} {t.cds_start} {t.cds_end} {t.exon_junctions}"
    return blake2b(content.encode(), digest_size=16).digest()


def _grouped(rows: pa.Table, tally: Tally) -> pa.Table:
    """Return the groups of some transcripts, without duplicates."""
    groups: dict[str, dict[bytes, int]] = {}
    keys = zip(rows["group_id"].to_pylist(), rows["content"].to_pylist(), strict=True)
    for row, (group_id, content) in enumerate(keys):
        if groups.setdefault(group_id, {}).setdefault(content, row) != row:
            tally.skip(
                "duplicate in its group", f"{rows['species'][row]} {rows['transcript_id'][row]}"
            )
    group_ids = sorted(groups, key=lambda group_id: (group_hash(group_id), group_id))
    members = [list(groups[group_id].values()) for group_id in group_ids]
    offsets = pa.array(np.cumsum([0, *map(len, members)]), pa.int32())
    flat = rows.take(pa.array([row for group in members for row in group], pa.int64()))
    columns = {"group_id": pa.array(group_ids, pa.string())}
    for name in FIELDS:
        columns[name] = pa.ListArray.from_arrays(offsets, flat[name].combine_chunks())
    return pa.table(columns, schema=GROUP_SCHEMA)
