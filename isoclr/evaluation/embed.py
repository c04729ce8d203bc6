"""Transcripts to embeddings, and embeddings to a file."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import load_dataset
from huggingface_hub.errors import HTTPError

from data_builders.codec import GROUP_SCHEMA, groups_of_table
from data_builders.groups.parquet import other_columns, read_groups
from data_builders.homology.alphabets import PROTEIN, RNA, guess_alphabet
from data_builders.records import InputError, IsoformGroup, Transcript
from isoclr.pretrained import NEW_KEYS
from isoclr.progress import Progress
from isoclr.progress import progress as progress_bar
from isoclr.repositories import check_source
from isoclr.tokens import tokens_of
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, longest_orf, pad_tokens

_ABOUT = b"isoclr.embed"
_PARQUET = {"compression": "zstd", "use_dictionary": ["gene_id", "species"]}

_TOLD_BY = 100  # sequences, by whose letters nucleotides and proteins are told apart


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
        InputError: on a transcript that the tokenizer refuses, or nucleotides for a model of
            proteins.
    """
    rows = _tokens(model, tokenizer, transcripts)
    with _bar(sum(map(len, rows)), 0, progress) as bar:
        return model.embed(rows, tokens_per_batch, bar.update)


def embed_to_file(
    path: str | os.PathLike,
    model: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    transcripts: Sequence[Transcript],
    *,
    per_position: bool = False,
    tokens_per_batch: int = 1 << 16,
    tokens_per_part: int = 1 << 22,
    overwrite: bool = False,
    progress: bool = True,
) -> None:
    """Embed transcripts into Parquet; started again after whatever end, it goes on where it was.

    Columns: transcript_id, gene_id, species; and `embedding`, a fixed-size list of float32, or
    `embeddings`, a list of these. Rows are in the order given. Parts lie in `{path}.parts`
    meanwhile, one of them in memory; the file they become is, to the bit, that of a run that was
    not interrupted. Its metadata name the model.

    Args:
        path: the file. One that is there already is left as it is if it is of this run.
        model: in evaluation mode; its device is used.
        tokenizer: of the model.
        transcripts: n of them.
        per_position: `last_hidden_state` instead of `pooler_output`: ceil(length / d) vectors a
            transcript, d being `model.config.downsampling`, 32 with four stages. Vector i stands
            for the nucleotides from d·i to d·(i + 1), 0-based and half-open, or to the end; its
            convolutions see beyond.
        tokens_per_batch: nucleotides that go through the encoder at once, padding included.
        tokens_per_part: nucleotides a part, but at least one transcript.
        overwrite: replace a file that is there, whatever it is.
        progress: show a bar of nucleotides.

    Raises:
        InputError: on a transcript that the tokenizer refuses, or nucleotides for a model of
            proteins; a file or parts of another model,
            other transcripts or other options, or something else in their place.
    """
    rows = _tokens(model, tokenizer, transcripts)
    about = {
        "model": _model_digest(model),
        "transcripts": _input_digest(transcripts, rows),
        "options": [per_position, tokens_per_batch, tokens_per_part, model.device.type],
    }
    metadata = {b"model": _name_of(model).encode(), _ABOUT: json.dumps(about).encode()}
    complete = not overwrite and os.path.lexists(path)
    if complete:
        _check_same(Path(path), about, "another --output, or --overwrite")
    embed = _embed_positions if per_position else _embed_pooled
    folder = Path(f"{path}.parts")
    parts = {
        folder / f"{number:05d}.parquet": part
        for number, part in enumerate(_cut(list(map(len, rows)), tokens_per_part))
    }
    if complete and not folder.exists():
        return
    done = _done(folder, list(parts), about)
    if complete:  # it was cut off when its parts were to go
        shutil.rmtree(folder)
        return
    sizes = {file: sum(map(len, rows[part])) for file, part in parts.items()}
    with _bar(sum(sizes.values()), sum(sizes[file] for file in done), progress) as bar:
        for file, part in parts.items():
            if file not in done:
                vectors = embed(model, rows[part], tokens_per_batch, bar.update)
                _write(file, [_table(transcripts[part], vectors)], metadata)
    _write(Path(path), map(pq.read_table, parts), metadata)
    shutil.rmtree(folder)


def _tokens(
    model: IsoCLRModel, tokenizer: IsoCLRTokenizer, transcripts: Sequence[Transcript]
) -> list[np.ndarray]:
    """Tokenize transcripts; nucleotides, whose letters are amino acids too, are no proteins."""
    if model.config.alphabet == PROTEIN.name and transcripts:
        step = -(-len(transcripts) // _TOLD_BY)
        letters = "".join(transcript.sequence for transcript in transcripts[::step])
        if guess_alphabet(letters) == RNA.name:
            raise InputError(
                f"{transcripts[0].transcript_id}: got nucleotides, such as "
                f"'{transcripts[0].sequence[:20]}', wanted proteins for a model of proteins"
            )
    return [tokens_of(tokenizer, transcript) for transcript in transcripts]


def guess_cds(transcripts: Sequence[Transcript], min_length: int) -> tuple[list[Transcript], int]:
    """Where there is no CDS, take the longest open reading frame, of `min_length` nt with its stop.

    Returns all transcripts, and of how many the CDS is a guess.
    """
    if min_length < 6:
        raise InputError(f"guess_cds: got {min_length} nt, wanted at least 6, start and stop codon")
    out, guessed = [], 0
    for transcript in transcripts:
        found = longest_orf(transcript.sequence) if transcript.cds_start < 0 else None
        if found is not None and found[1] - found[0] >= min_length:
            transcript = replace(transcript, cds_start=found[0], cds_end=found[1])
            guessed += 1
        out.append(transcript)
    return out, guessed


def read_dataset(dataset: str | os.PathLike, config: str | None = None) -> Iterator[IsoformGroup]:
    """Isoform groups of a folder, or of a dataset on the Hub, which is downloaded."""
    check_source(dataset, "isoform groups that isoclr build wrote", "data/train-*.parquet")
    if Path(dataset).is_dir():
        if config is not None:
            raise InputError(
                f"{dataset}: got the configuration '{config}' of a folder, wanted none"
            )
        yield from read_groups(dataset)
        return
    try:
        table = load_dataset(str(dataset), config, split="train").data.table
    except (HTTPError, OSError, ValueError) as error:
        raise InputError(f"{dataset}: {str(error).strip().splitlines()[0]}") from error
    if table.column_names != GROUP_SCHEMA.names:
        raise other_columns(table.column_names, str(dataset))
    yield from groups_of_table(table)


def _bar(total: int, done: int, show: bool) -> Progress:
    return progress_bar(description="embedding", total=total, initial=done, unit="nt", show=show)


def _name_of(model) -> str:
    """A repository, or the last part of a folder: the file may go to others, our paths do not."""
    place = model.name_or_path
    return Path(place).resolve().name if Path(place).is_dir() else place


def _model_digest(model: IsoCLRModel) -> str:
    """Of all that decides what the model makes of tokens."""
    config = {
        key: value
        for key, value in model.config.to_dict().items()
        if key != "_name_or_path" and not (key in NEW_KEYS and value == NEW_KEYS[key])
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _input_digest(transcripts: Sequence[Transcript], rows: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for transcript, row in zip(transcripts, rows, strict=True):
        names = transcript.transcript_id, transcript.gene_id, transcript.species, len(row)
        digest.update(f"{names}".encode())
        digest.update(row.data)
    return digest.hexdigest()


def _cut(lengths: Sequence[int], budget: int) -> list[slice]:
    """Consecutive rows within a budget of nucleotides."""
    parts, start, size = [], 0, 0
    for row, length in enumerate(lengths):
        if row > start and size + length > budget:
            parts.append(slice(start, row))
            start, size = row, 0
        size += length
    return [*parts, slice(start, len(lengths))]


def _done(folder: Path, parts: Sequence[Path], about: dict) -> set[Path]:
    """Which of the parts are there, after a look whether all that is there is of this run."""
    folder.mkdir(parents=True, exist_ok=True)
    remedy = f"those of this run: remove {folder} or choose another output"
    there = {path for path in folder.iterdir() if path.suffix != ".partial"}
    for path in sorted(there):
        _check_same(path, about, remedy)
    return there & set(parts)


def _check_same(path: Path, about: dict, wanted: str) -> None:
    """Refuse a file that another run made, or something else."""
    try:
        theirs = json.loads((pq.read_schema(path).metadata or {})[_ABOUT])
    except (KeyError, OSError, ValueError) as error:
        raise InputError(f"{path}: got no embeddings, wanted {wanted}") from error
    if other := [what for what in about if theirs.get(what) != about[what]]:
        differ = " and ".join(other)
        raise InputError(f"{path}: got embeddings that differ in {differ}, wanted {wanted}")


def _embed_pooled(
    model: IsoCLRModel, rows: Sequence[np.ndarray], budget: int, report: Callable[[int], object]
) -> pa.Table:
    embeddings = model.embed(rows, budget, report)
    return pa.table({"embedding": _vectors(embeddings)})


@torch.inference_mode()
def _embed_positions(
    model: IsoCLRModel, rows: Sequence[np.ndarray], budget: int, report: Callable[[int], object]
) -> pa.Table:
    lengths = np.array([len(row) for row in rows])
    counts = -(-lengths // model.config.downsampling)
    bounds = np.cumsum([0, *counts])
    out = np.empty((bounds[-1], model.config.hidden_size), dtype=np.float32)
    for part in cut_by_tokens(lengths, budget):
        batch = torch.from_numpy(pad_tokens([rows[i] for i in part])).to(model.device)
        states = model(batch).last_hidden_state.float().cpu().numpy()
        for i, state in zip(part, states, strict=True):
            out[bounds[i] : bounds[i + 1]] = state[: counts[i]]
        report(int(lengths[part].sum()))
    lists = pa.ListArray.from_arrays(bounds.astype(np.int32), _vectors(out))
    return pa.table({"embeddings": lists})


def _vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    """(n, width) to n lists."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.ravel(), pa.float32()), values.shape[1]
    )


def _table(transcripts: Sequence[Transcript], vectors: pa.Table) -> pa.Table:
    names = ("transcript_id", "gene_id", "species")
    columns = {
        name: pa.array([getattr(t, name) for t in transcripts], pa.string()) for name in names
    }
    return pa.table(columns | dict(zip(vectors.column_names, vectors.columns, strict=True)))


def _write(path: Path, tables: Iterable[pa.Table], metadata: dict[bytes, bytes]) -> None:
    """Writes tables, a row group each, to a file that is there whole or not at all."""
    partial, writer = Path(f"{path}.partial"), None
    with ExitStack() as stack:
        for table in tables:
            if writer is None:
                schema = table.schema.with_metadata(metadata)
                writer = stack.enter_context(pq.ParquetWriter(partial, schema, **_PARQUET))
            writer.write_table(table)
    partial.replace(path)
