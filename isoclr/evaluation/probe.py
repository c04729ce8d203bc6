"""Linear probes: how much of a measured property a linear model reads from fixed features."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_builders.counts import counted
from data_builders.labels.base import Labels
from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import SEEDS, Split, make_splits, read_chromosomes
from data_builders.labels.tasks import TASKS
from data_builders.records import InputError
from isoclr.evaluation.compare import ALL, Predictor, Results, RunLog, compare
from isoclr.evaluation.controls import KMERS, RANDOM, control_features, control_predictors
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embeddings import features_of, is_ours, model_names
from isoclr.evaluation.linear import Linear
from isoclr.evaluation.networks import untrained
from isoclr.evaluation.results import Count
from isoclr.evaluation.start import start_rows
from isoclr.pretrained import load_model


def probe(
    features: Mapping[str, np.ndarray],
    labels: Labels,
    splits: Sequence[Split],
    *,
    predictors: Mapping[str, Predictor] | None = None,
    label_counts: Sequence[Count] = (ALL,),
    log: RunLog | None = None,
    progress: bool = True,
) -> Results:
    """Score feature sets by a linear model, and other predictors, on the same splits for all.

    After the protocol of mRNABench and Orthrus, with one treatment for every set, see `Linear`.
    With embeddings of your own model::

        labels = read_label_set("half_life.parquet")
        mine = my_model(labels.transcripts)  # (n, width), in the order of the transcripts
        results = probe({"mine": mine, **control_features(labels.transcripts)}, labels,
                        make_splits(labels))
        print(results.table())

    Args:
        features: name -> (n, any width), in the order of the rows; the others are compared with the
            first.
        labels: of n rows, such as a `LabelSet`.
        splits: of the rows, such as `make_splits` makes.
        predictors: name -> another way to predict the same labels, such as boosting.
        label_counts: as in `compare`.
        log: as in `compare`.
        progress: show a bar on stderr.

    Raises:
        InputError: another number of rows than labels, a name twice, or as in `compare`.
    """
    predictors = predictors or {}
    n = len(labels.targets)
    for name in features.keys() & predictors.keys():
        raise InputError(f"probe: got features and a predictor '{name}', wanted different names")
    for name, matrix in features.items():
        if np.ndim(matrix) != 2 or len(matrix) != n:
            raise InputError(
                f"features '{name}': got shape {np.shape(matrix)}, wanted ({n}, width): one row a "
                f"labelled one of the {labels.unit}"
            )
    linear = {name: Linear(matrix) for name, matrix in features.items()}
    return compare(
        {**linear, **predictors}, labels, splits, label_counts, log=log, progress=progress
    )


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """How models are probed.

    Attributes:
        split: the kind of the splits, as `make_splits` takes it; None: that of the task.
        seeds: of the splits, at least two.
        chromosomes: table for `read_chromosomes`, for that split; None: the labels are one.
        kmers: as `control_features` takes them.
        saluki: train the network after Saluki beside them, which takes long.
        few_labels: numbers of labels to learn from, beside all.
        embeddings: name -> file for `read_embeddings`, of models that were run elsewhere.
        start_window: nt upstream of the start codon that the first model of ours also reads by
            distance, in rows of its own beside their controls; 0: none.
        columns: of the first model's embedding, (first, the one after the last), which are also
            probed alone, and those of its random weights; None: none.
    """

    split: str | None = None
    seeds: Sequence[int] = SEEDS
    chromosomes: str | os.PathLike | None = None
    kmers: Sequence[tuple[int, int]] = KMERS
    saluki: bool = False
    few_labels: Sequence[int] = ()
    embeddings: Mapping[str, str | os.PathLike] = field(default_factory=dict)
    start_window: int = 0
    columns: tuple[int, int] | None = None


def probe_models(
    models: Sequence[str | os.PathLike],
    source: LabelSource,
    output: Path,
    options: ProbeOptions | None = None,
) -> Results:
    """Probe models, the first one with random weights, and all that needs no model.

    Writes `probe.json` and `probe.png`, and for few labels `few_labels.png`. With the network after
    Saluki each finished run is a line of `runs.jsonl`, and a comparison that was stopped goes on
    from there. A model or embeddings named like a control are an InputError.
    """
    options = options or ProbeOptions()
    if len(options.seeds) < 2:
        raise InputError(f"probe: got {counted(len(options.seeds), 'seed')}, wanted at least two")
    named = model_names(models)
    labels = source.read()
    kind = options.split or (TASKS[source.task].split if source.task else "homology")
    places = None
    if kind == "chromosome":
        places = read_chromosomes(options.chromosomes or source.path)
    splits = make_splits(labels, kind, options.seeds, places)
    features = features_of(named, options.embeddings, labels.transcripts)
    controls = random_features(named.values(), labels)
    if options.columns is not None:
        name = next(iter(named))
        controls |= _part({name: features[name], **controls}, *options.columns)
    controls |= control_features(labels.transcripts, options.kmers)
    predictors = control_predictors(controls, labels.transcripts, options.saluki)
    if options.start_window:
        read, boosted = start_rows(named, labels.transcripts, options.start_window)
        controls, predictors = controls | read, predictors | boosted
    for name in features.keys() & (controls.keys() | predictors.keys()):
        raise InputError(f"model '{name}': got a control's name, wanted another")
    features |= controls
    log = None
    if options.saluki:
        log = RunLog(output / "runs.jsonl", {"fingerprint": fingerprint(features, labels, kind)})
    results = probe(
        features,
        labels,
        splits,
        predictors=predictors,
        label_counts=(*sorted(options.few_labels), ALL),
        log=log,
    )
    write_probe(results, output)
    return results


def _part(features: Mapping[str, np.ndarray], first: int, stop: int) -> dict[str, np.ndarray]:
    """Return some columns of each matrix, with their names in those of the rows."""
    for name, matrix in features.items():
        if not 0 <= first < stop <= matrix.shape[1]:
            raise InputError(
                f"columns: got {first} to {stop} of {name}, wanted some of its {matrix.shape[1]:,}"
            )
    return {
        f"{name}, columns {first} to {stop - 1}": matrix[:, first:stop]
        for name, matrix in features.items()
    }


def random_features(models, labels: LabelSet) -> dict[str, np.ndarray]:
    """Return embeddings by the first model of ours with random weights, if one is ours."""
    for model in models:
        if is_ours(model):
            encoder, tokenizer = load_model(model)
            random = untrained(encoder.config, 0)
            return {RANDOM: embed_transcripts(random, tokenizer, labels.transcripts)}
    return {}


def fingerprint(features: Mapping[str, np.ndarray], labels: LabelSet, split: str) -> str:
    """Return a digest of what a comparison of feature sets is made from."""
    digest = hashlib.sha256(split.encode())
    labels.feed(digest)
    for name, matrix in features.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(matrix).tobytes())
    return digest.hexdigest()[:16]


def write_probe(results: Results, output: Path) -> None:
    """Write `probe.json` and `probe.png`, and of several label counts `few_labels.png`."""
    output.mkdir(parents=True, exist_ok=True)
    results.to_json(output / "probe.json")
    results.at(results.label_counts[-1]).figure(output / "probe.png")
    if len(results.label_counts) > 1:
        results.figure(output / "few_labels.png")
