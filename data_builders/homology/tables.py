"""Tables of homology as their makers publish them, to rows that name homologous genes.

A layout (`group_tables`, `pair_tables`) is told by the first line and reads the others. A row joins
its members: all genes of a group, the two genes of a pair, or one gene and its group.
"""

import csv
from collections.abc import Iterator
from itertools import chain
from os import PathLike

from data_builders.homology import group_tables, pair_tables
from data_builders.homology.rows import HomologyTable, Layout, Lines, Row
from data_builders.records import InputError
from data_builders.text import Tally, decode, numbered_lines

LAYOUTS = (*group_tables.LAYOUTS, *pair_tables.LAYOUTS)
_NAMES = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS[1:]))


def rows_of(table: HomologyTable, tally: Tally) -> Iterator[Row]:
    """Read one table.

    Args:
        table: of any layout of docs/HOMOLOGY.md; told apart by the first line.
        tally: where lines are counted as read; as adjusted those that join no two genes: a gene
            without homolog, a relation that is no evidence of a near common ancestor, a group of
            another level.

    Yields:
        Rows in the order of the file.

    Raises:
        InputError: an unknown layout, a line with another number of columns or an empty field,
            a species that neither the file nor `table` names, or a species or a level of `table`
            that the layout has no use for.
    """
    layout, number, fields, separator, rest = _begin(table.path)
    for name, what in (("species", "reference"), ("query", "query"), ("level", "level")):
        value = getattr(table, name)
        if value is not None and name not in layout.takes:
            raise InputError(
                f"{table.path}: {what}: got '{value}' beside a table of the layout {layout.name}, "
                "which says all by itself; wanted none"
            )
    lines = _body(rest, separator, 0 if layout.varying else len(fields), table.path)
    if not layout.has_header:
        lines = chain([(number, fields)], lines)
    yield from layout.read(table, fields, _counted(lines, tally), tally)


def lists_proteins(table: HomologyTable) -> bool:
    """Return whether the members of a table may be proteins or transcripts, not genes."""
    return _begin(table.path)[0].lists_proteins


def _begin(
    path: str | PathLike,
) -> tuple[Layout, int, list[str], str, Iterator[tuple[int, bytes]]]:
    """Return the layout, number, fields and separator of the first line, and the lines after it.

    Lines before it that begin with # are comments; a header may begin so too.
    """
    lines = numbered_lines(path)
    unknown = None
    for number, raw in lines:
        text = decode(raw, path, number).strip("\r\n")
        is_comment = text.startswith("#")
        if not text.strip():
            continue
        text = text.lstrip("#").strip(" ") if is_comment else text
        separator = "\t" if "\t" in text else ","
        fields = _fields(text, separator, path, number)
        layout = next((layout for layout in LAYOUTS if layout.fits(fields)), None)
        if layout is not None and not (is_comment and not layout.has_header):
            return layout, number, fields, separator, lines
        if not is_comment:
            unknown = number, fields
            break
    if unknown is None:
        raise InputError(f"{path}: got an empty file, wanted homology groups")
    number, fields = unknown
    raise InputError(
        f"{path}:{number}: header: got '{' '.join(fields)[:60]}', wanted the columns "
        f"group_id, species, gene_id or those of {_NAMES}"
    )


def _fields(text: str, separator: str, path: str | PathLike, number: int) -> list[str]:
    if separator == "\t":
        fields = [field.strip() for field in text.split("\t")]
        return [_without_quotes(field) for field in fields] if '"' in text else fields
    try:
        return [field.strip() for field in next(csv.reader([text]), None) or [""]]
    except csv.Error as error:
        raise InputError(f"{path}:{number}: got '{error}', wanted comma-separated text") from error


def _without_quotes(field: str) -> str:
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"').strip() if quoted else field


def _body(
    lines: Iterator[tuple[int, bytes]], separator: str, width: int, path: str | PathLike
) -> Lines:
    """Yield the fields of lines; `width` is how many there must be, 0 for any number."""
    has_row_names = None
    for number, raw in lines:
        text = decode(raw, path, number).rstrip("\r\n")
        if not text or text.startswith(("##", "# ")):
            continue
        fields = _fields(text, separator, path, number)
        if has_row_names is None:  # R writes them in quotes, without a name in the header
            has_row_names = len(fields) == width + 1 and text.startswith('"1"')
        if has_row_names and len(fields) == width + 1:
            del fields[0]
        if width and len(fields) != width:
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted {width}")
        yield number, fields


def _counted(lines: Lines, tally: Tally) -> Lines:
    for line in lines:
        tally.read += 1
        yield line
