"""Linear probes: how much of a measured property a linear model reads from fixed features."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from tqdm import tqdm

from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, few_rows, groups_to_split, homology_split
from data_builders.records import InputError
from isoclr.evaluation.linear import (
    ALPHAS,
    CLASS_ALPHAS,
    CLASS_METRICS,
    METRICS,
    fit_and_score,
    fit_and_score_classes,
    score_classes,
    score_numbers,
)
from isoclr.evaluation.statistics import aligned, mean_and_half_width, paired_gain, plus_minus

__all__ = ["ALPHAS", "METRICS", "ProbeResult", "fit_and_score", "probe", "probe_few_labels"]

Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""From rows of train, validation and test, and a seed, to predictions on test: (test,) numbers, or
(test, classes) scores, higher for likelier."""
Split = tuple[np.ndarray, np.ndarray, np.ndarray]

_NAMES = {
    "pearson": "Pearson r",
    "spearman": "Spearman",
    "mse": "MSE",
    "auroc_macro": "macro AUROC",
    "auroc_micro": "micro AUROC",
    "auprc_macro": "macro AUPRC",
    "auprc_micro": "micro AUPRC",
}


@dataclass(frozen=True)
class ProbeResult:
    """Scores of several feature sets on the same splits.

    Attributes:
        label: the property predicted.
        split: one of `data_builders.labels.splits.SPLITS`.
        rows: number of labelled transcripts.
        groups: number of homology groups among them.
        seeds: one split each.
        alphas: the penalties that were tried.
        scores: feature set -> metric -> one value a seed, on test. Of a number: "pearson" and
            "spearman" correlations and "mse" (in squared units of the label); of classes:
            "auroc_macro", "auroc_micro", "auprc_macro", "auprc_micro". And the chosen "alpha", of
            linear models.
        task: "regression" of a number, or "classification".
        train_rows: labels that each seed learned from.
        classes: how many there are, 0 of a number.
        classes_left_out: of each seed, how many had one value only in train or in test.
    """

    label: str
    split: str
    rows: int
    groups: int
    seeds: tuple[int, ...]
    alphas: tuple[float, ...]
    scores: dict[str, dict[str, tuple[float, ...]]]
    task: Literal["regression", "classification"] = "regression"
    train_rows: tuple[int, ...] = ()
    classes: int = 0
    classes_left_out: tuple[int, ...] = ()

    @property
    def reference(self) -> str:
        """The feature set that the others are compared with: the first."""
        return next(iter(self.scores))

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is scored; figures and comparisons show the first."""
        return (METRICS if self.task == "regression" else CLASS_METRICS)[:-1]

    def mean(self, name: str, metric: str | None = None) -> tuple[float, float]:
        """Mean of a metric, the first if None, over seeds, and half its 95 % interval."""
        return mean_and_half_width(self.scores[name][metric or self.metrics[0]])

    def gain(self, name: str) -> tuple[float, float, float]:
        """What a feature set adds to the first, in the first metric: as `paired_gain`."""
        metric = self.metrics[0]
        return paired_gain(self.scores[name][metric], self.scores[self.reference][metric])

    def table(self) -> str:
        """One aligned line a feature set, in the order given, for reading."""
        symbol = "r" if self.task == "regression" else "AUROC"
        against = f"{symbol} - {symbol}({self.reference})"
        lines = [("features", *map(metric_name, self.metrics), "alpha", against, "p")]
        for name, scores in self.scores.items():
            cells = [plus_minus(*self.mean(name, metric)) for metric in self.metrics]
            chosen = scores.get("alpha")
            alphas = f"{min(chosen):.3g} … {max(chosen):.3g}" if chosen else ""
            gain, half_width, p = self.gain(name)
            versus = (f"{gain:+.3f} ± {half_width:.3f}", f"{p:.1g}")
            lines.append((name, *cells, alphas, *(versus if name != self.reference else ("", ""))))
        return f"{self.title()}\n{aligned(lines)}"

    def title(self) -> str:
        """What was measured, on how much."""
        title = (
            f"{self.label}: {self.rows:,} transcripts, {self.groups:,} homology groups, "
            f"{self.split} split, {len(self.seeds)} seeds"
        )
        if not self.classes:
            return title
        fewest, most = (self.classes - n(self.classes_left_out) for n in (max, min))
        scored = f"{most}" if fewest == most else f"{fewest} to {most}"
        return f"{title}, {scored} of {self.classes} classes"

    def as_dict(self) -> dict:
        """Every field, and the summary that `mean` and `gain` give."""
        summary = {
            name: {metric: self.mean(name, metric) for metric in self.metrics}
            | {"gain_over_first": self.gain(name)}
            for name in self.scores
        }
        return asdict(self) | {"summary": summary}

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes `as_dict` as one JSON object."""
        _write_json(self.as_dict(), path)


def metric_name(metric: str) -> str:
    """A metric as tables and figures call it."""
    return _NAMES[metric]


def probe(
    features: Mapping[str, np.ndarray],
    labels: LabelSet,
    *,
    seeds: Sequence[int] = SEEDS,
    alphas: Sequence[float] | None = None,
    split: str = "homology",
    chromosomes: Mapping[str, str] | None = None,
    predictors: Mapping[str, Predictor] | None = None,
    progress: bool = True,
) -> ProbeResult:
    """Scores feature sets by a linear model, and other predictors, on the same splits for all.

    After the protocol of mRNABench and Orthrus, with one treatment for every set: columns are
    standardised on train, those constant there dropped, and a set of these alone predicts the mean;
    test is seen once. A number is predicted
    by ridge regression; the penalty is the one with the least leave-one-out squared error within
    train, and the validation rows stay unused. Classes are predicted one against the rest by
    logistic regression; they share the penalty with the least log loss on the validation rows. A
    class that has only one value in train or in test is left out, and counted.

    Standardising gives every column one vote. Blocks of very different width (thousands of k-mers
    beside seven lengths) are better probed apart than side by side.

    Args:
        features: name -> (n, any width), finite, in the order of the transcripts; the first is
            what the others are compared with.
        labels: n transcripts with homology groups and targets: numbers, or classes as bool (n,) or
            (n, classes). Numbers that are all 0 or 1 are a class.
        seeds: of the splits, at least two.
        alphas: penalties, on standardised columns, for all feature sets; look at the chosen ones in
            the result: at a border, the range is too narrow. None: ALPHAS or CLASS_ALPHAS.
        split: as `groups_to_split` takes it: "homology", "random", "chromosome" or "k-mer".
        chromosomes: as `groups_to_split` takes it.
        predictors: name -> another way to predict the same targets, such as boosting; they may stop
            by the validation rows.
        progress: show a bar on stderr.

    Raises:
        InputError: fewer than two seeds, no feature set, another number of rows than labels, a
            value that is not finite, targets that do not vary, too few groups, or what
            `groups_to_split` refuses.
    """
    (result,) = probe_few_labels(
        features,
        labels,
        (),
        seeds=seeds,
        alphas=alphas,
        split=split,
        chromosomes=chromosomes,
        predictors=predictors,
        progress=progress,
    )
    return result


def probe_few_labels(
    features: Mapping[str, np.ndarray],
    labels: LabelSet,
    sizes: Sequence[int],
    *,
    seeds: Sequence[int] = SEEDS,
    alphas: Sequence[float] | None = None,
    split: str = "homology",
    chromosomes: Mapping[str, str] | None = None,
    predictors: Mapping[str, Predictor] | None = None,
    progress: bool = True,
) -> tuple[ProbeResult, ...]:
    """As `probe`, with few labels in train, then with all.

    Each seed draws its own rows from its train side; fewer labels are a part of more. The
    validation rows shrink with them: whoever has few labels has few to stop by. Test is whole.

    Args:
        features: as in `probe`.
        labels: as in `probe`.
        sizes: numbers of labels to learn from, fewer than there are in train.
        seeds: as in `probe`.
        alphas: as in `probe`.
        split: as in `probe`.
        chromosomes: as in `probe`.
        predictors: as in `probe`.
        progress: as in `probe`.

    Returns:
        A result for each size, ascending, and last the one of all labels.

    Raises:
        InputError: as in `probe`, and for a size that train does not have.
    """
    predictors = predictors or {}
    targets, task = targets_of(labels)
    _check(features, predictors, seeds, len(targets))
    alphas = alphas or (ALPHAS if task == "regression" else CLASS_ALPHAS)
    together = groups_to_split(split, labels.transcripts, labels.groups, chromosomes)
    splits = [homology_split(together, seed) for seed in seeds]
    for size in sizes:
        if not 2 <= size < (fewest := min(len(train) for train, *_ in splits)):
            raise InputError(f"probe: got {size} labels to learn from, wanted 2 to {fewest - 1}")
    results = []
    steps = (len(sizes) + 1) * (len(features) + len(predictors)) * len(seeds)
    with tqdm(total=steps, desc="probe", disable=not progress) as bar:
        for size in (*sorted(sizes), None):
            parts = splits
            if size is not None:
                parts = [
                    (*few_rows(train, validation, size, seed), test)
                    for seed, (train, validation, test) in zip(seeds, splits, strict=True)
                ]
            used = [_usable(targets, task, train, test) for train, _, test in parts]
            scores: dict[str, dict[str, tuple[float, ...]]] = {}
            metrics = METRICS if task == "regression" else CLASS_METRICS
            for name in (*features, *predictors):
                values = []
                for seed, rows, columns in zip(seeds, parts, used, strict=True):
                    if name in features:
                        values.append(
                            _score_features(name, features[name], targets, columns, rows, alphas)
                        )
                    else:
                        predicted = predictors[name](*rows, seed)
                        values.append(_score_predicted(name, predicted, targets, columns, rows[2]))
                    bar.update()
                columns = zip(*values, strict=True)
                scores[name] = dict(zip(metrics, columns, strict=False))  # predictors: no alpha
            classes = 0 if task == "regression" else targets.shape[1]
            results.append(
                ProbeResult(
                    labels.label,
                    split,
                    len(targets),
                    len(set(labels.groups)),
                    tuple(seeds),
                    tuple(alphas),
                    scores,
                    task,
                    tuple(len(train) for train, *_ in parts),
                    classes,
                    tuple(int(classes - columns.sum()) for columns in used) if classes else (),
                )
            )
    return tuple(results)


def targets_of(labels: LabelSet) -> tuple[np.ndarray, Literal["regression", "classification"]]:
    """What a probe predicts: numbers (n,), or classes as bool (n, classes); and which of these."""
    targets = np.asarray(labels.targets)
    if targets.dtype == bool or np.isin(targets, (0, 1)).all():
        return targets.reshape(len(targets), -1).astype(bool), "classification"
    return targets, "regression"


def few_labels_table(results: Sequence[ProbeResult]) -> str:
    """The first metric of every feature set at every number of labels, for reading."""
    last = results[-1]
    heads = [f"{round(np.mean(result.train_rows)):,} labels" for result in results]
    lines = [("features", *heads)]
    for name in last.scores:
        lines.append((name, *(plus_minus(*result.mean(name)) for result in results)))
    return f"{metric_name(last.metrics[0])} by labels to learn from\n{aligned(lines)}"


def write_few_labels(results: Sequence[ProbeResult], path: str | os.PathLike) -> None:
    """Writes the results as a JSON list, each as `ProbeResult.to_json` does."""
    _write_json([result.as_dict() for result in results], path)


def _write_json(content, path) -> None:
    with open(path, "w") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")


def _check(
    features: Mapping[str, np.ndarray],
    predictors: Mapping[str, Predictor],
    seeds: Sequence[int],
    n: int,
) -> None:
    if len(seeds) < 2:
        raise InputError(f"probe: got {len(seeds)} seeds, wanted at least two, for an interval")
    if not features:
        raise InputError("probe: got no feature set, wanted at least one")
    for name in features.keys() & predictors.keys():
        raise InputError(f"probe: got features and a predictor '{name}', wanted different names")
    for name, matrix in features.items():
        if np.ndim(matrix) != 2 or len(matrix) != n:
            raise InputError(
                f"features '{name}': got shape {np.shape(matrix)}, wanted ({n}, width): one row a "
                "labelled transcript"
            )


def _usable(targets: np.ndarray, task: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Which classes have both values in train and in test: bool (classes,)."""
    if task == "regression":
        return np.ones(1, bool)
    sides = [targets[rows] for rows in (train, test)]
    usable = np.all([side.any(axis=0) & ~side.all(axis=0) for side in sides], axis=0)
    if not usable.any():
        raise InputError(
            f"labels: got no class of {targets.shape[1]} with both values in {len(train)} rows of "
            f"train and {len(test)} of test, wanted one"
        )
    return usable


def _score_features(
    name: str, matrix: np.ndarray, targets, columns: np.ndarray, rows: Split, alphas
) -> tuple[float, ...]:
    train, validation, test = rows
    if targets.ndim == 1:
        return fit_and_score(name, matrix, targets, train, test, alphas)
    return fit_and_score_classes(name, matrix, targets[:, columns], train, validation, test, alphas)


def _score_predicted(
    name: str, predicted: np.ndarray, targets, columns: np.ndarray, test: np.ndarray
) -> tuple[float, ...]:
    observed = targets[test]
    if targets.shape[1:] == (1,) and np.ndim(predicted) == 1:
        predicted = predicted[:, None]
    if np.shape(predicted) != observed.shape or not np.isfinite(predicted).all():
        raise InputError(
            f"predictor '{name}': got shape {np.shape(predicted)}, wanted {observed.shape} of "
            "finite numbers"
        )
    if targets.ndim == 1:
        return score_numbers(predicted, observed)
    return score_classes(predicted[:, columns], observed[:, columns])
