"""GTF and GFF3 to transcript models: what is spliced from where, and what of it is translated."""

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import unquote_to_bytes

from data_builders.annotation.attributes import bare_id
from data_builders.annotation.drafts import Draft, Drafts, Models, model_fields
from data_builders.annotation.features import PARTS, Block, feature_blocks, feature_lines
from data_builders.annotation.gff3 import read_gff3
from data_builders.annotation.gtf import read_gtf
from data_builders.annotation.models import Annotation, SkipTranscript
from data_builders.records import InputError
from data_builders.text import Tally, decode, shown

_GTF_ATTRIBUTES = re.compile(rb"\s*[\w.]+\s+[^\s=;]")
_GFF3_ATTRIBUTES = re.compile(rb"\s*[^\s=;]+=")
_BREAK = re.compile(r"[\t\r\n]")  # that an escape of GFF3 stood for


@contextmanager
def _without_cycle_collection() -> Iterator[None]:
    """Switch the cycle collector off: millions of tuples have none, and looking takes a sixth."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_cycle_collection()
def read_gxf(path: str | os.PathLike, *, strict: bool = False, details: bool = False) -> Annotation:
    """Read GTF or GFF3, plain or gzip; the attributes tell which.

    A transcript is what exons belong to, or a child of a gene, whatever its feature type. The CDS
    is joined with its stop codon where that is listed apart. Lines that repeat a part of the same
    transcript count once. Where a transcript has a CDS and no exons, its CDS and UTRs are its
    exons. A CDS of a gene belongs to its only transcript; where a gene has no transcript, each CDS
    of it is one.

    A malformed line is an error. A transcript that cannot be used, for a reason of biology or of an
    annotator's habit, is skipped and counted in `tally.skipped`; changes to transcripts that are
    kept are counted in `tally.adjusted`. docs/FORMATS.md lists all reasons, and what each dialect
    means.

    Args:
        path: the file.
        strict: whether a transcript that would be skipped is an error.
        details: whether to read `preferences` and proteins' ids, which takes longer.

    Raises:
        InputError: a line without nine columns; coordinates that are no integers or not
            1 <= start <= end; a strand or phase that does not exist; a part that names no
            transcript or chromosome, or a GTF transcript no gene; GFF3 parents that form a cycle;
            a file without transcripts.
    """
    features: Counter[bytes] = Counter()
    blocks, read, unescape = _format(feature_blocks(path, features), path)
    drafts = read(blocks, path, details=details)
    if not drafts.transcripts:
        raise InputError(f"{path}: got no transcript, wanted GTF or GFF3 with exons")
    return _annotation(drafts, path, features, unescape, strict)


def _annotation(
    drafts: Drafts,
    path: str | os.PathLike,
    features: Counter[bytes],
    unescape: Callable[[bytes], bytes],
    strict: bool,
) -> Annotation:
    """Return the models of all drafts, which are used up."""
    texts = _Texts(path, unescape)
    tally, names = Tally(read=len(drafts.transcripts), strict=strict), set()
    models, gene_symbols, gene_names, preferences = [], {}, {}, {}
    for key, name in texts.ids(drafts.transcripts):
        draft = drafts.transcripts.pop(key)  # frees its memory
        texts.line = draft.line
        try:
            if name in names:
                raise SkipTranscript("transcript defined twice")
            names.add(name)
            models.append(model_fields(name, draft, texts, tally))
        except SkipTranscript as reason:
            tally.skip(str(reason), f"{path}:{draft.line}: transcript '{name}'")
            continue
        gene = draft.gene or b""
        if symbol := drafts.symbols.get(gene):
            gene_symbols[texts[gene]] = texts[symbol]
        if drafts.gene_names and (others := drafts.gene_names.pop(gene, None)):
            gene_names[texts[gene]] = tuple(map(texts.__getitem__, others))
        if drafts.preferences and (preferred := drafts.preferences.get(key)):
            preferences[name] = preferred
    return Annotation(
        path=Path(path),
        transcripts=Models(models),
        gene_symbols=gene_symbols,
        features=Counter({kind.decode("utf-8", "replace"): n for kind, n in features.items()}),
        tally=tally,
        gene_names=gene_names,
        preferences=preferences,
    )


def _format(
    blocks: Iterator[Block], path: str | os.PathLike
) -> tuple[Iterable[Block], Callable[..., Drafts], Callable[[bytes], bytes]]:
    """Return the blocks, the reader of their format, and what undoes its escapes.

    The first line whose attributes have a name tells the format. Lines before it may have none, or
    an id alone, as AUGUSTUS writes for genes and transcripts.
    """
    seen = []
    for block in blocks:
        seen.append(block)
        for number, kind, *_, attributes in feature_lines([block]):
            if _GFF3_ATTRIBUTES.match(attributes):
                return chain(seen, blocks), read_gff3, unquote_to_bytes
            if _GTF_ATTRIBUTES.match(attributes):
                return chain(seen, blocks), read_gtf, bytes
            nothing = attributes.strip() in (b"", b".")
            if kind in PARTS or not (nothing or bare_id(attributes)):
                raise InputError(
                    f"{path}:{number}: attributes: got '{shown(attributes.strip())}', "
                    """wanted 'key "value";' or 'key=value'"""
                )
    return (), read_gtf, bytes


class _Texts(dict[bytes, str]):
    """The names of a file as text; each is decoded once.

    Attributes:
        line: the number of the line that a name is from, for errors.
    """

    def __init__(self, path: str | os.PathLike, unescape: Callable[[bytes], bytes]):
        super().__init__()
        self.path, self.unescape, self.line = path, unescape, 0

    def __missing__(self, value: bytes) -> str:
        name = self[value] = self.decode(value)
        return name

    def decode(self, value: bytes) -> str:
        """Return the bytes of a name as text."""
        name = decode(self.unescape(value), self.path, self.line)
        if not name.isprintable() and _BREAK.search(name):
            raise InputError(
                f"{self.path}:{self.line}: got the name {name!r}, wanted one without line breaks"
            )
        return name

    def ids(self, transcripts: Mapping[bytes, Draft]) -> Iterator[tuple[bytes, str]]:
        """Yield the id of each transcript, in bytes and as text; plain ones are decoded at once."""
        keys = list(transcripts)
        joined = b"\n".join(keys)
        if joined.isascii() and b"%" not in joined:
            names = joined.decode().split("\n")
            if "".join(names).isprintable():
                yield from zip(keys, names, strict=True)
                return
        for key in keys:
            self.line = transcripts[key].line
            yield key, self.decode(key)
