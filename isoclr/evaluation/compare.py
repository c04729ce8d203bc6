"""One comparison for every evaluation: predictors on the same splits, by number of labels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, SURVIVAL, Labels
from data_builders.labels.splits import Split, few_rows
from data_builders.records import InputError
from isoclr.evaluation.results import Count, Predicted, Results, Run, read_results
from isoclr.evaluation.scores import best_threshold
from isoclr.progress import progress as progress_bar

__all__ = [
    "ALL",
    "Fold",
    "Labels",
    "Predicted",
    "Prediction",
    "Predictor",
    "Results",
    "RunLog",
    "Split",
    "compare",
    "fold_of",
    "read_results",
]

ALL = 1.0
"""All labels of train, as a label count."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What a predictor gets of a split. No label of a test row is in it.

    Attributes:
        task: one of `data_builders.labels.base.TASK_TYPES`.
        classes: how many, of a multiclass or multilabel task, else 0.
        train: row numbers to learn from.
        validation: row numbers for choices, such as a penalty or when to stop.
        test: row numbers to predict.
        train_targets: the labels of `train`, in the form of `Labels.targets`.
        validation_targets: the labels of `validation`, in the same form.
        seed: of what the predictor draws.
    """

    task: str
    classes: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_targets: np.ndarray
    validation_targets: np.ndarray
    seed: int


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a predictor returns.

    Attributes:
        test: of the test rows: numbers (test,) for regression; scores, higher for likelier, (test,)
            for binary and survival (an early event) and (test, classes) for the others.
        validation: the same of the validation rows. A binary task needs them: its threshold is
            chosen there, by MCC.
        choices: what was chosen, by name, such as {"alpha": 10.0}.
    """

    test: np.ndarray
    validation: np.ndarray | None = None
    choices: dict[str, float] = field(default_factory=dict)


class Indexed(Protocol):
    """What an array of row numbers indexes, such as features (n, width) or `Lazy` ones."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        """Return those rows."""
        ...


class Predictor(Protocol):
    """Learns from the train rows of a fold, and predicts its test rows.

    A predictor holds its features, which may be anything that row numbers index. A function will
    do::

        def forest(fold):
            model = RandomForestRegressor(random_state=fold.seed)
            return model.fit(x[fold.train], fold.train_targets).predict(x[fold.test])
    """

    def __call__(self, fold: Fold) -> Prediction | np.ndarray:
        """Return a `Prediction`, or its `test` alone."""
        ...


class RunLog:
    """Finished runs as lines of JSON, after a line that says what they have in common.

    What identifies data, model and settings belongs into `about`; a file of something else is an
    InputError.
    """

    def __init__(self, path: Path, about: Mapping):
        self.path, self.about = Path(path), dict(about)
        # A last line without its end was cut short; it does not count.
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        head = records[0] if records else self.about
        for key, value in self.about.items():
            if head.get(key) != value:
                raise InputError(
                    f"{path}: {key}: got {head.get(key)!r} in it, wanted {value!r} as in this run: "
                    "choose another output"
                )
        self.runs = [Run(**record) for record in records[1:]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}")
        partial.write_text("".join(json.dumps(each) + "\n" for each in [head, *records[1:]]))
        partial.replace(self.path)

    def write(self, run: Run) -> None:
        """Append a run."""
        self.runs.append(run)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run), allow_nan=False) + "\n")


def compare(
    predictors: Mapping[str, Predictor],
    labels: Labels,
    splits: Sequence[Split],
    label_counts: Sequence[Count] = (ALL,),
    *,
    log: RunLog | None = None,
    progress: bool = True,
) -> Results:
    """Score predictors on the same splits, with few labels and with many.

    Fewer labels of a split are a part of more; of classes, one row each comes first, then rows in
    proportion. The validation rows shrink too, to ten at least: whoever has few labels has few to
    stop by. Test is whole. Small label counts are run first.

    Args:
        predictors: by name; the others are compared with the first.
        labels: of n rows.
        splits: of the rows, each with its own seed and fold. An interval needs two or more.
        label_counts: how many labels to learn from: an int is so many rows of train, a float that
            share of them.
        log: has the finished runs of a comparison that was stopped, and gets the new ones. The
            results have all of them.
        progress: show a bar on stderr.

    Raises:
        InputError: no predictor, no split, two of one seed and fold, a label count that train does
            not have, labels without two values on a side, or predictions of another shape or not
            finite.
    """
    if not predictors:
        raise InputError(f"{labels.label}: got no predictor, wanted at least one")
    keys = [(split.seed, split.fold) for split in splits]
    if not keys or len(set(keys)) < len(keys):
        raise InputError(
            f"{labels.label}: got {len(keys)} splits of {len(set(keys))} seeds and folds, "
            "wanted one or more, each with its own"
        )
    runs = {run.key: run for run in log.runs} if log else {}
    todo = []
    for count in sorted(label_counts, key=lambda count: _size(count, splits[0])):
        for split in splits:
            few = _with_few_labels(labels, split, count)
            todo += [(name, count, few, len(split.train)) for name in predictors]
    todo = [step for step in todo if (*step[:2], step[2].seed, step[2].fold) not in runs]
    predictions = {}
    with progress_bar(todo, "compare", unit="run", show=progress) as bar:
        for name, count, split, train_side in bar:
            bar.set_postfix_str(f"{name}, {len(split.train):,} labels")
            began = perf_counter()
            predicted, choices, left_out = _run(name, predictors[name], labels, split)
            run = Run(
                predictor=name,
                labels=count,
                seed=split.seed,
                fold=split.fold,
                train=len(split.train),
                validation=len(split.validation),
                test=len(split.test),
                train_side=train_side,
                scores=predicted.scores(),
                choices=choices,
                classes_left_out=left_out,
                seconds=round(perf_counter() - began, 1),
            )
            runs[run.key], predictions[run.key] = run, predicted
            if log:
                log.write(run)
    names = list(dict.fromkeys([*predictors, *(run.predictor for run in runs.values())]))
    return Results(
        label=labels.label,
        task=labels.task,
        split=splits[0].kind,
        rows=len(labels.targets),
        groups=len(set(labels.groups)),
        classes=len(labels.classes),
        unit=labels.unit,
        group_unit=labels.group_unit,
        runs=tuple(sorted(runs.values(), key=lambda run: names.index(run.predictor))),
        about=log.about if log else {},
        predictions=predictions,
    )


def fold_of(labels: Labels, split: Split) -> Fold:
    """Return what a predictor gets of a split."""
    targets = np.asarray(labels.targets)
    return Fold(
        task=labels.task,
        classes=len(labels.classes) if labels.task in (MULTICLASS, MULTILABEL) else 0,
        train=split.train,
        validation=split.validation,
        test=split.test,
        train_targets=targets[split.train],
        validation_targets=targets[split.validation],
        seed=split.seed,
    )


def _with_few_labels(labels: Labels, split: Split, count: Count) -> Split:
    """The split with `count` labels in train, and the validation rows in proportion."""
    size = _size(count, split)
    if not 2 <= size <= len(split.train):
        raise InputError(
            f"{labels.label}: labels to learn from: got {count}, {size} of {len(split.train)} rows "
            "of train, wanted at least 2 and no more than there are"
        )
    if size == len(split.train):
        return split
    classes = labels.targets if labels.task in (BINARY, MULTICLASS) else None
    if labels.task == SURVIVAL:  # events in proportion, or few labels may have none
        classes = labels.targets[:, 1]
    train, validation = few_rows(split.train, split.validation, size, split.seed, classes)
    return split._replace(train=train, validation=validation)


def _size(count: Count, split: Split) -> int:
    """How many rows of train a label count means."""
    if isinstance(count, int):
        return count
    return round(count * len(split.train)) if np.isfinite(count) else 0


def _run(
    name: str, predictor: Predictor, labels: Labels, split: Split
) -> tuple[Predicted, dict[str, float], int]:
    """The predictions of test, what the predictor chose, and how many classes are left out."""
    targets = np.asarray(labels.targets)
    scored = _scored_classes(labels, split)
    fold = fold_of(labels, split)
    try:
        found = predictor(fold)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if not isinstance(found, Prediction):
        found = Prediction(test=found)
    shape = (fold.classes,) if labels.task in (MULTICLASS, MULTILABEL) else ()
    predicted = _checked(name, "test", found.test, (len(split.test), *shape))
    threshold = None
    if labels.task == BINARY:
        if found.validation is None:
            raise InputError(
                f"{name}: got predictions of test rows alone, wanted those of the validation rows "
                "too: the threshold is chosen there"
            )
        on_validation = _checked(name, "validation", found.validation, (len(split.validation),))
        threshold = best_threshold(on_validation, fold.validation_targets)
    columns = (slice(None), scored) if labels.task == MULTILABEL else slice(None)
    of_test = Predicted(
        task=labels.task,
        rows=split.test,
        predicted=predicted[columns],
        observed=targets[split.test][columns],
        threshold=threshold,
    )
    choices = {name: float(value) for name, value in found.choices.items()}
    return of_test, choices, int((~scored).sum())


def _scored_classes(labels: Labels, split: Split) -> np.ndarray:
    """Which classes have both values in train and in test: bool (classes,); one True of others."""
    targets = np.asarray(labels.targets)
    if labels.task == SURVIVAL:
        targets = targets[:, 0]
    sides = [targets[rows] for rows in (split.train, split.test)]
    if labels.task != MULTILABEL:
        sides = [(side == side[0])[:, None] for side in sides]
    usable = np.all([side.any(axis=0) & ~side.all(axis=0) for side in sides], axis=0)
    if not usable.any():
        what = f"class of {len(usable)} with both values" if labels.classes else "two values"
        raise InputError(
            f"{labels.label}: got no {what} in {len(sides[0])} rows of train and "
            f"{len(sides[1])} of test, wanted one"
        )
    return usable


def _checked(name: str, side: str, predicted: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    predicted = np.asarray(predicted)
    if predicted.shape == (*shape, 1):
        predicted = predicted[..., 0]
    if predicted.shape != shape or not np.isfinite(predicted).all():
        raise InputError(
            f"{name}: predictions of {side}: got shape {predicted.shape}, wanted {shape} of finite "
            "numbers"
        )
    return predicted
