"""Predict properties of transcripts by heads, with intervals and warnings."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data_builders.labels.base import REGRESSION
from data_builders.records import InputError, Transcript
from data_builders.storage import check_ending
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embedding_files import safe_table
from isoclr.evaluation.heads import Head, find_head, read_head, weights_digest
from isoclr.evaluation.readings import columns_for, encoder_of, read_also
from isoclr.pretrained import load_model
from isoclr.shipped import DEFAULT_MODEL
from modeling_isoclr import IsoCLRModel

_COLUMNS: dict[str, type[pl.DataType]] = dict.fromkeys(
    ("transcript_id", "gene_id", "species", "head", "output"), pl.String
)
_COLUMNS |= dict.fromkeys(("prediction", "lower", "upper"), pl.Float64) | {"warning": pl.String}


def predict(
    transcripts: Sequence[Transcript],
    heads: Sequence[str | os.PathLike],
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    level: float = 0.9,
    progress: bool = True,
) -> pl.DataFrame:
    """Predict properties of transcripts by heads, with intervals and warnings.

    Args:
        transcripts: n of them.
        heads: names of heads of the model, or folders.
        model: as `load_model` takes it.
        level: share of transcripts that the intervals are to cover, of `LEVELS`.
        progress: show a bar.

    Returns:
        A row for each head, transcript and output: transcript_id, gene_id, species, head, output
        (the label, or a class), prediction (a number, or the probability of the output), lower,
        upper (null for probabilities) and warning (null where there is none).

    Raises:
        InputError: no head or one twice, a head of another encoder, another level, or as
            `read_head`.
    """
    encoder, tokenizer = load_model(model)
    read = [read_head(find_head(head, model)) for head in heads]
    names = [head.name for head in read]
    if not read or len(set(names)) < len(names):
        raise InputError(f"heads: got {', '.join(names) or 'none'}, wanted some, each once")
    by_readings = {_key(head): head for head in read}
    digests = {key: weights_digest(encoder_of(head, encoder)) for key, head in by_readings.items()}
    for head in read:
        if head.encoder != digests[_key(head)]:
            raise InputError(
                f"head '{head.name}': got weights of {model}, wanted those of {head.model} that it "
                "was fitted on"
            )
    tables = {}
    for sharing in _sharing(read, encoder):
        readings = {name: value for head in sharing for name, value in head.readings.items()}
        reader = read_also(encoder, **readings)
        embeddings = embed_transcripts(reader, tokenizer, transcripts, progress=progress)
        for head in sharing:
            columns = columns_for(head, encoder.config, reader.config)
            of_head = embeddings.take(columns, axis=1)
            tables[head.name] = predict_embedded(head, of_head, transcripts, level)
    return pl.concat([tables[name] for name in names])


def _key(head: Head) -> tuple:
    """What its encoder reads for a head; the digest of its weights is the same for these."""
    return tuple(head.readings.items())


def _sharing(heads: Sequence[Head], encoder: IsoCLRModel) -> list[list[Head]]:
    """Heads for which the encoder runs once: those of one start window, and those of none."""
    found: dict[int, list[Head]] = {}
    # An encoder that has a window by itself would lose it to that of a head.
    widest = 0 if encoder.config.start_window else max(head.start_window for head in heads)
    for head in heads:
        found.setdefault(head.start_window or widest, []).append(head)
    return list(found.values())


def predict_embedded(
    head: Head, embeddings: np.ndarray, transcripts: Sequence[Transcript], level: float = 0.9
) -> pl.DataFrame:
    """Predict by one head from embeddings (n, width) of its encoder; see `predict`."""
    if np.shape(embeddings) != (len(transcripts), len(head.weights)):
        raise InputError(
            f"embeddings: got shape {np.shape(embeddings)}, wanted "
            f"({len(transcripts)}, {len(head.weights)})"
        )
    half_width = None
    if head.task == REGRESSION:
        if str(level) not in head.half_widths:
            raise InputError(
                f"level: got {level}, wanted one of {', '.join(head.half_widths)}, which "
                f"'{head.name}' has"
            )
        half_width = head.half_widths[str(level)]
    outputs, n = head.outputs, len(transcripts)
    predictions = head.values(embeddings).ravel()
    warnings = [warning or None for warning in head.warnings(embeddings, transcripts)]
    edges = [None if half_width is None else predictions + sign * half_width for sign in (-1, 1)]
    repeated = [transcript for transcript in transcripts for _ in outputs]
    return pl.DataFrame(
        {
            "transcript_id": [transcript.transcript_id for transcript in repeated],
            "gene_id": [transcript.gene_id for transcript in repeated],
            "species": [transcript.species for transcript in repeated],
            "head": [head.name] * len(repeated),
            "output": list(outputs) * n,
            "prediction": predictions,
            "lower": edges[0],
            "upper": edges[1],
            "warning": [warning for warning in warnings for _ in outputs],
        },
        schema=_COLUMNS,
    )


def write_table(table: pl.DataFrame, path: str | os.PathLike) -> None:
    """Write a table, such as that of `predict`, as Parquet or TSV by the ending of the name."""
    check_ending(path, ".parquet", ".tsv")
    partial = Path(f"{path}.partial")
    if Path(path).suffix == ".parquet":
        table.write_parquet(partial, compression="zstd")
    else:
        safe_table(table).write_csv(partial, separator="\t")
    partial.replace(path)
