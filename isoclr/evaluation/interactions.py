"""Does this RNA bind this protein, and is that more than memory: the table of a set of pairs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from data_builders.interactions.dataset import (
    CLUSTER,
    InteractionSet,
    Molecule,
    clusters_of,
)
from data_builders.interactions.splits import (
    KINDS,
    interaction_folds,
    positives_of,
    with_redrawn_negatives,
)
from data_builders.labels.base import BINARY, Labels
from data_builders.labels.splits import SEEDS
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Prediction, Predictor, Results, compare
from isoclr.evaluation.interactions_predictors import CONTROLS, plain_predictors
from isoclr.evaluation.scores import METRIC_NAMES
from isoclr.statistics import (
    aligned,
    cluster_weights,
    corrected_mean,
    markdown_table,
    plus_minus,
)

REDRAWN, GIVEN = NEGATIVES = ("redrawn", "given")
"""Negatives drawn inside each side of each split; or those of the set."""

_BINS = 10
_LEAST_SLOPE = 1e-3
_SHOWN = ("auroc", "auprc", "mcc", "f1", "precision", "recall", "accuracy")
_MORE_NAMES = {"brier": "Brier", "ece": "ECE", "auroc_by_protein": "AUROC by protein"}

MakePredictor = Callable[[InteractionSet], Predictor]
"""From the pairs of a split to a predictor of their row numbers."""


@dataclass(frozen=True, kw_only=True)
class InteractionOptions:
    """How a set is evaluated.

    Attributes:
        kinds: of splits, of `data_builders.interactions.splits.KINDS`.
        negatives: one of `NEGATIVES`.
        split_by: what stays on one side, clusters or families, see `clusters_of`.
        folds: of each cut; a fold is test once.
        seeds: one cut each.
        trees: of the forests.
        controls: what stands beside the models and the k-mer forest, some of `CONTROLS`.
        resamples: of the bootstrap over clusters.
        progress: show bars on stderr.
    """

    kinds: Sequence[str] = KINDS
    negatives: str = REDRAWN
    split_by: str = CLUSTER
    folds: int = 4
    seeds: Sequence[int] = SEEDS[:2]
    trees: int = 60
    controls: Sequence[str] = CONTROLS
    resamples: int = 500
    progress: bool = True


@dataclass(frozen=True, kw_only=True)
class KindResults:
    """What one kind of split found.

    Attributes:
        results: of `compare`.
        more: predictor -> Brier score, expected calibration error and AUROC by protein, each with
            its mean over splits and half its interval; None where it is not defined.
        bootstrap: predictor -> the AUROC and what it has over the first, each with the ends of its
            95 % percentile interval over clusters of RNAs and of proteins.
        called: predictor -> share of the strangers, and of the pairs of test that interact, which
            are called interacting; empty without strangers.
        called_at_half: predictor -> the same and of the pairs of test that do not, where a
            calibrated probability of at least 0.5 is called so.
        missing: negatives that could not be drawn, over all sides of all splits.
    """

    results: Results
    more: dict[str, dict[str, tuple]]
    bootstrap: dict[str, dict[str, tuple]]
    called: dict[str, tuple[float, float]] = field(default_factory=dict)
    called_at_half: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    missing: int = 0

    def table(self) -> str:
        """Return one line a predictor, for reading."""
        results = self.results
        heads = ["predictor", *(METRIC_NAMES[m] for m in _SHOWN), *_MORE_NAMES.values()]
        heads += ["AUROC over clusters", f"- {results.reference}", "p"]
        lines = [heads]
        for name in results.predictors:
            cells = [plus_minus(*results.mean(name, m)) for m in _SHOWN]
            cells += [plus_minus(*self.more[name][m]) for m in _MORE_NAMES]
            _, low, high = self.bootstrap[name]["mean"]
            gain, half, p = results.gain(name)
            versus = [plus_minus(gain, half, "+"), "" if p is None else f"{p:.1g}"]
            cells += [f"{low:.3f} … {high:.3f}", *(versus if name != results.reference else "  ")]
            lines.append([name, *map(str.strip, cells)])
        said = [results.title(), aligned(lines)]
        if self.missing:
            said.append(f"{self.missing:,} negatives are missing: hubs bind nearly everything")
        for name, (strangers, positives) in self.called.items():
            said.append(
                f"{name}: calls {strangers:.3f} of the strangers interacting, {positives:.3f} of "
                "the pairs that do"
            )
        return "\n".join(said)

    def as_dict(self) -> dict:
        """Return JSON's types."""
        return self.results.as_dict() | {
            "more": self.more,
            "bootstrap": self.bootstrap,
            "called": self.called,
            "called_at_half": self.called_at_half,
            "missing_negatives": self.missing,
        }


def evaluate_interactions(
    interactions: InteractionSet,
    name: str,
    output: Path,
    options: InteractionOptions | None = None,
    models: Mapping[str, MakePredictor] | None = None,
    strangers: InteractionSet | None = None,
) -> dict[str, KindResults]:
    """Evaluate models beside what sees no sequence, one sequence, and plain models of both.

    Scores are turned into probabilities by Platt's logistic curve, fitted to the validation rows;
    the threshold is chosen there too.

    Args:
        interactions: the set.
        name: of the set, for titles.
        output: folder; NAME_KIND.json and figures are written as soon as a kind is done.
        options: of splits and controls.
        models: name -> from the pairs, with the negatives that were drawn, to a predictor.
        strangers: pairs that do not interact, of proteins that are not known to bind RNA; a share
            of them is called interacting.

    Returns:
        Kind -> what it found, in the order of `options.kinds`.

    Raises:
        InputError: as `interaction_folds` and `compare`.
    """
    from isoclr.evaluation.interactions_figures import plot_kind, plot_kinds

    options = options or InteractionOptions()
    if options.negatives not in NEGATIVES:
        raise InputError(f"negatives: got {options.negatives!r}, wanted redrawn or given")
    output.mkdir(parents=True, exist_ok=True)
    found = {}
    for kind in options.kinds:
        found[kind] = _evaluate_kind(interactions, name, kind, options, models or {}, strangers)
        path = output / f"{name}_{kind}_{options.negatives}"
        text = json.dumps(found[kind].as_dict(), indent=1, allow_nan=False)
        path.with_suffix(".json").write_text(text + "\n")
        path.with_suffix(".txt").write_text(found[kind].table() + "\n", encoding="utf-8")
        plot_kind(found[kind], path.with_suffix(".png"))
    plot_kinds(found, output / f"{name}_{options.negatives}.png")
    return found


def sets_table(found: Mapping[str, Mapping[str, Results]]) -> str:
    """Return the AUROC of set -> kind of split -> results, in Markdown, a column a predictor."""
    every = [results for kinds in found.values() for results in kinds.values()]
    names = list(dict.fromkeys(name for results in every for name in results.predictors))
    lines = [[METRIC_NAMES["auroc"], "split", *names]]
    for of_set, kinds in found.items():
        for kind, results in kinds.items():
            means = {name: results.mean(name, "auroc") for name in results.predictors}
            cells = [plus_minus(*means.get(name, (None, None))) for name in names]
            lines.append([of_set, kind, *cells])
    return markdown_table(lines)


def write_sets(found: Mapping[str, Mapping[str, KindResults]], output: Path, name: str) -> str:
    """Write NAME.json, .txt and .png of set -> kind of split -> what was found, for a card.

    The JSON is that of each kind without its runs; the table, which is returned, has the AUROC.
    """
    from isoclr.evaluation.interactions_figures import plot_sets

    results = {
        of_set: {kind: each.results for kind, each in kinds.items()}
        for of_set, kinds in found.items()
    }
    sets = {
        of_set: {
            kind: {key: value for key, value in each.as_dict().items() if key != "runs"}
            for kind, each in kinds.items()
        }
        for of_set, kinds in found.items()
    }
    table = sets_table(results)
    names = dict.fromkeys(
        n for kinds in results.values() for r in kinds.values() for n in r.predictors
    )
    content = {"models": [name for name in names if name not in CONTROLS], "sets": sets}
    text = json.dumps(content, indent=1, allow_nan=False)
    (output / f"{name}.json").write_text(text + "\n")
    (output / f"{name}.txt").write_text(table + "\n", encoding="utf-8")
    plot_sets(results, output / f"{name}.png")
    return table


def _evaluate_kind(interactions, name, kind, options, models, strangers) -> KindResults:
    pairs = positives_of(interactions) if options.negatives == REDRAWN else interactions
    splits = [
        split
        for seed in options.seeds
        for split in interaction_folds(pairs, kind, options.folds, seed, options.split_by)
    ]
    count, missing = len(pairs), 0
    unit = "pairs"
    if options.negatives == REDRAWN:
        unit = "pairs that interact, negatives drawn inside each side"
        pairs, splits, missing = with_redrawn_negatives(pairs, splits)
    with_strangers, extra = _joined(pairs, strangers)
    predictors = plain_predictors(with_strangers, options.trees, options.controls)
    predictors |= {model: make(with_strangers) for model, make in models.items()}
    calibrated = {key: Calibrated(predictor, extra) for key, predictor in predictors.items()}
    labels = Labels(label=name, task=BINARY, targets=pairs.label.astype(bool), unit=unit)
    results = compare(calibrated, labels, splits, progress=options.progress)
    clusters = (
        clusters_of(pairs.rnas, options.split_by)[pairs.rna],
        clusters_of(pairs.proteins, options.split_by)[pairs.protein],
    )
    return KindResults(
        results=replace(results, rows=count),
        more={key: _more(results, key, pairs.protein) for key in predictors},
        bootstrap=bootstrap_auroc(results, clusters, options.resamples),
        called={key: _called(results, key, calibrated[key]) for key in predictors if len(extra)},
        called_at_half={
            key: _called_at_half(results, key, calibrated[key]) for key in predictors if len(extra)
        },
        missing=missing,
    )


class Calibrated:
    """A predictor whose scores are made probabilities by its validation rows.

    It scores `extra` rows beside those of test, which no metric counts.
    """

    def __init__(self, predictor: Predictor, extra: np.ndarray):
        self.predictor, self._rows = predictor, extra
        self.extra: dict[tuple[int, bytes], np.ndarray] = {}

    def __call__(self, fold: Fold) -> Prediction:
        """Predict a fold; the scores of the extra rows are kept by seed and test rows."""
        asked = replace(fold, test=np.concatenate([fold.test, self._rows]))
        found = self.predictor(asked)
        if not isinstance(found, Prediction) or found.validation is None:
            raise InputError("got no predictions of the validation rows, wanted them")
        on_validation = np.asarray(found.validation, float)
        scale, shift = _platt(on_validation, fold.validation_targets)
        on_test = _probability(np.asarray(found.test, float), scale, shift)
        self.extra[fold.seed, fold.test.tobytes()] = on_test[len(fold.test) :]
        return Prediction(
            test=on_test[: len(fold.test)],
            validation=_probability(on_validation, scale, shift),
            choices=found.choices,
        )


def _platt(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and shift of a logistic curve; it rises at least a little, so that order is kept."""
    spread = scores.std()
    if spread == 0 or labels.all() or not labels.any():
        return 0.0, 0.0
    centre = scores.mean()
    model = LogisticRegression(C=1.0).fit(((scores - centre) / spread)[:, None], labels)
    slope = max(float(model.coef_[0, 0]), _LEAST_SLOPE)
    return slope / spread, float(model.intercept_[0]) - slope * centre / spread


def _probability(scores: np.ndarray, slope: float, shift: float) -> np.ndarray:
    if slope == 0:
        return np.full(len(scores), 0.5)
    return 1 / (1 + np.exp(-np.clip(slope * scores + shift, -500, 500)))


def _joined(
    pairs: InteractionSet, strangers: InteractionSet | None
) -> tuple[InteractionSet, np.ndarray]:
    """The pairs followed by the strangers, and the row numbers of these."""
    if strangers is None:
        return pairs, np.zeros(0, np.int64)
    joined = replace(
        pairs,
        rnas=(*pairs.rnas, *(_named(rna) for rna in strangers.rnas)),
        proteins=(*pairs.proteins, *(_named(protein) for protein in strangers.proteins)),
        rna=np.concatenate([pairs.rna, strangers.rna + len(pairs.rnas)]).astype(np.int32),
        protein=np.concatenate([pairs.protein, strangers.protein + len(pairs.proteins)]).astype(
            np.int32
        ),
        label=np.concatenate([pairs.label, strangers.label]),
        source=(*pairs.source, *strangers.source),
    )
    return joined, np.arange(len(pairs), len(joined))


def _named(molecule: Molecule) -> Molecule:
    return replace(molecule, id=f"stranger {molecule.id}")


def _more(results: Results, name: str, protein: np.ndarray) -> dict[str, tuple]:
    """Calibration, and the mean over proteins of the AUROC among a protein's own pairs."""
    found: dict[str, list[float]] = {key: [] for key in _MORE_NAMES}
    runs = results.of(name).values()
    for run in runs:
        predicted = results.predictions[run.key]
        found["brier"].append(float(np.mean((predicted.predicted - predicted.observed) ** 2)))
        found["ece"].append(calibration_error(predicted.predicted, predicted.observed))
        area = auroc_by_group(predicted.predicted, predicted.observed, protein[predicted.rows])
        found["auroc_by_protein"] += [] if area is None else [area]
    ratio = float(np.mean([run.test / run.train_side for run in runs]))
    return {key: corrected_mean(values, ratio) for key, values in found.items()}


def calibration_bins(probability: np.ndarray) -> np.ndarray:
    """Return the bin of each row, int64 (n,): ten of about as many rows, equal rows in one."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.searchsorted(edges, probability, side="left")


def calibration_error(probability: np.ndarray, observed: np.ndarray) -> float:
    """Return the expected calibration error (Naeini et al. 2015) over ten bins of about equal size.

    Rows of one probability are in one bin.
    """
    bins = calibration_bins(probability)
    gaps = [
        abs((probability[bins == number] - observed[bins == number]).sum())
        for number in np.unique(bins)
    ]
    return float(sum(gaps) / len(probability))


def auroc_by_group(scores: np.ndarray, observed: np.ndarray, groups: np.ndarray) -> float | None:
    """Return the mean AUROC within groups that have both labels; None where none has."""
    areas = []
    for group in np.unique(groups):
        inside = groups == group
        if 0 < observed[inside].sum() < inside.sum():
            weights = np.ones((1, int(inside.sum())))
            areas.append(float(weighted_auroc(scores[inside], observed[inside], weights)[0]))
    return float(np.mean(areas)) if areas else None


def weighted_auroc(scores: np.ndarray, observed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUROC under weightings (m, n) of the rows; NaN where one label is absent.

    Equal scores count half.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    positive = np.add.reduceat(weights[:, order] * observed[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~observed[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    product = positive.sum(axis=1) * negative.sum(axis=1)
    area = (positive * below).sum(axis=1).astype(float)
    return np.divide(area, product, where=product > 0, out=np.full(len(area), np.nan))


def bootstrap_auroc(
    results: Results, clusters: Sequence[np.ndarray], resamples: int
) -> dict[str, dict[str, tuple]]:
    """Return what `Results.cluster_intervals` does, of the AUROC alone, and much faster."""
    weights = cluster_weights(clusters, resamples)
    draws = {}
    for name in results.predictors:
        of_runs = []
        for run in results.of(name).values():
            predicted = results.predictions[run.key]
            of_rows = weights[:, predicted.rows]
            of_runs.append(weighted_auroc(predicted.predicted, predicted.observed, of_rows))
        draws[name] = np.nanmean(of_runs, axis=0)
    return results.around(draws, "auroc")


def _called(results: Results, name: str, calibrated: Calibrated) -> tuple[float, float]:
    """The shares of the strangers and of the positives that are called, means over splits."""
    strangers, positives = [], []
    for run in results.of(name).values():
        predicted = results.predictions[run.key]
        extra = calibrated.extra[run.seed, predicted.rows.tobytes()]
        strangers.append(float(np.mean(extra >= predicted.threshold)))
        positives.append(run.scores["recall"])
    return float(np.mean(strangers)), float(np.mean(positives))


def _called_at_half(results: Results, name: str, calibrated: Calibrated) -> tuple:
    """The shares of the strangers, the positives and the negatives, means over splits."""
    shares = []
    for run in results.of(name).values():
        predicted = results.predictions[run.key]
        extra = calibrated.extra[run.seed, predicted.rows.tobytes()]
        sides = predicted.predicted[predicted.observed], predicted.predicted[~predicted.observed]
        shares.append([float(np.mean(side >= 0.5)) for side in (extra, *sides)])
    return tuple(np.mean(shares, axis=0).tolist())
