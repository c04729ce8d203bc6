"""GTF and GFF3 to transcript models: what is spliced from where, and what of it is translated."""

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from data_builders.drafts import Draft, add_part, build_model, missing, trans_spliced
from data_builders.features import PARTS, UTRS, Line, feature_lines
from data_builders.gff3 import read_gff3
from data_builders.models import Annotation, Odd
from data_builders.records import InputError
from data_builders.text import Tally, decode

_TRANSCRIPTS = frozenset({b"transcript", b"mRNA"})
_READ = PARTS | UTRS | _TRANSCRIPTS

_GTF_ATTRIBUTES = re.compile(rb"\s*[\w.]+\s+[^\s=;]")
_GFF3_ATTRIBUTES = re.compile(rb"\s*[^\s=;]+=")
# The name first, what may not be before it second: a search for a literal is the faster one.
_TRANSCRIPT_ID = re.compile(rb'transcript_id(?<!\wtranscript_id)\s+"?([^";\r\n]+)')
_GENE_ID = re.compile(rb'gene_id(?<!\wgene_id)\s+"?([^";\r\n]+)')
_SYMBOL = re.compile(rb'\b(?:gene_name|gene)\s+"?([^";\r\n]+)')
_BIOTYPE = re.compile(rb'transcript_(?:bio)?type\s+"?([^";\r\n]+)')


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
    first, read, plain = _format(lines, path)
    drafts, symbols = read(chain(first, lines), path)
    if not drafts:
        raise InputError(f"{path}: got no transcript, wanted GTF or GFF3 with exons")
    texts: dict[bytes, str] = {}

    def text(value: bytes, line: int) -> str:
        if value not in texts:
            texts[value] = plain(decode(value, path, line))
        return texts[value]

    tally = Tally(read=len(drafts), strict=strict)
    transcripts, gene_symbols = [], {}
    for key in list(drafts):
        draft = drafts.pop(key)  # gives its memory back
        try:
            model = build_model(plain(decode(key, path, draft.line)), draft, text, tally)
        except Odd as reason:
            name = key.decode("utf-8", "replace")
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


def _format(lines: Iterator[Line], path) -> tuple[list[Line], Callable, Callable[[str], str]]:
    """The first line whose attributes tell the format, its reader, and how to decode its values."""
    for line in lines:
        number, kind, *_, attributes = line
        if _GFF3_ATTRIBUTES.match(attributes):
            return [line], read_gff3, unquote
        if _GTF_ATTRIBUTES.match(attributes):
            return [line], _read_gtf, str
        if kind in PARTS or attributes.strip() not in (b"", b"."):
            found = attributes[:40].decode("utf-8", "replace").strip()
            raise InputError(
                f"{path}:{number}: attributes: got '{found}', "
                """wanted 'key "value";' or 'key=value'"""
            )
    return [], _read_gtf, str


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
    number, kind, *_, attributes = line
    found = _TRANSCRIPT_ID.search(attributes)
    if found is None:
        missing("transcript_id", kind, path, number)
    gene_found = _GENE_ID.search(attributes)
    if gene_found is None:
        missing("gene_id", kind, path, number)
    key, gene = found[1].strip(), gene_found[1].strip()
    draft = drafts.get(key)
    if draft is None:
        draft = drafts[key] = Draft(number, gene=gene, biotype=_first(_BIOTYPE, attributes))
        if trans_spliced(attributes):
            draft.oddity = "trans-splicing"
        if gene not in symbols and (symbol := _first(_SYMBOL, attributes)):
            symbols[gene] = symbol
    elif draft.gene != gene:
        draft.oddity = draft.oddity or "parts of two genes"
    end = max(found.end(), gene_found.end())
    return draft, attributes[: end + 1] if end < len(attributes) else None


def _first(pattern: re.Pattern, attributes: bytes) -> bytes | None:
    found = pattern.search(attributes)
    return found[1].strip() if found else None
