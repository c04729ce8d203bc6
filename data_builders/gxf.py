"""GTF and GFF3 to transcript models: what is spliced from where, and what of it is translated."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import unquote

from data_builders.models import (
    Annotation,
    Interval,
    Odd,
    TranscriptModel,
    coding_pieces,
    ordered_exons,
)
from data_builders.records import InputError
from data_builders.text import Tally, decode, numbered_lines

_PARTS = frozenset({b"exon", b"pseudogenic_exon", b"CDS", b"stop_codon"})
_GTF_TRANSCRIPT = frozenset({b"transcript", b"mRNA"})
_PROTEIN = frozenset({b"protein", b"polypeptide"})
# Numerous in FlyBase and WormBase, and never what a part belongs to.
_EVIDENCE = (b"intron", b"match", b"match_part")
_HASH = ord("#")
_STRANDS = frozenset({b"+", b"-", b".", b"?"})
_PHASES = frozenset({b"0", b"1", b"2", b"."})

_GTF_ATTRIBUTES = re.compile(rb"\s*[\w.]+\s+[^\s=;]")
_GFF3_ATTRIBUTES = re.compile(rb"\s*[^\s=;]+=")
_GTF_TRANSCRIPT_ID = re.compile(rb'\btranscript_id\s+"?([^";\r\n]+)')
_GTF_GENE_ID = re.compile(rb'\bgene_id\s+"?([^";\r\n]+)')
_GTF_SYMBOL = re.compile(rb'\b(?:gene_name|gene)\s+"?([^";\r\n]+)')
_GTF_BIOTYPE = re.compile(rb'\btranscript_(?:bio)?type\s+"?([^";\r\n]+)')
_GFF3_ID = re.compile(rb"(?:^|;)\s*ID=([^;\r\n]+)")
_GFF3_PARENT = re.compile(rb"(?:^|;)\s*Parent=([^;\r\n]+)")
_GFF3_SYMBOL = re.compile(rb"(?:^|;)\s*(?:gene|Name)=([^;\r\n]+)")
_GFF3_GENE_ID = re.compile(rb"(?:^|;)\s*(?:geneID|gene_id|gene)=([^;\r\n]+)")


@dataclass(slots=True)
class _Draft:
    """A transcript while its lines come in; still in the bytes of the file."""

    line: int
    gene: bytes | None = None
    symbol: bytes | None = None
    biotype: bytes | None = None
    definitions: int = 0
    locus: tuple[bytes, bytes] | None = None
    oddity: str | None = None
    exons: list[Interval] = field(default_factory=list)
    cds: list[tuple[int, int, bytes]] = field(default_factory=list)
    stops: list[Interval] = field(default_factory=list)


class _Node(NamedTuple):
    """A GFF3 feature that may be a gene or a transcript.

    `label` is the symbol of a gene, or the gene that a feature without parents names.
    """

    kind: bytes
    parents: tuple[bytes, ...]
    label: bytes | None
    line: int


def read_gxf(path: str | os.PathLike, *, strict: bool = False) -> Annotation:
    """Reads GTF or GFF3, told apart by the attributes, plain or gzip.

    A transcript is what exons belong to, or a child of a gene, whatever its feature type. The CDS
    is joined with its stop codon where that is listed apart. Lines that repeat a part of the same
    transcript count once.

    A malformed line is an error. What biology or an annotator's habit makes odd costs only the
    transcript and is counted in `tally.skipped`: no exons; parts of a transcript that GFF3 does
    not define (its gene is then unknown) or that is defined twice; exons on two chromosomes or
    strands (trans-splicing); strand unknown; exons that overlap; a CDS that leaves the exons, or
    is not one run on the transcript (a programmed frameshift).

    Args:
        path: the file.
        strict: a transcript that would be skipped is an error.

    Raises:
        InputError: a line without nine columns; coordinates that are no integers or not
            1 <= start <= end; a strand or phase that does not exist; a part that names no
            transcript, or a GTF transcript no gene; GFF3 parents that form a cycle; a file
            without transcripts.
    """
    features: Counter[bytes] = Counter()
    reader = None
    for number, columns in _feature_lines(path):
        kind, attributes = columns[2], columns[8]
        features[kind] += 1
        if reader is None:
            reader = _reader(kind, attributes, path, number)
            if reader is None:
                continue
        for draft in reader.owners(kind, attributes, number):
            _add_part(draft, columns, path, number)
    drafts = reader.resolve() if reader else {}
    if not drafts:
        raise InputError(f"{path}: got no transcript, wanted GTF or GFF3 with exons")
    tally = Tally(read=len(drafts), strict=strict)
    transcripts, symbols = [], {}
    for key, draft in drafts.items():
        try:
            model = _model(key, draft, reader.text, tally)
        except Odd as reason:
            name = key.decode("utf-8", "replace")
            tally.skip(str(reason), f"{path}:{draft.line}: transcript '{name}'")
            continue
        transcripts.append(model)
        if draft.symbol:
            symbols[model.gene_id] = reader.text(draft.symbol, draft.line)
    return Annotation(
        path=Path(path),
        transcripts=tuple(transcripts),
        gene_symbols=symbols,
        features=Counter({kind.decode("utf-8", "replace"): n for kind, n in features.items()}),
        tally=tally,
    )


def _feature_lines(path) -> Iterator[tuple[int, list[bytes]]]:
    for number, line in numbered_lines(path):
        columns = line.split(b"\t")
        if len(columns) == 9 and line[0] != _HASH:
            yield number, columns
        elif line.startswith((b"##FASTA", b">")):  # GFF3 may end in the genome itself
            return
        elif line[0] != _HASH and not line.isspace():
            raise InputError(f"{path}:{number}: columns: got {len(columns)}, wanted 9")


def _reader(kind: bytes, attributes: bytes, path, number: int) -> "_Gtf | _Gff3 | None":
    """The reader of this format; None when this line has no attributes to tell it by."""
    if _GFF3_ATTRIBUTES.match(attributes):
        return _Gff3(path)
    if _GTF_ATTRIBUTES.match(attributes):
        return _Gtf(path)
    if kind not in _PARTS and attributes.strip() in (b"", b"."):
        return None
    found = attributes[:40].decode("utf-8", "replace").strip()
    raise InputError(
        f"""{path}:{number}: attributes: got '{found}', wanted 'key "value";' or 'key=value'"""
    )


class _Gtf:
    """Every part names its transcript and gene."""

    def __init__(self, path):
        self.path = path
        self.drafts: dict[bytes, _Draft] = {}

    def owners(self, kind: bytes, attributes: bytes, number: int) -> Sequence[_Draft]:
        """The transcripts that this line is a part of."""
        if kind not in _PARTS and kind not in _GTF_TRANSCRIPT:
            return ()
        found = _GTF_TRANSCRIPT_ID.search(attributes)
        key = found[1] if found else _missing("transcript_id", kind, self.path, number)
        draft = self.drafts.get(key)
        if draft is None:
            draft = self.drafts[key] = _Draft(
                number,
                gene=_first(_GTF_GENE_ID, attributes)
                or _missing("gene_id", kind, self.path, number),
                symbol=_first(_GTF_SYMBOL, attributes),
                biotype=_first(_GTF_BIOTYPE, attributes),
            )
        if kind in _PARTS:
            return (draft,)
        draft.definitions += 1
        return ()

    def resolve(self) -> dict[bytes, _Draft]:
        """The transcripts, after the last line."""
        return self.drafts

    def text(self, value: bytes, line: int) -> str:
        """A value of the file as text."""
        return decode(value, self.path, line)


class _Gff3:
    """Parts name parents, parents name theirs, in any order: known only after the last line."""

    def __init__(self, path):
        self.path = path
        self.drafts: dict[bytes, _Draft] = {}
        self.nodes: dict[bytes, _Node] = {}
        self.repeated: set[bytes] = set()

    def owners(self, kind: bytes, attributes: bytes, number: int) -> Sequence[_Draft]:
        """The transcripts that this line is a part of."""
        if kind.endswith(_EVIDENCE):
            return ()
        parents = _first(_GFF3_PARENT, attributes)
        parents = tuple(parents.split(b",")) if parents else ()
        if kind not in _PARTS:
            self._define(kind, parents, attributes, number)
            return ()
        if not parents:
            _missing("Parent", kind, self.path, number)
        for parent in parents:
            if parent not in self.drafts:
                self.drafts[parent] = _Draft(number)
        return [self.drafts[parent] for parent in parents]

    def resolve(self) -> dict[bytes, _Draft]:
        """The transcripts, their genes found; children of genes without a part are among them."""
        for key, node in self.nodes.items():
            if node.parents and key not in self.drafts and self._is_gene(node.parents[0]):
                self.drafts[key] = _Draft(node.line)
        for key, draft in list(self.drafts.items()):
            node = self.nodes.get(key)
            if node is None:
                continue
            if node.kind in _PROTEIN:
                del self.drafts[key]
                continue
            draft.definitions = 2 if key in self.repeated else 1
            draft.biotype = node.kind
            gene = self._gene_of(key)
            top = self.nodes.get(gene)
            if top is None or self._is_gene(gene):
                draft.gene, draft.symbol = gene, top and top.label
            else:
                draft.gene = top.label or gene
        return self.drafts

    def text(self, value: bytes, line: int) -> str:
        """A value of the file as text."""
        return unquote(decode(value, self.path, line))

    def _define(self, kind, parents, attributes, number) -> None:
        key = _first(_GFF3_ID, attributes)
        if key is None:
            return
        if key in self.nodes:
            self.repeated.add(key)
            return
        label = None
        if kind.endswith(b"gene"):
            label = _first(_GFF3_SYMBOL, attributes)
        elif not parents:
            label = _first(_GFF3_GENE_ID, attributes)
        self.nodes[key] = _Node(kind, parents, label, number)

    def _is_gene(self, key: bytes) -> bool:
        return key in self.nodes and self.nodes[key].kind.endswith(b"gene")

    def _gene_of(self, key: bytes) -> bytes:
        """The nearest gene above, else the last ancestor named."""
        seen = set()
        while key in self.nodes and self.nodes[key].parents and not self._is_gene(key):
            if key in seen:
                raise InputError(
                    f"{self.path}:{self.nodes[key].line}: Parent: got a cycle through "
                    f"'{key.decode('utf-8', 'replace')}', wanted a gene at the top"
                )
            seen.add(key)
            key = self.nodes[key].parents[0]
        return key


def _first(pattern: re.Pattern, attributes: bytes) -> bytes | None:
    found = pattern.search(attributes)
    return found[1].strip() if found else None


def _missing(name: str, kind: bytes, path, number: int) -> NoReturn:
    raise InputError(
        f"{path}:{number}: {name}: got none, wanted one on a line of type '{kind.decode()}'"
    )


def _add_part(draft: _Draft, columns: list[bytes], path, number: int) -> None:
    chromosome, _, kind, start, end, _, strand, phase, _ = columns
    try:
        interval = int(start) - 1, int(end)
    except ValueError:
        interval = 0, 0
    if not 0 <= interval[0] < interval[1]:
        raise InputError(
            f"{path}:{number}: coordinates: got {start.decode('utf-8', 'replace')} to "
            f"{end.decode('utf-8', 'replace')}, wanted integers, 1 <= start <= end"
        )
    if strand not in _STRANDS:
        raise InputError(
            f"{path}:{number}: strand: got '{strand.decode('utf-8', 'replace')}', "
            "wanted '+', '-', '.' or '?'"
        )
    if draft.locus is None:
        draft.locus = chromosome, strand
    elif draft.locus != (chromosome, strand):
        where = "strands" if draft.locus[0] == chromosome else "chromosomes"
        draft.oddity = f"exons on two {where}"
    if kind == b"CDS":
        if phase not in _PHASES:
            raise InputError(
                f"{path}:{number}: phase: got '{phase.decode('utf-8', 'replace')}', "
                "wanted '0', '1', '2' or '.'"
            )
        draft.cds.append((*interval, phase))
    elif kind == b"stop_codon":
        draft.stops.append(interval)
    else:
        draft.exons.append(interval)


def _model(
    key: bytes, draft: _Draft, text: Callable[[bytes, int], str], tally: Tally
) -> TranscriptModel:
    if draft.gene is None:
        raise Odd("transcript feature absent")
    if draft.definitions > 1:
        raise Odd("transcript defined twice")
    if draft.oddity:
        raise Odd(draft.oddity)
    exons = ordered_exons(draft.exons)
    chromosome, strand = draft.locus
    if strand not in (b"+", b"-"):
        raise Odd("strand unknown")
    cds, phase = _coding(exons, draft), b"0"
    if cds:
        phase = (min if strand == b"+" else max)(draft.cds)[2]
        if phase == b".":
            tally.adjusted["CDS without a phase read as in frame"] += 1
            phase = b"0"
    return TranscriptModel(
        transcript_id=text(key, draft.line),
        gene_id=text(draft.gene, draft.line),
        chromosome=text(chromosome, draft.line),
        strand=strand.decode(),
        exons=exons,
        cds=cds,
        phase=int(phase),
        line=draft.line,
        biotype=draft.biotype and text(draft.biotype, draft.line),
    )


def _coding(exons: tuple[Interval, ...], draft: _Draft) -> tuple[Interval, ...]:
    """The CDS with its stop codon, one piece an exon."""
    cds = sorted(set(draft.cds))
    if any(start < end for (_, end, _), (start, _, _) in pairwise(cds)):
        raise Odd("CDS not one run on the transcript")
    return coding_pieces(
        exons, sorted({(start, end) for start, end, _ in cds}.union(draft.stops if cds else ()))
    )
