"""Tables of pairs of homologous genes, to rows."""

import re
from typing import NamedTuple

from data_builders.homology.group_tables import OMA_CODE, OMA_PROTEIN
from data_builders.homology.rows import (
    NO_NAMES,
    HomologyTable,
    Layout,
    Lines,
    Row,
    check_filled,
    check_species_named,
    has_columns,
)
from data_builders.records import InputError
from data_builders.text import Tally

_COMPARA = (
    *("gene_stable_id", "species", "homology_type"),
    *("homology_gene_stable_id", "homology_species"),
)
_TOGA = ("t_gene", "t_transcript", "q_gene", "q_transcript", "orthology_class")
_NCBI = ("tax_id", "GeneID", "relationship", "Other_tax_id", "Other_GeneID")
_ALLIANCE = tuple(
    f"Gene{number}{what}" for number in (1, 2) for what in ("SpeciesTaxonID", "ID", "Symbol")
)
# Databases whose genes Ensembl and others name without the prefix.
_PREFIX = re.compile(r"(?:FB|WB|SGD|ZFIN|Xenbase):(?=\S)")
_OMA_RELATION = re.compile(r"(?:1|n|m|many):(?:1|n|m|many)")

# "Gene stable ID", before release 88 "Ensembl Gene ID", of other species after their name; and the
# names of attributes, which R's biomaRt gives: ensembl_gene_id, mmusculus_homolog_ensembl_gene.
_BIOMART_GENE = re.compile(
    r"(?:(?P<species>.+?)[ _])?"
    r"(?:gene stable id(?: version)?|ensembl gene id|ensembl_gene(?:_id)?(?:_version)?)",
    re.IGNORECASE,
)
_BIOMART_TYPE = re.compile(
    r"(?:(?P<species>.+?)[ _])?(?:(?:homology|orthology)[ _]type)", re.IGNORECASE
)
_PARALOGUE = re.compile(r".+[ _]paralog(?:ue)?", re.IGNORECASE)
_HOMOLOG = re.compile(r"[ _](?:homolog|ortholog)(?:ue)?$", re.IGNORECASE)

# Genes of one large family whose duplication Compara cannot date, or whose orthology it doubts.
_NOT_JOINED = frozenset({"other_paralog", "between_species_paralog"})


def _compara(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    places = [fields.index(name) for name in _COMPARA]
    for number, row in lines:
        gene, species, kind, other, other_species = values = [row[place] for place in places]
        check_filled(table.path, number, values, "two genes, their species and a type")
        if kind in _NOT_JOINED:
            tally.adjusted[f"{kind} not joined"] += 1
            continue
        yield Row(number, None, ((species, gene), (other_species, other)))


class _BiomartColumn(NamedTuple):
    """A column of homologous genes: their species, its place, and that of their type."""

    species: str
    place: int
    kind: int | None


def _biomart(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    if table.species is None:
        raise InputError(
            f"{table.path}:1: got no species of the first gene, wanted it named: --reference"
        )
    own, others = _biomart_columns(table, fields, table.species)
    for number, row in lines:
        check_filled(table.path, number, [row[own]], "a gene stable ID")
        members = [(table.species, row[own])]
        for species, place, kind in others:
            if kind is not None and row[kind] in _NOT_JOINED:
                tally.adjusted[f"{row[kind]} not joined"] += 1
            elif row[place] not in NO_NAMES:
                members.append((species, row[place]))
        if len(members) == 1:
            tally.adjusted["gene without homolog"] += 1
        else:
            yield Row(number, None, tuple(members))


def _biomart_columns(
    table: HomologyTable, fields: list[str], reference: str
) -> tuple[int, tuple[_BiomartColumn, ...]]:
    """Return the place of the first gene, and the columns of its homologs."""
    genes = {at: m["species"] for at, f in enumerate(fields) if (m := _BIOMART_GENE.fullmatch(f))}
    types = {at: m["species"] for at, f in enumerate(fields) if (m := _BIOMART_TYPE.fullmatch(f))}
    own = next((at for at, species in genes.items() if species is None), None)
    if own is None:
        raise InputError(f"{table.path}:1: header: got no 'Gene stable ID', wanted it, too")
    others = {at: species for at, species in genes.items() if species is not None}
    kinds = {
        at: next((kind for kind, of in types.items() if of and of.lower() == species.lower()), None)
        for at, species in others.items()
    }
    for kind, species in types.items():
        if species is None:  # before release 88, after the gene that it is of
            before = [at for at in others if at < kind and kinds[at] is None]
            at = max(before, default=min(others) if len(others) == 1 else None)
            if at is None:
                raise InputError(
                    f"{table.path}:1: header: got '{fields[kind]}' before all homologs, wanted it "
                    "after the gene that it is of"
                )
            kinds[at] = kind
    columns = (
        _BiomartColumn(
            reference if _PARALOGUE.fullmatch(species) else _HOMOLOG.sub("", species),
            at,
            kinds[at],
        )
        for at, species in others.items()
    )
    return own, tuple(columns)


def _toga(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    reference, query = check_species_named(table, "TOGA's tables")
    places = [fields.index(name) for name in _TOGA[:4]]
    for number, row in lines:
        gene, transcript, other, other_transcript = (row[place] for place in places)
        check_filled(table.path, number, [gene], "a t_gene")
        if other in NO_NAMES:
            tally.adjusted["gene without homolog"] += 1
            continue
        names = ((0, transcript), (1, other_transcript))
        yield Row(
            number,
            None,
            ((reference, gene), (query, other)),
            tuple((place, name) for place, name in names if name not in NO_NAMES),
        )


def _ncbi(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """NCBI's gene_orthologs: genes by their numbers, and other relations that join nothing."""
    places = [fields.index(name) for name in _NCBI]
    for number, row in lines:
        taxon, gene, relation, other_taxon, other = values = [row[place] for place in places]
        check_filled(table.path, number, values, "two genes, their taxa and a relationship")
        if relation != "Ortholog":
            tally.adjusted[f"{relation} not joined"] += 1
            continue
        yield Row(number, None, ((taxon, gene), (other_taxon, other)))


def _alliance(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """The Alliance of Genome Resources: genes by the ids of their databases, and by symbol."""
    places = [fields.index(name) for name in _ALLIANCE]
    for number, row in lines:
        values = [row[place] for place in places]
        check_filled(table.path, number, (*values[:2], *values[3:5]), "two genes and their taxa")
        genes, names = [], []
        for at, (species, gene, symbol) in enumerate((values[:3], values[3:])):
            genes.append((species, _PREFIX.sub("", gene)))
            if symbol not in NO_NAMES:
                names.append((at, symbol))
        yield Row(number, None, tuple(genes), tuple(names))


def _oma_pairs(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """OMA's pairs: two proteins, and their relation and group.

    The species are the first five letters of OMA's ids; other ids leave them unsaid.
    """
    for number, (first, second, *_) in lines:
        check_filled(table.path, number, (first, second), "two proteins")
        if OMA_PROTEIN.fullmatch(first) and OMA_PROTEIN.fullmatch(second):
            species = first[:OMA_CODE], second[:OMA_CODE]
        else:
            species = check_species_named(table, "OMA's pairs of other ids than its own")
        yield Row(number, None, tuple(zip(species, (first, second), strict=True)))


def _is_oma(fields: list[str]) -> bool:
    if len(fields) not in range(2, 6):
        return False
    own = all(map(OMA_PROTEIN.fullmatch, fields[:2]))
    return own or (len(fields) > 2 and _OMA_RELATION.fullmatch(fields[2]) is not None)


LAYOUTS = (
    Layout(name="TOGA", fits=has_columns(*_TOGA), read=_toga, takes=("species", "query")),
    Layout(name="Ensembl Compara", fits=has_columns(*_COMPARA), read=_compara),
    Layout(name="NCBI", fits=has_columns(*_NCBI), read=_ncbi),
    Layout(name="Alliance", fits=has_columns(*_ALLIANCE), read=_alliance),
    Layout(
        name="BioMart",
        fits=lambda fields: sum(bool(_BIOMART_GENE.fullmatch(field)) for field in fields) > 1,
        read=_biomart,
        takes=("species",),
    ),
    Layout(
        name="OMA",
        fits=_is_oma,
        read=_oma_pairs,
        has_header=False,
        lists_proteins=True,
        takes=("species", "query"),
    ),
)
"""Tables of pairs; the first layout that fits is taken."""
