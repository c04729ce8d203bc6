"""What every reader shares: lines of a file, plain or gzip, and a tally of what became of them."""

import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from data_builders.records import InputError

_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class Tally:
    """What became of the records of one source.

    Attributes:
        read: records found.
        skipped: reason -> records left out for it; the others were kept.
        adjusted: reason -> times that a kept record was changed for it.
        strict: whether a skip is an error.
    """

    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    adjusted: Counter[str] = field(default_factory=Counter)
    strict: bool = False

    def skip(self, reason: str, where: str, records: int = 1) -> None:
        """Counts records that are left out.

        Args:
            reason: why.
            where: file, line and name of the (first) record.
            records: how many.

        Raises:
            InputError: the tally is strict.
        """
        if self.strict:
            raise InputError(f"{where}: {reason}")
        self.skipped[reason] += records

    @property
    def kept(self) -> int:
        """Records that were not skipped."""
        return self.read - self.skipped.total()

    def update(self, other: "Tally") -> None:
        """Adds the counts of another tally to this one."""
        self.read += other.read
        self.skipped.update(other.skipped)
        self.adjusted.update(other.adjusted)


def numbered_lines(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Reads a plain or gzip file line by line, told apart by content.

    Args:
        path: the file. Progress is shown when reading takes more than two seconds.

    Yields:
        The line's number, from 1, and the line with its end.

    Raises:
        InputError: the file cannot be opened, or its gzip stream is truncated or damaged.
    """
    for first, lines in line_blocks(path):
        yield from enumerate(lines, first)


def line_blocks(path: str | os.PathLike) -> Iterator[tuple[int, list[bytes]]]:
    """As `numbered_lines`, some lines at a time: the number of the first, and the lines."""
    return _blocks(path, lambda stream: stream.readlines(_BLOCK_BYTES), len)


def byte_blocks(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """As `line_blocks`, the lines as they are in the file."""
    return _blocks(path, lambda stream: stream.read(_BLOCK_BYTES) + stream.readline(), _newlines)


def _newlines(block: bytes) -> int:
    return np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))


def _blocks(path, read: Callable[[BinaryIO], Any], lines_of: Callable[[Any], int]) -> Iterator:
    number = 1
    try:
        with (
            open(path, "rb") as raw,
            tqdm(
                total=os.path.getsize(path),
                desc=Path(path).name,
                unit="B",
                unit_scale=True,
                delay=2,
                leave=False,
            ) as progress,
        ):
            stream = raw
            if raw.peek(2).startswith(b"\x1f\x8b"):
                stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20)
            while block := read(stream):
                yield number, block
                number += lines_of(block)
                progress.update(raw.tell() - progress.n)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}:{number}: got a truncated or damaged gzip stream ({error}) at this line or "
            "later, wanted a complete one"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error


def decode(value: bytes, path: str | os.PathLike, line: int) -> str:
    """A name as text.

    Raises:
        InputError: the bytes are not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{line}: got {value!r}, wanted UTF-8 text") from error
