"""What the heads of a model predict of the transcripts of a report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_builders.names import taxon
from data_builders.records import InputError, Transcript
from isoclr.evaluation.heads import Head, number_heads
from isoclr.evaluation.predict import predict_embedded
from isoclr.evaluation.scores import METRIC_NAMES
from isoclr.statistics import plus_minus

_LEVEL = 0.9


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A number that a head predicts of every transcript.

    Attributes:
        name: of the head.
        values: (n,), in units of the label.
        low: lower ends of intervals, (n,).
        high: upper ends, (n,).
        coverage: share of true values that the intervals are to hold.
        note: what it predicts, what it was fitted to, and how good it is.
        warnings: of each transcript, in what it is unlike those of training; empty: in nothing.
    """

    name: str
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    coverage: float
    note: str
    warnings: Sequence[str]


def choose_heads(
    model: str | os.PathLike, transcripts: Sequence[Transcript], names: Sequence[str] = ()
) -> list[Head]:
    """Return the heads that a report shows: those named, else those fitted to its species.

    Where the model has heads and none was fitted to a species of the transcripts, the first stands
    for them; its predictions come with a warning.

    Args:
        model: whose heads they are.
        transcripts: of the report.
        names: of heads; empty: to choose.

    Raises:
        InputError: a name that the model has no head of, or one that predicts no number.
    """
    known = number_heads(model)
    heads = list(known.values())
    for name in names:
        if name not in known:
            listed = ", ".join(head.name for head in heads) or "none: the model has no such head"
            raise InputError(f"head: got {name!r}, wanted one of {listed}")
    if names:
        return [known[name] for name in names]
    species = {taxon(transcript.species) for transcript in transcripts}
    fitted = [head for head in heads if species & set(map(taxon, head.training.species))]
    return fitted or heads[:1]


def predictions_of(
    heads: Sequence[Head], embeddings: np.ndarray, transcripts: Sequence[Transcript]
) -> list[Prediction]:
    """Return what heads predict, each with its interval of 90 % of transcripts.

    Args:
        heads: that predict a number.
        embeddings: (n, width), of the model of the heads.
        transcripts: n of them.
    """
    return [_prediction(head, embeddings, transcripts) for head in heads]


def _prediction(head: Head, embeddings: np.ndarray, transcripts) -> Prediction:
    table = predict_embedded(head, embeddings, transcripts, _LEVEL)
    training = f"{head.training.rows:,} transcripts of {', '.join(head.training.species)}"
    metric, held_out = next(iter(head.held_out.items()), (None, None))
    quality = (
        ""
        if metric is None or held_out is None
        else f" {METRIC_NAMES[metric]} on held-out groups: {plus_minus(*held_out)}."
    )
    source = f" {head.citation}." if head.citation else ""
    return Prediction(
        name=head.name,
        values=table["prediction"].to_numpy(),
        low=table["lower"].to_numpy(),
        high=table["upper"].to_numpy(),
        coverage=_LEVEL,
        note=f"{head.predicts or head.label}; fitted to {training}.{quality}{source}",
        warnings=[warning or "" for warning in table["warning"]],
    )
