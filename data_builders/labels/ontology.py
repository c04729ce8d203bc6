"""Gene Ontology: sets of genes (GMT), annotations (GAF) and the ontology itself (OBO)."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from data_builders.records import InputError
from data_builders.text import Tally, decode, numbered_lines

_TERM = re.compile(r"GO:\d{7}")
_TAXON = re.compile(r"taxon:(\d+)(\|taxon:\d+)?")
_GAF_COLUMNS = range(15, 18)  # GAF 1.0 has 15, GAF 2 has 17, the last two may be left out
ASPECTS = {"F": "molecular_function", "P": "biological_process", "C": "cellular_component"}
"""Letters of GAF and namespaces of OBO."""


@dataclass(frozen=True, slots=True)
class Ontology:
    """Terms and what they belong to.

    Attributes:
        parents: term -> terms that it is_a or is part_of.
        namespace: term -> one of the values of `ASPECTS`.
        current: term or alternative id -> the id in use.
    """

    parents: Mapping[str, tuple[str, ...]]
    namespace: Mapping[str, str]
    current: Mapping[str, str]

    def with_ancestors(self, term: str) -> frozenset[str]:
        """Return a term and all terms that it is, or is part of, over any number of steps."""
        found, ahead = {term}, [term]
        while ahead:
            new = set(self.parents[ahead.pop()]) - found
            found |= new
            ahead += new
        return frozenset(found)


@dataclass(slots=True)
class GeneTerms:
    """The terms of one gene.

    Attributes:
        species: NCBI taxonomy id, or any name.
        names: ids and symbols that the gene goes by.
        synonyms: further names, less sure.
        terms: its terms.
    """

    species: str
    names: tuple[str, ...]
    synonyms: tuple[str, ...] = ()
    terms: set[str] = field(default_factory=set)


def read_gmt(path: str | os.PathLike, species: str) -> list[GeneTerms]:
    """Read sets of genes: name, description, genes, tab-separated, as MSigDB publishes them.

    Genes come in the order of first mention. No set, a set without genes, and a name used twice are
    an InputError.
    """
    genes: dict[str, GeneTerms] = {}
    seen: dict[str, int] = {}
    for number, raw in numbered_lines(path):
        name, *rest = decode(raw, path, number).rstrip("\r\n").split("\t")
        members = [gene for gene in rest[1:] if gene]
        if not (name and members):
            raise InputError(
                f"{path}:{number}: got {len(rest) + 1} columns, wanted a set's name, its "
                "description and its genes"
            )
        if seen.setdefault(name, number) != number:
            raise InputError(
                f"{path}:{number}: set '{name}': got it again, wanted it once (line {seen[name]})"
            )
        for gene in members:
            genes.setdefault(gene, GeneTerms(species, (gene,))).terms.add(name)
    if not genes:
        raise InputError(f"{path}: got an empty file, wanted sets of genes")
    return list(genes.values())


def read_obo(path: str | os.PathLike) -> Ontology:
    """Read the terms of an OBO file such as go-basic.obo; obsolete ones are left out.

    Relations other than is_a and part_of carry no annotation upwards and are not read.

    Raises:
        InputError: no term, a term without id or namespace or defined twice, or a parent that is
            not defined.
    """
    parents: dict[str, tuple[str, ...]] = {}
    namespace: dict[str, str] = {}
    current: dict[str, str] = {}
    origin: dict[str, int] = {}
    for number, tags in _terms(path):
        if "is_obsolete" in tags and tags["is_obsolete"] == ["true"]:
            continue
        ids, spaces = tags.get("id", []), tags.get("namespace", [])
        if len(ids) != 1 or len(spaces) != 1:
            raise InputError(
                f"{path}:{number}: term {' '.join(ids)}: got {len(ids)} ids and {len(spaces)} "
                "namespaces, wanted one each"
            )
        term = ids[0]
        if origin.setdefault(term, number) != number:
            raise InputError(
                f"{path}:{number}: term '{term}': got it again, wanted it once "
                f"(line {origin[term]})"
            )
        parts = [r.split()[1] for r in tags.get("relationship", []) if r.startswith("part_of ")]
        parents[term] = tuple(p.split()[0] for p in tags.get("is_a", [])) + tuple(parts)
        namespace[term] = spaces[0]
        current[term] = term
        for other in tags.get("alt_id", []):
            current.setdefault(other, term)
    if not parents:
        raise InputError(f"{path}: got no [Term], wanted an ontology in OBO format")
    for term, above in parents.items():
        for parent in above:
            if parent not in parents:
                raise InputError(
                    f"{path}:{origin[term]}: term '{term}': got the parent '{parent}', wanted a "
                    "term of this file that is not obsolete"
                )
    return Ontology(parents, namespace, current)


def _terms(path) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Yield each [Term], its first line and its tags."""
    tags: dict[str, list[str]] | None = None
    begun = 0
    for number, raw in numbered_lines(path):
        line = decode(raw, path, number).partition(" ! ")[0].strip()
        if line.startswith("["):
            if tags is not None:
                yield begun, tags
            tags, begun = ({} if line == "[Term]" else None), number
        elif tags is not None and line and not line.startswith("!"):
            tag, colon, value = line.partition(":")
            value = value.strip()
            if not (colon and value) or (tag == "relationship" and len(value.split()) < 2):
                raise InputError(f"{path}:{number}: got '{line[:60]}', wanted 'tag: value'")
            tags.setdefault(tag, []).append(value)
    if tags is not None:
        yield begun, tags


def read_gaf(
    path: str | os.PathLike,
    ontology: Ontology,
    tally: Tally,
    *,
    aspect: str | None = None,
) -> list[GeneTerms]:
    """Read annotations of genes, each carried up to every ancestor of its term.

    Args:
        path: GAF 2, plain or gzip.
        ontology: its terms.
        tally: where annotations are counted. Skipped are those with the qualifier NOT (they say
            nothing of the terms above, and no more than an absent label of their own), of
            evidence ND, which says that nothing is known, and of a term that the ontology has not
            or no more.
        aspect: "F", "P" or "C": terms of this namespace alone; None: all.

    Returns:
        Genes in the order of first mention, those without a term left out.

    Raises:
        InputError: an unknown aspect, a line of another number of columns, or one without an id,
            symbol, term, evidence code or taxon.
    """
    if aspect is not None and aspect not in ASPECTS:
        raise InputError(f"{path}: aspect: got '{aspect}', wanted one of {', '.join(ASPECTS)}")
    above = cache(ontology.with_ancestors)
    genes: dict[tuple[str, str], GeneTerms] = {}
    for number, raw in numbered_lines(path):
        if raw.startswith(b"!") or not raw.strip():
            continue
        tally.read += 1
        fields = decode(raw, path, number).rstrip("\r\n").split("\t")
        if len(fields) not in _GAF_COLUMNS:
            raise InputError(f"{path}:{number}: columns: got {len(fields)}, wanted 17")
        gene_id, symbol, qualifier, term = fields[1:5]
        code, synonyms, taxa = fields[6], fields[10], _TAXON.fullmatch(fields[12])
        if not (gene_id and symbol and code and taxa and _TERM.fullmatch(term)):
            raise InputError(
                f"{path}:{number}: got '{gene_id}', '{symbol}', '{term}', '{code}', "
                f"'{fields[12]}', wanted an id, symbol, GO id, evidence code and taxon"
            )
        where = f"{path}:{number}: {gene_id} {term}"
        if "NOT" in qualifier.split("|"):
            tally.skip("qualifier NOT", where)
        elif code == "ND":
            tally.skip("evidence ND", where)
        elif term not in ontology.current:
            tally.skip("term not in the ontology, or obsolete", where)
        else:
            gene = GeneTerms(taxa[1], (gene_id, symbol), tuple(filter(None, synonyms.split("|"))))
            found = genes.setdefault((taxa[1], gene_id), gene)
            found.terms |= above(ontology.current[term])
    if aspect is not None:
        for gene in genes.values():
            gene.terms = {t for t in gene.terms if ontology.namespace[t] == ASPECTS[aspect]}
    return [gene for gene in genes.values() if gene.terms]
