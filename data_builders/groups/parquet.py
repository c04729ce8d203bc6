"""Isoform groups as Parquet files: writing and reading."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.codec import GROUP_SCHEMA, ROWS_AT_ONCE, groups_of_table, table_of_groups
from data_builders.dataset_files import dataset_files, file_name, read_batches
from data_builders.records import InputError, IsoformGroup
from data_builders.staging import ROWS_PER_FILE, Shard, replacing


def write_groups(
    groups: Iterable[IsoformGroup],
    folder: str | os.PathLike,
    rows_per_file: int = ROWS_PER_FILE,
) -> list[Path]:
    """Write groups to `folder/data/train-00000-of-0000N.parquet`, for `load_dataset(folder)`.

    The folder's `data` is replaced once all is written (`staging`). Returns the files, in order; no
    groups are an InputError.
    """
    groups = iter(groups)
    batches = iter(lambda: list(islice(groups, ROWS_AT_ONCE)), [])
    with replacing(folder) as partial:
        files = write_tables(map(table_of_groups, batches), partial / "data", rows_per_file)
        if not pq.read_metadata(files[0]).num_rows:
            raise InputError(f"{folder}: got no isoform group to write, wanted at least one")
    return [Path(folder) / "data" / path.name for path in files]


def write_tables(
    tables: Iterable[pa.Table],
    data: Path,
    rows_per_file: int = ROWS_PER_FILE,
    shard: Shard | None = None,
) -> list[Path]:
    """Write tables of `GROUP_SCHEMA` to Parquet files whose names say how many there are.

    Args:
        tables: their rows make at least one file, if an empty one.
        data: the folder, made here.
        rows_per_file: groups a file.
        shard: None: the files are `train-00000-of-0000N.parquet`; (i, n): they are parts of that
            shard, `train-0000i-of-0000n-part-0000-of-000N.parquet`.

    Returns:
        The files, in order.
    """
    data.mkdir()
    written = []
    for number, pieces in groupby(_placed(tables, rows_per_file), key=itemgetter(0)):
        written.append(data / str(number))
        with pq.ParquetWriter(
            written[-1],
            GROUP_SCHEMA,
            compression="zstd",
            use_dictionary=[  # pyright: ignore[reportArgumentType]  the stub knows no list
                "species.list.element",
                "gene_id.list.element",
            ],
        ) as writer:
            for _, piece in pieces:
                if not piece.num_rows:
                    continue  # datasets fails on an empty row group, not on a file without any
                writer.write_table(piece, row_group_size=ROWS_AT_ONCE)
    return [
        path.rename(data / file_name(number, len(written), shard))
        for number, path in enumerate(written)
    ]


def read_groups(folder: str | os.PathLike) -> Iterator[IsoformGroup]:
    """Read what `write_groups` or `build` wrote, a thousand groups in memory at a time."""
    for table in read_tables(folder):
        yield from groups_of_table(table)


def read_tables(folder: str | os.PathLike) -> Iterator[pa.Table]:
    """Read a dataset as tables of `GROUP_SCHEMA`, of at most a thousand groups.

    Raises:
        InputError: no files, one missing (of a shard, or a whole shard), files of several datasets,
            one that is no Parquet of this schema, or a build interrupted while it replaced `data`.
    """
    yield from read_batches(dataset_files(folder), ROWS_AT_ONCE, _check_schema)


def _check_schema(schema: pa.Schema, source: str) -> None:
    if (schema.names, schema.types) != (GROUP_SCHEMA.names, GROUP_SCHEMA.types):
        raise other_columns(schema.names, source)


def other_columns(names: Sequence[str], source: str) -> InputError:
    """Return the error about columns that are not those of isoform groups."""
    return InputError(
        f"{source}: columns: got {', '.join(names)}, wanted isoform groups "
        f"({', '.join(GROUP_SCHEMA.names)})"
    )


def _placed(tables: Iterable[pa.Table], rows_per_file: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of a file and rows that go there."""
    placed = 0
    for table in tables:
        at = 0
        while at < table.num_rows:
            number, taken = divmod(placed, rows_per_file)
            piece = table.slice(at, rows_per_file - taken)
            yield number, piece
            at += piece.num_rows
            placed += piece.num_rows
    if not placed:
        yield 0, GROUP_SCHEMA.empty_table()
