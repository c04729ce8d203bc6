"""Transcripts to isoform groups, in memory and as Parquet."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.homology import Homology
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.text import Tally

MAX_LENGTH = 12_288
"""Longest transcript kept, in nt (IsoCLR, arXiv 2310.08738)."""

SCHEMA = pa.schema(
    [
        pa.field("group_id", pa.string(), nullable=False),
        ("transcript_id", pa.list_(pa.string())),
        ("gene_id", pa.list_(pa.string())),
        ("species", pa.list_(pa.string())),
        ("sequence", pa.list_(pa.string())),
        ("cds_start", pa.list_(pa.int32())),
        ("cds_end", pa.list_(pa.int32())),
        ("exon_junctions", pa.list_(pa.list_(pa.int32()))),
    ]
)
"""One row a group: every column but the first has one entry a transcript."""

_TRACKS = SCHEMA.names[1:]
_SHARD = re.compile(r"train-(\d{5})-of-(\d{5})\.parquet")
_ROWS_PER_ROW_GROUP = 1_000


def group_transcripts(
    transcripts: Iterable[Transcript],
    homology: Homology | None = None,
    merge: Literal["across", "within"] = "across",
    *,
    max_length: int = MAX_LENGTH,
    gene_symbols: Mapping[tuple[str, str], str] | None = None,
    tally: Tally | None = None,
) -> list[IsoformGroup]:
    """Groups transcripts by gene, or by homology group where their gene has one.

    Args:
        transcripts: of any number of species.
        homology: groups of homologous genes; None: a group is a gene, `species:gene_id`.
        merge: "across" joins homologous genes of all species, as IsoCLR's first build did;
            "within" only those of one species, as its final build (group_id `group:species`).
        max_length: in nt; longer transcripts are dropped, as the paper does.
        gene_symbols: (species, gene_id) -> symbol, tried where homology does not know the gene_id;
            may be filled while `transcripts` is read.
        tally: where transcripts are counted. Skipped are those too long and those whose sequence,
            CDS and junctions equal an earlier one's of the same group.

    Returns:
        Groups in the order of their first transcript.
    """
    if merge not in ("across", "within"):
        raise ValueError(f"merge: got {merge!r}, wanted 'across' or 'within'")
    tally = Tally() if tally is None else tally
    symbols = {} if gene_symbols is None else gene_symbols
    groups: dict[str, dict[tuple, Transcript]] = {}
    for transcript in transcripts:
        tally.read += 1
        if len(transcript.sequence) > max_length:
            tally.skip(f"longer than {max_length} nt", _named(transcript))
            continue
        gene = transcript.species, transcript.gene_id
        group_id = None
        if homology is not None:
            group_id = homology.group(transcript.species, transcript.gene_id, symbols.get(gene, ""))
        if group_id is None:
            group_id = ":".join(gene)
        elif merge == "within":
            group_id = f"{group_id}:{transcript.species}"
        content = (
            transcript.sequence,
            transcript.cds_start,
            transcript.cds_end,
            transcript.exon_junctions,
        )
        if groups.setdefault(group_id, {}).setdefault(content, transcript) is not transcript:
            tally.skip("duplicate in its group", _named(transcript))
    return [IsoformGroup(name, tuple(unique.values())) for name, unique in groups.items()]


def _named(transcript: Transcript) -> str:
    return f"{transcript.species} {transcript.transcript_id}"


def write_groups(
    groups: Iterable[IsoformGroup], folder: str | os.PathLike, rows_per_shard: int = 10_000
) -> list[Path]:
    """Writes groups to `folder/data/train-00000-of-0000N.parquet`, for `load_dataset(folder)`.

    The shards are written beside `data`, which is then swapped by two renames: an error while
    writing leaves what was there as it was.

    Args:
        groups: at least one.
        folder: made if absent; its `data` is replaced.
        rows_per_shard: groups a file.

    Returns:
        The files, in order.

    Raises:
        InputError: no groups.
    """
    folder = Path(folder)
    partial, data, replaced = (folder / name for name in (".data-partial", "data", ".data-old"))
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    groups, shards = iter(groups), 0
    while rows := list(islice(groups, rows_per_shard)):
        pq.write_table(
            _table(rows),
            partial / str(shards),
            compression="zstd",
            row_group_size=_ROWS_PER_ROW_GROUP,
        )
        shards += 1
    if not shards:
        partial.rmdir()
        raise InputError(f"{folder}: got no isoform group to write, wanted at least one")
    names = [f"train-{shard:05d}-of-{shards:05d}.parquet" for shard in range(shards)]
    for shard, name in enumerate(names):
        (partial / str(shard)).rename(partial / name)
    if data.exists():
        data.rename(replaced)
    partial.rename(data)
    shutil.rmtree(replaced, ignore_errors=True)
    return [data / name for name in names]


def read_groups(folder: str | os.PathLike) -> Iterator[IsoformGroup]:
    """Reads what `write_groups` wrote, a thousand groups in memory at a time.

    Raises:
        InputError: no shards, one missing, or a file that is no Parquet of this schema.
    """
    for path in _shards(Path(folder) / "data"):
        try:
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: got '{reason}', wanted Parquet") from error
        if [(field.name, field.type) for field in schema] != [
            (field.name, field.type) for field in SCHEMA
        ]:
            raise InputError(
                f"{path}: columns: got {', '.join(schema.names)}, wanted isoform groups "
                f"({', '.join(SCHEMA.names)})"
            )
        with file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_ROW_GROUP):
                for row in batch.to_pylist():
                    yield _group(row)


def _shards(data: Path) -> list[Path]:
    shards = sorted(path for path in data.glob("*.parquet") if _SHARD.fullmatch(path.name))
    if not shards:
        raise InputError(f"{data}: got no train-*.parquet, wanted isoform groups")
    wanted = int(_SHARD.fullmatch(shards[0].name)[2])
    if len(shards) != wanted:
        raise InputError(f"{data}: got {len(shards)} shards, wanted {wanted}")
    return shards


def _table(groups: list[IsoformGroup]) -> pa.Table:
    columns = {"group_id": [group.group_id for group in groups]}
    for track in _TRACKS:
        columns[track] = [[getattr(t, track) for t in group.transcripts] for group in groups]
    return pa.table(columns, schema=SCHEMA)


def _group(row: dict) -> IsoformGroup:
    row["exon_junctions"] = [None if j is None else tuple(j) for j in row["exon_junctions"]]
    members = zip(*(row[track] for track in _TRACKS), strict=True)
    transcripts = (Transcript(**dict(zip(_TRACKS, m, strict=True))) for m in members)
    return IsoformGroup(row["group_id"], tuple(transcripts))
