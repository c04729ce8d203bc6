"""What the name of a sequence says: its species and its gene.

Layouts, of which the first that fits a header is taken:

- OrthoDB: the description is JSON with `organism_name` or `organism_taxid`, and `pub_gene_id`;
- UniProt and NCBI: `OS=Homo sapiens OX=9606 GN=TP53` or `[Homo sapiens]` in the description;
- `species|gene`, `gene@species`, or `species:gene`;
- OrthoMaM, UCSC, and anyone else's: the name is the species, and so is the gene.
"""

import json
import re
from typing import NamedTuple

from data_builders.homology.alignments import Row

_OS = re.compile(r"\bOS=(.+?)(?=\s+[A-Z]{2}=|$)")
_GN = re.compile(r"\bGN=(\S+)")
_BRACKETS = re.compile(r"\[([A-Z][^\[\]=]*)\]\s*$")
_NOT_IN_A_NAME = re.compile(r"[\s.]+")
_ORTHODB_ORGANISM = re.compile(r"(\d+)_\d+:")


class Origin(NamedTuple):
    """Where a sequence comes from.

    Attributes:
        species: as the file writes it.
        gene: as the file writes it.
    """

    species: str
    gene: str


def origin(row: Row) -> Origin:
    """Return what a row's name and description say."""
    if row.description.startswith("{") and (found := _orthodb(row)):
        return found
    if match := _OS.search(row.description):
        gene = _GN.search(row.description)
        return Origin(match[1], gene[1] if gene else row.name)
    if match := _BRACKETS.search(row.description):
        return Origin(match[1], row.name)
    for separator, species_first in (("|", True), ("@", False), (":", True)):
        first, found, second = row.name.partition(separator)
        if found and first and second:
            return Origin(*((first, second) if species_first else (second, first)))
    return Origin(row.name, row.name)


def _orthodb(row: Row) -> Origin | None:
    try:
        told = json.loads(row.description)
    except ValueError:
        return None
    numbered = _ORTHODB_ORGANISM.match(row.name)
    species = told.get("organism_name") or told.get("organism_taxid")
    species = species or (numbered[1] if numbered else None)
    return Origin(str(species), str(told.get("pub_gene_id") or row.name)) if species else None


def orthodb_group(row: Row) -> str | None:
    """Return the group of an OrthoDB header, None of any other."""
    if not row.description.startswith("{"):
        return None
    try:
        group = json.loads(row.description).get("pub_og_id")
    except ValueError:
        return None
    return str(group) if group else None


def normalised_species(name: str) -> str:
    """Return a species name as the data has it: lower case, one underscore for blanks and dots.

    `Homo sapiens`, `Homo_sapiens` and `homo.sapiens` are one species; an assembly such as hg38 or
    a taxonomy id stays what it is.
    """
    return _NOT_IN_A_NAME.sub("_", name.strip()).strip("_").lower()
