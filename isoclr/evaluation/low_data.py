"""How well a label is predicted from few labels and from many, by a model and its controls."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import make_splits
from data_builders.records import InputError
from isoclr.evaluation.compare import Predictor, Results, RunLog, compare
from isoclr.evaluation.controls import boosting_features, control_features
from isoclr.evaluation.features import Lazy, kmer_frequencies, structure_features
from isoclr.evaluation.finetune import FineTuned, Saluki, about_training, embed_rows
from isoclr.evaluation.linear import Linear
from isoclr.evaluation.networks import tokenize, untrained
from isoclr.evaluation.predictors import Boosting
from isoclr.evaluation.settings import Settings, TrainingOptions
from isoclr.pretrained import load_model
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer

METHODS = {
    "probe": "linear probe",
    "finetune": "fine-tuned",
    "scratch": "from scratch",
    "random": "ridge, random weights",
    "structure": "ridge, structure",
    "codons": "ridge, codons + structure",
    "kmers": "ridge, structure + k-mers 1-6",
    "boosting": "gradient boosting",
    "saluki": "Saluki-like network",
}
"""Name on the command line -> in tables and figures."""
FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)


@dataclass(frozen=True, kw_only=True)
class CurveOptions(TrainingOptions):
    """What the curve of few labels is of.

    Attributes:
        methods: of `METHODS`.
        fractions: of the train rows whose labels are known.
    """

    methods: Sequence[str] = tuple(METHODS)
    fractions: Sequence[float] = FRACTIONS


def low_data(
    encoder: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    labels: LabelSet,
    output: Path,
    options: CurveOptions | None = None,
) -> Results:
    """Predict a label from a part of the labels by a model and its controls, see `compare`.

    Each finished run is a line of `runs.jsonl` in `output`, and is not made again; the results have
    those of earlier calls too.

    Args:
        encoder: as `load_model` gives it; it stays as it is.
        tokenizer: of the encoder.
        labels: n transcripts with a homology group each.
        output: folder of `runs.jsonl`.
        options: methods, fractions, seeds, split and training.

    Raises:
        InputError: an unknown method, a fraction that leaves fewer than two labels or is over 1,
            runs in `output` of something else, or as in `fit`.
    """
    options = options or CurveOptions()
    for method in options.methods:
        if method not in METHODS:
            raise InputError(f"method: got '{method}', wanted some of {', '.join(METHODS)}")
    rows, cropped = tokenize(tokenizer, labels.transcripts, options.max_length)
    about = about_training(options, cropped)
    about |= {"label": labels.label, "rows": len(rows), "groups": len(set(labels.groups))}
    about |= {"split": options.split, "fingerprint": _fingerprint(encoder, labels)}
    predictors = _predictors(encoder, labels, rows, options.settings)
    return compare(
        {METHODS[method]: predictors[method] for method in METHODS if method in options.methods},
        labels,
        make_splits(labels, options.split, options.seeds),
        [float(fraction) for fraction in options.fractions],
        log=RunLog(output / "runs.jsonl", about),
        progress=options.progress,
    )


def low_data_of_model(
    model: str | os.PathLike,
    source: LabelSource,
    output: Path,
    options: CurveOptions | None = None,
) -> Results:
    """Draw the curve of a model on a file of labels, see `low_data`.

    Writes `low_data.json` and `low_data.png`, and `runs.jsonl`, from which it goes on.
    """
    results = low_data(*load_model(model), source.read(), output, options)
    results.to_json(output / "low_data.json")
    results.figure(output / "low_data.png")
    return results


def _predictors(
    encoder: IsoCLRModel, labels: LabelSet, rows: list[np.ndarray], settings: Settings
) -> dict[str, Predictor]:
    """Method -> predictor; features are made when they are first asked for."""
    transcripts, budget = labels.transcripts, settings.fine_tuned.tokens_per_batch

    controls = cache(lambda: control_features(transcripts, kmers=()))

    def structure_and_kmers() -> np.ndarray:
        return np.hstack([structure_features(transcripts), kmer_frequencies(transcripts, 1, 6)])

    def of_random_weights() -> np.ndarray:
        return embed_rows(untrained(encoder.config, 0), rows, budget)

    embeddings = Lazy(lambda: embed_rows(encoder, rows, budget))
    return {
        "probe": Linear(embeddings),
        "finetune": FineTuned(encoder, rows, embeddings, settings, progress=False),
        "scratch": FineTuned(encoder, rows, None, settings, progress=False),
        "random": Linear(Lazy(of_random_weights)),
        "structure": Linear(Lazy(partial(structure_features, transcripts))),
        "codons": Linear(Lazy(lambda: controls()["codons + structure"])),
        "kmers": Linear(Lazy(structure_and_kmers)),
        "boosting": Boosting(Lazy(lambda: boosting_features(controls()))),
        "saluki": Saluki(rows, settings.saluki_like, progress=False),
    }


def _fingerprint(encoder: IsoCLRModel, labels: LabelSet) -> str:
    """Of the weights, the transcripts, their labels and their groups."""
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().float().numpy().tobytes())
    labels.feed(digest)
    return digest.hexdigest()[:16]
