"""Tables of other names of genes: what a homology table calls a gene, and what others call it."""

from collections.abc import Collection, Iterator
from itertools import chain
from os import PathLike
from typing import NamedTuple

from data_builders.homology.group_tables import orthodb_species
from data_builders.homology.rows import NO_NAMES
from data_builders.names import taxon, without_version
from data_builders.records import InputError
from data_builders.text import decode, numbered_lines

_GENE_INFO = ("tax_id", "GeneID", "Symbol")
_GENE_TO_ENSEMBL = ("tax_id", "GeneID", "Ensembl_gene_identifier")
_NAMES_OF_GENE_INFO = ("Symbol", "LocusTag")
_HEADER_WORDS = frozenset({"gene", "gene_id", "gene stable id", "ensembl_gene_id", "protein_id"})
_SPECIES = frozenset({"species", "tax_id", "taxonomy_id", "taxon"})


class NamesOfGene(NamedTuple):
    """Names that one gene goes by.

    Attributes:
        taxon: of the gene, as `taxon` returns it; None where the table does not say.
        names: of which any may be that of the homology table.
    """

    taxon: str | None
    names: list[str]


def read_gene_names(path: str | PathLike) -> Iterator[NamesOfGene]:
    """Read a table of names of genes; its first line tells the layout.

    - OrthoDB's table of genes (`odb*_genes.tab`, from release 11 on): the protein id of its source,
      synonyms, UniProt, Ensembl and NCBI ids;
    - NCBI's gene_info and gene2ensembl: numbers, symbols, locus tags, Ensembl ids;
    - any other of two columns or more: all columns are names of one gene, such as protein and gene;
      a header is a line that names a column gene_id or the like; a column species says whose.

    Yields:
        One entry a line.

    Raises:
        InputError: an empty file, a line with fewer columns than the first, or OrthoDB's gene that
            is no `organism:number`.
    """
    lines = numbered_lines(path)
    number, raw = next(lines, (0, b""))
    first = _fields(raw, path, number)
    header = [field.lstrip("#").strip() for field in first]
    if len(first) >= 8 and ":" in first[0]:
        yield from _orthodb(chain([(number, raw)], lines), path)
    elif set(_GENE_INFO) <= set(header):
        yield from _gene_info(header, lines, path)
    elif set(_GENE_TO_ENSEMBL) <= set(header):
        yield from _gene_to_ensembl(header, lines, path)
    elif len(first) > 1 and any(first):
        named = not _HEADER_WORDS.isdisjoint(field.lower() for field in header)
        species = next((at for at, f in enumerate(header) if named and f.lower() in _SPECIES), None)
        yield from _columns(species, lines if named else chain([(number, raw)], lines), path)
    else:
        raise InputError(
            f"{path}:{max(number, 1)}: got {len(first)} columns, the first '{first[0][:40]}', "
            "wanted OrthoDB's table of genes, NCBI's gene_info or gene2ensembl, or columns of "
            "protein and gene ids"
        )


def _fields(raw: bytes, path: str | PathLike, number: int) -> list[str]:
    text = decode(raw, path, number).rstrip("\r\n")
    separator = "\t" if "\t" in text else ","
    return [field.strip().strip('"') for field in text.split(separator)]


def _orthodb(lines, path) -> Iterator[NamesOfGene]:
    for number, raw in lines:
        fields = _fields(raw, path, number)
        organism, _, gene = fields[0].partition(":")
        if len(fields) < 8 or not (organism and gene):
            raise InputError(
                f"{path}:{number}: got {len(fields)} columns, the first '{fields[0][:40]}', wanted "
                "OrthoDB's eight or more, from organism:gene to description"
            )
        names = [name for field in fields[2:7] for name in field.split(";")]
        yield NamesOfGene(taxon(orthodb_species(organism)), _names([gene, *names]))


def _gene_info(header: list[str], lines, path) -> Iterator[NamesOfGene]:
    for row in _rows(header, lines, path):
        names = [row["GeneID"], *(row.get(name, "") for name in _NAMES_OF_GENE_INFO)]
        references = row.get("dbXrefs", "").split("|")
        names += [ref.partition(":")[2] for ref in references if ref.startswith("Ensembl:")]
        names += [ref.partition(":")[2] for ref in references if ref.startswith(("HGNC:", "MGI:"))]
        yield NamesOfGene(taxon(row["tax_id"]), _names(names))


def _gene_to_ensembl(header: list[str], lines, path) -> Iterator[NamesOfGene]:
    for row in _rows(header, lines, path):
        names = [row["GeneID"], *(value for name, value in row.items() if "Ensembl" in name)]
        yield NamesOfGene(taxon(row["tax_id"]), _names(names))


def _rows(header: list[str], lines, path) -> Iterator[dict[str, str]]:
    for number, raw in lines:
        fields = _fields(raw, path, number)
        if len(fields) < len(header):
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted {len(header)}")
        yield dict(zip(header, fields, strict=False))


def _columns(species: int | None, lines, path) -> Iterator[NamesOfGene]:
    width = 0
    for number, raw in lines:
        fields = _fields(raw, path, number)
        width = width or len(fields)
        if len(fields) != width:
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted {width}")
        of = None if species is None else taxon(fields.pop(species))
        yield NamesOfGene(of, _names(fields))


def _names(names: Collection[str]) -> list[str]:
    """Return names without versions, each once, those that are none left out."""
    return list(dict.fromkeys(without_version(name) for name in names if name not in NO_NAMES))
