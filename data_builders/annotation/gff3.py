"""GFF3: parts name their parents, parents name theirs, in any order."""

import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from data_builders.annotation.attributes import gff3_value, gff3_values, repeats
from data_builders.annotation.drafts import Draft, Drafts, add_part, missing
from data_builders.annotation.features import NO_PHASE, PARTS, UTRS, Block, Line, feature_lines
from data_builders.annotation.models import SkipTranscript, coding_pieces, ordered_exons, overlap
from data_builders.annotation.runs import CDS
from data_builders.annotation.tags import preference_of
from data_builders.records import InputError

_PROTEIN = frozenset({b"protein", b"polypeptide"})
# Numerous in FlyBase, RefSeq and WormBase, and never what a part belongs to.
_EVIDENCE = (b"intron", b"match", b"match_part")
_PREFIX = re.compile(rb"\A(?:transcript:|gene:|rna-|gene-|cds-)(?=.)")  # Ensembl's, RefSeq's

_OF_TRANSCRIPTS = UTRS | {b"CDS"}  # what a gene may have itself without being a transcript
_SYMBOLS = (b"gene", b"Name")
_GENE_IDS = (b"geneID", b"gene_id", b"gene")
_GENE_NAMES = (b"locus", b"sequence_name", b"locus_tag")  # WormBase's, NCBI's
_TRANS_SPLICING = b"trans-splicing"
# Databases whose accessions are names of genes in tables of homology.
_GENE_DATABASES = (
    b"GeneID:",
    b"EntrezGene:",
    b"HGNC:",
    b"MGI:",
    b"RGD:",
    b"FLYBASE:",
    b"WormBase:",
    b"ZFIN:",
)
_GENE_DATABASES += (b"Xenbase:", b"SGD:", b"Ensembl:")

_EXONS_OF_GENE = "exons of a gene given to its only transcript"
_ONLY_TRANSCRIPT = "CDS of a gene given to its only transcript"
_FITTING_TRANSCRIPT = "CDS of a gene given to the only transcript that it fits"
_SEVERAL_GENES = "transcript of several genes given to the first"
_SEVERAL_IDS = "CDS in pieces of several IDs read as one"
_SEVERAL_CDS = "CDS of a gene that has several read as a transcript"
_REPEATED_ID = "feature with a second ID: the first counts"
_AMBIGUOUS = "CDS of a gene with several transcripts: whose is unclear"


class _Node(NamedTuple):
    """A feature that may be a gene or a transcript.

    Attributes:
        kind: the feature type.
        line: its number.
        parents: IDs.
        label: the symbol of a gene, or the gene that a feature without parents names.
        trans_spliced: whether the annotators say so.
        repeats: whether its line has another ID after the first.
    """

    kind: bytes
    line: int
    parents: tuple[bytes, ...] = ()
    label: bytes | None = None
    trans_spliced: bool = False
    repeats: bool = False

    @property
    def is_gene(self) -> bool:
        return _is_gene(self.kind)

    @property
    def is_transcript(self) -> bool:
        return self.kind.endswith((b"RNA", b"transcript", b"gene_segment"))

    @property
    def may_code(self) -> bool:
        return self.kind == b"mRNA" or (self.is_transcript and not self.kind.endswith(b"RNA"))


def read_gff3(blocks: Iterable[Block], path: str | os.PathLike, *, details: bool = False) -> Drafts:
    """Read the lines of a GFF3.

    Args:
        blocks: as `feature_blocks` yields them.
        path: the file, for errors.
        details: whether to read tags and protein ids too.

    Returns:
        Transcripts by ID in the order of the file; names are still percent-encoded, and without
        the prefixes of Ensembl and RefSeq unless names would clash.

    Raises:
        InputError: a part without a parent, but for a CDS that has an ID; parents in a cycle.
    """
    tree = _Tree(path, details)
    for line in feature_lines(blocks):
        tree.add(line)
    return tree.finish()


class _Tree:
    def __init__(self, path: str | os.PathLike, details: bool):
        self.path, self.details = path, details
        self.drafts: dict[bytes, Draft] = {}
        self.nodes: dict[bytes, _Node] = {}
        self.transcript_of_gene: dict[bytes, _Node] = {}  # a transcript that has its gene's ID
        self.repeated: set[bytes] = set()
        self.loose: defaultdict[bytes, list[Line]] = defaultdict(list)
        self.circular: dict[bytes, int] = {}
        self.gene_names: dict[bytes, dict[bytes, None]] = {}
        self.preferences: dict[bytes, set[str]] = {}
        self.proteins: dict[bytes, bytes] = {}

    def add(self, line: Line) -> None:
        """Read one line."""
        _, kind, *_, attributes = line
        if kind not in PARTS and kind not in UTRS:
            if not kind.endswith(_EVIDENCE):
                self._define(line)
            return
        parents = gff3_values(b"Parent", attributes)
        if not parents:
            if kind not in UTRS:
                self._add_orphan(line)
            return
        for parent in parents:
            node = self.nodes.get(parent)
            if kind in _OF_TRANSCRIPTS and (node is None or node.is_gene):
                self.loose[parent].append(line)
            else:
                self._add_part(parent, line)

    def finish(self) -> Drafts:
        """Return the transcripts, once all lines are read."""
        self._place_loose()
        for key, node in (*self.nodes.items(), *self.transcript_of_gene.items()):
            parent = self.nodes.get(node.parents[0]) if node.parents else None
            if parent and parent.is_gene and key not in self.drafts:
                self.drafts[key] = Draft(node.line)
        symbols = {}
        for key, draft in list(self.drafts.items()):
            node = self.transcript_of_gene.get(key) or self.nodes.get(key)
            if node is None:
                continue
            if node.kind in _PROTEIN:
                del self.drafts[key]
                continue
            self._describe(key, draft, node)
            name = draft.gene = self._gene_of(key)
            if len(node.parents) > 1 and self._has_several_genes(node):
                draft.changes += (_SEVERAL_GENES,)
            gene = self.nodes.get(name)
            if gene and gene.is_gene:
                if gene.label:
                    symbols[name] = gene.label
            elif gene and gene.label:
                name = draft.gene = gene.label
            if protein := self.proteins.get(key):
                self.gene_names.setdefault(name, {})[protein] = None
        drafts = Drafts(
            transcripts=self.drafts,
            symbols=symbols,
            gene_names=self.gene_names,
            preferences=self.preferences,
        )
        return _without_prefixes(drafts)

    def _describe(self, key: bytes, draft: Draft, node: _Node) -> None:
        draft.definitions = 2 if key in self.repeated else 1
        draft.biotype = node.kind
        if node.repeats:
            draft.changes += (_REPEATED_ID,)
        if node.trans_spliced:
            draft.skip_reason = "trans-splicing"
        elif _last_base(draft) > self.circular.get(draft.chromosome or b"", math.inf):
            draft.skip_reason = "across the origin of a circular chromosome"

    def _define(self, line: Line) -> None:
        number, kind, chromosome, _, (_, end), _, attributes = line
        if kind == b"region" and gff3_value(b"Is_circular", attributes) == b"true":
            self.circular[chromosome] = end
        key = gff3_value(b"ID", attributes)
        if key is None:
            return
        parents, label = gff3_values(b"Parent", attributes), None
        if _is_gene(kind):
            label = _first(_SYMBOLS, attributes)
            self._add_gene_names(key, attributes)
        else:
            if not parents:
                label = _first(_GENE_IDS, attributes)
            if self.details:
                self._add_tags(key, attributes)
        node = _Node(
            kind=kind,
            line=number,
            parents=parents,
            label=label,
            trans_spliced=_is_trans_spliced(attributes),
            repeats=repeats(attributes, (b"ID",), gff3=True),
        )
        self._add_node(key, node)

    def _add_node(self, key: bytes, node: _Node) -> None:
        """Add a feature; a gene and a transcript may share one ID."""
        other = self.nodes.get(key)
        if other is None:
            self.nodes[key] = node
        elif other.is_gene == node.is_gene or key in self.transcript_of_gene:
            self.repeated.add(key)
        else:
            self.nodes[key] = other if other.is_gene else node
            self.transcript_of_gene[key] = node if other.is_gene else other

    def _add_gene_names(self, key: bytes, attributes: bytes) -> None:
        for name in _GENE_NAMES:
            if value := gff3_value(name, attributes):
                self.gene_names.setdefault(key, {})[value] = None
        for reference in gff3_values(b"Dbxref", attributes):
            if reference.startswith(_GENE_DATABASES):
                database, _, accession = reference.partition(b":")
                whole = b":" in accession or database not in (b"HGNC", b"MGI", b"RGD")
                name = accession if whole else reference
                self.gene_names.setdefault(key, {})[name] = None

    def _add_tags(self, key: bytes, attributes: bytes) -> None:
        tags = map(preference_of, gff3_values(b"tag", attributes))
        if preferences := set(filter(None, tags)):
            self.preferences[key] = preferences

    def _add_part(self, key: bytes, line: Line) -> None:
        draft = self.drafts.get(key)
        if draft is None:
            draft = self.drafts[key] = Draft(line[0])
            if _is_trans_spliced(line[-1]):
                draft.skip_reason = "trans-splicing"
        add_part(draft, line)
        if self.details and line[1] == b"CDS" and key not in self.proteins:
            if protein := gff3_value(b"protein_id", line[-1]):
                self.proteins[key] = protein

    def _add_orphan(self, line: Line) -> None:
        """Make a CDS without a parent a gene and transcript of its own (Prokka, viruses)."""
        number, kind, *_, attributes = line
        key = gff3_value(b"ID", attributes) if kind == b"CDS" else None
        if key is None:
            missing("Parent", kind, self.path, number)
        self.nodes.setdefault(key, _Node(kind=kind, line=number))
        self._add_part(key, line)

    def _place_loose(self) -> None:
        """Find the transcripts of parts whose parent was a gene, or not defined yet."""
        children: defaultdict[bytes, list[bytes]] = defaultdict(list)
        with_exons = [key for key in self.drafts if key in self.nodes and self.nodes[key].is_gene]
        if self.loose or with_exons:
            for key, node in self.nodes.items():
                for parent in node.parents:
                    children[parent].append(key)
        for gene in with_exons:
            self._place_exons_of_gene(gene, children[gene])
        for parent, lines in self.loose.items():
            node, draft = self.nodes.get(parent), self.drafts.get(parent)
            has_exons = draft is not None and draft.exons
            if node and node.is_gene and not has_exons and parent not in self.transcript_of_gene:
                self._place_cds_of_gene(parent, lines, children[parent])
                continue
            for line in lines:
                self._add_part(parent, line)
        self.drafts = dict(sorted(self.drafts.items(), key=lambda item: item[1].line))

    def _place_exons_of_gene(self, gene: bytes, children: list[bytes]) -> None:
        """Give the exons of a gene to its only transcript, if that has none."""
        transcripts = [key for key in children if self.nodes[key].is_transcript]
        if len(transcripts) != 1 or gene in self.transcript_of_gene:
            return
        (key,) = transcripts
        of_transcript = self.drafts.get(key)
        if of_transcript is not None and of_transcript.exons:
            return
        of_gene = self.drafts.pop(gene)
        if of_transcript is not None and of_transcript.parts and of_gene.parts:
            for interval, phase in of_transcript.cds.items():
                of_gene.parts.add(CDS, interval, phase)
            of_gene.parts.stops += of_transcript.parts.stops
            of_gene.skip_reason = of_gene.skip_reason or of_transcript.skip_reason
        of_gene.changes += (_EXONS_OF_GENE,)
        self.drafts[key] = of_gene

    def _place_cds_of_gene(self, gene: bytes, lines: list[Line], children: list[bytes]) -> None:
        """Give the CDS of a gene to a transcript: its own if there is none that it may be of."""
        by_id: defaultdict[bytes, list[Line]] = defaultdict(list)
        for line in lines:
            if line[1] == b"CDS":  # a gene's UTRs are those of its transcripts
                by_id[gff3_value(b"ID", line[-1]) or gene].append(line)
        changes: tuple[str, ...] = ()
        pieces = [line for of_id in by_id.values() for line in of_id]
        if len(by_id) > 1 and _is_one_cds(pieces):
            by_id, changes = defaultdict(list, {gene: pieces}), (_SEVERAL_IDS,)
        candidates = self._without_cds(children)
        for key, of_id in by_id.items():
            if self._has_cds(children, of_id):
                continue
            if not candidates:
                several = (_SEVERAL_CDS,) if len(by_id) > 1 else changes
                self._add_own_transcript(key, gene, of_id, several)
                continue
            fitting = candidates
            if len(candidates) > 1 or len(by_id) > 1:
                fitting = [name for name in candidates if self._fits(name, of_id)]
            if len(fitting) != 1 or self.drafts[fitting[0]].cds:
                self._add_own_transcript(key, gene, of_id, ())
                self.drafts[key].skip_reason = _AMBIGUOUS
                continue
            reason = _ONLY_TRANSCRIPT if len(candidates) == 1 else _FITTING_TRANSCRIPT
            for line in of_id:
                self._add_part(fitting[0], line)
            self.drafts[fitting[0]].changes += (reason, *changes)

    def _without_cds(self, children: list[bytes]) -> list[bytes]:
        """Return the transcripts among a gene's children that may code and have no CDS yet."""
        found = []
        for key in children:
            node = self.nodes[key]
            if not node.may_code:
                continue
            draft = self.drafts.setdefault(key, Draft(node.line))
            if not draft.cds:
                found.append(key)
        messengers = [key for key in found if self.nodes[key].kind == b"mRNA"]
        return messengers or found

    def _has_cds(self, children: list[bytes], lines: list[Line]) -> bool:
        """Return whether a CDS of a gene only repeats that of one of its transcripts."""
        pieces = {line[4] for line in lines}
        drafts = filter(None, map(self.drafts.get, children))
        return any(pieces <= draft.cds.keys() for draft in drafts)

    def _fits(self, key: bytes, lines: list[Line]) -> bool:
        """Return whether the exons of a transcript have room for a CDS as one run."""
        draft = self.drafts[key]
        if any((line[2], line[3]) != (draft.chromosome, draft.strand) for line in lines):
            return False
        try:
            coding_pieces(ordered_exons(draft.exons), sorted({line[4] for line in lines}))
        except SkipTranscript:
            return False
        return True

    def _add_own_transcript(
        self, key: bytes, gene: bytes, lines: list[Line], changes: tuple[str, ...]
    ) -> None:
        """Make a CDS a transcript: bacteria, organelles, viruses."""
        if key != gene:
            self.nodes.setdefault(key, _Node(kind=b"CDS", parents=(gene,), line=lines[0][0]))
        for line in lines:
            self._add_part(key, line)
        self.drafts[key].changes += changes

    def _has_several_genes(self, node: _Node) -> bool:
        parents = filter(None, map(self.nodes.get, set(node.parents)))
        return sum(parent.is_gene for parent in parents) > 1

    def _gene_of(self, key: bytes) -> bytes:
        """Return the nearest gene above, else the last ancestor named."""
        seen = set()
        while (node := self.nodes.get(key)) and node.parents and not node.is_gene:
            if key in seen:
                raise InputError(
                    f"{self.path}:{node.line}: Parent: got a cycle through "
                    f"'{key.decode('utf-8', 'replace')}', wanted a gene at the top"
                )
            seen.add(key)
            key = node.parents[0]
        return key


def _is_gene(kind: bytes) -> bool:
    return kind.endswith(b"gene") and not kind.startswith(b"mRNA")  # TAIR's mRNA_TE_gene


def _is_one_cds(lines: list[Line]) -> bool:
    """Return whether pieces of several IDs are one CDS, as their phases prove.

    They do not overlap, and the phase of each follows from the piece before it; were they several
    CDS, each would begin with phase 0.
    """
    if len({(line[2], line[3]) for line in lines}) > 1 or lines[0][3] not in ("+", "-"):
        return False
    pieces = sorted((line[4], line[5]) for line in lines)
    if overlap(interval for interval, _ in pieces):
        return False
    if lines[0][3] == "-":
        pieces.reverse()
    phases = [phase for _, phase in pieces]
    expected = phases[:1]
    for (start, end), phase in pieces[:-1]:
        expected.append((phase - (end - start)) % 3)
    return NO_PHASE not in phases and phases == expected and any(phases[1:])


def _without_prefixes(drafts: Drafts) -> Drafts:
    """Take the prefixes of Ensembl and RefSeq off all names, unless two would become one."""
    genes = {draft.gene for draft in drafts.transcripts.values() if draft.gene is not None}
    for names in (drafts.transcripts, genes):
        if len({_PREFIX.sub(b"", name) for name in names}) < len(names):
            return drafts
    transcripts = {}
    for key, draft in drafts.transcripts.items():
        name, gene = _PREFIX.sub(b"", key), draft.gene and _PREFIX.sub(b"", draft.gene)
        if (name, gene) != (key, draft.gene):
            draft.changes += ("prefix taken off the ID",)
        draft.gene = gene
        transcripts[name] = draft
    return Drafts(
        transcripts=transcripts,
        symbols={_PREFIX.sub(b"", gene): symbol for gene, symbol in drafts.symbols.items()},
        gene_names={_PREFIX.sub(b"", gene): names for gene, names in drafts.gene_names.items()},
        preferences={_PREFIX.sub(b"", key): tags for key, tags in drafts.preferences.items()},
    )


def _last_base(draft: Draft) -> int:
    return max((end for _, end in (*draft.exons, *draft.cds)), default=0)


def _first(names: tuple[bytes, ...], attributes: bytes) -> bytes | None:
    return next((value for name in names if (value := gff3_value(name, attributes))), None)


def _is_trans_spliced(attributes: bytes) -> bool:
    """Return whether the annotators say so: the order of exons need not be that of the genome."""
    if _TRANS_SPLICING not in attributes:
        return False
    return _TRANS_SPLICING in (gff3_value(b"exception", attributes) or b"")
