"""The Parquet files of a dataset: what they are called, whether all are there, their rows."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.records import InputError
from data_builders.staging import Shard, shard_name, unfinished

# datasets takes the last '-ddddd-of-ddddd' for the end of the split's name, so parts have less.
_FILE = re.compile(r"train-(\d{5})-of-(\d{5})(?:-part-(\d{4})-of-(\d{4}))?\.parquet")


def file_name(number: int, files: int, shard: Shard | None) -> str:
    """Return the name of a file of a dataset, or of the part of one that a shard is."""
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
        return [file_name(number, total, None) for number in range(total)]
    return [
        file_name(part, files, (shard, total))
        for shard in range(total)
        for files in [int(parts.get(shard) or 1)]
        for part in range(files)
    ]


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
