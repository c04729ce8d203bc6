"""Figures of an evaluation of RNA–protein pairs."""

import os
from collections.abc import Mapping

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from data_builders.figures import new_axes, plain, save_figure
from isoclr.evaluation.interactions import KindResults, calibration_bins
from isoclr.evaluation.results import Results
from isoclr.statistics import INTERVAL

_GRID = np.linspace(0, 1, 201)


def plot_kind(found: KindResults, path: str | os.PathLike) -> None:
    """Draw the ROC, precision–recall and calibration curves of every predictor.

    Curves are means over the splits; calibration is of all.
    """
    results = found.results
    figure, (roc, recall, calibration) = new_axes(13, 4.2, 1, 3)
    for number, name in enumerate(results.predictors):
        style = {"color": f"C{number % 10}", "lw": 2 if number == 0 else 1.2}
        predictions = [results.predictions[run.key] for run in results.of(name).values()]
        rates, precisions = [], []
        for predicted in predictions:
            false, true, _ = roc_curve(predicted.observed, predicted.predicted)
            rates.append(np.interp(_GRID, false, true))
            precision, recalled, _ = precision_recall_curve(predicted.observed, predicted.predicted)
            # The last point, of recall 0, is of no threshold; recall rises by steps.
            recalled, precision = recalled[-2::-1], precision[-2::-1]
            precisions.append(precision[np.searchsorted(recalled, _GRID, side="left")])
        area = results.mean(name)[0]
        roc.plot(_GRID, np.mean(rates, axis=0), label=f"{plain(name)} {area:.3f}", **style)
        recall.plot(_GRID, np.mean(precisions, axis=0), **style)
        said = np.concatenate([predicted.predicted for predicted in predictions])
        happened = np.concatenate([predicted.observed for predicted in predictions])
        bins = calibration_bins(said)
        points = [(said[bins == i].mean(), happened[bins == i].mean()) for i in np.unique(bins)]
        calibration.plot(*np.transpose(points), marker="o", ms=3, **style)
    for axes in (roc, calibration):
        axes.plot((0, 1), (0, 1), color="0.6", lw=0.8, ls="--", zorder=0)
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    recall.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    calibration.set(xlabel="predicted probability", ylabel="share that interacts")
    figure.legend(loc="outside right center", fontsize=8, frameon=False, title="AUROC")
    save_figure(figure, f"{results.title()}\nMeans over splits.", path)


def plot_kinds(found: Mapping[str, KindResults], path: str | os.PathLike) -> None:
    """Draw the AUROC of every predictor on every kind of split, with intervals over clusters."""
    figure, axes = new_axes(9, 4.2)
    first = next(iter(found.values())).results
    for number, name in enumerate(first.predictors):
        ends = np.array([kind.bootstrap[name]["mean"] for kind in found.values()])
        places = np.arange(len(found)) + 0.8 * (number / max(len(first.predictors) - 1, 1) - 0.5)
        mean = ends[:, 0]
        spread = np.abs(ends[:, 1:].T - mean)
        axes.errorbar(
            places,
            mean,
            spread,
            fmt="o",
            ms=4,
            capsize=2,
            color=f"C{number % 10}",
            label=plain(name),
        )
    axes.axhline(0.5, color="0.6", lw=0.8, ls="--", zorder=0)
    axes.set_xticks(range(len(found)), list(found))
    axes.set_ylabel("AUROC on test pairs")
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    note = "Means over splits; 95 % bootstrap intervals over clusters of RNAs and proteins."
    save_figure(figure, f"{first.label}: {first.rows:,} {first.unit}\n{note}", path)


def plot_sets(found: Mapping[str, Mapping[str, Results]], path: str | os.PathLike) -> None:
    """Draw the AUROC of every predictor on every kind of split, one panel a set."""
    every = [results for kinds in found.values() for results in kinds.values()]
    names = list(dict.fromkeys(name for results in every for name in results.predictors))
    figure, panels = new_axes(2 + 2.8 * len(found), 4.2, 1, len(found), sharey=True)
    lowest = 0.5
    panels = np.atleast_1d(panels)
    for axes, (of_set, kinds) in zip(panels, found.items(), strict=True):
        for number, name in enumerate(names):
            at = [i for i, results in enumerate(kinds.values()) if name in results.predictors]
            if not at:
                continue
            ends = [list(kinds.values())[i].mean(name) for i in at]
            offset = 0.8 * (number / max(len(names) - 1, 1) - 0.5)
            mean, half = np.array([(value, half or 0.0) for value, half in ends]).T
            lowest = min(lowest, mean.min())
            style = {"color": f"C{number % 10}", "marker": "os"[number // 10 % 2]}
            places = np.array(at) + offset
            axes.errorbar(places, mean, half, ls="", ms=3.5, capsize=1.5, label=name, **style)
        axes.axhline(0.5, color="0.6", lw=0.8, ls="--", zorder=0)
        axes.set_xticks(range(len(kinds)), [kind.replace("-", "\n") for kind in kinds])
        axes.set_title(plain(of_set), fontsize=10)
    # A wide interval of a few splits would make all others small.
    panels[0].set(ylabel="AUROC on test pairs", ylim=(lowest - 0.15, 1.02))
    handles = {}
    for axes in panels:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    shown = [name for name in names if name in handles]
    figure.legend(
        [handles[name] for name in shown],
        list(map(plain, shown)),
        loc="outside right center",
        fontsize=8,
        frameon=False,
    )
    between = " " if len(found) > 1 else "\n"  # a figure of one set is narrow
    save_figure(figure, f"Means over splits,{between}with {INTERVAL}.", path)
