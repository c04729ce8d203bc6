"""Transcripts to embeddings, and embeddings to a file."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from data_builders.records import InputError, Transcript
from isoclr.hub import check_source
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer


def load_model(model: str | os.PathLike) -> tuple[IsoCLRModel, IsoCLRTokenizer]:
    """The encoder, for inference and on the GPU if there is one, and its tokenizer.

    Args:
        model: a folder that train.py wrote, or a repository on the Hub.

    Raises:
        InputError: when it is neither, or of another family.
    """
    check_source(model, "a model that train.py wrote", "config.json")
    try:
        encoder = AutoModel.from_pretrained(model)
    except OSError as error:
        raise InputError(f"{model}: {str(error).strip().splitlines()[0]}") from error
    if encoder.config.model_type != "isoclr":
        raise InputError(f"{model}: got a model of type {encoder.config.model_type}, wanted isoclr")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return encoder.eval().to(device), AutoTokenizer.from_pretrained(model)


def embed_transcripts(
    model: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    transcripts: Sequence[Transcript],
    *,
    tokens_per_batch: int = 1 << 16,
    progress: bool = True,
) -> np.ndarray:
    """Embed transcripts in batches of like length.

    Args:
        model: in evaluation mode; its device is used.
        tokenizer: of the model.
        transcripts: n of them.
        tokens_per_batch: nucleotides that go through the encoder at once, padding included.
        progress: show a bar of nucleotides.

    Returns:
        float32 (n, pooled), in the order given.

    Raises:
        InputError: on a transcript that the tokenizer refuses.
    """
    rows = [_tokens(tokenizer, transcript) for transcript in transcripts]
    total = sum(map(len, rows))
    with tqdm(
        total=total, desc="embedding", unit="nt", unit_scale=True, disable=not progress
    ) as bar:
        return model.embed(rows, tokens_per_batch, bar.update)


def write_embeddings(
    path: str | os.PathLike, transcripts: Sequence[Transcript], embeddings: np.ndarray, model: str
) -> None:
    """Write Parquet: transcript_id, gene_id, species, and embedding as a list of float32.

    Args:
        path: the file to write.
        transcripts: n of them.
        embeddings: (n, width).
        model: what made them; kept in the file's metadata.
    """
    n, width = embeddings.shape
    values = pa.array(embeddings.ravel(), pa.float32())
    table = pa.table(
        {
            "transcript_id": [t.transcript_id for t in transcripts],
            "gene_id": [t.gene_id for t in transcripts],
            "species": [t.species for t in transcripts],
            "embedding": pa.FixedSizeListArray.from_arrays(values, width),
        }
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"model": model}), path)


def _tokens(tokenizer: IsoCLRTokenizer, transcript: Transcript) -> np.ndarray:
    try:
        return tokenizer.tokenize_transcript(
            transcript.sequence,
            (transcript.cds_start, transcript.cds_end),
            transcript.exon_junctions,
            record=transcript.transcript_id,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
