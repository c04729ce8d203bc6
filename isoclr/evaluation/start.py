"""What lies before the start codon, read by distance: by an encoder, and without one."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from data_builders.records import InputError, Transcript
from isoclr.evaluation.compare import Predictor
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embeddings import is_ours
from isoclr.evaluation.features import base_codes
from isoclr.evaluation.heads import Head
from isoclr.evaluation.networks import untrained
from isoclr.evaluation.predictors import Boosting
from isoclr.pretrained import load_model, on_device
from modeling_isoclr import IsoCLRConfig, IsoCLRModel
from modeling_isoclr.configuration_isoclr import BASES, FRAMES

_WORD = 3
_WORDS = BASES**_WORD


def read_also(encoder: IsoCLRModel, **readings: int) -> IsoCLRModel:
    """Return the encoder with columns that read more of a transcript.

    They stand right before what is learned; all others stay as they are, and no weight is new.

    Args:
        encoder: with pooling by regions.
        readings: keys of `IsoCLRConfig`: `start_window`, `residue_pairs`. What is 0 or False stays
            as the encoder has it.

    Raises:
        InputError: another pooling, or a value that the configuration refuses.
    """
    readings = {name: value for name, value in readings.items() if value}
    if not readings:
        return encoder
    try:
        config = IsoCLRConfig.from_dict({**encoder.config.to_dict(), **readings})
    except ValueError as error:
        raise InputError(str(error)) from error
    reading = IsoCLRModel(config).eval()
    reading.load_state_dict(encoder.state_dict())
    return on_device(reading, encoder.device)


def encoder_of(head: Head, encoder: IsoCLRModel) -> IsoCLRModel:
    """Return the encoder as the head reads it."""
    return read_also(encoder, **head.readings)


def columns_for(head: Head, encoder: IsoCLRConfig, reader: IsoCLRConfig) -> np.ndarray:
    """Return which columns a head reads of an encoder that reads more.

    Args:
        head: of the encoder.
        encoder: its configuration.
        reader: that of the same as `read_also` gives it, with all that the head reads.

    Returns:
        Numbers of the columns, ascending.
    """
    sizes = {"residue_pairs": reader.pairs_size, "start_window": reader.start_size}
    learned = reader.pooled_size - reader.contrasted_size
    place, unread = learned - sum(sizes.values()), []
    for reading, size in sizes.items():
        if reading not in head.readings and not getattr(encoder, reading):
            unread += range(place, place + size)
        place += size
    return np.delete(np.arange(reader.pooled_size), unread)


def start_features(transcripts: Sequence[Transcript], window: int) -> dict[str, np.ndarray]:
    """Return what a reading from the start codon sees without a model, by name.

    A transcript without CDS counts as 5'UTR, whose start codon is right behind it.

    Args:
        transcripts: n of them.
        window: nt before the start codon.

    Returns:
        Each float32 (n, width): the base at each distance, one-hot, none where the 5'UTR is
        shorter; and words of three bases in the three reading frames, how often each comes and
        whether it comes at all.
    """
    one_hot = np.zeros((len(transcripts), window, BASES), np.float32)
    words = np.zeros((len(transcripts), FRAMES, _WORDS), np.float32)
    for bases, counts, transcript in zip(one_hot, words, transcripts, strict=True):
        codes = base_codes(transcript)
        end = len(codes) if transcript.cds_start < 0 else transcript.cds_start
        nearest = codes[:end][::-1][:window].astype(np.int64)
        known = nearest < BASES
        bases[np.flatnonzero(known), nearest[known]] = 1
        third, second, first = nearest[:-2], nearest[1:-1], nearest[2:]
        whole = known[:-2] & known[1:-1] & known[2:]
        frames = (np.arange(_WORD, len(nearest) + 1) % FRAMES)[whole]
        word = ((first * BASES + second) * BASES + third)[whole]
        np.add.at(counts, (frames, word), 1)
    counts = words.reshape(len(transcripts), -1)
    return {
        f"one-hot of {window} nt": one_hot.reshape(len(transcripts), -1),
        f"3-mers by frame, {window} nt": np.hstack([counts, np.minimum(counts, 1)]),
    }


def start_rows(
    models: Mapping[str, str | os.PathLike], transcripts: Sequence[Transcript], window: int
) -> tuple[dict[str, np.ndarray], dict[str, Predictor]]:
    """Return feature sets and predictors that read before the start codon, by name.

    The first model of ours that pools by regions, the same with random weights, and what needs no
    model, by a linear probe and by boosting.

    Args:
        models: name -> as `load_model` takes it.
        transcripts: n of them.
        window: nt before the start codon, a multiple of 24.

    Raises:
        InputError: no model of ours, or as `read_also`.
    """
    name = next((name for name, model in models.items() if is_ours(model)), None)
    if name is None:
        raise InputError(
            f"start_window: got {window} and no model of ours among {', '.join(models)}, wanted one"
        )
    encoder, tokenizer = load_model(models[name])
    reading = read_also(encoder, start_window=window)
    random = untrained(reading.config, 0)
    features = {
        f"{title}, {window} nt from the start": embed_transcripts(model, tokenizer, transcripts)
        for title, model in ((name, reading), ("random weights", random))
    }
    controls = start_features(transcripts, window)
    boosted: dict[str, Predictor] = {
        f"boosting on {title}": Boosting(matrix)
        for title, matrix in controls.items()
        if title.startswith("3-mers")
    }
    return features | controls, boosted
