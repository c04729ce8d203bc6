"""FASTA to sequences, one in memory at a time."""

import os
from collections.abc import Iterator

from data_builders.records import AMBIGUOUS, InputError
from data_builders.text import Tally, byte_blocks, count_lines, decode

_AMBIGUOUS = AMBIGUOUS.encode() + AMBIGUOUS.lower().encode()
_LETTERS = b"ACGTNacgtnUu" + _AMBIGUOUS
_OTHERS = bytes(set(range(256)) - set(_LETTERS))
_TO_BASES = bytes.maketrans(
    _LETTERS + _OTHERS, b"ACGTNACGTNTT" + b"N" * len(_AMBIGUOUS) + bytes(len(_OTHERS))
)
_BLANKS = b" \t\r\n"


def read_fasta(path: str | os.PathLike, tally: Tally | None = None) -> Iterator[tuple[str, str]]:
    """Read names and sequences of a FASTA file, as `read_fasta_records` has them."""
    for name, _, sequence in read_fasta_records(path, tally):
        yield name, sequence


def read_fasta_records(
    path: str | os.PathLike, tally: Tally | None = None
) -> Iterator[tuple[str, str, str]]:
    """Read a FASTA file, plain or gzip (told apart by content), one sequence at a time.

    Args:
        path: the file.
        tally: where the bases that became N are counted, as adjusted.

    Yields:
        The name (first word of the header), the rest of the header, and the sequence: upper-case
        A C G T N, with U read as T and the IUPAC ambiguity codes as N.

    Raises:
        InputError: sequence before the first header, a header without a name or without a
            sequence, a name used twice, a character that is no nucleotide, an empty file, or a
            damaged gzip stream.
    """
    tally = Tally() if tally is None else tally
    names: set[str] = set()
    name, description, header_line, sequence = None, "", 0, bytearray()
    for number, line in _headers_and_bases(path):
        if not line.startswith(b">"):
            sequence += line
            if name is None and (bases := line.lstrip()):
                number += line.count(b"\n", 0, len(line) - len(bases))
                raise InputError(f"{path}:{number}: header: got {_excerpt(bases)}, wanted '>name'")
            continue
        if name is not None:
            yield name, description, _bases(sequence, path, header_line, name, tally)
        header = line[1:].rstrip()
        if b"\r" in header:
            raise InputError(
                f"{path}:{number}: header: got a carriage return within it, wanted lines that end "
                "in a line feed"
            )
        words = header.split(maxsplit=1)
        if not words:
            raise InputError(f"{path}:{number}: header: got no name, wanted '>name'")
        name, header_line, sequence = decode(words[0], path, number), number, bytearray()
        description = words[1].decode("utf-8", "replace") if len(words) > 1 else ""
        if name in names:
            raise InputError(f"{path}:{number}: name: got '{name}' again, wanted unique names")
        names.add(name)
    if name is None:
        raise InputError(f"{path}: got an empty file, wanted FASTA")
    yield name, description, _bases(sequence, path, header_line, name, tally)


def _headers_and_bases(path) -> Iterator[tuple[int, bytes]]:
    """Yield each header, and the lines of bases between two in one piece a block, with numbers."""
    for number, block in byte_blocks(path):
        begin = 0
        while begin < len(block):
            if block.startswith(b">", begin):
                end = block.find(b"\n", begin) + 1
            else:  # one byte is found many times as fast as two
                mark = block.find(b">", begin)
                end = block.find(b"\n>", mark - 1) + 1 if mark > 0 else 0
            piece = block[begin : end or len(block)]
            yield number, piece
            number += count_lines(piece)
            begin += len(piece)


def _bases(raw: bytearray, path, header_line: int, name: str, tally: Tally) -> str:
    bases = raw.translate(_TO_BASES, _BLANKS)
    if not bases:
        raise InputError(f"{path}:{header_line}: sequence: got none for '{name}', wanted bases")
    if b"\0" in bases:
        letter = raw.translate(None, _LETTERS + _BLANKS)[:1]
        line = header_line + 1 + raw.count(b"\n", 0, raw.index(letter))
        raise InputError(
            f"{path}:{line}: sequence of '{name}': got {letter.decode('latin-1')!r}, "
            "wanted a nucleotide"
        )
    if b"N" in bases:
        ambiguous = bases.count(b"N") - raw.count(b"N") - raw.count(b"n")
        if ambiguous:
            tally.adjusted["ambiguous base read as N"] += ambiguous
    return bases.decode("ascii")


def _excerpt(line: bytes) -> str:
    return repr(line[:20].partition(b"\n")[0].decode("latin-1").strip())
