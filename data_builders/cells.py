"""Cells of tables that people open in spreadsheets."""

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FORMULA = tuple("=+-@\t\r\n")


def safe_cell(text: str) -> str:
    """A name as a cell of a TSV or CSV file that a spreadsheet takes for text; a number stays.

    A program that opens such a file runs what begins with `=`, `+`, `-` or `@`; after an apostrophe
    it is text. Tabs and line ends, which would make other cells, become blanks.
    """
    starts = text.startswith(_FORMULA)
    line = re.sub(r"[\t\r\n\v\f\0]", " ", text)
    return f"'{line}" if starts and not _NUMBER.fullmatch(text) else line


def safe_cells(texts: Iterable[str | None]) -> list[str | None]:
    """`safe_cell` of a column; what is missing stays so."""
    return [None if text is None else safe_cell(text) for text in texts]
