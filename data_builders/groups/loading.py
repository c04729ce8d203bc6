"""Isoform groups as one mapped table, and the checksum that says whether they are the same ones.

`datasets` keeps an Arrow copy of what it loads, which it finds again by the names and times of the
files. A file that is replaced within its time, as `cp -p`, `rsync -t` or a restored backup do,
would train on the old copy. So a folder's copy is kept under the checksum of its files, and the
checksum of its rows beside it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, load_dataset
from datasets import config as datasets_config
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HTTPError

from data_builders.codec import GROUP_SCHEMA
from data_builders.dataset_files import dataset_files
from data_builders.groups.parquet import other_columns
from data_builders.progress import progress
from data_builders.records import InputError
from data_builders.storage import reason_of
from data_builders.text import sha256_of

_NULL = np.iinfo(np.int64).min
_CONTENT = "content.sha256"


@dataclass(frozen=True)
class LoadedGroups:
    """Groups in mapped memory.

    Attributes:
        batches: of all rows, in the order of the files.
        rows: how many.
        checksum: of the values of all rows, see `content_checksum`.
    """

    batches: Sequence[pa.RecordBatch]
    rows: int
    checksum: str


def load_groups(source: str | os.PathLike, config: str | None = None) -> LoadedGroups:
    """Map a folder of isoform groups, or a dataset on the Hub, which is downloaded.

    `config` is of a dataset on the Hub. Other columns, and a copy that is not what was written, are
    an InputError.
    """
    if not Path(source).is_dir():
        table = _loaded(str(source), lambda: load_dataset(str(source), config, split="train"))
        return LoadedGroups(table.to_batches(), len(table), content_checksum(table.to_batches()))
    if config is not None:
        raise InputError(f"{source}: got the configuration '{config}' of a folder, wanted none")
    files = dataset_files(source)
    cache = Path(datasets_config.HF_DATASETS_CACHE) / f"isoclr-{checksum_of_files(files)[:32]}"
    # `load_dataset("parquet", ...)` would tell a server of Hugging Face, or wait for it in vain.
    paths: list[str | bytes | os.PathLike] = [str(path) for path in files]
    table = _loaded(str(source), lambda: Dataset.from_parquet(paths, cache_dir=str(cache)))
    checksum = content_checksum(table.to_batches())
    _compare(cache / _CONTENT, checksum)
    return LoadedGroups(table.to_batches(), len(table), checksum)


def checksum_of_files(files: Sequence[Path]) -> str:
    """One SHA-256 of the content of some files, in their order; of their names nothing."""
    shown = progress(files, "checksums", unit="file")
    return hashlib.sha256(b"".join(bytes.fromhex(sha256_of(path)) for path in shown)).hexdigest()


def content_checksum(batches: Iterable[pa.RecordBatch]) -> str:
    """Return one SHA-256 of the values of all columns, however they are cut into batches."""
    digests: dict[str, hashlib._Hash] = {}
    for batch in progress(batches, "checksum of rows", unit="batch"):
        for name in GROUP_SCHEMA.names:
            if name in batch.schema.names:
                _add(digests, name, batch.column(name))
    total = hashlib.sha256()
    for name in sorted(digests):
        total.update(f"{name} {digests[name].hexdigest()}\n".encode())
    return total.hexdigest()


def _add(digests: dict, name: str, array: pa.Array) -> None:
    """Add the values of an array to the digests of its parts: lengths, then what they are of."""

    def add(part: str, values) -> None:
        digests.setdefault(f"{name}.{part}", hashlib.sha256()).update(values)

    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        add("lengths", _numbers(pc.list_value_length(array)))
        _add(digests, f"{name}.values", array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        add("lengths", _numbers(pc.binary_length(array)))
        letters = array.drop_null().cast(pa.large_string())
        _, offsets, data = letters.buffers()
        if data is not None and len(letters):
            bounds = np.frombuffer(offsets, np.int64)[letters.offset :]
            add("letters", memoryview(data)[bounds[0] : bounds[len(letters)]])
    else:
        add("numbers", _numbers(array))


def _numbers(array: pa.Array) -> np.ndarray:
    return np.ascontiguousarray(array.cast(pa.int64()).fill_null(_NULL).to_numpy())


def _loaded(source: str, load: Callable[[], Dataset]) -> pa.Table:
    """The table that `datasets` loads; an InputError where it does not, or has other columns."""
    try:
        table = load().data.table
    except (HTTPError, OSError, ValueError, DatasetsError, pa.ArrowException) as error:
        cause = error.__cause__ if isinstance(error, DatasetsError) and error.__cause__ else error
        raise InputError(f"{source}: cannot be loaded: {reason_of(cause)[:300]}") from error
    if table.column_names != GROUP_SCHEMA.names:
        raise other_columns(table.column_names, source)
    return table


def _compare(path: Path, checksum: str) -> None:
    """Compare rows with those that were first written, whose checksum lies beside them."""
    try:
        written = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        beside = path.with_name(f".{path.name}-{os.getpid()}")
        beside.write_text(f"{checksum}\n", encoding="ascii")
        beside.replace(path)
        return
    if written != checksum:
        raise InputError(
            f"{path.parent}: got other rows than were written, wanted the copy of a dataset; "
            "remove the folder to have it made again"
        )
