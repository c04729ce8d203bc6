"""Tables of groups of homologous genes, to rows."""

import re

from data_builders.homology.rows import (
    NO_NAMES,
    HomologyTable,
    Layout,
    Lines,
    OneLevel,
    Row,
    check_columns_once,
    check_filled,
    has_columns,
)
from data_builders.names import is_known_species
from data_builders.records import InputError
from data_builders.text import Tally

_GENERIC = ("group_id", "species", "gene_id")
_HOMOLOGENE = ("homologene_id", "taxonomy_id", "ncbi_gene_id", "gene_symbol")
_HOG = ("HOG", "OG", "Gene Tree Parent Clade")
_MGI = ("NCBI Taxon ID", "Symbol", "EntrezGene ID")
_MGI_GROUP = ("DB Class Key", "HomoloGene ID")
_MGI_IDS = ("Mouse MGI ID", "HGNC ID")
_EMAPPER_GROUPS = ("eggNOG_OGs", "eggNOG OGs")

_ORTHODB_GROUP = re.compile(r"\d+at(\d+)")
_ORTHODB_ORGANISM = re.compile(r"(\d+)_\d+")
OMA_PROTEIN = re.compile(r"[A-Z0-9]{5}\d{5,}")
OMA_CODE = 5  # letters that are the species
_EGGNOG_MEMBERS = re.compile(r"\d+\.[^,\s]+(?:,\d+\.[^,\s]+)*,?")
_ENSEMBL_FIELD = re.compile(r"ENS[A-Z]*[GPT]\d{11}(?:\.\d+)?(?:_PAR_Y)?")
_UNIPROT = re.compile(r"(?:sp|tr)\|([^|]+)\|([^|]+)")
_GROUP = "group, species and gene"


def _generic(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    check_columns_once(table.path, [name for name in fields if name in _GENERIC])
    places = [fields.index(name) for name in _GENERIC]
    for number, row in lines:
        group, species, gene = values = [row[place] for place in places]
        check_filled(table.path, number, values, _GROUP)
        yield Row(number, group, ((species, gene),), _names_within(gene, 0))


def _homologene(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    named = set(fields) >= set(_HOMOLOGENE)
    places = [fields.index(name) for name in _HOMOLOGENE] if named else range(4)
    for number, row in lines:
        group, species, gene, symbol = values = [row[place] for place in places]
        check_filled(table.path, number, values[:3], _GROUP)
        yield Row(number, group, ((species, gene),), ((0, symbol),) if symbol else ())


def _mgi(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """MGI's HOM_*.rpt: a line a gene, known by its NCBI number, symbol, and MGI or HGNC id."""
    group_place = next(fields.index(name) for name in _MGI_GROUP if name in fields)
    taxon_place, symbol_place, gene_place = (fields.index(name) for name in _MGI)
    id_places = [fields.index(name) for name in _MGI_IDS if name in fields]
    for number, row in lines:
        species = row[taxon_place]
        names = [row[place] for place in (gene_place, symbol_place, *id_places)]
        names = [name for name in names if name not in NO_NAMES]
        check_filled(table.path, number, [row[group_place], species, *names[:1]], _GROUP)
        if not names:
            raise InputError(f"{table.path}:{number}: got no id and no symbol, wanted one")
        others = tuple((0, name) for name in names[1:])
        yield Row(number, row[group_place], ((species, names[0]),), others)


def _orthofinder(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    first = 1 if fields[0] == "Orthogroup" else len(_HOG)
    species = list(map(_species_of_file, fields[first:]))
    check_columns_once(table.path, [name for name in fields[first:] if name])
    for number, row in lines:
        members = tuple(
            (name, gene.strip())
            for name, genes in zip(species, row[first:], strict=True)
            for gene in genes.split(",")
            if gene.strip()
        )
        if not (row[0] and members):
            raise InputError(f"{table.path}:{number}: got no gene or no group, wanted both")
        names = (name for at, (_, gene) in enumerate(members) for name in _names_within(gene, at))
        yield Row(number, row[0], members, tuple(names))


def _species_of_file(name: str) -> str:
    """Return the species of a column that OrthoFinder names after a file of proteins.

    `Homo_sapiens.GRCh38.pep.all` is Homo_sapiens. A name whose beginning is no known species stays.
    """
    first = name.partition(".")[0]
    return first if not is_known_species(name) and is_known_species(first) else name


def _names_within(name: str, place: int) -> tuple[tuple[int, str], ...]:
    """Return the ids in a name of several: GENCODE's `ENSP|ENST|ENSG|...`, `sp|P51587|BRCA2`."""
    if "|" not in name:
        return ()
    if uniprot := _UNIPROT.fullmatch(name):
        return tuple((place, part) for part in uniprot.groups())
    parts = name.split("|")
    return tuple((place, part) for part in parts if _ENSEMBL_FIELD.fullmatch(part))


def _group_and_gene(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """OrthoDB's OG2genes and its like: group, species:gene."""
    levels = OneLevel(table, tally)
    for number, (group, member) in lines:
        level = _ORTHODB_GROUP.fullmatch(group)
        if level and not levels.has(level[1], number):
            continue
        organism, _, gene = member.partition(":")
        check_filled(table.path, number, [group, organism, gene], _GROUP)
        yield Row(number, group, ((orthodb_species(organism), gene),))


def orthodb_species(organism: str) -> str:
    """Return the taxonomy id of an OrthoDB organism such as 9606_0, anything else as it is."""
    numbered = _ORTHODB_ORGANISM.fullmatch(organism)
    return numbered[1] if numbered else organism


def _oma_groups(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """OMA's groups: number, fingerprint, and proteins whose first five letters are the species."""
    for number, row in lines:
        proteins = [protein for protein in row[2:] if protein]
        if not (proteins and row[0] and all(map(OMA_PROTEIN.fullmatch, proteins))):
            raise InputError(f"{table.path}:{number}: got no group of OMA's proteins, wanted one")
        yield Row(number, row[0], tuple((protein[:OMA_CODE], protein) for protein in proteins))


def _eggnog(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """EggNOG's members: level, group, two counts, perhaps a category, and `taxon.protein,...`."""
    levels = OneLevel(table, tally)
    place = _members_place(fields) or 0
    for number, row in lines:
        if not _EGGNOG_MEMBERS.fullmatch(row[place]):
            raise InputError(
                f"{table.path}:{number}: members: got '{row[place][:40]}', "
                "wanted taxon.protein with commas between"
            )
        if not levels.has(row[0], number):
            continue
        members = (member.partition(".") for member in row[place].split(",") if member)
        yield Row(number, row[1], tuple((species, gene) for species, _, gene in members))


def _members_place(fields: list[str]) -> int | None:
    places = (at for at in (4, 5) if at < len(fields) and _EGGNOG_MEMBERS.fullmatch(fields[at]))
    counted = len(fields) == 6 and fields[2].isdigit() and fields[3].isdigit()
    return next(places, None) if counted else None


def _emapper(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """eggNOG-mapper's annotations: the proteins of one species, each with its group by level."""
    if table.species is None:
        raise InputError(
            f"{table.path}:1: got no species of the proteins, wanted it named: eggNOG-mapper's "
            "tables leave it out"
        )
    if table.level is None:
        raise InputError(
            f"{table.path}:1: got groups of several levels, wanted one level named: a gene has a "
            "group in each"
        )
    place = next(fields.index(name) for name in _EMAPPER_GROUPS if name in fields)
    for number, row in lines:
        found = [og for og in row[place].split(",") if _level_of(og) == table.level]
        if not found:
            tally.adjusted["gene without a group of this level"] += 1
            continue
        group = found[0].partition("@")[0]
        yield Row(number, group, ((table.species, row[0]),), _names_within(row[0], 0))


def _level_of(group: str) -> str:
    return group.partition("@")[2].partition("|")[0]


LAYOUTS = (
    Layout(name="generic", fits=has_columns(*_GENERIC), read=_generic, lists_proteins=True),
    Layout(name="HomoloGene", fits=has_columns(*_HOMOLOGENE), read=_homologene),
    Layout(
        name="MGI",
        fits=lambda fields: set(_MGI) <= set(fields) and not set(_MGI_GROUP).isdisjoint(fields),
        read=_mgi,
    ),
    Layout(
        name="OrthoFinder",
        fits=lambda fields: fields[0] == "Orthogroup" or tuple(fields[:3]) == _HOG,
        read=_orthofinder,
        lists_proteins=True,
    ),
    Layout(
        name="eggNOG-mapper",
        fits=lambda fields: (
            fields[0] in ("query", "query_name") and not set(_EMAPPER_GROUPS).isdisjoint(fields)
        ),
        read=_emapper,
        lists_proteins=True,
        takes=("species", "level"),
    ),
    Layout(
        name="eggNOG",
        fits=lambda fields: _members_place(fields) is not None,
        read=_eggnog,
        has_header=False,
        lists_proteins=True,
        takes=("level",),
    ),
    Layout(
        name="HomoloGene",
        fits=lambda fields: len(fields) == 6 and all(field.isdigit() for field in fields[:3]),
        read=_homologene,
        has_header=False,
    ),
    Layout(
        name="OMA",
        fits=lambda fields: (
            len(fields) > 2
            and fields[0].isdigit()
            and not OMA_PROTEIN.fullmatch(fields[1])
            and all(OMA_PROTEIN.fullmatch(field) for field in fields[2:] if field)
            and bool(fields[2])
        ),
        read=_oma_groups,
        has_header=False,
        lists_proteins=True,
        varying=True,
    ),
    Layout(
        name="OrthoDB",
        fits=lambda fields: len(fields) == 2 and re.fullmatch(r"[^:]+:\S+", fields[1]) is not None,
        read=_group_and_gene,
        has_header=False,
        lists_proteins=True,
        takes=("level",),
    ),
)
"""Tables of groups; the first layout that fits is taken."""
