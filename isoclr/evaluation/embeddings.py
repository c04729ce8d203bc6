"""Embeddings of named models for an evaluation: ours, any AutoModel's, or a file of vectors."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from data_builders.labels.label_set import numbers
from data_builders.records import InputError, Transcript
from data_builders.tables import names_of_columns, read_table
from isoclr.evaluation.embed import embed_transcripts
from isoclr.pretrained import load_model
from isoclr.progress import progress as progress_bar
from isoclr.repositories import check_source

_VECTOR_COLUMNS = ("embedding", "vector")
_NAMES = {"transcript_id", "id", "gene_id", "gene", "gene_symbol", "species"}


def model_names(models: Sequence[str | os.PathLike]) -> dict[str, str | os.PathLike]:
    """Name models by the last part of where they are, or by all of it where that says too little.

    Raises:
        InputError: no model, or one twice.
    """
    if not models:
        raise InputError("got no model, wanted at least one")
    short = [Path(os.path.abspath(model)).name for model in models]
    names = short if len(set(short)) == len(short) else list(map(str, models))
    named = dict(zip(names, models, strict=True))
    if len(named) < len(models):
        raise InputError(f"got a model twice among {', '.join(names)}, wanted others")
    return named


def embed_with(model: str | os.PathLike, transcripts: Sequence[Transcript]) -> np.ndarray:
    """Embed by a model of ours, or by any other that AutoModel loads: float32 (n, width)."""
    if is_ours(model):
        return embed_transcripts(*load_model(model), transcripts)
    return embed_with_auto_model(model, transcripts)


def is_ours(model: str | os.PathLike) -> bool:
    """Tell whether a model is of the IsoCLR family; without a configuration: an InputError."""
    check_source(model, "a model", "config.json")
    try:
        return AutoConfig.from_pretrained(model).model_type == "isoclr"
    except (OSError, ValueError) as error:
        raise InputError(_without_code(model, error)) from error


@torch.inference_mode()
def embed_with_auto_model(
    model: str | os.PathLike, transcripts: Sequence[Transcript], progress: bool = True
) -> np.ndarray:
    """Embed by an encoder of transformers: float32 (n, width), the mean of its last states.

    The tokenizer gets the spliced sequence alone, with U in the place of T where its vocabulary has
    U and no T. A sequence longer than the tokenizer's limit goes in windows of that length, whose
    states count by the number of their tokens; special tokens do not count. Other conventions, such
    as k-mers between blanks, need embeddings made elsewhere: see `read_embeddings`. A model that
    does not load, and a sequence of unknown tokens alone, are an InputError.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        encoder = AutoModel.from_pretrained(model).eval()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(_without_code(model, error)) from error
    encoder.to("cuda" if torch.cuda.is_available() else "cpu")
    vocabulary = tokenizer.get_vocab()
    letters = str.maketrans("T", "U") if "U" in vocabulary and "T" not in vocabulary else {}
    found = []
    bar = progress_bar(transcripts, "embedding", unit="transcript", show=progress)
    for transcript in bar:
        sequence = transcript.sequence.translate(letters)
        ids, marked = (
            tokenizer(sequence, add_special_tokens=marks, verbose=False)["input_ids"]
            for marks in (False, True)
        )
        before = next((i for i in range(len(marked)) if marked[i : i + len(ids)] == ids), None)
        if before is None or set(ids) <= {tokenizer.unk_token_id}:
            raise InputError(
                f"{model}: transcript '{transcript.transcript_id}': got no known token of its "
                "sequence, wanted some: make embeddings elsewhere and give them as a file"
            )
        around = marked[:before], marked[before + len(ids) :]
        found.append(_mean_state(encoder, ids, around, tokenizer.model_max_length))
    return np.array(found, np.float32)


def _mean_state(encoder, ids: list[int], around: tuple[list, list], limit: int) -> np.ndarray:
    """The mean last state over tokens, window by window between special ones: (width,)."""
    first, last = around
    positions = getattr(encoder.config, "max_position_embeddings", None) or limit
    window = max(min(limit, positions) - len(first) - len(last), 1)
    total = np.zeros(())
    for start in range(0, len(ids), window):
        part = ids[start : start + window]
        inputs = torch.tensor([[*first, *part, *last]], device=encoder.device)
        states = encoder(input_ids=inputs).last_hidden_state[0].double().cpu().numpy()
        total = total + states[len(first) : len(first) + len(part)].sum(axis=0)
    return total / len(ids)


def _without_code(model, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0]
    return f"{model}: {reason}: wanted a model whose code transformers has, or its embeddings"


def read_embeddings(path: str | os.PathLike, transcripts: Sequence[Transcript]) -> np.ndarray:
    """Read the embedding of each transcript from a file, float64 (n, width).

    The table, see `read_table`, has a column transcript_id or id, once each, and either a column
    embedding or vector of lists, as `isoclr embed` writes, or any number of columns of numbers.
    Rows of other transcripts are passed over. A transcript without a row or with two, and lists of
    unlike lengths, are an InputError.
    """
    table = read_table(path)
    name = next((name for name in ("transcript_id", "id") if name in table.columns), None)
    if name is None:
        raise InputError(
            f"{path}: got the columns {names_of_columns(table)}, wanted transcript_id or id"
        )
    place = {identifier: row for row, identifier in enumerate(table[name].cast(pl.String))}
    if len(place) < len(table):
        raise InputError(f"{path}: {name}: got an id twice in {len(table)} rows, wanted each once")
    missing = [t.transcript_id for t in transcripts if t.transcript_id not in place]
    if missing:
        raise InputError(
            f"{path}: got no row for {len(missing)} of {len(transcripts)} transcripts, wanted one "
            f"for each: the first is '{missing[0]}'"
        )
    matrix = _vectors(table, path)
    return matrix[[place[t.transcript_id] for t in transcripts]]


def _vectors(table: pl.DataFrame, path) -> np.ndarray:
    column = next((name for name in _VECTOR_COLUMNS if name in table.columns), None)
    if column is None:
        rest = table.select(pl.exclude(_NAMES))
        if not rest.width:
            raise InputError(
                f"{path}: got the columns {names_of_columns(table)}, wanted "
                f"{' or '.join(_VECTOR_COLUMNS)}, or columns of numbers"
            )
        columns = [numbers(rest, name, path) for name in rest.columns]
        return np.array(columns, np.float64).T  # a gap is NaN, which the probe refuses
    try:
        matrix = np.array(table[column].to_list(), np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2:
        raise InputError(f"{path}: {column}: got unlike lists, wanted as many numbers in each")
    return matrix


def features_of(
    models: Mapping[str, str | os.PathLike],
    embeddings: Mapping[str, str | os.PathLike],
    transcripts: Sequence[Transcript],
) -> dict[str, np.ndarray]:
    """Return the embeddings of models by `embed_with`, then those of files, by name."""
    for name in models.keys() & embeddings.keys():
        raise InputError(f"{embeddings[name]}: got '{name}', a model's name, wanted another")
    # Files first: a fault in one should not wait for the encoders.
    read = {name: read_embeddings(path, transcripts) for name, path in embeddings.items()}
    return {name: embed_with(model, transcripts) for name, model in models.items()} | read
