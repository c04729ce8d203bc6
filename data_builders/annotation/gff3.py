"""GFF3: parts name their parents, parents theirs, in any order."""

import math
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from data_builders.annotation.drafts import Draft, Parts, add_part, missing, trans_spliced
from data_builders.annotation.features import PARTS, UTRS, Block, Line, feature_lines
from data_builders.records import InputError

_PROTEIN = frozenset({b"protein", b"polypeptide"})
# Numerous in FlyBase, RefSeq and WormBase, and never what a part belongs to.
_EVIDENCE = (b"intron", b"match", b"match_part")
_PREFIX = re.compile(rb"\A(?:transcript:|gene:|rna-|gene-|cds-)(?=.)")  # Ensembl's, RefSeq's

_OF_TRANSCRIPTS = UTRS | {b"CDS"}  # what a gene may have itself without being a transcript
_SEMICOLON = ord(";")
_ID = b"ID=", re.compile(rb"(?:^|;)\s*ID=([^;\r\n]+)")
_PARENT = b"Parent=", re.compile(rb"(?:^|;)\s*Parent=([^;\r\n]+)")
_SYMBOL = re.compile(rb"(?:^|;)\s*(?:gene|Name)=([^;\r\n]+)")
_GENE_ID = re.compile(rb"(?:^|;)\s*(?:geneID|gene_id|gene)=([^;\r\n]+)")


class _Node(NamedTuple):
    """A feature that may be a gene or a transcript.

    `label` is the symbol of a gene, or the gene that a feature without parents names.
    """

    kind: bytes
    parents: tuple[bytes, ...]
    label: bytes | None
    trans_spliced: bool
    line: int


def read_gff3(
    blocks: Iterable[Block], path: str | os.PathLike
) -> tuple[dict[bytes, Draft], dict[bytes, bytes]]:
    """Takes in the lines of a GFF3.

    Returns:
        ID -> transcript, in the order of the file, and gene ID -> symbol; still percent-encoded,
        without the prefixes of Ensembl and RefSeq unless names would clash.

    Raises:
        InputError: a part without a parent, but for a CDS that has an ID; parents in a cycle.
    """
    tree = _Tree(path)
    for line in feature_lines(blocks):
        tree.add(line)
    return tree.transcripts()


class _Tree:
    def __init__(self, path):
        self.path = path
        self.drafts: dict[bytes, Draft] = {}
        self.nodes: dict[bytes, _Node] = {}
        self.repeated: set[bytes] = set()
        self.loose: list[tuple[bytes, Line]] = []
        self.circular: dict[bytes, int] = {}

    def add(self, line: Line) -> None:
        _, kind, *_, attributes = line
        if kind not in PARTS and kind not in UTRS:
            if not kind.endswith(_EVIDENCE):
                self._define(line)
            return
        parents = _value(_PARENT, attributes)
        if parents is None:
            if kind not in UTRS:
                self._add_orphan(line)
            return
        for parent in parents.split(b","):
            node = self.nodes.get(parent)
            if kind in _OF_TRANSCRIPTS and (node is None or _is_gene(node)):
                self.loose.append((parent, line))
            else:
                self._add_part(parent, line)

    def transcripts(self) -> tuple[dict[bytes, Draft], dict[bytes, bytes]]:
        self._place_loose()
        for key, node in self.nodes.items():
            parent = self.nodes.get(node.parents[0]) if node.parents else None
            if parent and _is_gene(parent) and key not in self.drafts:
                self.drafts[key] = Draft(node.line)
        symbols = {}
        for key, draft in list(self.drafts.items()):
            node = self.nodes.get(key)
            if node is None:
                continue
            if node.kind in _PROTEIN:
                del self.drafts[key]
                continue
            draft.definitions = 2 if key in self.repeated else 1
            draft.biotype = node.kind
            if node.trans_spliced:
                draft.skip_reason = "trans-splicing"
            elif _last_base(draft) > self.circular.get(draft.chromosome, math.inf):
                draft.skip_reason = "across the origin of a circular chromosome"
            draft.gene = self._gene_of(key)
            top = self.nodes.get(draft.gene)
            if top and _is_gene(top):
                if top.label:
                    symbols[draft.gene] = top.label
            elif top and top.label:
                draft.gene = top.label
        return self._without_prefixes(symbols)

    def _define(self, line: Line) -> None:
        number, kind, chromosome, _, (_, end), _, attributes = line
        if kind == b"region" and b"Is_circular=true" in attributes:
            self.circular[chromosome] = end
        key = _value(_ID, attributes)
        if key is None:
            return
        if key in self.nodes:
            self.repeated.add(key)
            return
        parents = _value(_PARENT, attributes)
        parents = tuple(parents.split(b",")) if parents else ()
        label = None
        if _is_gene_kind(kind):
            label = _first(_SYMBOL, attributes)
        elif not parents:
            label = _first(_GENE_ID, attributes)
        self.nodes[key] = _Node(kind, parents, label, trans_spliced(attributes), number)

    def _add_part(self, key: bytes, line: Line) -> None:
        draft = self.drafts.get(key)
        if draft is None:
            draft = self.drafts[key] = Draft(line[0])
            if trans_spliced(line[-1]):
                draft.skip_reason = "trans-splicing"
        add_part(draft, line)

    def _add_orphan(self, line: Line) -> None:
        """A CDS without a parent is a gene and transcript of its own (Prokka, viruses)."""
        number, kind, *_, attributes = line
        key = _value(_ID, attributes) if kind == b"CDS" else None
        if key is None:
            missing("Parent", kind, self.path, number)
        self.nodes.setdefault(key, _Node(kind, (), None, False, number))
        self._add_part(key, line)

    def _place_loose(self) -> None:
        """Of a gene without exons each CDS is a transcript: bacteria, organelles, viruses."""
        for parent, line in self.loose:
            number, kind, *_, attributes = line
            key = parent
            node, draft = self.nodes.get(parent), self.drafts.get(parent)
            if node and _is_gene(node) and not (draft and draft.parts.exons):
                if kind != b"CDS":
                    continue
                key = _value(_ID, attributes) or parent
                self.nodes.setdefault(key, _Node(kind, (parent,), None, False, number))
            self._add_part(key, line)
        self.drafts = dict(sorted(self.drafts.items(), key=lambda item: item[1].line))

    def _gene_of(self, key: bytes) -> bytes:
        """The nearest gene above, else the last ancestor named."""
        seen = set()
        while (node := self.nodes.get(key)) and node.parents and not _is_gene(node):
            if key in seen:
                raise InputError(
                    f"{self.path}:{node.line}: Parent: got a cycle through "
                    f"'{key.decode('utf-8', 'replace')}', wanted a gene at the top"
                )
            seen.add(key)
            key = node.parents[0]
        return key

    def _without_prefixes(self, symbols):
        genes = {draft.gene for draft in self.drafts.values() if draft.gene is not None}
        for names in (self.drafts, genes):
            if len({_PREFIX.sub(b"", name) for name in names}) < len(names):
                return self.drafts, symbols
        drafts = {}
        for key, draft in self.drafts.items():
            name, gene = _PREFIX.sub(b"", key), draft.gene and _PREFIX.sub(b"", draft.gene)
            draft.renamed = (name, gene) != (key, draft.gene)
            draft.gene = gene
            drafts[name] = draft
        return drafts, {_PREFIX.sub(b"", gene): symbol for gene, symbol in symbols.items()}


def _is_gene(node: _Node) -> bool:
    return _is_gene_kind(node.kind)


def _is_gene_kind(kind: bytes) -> bool:
    return kind.endswith(b"gene") and not kind.startswith(b"mRNA")  # TAIR's mRNA_TE_gene


def _last_base(draft: Draft) -> int:
    parts = draft.parts or Parts()
    return max((end for _, end in (*parts.exons, *parts.cds)), default=0)


def _first(pattern: re.Pattern, attributes: bytes) -> bytes | None:
    found = pattern.search(attributes)
    return found[1].strip() if found else None


def _value(attribute: tuple[bytes, re.Pattern], attributes: bytes) -> bytes | None:
    """As `_first`, several times as fast where the attribute is the first or follows a ';'."""
    name, pattern = attribute
    at = attributes.find(name)
    if at < 0:
        return None
    if at and attributes[at - 1] != _SEMICOLON:
        return _first(pattern, attributes)
    end = attributes.find(b";", at)
    return attributes[at + len(name) : None if end < 0 else end].strip() or None
