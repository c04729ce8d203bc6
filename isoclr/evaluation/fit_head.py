"""Fit a head to labels, and measure it on homology groups left out."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_builders.labels.base import REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import make_splits
from data_builders.labels.tasks import TASKS
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Prediction, Results, compare
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.figures_heads import plot_held_out
from isoclr.evaluation.heads import (
    LEVELS,
    Head,
    Training,
    distances_from_centre,
    region_sizes,
    weights_digest,
    with_head,
    write_head,
)
from isoclr.evaluation.linear import LEAST_SPREAD, Linear
from isoclr.evaluation.readings import read_also
from isoclr.evaluation.terms import frequent_terms, of_terms
from isoclr.model_folder import HEAD_FILES, write_model_folder
from isoclr.pretrained import load_model
from isoclr.shipped import DEFAULT_MODEL
from isoclr.statistics import Interval, corrected_mean

_RANGE = (0.005, 0.995)
_FAR = 0.995


def fit_head(
    embeddings: np.ndarray, labels: LabelSet, *, name: str, predicts: str = "", citation: str = ""
) -> tuple[Head, Results]:
    """Fit a head to all labels, and measure it on homology groups left out.

    Numbers are predicted by ridge regression on all rows, classes by logistic regression on those
    that choose no penalty (see `isoclr.evaluation.linear.Linear`). The interval of a prediction is
    a number and the same everywhere: the quantile of the absolute errors of training transcripts
    under a fit without their homology group (the jackknife, by groups; of n errors that of rank
    ⌈(n + 1) · level⌉, as split conformal prediction takes it). The scores are of the ten homology
    splits of every evaluation: weights and intervals of train rows, scored on test rows.

    Args:
        embeddings: (n, width), finite, of one encoder.
        labels: of n transcripts.
        name: of the head.
        predicts: what it predicts, for people; empty: the label.
        citation: where the labels were published.

    Returns:
        The head, which names no encoder yet, and the results of the ten splits.

    Raises:
        InputError: too few labels for `LEVELS`, or as `Linear` and `compare`.
    """
    splits = make_splits(labels)
    linear = Linear(embeddings, least_spread=LEAST_SPREAD)  # or other species would be outliers
    predictor = _WithIntervals(linear, np.asarray(labels.groups, object))
    results = compare({name: predictor}, labels, splits)
    chosen = np.zeros(len(labels.targets), bool)
    if labels.task != REGRESSION:
        chosen[splits[0].validation] = True
    rows, validation = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    fold = Fold(
        task=labels.task,
        classes=len(labels.classes),
        train=rows,
        validation=validation,
        test=rows[:0],
        train_targets=labels.targets[rows],
        validation_targets=labels.targets[validation],
        seed=splits[0].seed,
    )
    model = predictor.linear.fit(fold)
    weights, intercept = model.on_raw_features()
    centre, spread = embeddings.mean(axis=0, dtype=np.float64), embeddings.std(axis=0)
    head = Head(
        name=name,
        predicts=predicts or labels.label,
        label=labels.label,
        task=labels.task,
        classes=labels.classes,
        citation=citation,
        model="",
        encoder="",
        alpha=model.alpha,
        training=_training(labels, distances_from_centre(embeddings, centre, spread)),
        half_widths=predictor.half_widths(model, fold),
        held_out=_held_out(results, name),
        weights=weights,
        intercept=intercept,
        centre=centre,
        spread=spread.astype(np.float64),
    )
    return head, results


def make_head(
    source: LabelSource,
    output: Path,
    *,
    model: str | os.PathLike = DEFAULT_MODEL,
    terms: int | None = None,
    start_window: int = 0,
    residue_pairs: bool = False,
    with_encoder: bool = False,
) -> Head:
    """Fit a head to labels and write it: what `isoclr head` does.

    The folder gets `head.json`, `head.safetensors` and `held_out.png`. Of labels with many classes
    `terms` are predicted, as `frequent_terms` chooses them; None: all. With a start window, a
    multiple of 24 nt, the encoder also reads what lies before the start codon; with `residue_pairs`
    how often neighbouring residues come. With the encoder, it is written too, with the head as its
    classification head, so that AutoModelForSequenceClassification loads the folder.
    """
    encoder, tokenizer = load_model(model)
    readings = {"start_window": start_window, "residue_pairs": residue_pairs}
    encoder = read_also(encoder, **readings)
    labels = source.read()
    if terms is not None:
        labels = of_terms(labels, frequent_terms(labels, terms))
    embeddings = embed_transcripts(encoder, tokenizer, labels.transcripts)
    task = TASKS.get(source.task or "")
    head, results = fit_head(
        embeddings,
        labels,
        name=output.resolve().name,
        predicts=task.predicts if task else "",
        citation=task.citation if task else "",
    )
    head = replace(
        head,
        model=Path(model).name,
        encoder=weights_digest(encoder),
        **readings,
    )
    if with_encoder:
        write_model_folder(with_head(encoder, head), tokenizer, output)
    write_head(head, output)
    plot_held_out(results, head, output / HEAD_FILES[-1])
    return head


@dataclass(frozen=True)
class _WithIntervals:
    """A linear model that also says, of numbers, how wide its intervals are."""

    linear: Linear
    groups: np.ndarray

    def __call__(self, fold: Fold) -> Prediction:
        if fold.task != REGRESSION:
            return self.linear(fold)
        model = self.linear.fit(fold)
        return Prediction(
            test=model.predict(self.linear.features[fold.test]),
            choices={"alpha": model.alpha, **self.half_widths(model, fold)},
        )

    def half_widths(self, model, fold: Fold) -> dict[str, float]:
        if fold.task != REGRESSION:
            return {}
        errors = model.errors_without_own_group(fold.train_targets, self.groups[fold.train])
        errors = np.sort(np.abs(errors))
        ranks = {level: math.ceil((len(errors) + 1) * level) for level in LEVELS}
        if ranks[max(LEVELS)] > len(errors):
            raise InputError(
                f"labels to fit a head to: got {len(errors)}, wanted at least "
                f"{math.ceil(max(LEVELS) / (1 - max(LEVELS)))} for intervals"
            )
        return {str(level): float(errors[rank - 1]) for level, rank in ranks.items()}


def _held_out(results: Results, name: str) -> dict[str, Interval]:
    """Every metric and the coverage of intervals: mean over splits and half-width."""
    found = {metric: results.mean(name, metric) for metric in results.metrics}
    runs = list(results.of(name).values())
    ratio = float(np.mean([run.test / run.train_side for run in runs]))
    for level in LEVELS if results.task == REGRESSION else ():
        covered = []
        for run in runs:
            of_run = results.predictions[run.key]
            errors = np.abs(of_run.predicted - of_run.observed)
            covered.append(float(np.mean(errors <= run.choices[str(level)])))
        found[f"coverage {level}"] = corrected_mean(covered, ratio)
    return found


def _training(labels: LabelSet, distances: np.ndarray) -> Training:
    sizes = [region_sizes(transcript) for transcript in labels.transcripts]
    ranges = {}
    for part in ("transcript", "5'UTR", "CDS", "3'UTR"):
        found = [size[part] for size in sizes if part in size]
        if found:
            low, high = np.quantile(found, _RANGE)
            ranges[part] = (math.floor(low), math.ceil(high))
    always = []
    if all("CDS" in size for size in sizes):
        always.append("CDS")
    if all(transcript.exon_junctions is not None for transcript in labels.transcripts):
        always.append("known exons")
    return Training(
        rows=len(labels.transcripts),
        groups=len(set(labels.groups)),
        species=tuple(sorted({transcript.species for transcript in labels.transcripts})),
        ranges=ranges,
        always=tuple(always),
        farthest=float(np.quantile(distances, _FAR)),
    )
