"""Isoform groups as Parquet files: writing and reading."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.codec import GROUP_SCHEMA, ROWS_AT_ONCE, groups_of_table, table_of_groups
from data_builders.records import InputError, IsoformGroup
from data_builders.staging import ROWS_PER_FILE, Shard, replacing, shard_name, unfinished

# datasets takes the last '-ddddd-of-ddddd' for the end of the split's name, so parts have less.
_FILE = re.compile(r"train-(\d{5})-of-(\d{5})(?:-part-(\d{4})-of-(\d{4}))?\.parquet")


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
        path.rename(data / _file_name(number, len(written), shard))
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


def read_batches(
    files: Iterable[Path], rows: int, check: Callable[[pa.Schema, str], None]
) -> Iterator[pa.Table]:
    """Read Parquet files, in order, as tables of at most so many rows; see that each is one.

    `check` gets a file's schema and its path.
    """
    for path in files:
        try:
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: got '{reason}', wanted Parquet") from error
        check(schema, str(path))
        with file:
            for batch in file.iter_batches(batch_size=rows):
                yield pa.Table.from_batches([batch])


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


def _file_name(number: int, files: int, shard: Shard | None) -> str:
    if shard is None:
        return f"train-{shard_name((number, files))}.parquet"
    return f"train-{shard_name(shard)}-part-{number:04d}-of-{files:04d}.parquet"


def dataset_files(folder: str | os.PathLike, what: str = "isoform groups") -> list[Path]:
    """Return the Parquet files of a dataset, in order, after checking that all are there.

    Files of other names, such as the `.bak` of an editor, are not of the dataset, whose content an
    error calls `what`.

    Raises:
        InputError: no files, one missing (of a shard, or a whole shard), files of several datasets,
            or a build interrupted while it replaced `data`.
    """
    folder = Path(folder)
    data = folder / "data"
    if left := unfinished(folder):
        raise InputError(
            f"{left[0]}: got a dataset that an interrupted build did not move into place, "
            "wanted that build run again"
        )
    names = (path.name for path in data.glob("*"))
    return [data / name for name in dataset_names(names, str(data), what)]


def dataset_names(names: Iterable[str], source: str, what: str = "isoform groups") -> list[str]:
    """Return those of some names that are of a dataset's files, in order, if all are there.

    None, one missing, and those of several datasets are an InputError.
    """
    found = {match[0]: match for name in names if (match := _FILE.fullmatch(name))}
    if not found:
        raise InputError(f"{source}: got no train-*.parquet, wanted {what}")
    wanted = _wanted(list(found.values()))
    if others := sorted(found.keys() - set(wanted)):
        raise InputError(f"{source}: got '{others[0]}' beside '{wanted[0]}', wanted one dataset")
    if missing := [name for name in wanted if name not in found]:
        raise InputError(
            f"{source}: got {len(found)} of {len(wanted)} files, wanted {missing[0]} too"
        )
    return wanted


def _wanted(found: list[re.Match]) -> list[str]:
    """Return the names of all files of the dataset that the files found belong to."""
    total, parts = int(found[0][2]), {int(match[1]): match[4] for match in found}
    if found[0][4] is None:
        return [_file_name(number, total, None) for number in range(total)]
    return [
        _file_name(part, files, (shard, total))
        for shard in range(total)
        for files in [int(parts.get(shard) or 1)]
        for part in range(files)
    ]
