"""What lies before the start codon, read by distance: by an encoder, and without one."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from data_builders.records import InputError, Transcript
from isoclr.evaluation.compare import Predictor
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embeddings import is_ours
from isoclr.evaluation.features import base_codes
from isoclr.evaluation.networks import untrained
from isoclr.evaluation.predictors import Boosting
from isoclr.evaluation.readings import read_also
from isoclr.pretrained import load_model
from modeling_isoclr.configuration_isoclr import BASES, FRAMES

_WORD = 3
_WORDS = BASES**_WORD


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
