"""How well predictions fit what was measured, by the type of the label."""

from collections.abc import Callable

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION, SURVIVAL

METRICS = {
    REGRESSION: ("pearson", "spearman", "mse"),
    BINARY: ("auroc", "auprc", "mcc", "f1", "precision", "recall", "accuracy"),
    MULTICLASS: ("balanced_accuracy", "accuracy", "f1_macro", "auroc_macro"),
    MULTILABEL: ("auroc_macro", "auroc_micro", "auprc_macro", "auprc_micro"),
    SURVIVAL: ("concordance",),
}
"""The metrics of each task; tables have all of them, figures and comparisons the first."""

METRIC_NAMES = {
    "pearson": "Pearson r",
    "spearman": "Spearman",
    "mse": "MSE",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mcc": "MCC",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
    "auroc_macro": "macro AUROC",
    "auroc_micro": "micro AUROC",
    "auprc_macro": "macro AUPRC",
    "auprc_micro": "micro AUPRC",
    "concordance": "concordance",
}
"""Each metric as tables and figures call it."""


def score(
    task: str, predicted: np.ndarray, observed: np.ndarray, threshold: float | None = None
) -> dict[str, float]:
    """Return each metric of `METRICS[task]`.

    Args:
        task: one of `data_builders.labels.base.TASK_TYPES`.
        predicted: numbers (n,) for regression; scores, higher for likelier, (n,) for binary and
            survival (of an early event) and (n, classes) for the others.
        observed: float (n,); bool (n,) for binary; class numbers (n,) for multiclass; bool
            (n, classes) for multilabel; time and event (n, 2) for survival. Both values, or two
            classes, occur.
        threshold: binary: predictions of at least this are positive.
    """
    values = _SCORERS[task](predicted, observed, threshold)
    return dict(zip(METRICS[task], map(float, values), strict=True))


def best_threshold(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Return the threshold with the highest MCC, the lowest of several."""
    order = np.argsort(-predicted, kind="stable")
    scores, hits = predicted[order], observed[order]
    n, positives = len(hits), int(hits.sum())
    ends = np.append(np.flatnonzero(np.diff(scores)), n - 1)  # equal scores stay together
    called = ends + 1.0
    true = np.cumsum(hits)[ends]
    product = called * (n - called) * positives * (n - positives)
    mcc = np.divide(
        true * n - called * positives, np.sqrt(product), where=product > 0, out=np.zeros(len(ends))
    )
    last = len(mcc) - 1 - int(np.argmax(mcc[::-1]))
    return float(scores[ends[last]])


def _score_numbers(predicted, observed, _threshold):
    varies = np.ptp(predicted) > 0  # a correlation with a constant is not defined; it says nothing
    return (
        pearsonr(predicted, observed)[0] if varies else 0.0,
        spearmanr(predicted, observed)[0] if varies else 0.0,
        np.mean((predicted - observed) ** 2),
    )


def _score_binary(predicted, observed, threshold):
    called = predicted >= threshold
    of_called: list[Callable] = [f1_score, precision_score, recall_score]
    return (
        roc_auc_score(observed, predicted),
        average_precision_score(observed, predicted),
        matthews_corrcoef(observed, called),
        *(metric(observed, called, zero_division=0) for metric in of_called),
        accuracy_score(observed, called),
    )


def _score_multiclass(predicted, observed, _threshold):
    called = predicted.argmax(axis=1)
    present = np.unique(observed)
    areas = [roc_auc_score(observed == c, predicted[:, c]) for c in present]
    return (
        np.mean([(called[observed == c] == c).mean() for c in present]),
        accuracy_score(observed, called),
        f1_score(
            observed,
            called,
            labels=present,
            average="macro",
            zero_division=0,  # pyright: ignore[reportArgumentType] scikit-learn has no types
        ),
        np.mean(areas),
    )


def _score_multilabel(predicted, observed, _threshold):
    """Macro is the mean over classes; micro pools the rows of all classes.

    Micro also rewards knowing which classes are frequent.
    """
    if observed.shape[1] == 1:
        predicted, observed = predicted[:, 0], observed[:, 0]
    return tuple(
        metric(observed, predicted, average=average)
        for metric in (roc_auc_score, average_precision_score)
        for average in ("macro", "micro")
    )


def concordance(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """Return Harrell's concordance: of pairs whose order is known, the share that risk orders so.

    The order of two is known where the event of the one is seen before the time of the other. Equal
    risks count one half. It is 0.5 where no order is known.
    """
    known = event[:, None].astype(bool) & (time[:, None] < time[None, :])
    if not known.any():
        return 0.5
    right = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    return float(right[known].mean())


def _score_survival(predicted, observed, _threshold):
    return (concordance(predicted, observed[:, 0], observed[:, 1]),)


_SCORERS = {
    REGRESSION: _score_numbers,
    BINARY: _score_binary,
    MULTICLASS: _score_multiclass,
    MULTILABEL: _score_multilabel,
    SURVIVAL: _score_survival,
}
