import numpy as np
import pytest
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION, TASK_TYPES
from isoclr.evaluation.scores import METRIC_NAMES, METRICS, best_threshold, score

AREAS, NAMES = (roc_auc_score, average_precision_score), ("auroc", "auprc")


def test_every_task_has_metrics_and_every_metric_a_name():
    assert tuple(METRICS) == TASK_TYPES
    assert all(metric in METRIC_NAMES for metrics in METRICS.values() for metric in metrics)


def test_scores_of_numbers_of_a_known_case():
    predicted, observed = np.array([1.0, 2, 3, 10]), np.array([1.0, 2, 4, 3])
    r = np.corrcoef(predicted, observed)[0, 1]
    expected = {"pearson": r, "spearman": 0.8, "mse": (1 + 49) / 4}
    assert score(REGRESSION, predicted, observed) == pytest.approx(expected)
    expected = {"pearson": 0, "spearman": 0, "mse": (0 + 1 + 9 + 4) / 4}
    assert score(REGRESSION, np.ones(4), observed) == expected


def test_scores_of_classes_of_a_known_case():
    # The first class is ranked right; of the second, one of two pairs. Together: of the 2 * 4 pairs
    # of a true and a false, 0.9 wins all and 0.2 one (of 0.1, 0.3, 0.4, 0.8).
    predicted = np.array([[0.9, 0.3], [0.1, 0.2], [0.4, 0.8]])
    observed = np.array([[True, False], [False, True], [False, False]])
    assert score(MULTILABEL, predicted, observed) == pytest.approx(
        {
            "auroc_macro": 0.5,
            "auroc_micro": 5 / 8,
            "auprc_macro": (1 + 1 / 3) / 2,
            "auprc_micro": (1 + 2 / 5) / 2,
        }
    )
    assert set(score(MULTILABEL, predicted[:, :1], observed[:, :1]).values()) == {1}
    for average in ("macro", "micro"):
        areas = [f(observed, predicted, average=average) for f in AREAS]
        assert [score(MULTILABEL, predicted, observed)[f"{n}_{average}"] for n in NAMES] == areas


def test_scores_of_one_class_of_several_of_a_known_case():
    chosen = np.eye(3)[[0, 0, 1, 1]]  # the third row is wrong; of the third class there is none
    found = score(MULTICLASS, chosen, np.array([0, 0, 0, 1]))
    assert found == pytest.approx(
        {
            "balanced_accuracy": (2 / 3 + 1) / 2,
            "accuracy": 0.75,
            "f1_macro": (0.8 + 2 / 3) / 2,
            "auroc_macro": 5 / 6,
        }
    )


def test_scores_of_yes_and_no_of_a_known_case():
    predicted, observed = np.array([0.9, 0.8, 0.4, 0.1]), np.array([True, False, True, False])
    found = score(BINARY, predicted, observed, threshold=0.8)
    expected = {"auroc": 0.75, "auprc": 5 / 6, "mcc": 0, "f1": 0.5}
    assert found == pytest.approx(
        expected | dict.fromkeys(("precision", "recall", "accuracy"), 0.5)
    )
    # Nothing called: no precision, and no warning.
    assert score(BINARY, predicted, observed, threshold=2.0)["precision"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_has_the_best_mcc_of_all(seed):
    rng = np.random.default_rng(seed)
    predicted = rng.integers(8, size=30) / 8  # many are equal
    observed = rng.random(30) < 0.3 + 0.4 * predicted
    mcc = {c: matthews_corrcoef(observed, predicted >= c) for c in predicted}
    best = max(mcc.values())
    lowest = min(c for c, value in mcc.items() if value > best - 1e-12)
    assert best_threshold(predicted, observed) == lowest
