"""Which genes are homologous, from any number of tables."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from data_builders.homology.tables import HomologyTable, orthodb_names, rows_of
from data_builders.records import InputError
from data_builders.text import Tally

# The taxa of HomoloGene build 68 and some more mammals, by the names that people, Ensembl and
# BioMart give them.
_TAXA = {
    "9606": "human homo_sapiens",
    "9598": "chimpanzee chimp pan_troglodytes",
    "9593": "gorilla gorilla_gorilla",
    "9544": "rhesus macaque macaca_mulatta",
    "9615": "dog canis_lupus_familiaris canis_familiaris",
    "9685": "cat felis_catus",
    "9913": "cow bos_taurus",
    "9940": "sheep ovis_aries",
    "9823": "pig sus_scrofa",
    "9796": "horse equus_caballus",
    "9986": "rabbit oryctolagus_cuniculus",
    "10141": "guinea_pig cavia_porcellus",
    "10090": "mouse mus_musculus",
    "10116": "rat rattus_norvegicus",
    "13616": "opossum monodelphis_domestica",
    "9031": "chicken gallus_gallus",
    "8364": "frog tropical_clawed_frog xenopus_tropicalis",
    "7955": "zebrafish danio_rerio",
    "7227": "fly fruit_fly drosophila_melanogaster d_melanogaster",
    "7165": "mosquito anopheles_gambiae",
    "6239": "worm c_elegans caenorhabditis_elegans",
    "4932": "559292 yeast s_cerevisiae saccharomyces_cerevisiae",
    "28985": "kluyveromyces_lactis",
    "33169": "eremothecium_gossypii",
    "4896": "s_pombe schizosaccharomyces_pombe",
    "318829": "magnaporthe_oryzae",
    "5141": "neurospora_crassa",
    "3702": "arabidopsis arabidopsis_thaliana",
    "4530": "rice oryza_sativa",
}
_TAXON_OF = {name: taxon for taxon, names in _TAXA.items() for name in names.split()}
_REMARK = re.compile(r"_*\(.*\)")  # BioMart: Drosophila melanogaster (Fruit fly)
_VERSIONED = re.compile(r"(ENS[A-Z]*[GT]\d{11})\.\d+")

Name = tuple[str, str]
"""What `taxon` makes of a species, and a name of a gene."""

Tables = str | os.PathLike | HomologyTable | Sequence[str | os.PathLike | HomologyTable]
"""A path, or a `HomologyTable` where the file leaves something unsaid, or several."""


@dataclass(frozen=True, slots=True)
class Homology:
    """A partition of genes.

    Attributes:
        groups: (taxon, gene) -> group; the taxon is what `taxon` makes of a species, the gene the
            identifier that the table gives it.
        names: (taxon, name) -> group of other names that genes go by: symbols of HomoloGene,
            transcripts of TOGA, ids that OrthoDB lists.
    """

    groups: Mapping[Name, str]
    names: Mapping[Name, str] = field(default_factory=dict)

    def group(self, species: str, *genes: str) -> str | None:
        """The group of the first of a gene's names that has one, None when none has.

        An Ensembl gene id with a version, as GENCODE writes it, is also tried without.
        """
        key = taxon(species)
        for gene in genes:
            group = self._of(key, gene)
            if group is None:
                group = self._of(key, without_version(gene))
            if group is not None:
                return group
        return None

    def _of(self, key: str, gene: str) -> str | None:
        return self.groups.get((key, gene)) or self.names.get((key, gene))


@cache
def taxon(species: str) -> str:
    """One key for the names of a species: the NCBI taxonomy id where known, else its own name."""
    name = _REMARK.sub("", species.strip().lower().replace(" ", "_").replace(".", ""))
    return _TAXON_OF.get(name, name)


def without_version(name: str) -> str:
    """An Ensembl gene or transcript id without its version, any other name as it is."""
    versioned = _VERSIONED.fullmatch(name) if name.startswith("ENS") else None
    return versioned[1] if versioned else name


def homology_tables(tables: Tables) -> list[HomologyTable]:
    """Tables in the form that says all of them."""
    if isinstance(tables, str | os.PathLike | HomologyTable):
        tables = [tables]
    return [t if isinstance(t, HomologyTable) else HomologyTable(t) for t in tables]


def read_homology(tables: Tables, tally: Tally | None = None) -> Homology:
    """Reads homology from one table, or joins that of several by union-find.

    Tables of groups: `group_id, species, gene_id`; HomoloGene; OrthoFinder; OrthoDB. Tables of
    pairs, where homologs of homologs are homologs: Ensembl Compara, BioMart, TOGA. The layouts are
    listed in docs/HOMOLOGY.md and told apart by content; files may be gzip.

    The name of a group depends on its members alone, never on the order of rows or files: of one
    table of groups it is the table's own; else `taxon:gene` of the smallest member by text.

    Args:
        tables: one or several.
        tally: where rows are counted. A symbol, transcript or other name that means two groups of
            one species names neither; such names are counted as adjusted.

    Raises:
        InputError: no table, a layout that is not known, a row with another number of columns or
            an empty field, or a gene in two groups of one table.
    """
    tables = homology_tables(tables)
    if not tables:
        raise InputError("homology: got no table, wanted one or more")
    tally = Tally() if tally is None else tally
    union = _UnionFind()
    for table in tables:
        own_groups = _add(union, table, tally)
    groups = own_groups if len(tables) == 1 and own_groups else union.groups()
    if not groups:
        raise InputError(f"{tables[0].path}: got no homologous genes, wanted some")
    return Homology(groups, _unambiguous(union, groups, tally))


class _UnionFind:
    """Sets of genes, and the other names of genes."""

    def __init__(self):
        self.names: dict[Name, Name] = {}
        self.further_names: list[tuple[Name, Name]] = []
        self._node: dict[Name, int] = {}
        self._parent: list[int] = []

    def __contains__(self, gene: Name) -> bool:
        return gene in self._node

    def join(self, a: Name, b: Name) -> None:
        """Makes the sets of two genes, new or old, one."""
        first = self._root(self._add(a))
        if a != b:
            second = self._root(self._add(b))
            self._parent[max(first, second)] = min(first, second)

    def name(self, name: Name, gene: Name) -> None:
        """Notes another name of a gene."""
        if self.names.setdefault(name, gene) != gene:
            self.further_names.append((name, gene))

    def groups(self) -> dict[Name, str]:
        """The set of every gene, by its smallest member."""
        smallest: dict[int, Name] = {}
        roots = {gene: self._root(node) for gene, node in self._node.items()}
        for gene, root in roots.items():
            smallest[root] = min(gene, smallest.get(root, gene))
        return {gene: ":".join(smallest[root]) for gene, root in roots.items()}

    def _add(self, gene: Name) -> int:
        node = self._node.setdefault(gene, len(self._parent))
        if node == len(self._parent):
            self._parent.append(node)
        return node

    def _root(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node


def _add(union: _UnionFind, table: HomologyTable, tally: Tally) -> dict[Name, str]:
    """Union the genes of each row; return the group of each gene, empty for a table of pairs."""
    own_groups: dict[Name, str] = {}
    first_member: dict[str, Name] = {}
    for row in rows_of(table, tally):
        genes = [(taxon(species), gene) for species, gene in row.genes]
        first = genes[0] if row.group is None else first_member.setdefault(row.group, genes[0])
        for gene, (species, name) in zip(genes, row.genes, strict=True):
            union.join(first, gene)
            if row.group is not None and (g := own_groups.setdefault(gene, row.group)) != row.group:
                raise InputError(
                    f"{table.path}:{row.line}: gene '{name}' of {species}: got group "
                    f"'{row.group}', wanted '{g}' as above: one group a gene"
                )
        for place, name in row.names:
            union.name((genes[place][0], name), genes[place])
    if table.genes is not None:
        for (species, gene), names in orthodb_names(table.genes):
            key = taxon(species)
            if (key, gene) in union:
                for name in names:
                    union.name((key, name), (key, gene))
    return own_groups


def _unambiguous(union: _UnionFind, groups: Mapping[Name, str], tally: Tally) -> dict[Name, str]:
    """The other names that mean one group."""
    names = {name: groups[gene] for name, gene in union.names.items()}
    ambiguous = {name for name, gene in union.further_names if groups[gene] != names[name]}
    for name in ambiguous:
        del names[name]
    if ambiguous:
        tally.adjusted["name of two groups not used"] += len(ambiguous)
    return names
