"""GTF: every part names its transcript and its gene.

Lines come in blocks. Of a block without a flaw all lines are split at once (`features`), and parts
that follow each other and belong to one transcript make a run (`runs`). Only where the attributes
change are they parsed: a literal pattern first, the full grammar (`attributes`) where that fails.
"""

import os
import re
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from data_builders.annotation.attributes import bare_id, gtf_attributes, gtf_value, repeats
from data_builders.annotation.drafts import Draft, Drafts, add_part, add_run, missing
from data_builders.annotation.features import Block, Columns, Line, slices
from data_builders.annotation.runs import CDS, PART_KINDS, Runs
from data_builders.annotation.tags import preference_of
from data_builders.records import InputError
from data_builders.text import shown

_TRANSCRIPTS = frozenset({b"transcript", b"mRNA"})
_TRANSCRIPT = max(PART_KINDS.values()) + 1
_LINE_KINDS = PART_KINDS | dict.fromkeys(_TRANSCRIPTS, _TRANSCRIPT)

# Literal patterns of what writers mostly write. A `;` comes before each name and none is in the
# value, so that text inside another value cannot match.
_IDS = re.compile(rb'gene_id "([^\s";\\]+)"; (?:gene_version "\d+"; )?transcript_id "([^\s";\\]+)"')
_SYMBOL = re.compile(rb'; gene_name "([^";\\]+)"')
_BIOTYPE = re.compile(rb'; transcript_(?:bio)?type "([^";\\]+)"')
_GENE_NUMBER = re.compile(rb'; db_xref "GeneID:(\d+)"')
_PROTEIN = re.compile(rb'; protein_id "([^";\\]+)"')
_TAG = re.compile(rb'; tag "([^";\\]+)"')

_SYMBOLS = (b"gene_name", b"gene", b"gene_symbol")
_BIOTYPES = (b"transcript_biotype", b"transcript_type")
_IDS_OF_A_LINE = (b"transcript_id", b"gene_id")
_REPEATED = "line with a second transcript_id or gene_id: the first counts"
_SPLICING = re.compile(rb"-splicing")  # found several times as fast as letters before a hyphen
_UNREADABLE = rb'(?:^|[\s;])%s\s+"?([^";\r\n]*)'
_MOST_COMPARED = 96  # bytes; what names gene and transcript is mostly within them
_NO_HEAD = bytes(_MOST_COMPARED + 1)  # no attributes begin so; longer than what is compared
_BEFORE_NAME = np.zeros(256, bool)
_BEFORE_NAME[[*b"; \t\v\f\r"]] = True
_ID, _D = np.frombuffer(b"idd ", "<u2")  # how the two ids of a line may end at an even place
# What is two pairs of letters before that end -> from there back to the byte before the name.
_BACK = np.zeros(1 << 16, np.int8)
_BACK[np.frombuffer(b"enneippt", "<u2")] = 6, 7, 12, 13


_Names = tuple[bytes, bytes | None]
"""Ids of transcript and gene; no gene where a line has the transcript's id alone."""


def read_gtf(blocks: Iterable[Block], path: str | os.PathLike, *, details: bool = False) -> Drafts:
    """Read the lines of a GTF.

    Args:
        blocks: as `feature_blocks` yields them.
        path: the file, for errors.
        details: whether to read tags and protein ids too.

    Raises:
        InputError: a part, or a transcript line with attributes, that names no transcript or no
            gene. AUGUSTUS writes the id alone on gene and transcript lines; that is none.
    """
    reader = _Reader(path, details)
    for block in blocks:
        if isinstance(block, Columns):
            reader.add_columns(block)
        else:
            reader.add(*block)
    for key, draft in reader.drafts.transcripts.items():
        if draft.gene is None:  # only a bare id, so no part names it
            draft.gene = key
    return reader.drafts


class _Reader:
    def __init__(self, path: str | os.PathLike, details: bool):
        self.path, self.details = path, details
        self.drafts = Drafts()
        self.draft = Draft(0)  # that of the last line
        self.head = _NO_HEAD  # the beginning of attributes that can name no other transcript

    def add(self, line: Line) -> None:
        """Read one line."""
        number, kind, *_, attributes = line
        if kind not in _LINE_KINDS or (kind in _TRANSCRIPTS and _names_nothing(attributes)):
            return
        names = None
        # Lines of a transcript follow each other, and begin alike up to its name.
        if not attributes.startswith(self.head):
            names, self.head = _names(number, kind, attributes, self.path)
        is_definition = kind in _TRANSCRIPTS
        self._begin(names, is_definition, number, attributes)
        if repeats(attributes, _IDS_OF_A_LINE):
            self._note_repeated()
        if not is_definition:
            add_part(self.draft, line)
            if self.details and kind == b"CDS":
                self._add_protein(attributes)

    def add_columns(self, columns: Columns) -> None:
        """Read the lines of a block: as `add`, but all parts of a run at once."""
        block = columns.block
        kinds = np.array([_LINE_KINDS.get(name, 0) for name in columns.types])[columns.type_of]
        rows = self._with_names(columns, np.flatnonzero(kinds), kinds)
        if not len(rows):
            return
        names = self._changed_names(columns, rows)
        kinds = kinds[rows]
        definitions = set(rows[kinds == _TRANSCRIPT].tolist())
        repeated = _rows_that_repeat(columns, rows)
        changes = _changes(columns, rows)
        begins = sorted({int(rows[0]), *names, *definitions, *repeated, *changes})
        is_part = kinds != _TRANSCRIPT
        parts = rows[is_part]
        runs = Runs(
            np.append(np.searchsorted(parts, begins), len(parts)),
            kinds[is_part],
            columns.starts[parts],
            columns.ends[parts],
            columns.phases[parts],
        )
        strands = columns.strands
        regular = runs.regular(np.frombuffer(strands.encode(), np.uint8)[begins]).tolist()
        has_parts = (np.diff(runs.cuts) > 0).tolist()
        ats, ends = columns.attributes[begins].tolist(), columns.attribute_ends[begins].tolist()
        coding = self._first_coding_rows(runs, parts) if self.details else {}
        for run, (begin, at, end) in enumerate(zip(begins, ats, ends, strict=True)):
            number = columns.first + begin
            self._begin(names.get(begin), begin in definitions, number, block[at:end])
            if begin in repeated:
                self._note_repeated()
            if has_parts[run]:
                place = columns.chromosomes[begin], strands[begin]
                add_run(self.draft, *place, (runs, run), regular=regular[run])
            if run in coding:
                row = coding[run]
                self._add_protein(block[columns.attributes[row] : columns.attribute_ends[row]])

    def _with_names(self, columns: Columns, rows: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Return the rows without transcript lines that have no attributes."""
        definitions = rows[kinds[rows] == _TRANSCRIPT]
        lengths = columns.attribute_ends[definitions] - columns.attributes[definitions]
        empty = []
        for row in definitions[lengths <= 2].tolist():
            if _names_nothing(columns.block[columns.attributes[row] : columns.attribute_ends[row]]):
                empty.append(row)
        return np.setdiff1d(rows, empty) if empty else rows

    def _changed_names(self, columns: Columns, rows: np.ndarray) -> dict[int, _Names]:
        """Return the names of each row whose attributes begin unlike those of the row before."""
        block, ats = columns.block, columns.attributes[rows]
        head, changed = self.head, {}
        compared = min(-(-len(head) // 8) * 8, _MOST_COMPARED)
        others = np.flatnonzero(~_begin_alike(block, ats, compared)).tolist()
        ats = ats.tolist()
        for first, end in pairwise([*others, len(rows)]):
            for place in range(first, end):
                at = ats[place]
                if not block.startswith(head, at):
                    row = int(rows[place])
                    if found := _IDS.match(block, at):
                        head, gene, key = found.group(0, 1, 2)
                        changed[row] = key, gene
                    else:
                        attributes = block[at : block.index(b"\n", at)]
                        kind = block[block.rfind(b"\n", 0, at) + 1 : at].split(b"\t")[2]
                        changed[row], head = _names(
                            columns.first + row, kind, attributes, self.path
                        )
                if len(head) <= compared:
                    break  # the others begin alike
        self.head = head
        return changed

    def _first_coding_rows(self, runs: Runs, parts: np.ndarray) -> dict[int, int]:
        """Return run -> the row of its first piece of CDS."""
        coding = np.flatnonzero(runs.kinds == CDS)
        of_run = np.searchsorted(runs.cuts, coding, "right") - 1
        found, first = np.unique(of_run, return_index=True)
        return dict(zip(found.tolist(), parts[coding[first]].tolist(), strict=True))

    def _begin(
        self, names: _Names | None, is_definition: bool, number: int, attributes: bytes
    ) -> None:
        """Read a line but for its part; without names it goes on with the last transcript."""
        is_new = False
        if names:
            key, gene = names
            draft = self.drafts.transcripts.get(key)
            if draft is None:
                draft = self.drafts.transcripts[key] = Draft(number)
            if gene is not None and draft.gene is None:
                is_new = True
                draft.gene = gene
                draft.biotype = _first(_BIOTYPE, _BIOTYPES, attributes)
                if gene not in self.drafts.symbols:
                    self._add_gene(gene, attributes)
            elif gene is not None and draft.gene != gene:
                draft.skip_reason = draft.skip_reason or "parts of two genes"
            self.draft = draft
            if self.details:
                self._add_tags(key, attributes)
        self.draft.definitions += is_definition
        if (is_new or is_definition) and _is_trans_spliced(attributes):
            self.draft.skip_reason = "trans-splicing"

    def _note_repeated(self) -> None:
        """Count the transcript of the last line, once."""
        if _REPEATED not in self.draft.changes:
            self.draft.changes += (_REPEATED,)

    def _add_gene(self, gene: bytes, attributes: bytes) -> None:
        if symbol := _first(_SYMBOL, _SYMBOLS, attributes):
            self.drafts.symbols[gene] = symbol
        if number := _GENE_NUMBER.search(attributes):
            self.drafts.gene_names.setdefault(gene, {})[number[1]] = None

    def _add_protein(self, attributes: bytes) -> None:
        found = _first(_PROTEIN, (b"protein_id",), attributes)
        if found and self.draft.gene is not None:
            self.drafts.gene_names.setdefault(self.draft.gene, {})[found] = None

    def _add_tags(self, key: bytes, attributes: bytes) -> None:
        for tags in _TAG.findall(attributes):
            for tag in tags.split(b","):
                if preference := preference_of(tag):
                    self.drafts.preferences.setdefault(key, set()).add(preference)


def _names_nothing(attributes: bytes) -> bool:
    return attributes.strip() in (b"", b".")


def _begin_alike(block: bytes, places: np.ndarray, compared: int) -> np.ndarray:
    """Return whether some bytes, eight or a multiple, are those at the previous place too."""
    alike = np.zeros(len(places), bool)
    if len(block) >= compared:
        stretches = np.ndarray(len(block) - compared + 1, f"V{compared}", block, strides=(1,))
        whole = places[: np.searchsorted(places, len(stretches))]
        words = stretches[whole].view("<u8").reshape(-1, compared // 8)
        alike[1 : len(whole)] = (words[1:] == words[:-1]).all(1)
    return alike


def _rows_that_repeat(columns: Columns, rows: np.ndarray) -> set[int]:
    """Return those of some rows that have an id twice, with other values.

    Every row has both ids, so that only those with a third are looked at.
    """
    block, line_ends = columns.block, columns.attribute_ends
    pairs = np.frombuffer(block, "<u2", len(block) // 2)
    ends_id = pairs == _ID
    ends_id |= pairs == _D
    ids = np.flatnonzero(ends_id)
    ids = ids[_BACK[pairs[ids - 2]] > 0]

    def with_three(ids: np.ndarray) -> np.ndarray:
        return rows[np.diff(np.searchsorted(ids, line_ends // 2), prepend=0)[rows] > 2]

    found = with_three(ids)
    if len(found):  # perhaps by the end of another name, such as ref_gene_id
        before = 2 * ids - _BACK[pairs[ids - 2]]
        found = with_three(ids[_BEFORE_NAME[np.frombuffer(block, np.uint8)[before]]])
    texts = slices(block, columns.attributes[found], line_ends[found])
    return {
        row
        for row, text in zip(found.tolist(), texts, strict=True)
        if repeats(text, _IDS_OF_A_LINE)
    }


def _changes(columns: Columns, rows: np.ndarray) -> list[int]:
    """Return the rows on another chromosome or strand than the row before."""
    names, strands = columns.chromosomes, np.frombuffer(columns.strands.encode(), np.uint8)[rows]
    changed = strands[1:] != strands[:-1]
    if names.count(names[0]) < len(names):
        changed |= np.fromiter((names[a] != names[b] for a, b in pairwise(rows.tolist())), bool)
    return rows[1:][changed].tolist()


def _names(number: int, kind: bytes, attributes: bytes, path) -> tuple[_Names, bytes]:
    """Return what a line names, and the beginning of attributes that name the same."""
    if kind in _TRANSCRIPTS and (only := bare_id(attributes)):
        return (only, None), _NO_HEAD
    found = gtf_attributes(attributes)
    key, key_end = _required(b"transcript_id", found, number, kind, attributes, path)
    gene, gene_end = _required(b"gene_id", found, number, kind, attributes, path)
    end = max(key_end, gene_end)
    closed = end < len(attributes) or attributes.endswith(b'"')
    return (key, gene), attributes[: end + 1] if closed else _NO_HEAD


def _required(name: bytes, found, number: int, kind: bytes, attributes: bytes, path):
    """Return the value of an attribute, and where it ends."""
    value, end = found.get(name, (b"", 0))
    if value:
        return value, end
    written = re.search(_UNREADABLE % name, attributes)
    if name in found or not written or not written[1].strip():
        missing(name.decode(), kind, path, number)
    raise InputError(
        f"{path}:{number}: {name.decode()}: got '{shown(written[0].strip(b'; '))}', "
        f"wanted '{name.decode()} \"name\";'"
    )


def _first(pattern: re.Pattern, names: tuple[bytes, ...], attributes: bytes) -> bytes | None:
    """Return the value of the first of some attributes that a line has."""
    if found := pattern.search(attributes):
        return found[1].strip()
    if not any(name + b" " in attributes for name in names):
        return None
    values = gtf_attributes(attributes)
    return next((values[name][0] for name in names if values.get(name, (b"",))[0]), None)


def _is_trans_spliced(attributes: bytes) -> bool:
    """Return whether the annotators say so: the order of exons need not be that of the genome."""
    if not _SPLICING.search(attributes):
        return False
    return b"trans-splicing" in (gtf_value(b"exception", attributes) or b"")
