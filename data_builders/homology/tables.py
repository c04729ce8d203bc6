"""Tables of homology as their makers publish them, to rows that name homologous genes.

Every reader is a generator of `Row`s over the lines of one file; `rows_of` chooses it by the first
line. A row joins its members: all genes of a group, the two genes of a pair, or one gene and its
other names.
"""

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from data_builders.records import InputError
from data_builders.text import Tally, decode, numbered_lines

_GENERIC = ("group_id", "species", "gene_id")
_HOMOLOGENE = ("homologene_id", "taxonomy_id", "ncbi_gene_id", "gene_symbol")
_COMPARA = (
    *("gene_stable_id", "species", "homology_type"),
    *("homology_gene_stable_id", "homology_species"),
)
_TOGA = ("t_gene", "t_transcript", "q_gene", "q_transcript", "orthology_class")
_HOG = ("HOG", "OG", "Gene Tree Parent Clade")

# "Gene stable ID", before release 88 "Ensembl Gene ID"; of other species after their name.
_BIOMART_GENE = re.compile(r"(?:(.+?) )?(?:gene stable id|ensembl gene id)", re.IGNORECASE)
_BIOMART_TYPE = re.compile(r"(?:(.+?) )?homology type", re.IGNORECASE)
_PARALOGUE = re.compile(r"(.+) paralog(?:ue)?", re.IGNORECASE)
_GROUP_AND_GENE = re.compile(r"\S+\t[^:\t]+:\S+")
_ORTHODB_GROUP = re.compile(r"\d+at(\d+)")
_ORTHODB_ORGANISM = re.compile(r"(\d+)_\d+")

# Genes of one large family whose duplication Compara cannot date, or whose orthology it doubts.
_NOT_JOINED = {"other_paralog", "between_species_paralog"}
_GROUP = "group, species and gene"
_NONE = {"", "None", "NULL", r"\N"}

Gene = tuple[str, str]
"""Species, as the table writes it, and a name of the gene."""


@dataclass(frozen=True, slots=True)
class HomologyTable:
    """A file, and what it leaves unsaid.

    Attributes:
        path: the table, plain or gzip.
        species: of the first gene column of a BioMart export; the reference of TOGA.
        query: the query species of TOGA.
        level: NCBI taxonomy id of the one OrthoDB level to use, of a file with several.
        genes: OrthoDB's table of genes, for the names that others know its genes by.
    """

    path: str | os.PathLike
    species: str | None = None
    query: str | None = None
    level: str | None = None
    genes: str | os.PathLike | None = None


class Row(NamedTuple):
    """What one line says.

    Attributes:
        line: its number, from 1.
        group: the table's name of the group, None of a table of pairs.
        genes: at least one; homologous to each other.
        names: other names of these genes, each with the gene's place in `genes`.
    """

    line: int
    group: str | None
    genes: tuple[Gene, ...]
    names: tuple[tuple[int, str], ...] = ()


Lines = Iterator[tuple[int, list[str]]]


def rows_of(table: HomologyTable, tally: Tally) -> Iterator[Row]:
    """Reads one table.

    Args:
        table: of any layout of docs/HOMOLOGY.md; told apart by the first line.
        tally: where lines are counted as read; as adjusted those that join no two genes: a gene
            without homolog, a relation that is no evidence of a near common ancestor, a group of
            another level.

    Yields:
        Rows in the order of the file.

    Raises:
        InputError: an unknown layout, a line with another number of columns or an empty field,
            or a species that neither the file nor `table` names.
    """
    path = table.path
    lines = numbered_lines(path)
    number, first = next(lines, (1, b""))
    header = decode(first, path, number).rstrip("\r\n")
    if not header:
        raise InputError(f"{path}: got an empty file, wanted homology groups")
    separator = "\t" if "\t" in header else ","
    fields = _fields(header, separator, path, number)
    reader, has_header = _reader(fields, header, path)
    body = _body(lines, separator, len(fields), path, tally)
    if not has_header:
        tally.read += 1
        body = _chained((number, fields), body)
    yield from reader(table, fields, body, tally)


def _reader(fields: list[str], header: str, path) -> tuple[Callable[..., Iterator[Row]], bool]:
    """The generator for a layout, and whether its first line is a header."""
    columns = set(fields)
    for names, reader in ((_GENERIC, _generic), (_HOMOLOGENE, _homologene), (_TOGA, _toga)):
        if columns.issuperset(names):
            return reader, True
    if columns.issuperset(_COMPARA):
        return _compara, True
    if fields[0] == "Orthogroup" or tuple(fields[:3]) == _HOG:
        return _orthofinder, True
    if sum(bool(_BIOMART_GENE.fullmatch(field)) for field in fields) > 1:
        return _biomart, True
    if len(fields) == 6 and all(field.isdigit() for field in fields[:3]):
        return _homologene, False
    if _GROUP_AND_GENE.fullmatch(header):
        return _group_and_gene, False
    raise InputError(
        f"{path}:1: header: got '{' '.join(fields)[:60]}', wanted the columns "
        f"{', '.join(_GENERIC)} or those of HomoloGene, Ensembl Compara, BioMart, TOGA, "
        "OrthoFinder or OrthoDB"
    )


def _fields(text: str, separator: str, path, number: int) -> list[str]:
    try:
        fields = text.split("\t") if separator == "\t" else next(csv.reader([text]), [""])
        return [field.strip() for field in fields]
    except csv.Error as error:
        raise InputError(f"{path}:{number}: got '{error}', wanted comma-separated text") from error


def _body(lines, separator: str, width: int, path, tally: Tally) -> Lines:
    for number, raw in lines:
        text = decode(raw, path, number).rstrip("\r\n")
        if not text:
            continue
        tally.read += 1
        fields = _fields(text, separator, path, number)
        if len(fields) != width:
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted {width}")
        yield number, fields


def _chained(first: tuple[int, list[str]], rest: Lines) -> Lines:
    yield first
    yield from rest


def _check_filled(path, number: int, values: Sequence[str], wanted: str) -> None:
    if not all(values):
        raise InputError(f"{path}:{number}: got an empty field, wanted {wanted}")


def _generic(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    places = [fields.index(name) for name in _GENERIC]
    for number, row in lines:
        group, species, gene = values = [row[place] for place in places]
        _check_filled(table.path, number, values, _GROUP)
        yield Row(number, group, ((species, gene),))


def _homologene(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    named = set(fields) >= set(_HOMOLOGENE)
    places = [fields.index(name) for name in _HOMOLOGENE] if named else range(4)
    for number, row in lines:
        group, species, gene, symbol = values = [row[place] for place in places]
        _check_filled(table.path, number, values[:3], _GROUP)
        yield Row(number, group, ((species, gene),), ((0, symbol),) if symbol else ())


def _compara(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    places = [fields.index(name) for name in _COMPARA]
    for number, row in lines:
        gene, species, kind, other, other_species = values = [row[place] for place in places]
        _check_filled(table.path, number, values, "two genes, their species and a type")
        if kind in _NOT_JOINED:
            tally.adjusted[f"{kind} not joined"] += 1
            continue
        yield Row(number, None, ((species, gene), (other_species, other)))


def _biomart(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    if table.species is None:
        raise InputError(f"{table.path}:1: got no species of the first gene, wanted it named")
    genes = {m[1]: i for i, field in enumerate(fields) if (m := _BIOMART_GENE.fullmatch(field))}
    types = {m[1]: i for i, field in enumerate(fields) if (m := _BIOMART_TYPE.fullmatch(field))}
    if None not in genes:
        raise InputError(f"{table.path}:1: header: got no 'Gene stable ID', wanted it, too")
    own = genes.pop(None)
    others = [
        (table.species if _PARALOGUE.fullmatch(prefix) else prefix, place, types.get(prefix))
        for prefix, place in genes.items()
    ]
    for number, row in lines:
        _check_filled(table.path, number, [row[own]], "a gene stable ID")
        members = [(table.species, row[own])]
        for species, place, kind in others:
            if kind is not None and row[kind] in _NOT_JOINED:
                tally.adjusted[f"{row[kind]} not joined"] += 1
            elif row[place]:
                members.append((species, row[place]))
        if len(members) == 1:
            tally.adjusted["gene without homolog"] += 1
        else:
            yield Row(number, None, tuple(members))


def _toga(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    if table.species is None or table.query is None:
        raise InputError(
            f"{table.path}:1: got no reference and query species, wanted them named: "
            "TOGA's tables leave them out"
        )
    places = [fields.index(name) for name in _TOGA[:4]]
    for number, row in lines:
        gene, transcript, other, other_transcript = (row[place] for place in places)
        _check_filled(table.path, number, [gene], "a t_gene")
        if other in _NONE:
            tally.adjusted["gene without homolog"] += 1
            continue
        names = ((0, transcript), (1, other_transcript))
        yield Row(
            number,
            None,
            ((table.species, gene), (table.query, other)),
            tuple((place, name) for place, name in names if name not in _NONE),
        )


def _orthofinder(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    first = 1 if fields[0] == "Orthogroup" else len(_HOG)
    species = fields[first:]
    for number, row in lines:
        members = tuple(
            (name, gene.strip())
            for name, genes in zip(species, row[first:], strict=True)
            for gene in genes.split(",")
            if gene.strip()
        )
        if not (row[0] and members):
            raise InputError(f"{table.path}:{number}: got no gene or no group, wanted both")
        yield Row(number, row[0], members)


def _group_and_gene(table: HomologyTable, fields: list[str], lines: Lines, tally: Tally):
    """OrthoDB's OG2genes and its like: group, species:gene."""
    wanted = table.level
    for number, (group, member) in lines:
        if at := _ORTHODB_GROUP.fullmatch(group):
            wanted = wanted or at[1]
            if at[1] != wanted:
                if table.level is None:
                    raise InputError(
                        f"{table.path}:{number}: got groups of the levels {wanted} and {at[1]}, "
                        "wanted one level named: a gene has a group in each"
                    )
                tally.adjusted["group of another level not used"] += 1
                continue
        organism, _, gene = member.partition(":")
        _check_filled(table.path, number, [group, organism, gene], _GROUP)
        yield Row(number, group, ((_species_of(organism), gene),))


def _species_of(organism: str) -> str:
    """The taxonomy id of an OrthoDB organism such as 9606_0, anything else as it is."""
    numbered = _ORTHODB_ORGANISM.fullmatch(organism)
    return numbered[1] if numbered else organism


def orthodb_names(path: str | os.PathLike) -> Iterator[tuple[Gene, list[str]]]:
    """Reads OrthoDB's table of genes (`odb*_genes.tab`, from release 11 on).

    Yields:
        A gene as `rows_of` names it, and its other names: the protein id of its source, synonyms,
        UniProt, Ensembl and NCBI ids.

    Raises:
        InputError: fewer than eight columns, or a gene that is no `organism:number`.
    """
    for number, raw in numbered_lines(path):
        fields = decode(raw, path, number).rstrip("\r\n").split("\t")
        organism, _, gene = fields[0].partition(":")
        if len(fields) < 8 or not (organism and gene):
            raise InputError(
                f"{path}:{number}: got {len(fields)} columns, the first '{fields[0][:40]}', wanted "
                "OrthoDB's eight or more, from organism:gene to description"
            )
        names = [name for field in fields[2:7] for name in field.split(";")]
        yield (_species_of(organism), gene), [name for name in names if name not in _NONE]
