"""UCSC's 2bit to sequences, one in memory at a time.

Format: https://genome.ucsc.edu/FAQ/FAQformat.html#format7
"""

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_builders.progress import progress
from data_builders.records import InputError
from data_builders.text import begins_with

_MAGIC = 0x1A412743
_BYTE_ORDERS = {struct.pack(order + "I", _MAGIC): order for order in "<>"}
_OFFSET_TYPES = {0: "I", 1: "Q"}
# Four bases a byte, the first in the highest bits: T 00, C 01, A 10, G 11.
_FOUR_BASES = np.array(
    [["TCAG"[byte >> shift & 3] for shift in (6, 4, 2, 0)] for byte in range(256)], dtype="S1"
).view("S4")[:, 0]


def is_twobit(path: str | os.PathLike) -> bool:
    """Return whether a file starts as 2bit does, in either byte order."""
    return any(begins_with(path, magic) for magic in _BYTE_ORDERS)


def read_twobit(path: str | os.PathLike) -> Iterator[tuple[str, str]]:
    """Read a 2bit file, version 0 or 1 (64-bit offsets), in either byte order.

    Masked bases (lower case) are read as the others. Packed bases may be padded to 32 bits.

    Args:
        path: the file. Progress is shown when reading takes more than two seconds.

    Yields:
        The name and the sequence (A C G T N), in the order of the index.

    Raises:
        InputError: another magic number or version; a file that ends early; no sequence, an empty
            one, one without a name, or two of one name; a block of N past its sequence's end; a
            sequence that does not end, padding aside, where the next one or the end of the file is.
    """
    with open(path, "rb") as file:
        reader = _Reader(file, path)
        offsets = reader.index()
        bounds = sorted([*offsets.values(), reader.size])
        ends = dict(pairwise(bounds))
        with progress(description=Path(path).name, total=reader.size, unit="B") as shown:
            for name, offset in offsets.items():
                yield name, reader.sequence(name, offset, ends[offset])
                shown.update(ends[offset] - offset)


class _Reader:
    def __init__(self, file: BinaryIO, path):
        self.file, self.path = file, path
        self.size = os.fstat(file.fileno()).st_size
        magic = file.read(4)
        if magic not in _BYTE_ORDERS:
            raise InputError(f"{path}: magic number: got {magic!r}, wanted that of 2bit")
        self.order = _BYTE_ORDERS[magic]

    def index(self) -> dict[str, int]:
        """Return name -> where its record starts."""
        version, count, _ = self._unpack("3I", "header")
        if version not in _OFFSET_TYPES:
            raise InputError(f"{self.path}: version: got {version}, wanted 0 or 1")
        if not count:
            raise InputError(f"{self.path}: index: got no sequence, wanted some")
        offsets: dict[str, int] = {}
        for number in range(1, count + 1):
            where = f"index entry {number}"
            (length,) = self._unpack("B", where)
            name = self._name(self._read(length, where), where)
            (offset,) = self._unpack(_OFFSET_TYPES[version], where)
            if name in offsets:
                raise InputError(
                    f"{self.path}: {where}: name: got '{name}' again, wanted unique names"
                )
            offsets[name] = offset
        start, taken = self.file.tell(), set()
        for name, offset in offsets.items():
            if not start <= offset < self.size or offset in taken:
                raise InputError(
                    f"{self.path}: offset of '{name}': got {offset}, wanted one of its own from "
                    f"{start} to {self.size - 1}"
                )
            taken.add(offset)
        return offsets

    def sequence(self, name: str, offset: int, end: int) -> str:
        """Return the bases of the record from one offset to another."""
        where = f"sequence of '{name}'"
        self.file.seek(offset)
        (length,) = self._unpack("I", where)
        if not length:
            raise InputError(f"{self.path}: {where}: got none, wanted bases")
        starts, sizes = self._blocks(where)
        self._blocks(where)  # masked (lower case)
        self._unpack("I", where)
        size = (length + 3) // 4
        stop = self.file.tell() + size
        if stop != end and not self._is_padded(stop, size, end):
            raise InputError(
                f"{self.path}: {where}: got {length} bases up to byte {stop}, wanted as many as "
                f"reach byte {end}, where the next sequence or the end of the file is"
            )
        packed = np.frombuffer(self._read(size, where), np.uint8)
        bases = _FOUR_BASES[packed].view(np.uint8)[:length]
        for first, last in zip(starts, starts + sizes, strict=True):
            if last > length:
                raise InputError(
                    f"{self.path}: {where}: block of N: got {first} to {last}, wanted at most "
                    f"{length}, its length"
                )
            bases[first:last] = ord("N")
        return str(bases.data, "ascii")

    def _is_padded(self, stop: int, size: int, end: int) -> bool:
        """Return whether zeros fill the packed bases up to 32 bits, as the specification has it."""
        padding = -size % 4
        if stop + padding != end:
            return False
        here = self.file.tell()
        self.file.seek(stop)
        filled = self.file.read(padding) == bytes(padding)
        self.file.seek(here)
        return filled

    def _blocks(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        (count,) = self._unpack("I", where)
        values = np.frombuffer(self._read(8 * count, where), self.order + "u4").astype(np.int64)
        return values[:count], values[count:]

    def _unpack(self, fields: str, where: str) -> tuple[int, ...]:
        layout = struct.Struct(self.order + fields)
        return layout.unpack(self._read(layout.size, where))

    def _read(self, length: int, where: str) -> bytes:
        left = self.size - self.file.tell()
        if length > left:  # checked first: a damaged count may ask for more than the memory holds
            raise InputError(
                f"{self.path}: {where}: got {left} bytes up to the end of the file, wanted {length}"
            )
        return self.file.read(length)

    def _name(self, name: bytes, where: str) -> str:
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: {where}: got {name!r}, wanted UTF-8 text") from error
        if not text:
            raise InputError(f"{self.path}: {where}: name: got none, wanted one")
        if not text.isprintable():
            raise InputError(f"{self.path}: {where}: name: got {text!r}, wanted printable text")
        return text
