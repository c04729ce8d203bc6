"""A dataset comes into its folder whole, and what it replaces stays until then.

A dataset is written into a hidden folder beside the old one. When all of it is there, that folder
is renamed to say so, and then its content moves into place: `data` by two renames, or, of a shard,
file by file. Whatever interrupts the move, `finish` ends it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Shard = tuple[int, int]
"""(i, n): the i-th, from 0, of n parts of a dataset that are built apart."""

MAX_SHARDS = 99_999
"""What five digits of a file's name hold."""

ROWS_PER_FILE = 10_000
"""Rows of a Parquet file of a dataset, unless another number is asked for."""

REPORTS = ("report.json", "report.png", "homology.png")
"""What tells of the whole of `data`, and goes when that changes."""

_COMPLETE = ".complete"


def shard_name(shard: Shard) -> str:
    """As files carry it: 00003-of-00010."""
    return f"{shard[0]:05d}-of-{shard[1]:05d}"


@contextmanager
def replacing(folder: str | os.PathLike, shard: Shard | None = None) -> Iterator[Path]:
    """Gives a folder to write a dataset into, and moves that to `folder` when the block ends well.

    Args:
        folder: made if absent. Its `data` and reports are replaced; of a shard, those of the shard.
        shard: what is written; None: all of the dataset.
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
    """Moves a complete dataset into place, if an interruption has left it beside it."""
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
    """What `finish` would move."""
    return sorted(Path(folder).glob(f"{_COMPLETE}*"))


def _remove_other_parts(part: Path, data: Path) -> None:
    """Removes parts of the same shard in another number of parts: of a build before this one."""
    shard, _, number = part.name.partition("-part-")
    total = number.rpartition("-")[2]
    for other in data.glob(f"{shard}-part-*"):
        if not other.name.endswith(f"-{total}"):
            other.unlink()


def _complete(folder: Path, shard: Shard | None) -> Path:
    return folder / f"{_COMPLETE}{_suffix(shard)}"


def _suffix(shard: Shard | None) -> str:
    return "" if shard is None else f"-{shard_name(shard)}"
