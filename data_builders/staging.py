"""Replace a dataset in its folder only once the new one is complete.

A dataset is written into a hidden folder beside the old one. When it is complete, that folder is
renamed to say so, and then its content is moved into place: `data` by two renames, or, for a shard,
file by file. If the move is interrupted, `finish` completes it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from data_builders.storage import LOCK, one_writer

Shard = tuple[int, int]
"""(i, n): the i-th, from 0, of n parts of a dataset that are built apart."""

MAX_SHARDS = 99_999
"""The largest number of shards: five digits of a file's name."""

ROWS_PER_FILE = 10_000
"""Rows of a Parquet file of a dataset, unless another number is asked for."""

REPORTS = ("report.json", "report.png", "homology.png")
"""Files that describe all of `data`, and are removed when that changes."""

_COMPLETE = ".complete"


def shard_name(shard: Shard) -> str:
    """Return a shard's name in file names: 00003-of-00010."""
    return f"{shard[0]:05d}-of-{shard[1]:05d}"


@contextmanager
def one_builder(folder: str | os.PathLike, shard: Shard | None = None) -> Iterator[None]:
    """Hold a folder, so that no other process builds a dataset in it, or the same shard.

    Shards share the folder with each other, and with nothing else. It is made if absent, and
    removed again if the block leaves nothing in it.
    """
    with ExitStack() as held:
        if shard is None:
            held.enter_context(one_writer(folder, "a build"))
        else:
            what = f"a build of shard {shard[0]}/{shard[1]}"
            held.enter_context(one_writer(folder, "a build of shards", shared=True))
            held.enter_context(one_writer(folder, what, f"{LOCK}{_suffix(shard)}"))
        yield


@contextmanager
def replacing(folder: str | os.PathLike, shard: Shard | None = None) -> Iterator[Path]:
    """Yield a folder to write a dataset into; move it to `folder` if the block raises nothing.

    The `data` and reports of the folder are replaced; of a shard, those of the shard.
    """
    finish(folder, shard)
    folder = Path(folder)
    made = not folder.exists()
    partial = folder / f".partial{_suffix(shard)}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial)
        if made:
            with suppress(OSError):  # another shard may be at work in it
                folder.rmdir()
        raise
    partial.rename(_complete(folder, shard))
    finish(folder, shard)


def finish(folder: str | os.PathLike, shard: Shard | None = None) -> None:
    """Move a complete dataset into place, if an interrupted move has left one."""
    folder = Path(folder)
    complete, old = _complete(folder, shard), folder / ".old"
    if not complete.exists():
        return
    data, new = folder / "data", complete / "data"
    if shard is not None or new.exists():
        for name in REPORTS:
            (folder / name).unlink(missing_ok=True)
    if shard is None and new.exists():
        shutil.rmtree(folder / "reports", ignore_errors=True)  # of shards that are no more
        if data.exists():
            data.rename(old)
        new.rename(data)
    for path in sorted(path for path in complete.rglob("*") if path.is_file()):
        target = folder / path.relative_to(complete)
        target.parent.mkdir(exist_ok=True)
        if path.parent == new:
            _remove_other_parts(path, data)
        path.replace(target)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(complete)


def unfinished(folder: str | os.PathLike) -> list[Path]:
    """Return what `finish` would move."""
    return sorted(Path(folder).glob(f"{_COMPLETE}*"))


def _remove_other_parts(part: Path, data: Path) -> None:
    """Remove parts of the same shard from an earlier build, which had another number of parts."""
    shard, _, number = part.name.partition("-part-")
    total = number.rpartition("-")[2]
    for other in data.glob(f"{shard}-part-*"):
        if not other.name.endswith(f"-{total}"):
            other.unlink()


def _complete(folder: Path, shard: Shard | None) -> Path:
    return folder / f"{_COMPLETE}{_suffix(shard)}"


def _suffix(shard: Shard | None) -> str:
    return "" if shard is None else f"-{shard_name(shard)}"
