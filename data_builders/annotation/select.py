"""Choose transcripts of an annotation: by their ids, or one a gene by a rule."""

import math
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from data_builders.annotation.assembly import splice_coordinates
from data_builders.annotation.models import Annotation, TranscriptModel
from data_builders.annotation.reader import read_annotation
from data_builders.annotation.tags import (
    LONGEST,
    SELECTIONS,
    best_preference,
    order_of_choice,
)
from data_builders.annotation.writers import format_of, write_annotation
from data_builders.counts import counted
from data_builders.names import without_version
from data_builders.records import InputError
from data_builders.tables import is_parquet, names_of_columns, read_table
from data_builders.text import Tally, decode, numbered_lines

ID_COLUMN = "transcript_id"
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which transcripts were chosen.

    Attributes:
        transcripts: in the order of the annotation.
        read: how many the annotation has.
        symbols: gene_id -> symbol, of those that have one.
        reasons: by what a transcript was chosen of its gene -> genes; empty without a rule.
        unknown: ids that were asked for and are not in the annotation, in order.
        unversioned: ids that were found without regard to versions.
        tally: of the annotation's reader.
    """

    transcripts: tuple[TranscriptModel, ...]
    read: int
    symbols: dict[str, str]
    reasons: Counter[str] = field(default_factory=Counter)
    unknown: tuple[str, ...] = ()
    unversioned: int = 0
    tally: Tally = field(default_factory=Tally)

    @property
    def genes(self) -> int:
        """The number of their genes."""
        return len({model.gene_id for model in self.transcripts})

    def lines(self) -> list[str]:
        """Return what was chosen, in lines for reading."""
        read, genes = counted(self.read, "transcript"), counted(self.genes, "gene")
        said = [f"{len(self.transcripts):,} of {read}, of {genes}"]
        said += [f"  selected {n}: {reason}" for reason, n in self.reasons.items()]
        if self.unversioned:
            said.append(f"  found {self.unversioned} without regard to versions")
        if self.unknown:
            shown = ", ".join(self.unknown[:_SHOWN])
            said.append(f"  not in the annotation {len(self.unknown)}: such as {shown}")
        return said


def select_transcripts(
    path: str | os.PathLike,
    output: str | os.PathLike,
    *,
    ids: Sequence[str] | None = None,
    rule: str | None = None,
    strict: bool = False,
) -> Selection:
    """Write the transcripts of an annotation that are chosen as GTF or BED12.

    Args:
        path: annotation of any format that `read_annotation` reads.
        output: file to write; its ending says the format, see `write_annotation`.
        ids: of the transcripts; None: all. Versions of Ensembl and RefSeq ids count only where
            a name with its version is there.
        rule: keep one of these transcripts a gene, see `chosen_of_genes`; None: all of them.
        strict: a transcript that would be skipped, or an id that is not there, is an error.

    Raises:
        InputError: an unknown rule or ending; none of the ids is in the annotation; no transcript
            has a tag that the rule goes by; or as `read_annotation` and `write_annotation`.
    """
    format_of(output)  # before a long reading
    if rule is not None and rule not in SELECTIONS:
        raise InputError(f"select: got '{rule}', wanted one of {', '.join(SELECTIONS)}")
    annotation = read_annotation(path, strict=strict, details=rule not in (None, "longest"))
    models = list(annotation.transcripts)
    unknown, unversioned = (), 0
    if ids is not None:
        models, unknown, unversioned = _with_ids(models, ids, path)
        if unknown and strict:
            raise InputError(f"{path}: got no transcript '{unknown[0]}', wanted all of the ids")
    reasons: Counter[str] = Counter()
    if rule is not None:
        models, reasons = chosen_of_genes(models, annotation, rule)
    symbols = dict(annotation.gene_symbols)
    write_annotation(output, models, symbols)
    return Selection(
        transcripts=tuple(models),
        read=len(annotation.transcripts),
        symbols=symbols,
        reasons=reasons,
        unknown=unknown,
        unversioned=unversioned,
        tally=annotation.tally,
    )


def chosen_of_genes(
    models: Iterable[TranscriptModel], annotation: Annotation, rule: str
) -> tuple[list[TranscriptModel], Counter[str]]:
    """Choose one transcript of each gene, as `isoclr build --select` does.

    The best tag decides, then the longest CDS, the longest transcript and the first name.

    Args:
        models: to choose from, some of the annotation's.
        annotation: has the tags; read with details unless the rule is "longest".
        rule: one of `SELECTIONS`.

    Returns:
        The chosen ones, in order, and by what they were chosen -> genes.

    Raises:
        InputError: no transcript has a tag that the rule goes by.
    """
    best: dict[str, tuple] = {}
    for place, model in enumerate(models):
        tags: Collection[str] = annotation.preferences.get(model.transcript_id, ())
        rank, reason = best_preference(tags, rule) or (math.inf, LONGEST)
        start, end, _ = splice_coordinates(model)
        length = sum(last - first for first, last in model.exons)
        order = order_of_choice(rank, end - start, length, model.transcript_id)
        candidate = (*order, place, reason, model)
        best[model.gene_id] = min(candidate, best.get(model.gene_id, candidate))
    reasons = Counter(reason for *_, reason, _ in best.values())
    if rule != "longest" and best and set(reasons) == {LONGEST}:
        raise InputError(
            f"{annotation.path}: select {rule}: got no transcript with such a tag, wanted "
            "annotation that has them (GENCODE, Ensembl, RefSeq), or select longest"
        )
    chosen = sorted(best.values(), key=lambda candidate: candidate[-3])
    return [model for *_, model in chosen], reasons


def _with_ids(
    models: Sequence[TranscriptModel], ids: Sequence[str], path: str | os.PathLike
) -> tuple[list[TranscriptModel], tuple[str, ...], int]:
    """The transcripts of some ids, the ids that none has, and how many are found unversioned."""
    known = {model.transcript_id for model in models}
    plain: dict[str, list[str]] = {}
    for name in known:
        plain.setdefault(without_version(name), []).append(name)
    wanted, unknown, unversioned = set(), [], 0
    for name in dict.fromkeys(ids):
        if name in known:
            wanted.add(name)
        elif alike := plain.get(without_version(name)):
            wanted.update(alike)
            unversioned += 1
        else:
            unknown.append(name)
    if not wanted:
        shown = ", ".join(list(dict.fromkeys(ids))[:_SHOWN]) or "none"
        there = ", ".join(model.transcript_id for model in models[:_SHOWN])
        raise InputError(f"{path}: got no transcript of the ids {shown}, wanted such as {there}")
    found = [model for model in models if model.transcript_id in wanted]
    return found, tuple(unknown), unversioned


def read_ids(path: str | os.PathLike, column: str | None = None) -> list[str]:
    """Read ids of transcripts: one a line, or a column of a table.

    Args:
        path: Parquet, TSV or CSV with the column, such as `isoclr neighbours` writes; or text of
            an id a line, where blank lines and those that begin with # are passed over.
        column: of the table; None: transcript_id, if the file is a table.

    Raises:
        InputError: no such column, a line with several words, or no id at all.
    """
    if column is None and not is_parquet(path) and ID_COLUMN not in _first_fields(path):
        found = _listed_ids(path)
    else:
        table = read_table(path)
        name = column or ID_COLUMN
        if name not in table.columns:
            raise InputError(f"{path}: got {names_of_columns(table)}, wanted a column '{name}'")
        found = [str(value).strip() for value in table[name].drop_nulls()]
    found = [name for name in found if name]
    if not found:
        raise InputError(f"{path}: got no id of a transcript, wanted some")
    return found


def _first_fields(path: str | os.PathLike) -> list[str]:
    for number, line in numbered_lines(path):
        text = decode(line, path, number).strip()
        return text.split("\t" if "\t" in text else ",")
    return []


def _listed_ids(path: str | os.PathLike) -> list[str]:
    found = []
    for number, line in numbered_lines(path):
        text = decode(line, path, number).strip()
        if text and not text.startswith("#"):
            if len(text.split()) > 1 or "," in text:
                raise InputError(
                    f"{path}:{number}: got '{text[:60]}', wanted one id a line, or a table with "
                    f"a column {ID_COLUMN}"
                )
            found.append(text)
    return found
