"""Which genes are homologous, from any number of tables."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from data_builders.homology.gene_names import read_gene_names
from data_builders.homology.tables import HomologyTable, lists_proteins, rows_of
from data_builders.names import names_to_try, taxon, without_version
from data_builders.records import InputError
from data_builders.text import Tally

Name = tuple[str, str]
"""What `taxon` returns for a species, and a name of a gene without its version."""

Tables = str | os.PathLike | HomologyTable | Sequence[str | os.PathLike | HomologyTable]
"""A path, or a `HomologyTable` where the file leaves something unsaid, or several."""


@dataclass(frozen=True, slots=True)
class Homology:
    """A partition of genes.

    Attributes:
        groups: (taxon, gene) -> group; the taxon is what `taxon` returns for a species, the gene
            the identifier that the table gives it, without a version.
        names: (taxon, name) -> group of other names that genes go by: symbols, NCBI's numbers,
            transcripts, proteins, as far as the tables have them.
        tables: the names of the tables that it was read from.
        listed: (taxon, gene or name) -> the tables that list it, as bits; empty for one table.
        lists_proteins: whether a table may list proteins or transcripts, not genes.
    """

    groups: Mapping[Name, str]
    names: Mapping[Name, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ("homology",)
    listed: Mapping[Name, int] = field(default_factory=dict)
    lists_proteins: bool = False

    def group(self, species: str, *genes: str) -> str | None:
        """Return the group of the first of a gene's names that has one, None when none has."""
        found = self.find(species, *genes)
        return None if found is None else found[0]

    def find(self, species: str, *genes: str) -> tuple[str, int] | None:
        """Return the group of a gene, and the tables that list the gene, as bits.

        Args:
            species: any name of the species.
            genes: names of one gene, the first that has a group counts. Of each, the versions of
                Ensembl, RefSeq and GENCODE (`.19`, `.19_5`) do not count, and the copy on Y
                (`_PAR_Y`) has the homologs of that on X.
        """
        key = taxon(species)
        for gene in genes:
            for name in names_to_try(gene):
                group = self.groups.get((key, name)) or self.names.get((key, name))
                if group is not None:
                    return group, self.listed.get((key, name), 1)
        return None

    def genes_of(self, table: int) -> Counter[str]:
        """Return taxon -> how many genes a table, by its number, lists."""
        if not self.listed:
            return Counter(key for key, _ in self.groups)
        listed = self.listed.items()
        return Counter(
            name[0] for name, bits in listed if bits >> table & 1 and name in self.groups
        )

    def example(self, table: int, key: str | None = None) -> str | None:
        """Return the first gene of a table, of one taxon if it is given."""
        for name in self.groups:
            if self.listed.get(name, 1) >> table & 1 and key in (None, name[0]):
                return name[1]
        return None


def homology_tables(tables: Tables) -> list[HomologyTable]:
    """Return tables as a list of `HomologyTable`."""
    if isinstance(tables, str | os.PathLike | HomologyTable):
        tables = [tables]
    return [t if isinstance(t, HomologyTable) else HomologyTable(t) for t in tables]


def read_homology(tables: Tables, tally: Tally | None = None) -> Homology:
    """Read homology from one table, or join that of several: linked genes are homologous.

    Tables are of groups, or of pairs, where homologs of homologs are homologs. docs/HOMOLOGY.md
    lists the layouts, which are told by content; files may be gzip.

    The name of a group depends on its members alone, never on the order of rows or files: of one
    table of groups it is the table's own; else `taxon:gene` of the smallest member by text.

    Args:
        tables: one or several.
        tally: where rows are counted. A symbol, transcript or other name that means two groups of
            one species names neither; such names are counted as adjusted.

    Raises:
        InputError: no table, a layout that is not known, a row with another number of columns or
            an empty field, a gene in two groups of one table, or a table of names that has none of
            the genes.
    """
    tables = homology_tables(tables)
    if not tables:
        raise InputError("homology: got no table, wanted one or more")
    tally = Tally() if tally is None else tally
    links, own_groups = _Links(), {}
    for number, table in enumerate(tables):
        own_groups = _add(links, number, table, tally)
    groups = own_groups if len(tables) == 1 and own_groups else links.groups()
    if not groups:
        reasons = "".join(f"; {count} {reason}" for reason, count in tally.adjusted.items())
        raise InputError(f"{tables[0].path}: got no homologous genes, wanted some{reasons}")
    names = _unambiguous(links, groups, tally)
    listed = {}
    if len(tables) > 1:
        listed = dict(links.tables)
        listed |= {name: links.tables[links.names[name]] for name in names if name not in listed}
    return Homology(
        groups,
        names,
        tables=tuple(Path(table.path).name for table in tables),
        listed=listed,
        lists_proteins=any(map(lists_proteins, tables)),
    )


class _Links:
    """Genes, which of them are linked, the tables that list each as bits, and their other names."""

    def __init__(self):
        self.names: dict[Name, Name] = {}
        self.further_names: list[tuple[Name, Name]] = []
        self.tables: dict[Name, int] = {}
        self._numbers: dict[Name, int] = {}
        self._links: tuple[list[int], list[int]] = [], []

    def add(self, gene: Name, table: int, first: Name) -> None:
        """Note that a table, by its number, lists a gene, and link it to another."""
        self.tables[gene] = self.tables.get(gene, 0) | 1 << table
        for end, name in zip(self._links, (first, gene), strict=True):
            end.append(self._numbers.setdefault(name, len(self._numbers)))

    def name(self, name: Name, gene: Name) -> None:
        """Note another name of a gene."""
        if self.names.setdefault(name, gene) != gene:
            self.further_names.append((name, gene))

    def groups(self) -> dict[Name, str]:
        """Return the set of linked genes that every gene is in, named by its smallest member."""
        if not self._numbers:
            return {}
        shape = (len(self._numbers),) * 2
        links = coo_matrix((np.ones(len(self._links[0]), bool), self._links), shape)
        sets = connected_components(links, directed=False)[1].tolist()
        smallest: dict[int, Name] = {}
        for gene, number in zip(self._numbers, sets, strict=True):
            smallest[number] = min(gene, smallest.get(number, gene))
        names = {number: ":".join(gene) for number, gene in smallest.items()}
        return {gene: names[number] for gene, number in zip(self._numbers, sets, strict=True)}


def _add(links: _Links, number: int, table: HomologyTable, tally: Tally) -> dict[Name, str]:
    """Unite the genes of each row; return the group of each gene, empty for a table of pairs."""
    own_groups: dict[Name, str] = {}
    first_member: dict[str, Name] = {}
    for row in rows_of(table, tally):
        genes = [(taxon(species), without_version(gene)) for species, gene in row.genes]
        first = genes[0] if row.group is None else first_member.setdefault(row.group, genes[0])
        for gene, (species, name) in zip(genes, row.genes, strict=True):
            links.add(gene, number, first)
            if row.group is not None and (g := own_groups.setdefault(gene, row.group)) != row.group:
                raise InputError(
                    f"{table.path}:{row.line}: gene '{name}' of {species}: got group "
                    f"'{row.group}', wanted '{g}' as above: one group a gene"
                )
        for place, name in row.names:
            links.name((genes[place][0], without_version(name)), genes[place])
    if table.genes is not None:
        _add_names(links, number, table, table.genes)
    return own_groups


def _add_names(links: _Links, number: int, table: HomologyTable, names: str | os.PathLike) -> None:
    """Note the names that a table of names has for the genes of a homology table."""
    taxa = defaultdict(list)
    for key, gene in (gene for gene, bits in links.tables.items() if bits >> number & 1):
        taxa[gene].append(key)
    example, found = None, False
    for entry in read_gene_names(names):
        example = example or next(iter(entry.names), None)
        for gene in entry.names:
            for key in taxa.get(gene, ()):
                if entry.taxon in (None, key):
                    found = True
                    for name in entry.names:
                        if name != gene:
                            links.name((key, name), (key, gene))
    if not found:
        raise InputError(
            f"{names}: got names of no gene of {table.path}, such as '{example}', wanted "
            f"its genes, such as '{next(iter(taxa), None)}'"
        )


def _unambiguous(links: _Links, groups: Mapping[Name, str], tally: Tally) -> dict[Name, str]:
    """Return the other names that mean one group."""
    names = {name: groups[gene] for name, gene in links.names.items()}
    ambiguous = {name for name, gene in links.further_names if groups[gene] != names[name]}
    for name in ambiguous:
        del names[name]
    if ambiguous:
        tally.adjusted["name of two groups not used"] += len(ambiguous)
    return names
