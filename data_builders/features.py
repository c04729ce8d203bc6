"""Lines of nine columns, as GTF and GFF3 have them."""

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from data_builders.models import Interval
from data_builders.records import InputError
from data_builders.text import byte_blocks, shown

EXONS = frozenset({b"exon", b"pseudogenic_exon"})
PARTS = EXONS | {b"CDS", b"stop_codon"}
UTRS = frozenset(
    {b"UTR", b"five_prime_UTR", b"three_prime_UTR", b"five_prime_utr", b"three_prime_utr"}
    | {b"5UTR", b"3UTR"}
)
NO_PHASE = -1

Line = tuple[int, bytes, bytes, str, Interval, int, bytes]
"""Number, feature type, chromosome, strand, interval, phase, attributes.

Of a part or UTR all are valid; of other features interval and phase may be (0, 0) and NO_PHASE.
"""

_NINE_COLUMNS = np.frombuffer(b"\t" * 8 + b"\n", np.uint8)
_HASH, _GREATER, _ZERO, _NEWLINE = b"#>0\n"
_MOST_DIGITS = 18  # of an int64
_STRANDS = frozenset({b"+", b"-", b".", b"?"})
_PHASES = {b"0": 0, b"1": 1, b"2": 2, b".": NO_PHASE}
_INVALID = -2
_STRAND_OF_BYTE = np.full(256, _INVALID, np.int8)
_STRAND_OF_BYTE[[ord(strand) for strand in _STRANDS]] = 0
_PHASE_OF_BYTE = np.full(256, _INVALID, np.int8)
_PHASE_OF_BYTE[[ord(phase) for phase in _PHASES]] = list(_PHASES.values())


def feature_lines(path: str | os.PathLike, features: Counter[bytes]) -> Iterator[Line]:
    """Reads features, up to the genome in which a GFF3 may end.

    Args:
        path: plain or gzip; a byte order mark, blanks and tabs at a line's end are no part of it.
        features: feature type -> lines, counted here.

    Raises:
        InputError: a line without nine columns; of a part or UTR, coordinates that are no integers
            or not 1 <= start <= end, no chromosome, or a strand or phase that does not exist;
            features after the genome.
    """
    in_genome = False
    for first, block in byte_blocks(path):
        if in_genome and b"\t" not in block:
            continue
        columns = None if in_genome else _regular_columns(block)
        if columns is not None:
            features.update(columns[0])
            yield from zip(range(first, first + len(columns[0])), *columns, strict=True)
            continue
        for number, line in enumerate(io.BytesIO(block), first):
            in_genome = in_genome or line.startswith((b"##FASTA", b">"))
            if in_genome:
                if line.count(b"\t") >= 8:
                    raise InputError(f"{path}:{number}: got a feature in the genome, wanted bases")
            elif line[0] != _HASH and not line.isspace():
                parsed = _parse(line, path, number)
                features[parsed[1]] += 1
                yield parsed


def _regular_columns(block: bytes) -> tuple[Sequence, ...] | None:
    """The columns of lines that are all features without a flaw, else None.

    The whole block at once, which is about twice as fast as `_parse`.
    """
    data = np.frombuffer(block, np.uint8)
    marks = np.flatnonzero(data <= _NEWLINE)
    if len(marks) % 9:
        return None
    marks = marks.reshape(-1, 9)
    begins = np.concatenate(([0], marks[:-1, 8] + 1))
    starts, ends = (_integers(data, marks[:, at], marks[:, at + 1]) for at in (2, 3))
    strands, phases = _STRAND_OF_BYTE[data[marks[:, 5] + 1]], _PHASE_OF_BYTE[data[marks[:, 6] + 1]]
    regular = (
        (data[marks] == _NINE_COLUMNS).all(1)
        & (data[begins] != _HASH)
        & (data[begins] != _GREATER)
        & (begins < marks[:, 0])
        & (marks[:, 5:7] + 2 == marks[:, 6:8]).all(1)
        & (strands != _INVALID)
        & (phases != _INVALID)
        & (1 <= starts)
        & (starts <= ends)
    )
    if not regular.all():
        return None
    return (
        _slices(block, marks[:, 1] + 1, marks[:, 2]),
        _chromosomes(block, begins, marks[:, 0]),
        data[marks[:, 5] + 1].tobytes().decode("ascii"),
        list(zip((starts - 1).tolist(), ends.tolist(), strict=True)),
        phases.tolist(),
        _slices(block, marks[:, 7] + 1, marks[:, 8]),
    )


def _slices(block: bytes, begins: np.ndarray, ends: np.ndarray) -> list[bytes]:
    return [block[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _chromosomes(block: bytes, begins: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """As `_slices`, at once where all are the first."""
    name = block[: ends[0]]
    if (ends - begins == len(name)).all():
        data = np.frombuffer(block, np.uint8)
        if all((data[begins + at] == letter).all() for at, letter in enumerate(name)):
            return [name] * len(begins)
    return _slices(block, begins, ends)


def _integers(data: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The integers between two columns of positions, -1 for what is none."""
    digits = after - before - 1
    valid = (1 <= digits) & (digits <= _MOST_DIGITS)
    values = np.zeros(len(digits), np.int64)
    for place in range(min(digits.max(initial=0), _MOST_DIGITS), 0, -1):
        inside = place <= digits
        digit = data[after - place] - _ZERO  # of other characters, modulo 256, more than 9
        valid &= (digit <= 9) | ~inside
        values = np.where(inside, values * 10 + digit, values)
    return np.where(valid, values, -1)


def _parse(line: bytes, path, number: int) -> Line:
    columns = line.rstrip(b"\r\n").split(b"\t")
    if len(columns) > 9:  # tabs may follow the last
        columns = line.rstrip().split(b"\t")
    if b"\0" in line:
        raise InputError(f"{path}:{number}: got the character '\\x00', wanted text")
    if len(columns) != 9:
        raise InputError(f"{path}:{number}: columns: got {len(columns)}, wanted 9")
    chromosome, _, kind, start, end, _, strand, phase, attributes = columns
    interval = 0, 0
    if start.isdigit() and end.isdigit() and max(len(start), len(end)) <= _MOST_DIGITS:
        interval = int(start) - 1, int(end)
    if kind in PARTS or kind in UTRS:
        if not 0 <= interval[0] < interval[1]:
            raise InputError(
                f"{path}:{number}: coordinates: got {shown(start)} to {shown(end)}, "
                "wanted integers, 1 <= start <= end"
            )
        if strand not in _STRANDS:
            raise InputError(
                f"{path}:{number}: strand: got '{shown(strand)}', wanted '+', '-', '.' or '?'"
            )
        if not chromosome:
            raise InputError(f"{path}:{number}: chromosome: got none, wanted a name")
        if kind == b"CDS" and phase not in _PHASES:
            raise InputError(
                f"{path}:{number}: phase: got '{shown(phase)}', wanted '0', '1', '2' or '.'"
            )
    strand, phase = strand.decode("latin-1"), _PHASES.get(phase, NO_PHASE)
    return number, kind, chromosome, strand, interval, phase, attributes
