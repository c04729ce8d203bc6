"""Which genes are homologous: HomoloGene, or any table of groups."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from data_builders.records import InputError
from data_builders.text import Tally, decode, numbered_lines

# The taxa of HomoloGene build 68, by the names that people give them.
_TAXA = {
    "9606": "human homo_sapiens",
    "9598": "chimpanzee chimp pan_troglodytes",
    "9544": "rhesus macaque macaca_mulatta",
    "9615": "dog canis_lupus_familiaris canis_familiaris",
    "9913": "cow bos_taurus",
    "10090": "mouse mus_musculus",
    "10116": "rat rattus_norvegicus",
    "9031": "chicken gallus_gallus",
    "8364": "frog xenopus_tropicalis",
    "7955": "zebrafish danio_rerio",
    "7227": "fly fruit_fly drosophila_melanogaster d_melanogaster",
    "7165": "mosquito anopheles_gambiae",
    "6239": "worm c_elegans caenorhabditis_elegans",
    "4932": "yeast s_cerevisiae saccharomyces_cerevisiae",
    "28985": "kluyveromyces_lactis",
    "33169": "eremothecium_gossypii",
    "4896": "s_pombe schizosaccharomyces_pombe",
    "318829": "magnaporthe_oryzae",
    "5141": "neurospora_crassa",
    "3702": "arabidopsis arabidopsis_thaliana",
    "4530": "rice oryza_sativa",
}
_TAXON_OF = {name: taxon for taxon, names in _TAXA.items() for name in names.split()}
_GENERIC = ("group_id", "species", "gene_id")
_HOMOLOGENE = ("homologene_id", "taxonomy_id", "ncbi_gene_id", "gene_symbol")


@dataclass(frozen=True, slots=True)
class Homology:
    """A partition of genes.

    Attributes:
        groups: (taxon, gene) -> group; the taxon is what `taxon` makes of a species, the gene an
            identifier or, of HomoloGene, the NCBI gene id and the symbol.
    """

    groups: Mapping[tuple[str, str], str]

    def group(self, species: str, *genes: str) -> str | None:
        """The group of the first of a gene's names that has one, None when none has."""
        key = taxon(species)
        return next((self.groups[key, g] for g in genes if (key, g) in self.groups), None)


@cache
def taxon(species: str) -> str:
    """One key for the names of a species: the NCBI taxonomy id where known, else its own name."""
    name = species.strip().lower().replace(" ", "_").replace(".", "")
    return _TAXON_OF.get(name, name)


def read_homology(path: str | os.PathLike, tally: Tally | None = None) -> Homology:
    """Reads homology groups, plain or gzip.

    Args:
        path: a tab-separated table: with the columns group_id, species, gene_id; or HomoloGene,
            with the columns homologene_id, taxonomy_id, ncbi_gene_id, gene_symbol or as the
            original `homologene.data` (those four and two more, no header).
        tally: where rows are counted. A HomoloGene symbol that means two groups of one species
            names neither; such symbols are counted as adjusted.

    Raises:
        InputError: no such header, a row with another number of columns or an empty field, or a
            gene in two groups.
    """
    tally = Tally() if tally is None else tally
    groups: dict[tuple[str, str], str] = {}
    symbols: dict[tuple[str, str], str | None] = {}
    for line, group, species, gene, symbol in _rows(path):
        tally.read += 1
        key = taxon(species)
        known = groups.setdefault((key, gene), group)
        if known != group:
            raise InputError(
                f"{path}:{line}: gene '{gene}' of {species}: got group '{group}', "
                f"wanted '{known}' as above: one group a gene"
            )
        if symbol and symbols.setdefault((key, symbol), group) != group:
            symbols[key, symbol] = None
    for name, group in symbols.items():
        if group is None:
            tally.adjusted["symbol of two groups not used"] += 1
        else:
            groups.setdefault(name, group)
    return Homology(groups)


def homologene_symbols(path: str | os.PathLike, taxonomy_id: int) -> dict[str, str]:
    """The HomoloGene group of each gene symbol of one taxon, for tables that carry symbols.

    A symbol that means two groups is left out.

    Raises:
        InputError: as in `read_homology`, or the table has no symbol of this taxon.
    """
    symbols: dict[str, set[str]] = {}
    for _, group, species, _, symbol in _rows(path):
        if symbol and species == str(taxonomy_id):
            symbols.setdefault(symbol, set()).add(group)
    if not symbols:
        raise InputError(f"{path}: got no symbol of taxon {taxonomy_id}, wanted some")
    return {symbol: next(iter(found)) for symbol, found in symbols.items() if len(found) == 1}


def _rows(path):
    """Yields line, group, species, gene and symbol ('' in a table without one)."""
    columns = None
    for number, raw in numbered_lines(path):
        fields = decode(raw, path, number).rstrip("\r\n").split("\t")
        if columns is None:
            columns, is_header = _columns(fields, path)
            width = len(fields)
            if is_header:
                continue
        if fields == [""]:
            continue
        if len(fields) != width:
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted {width}")
        group, species, gene, *symbol = (fields[column] for column in columns)
        if not (group and species and gene):
            raise InputError(f"{path}:{number}: got an empty field, wanted group, species and gene")
        yield number, group, species, gene, "".join(symbol)
    if columns is None:
        raise InputError(f"{path}: got an empty file, wanted homology groups")


def _columns(fields: list[str], path) -> tuple[list[int], bool]:
    for names in (_GENERIC, _HOMOLOGENE):
        if set(names) <= set(fields):
            return [fields.index(name) for name in names], True
    if len(fields) == 6 and all(field.isdigit() for field in fields[:3]):
        return [0, 1, 2, 3], False
    raise InputError(
        f"{path}:1: header: got '{' '.join(fields)[:60]}', wanted the columns "
        f"{', '.join(_GENERIC)} or those of HomoloGene"
    )
