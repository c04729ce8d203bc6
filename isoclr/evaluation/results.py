"""What a comparison found: scores of every run, their intervals, tables, figures and JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from data_builders.labels.base import MULTILABEL
from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.evaluation.scores import METRIC_NAMES, METRICS, score
from isoclr.statistics import (
    INTERVAL,
    Interval,
    aligned,
    cluster_weights,
    corrected_gain,
    corrected_mean,
    plus_minus,
)

Count = int | float
"""How many labels to learn from: an int is so many rows of train, a float that share of them."""

_ABOUT = ("label", "task", "split", "rows", "groups", "classes", "unit", "group_unit", "about")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Predictions of test rows, beside what was measured.

    Attributes:
        task: one of `data_builders.labels.base.TASK_TYPES`.
        rows: row numbers, (test,).
        predicted: in the form of `Prediction.test`; of a multilabel task the scored classes alone.
        observed: in the form of `Labels.targets`, likewise.
        threshold: of a binary task: what is predicted at least this is called positive.
    """

    task: str
    rows: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    threshold: float | None

    def scores(self) -> dict[str, float]:
        """Return metric -> value."""
        return score(self.task, self.predicted, self.observed, self.threshold)

    def weighted_scores(self, weights: np.ndarray) -> dict[str, float] | None:
        """Return the scores when each row of the whole table counts so often; None if undefined."""
        rows = np.repeat(np.arange(len(self.rows)), weights[self.rows])
        observed = self.observed[rows]
        if not len(rows) or (observed == observed[:1]).all(axis=0).any():
            return None
        return score(self.task, self.predicted[rows], observed, self.threshold)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One predictor on one split with one number of labels.

    Attributes:
        predictor: its name.
        labels: how many were asked for.
        seed: of the split.
        fold: of the split.
        train: rows learned from.
        validation: rows for choices.
        test: rows scored.
        train_side: rows of train in the whole split.
        scores: metric -> value on test.
        choices: of the predictor, such as a penalty.
        classes_left_out: classes of a multilabel task without both values in train and test.
        seconds: that it took.
    """

    predictor: str
    labels: Count
    seed: int
    fold: int
    train: int
    validation: int
    test: int
    train_side: int
    scores: dict[str, float]
    choices: dict[str, float]
    classes_left_out: int
    seconds: float

    @property
    def key(self) -> tuple:
        """What tells a run from the others of a comparison."""
        return self.predictor, self.labels, self.seed, self.fold


@dataclass(frozen=True, kw_only=True)
class Results:
    """Scores of predictors on the same splits.

    In the methods, `metric` None is the first metric and `labels` None the largest label count.

    Attributes:
        label: what was measured.
        task: one of `data_builders.labels.base.TASK_TYPES`.
        split: the name of the kind of split.
        rows: number of labelled rows.
        groups: number of groups that splits keep on one side, 0 of none.
        classes: number of classes, 0 for a number or yes and no.
        unit: what a row is, in the plural.
        group_unit: what a group is, in the plural.
        runs: by predictor; the first predictor is the reference.
        about: what else the JSON should say, such as settings.
        predictions: `Run.key` -> the predictions of its test rows, of the runs that were made now
            and not read from a log or a file.
    """

    label: str
    task: str
    split: str
    rows: int
    groups: int
    classes: int
    unit: str
    group_unit: str
    runs: tuple[Run, ...]
    about: dict = field(default_factory=dict)
    predictions: dict[tuple, Predicted] = field(default_factory=dict, repr=False, compare=False)

    @property
    def predictors(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(dict.fromkeys(run.predictor for run in self.runs))

    @property
    def reference(self) -> str:
        """The predictor that the others are compared with: the first."""
        return self.predictors[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is scored; figures and comparisons show the first."""
        return METRICS[self.task]

    @property
    def label_counts(self) -> tuple[Count, ...]:
        """The label counts, ascending by the rows that they mean."""
        return tuple(sorted({run.labels for run in self.runs}, key=self.train_rows))

    def train_rows(self, labels: Count) -> float:
        """Return the rows learned from, the mean over runs."""
        return float(np.mean([run.train for run in self.runs if run.labels == labels]))

    def at(self, labels: Count) -> "Results":
        """Return the results of one label count."""
        return replace(self, runs=tuple(run for run in self.runs if run.labels == labels))

    def of(self, predictor: str, labels: Count | None = None) -> dict[tuple[int, int], Run]:
        """Return (seed, fold) -> run of a predictor, in the order of the splits."""
        labels = self.label_counts[-1] if labels is None else labels
        wanted = (predictor, labels)
        return {(r.seed, r.fold): r for r in self.runs if (r.predictor, r.labels) == wanted}

    def values(
        self, predictor: str, metric: str | None = None, labels: Count | None = None
    ) -> list[float]:
        """Return the score of each split."""
        runs = self.of(predictor, labels).values()
        return [run.scores[metric or self.metrics[0]] for run in runs]

    def mean(
        self, predictor: str, metric: str | None = None, labels: Count | None = None
    ) -> Interval:
        """Return the mean over splits and half the width of its interval, see `corrected_mean`."""
        ratio = _test_to_train(self.of(predictor, labels).values())
        return corrected_mean(self.values(predictor, metric, labels), ratio)

    def gain(
        self,
        predictor: str,
        metric: str | None = None,
        labels: Count | None = None,
        reference: str | None = None,
    ) -> tuple[float | None, float | None, float | None]:
        """Return what a predictor has over another, on the splits of both; see `corrected_gain`."""
        metric = metric or self.metrics[0]
        mine, others = self.of(predictor, labels), self.of(reference or self.reference, labels)
        both = [key for key in mine if key in others]
        return corrected_gain(
            [mine[key].scores[metric] for key in both],
            [others[key].scores[metric] for key in both],
            _test_to_train([mine[key] for key in both]),
        )

    def cluster_intervals(
        self,
        clusters: Sequence[Sequence],
        metric: str | None = None,
        labels: Count | None = None,
        resamples: int = 1000,
        seed: int = 0,
    ) -> dict[str, dict[str, tuple[float, float, float]]]:
        """Return intervals over clusters of rows, by a bootstrap: the chance in the test rows.

        Each resample draws clusters, see `cluster_weights`, scores every split on the rows that its
        clusters bring, and takes the mean over splits. A split whose rows cannot be scored, such as
        those of one class, is left out of that resample.

        Args:
            clusters: for each way that rows are alike, the cluster of each of all rows.
            metric: None: the first.
            labels: None: the largest label count.
            resamples: how many.
            seed: of the draws.

        Returns:
            Predictor -> "mean" and "gain" over the first predictor -> the value and the ends of its
            95 % percentile interval.

        Raises:
            InputError: runs that were read from a log or a file, whose predictions are not kept.
        """
        metric = metric or self.metrics[0]
        weights = cluster_weights(clusters, resamples, seed)
        means = {
            name: np.array([self._resampled(name, metric, labels, row) for row in weights])
            for name in self.predictors
        }
        return self.around(means, metric, labels)

    def around(
        self, draws: dict[str, np.ndarray], metric: str, labels: Count | None = None
    ) -> dict[str, dict[str, tuple[float, float, float]]]:
        """Return what `cluster_intervals` does, of a predictor's mean in every resample."""
        found = {}
        for name, values in draws.items():
            gains = values - draws[self.reference]
            both = (self.mean(name, metric, labels)[0], self.gain(name, metric, labels)[0])
            found[name] = {
                what: (value, *np.nanquantile(drawn, (0.025, 0.975)).tolist())
                for what, value, drawn in zip(("mean", "gain"), both, (values, gains), strict=True)
            }
        return found

    def _resampled(self, name: str, metric: str, labels: Count | None, weights) -> float:
        scores = []
        for run in self.of(name, labels).values():
            if run.key not in self.predictions:
                raise InputError(
                    f"{self.label}: {name}: got a run without its predictions, wanted a comparison "
                    "that made all its runs itself, for a bootstrap"
                )
            scored = self.predictions[run.key].weighted_scores(weights)
            scores += [] if scored is None else [scored[metric]]
        return float(np.mean(scores)) if scores else np.nan

    def title(self) -> str:
        """Say what was measured, on how much."""
        grouped = f"{self.groups:,} {self.group_unit}, " if self.groups else ""
        if self.about.get("cropped"):
            grouped = (
                f"{self.about['cropped']:,} cropped to {self.about['max_length']:,} nt, {grouped}"
            )
        title = (
            f"{self.label}: {self.rows:,} {self.unit}, {grouped}{self.split} split, "
            f"{self._splits()}"
        )
        if self.task != MULTILABEL:
            return title
        scored = sorted({self.classes - run.classes_left_out for run in self.runs})
        span = f"{scored[0]} to {scored[-1]}" if len(scored) > 1 else f"{scored[0]}"
        return f"{title}, {span} of {self.classes} classes"

    def _splits(self) -> str:
        """How many splits a mean is of, such as "3 seeds", or "2 to 5 seeds" where they differ."""
        counts = []
        for labels in self.label_counts:
            found = [self.of(name, labels) for name in self.predictors]
            counts += [len({seed for seed, _ in runs}) for runs in found if runs]
        folds = len({run.fold for run in self.runs})
        span = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{max(counts)}"
        return (f"{folds} folds × " if folds > 1 else "") + f"{span} seed{'s' * (max(counts) > 1)}"

    def table(self) -> str:
        """Return the scores of the largest label count; then the curve, if there are several."""
        metric = METRIC_NAMES[self.metrics[0]]
        head = ["predictor", *(METRIC_NAMES[m] for m in self.metrics), "chosen"]
        lines = [[*head, f"{metric} - that of {self.reference}", "p"]]
        for name in self.predictors:
            cells = [plus_minus(*self.mean(name, m)) for m in self.metrics]
            gain, half_width, p = self.gain(name)
            versus = [plus_minus(gain, half_width, sign="+"), "" if p is None else f"{p:.1g}"]
            versus = versus if name != self.reference else ["", ""]
            lines.append([name, *cells, self._chosen(name), *versus])
        columns = zip(*lines, strict=True)
        lines = zip(*(column for column in columns if any(column[1:])), strict=True)
        tables = [self.title(), aligned(list(lines)), f"± is half of {INTERVAL}."]
        return "\n".join(tables + ([self.curve_table()] if len(self.label_counts) > 1 else []))

    def _chosen(self, name: str) -> str:
        choices = [run.choices for run in self.of(name).values()]
        spans = []
        for choice in choices[0] if choices else ():
            values = [each[choice] for each in choices]
            spans.append(f"{choice} {min(values):.3g} … {max(values):.3g}")
        return ", ".join(spans)

    def curve_table(self) -> str:
        """Return the first metric by label count, one aligned line a predictor."""
        heads = [f"{round(self.train_rows(labels)):,} labels" for labels in self.label_counts]
        lines = [["predictor", *heads]]
        for name in self.predictors:
            means = [self.mean(name, labels=labels) for labels in self.label_counts]
            lines.append([name, *(plus_minus(*mean) for mean in means)])
        return f"{METRIC_NAMES[self.metrics[0]]} by labels to learn from\n{aligned(lines)}"

    def as_dict(self) -> dict:
        """Return JSON's types: what was compared, a summary by label count, and every run.

        "summary" has for each predictor each metric as [mean, half-width], and "gain_over_first" as
        [difference, half-width, p], of the largest label count. "few_labels" has "train_rows" and
        "summary" of each smaller one.
        """
        *few, most = self.label_counts
        return {
            **{key: getattr(self, key) for key in _ABOUT},
            "seeds": list(dict.fromkeys(run.seed for run in self.runs)),
            "interval": INTERVAL,
            **self._summary(most),
            "few_labels": [self._summary(labels) for labels in few],
            "runs": [asdict(run) for run in self.runs],
        }

    def _summary(self, labels: Count) -> dict:
        return {
            "train_rows": round(self.train_rows(labels)),
            "summary": {
                name: {metric: self.mean(name, metric, labels) for metric in self.metrics}
                | {"gain_over_first": self.gain(name, labels=labels)}
                for name in self.predictors
                if self.of(name, labels)
            },
        }

    def figure(self, path: str | os.PathLike) -> None:
        """Draw the first metric: over the label counts if there are several, else each split."""
        from isoclr.evaluation.figures_results import plot_curve, plot_splits

        (plot_curve if len(self.label_counts) > 1 else plot_splits)(self, path)

    def to_json(self, path: str | os.PathLike) -> None:
        """Write `as_dict` as one JSON object, which `read_results` reads."""
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False)
        Path(path).write_text(text + "\n")


def read_results(path: str | os.PathLike) -> Results:
    """Read what `Results.to_json` wrote; intervals and summaries are computed anew from runs."""
    what = "results that isoclr wrote"
    content = read_json(path, (*_ABOUT, "runs"), what)
    try:
        runs = tuple(Run(**run) for run in content["runs"])
    except TypeError as error:
        raise InputError(f"{path}: runs: {error}, wanted {what}") from error
    return Results(**{key: content[key] for key in _ABOUT}, runs=runs)


def _test_to_train(runs) -> float:
    """Test rows for each row of the whole train side, the mean over splits.

    Few labels are drawn from the whole side: splits overlap by the sides, not by the labels drawn.
    """
    ratios = [run.test / run.train_side for run in runs]
    return float(np.mean(ratios)) if ratios else 0.0
