"""Read lines of plain or gzip files, and count what becomes of records."""

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from isal import igzip, isal_zlib

from data_builders.progress import progress
from data_builders.records import InputError

# The stub of isal_zlib says that its error is an instance.
_DAMAGED_GZIP: Any = (EOFError, isal_zlib.error, igzip.BadGzipFile)
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CR_WITHIN_LINE = re.compile(rb"\A[^\n]*\r(?![\r\n]|\Z)")
_NOT_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]|\r(?!\n?\\Z)")
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n"))  # of ASCII, those to look at closely
_BGZF = b"\x1f\x8b\x08\x04", b"\x06\0BC\x02\0"  # the first bytes, and those from the tenth on
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_SHOWN = 20
_BLOCK_BYTES = 1 << 20
# GTF becomes about 30 times as large, the bases of a genome 4 times.
_MOST_EXPANSION = 200
_BYTES_BEFORE_DOUBT = 1 << 28


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
        """Count records that are left out for a reason; a strict tally raises an InputError.

        `where` is file, line and name of the (first) record.
        """
        if self.strict:
            raise InputError(f"{where}: {reason}")
        self.skipped[reason] += records

    @property
    def kept(self) -> int:
        """The number of records that were not skipped."""
        return self.read - self.skipped.total()

    def update(self, other: "Tally") -> None:
        """Add the counts of another tally to this one."""
        self.read += other.read
        self.skipped.update(other.skipped)
        self.adjusted.update(other.adjusted)


def numbered_lines(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Read a plain or gzip file line by line; its content tells which.

    A byte order mark of UTF-8 is no part of the first line.

    Args:
        path: the file. Progress is shown when reading takes more than two seconds.

    Yields:
        The line's number, from 1, and the line with its end.

    Raises:
        InputError: the file cannot be opened, is UTF-16, or has lines that end in carriage returns
            alone; or its gzip stream is truncated or damaged, bgzip without the block that ends it,
            or one that expands beyond reason.
    """
    for first, lines in _blocks(path, lambda stream: stream.readlines(_BLOCK_BYTES), len):
        yield from enumerate(lines, first)


def count_lines(block: bytes) -> int:
    """Count the newlines of a block."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def byte_blocks(
    path: str | os.PathLike, lines_of: Callable[[bytes], int] = count_lines
) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines: the number of the first, and their bytes; as `numbered_lines`.

    `lines_of` returns how many lines a block has; it is asked once the next block is wanted.
    """
    return _blocks(path, lambda stream: stream.read(_BLOCK_BYTES) + stream.readline(), lines_of)


def _blocks(path, read: Callable[[BinaryIO], Any], lines_of: Callable[[Any], int]) -> Iterator:
    number = 1
    try:
        with (
            open(path, "rb") as raw,
            progress(description=Path(path).name, total=os.path.getsize(path), unit="B") as bar,
        ):
            stream = raw
            if raw.peek(2).startswith(b"\x1f\x8b"):
                _check_bgzf_end(raw)
                stream = cast(io.BufferedReader, io.BufferedReader(_Expanded(raw, path), 1 << 20))
            _check_start(stream, path)
            while block := read(stream):
                yield number, block
                number += lines_of(block)
                bar.update(raw.tell() - bar.n)
    except _DAMAGED_GZIP as error:
        raise InputError(
            f"{path}:{number}: got a truncated or damaged gzip stream ({error}) at this line or "
            "later, wanted a complete one"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error


class _Expanded(io.RawIOBase):
    """What a gzip stream holds, as long as it is not so much more that it can only do harm."""

    def __init__(self, packed: BinaryIO, path):
        self._packed, self._path, self._count = packed, path, 0
        self._unpacked = igzip.IGzipFile(fileobj=packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        read = self._unpacked.readinto(buffer)
        self._count += read
        if self._count > max(_BYTES_BEFORE_DOUBT, _MOST_EXPANSION * self._packed.tell()):
            raise InputError(
                f"{self._path}: got {self._count:,} bytes out of {self._packed.tell():,} of gzip, "
                f"wanted at most {_MOST_EXPANSION} times as many; unpack it to have it read"
            )
        return read


def _check_start(stream: io.BufferedReader, path) -> None:
    """Refuse what is no text of lines, and skip a byte order mark."""
    start = stream.peek(1)
    if start.startswith(_UTF16) or b"\0" in start[:2]:
        raise InputError(f"{path}:1: got UTF-16, or no text at all, wanted UTF-8 text")
    if _CR_WITHIN_LINE.match(start):
        raise InputError(f"{path}:1: got a carriage return within a line, wanted line feeds")
    if start.startswith(_BOM):
        stream.read(len(_BOM))


def _check_bgzf_end(raw: BinaryIO) -> None:
    """Check that the last block of bgzip is there: without it, blocks were cut off."""
    start = raw.read(16)
    if start.startswith(_BGZF[0]) and start.endswith(_BGZF[1]):
        raw.seek(-len(_BGZF_END), os.SEEK_END)
        if raw.read() != _BGZF_END:
            raise EOFError("bgzip without the block that ends it")
    raw.seek(0)


def shown(value: bytes) -> str:
    """Return what an error shows of a field: its beginning, in printable characters."""
    text = value[:40].decode("utf-8", "replace")
    return text if text.isprintable() else ascii(text)[1:-1]


def decode(value: bytes, path: str | os.PathLike, line: int) -> str:
    """Return a name, or a line, as text.

    Raises:
        InputError: the bytes are not UTF-8, or there are control characters among them.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        found = value[error.start : error.start + _SHOWN]
        raise InputError(f"{path}:{line}: got {found!r}, wanted UTF-8 text") from error
    if text.isprintable():
        return text
    suspect = not value.isascii() or len(value.translate(None, _CONTROLS)) < len(value)
    if suspect and (odd := _NOT_TEXT.search(text)):
        raise InputError(f"{path}:{line}: got the character {odd[0]!r}, wanted text")
    return text


def begins_with(path: str | os.PathLike, start: bytes) -> bool:
    """Say whether the first bytes of a file are these."""
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error


def read_json(path: str | os.PathLike, keys: Sequence[str], wanted: str) -> dict:
    """Read a JSON object that has some keys; an error says what is `wanted`."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, wanted {wanted}") from None
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted {wanted}") from error
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON, wanted {wanted}") from None
    if not (keys or isinstance(value, dict)):
        raise InputError(f"{path}: got no JSON object, wanted {wanted}")
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing:
        raise InputError(f"{path}: no {missing[0]} in it, wanted {wanted}")
    return value
