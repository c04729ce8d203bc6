"""Files of homologous sequences to rows of letters: FASTA, A3M, PHYLIP and Stockholm.

A file is told by its content. Rows are as the file has them, gaps included: what letters mean is
for `data_builders.homology.alphabets`, and what names mean for `data_builders.homology.headers`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_builders.homology.alphabets import GAPS
from data_builders.records import InputError
from data_builders.text import decode, numbered_lines

SUFFIXES = (
    *(".fa", ".fasta", ".faa", ".fna", ".ffn", ".afa", ".aln", ".mfa", ".a3m", ".phy"),
    *(".phylip", ".sto", ".stk", ".stockholm"),
)
_PHYLIP = re.compile(r"\s*(\d+)\s+(\d+)\s*")
_ID_LINE = re.compile(r"#=GF\s+(ID|AC)\s+(\S+)")
_STRICT_NAME = 10  # columns of a name in PHYLIP's first form
_LOWER = re.compile("[a-z]")
_SHOWN = 60  # characters of a name that an error shows


class Row(NamedTuple):
    """One sequence of a file.

    Attributes:
        name: up to the first blank.
        description: what comes after it in the header, perhaps empty.
        letters: with gaps, of either case; no blanks.
        line: where it begins in the file, from 1.
    """

    name: str
    description: str
    letters: str
    line: int


@dataclass(frozen=True)
class Rows:
    """The rows of one family, or of a file that holds several.

    Attributes:
        source: the file, for errors.
        name: of the family, as the file or its name says.
        rows: at least one; names are unique.
        columns: the aligned letters of each row, all of one length; None where rows are not
            aligned. Of FASTA, rows with gaps, or of one length, are; of A3M, letters in lower case
            stand between columns.
    """

    source: str
    name: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] | None


def read_rows(path: str | os.PathLike) -> Iterator[Rows]:
    """Read one file, plain or gzip.

    FASTA, A3M and PHYLIP hold one family, named by the file; Stockholm holds any number, named by
    `#=GF AC`, `#=GF ID` or the file.

    Raises:
        InputError: none of the formats, a name used twice, a row without letters, rows of an
            alignment that differ in length, a header without a name, a file that ends too early.
    """
    lines = ((n, decode(line, path, n).rstrip("\r\n")) for n, line in numbered_lines(path))
    lines = iter([(n, text) for n, text in lines if text.strip()])
    number, first = next(lines, (1, ""))
    if first.startswith("# STOCKHOLM"):
        yield from _stockholm(lines, path)
        return
    if first.startswith(("#A3M#", ">")):
        if first.startswith("#"):
            number, first = next(lines, (number, ""))
        rows = _fasta((number, first), lines, path)
        is_a3m = Path(_plain_name(path)).suffix == ".a3m"
        columns = _a3m_columns(rows, path) if is_a3m else _fasta_columns(rows, path)
    elif match := _PHYLIP.fullmatch(first):
        rows = _phylip(list(lines), int(match[1]), int(match[2]), path)
        columns = _letters(rows)
    else:
        raise InputError(
            f"{path}:{number}: got {first[:40]!r}, wanted FASTA, A3M, PHYLIP or Stockholm"
        )
    yield Rows(str(path), family_name(path), tuple(rows), columns)


def family_name(path: str | os.PathLike) -> str:
    """Return the file's name without what says its format, as `OG0000001` or `ENSG00000000003`."""
    name = _plain_name(path)
    return Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name


def is_sequence_file(path: Path) -> bool:
    """Return whether a file's name is that of a format read here."""
    return Path(_plain_name(path)).suffix.lower() in SUFFIXES


def _plain_name(path) -> str:
    return Path(path).name.removesuffix(".gz").removesuffix(".bgz")


def _fasta(first: tuple[int, str], lines, path) -> list[Row]:
    rows: list[Row] = []
    names: set[str] = set()
    header, start, parts = first[1], first[0], []
    for number, text in lines:
        if text.startswith(">"):
            rows.append(_row(header[1:], "".join(parts), start, path, names))
            header, start, parts = text, number, []
        else:
            parts.append("".join(text.split()))
    rows.append(_row(header[1:], "".join(parts), start, path, names))
    return rows


def _row(header: str, letters: str, line: int, path, names: set[str]) -> Row:
    name, _, description = header.strip().partition(" ")
    if not name:
        raise InputError(f"{path}:{line}: header: got no name, wanted '>name'")
    if not letters:
        raise InputError(f"{path}:{line}: sequence of '{name[:_SHOWN]}': got none, wanted letters")
    if name in names:
        raise InputError(f"{path}:{line}: name: got '{name[:_SHOWN]}' again, wanted unique names")
    names.add(name)
    return Row(name, description.strip(), letters, line)


def _letters(rows: list[Row]) -> tuple[str, ...]:
    return tuple(row.letters for row in rows)


def _fasta_columns(rows: list[Row], path) -> tuple[str, ...] | None:
    if any(gap in row.letters for row in rows for gap in GAPS):
        _check_lengths(rows, path)
    return _letters(rows) if len({len(row.letters) for row in rows}) == 1 else None


def _a3m_columns(rows: list[Row], path) -> tuple[str, ...]:
    aligned = [row._replace(letters=_LOWER.sub("", row.letters).replace(".", "")) for row in rows]
    _check_lengths(aligned, path)
    return _letters(aligned)


def _check_lengths(rows: list[Row], path) -> None:
    wanted = len(rows[0].letters)
    for row in rows:
        if len(row.letters) != wanted:
            raise InputError(
                f"{path}:{row.line}: row '{row.name}': got {len(row.letters)} columns, wanted "
                f"{wanted} as in '{rows[0].name}': rows with gaps are an alignment"
            )


def _phylip(lines: list[tuple[int, str]], taxa: int, columns: int, path) -> list[Row]:
    """Sequential or interleaved PHYLIP; names end at a blank, or after ten characters."""
    if len(lines) < taxa:
        raise InputError(f"{path}: got {len(lines)} lines, wanted {taxa} sequences as line 1 says")
    found = _interleaved(lines, taxa)
    if len(lines) % taxa or any(len(letters) != columns for _, letters, _ in found):
        found = _sequential(lines, columns)
    names: set[str] = set()
    rows = [_row(name, letters, number, path, names) for name, letters, number in found]
    if len(rows) != taxa:
        raise InputError(f"{path}: got {len(rows)} sequences, wanted {taxa} as line 1 says")
    for row in rows:
        if len(row.letters) != columns:
            raise InputError(
                f"{path}:{row.line}: row '{row.name}': got {len(row.letters)} columns, wanted "
                f"{columns} as line 1 says"
            )
    return rows


def _phylip_head(text: str) -> tuple[str, str]:
    name, _, letters = text.strip().partition(" ")
    if letters.strip():
        return name, "".join(letters.split())
    # Without a blank, a name has ten characters.
    return text[:_STRICT_NAME].strip(), "".join(text[_STRICT_NAME:].split())


def _interleaved(lines: list[tuple[int, str]], taxa: int) -> list[tuple[str, str, int]]:
    """Names, letters and first lines, where every n-th line is of one sequence."""
    found = []
    for place, (number, text) in enumerate(lines[:taxa]):
        name, letters = _phylip_head(text)
        more = ["".join(text.split()) for _, text in lines[place + taxa :: taxa]]
        found.append((name, letters + "".join(more), number))
    return found


def _sequential(lines: list[tuple[int, str]], columns: int) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    for number, text in lines:
        if found and len(found[-1][1]) < columns:
            name, letters, start = found[-1]
            found[-1] = (name, letters + "".join(text.split()), start)
        else:
            found.append((*_phylip_head(text), number))
    return found


def _stockholm(lines, path) -> Iterator[Rows]:
    number = 0
    parts: dict[str, list[str]] = {}
    starts: dict[str, int] = {}
    ids: dict[str, str] = {}
    open_family, found = False, 0
    for number, text in lines:
        if text.startswith("//"):
            yield _stockholm_family(parts, starts, ids, found, path)
            parts, starts, ids, open_family, found = {}, {}, {}, False, found + 1
            continue
        if text.startswith("#"):
            if match := _ID_LINE.match(text):
                ids[match[1]] = match[2]
            open_family = open_family or not text.startswith("# STOCKHOLM")
            continue
        fields = text.split()
        if len(fields) != 2:
            raise InputError(
                f"{path}:{number}: got {len(fields)} fields, wanted a name and letters"
            )
        parts.setdefault(fields[0], []).append(fields[1])
        starts.setdefault(fields[0], number)
        open_family = True
    if open_family or not found:
        raise InputError(f"{path}:{number or 1}: got the end of the file, wanted '//'")


def _stockholm_family(parts, starts, ids, found: int, path) -> Rows:
    if not parts:
        raise InputError(f"{path}: alignment {found + 1}: got no sequences, wanted some")
    rows = [Row(name, "", "".join(letters), starts[name]) for name, letters in parts.items()]
    _check_lengths(rows, path)
    name = ids.get("AC") or ids.get("ID")
    name = name or (family_name(path) if not found else f"{family_name(path)}.{found + 1}")
    return Rows(str(path), name, tuple(rows), _letters(rows))
