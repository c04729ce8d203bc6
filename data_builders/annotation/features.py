"""The nine columns of GTF and GFF3, a line or a whole block at a time."""

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from data_builders.annotation.models import Interval
from data_builders.records import InputError
from data_builders.text import byte_blocks, count_lines, shown

EXONS = frozenset({b"exon", b"pseudogenic_exon"})
PARTS = EXONS | {b"CDS", b"stop_codon"}
UTRS = frozenset(
    {b"UTR", b"five_prime_UTR", b"three_prime_UTR", b"five_prime_utr", b"three_prime_utr"}
    | {b"5UTR", b"3UTR"}
)
NO_PHASE = -1

Line = tuple[int, bytes, bytes, str, Interval, int, bytes]
"""Number, feature type, chromosome, strand, interval, phase, attributes.

All are valid in a part or UTR. Elsewhere interval and phase may be (0, 0) and NO_PHASE.
"""


class Columns(NamedTuple):
    """The lines of a block in which every line is a feature without a flaw.

    Attributes:
        first: number of the first line.
        block: the bytes of all lines.
        types: the feature types of the block.
        type_of: which of these each line has.
        chromosomes, strands, phases: as in `Line`.
        starts, ends: of the intervals.
        attributes, attribute_ends: where in the block the last column of each line is.
    """

    first: int
    block: bytes
    types: list[bytes]
    type_of: np.ndarray
    chromosomes: list[bytes]
    strands: str
    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray
    attributes: np.ndarray
    attribute_ends: np.ndarray


Block = Columns | tuple[Line]

_NINE_COLUMNS = np.frombuffer(b"\t" * 8 + b"\n", np.uint8)
_HASH, _GREATER, _ZERO, _NEWLINE = b"#>0\n"
_MOST_DIGITS = 18  # of an int64
_FOR_A_BROWSER = b"track ", b"browser "  # UCSC's lines of a custom track
_LONGEST_KIND = 17  # two words of eight bytes, and the tab before
_STRANDS = frozenset({b"+", b"-", b".", b"?"})
_PHASES = {b"0": 0, b"1": 1, b"2": 2, b".": NO_PHASE}
_INVALID = -2
_IS_STRAND = np.zeros(256, bool)
_IS_STRAND[[ord(strand) for strand in _STRANDS]] = True
_PHASE_OF_BYTE = np.full(256, _INVALID, np.int8)
_PHASE_OF_BYTE[[ord(phase) for phase in _PHASES]] = list(_PHASES.values())


def feature_blocks(path: str | os.PathLike, features: Counter[bytes]) -> Iterator[Block]:
    """Read features, up to the genome in which a GFF3 may end.

    Args:
        path: plain or gzip; a byte order mark, blanks and tabs at a line's end are no part of it.
        features: feature type -> lines, counted here.

    Yields:
        A block of lines where it has no flaw, else single lines.

    Raises:
        InputError: a line without nine columns; of a part or UTR, coordinates that are no integers
            or not 1 <= start <= end, no chromosome, or a strand or phase that does not exist;
            features after the genome.
    """
    in_genome = False
    columns = None

    def lines_of(block: bytes) -> int:
        return count_lines(block) if columns is None else len(columns.starts)

    for first, block in byte_blocks(path, lines_of):
        columns = None if in_genome else _regular_columns(first, block)
        if in_genome and b"\t" not in block:
            continue
        if columns is not None:
            counts = np.bincount(columns.type_of).tolist()
            features.update(dict(zip(columns.types, counts, strict=True)))
            yield columns
            continue
        for number, line in enumerate(io.BytesIO(block), first):
            in_genome = in_genome or line.startswith((b"##FASTA", b">"))
            if in_genome:
                if line.count(b"\t") >= 8:
                    raise InputError(f"{path}:{number}: got a feature in the genome, wanted bases")
            elif line[0] != _HASH and not line.isspace() and not line.startswith(_FOR_A_BROWSER):
                parsed = _parse(line, path, number)
                features[parsed[1]] += 1
                yield (parsed,)


def feature_lines(blocks: Iterable[Block]) -> Iterator[Line]:
    """Yield the lines of what `feature_blocks` yields."""
    for block in blocks:
        if not isinstance(block, Columns):
            yield from block
            continue
        yield from zip(
            range(block.first, block.first + len(block.starts)),
            map(block.types.__getitem__, block.type_of.tolist()),
            block.chromosomes,
            block.strands,
            zip(block.starts.tolist(), block.ends.tolist(), strict=True),
            block.phases.tolist(),
            slices(block.block, block.attributes, block.attribute_ends),
            strict=True,
        )


def _regular_columns(first: int, block: bytes) -> Columns | None:
    """Return the columns of a block, None if any line is not a feature without a flaw.

    All lines are split at once, which is several times as fast as `_parse`.
    """
    data = np.frombuffer(block, np.uint8)
    marks = np.flatnonzero(data <= _NEWLINE)
    if len(marks) % 9 or not block.endswith(b"\n"):
        return None
    marks = marks.reshape(-1, 9)
    if (data[marks] != _NINE_COLUMNS).any():
        return None
    marks = np.ascontiguousarray(marks.T)
    begins = np.concatenate(([0], marks[8, :-1] + 1))
    starts, ends = _integers(data, marks[2:4], marks[3:5])
    strands, phases = data[marks[5] + 1], _PHASE_OF_BYTE[data[marks[6] + 1]]
    regular = (
        (data[begins] != _HASH)
        & (data[begins] != _GREATER)
        & (begins < marks[0])
        & (marks[5] + 2 == marks[6])
        & (marks[6] + 2 == marks[7])
        & _IS_STRAND[strands]
        & (phases != _INVALID)
        & (1 <= starts)
        & (starts <= ends)
        & (marks[2] - marks[1] <= _LONGEST_KIND)
    )
    if not regular.all():
        return None
    types, type_of = _types(block, marks[1] + 1, marks[2])
    return Columns(
        first,
        block,
        types=types,
        type_of=type_of,
        chromosomes=_chromosomes(block, begins, marks[0]),
        strands=strands.tobytes().decode("ascii"),
        starts=starts - 1,
        ends=ends,
        phases=phases,
        attributes=marks[7] + 1,
        attribute_ends=marks[8],
    )


def _types(block: bytes, begins: np.ndarray, ends: np.ndarray) -> tuple[list[bytes], np.ndarray]:
    """Return the feature types, and the number of that of each line."""
    eights = np.ndarray(len(block) - 7, "<u8", block, strides=(1,))  # from each byte on
    halves = np.array([[0], [8]])
    beyond = (64 - 8 * np.clip(ends - begins - halves, 0, 8)).astype(np.uint64)
    first, second = eights[np.minimum(begins + halves, len(eights) - 1)] << beyond >> beyond
    types, type_of = [], np.full(len(begins), -1, np.int32)
    while type_of[row := type_of.argmin()] < 0:
        type_of[(first == first[row]) & (second == second[row])] = len(types)
        types.append(block[begins[row] : ends[row]])
    return types, type_of


def slices(block: bytes, begins: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """Return the stretches of a block that begin and end at some places."""
    return [block[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _chromosomes(block: bytes, begins: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """Return the chromosome of each line; where all are the same, one object for all."""
    name = block[: ends[0]]
    if (ends - begins == len(name)).all():
        data = np.frombuffer(block, np.uint8)
        if all((data[begins + at] == letter).all() for at, letter in enumerate(name)):
            return [name] * len(begins)
    return slices(block, begins, ends)


def _integers(data: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the integers between two columns of positions, -1 where there is none."""
    digits = after - before - 1
    valid = (1 <= digits) & (digits <= _MOST_DIGITS)
    values = np.zeros(digits.shape, np.int64)
    for place in range(min(digits.max(initial=0), _MOST_DIGITS), 0, -1):
        inside = place <= digits
        digit = data[after - place] - _ZERO  # more than 9 for other characters, as it wraps around
        valid &= (digit <= 9) | ~inside
        values = values * 10 + digit * inside
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
