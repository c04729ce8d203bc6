"""Linear probes: how much of a measured property a linear model reads from fixed features."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.stats import pearsonr, spearmanr, ttest_rel
from sklearn.linear_model import RidgeCV
from tqdm import tqdm

from data_builders.labels import LabelSet
from data_builders.records import InputError
from data_builders.splits import SEEDS, homology_split, random_split

# Half a decade apart. The published 1e-3 ... 10 stops short: standardised codon frequencies were
# best at 100 and thousands of k-mers at 10,000.
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 6, 19))
METRICS = ("pearson", "spearman", "mse", "alpha")


@dataclass(frozen=True)
class ProbeResult:
    """Scores of several feature sets on the same splits.

    Attributes:
        label: the property predicted.
        split: "homology" or "random".
        rows: number of labelled transcripts.
        groups: number of homology groups among them.
        seeds: one split each.
        alphas: the ridge penalties that were tried.
        scores: feature set -> metric -> one value a seed. Metrics: "pearson" and "spearman"
            correlations and "mse" (in squared units of the label) on test, and the chosen "alpha".
    """

    label: str
    split: str
    rows: int
    groups: int
    seeds: tuple[int, ...]
    alphas: tuple[float, ...]
    scores: dict[str, dict[str, tuple[float, ...]]]

    @property
    def reference(self) -> str:
        """The feature set that the others are compared with: the first."""
        return next(iter(self.scores))

    def mean(self, name: str, metric: str = "pearson") -> tuple[float, float]:
        """Mean over seeds, and half the width of its 95 % interval: 1.96·sd/√n."""
        return _mean_and_half_width(self.scores[name][metric])

    def gain(self, name: str) -> tuple[float, float, float]:
        """What a feature set adds to the first, in Pearson r, paired by seed.

        Returns:
            Mean difference, half the width of its 95 % interval, and p of the paired t-test. The
            splits share rows, so the interval and p are optimistic (Nadeau & Bengio 2003).
        """
        first = np.array(self.scores[self.reference]["pearson"])
        other = np.array(self.scores[name]["pearson"])
        # Without any difference the test statistic would be 0/0.
        p = float(ttest_rel(other, first).pvalue) if (other != first).any() else 1.0
        return *_mean_and_half_width(other - first), p

    def table(self) -> str:
        """One aligned line a feature set, in the order given, for reading."""
        against = f"r - r({self.reference})"
        lines = [("features", "Pearson r", "Spearman", "MSE", "alpha", against, "p")]
        for name, scores in self.scores.items():
            cells = [f"{m:.3f} ± {w:.3f}" for m, w in (self.mean(name, k) for k in METRICS[:3])]
            alphas = f"{min(scores['alpha']):.3g} … {max(scores['alpha']):.3g}"
            gain, half_width, p = self.gain(name)
            versus = (f"{gain:+.3f} ± {half_width:.3f}", f"{p:.1g}")
            lines.append((name, *cells, alphas, *(versus if name != self.reference else ("", ""))))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
        return "\n".join([self.title(), *(row.rstrip() for row in rows)])

    def title(self) -> str:
        """What was measured, on how much."""
        return (
            f"{self.label}: {self.rows:,} transcripts, {self.groups:,} homology groups, "
            f"{self.split} split, {len(self.seeds)} seeds"
        )

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes every field, and the summary that `mean` and `gain` give, as one JSON object."""
        summary = {
            name: {metric: self.mean(name, metric) for metric in METRICS[:3]}
            | {"gain_over_first": self.gain(name)}
            for name in self.scores
        }
        with open(path, "w") as file:
            json.dump(asdict(self) | {"summary": summary}, file, indent=1, allow_nan=False)
            file.write("\n")


def probe(
    features: Mapping[str, np.ndarray],
    labels: LabelSet,
    *,
    seeds: Sequence[int] = SEEDS,
    alphas: Sequence[float] = ALPHAS,
    split: Literal["homology", "random"] = "homology",
    progress: bool = True,
) -> ProbeResult:
    """Scores feature sets by ridge regression, on the same splits for all.

    After the protocol of mRNABench and Orthrus, with one treatment for every set: columns are
    standardised on train, those constant there dropped; the penalty is the one with the least
    leave-one-out squared error within train; test is seen once. The validation rows stay unused:
    they are for models that need them to stop.

    Standardising gives every column one vote. Blocks of very different width (thousands of k-mers
    beside seven lengths) are better probed apart than side by side.

    Args:
        features: name -> (n, any width), finite, in the order of the transcripts; the first is
            what the others are compared with.
        labels: n transcripts with targets and homology groups.
        seeds: of the splits, at least two.
        alphas: ridge penalties, on standardised columns; look at the chosen ones in the result:
            at a border, the range is too narrow.
        split: "homology" keeps every homology group on one side, "random" ignores them.
        progress: show a bar on stderr.

    Raises:
        InputError: fewer than two seeds, no feature set, another number of rows than labels, a
            value that is not finite, columns or targets that do not vary, or too few groups.
    """
    n = len(labels.targets)
    _check(features, seeds, n)
    splits = [
        homology_split(labels.groups, seed) if split == "homology" else random_split(n, seed)
        for seed in seeds
    ]
    scores = {name: {metric: [] for metric in METRICS} for name in features}
    with tqdm(total=len(features) * len(seeds), desc="probe", disable=not progress) as bar:
        for name, matrix in features.items():
            for train, _, test in splits:
                values = fit_and_score(name, matrix, labels.targets, train, test, alphas)
                for metric, value in zip(METRICS, values, strict=True):
                    scores[name][metric].append(value)
                bar.update()
    return ProbeResult(
        labels.label,
        split,
        n,
        len(set(labels.groups)),
        tuple(seeds),
        tuple(alphas),
        {name: {k: tuple(v) for k, v in metrics.items()} for name, metrics in scores.items()},
    )


def _check(features: Mapping[str, np.ndarray], seeds: Sequence[int], n: int) -> None:
    if len(seeds) < 2:
        raise InputError(f"probe: got {len(seeds)} seeds, wanted at least two, for an interval")
    if not features:
        raise InputError("probe: got no feature set, wanted at least one")
    for name, matrix in features.items():
        if np.ndim(matrix) != 2 or len(matrix) != n:
            raise InputError(
                f"features '{name}': got shape {np.shape(matrix)}, wanted ({n}, width): one row a "
                "labelled transcript"
            )
        if not np.isfinite(matrix).all():
            row = int(np.argmin(np.isfinite(matrix).all(axis=1)))
            raise InputError(f"features '{name}': row {row}: got NaN or infinity, wanted numbers")


def fit_and_score(
    name: str,
    matrix: np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    alphas: Sequence[float],
) -> tuple[float, ...]:
    """One value for each of METRICS."""
    if np.ptp(targets[train]) == 0 or np.ptp(targets[test]) == 0:
        raise InputError("labels: got one value for all of train or test, wanted several")
    x_train = matrix[train].astype(np.float64)
    varies = np.ptp(x_train, axis=0) > 0
    if not varies.any():
        raise InputError(f"features '{name}': got constant columns only, wanted one that varies")
    x_train = x_train[:, varies]
    centre, scale = x_train.mean(axis=0), x_train.std(axis=0)
    model = RidgeCV(list(alphas)).fit((x_train - centre) / scale, targets[train])
    predicted = model.predict((matrix[test][:, varies] - centre) / scale)
    observed = targets[test]
    return (
        float(pearsonr(predicted, observed).statistic),
        float(spearmanr(predicted, observed).statistic),
        float(np.mean((predicted - observed) ** 2)),
        float(model.alpha_),
    )


def _mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(1.96 * np.std(values, ddof=1) / len(values) ** 0.5)
