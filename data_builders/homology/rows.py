"""Rows of homologous genes, which every table of homology is read as."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import NamedTuple

from data_builders.records import InputError
from data_builders.text import Tally

Gene = tuple[str, str]
"""Species, as the table writes it, and a name of the gene."""

Lines = Iterator[tuple[int, list[str]]]
"""Numbers of lines, from 1, and their columns."""

NO_NAMES = frozenset({"", "None", "NULL", r"\N", "-", "NA", "null"})
"""Fields that say that there is no name."""


@dataclass(frozen=True, slots=True)
class HomologyTable:
    """A file, and what it leaves unsaid.

    Attributes:
        path: the table, plain or gzip.
        species: of the first gene column of a BioMart export or of pairs without species; the
            reference of TOGA; that of the proteins of eggNOG-mapper.
        query: the query species of TOGA, or of pairs without species.
        level: the one level to use of a file with several: OrthoDB's and eggNOG's, by NCBI taxonomy
            id.
        genes: a table of other names of its genes (`gene_names`): OrthoDB's table of genes, NCBI's
            gene_info or gene2ensembl, or columns of protein and gene ids.
    """

    path: str | PathLike
    species: str | None = None
    query: str | None = None
    level: str | None = None
    genes: str | PathLike | None = None


class Row(NamedTuple):
    """What one line says.

    Attributes:
        line: its number, from 1.
        group: the table's name of the group, None in a table of pairs.
        genes: at least one; homologous to each other.
        names: other names of these genes, each with the gene's place in `genes`.
    """

    line: int
    group: str | None
    genes: tuple[Gene, ...]
    names: tuple[tuple[int, str], ...] = ()


Reader = Callable[[HomologyTable, list[str], Lines, Tally], Iterator[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A layout of tables.

    Attributes:
        name: who publishes such tables.
        fits: whether the fields of a table's first line are those of the layout.
        read: yields the rows; takes the table, the fields of its first line, the lines after the
            header (all lines where there is none), and the tally.
        has_header: whether the first line names the columns.
        varying: whether lines have different numbers of columns.
        lists_proteins: whether the members may be proteins or transcripts.
        takes: what of `HomologyTable` it may need: species, query, level.
    """

    name: str
    fits: Callable[[list[str]], bool]
    read: Reader
    has_header: bool = True
    varying: bool = False
    lists_proteins: bool = False
    takes: tuple[str, ...] = ()


def has_columns(*names: str) -> Callable[[list[str]], bool]:
    """Return a test whether a header has all of some columns."""
    return lambda fields: set(names).issubset(fields)


def check_filled(path: str | PathLike, number: int, values: Sequence[str], wanted: str) -> None:
    """Raise an `InputError` if a field is empty."""
    if not all(values):
        raise InputError(f"{path}:{number}: got an empty field, wanted {wanted}")


def check_columns_once(path: str | PathLike, names: Sequence[str]) -> None:
    """Raise an `InputError` if a header has a name twice."""
    for name, number in Counter(names).items():
        if number > 1:
            raise InputError(f"{path}:1: header: got '{name}' {number} times, wanted it once")


def check_species_named(table: HomologyTable, whose: str) -> tuple[str, str]:
    """Return the two species of a table of pairs that does not name them itself."""
    if table.species is None or table.query is None:
        raise InputError(
            f"{table.path}:1: got no reference and query species, wanted them named: "
            f"{whose} leave them out"
        )
    return table.species, table.query


class OneLevel:
    """Keeps the groups of one level of a table that has several; rows of others are adjusted."""

    def __init__(self, table: HomologyTable, tally: Tally):
        self.table, self.tally = table, tally
        self.level = table.level

    def has(self, level: str, number: int) -> bool:
        """Return whether a row of a level is wanted.

        Raises:
            InputError: the row is of a second level, and none was asked for.
        """
        self.level = self.level or level
        if level == self.level:
            return True
        if self.table.level is None:
            raise InputError(
                f"{self.table.path}:{number}: got groups of the levels {self.level} and {level}, "
                "wanted one level named: a gene has a group in each"
            )
        self.tally.adjusted["group of another level not used"] += 1
        return False
