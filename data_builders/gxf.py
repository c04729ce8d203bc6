"""GTF and GFF3 to transcript models: what is spliced from where, and what of it is translated."""

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import unquote_to_bytes

from data_builders.drafts import Draft, add_part, build_model, missing, trans_spliced
from data_builders.features import PARTS, UTRS, Line, feature_lines
from data_builders.gff3 import read_gff3
from data_builders.models import Annotation, Odd
from data_builders.records import InputError
from data_builders.text import Tally, decode, shown

_TRANSCRIPTS = frozenset({b"transcript", b"mRNA"})
_READ = PARTS | UTRS | _TRANSCRIPTS

_GTF_ATTRIBUTES = re.compile(rb"\s*[\w.]+\s+[^\s=;]")
_GFF3_ATTRIBUTES = re.compile(rb"\s*[^\s=;]+=")
# The name first, what may not be before it second: a search for a literal is the faster one.
_TRANSCRIPT_ID = re.compile(rb'transcript_id(?<!\wtranscript_id)\s+("?)([^";\r\n]+)("?)')
_GENE_ID = re.compile(rb'gene_id(?<!\wgene_id)\s+("?)([^";\r\n]+)("?)')
_SYMBOL = re.compile(rb'\b(?:gene_name|gene)\s+"?([^";\r\n]+)')
_BIOTYPE = re.compile(rb'transcript_(?:bio)?type\s+"?([^";\r\n]+)')
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
    lines = feature_lines(path, features)
    first, read, unescape = _format(lines, path)
    drafts, symbols = read(chain(first, lines), path)
    if not drafts:
        raise InputError(f"{path}: got no transcript, wanted GTF or GFF3 with exons")
    texts: dict[bytes, str] = {}

    def text(value: bytes, line: int) -> str:
        if value not in texts:
            texts[value] = _name(value, path, line, unescape)
        return texts[value]

    tally, names = Tally(read=len(drafts), strict=strict), set()
    transcripts, gene_symbols = [], {}
    for key in list(drafts):
        draft = drafts.pop(key)  # gives its memory back
        name = _name(key, path, draft.line, unescape)
        try:
            if name in names:
                raise Odd("transcript defined twice")
            names.add(name)
            model = build_model(name, draft, text, tally)
        except Odd as reason:
            tally.skip(str(reason), f"{path}:{draft.line}: transcript '{name}'")
            continue
        transcripts.append(model)
        if symbol := symbols.get(draft.gene):
            gene_symbols[model.gene_id] = text(symbol, draft.line)
    return Annotation(
        path=Path(path),
        transcripts=tuple(transcripts),
        gene_symbols=gene_symbols,
        features=Counter({kind.decode("utf-8", "replace"): n for kind, n in features.items()}),
        tally=tally,
    )


def _format(lines: Iterator[Line], path) -> tuple[list[Line], Callable, Callable[[bytes], bytes]]:
    """The first line whose attributes tell the format, its reader, and what undoes its escapes."""
    for line in lines:
        number, kind, *_, attributes = line
        if _GFF3_ATTRIBUTES.match(attributes):
            return [line], read_gff3, unquote_to_bytes
        if _GTF_ATTRIBUTES.match(attributes):
            return [line], _read_gtf, bytes
        if kind in PARTS or attributes.strip() not in (b"", b"."):
            found = shown(attributes.strip())
            raise InputError(
                f"{path}:{number}: attributes: got '{found}', "
                """wanted 'key "value";' or 'key=value'"""
            )
    return [], _read_gtf, bytes


def _name(value: bytes, path, line: int, unescape: Callable[[bytes], bytes]) -> str:
    name = decode(unescape(value), path, line)
    if _BREAK.search(name):
        raise InputError(f"{path}:{line}: got the name {name!r}, wanted one without line breaks")
    return name


def _read_gtf(lines: Iterable[Line], path) -> tuple[dict[bytes, Draft], dict[bytes, bytes]]:
    """transcript_id -> transcript, in the order of the file, and gene_id -> symbol."""
    drafts: dict[bytes, Draft] = {}
    symbols: dict[bytes, bytes] = {}
    draft = head = None
    for line in lines:
        kind = line[1]
        if kind not in _READ:
            continue
        attributes = line[-1]
        # Lines of a transcript follow each other, and begin alike up to its name.
        if head is None or not attributes.startswith(head):
            draft, head = _owner(drafts, symbols, line, path)
        if kind in _TRANSCRIPTS:
            draft.definitions += 1
            if trans_spliced(attributes):
                draft.oddity = "trans-splicing"
        else:
            add_part(draft, line)
    return drafts, symbols


def _owner(
    drafts: dict[bytes, Draft], symbols: dict[bytes, bytes], line: Line, path
) -> tuple[Draft, bytes | None]:
    """The transcript of a line, and the beginning of attributes that can name no other."""
    number, *_, attributes = line
    key, key_end = _named("transcript_id", _TRANSCRIPT_ID, line, path)
    gene, gene_end = _named("gene_id", _GENE_ID, line, path)
    draft = drafts.get(key)
    if draft is None:
        draft = drafts[key] = Draft(number, gene=gene, biotype=_first(_BIOTYPE, attributes))
        if trans_spliced(attributes):
            draft.oddity = "trans-splicing"
        if gene not in symbols and (symbol := _first(_SYMBOL, attributes)):
            symbols[gene] = symbol
    elif draft.gene != gene:
        draft.oddity = draft.oddity or "parts of two genes"
    end = max(key_end, gene_end)
    closed = end < len(attributes) or attributes.endswith(b'"')
    return draft, attributes[: end + 1] if closed else None


def _named(name: str, pattern: re.Pattern, line: Line, path) -> tuple[bytes, int]:
    """The value of an attribute, and where it ends."""
    number, kind, *_, attributes = line
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
