"""GTF and GFF3 to transcript models: what is spliced from where, and what of it is translated."""

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np

from data_builders.annotation.drafts import (
    Draft,
    Models,
    add_part,
    add_run,
    build_model,
    missing,
    trans_spliced,
)
from data_builders.annotation.features import (
    PARTS,
    Block,
    Columns,
    Line,
    feature_blocks,
    feature_lines,
)
from data_builders.annotation.gff3 import read_gff3
from data_builders.annotation.models import Annotation, SkipTranscript
from data_builders.annotation.runs import PART_KINDS, Runs
from data_builders.records import InputError
from data_builders.text import Tally, decode, shown

_TRANSCRIPTS = frozenset({b"transcript", b"mRNA"})
_TRANSCRIPT = max(PART_KINDS.values()) + 1
_LINE_KINDS = PART_KINDS | dict.fromkeys(_TRANSCRIPTS, _TRANSCRIPT)

_GTF_ATTRIBUTES = re.compile(rb"\s*[\w.]+\s+[^\s=;]")
_GFF3_ATTRIBUTES = re.compile(rb"\s*[^\s=;]+=")
# The name first, what may not be before it second: a search for a literal is the faster one.
_TRANSCRIPT_ID = re.compile(rb'transcript_id(?<!\wtranscript_id)\s+("?)([^";\r\n]+)("?)')
_GENE_ID = re.compile(rb'gene_id(?<!\wgene_id)\s+("?)([^";\r\n]+)("?)')
# Both as they mostly are: what the two above would find.
_IDS = re.compile(rb'gene_id "([^\s";]+)"; (?:gene_version "\d+"; )?transcript_id "([^\s";]+)"')
_SYMBOL = re.compile(rb'\b(?:gene_name|gene)\s+"?([^";\r\n]+)')
_BIOTYPE = re.compile(rb'transcript_(?:bio)?type\s+"?([^";\r\n]+)')
_COMPARED = 96  # bytes; what names gene and transcript is mostly within them
_NO_HEAD = bytes(_COMPARED + 1)  # no attributes begin so; longer than what is compared
_BREAK = re.compile(r"[\t\r\n]")  # that an escape of GFF3 stood for


@contextmanager
def _without_cycle_collection() -> Iterator[None]:
    """Millions of tuples have no cycles; to look for them takes a sixth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_cycle_collection()
def read_gxf(path: str | os.PathLike, *, strict: bool = False) -> Annotation:
    """Reads GTF or GFF3, told apart by the attributes, plain or gzip.

    A transcript is what exons belong to, or a child of a gene, whatever its feature type. The CDS
    is joined with its stop codon where that is listed apart. Lines that repeat a part of the same
    transcript count once. Where a transcript has a CDS and no exons, that and its UTRs are its
    exons; where it is a gene that has, each CDS of it is a transcript.

    A malformed line is an error. What biology or an annotator's habit makes odd costs only the
    transcript and is counted in `tally.skipped`; changes to kept transcripts in `tally.adjusted`.
    docs/FORMATS.md has them all, with what each dialect means.

    Args:
        path: the file.
        strict: a transcript that would be skipped is an error.

    Raises:
        InputError: a line without nine columns; coordinates that are no integers or not
            1 <= start <= end; a strand or phase that does not exist; a part that names no
            transcript or chromosome, or a GTF transcript no gene; GFF3 parents that form a cycle;
            a file without transcripts.
    """
    features: Counter[bytes] = Counter()
    blocks, read, unescape = _format(feature_blocks(path, features), path)
    drafts, symbols = read(blocks, path)
    if not drafts:
        raise InputError(f"{path}: got no transcript, wanted GTF or GFF3 with exons")
    texts: dict[bytes, str] = {}

    def text(value: bytes, line: int) -> str:
        if value not in texts:
            texts[value] = _name(value, path, line, unescape)
        return texts[value]

    tally, names = Tally(read=len(drafts), strict=strict), set()
    models, runs, gene_symbols = [], [], {}
    for key in list(drafts):
        draft = drafts.pop(key)  # gives its memory back
        name = _name(key, path, draft.line, unescape)
        try:
            if name in names:
                raise SkipTranscript("transcript defined twice")
            names.add(name)
            model = build_model(name, draft, text, tally)
        except SkipTranscript as reason:
            tally.skip(str(reason), f"{path}:{draft.line}: transcript '{name}'")
            continue
        models.append(model)
        runs.append(draft.run)
        if symbol := symbols.get(draft.gene):
            gene_symbols[model.gene_id] = text(symbol, draft.line)
    return Annotation(
        path=Path(path),
        transcripts=Models(models, runs),
        gene_symbols=gene_symbols,
        features=Counter({kind.decode("utf-8", "replace"): n for kind, n in features.items()}),
        tally=tally,
    )


def _format(
    blocks: Iterator[Block], path
) -> tuple[Iterable[Block], Callable, Callable[[bytes], bytes]]:
    """From the first line on that tells the format; its reader; what undoes its escapes."""
    for block in blocks:
        lines = feature_lines([block])
        for line in lines:
            number, kind, *_, attributes = line
            is_gff3 = _GFF3_ATTRIBUTES.match(attributes)
            if is_gff3 or _GTF_ATTRIBUTES.match(attributes):
                whole = isinstance(block, Columns) and number == block.first
                rest = [block] if whole else ((line,) for line in chain([line], lines))
                reader = (read_gff3, unquote_to_bytes) if is_gff3 else (_read_gtf, bytes)
                return chain(rest, blocks), *reader
            if kind in PARTS or attributes.strip() not in (b"", b"."):
                found = shown(attributes.strip())
                raise InputError(
                    f"{path}:{number}: attributes: got '{found}', "
                    """wanted 'key "value";' or 'key=value'"""
                )
    return (), _read_gtf, bytes


def _name(value: bytes, path, line: int, unescape: Callable[[bytes], bytes]) -> str:
    name = decode(unescape(value), path, line)
    if not name.isprintable() and _BREAK.search(name):
        raise InputError(f"{path}:{line}: got the name {name!r}, wanted one without line breaks")
    return name


def _read_gtf(blocks: Iterable[Block], path) -> tuple[dict[bytes, Draft], dict[bytes, bytes]]:
    """transcript_id -> transcript, in the order of the file, and gene_id -> symbol."""
    reader = _Gtf(path)
    for block in blocks:
        if isinstance(block, Columns):
            reader.add_columns(block)
        else:
            reader.add(*block)
    return reader.drafts, reader.symbols


class _Gtf:
    def __init__(self, path):
        self.path = path
        self.drafts: dict[bytes, Draft] = {}
        self.symbols: dict[bytes, bytes] = {}
        self.draft: Draft | None = None  # that of the last line
        self.head = _NO_HEAD  # the beginning of attributes that can name no other

    def add(self, line: Line) -> None:
        number, kind, *_, attributes = line
        if kind not in _LINE_KINDS:
            return
        ids = None
        # Lines of a transcript follow each other, and begin alike up to its name.
        if not attributes.startswith(self.head):
            *ids, self.head = _names(number, kind, attributes, self.path)
        self._begin(ids, kind in _TRANSCRIPTS, number, attributes)
        if kind not in _TRANSCRIPTS:
            add_part(self.draft, line)

    def add_columns(self, columns: Columns) -> None:
        """As `add` line by line, but at once the parts that a transcript has in a row."""
        block = columns.block
        sorts = np.zeros(len(columns.starts), np.uint8)
        for kind, of_kind in columns.rows.items():
            sorts[of_kind] = _LINE_KINDS.get(kind, 0)
        rows = np.flatnonzero(sorts)
        if not len(rows):
            return
        ids = self._ids(columns, rows)
        sorts = sorts[rows]
        definitions = set(rows[sorts == _TRANSCRIPT].tolist())
        begins = sorted({int(rows[0]), *ids, *definitions, *_changes(columns, rows)})
        is_part = sorts != _TRANSCRIPT
        parts = rows[is_part]
        runs = Runs(
            np.append(np.searchsorted(parts, begins), len(parts)),
            sorts[is_part],
            columns.starts[parts],
            columns.ends[parts],
            columns.phases[parts],
        )
        strands = columns.strands
        regular = runs.regular(np.frombuffer(strands.encode(), np.uint8)[begins]).tolist()
        has_parts = (np.diff(runs.cuts) > 0).tolist()
        ats, ends = columns.attributes[begins].tolist(), columns.attribute_ends[begins].tolist()
        for run, (begin, at, end) in enumerate(zip(begins, ats, ends, strict=True)):
            number = columns.first + begin
            self._begin(ids.get(begin), begin in definitions, number, block[at:end])
            if has_parts[run]:
                place = columns.chromosomes[begin], strands[begin]
                add_run(self.draft, *place, (runs, run), regular=regular[run])

    def _ids(self, columns: Columns, rows: np.ndarray) -> dict[int, tuple[bytes, bytes]]:
        """Transcript and gene of each row that does not begin as the one before."""
        block, ats = columns.block, columns.attributes[rows]
        others = np.flatnonzero(~_alike(block, ats)).tolist()
        head, ids, rows, ats = self.head, {}, rows.tolist(), ats.tolist()
        for first, end in pairwise([*others, len(rows)]):
            for row, at in zip(rows[first:end], ats[first:end], strict=True):
                if not block.startswith(head, at):
                    if found := _IDS.match(block, at):
                        head, gene, key = found.group(0, 1, 2)
                    else:
                        attributes = block[at : block.index(b"\n", at)]
                        kind = block[block.rfind(b"\n", 0, at) + 1 : at].split(b"\t")[2]
                        key, gene, head = _names(columns.first + row, kind, attributes, self.path)
                    ids[row] = key, gene
                if len(head) <= _COMPARED:
                    break  # the others begin alike
        self.head = head
        return ids

    def _begin(self, ids, is_definition: bool, number: int, attributes: bytes) -> None:
        """Takes in a line but for its part; without ids it goes on with the last transcript."""
        is_new = False
        if ids:
            key, gene = ids
            draft = self.drafts.get(key)
            is_new = draft is None
            if is_new:
                biotype = _first(_BIOTYPE, attributes)
                draft = self.drafts[key] = Draft(number, gene=gene, biotype=biotype)
                if gene not in self.symbols and (symbol := _first(_SYMBOL, attributes)):
                    self.symbols[gene] = symbol
            elif draft.gene != gene:
                draft.skip_reason = draft.skip_reason or "parts of two genes"
            self.draft = draft
        self.draft.definitions += is_definition
        if (is_new or is_definition) and trans_spliced(attributes):
            self.draft.skip_reason = "trans-splicing"


def _alike(block: bytes, places: np.ndarray) -> np.ndarray:
    """Whether a line has the same attribute prefix as the previous line."""
    alike = np.zeros(len(places), bool)
    if len(block) >= _COMPARED:
        stretches = np.ndarray(len(block) - _COMPARED + 1, f"V{_COMPARED}", block, strides=(1,))
        whole = places[: np.searchsorted(places, len(stretches))]
        words = stretches[whole].view("<u8").reshape(-1, _COMPARED // 8)
        alike[1 : len(whole)] = (words[1:] == words[:-1]).all(1)
    return alike


def _changes(columns: Columns, rows: np.ndarray) -> list[int]:
    """The rows on another chromosome or strand than the one before."""
    names, strands = columns.chromosomes, np.frombuffer(columns.strands.encode(), np.uint8)[rows]
    changed = strands[1:] != strands[:-1]
    if names.count(names[0]) < len(names):
        changed |= np.fromiter((names[a] != names[b] for a, b in pairwise(rows.tolist())), bool)
    return rows[1:][changed].tolist()


def _names(number: int, kind: bytes, attributes: bytes, path) -> tuple[bytes, bytes, bytes]:
    """Transcript and gene of a line, and the beginning of attributes that can name no other."""
    key, key_end = _named("transcript_id", _TRANSCRIPT_ID, number, kind, attributes, path)
    gene, gene_end = _named("gene_id", _GENE_ID, number, kind, attributes, path)
    end = max(key_end, gene_end)
    closed = end < len(attributes) or attributes.endswith(b'"')
    return key, gene, attributes[: end + 1] if closed else _NO_HEAD


def _named(
    name: str, pattern: re.Pattern, number: int, kind: bytes, attributes: bytes, path
) -> tuple[bytes, int]:
    """The value of an attribute, and where it ends."""
    found = pattern.search(attributes)
    if found is None or not found[2].strip():
        missing(name, kind, path, number)
    opening, value, closing = found.groups()
    if opening != closing:
        raise InputError(
            f"{path}:{number}: {name}: got '{shown(found[0])}', wanted '{name} \"name\";'"
        )
    return value.strip(), found.end()


def _first(pattern: re.Pattern, attributes: bytes) -> bytes | None:
    found = pattern.search(attributes)
    return found[1].strip() if found else None
