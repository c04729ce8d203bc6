"""Transcripts to isoform groups, through the disk: memory does not grow with their number.

Transcripts are spilled in runs, each sorted by a stable hash of the group. Then the groups of one
range of hashes after the other are put together from a slice of every run.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from data_builders.groups.parquet import MAX_LENGTH, SCHEMA, TRACKS
from data_builders.homology.homologous_genes import Homology
from data_builders.records import Transcript
from data_builders.text import Tally

_HASHES = 1 << 64
_BYTES_IN_MEMORY = 32 << 20  # of a run, and of the groups of a range
_BYTES_BESIDE_SEQUENCE = 256  # of a transcript, roughly
_SPILLED = pa.schema(
    [
        ("hash", pa.uint64()),
        ("group_id", pa.string()),
        ("content", pa.binary(16)),
        *((name, SCHEMA.field(name).type.value_type) for name in TRACKS),
    ]
)


def group_hash(group_id: str) -> int:
    """A hash of 64 bits that is the same in every process and on every machine."""
    return int.from_bytes(blake2b(group_id.encode(), digest_size=8).digest())


def group_tables(
    transcripts: Iterable[Transcript],
    workspace: str | os.PathLike,
    homology: Homology | None = None,
    merge: Literal["across", "within"] = "across",
    *,
    max_length: int = MAX_LENGTH,
    gene_symbols: Mapping[tuple[str, str], str] | None = None,
    shard: tuple[int, int] = (0, 1),
    tally: Tally | None = None,
) -> Iterator[pa.Table]:
    """Groups transcripts by gene, or by homology group where their gene has one.

    Args:
        transcripts: of any number of species; all are read before the first table comes.
        workspace: an empty folder for the sequences of all transcripts, uncompressed.
        homology: groups of homologous genes; None: a group is a gene, `species:gene_id`.
        merge: "across" joins homologous genes of all species, as IsoCLR's first build did;
            "within" only those of one species, as its final build (group_id `group:species`).
        max_length: in nt; longer transcripts are dropped, as the paper does.
        gene_symbols: (species, gene_id) -> symbol, tried where homology does not know the gene_id;
            may be filled while `transcripts` is read.
        shard: (i, n): only the groups whose hash leaves i when divided by n.
        tally: where transcripts of these groups are counted. Skipped are those too long and those
            whose sequence, CDS and junctions equal an earlier one's of the same group.

    Yields:
        Tables of `SCHEMA`. Groups come in the order of `group_hash`, which mixes genes and species
        and depends on nothing else; their transcripts in the order of the input.
    """
    if merge not in ("across", "within"):
        raise ValueError(f"merge: got {merge!r}, wanted 'across' or 'within'")
    tally = Tally() if tally is None else tally
    symbols = {} if gene_symbols is None else gene_symbols
    index, shards = shard
    spill = _Spill(Path(workspace))
    for transcript in transcripts:
        group_id = _group_id(transcript, homology, merge, symbols)
        number = group_hash(group_id)
        if number % shards != index:
            continue
        tally.read += 1
        if len(transcript.sequence) > max_length:
            where = f"{transcript.species} {transcript.transcript_id}"
            tally.skip(f"longer than {max_length} nt", where)
            continue
        spill.add(number, group_id, transcript)
    for rows in spill.ranges():
        yield _grouped(rows, tally)


def _group_id(transcript: Transcript, homology, merge: str, symbols) -> str:
    gene = transcript.species, transcript.gene_id
    group = None if homology is None else homology.group(*gene, symbols.get(gene, ""))
    if group is None:
        return ":".join(gene)
    return f"{group}:{transcript.species}" if merge == "within" else group


class _Spill:
    """Runs of transcripts on disk, each sorted by the hash of the group."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs: list[Path] = []
        self.rows: list[tuple[int, str, Transcript]] = []
        self.bytes_in_rows = self.bytes_in_all = 0

    def add(self, number: int, group_id: str, transcript: Transcript) -> None:
        """Takes a transcript, and writes a run when enough are there."""
        self.rows.append((number, group_id, transcript))
        self.bytes_in_rows += len(transcript.sequence) + _BYTES_BESIDE_SEQUENCE
        if self.bytes_in_rows >= _BYTES_IN_MEMORY:
            self._write_run()

    def ranges(self) -> Iterator[pa.Table]:
        """Yields all transcripts of one range of hashes after the other, as they were added."""
        self._write_run()
        ranges = max(1, math.ceil(self.bytes_in_all / _BYTES_IN_MEMORY))
        bounds = [_HASHES * number // ranges for number in range(ranges + 1)]
        for first, end in tqdm(list(pairwise(bounds)), desc="groups", delay=2, leave=False):
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
        for name in TRACKS:
            columns[name] = [getattr(transcript, name) for transcript in transcripts]
        table = pa.table(columns, schema=_SPILLED)
        run = self.folder / f"{len(self.runs)}.arrow"
        with pa.ipc.new_file(run, _SPILLED) as file:
            file.write_table(table)
        self.runs.append(run)
        self.rows = []
        self.bytes_in_all += self.bytes_in_rows
        self.bytes_in_rows = 0


def _slice(run: Path, first: int, end: int) -> pa.Table:
    """The rows of a run with first <= hash < end; only they are read."""
    table = pa.ipc.open_file(pa.memory_map(str(run))).read_all()
    hashes = table["hash"].to_numpy()
    start = np.searchsorted(hashes, np.uint64(first), "left")
    stop = np.searchsorted(hashes, np.uint64(end - 1), "right")
    return table.slice(start, stop - start)


def _content(t: Transcript) -> bytes:
    """What duplicates share; at 128 bits, nothing else does."""
    content = f"{t.sequence} {t.cds_start} {t.cds_end} {t.exon_junctions}"
    return blake2b(content.encode(), digest_size=16).digest()


def _grouped(rows: pa.Table, tally: Tally) -> pa.Table:
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
    for name in TRACKS:
        columns[name] = pa.ListArray.from_arrays(offsets, flat[name].combine_chunks())
    return pa.table(columns, schema=SCHEMA)
