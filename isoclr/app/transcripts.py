"""What the page says of transcripts: predictions, neighbours, mutations, attributions."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from data_builders.homology.alphabets import translate
from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.explain import Explanation, Score, explain, ready_score
from isoclr.evaluation.figures_explain import strongest
from isoclr.evaluation.heads import (
    Head,
    number_heads,
    weights_digest,
)
from isoclr.evaluation.predict import predict_embedded
from isoclr.evaluation.search import SearchAxes, read_search_axes, search_words
from isoclr.pretrained import load_model
from isoclr.shipped import DEFAULT_MODEL
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer

BASES = "ACGT"
LEVEL = 0.9
"""Share of transcripts that the intervals of the page are to cover."""

_WINDOW = 60  # positions that an attribution mutates: as many as its figure shows up close
_TOKENS = 1 << 15  # that go through the encoder at once


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A model that answers.

    Attributes:
        name: of the model.
        encoder: in evaluation mode.
        tokenizer: of the encoder.
        heads: name -> head that was fitted on the encoder.
        axes: in which neighbours are looked for; None: plain embeddings are compared.
    """

    name: str
    encoder: IsoCLRModel
    tokenizer: IsoCLRTokenizer
    heads: dict[str, Head]
    axes: SearchAxes | None = None

    def embed(self, transcripts: Sequence[Transcript]) -> np.ndarray:
        """Return embeddings, float32 (n, width)."""
        return embed_transcripts(
            self.encoder, self.tokenizer, transcripts, tokens_per_batch=_TOKENS, progress=False
        )

    def head(self, name: str | None) -> Head | None:
        """Return a head by its name; None where the model has none.

        Raises:
            InputError: a name that is not one of them.
        """
        if not self.heads:
            return None
        if name not in self.heads:
            raise InputError(f"head: got {name!r}, wanted one of {', '.join(self.heads)}")
        return self.heads[name]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Transcripts and their embeddings; equal to itself alone, as a page's state must be.

    Attributes:
        transcripts: n of them.
        embeddings: float32 (n, width).
        compared: by what neighbours are found, (n, size): words along the model's axes of search,
            or the embeddings where it has none.
    """

    transcripts: Sequence[Transcript]
    embeddings: np.ndarray
    compared: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """What one substitution changes.

    Attributes:
        position: 0-based.
        old: base that was there.
        new: base in its place.
        region: 5'UTR, CDS or 3'UTR; empty without a CDS.
        codon: what becomes of its codon, such as "CTG (L) to CCG (P)"; empty outside the CDS.
        before: prediction of the transcript as it is; None without a head.
        after: prediction of the mutant.
        distance: between the two embeddings, 1 - cosine.
        typical: median of the same between the transcript and the others; None for a single one.
    """

    position: int
    old: str
    new: str
    region: str
    codon: str
    before: float | None
    after: float | None
    distance: float
    typical: float | None

    def lines(self, predicts: str) -> list[str]:
        """Say it for reading; `predicts` is what the head predicts."""
        place = f"position {self.position}: {self.old} to {self.new}"
        if self.region:
            place += f", {self.region}"
        lines = [f"{place}; codon {self.codon}" if self.codon else place]
        if self.before is not None and self.after is not None:
            lines.append(
                f"{predicts}: {self.before:.4g} before, {self.after:.4g} after, "
                f"change {self.after - self.before:+.3g}"
            )
        moved = f"the embedding moves by {self.distance:.3g} (1 - cosine)"
        if self.typical is not None:
            moved += f"; the other transcripts lie at {self.typical:.3g} (median)"
        return [*lines, moved]


def load_engine(model: str | os.PathLike = DEFAULT_MODEL) -> Engine:
    """Load an encoder and its heads that predict a number.

    Args:
        model: as `load_model` takes it.

    Raises:
        InputError: as `load_model`; search axes that are damaged, or a head that is, or is of
            another encoder.
    """
    encoder, tokenizer = load_model(model)
    heads = number_heads(model)
    digest = weights_digest(encoder) if heads else ""
    for name, head in heads.items():
        if head.encoder != digest:
            raise InputError(f"head '{name}': got one of another encoder, wanted one of {model}")
    name = os.path.basename(os.path.normpath(model))
    axes = read_search_axes(model)
    return Engine(name=name, encoder=encoder, tokenizer=tokenizer, heads=heads, axes=axes)


def study(engine: Engine, transcripts: Sequence[Transcript]) -> Study:
    """Embed transcripts.

    Raises:
        InputError: on a transcript that the tokenizer refuses.
    """
    compared = embeddings = engine.embed(transcripts)
    if engine.axes is not None:
        compared = engine.axes.vectors(search_words(transcripts, progress=False))
    return Study(transcripts=tuple(transcripts), embeddings=embeddings, compared=compared)


def table_of(engine: Engine, found: Study, head: str | None) -> tuple[list[str], list[list]]:
    """Return the columns and rows of a table: what each transcript is, and what is predicted of it.

    Args:
        engine: of the study.
        found: the study.
        head: name of a head; without any, nothing is predicted.

    Raises:
        InputError: another head.
    """
    columns = ["transcript", "gene", "nt", "CDS", "exons"]
    rows: list[list] = [_described(transcript) for transcript in found.transcripts]
    used = engine.head(head)
    if used is None:
        return columns, rows
    table = predict_embedded(used, found.embeddings, found.transcripts, LEVEL)
    shown = len(used.outputs)
    columns += list(used.outputs)
    if shown == 1:
        columns.append(f"{LEVEL:.0%} interval")
    for number, row in enumerate(rows):
        part = table.slice(number * shown, shown)
        row += [f"{value:.3g}" for value in part["prediction"]]
        if shown == 1:
            low, high = part["lower"][0], part["upper"][0]
            row.append("" if low is None else f"{low:.3g} to {high:.3g}")
    return columns, rows


def warnings_of(engine: Engine, found: Study, head: str | None) -> list[str]:
    """Return a line for each transcript that is unlike those that a head was fitted to.

    Raises:
        InputError: another head.
    """
    used = engine.head(head)
    if used is None:
        return []
    warnings = used.warnings(found.embeddings, found.transcripts)
    return [
        f"{transcript.transcript_id}: {warning}"
        for transcript, warning in zip(found.transcripts, warnings, strict=True)
        if warning
    ]


def _described(transcript: Transcript) -> list:
    start, end, junctions = transcript.cds_start, transcript.cds_end, transcript.exon_junctions
    return [
        transcript.transcript_id,
        transcript.gene_id,
        len(transcript.sequence),
        f"{start}-{end}" if start >= 0 else "none",
        "unknown" if junctions is None else len(junctions) + 1,
    ]


def nearest(found: Study, row: int, most: int = 10) -> list[list]:
    """Return the other transcripts nearest to one: id, gene, cosine, as `isoclr neighbours`.

    Args:
        found: the study.
        row: of the one.
        most: how many.
    """
    similar = _cosines(found.compared, row)
    similar[row] = -np.inf
    order = np.argsort(-similar, kind="stable")[: min(most, len(similar) - 1)]
    named = [(found.transcripts[other], similar[other]) for other in order]
    return [[other.transcript_id, other.gene_id, f"{cosine:.4f}"] for other, cosine in named]


def _cosines(embeddings: np.ndarray, row: int) -> np.ndarray:
    values = np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(values, axis=1)
    return values @ values[row] / np.maximum(norms * norms[row], np.finfo(float).tiny)


def mutate_base(
    engine: Engine, found: Study, row: int, position: int, base: str, head: str | None
) -> Mutation:
    """Replace one base in silico; the marks of codons and exons stay where they are.

    Args:
        engine: of the study.
        found: the study.
        row: of the transcript.
        position: 0-based.
        base: one of A C G T; U is T.
        head: name of a head; of one with several outputs the first counts.

    Raises:
        InputError: another head, a position outside the transcript, or another letter.
    """
    used, transcript = engine.head(head), found.transcripts[row]
    length = len(transcript.sequence)
    if not 0 <= position < length:
        raise InputError(f"position: got {position}, wanted 0 to {length - 1}")
    new = base.strip().upper().replace("U", "T")
    old = transcript.sequence[position]
    if new not in BASES or len(new) != 1 or new == old:
        wanted = ", ".join(letter for letter in BASES if letter != old)
        raise InputError(f"base at {position}: got '{base}', wanted one of {wanted}")
    sequence = transcript.sequence[:position] + new + transcript.sequence[position + 1 :]
    # Both in one batch, so that all that differs is the base.
    pair = engine.embed([transcript, replace(transcript, sequence=sequence)])
    values = [None, None] if used is None else used.values(pair)[:, 0].tolist()
    others = np.delete(1 - _cosines(found.embeddings, row), row)
    return Mutation(
        position=position,
        old=old,
        new=new,
        region=_region(transcript, position),
        codon=_codon(transcript, sequence, position),
        before=values[0],
        after=values[1],
        distance=max(float(1 - _cosines(pair, 0)[1]), 0.0),
        typical=float(np.median(others)) if len(others) else None,
    )


def _region(transcript: Transcript, position: int) -> str:
    if transcript.cds_start < 0:
        return ""
    if position < transcript.cds_start:
        return "5'UTR"
    return "CDS" if position < transcript.cds_end else "3'UTR"


def _codon(transcript: Transcript, mutant: str, position: int) -> str:
    """What becomes of the codon of a position, empty where it is in none."""
    if _region(transcript, position) != "CDS":
        return ""
    start = position - (position - transcript.cds_start) % 3
    codons = [sequence[start : start + 3] for sequence in (transcript.sequence, mutant)]
    if start + 3 > transcript.cds_end:
        return ""
    return " to ".join(f"{codon} ({translate(codon)})" for codon in codons)


def attribute(engine: Engine, transcript: Transcript, head: str | None) -> Explanation:
    """Explain a prediction: gradients everywhere, mutations where the gradients are largest.

    Args:
        engine: with heads.
        transcript: to explain.
        head: name of a head; of one with several outputs the first counts.

    Raises:
        InputError: a model without heads, another head, or a transcript that the tokenizer refuses.
    """
    used = engine.head(head)
    if used is None:
        raise InputError(
            f"{engine.name}: got a model without a head, wanted a prediction to explain"
        )
    score = score_of(engine, used)
    about = partial(explain, score, engine.tokenizer, transcript, tokens_per_batch=_TOKENS)
    gradients = about(window=(0, 1), progress=False).contributions["by gradient"]
    return about(window=strongest(gradients, _WINDOW), progress=False)


def score_of(engine: Engine, head: Head) -> Score:
    """Return the first output of a head as a score to explain."""
    return ready_score(engine.encoder, head, head.outputs[0] if len(head.outputs) > 1 else None)
