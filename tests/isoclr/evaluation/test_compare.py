import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from data_builders.labels.splits import few_rows
from data_builders.records import InputError
from isoclr.evaluation.compare import Labels, Prediction, RunLog, Split, compare, read_results

N = 60


def rows_of_splits(seeds=(1, 2, 3), folds=(0,)):
    """Train 36, validation 12, test 12 of 60 rows."""
    splits = []
    for seed in seeds:
        for fold in folds:
            order = np.random.default_rng([seed, fold]).permutation(N)
            splits.append(Split(*np.split(order, [36, 48]), seed, fold))
    return splits


def numbers(seed=0):
    return Labels(
        label="y", task=REGRESSION, targets=np.random.default_rng(seed).normal(size=N), unit="rows"
    )


def noisy(labels, noise, seed):
    """A predictor that sees the truth through noise, the same on every split."""
    seen = labels.targets + noise * np.random.default_rng(seed).normal(size=N)
    return lambda fold: seen[fold.test]


def run(predictors, labels, splits=None, counts=(1.0,), **options):
    splits = rows_of_splits() if splits is None else splits
    return compare(predictors, labels, splits, counts, progress=False, **options)


# --- Intervals


def test_means_and_gains_are_those_of_a_computation_by_hand():
    labels = numbers()
    results = run({"a": noisy(labels, 0.5, 1), "b": noisy(labels, 2, 2)}, labels)
    a, b = (np.array(results.values(name)) for name in "ab")
    # Three splits of 12 test and 36 train rows: (1/3 + 12/36)·s², Student's t at 2 degrees: 4.3027.
    assert results.mean("a") == (
        pytest.approx(a.mean()),
        pytest.approx(4.302653 * (2 / 3 * a.var(ddof=1)) ** 0.5, rel=1e-6),
    )
    d = b - a
    error = (2 / 3 * ((d - d.mean()) ** 2).sum() / 2) ** 0.5
    gain, half_width, p = results.gain("b")
    assert gain == pytest.approx(d.mean())
    assert half_width == pytest.approx(4.302653 * error, rel=1e-6)
    assert p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 2))
    assert results.gain("a") == (0, 0, 1)
    assert results.gain("a", reference="b")[0] == -gain


def test_the_interval_covers_the_truth_where_that_of_independent_values_does_not():
    # The mean of a normal variable, estimated on random splits of 60 rows: the truth is 0.
    corrected = naive = 0
    for draw in range(200):
        rng = np.random.default_rng(draw)
        labels = replace(numbers(), targets=rng.normal(size=N))
        orders = (rng.permutation(N) for _ in range(10))
        splits = [Split(*np.split(order, [36, 48]), i) for i, order in enumerate(orders)]
        zero = run({"zero": lambda fold: np.zeros(len(fold.test))}, labels, splits)
        mean, half_width = zero.mean("zero", "mse")
        values = zero.values("zero", "mse")
        corrected += abs(mean - 1) < half_width
        naive += abs(mean - 1) < 1.96 * np.std(values, ddof=1) / 10**0.5
    assert corrected / 200 > 0.9 > 0.75 > naive / 200


def test_few_labels_are_corrected_by_the_whole_train_side():
    labels = numbers()
    results = run({"a": noisy(labels, 1, 1)}, labels, counts=(4, 1.0))
    # The predictor does not look at its labels, so that both counts have the same scores.
    assert results.mean("a", labels=4) == results.mean("a", labels=1.0)


def test_one_split_has_a_mean_and_no_interval():
    labels = numbers()
    predictors = {"a": noisy(labels, 1, 1), "b": noisy(labels, 2, 1)}
    results = run(predictors, labels, rows_of_splits(seeds=(1,)))
    assert results.mean("a") == (results.values("a")[0], None)
    assert results.gain("b")[1:] == (None, None)
    assert "±" not in results.table().splitlines()[2]
    json.dumps(results.as_dict(), allow_nan=False)


# --- What predictors get


def test_a_predictor_gets_the_labels_of_train_and_validation_alone():
    labels, seen = numbers(), []

    def spy(fold):
        seen.append(fold)
        return np.arange(len(fold.test)) * 1.0

    splits = rows_of_splits()
    run({"spy": spy}, labels, splits)
    for fold, split in zip(seen, splits, strict=True):
        assert fold.seed == split.seed
        for side in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(fold, side), getattr(split, side))
        np.testing.assert_array_equal(fold.train_targets, labels.targets[split.train])
        np.testing.assert_array_equal(fold.validation_targets, labels.targets[split.validation])
        assert not hasattr(fold, "test_targets")


def test_fewer_labels_are_part_of_more_and_test_is_whole():
    labels, seen = numbers(), []

    def spy(fold):
        seen.append(fold)
        return np.arange(len(fold.test)) * 1.0

    (split,) = splits = rows_of_splits(seeds=(7,))
    results = run({"spy": spy}, labels, splits, counts=(1.0, 0.25, 20))
    assert [len(fold.train) for fold in seen] == [9, 20, 36]
    assert results.label_counts == (0.25, 20, 1.0)
    for fewer, more in zip(seen, seen[1:], strict=False):
        assert set(fewer.train) < set(more.train)
        assert set(fewer.validation) <= set(more.validation)
        np.testing.assert_array_equal(fewer.test, split.test)
    train, validation = few_rows(split.train, split.validation, 20, 7)
    np.testing.assert_array_equal(seen[1].train, train)
    np.testing.assert_array_equal(seen[1].validation, validation)


def test_few_labels_have_every_class_then_classes_in_proportion():
    targets = np.repeat([0, 1, 2], [40, 15, 5])
    labels = Labels(label="organ", task=MULTICLASS, targets=targets, classes=("a", "b", "c"))
    order = np.random.default_rng(0).permutation(N)
    splits = [Split(order[:40], order[40:50], np.arange(N), 1)]
    seen = []

    def spy(fold):
        seen.append(np.bincount(fold.train_targets, minlength=3))
        return np.eye(3)[targets[fold.test]]

    run({"spy": spy}, labels, splits, counts=(3, 20, 1.0))
    assert seen[0].tolist() == [1, 1, 1]
    whole = np.bincount(targets[order[:40]], minlength=3)
    assert np.abs(seen[1] - whole / 2).max() <= 1
    assert seen[2].tolist() == whole.tolist()


def test_folds_of_several_seeds():
    labels = numbers()
    results = run({"a": noisy(labels, 1, 1)}, labels, rows_of_splits((1, 2), (0, 1, 2)))
    assert len(results.values("a")) == 6
    assert "3 folds × 2 seeds" in results.title()


# --- Tasks


def test_binary_takes_its_threshold_from_the_validation_rows():
    rng = np.random.default_rng(0)
    truth = rng.random(N) < 0.4
    scores = truth + rng.normal(size=N)
    labels = Labels(label="binds", task=BINARY, targets=truth)
    splits = rows_of_splits()

    def predictor(fold):
        return Prediction(test=scores[fold.test], validation=scores[fold.validation])

    results = run({"a": predictor}, labels, splits)
    for split, found in zip(splits, results.of("a").values(), strict=True):
        valid, test = split.validation, split.test
        candidates = np.sort(scores[valid])
        mcc = [metrics.matthews_corrcoef(truth[valid], scores[valid] >= c) for c in candidates]
        called = scores[test] >= candidates[int(np.argmax(mcc))]
        assert found.scores == pytest.approx(
            {
                "auroc": metrics.roc_auc_score(truth[test], scores[test]),
                "auprc": metrics.average_precision_score(truth[test], scores[test]),
                "mcc": metrics.matthews_corrcoef(truth[test], called),
                "f1": metrics.f1_score(truth[test], called),
                "precision": metrics.precision_score(truth[test], called),
                "recall": metrics.recall_score(truth[test], called),
                "accuracy": (truth[test] == called).mean(),
            }
        )
    predicted = results.predictions["a", 1.0, 1, 0]
    np.testing.assert_array_equal(predicted.rows, splits[0].test)
    np.testing.assert_array_equal(predicted.predicted, scores[splits[0].test])
    np.testing.assert_array_equal(predicted.observed, truth[splits[0].test])
    assert predicted.threshold in scores[splits[0].validation]
    with pytest.raises(InputError, match="validation rows too: the threshold"):
        run({"a": lambda fold: scores[fold.test]}, labels)


def test_multiclass_scores_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=N)
    scores = np.eye(3)[truth] + rng.normal(size=(N, 3))
    labels = Labels(label="organ", task=MULTICLASS, targets=truth, classes=("a", "b", "c"))
    splits = rows_of_splits()
    results = run({"a": lambda fold: scores[fold.test]}, labels, splits)
    for split, found in zip(splits, results.of("a").values(), strict=True):
        y, p = truth[split.test], scores[split.test]
        one_against_rest = [metrics.roc_auc_score(y == c, p[:, c]) for c in range(3)]
        assert found.scores == pytest.approx(
            {
                "balanced_accuracy": metrics.balanced_accuracy_score(y, p.argmax(1)),
                "accuracy": metrics.accuracy_score(y, p.argmax(1)),
                "f1_macro": metrics.f1_score(y, p.argmax(1), average="macro"),
                "auroc_macro": np.mean(one_against_rest),
            }
        )


def test_classes_of_one_value_are_left_out_of_a_multilabel_task_and_counted():
    rng = np.random.default_rng(0)
    targets = np.column_stack([rng.random((N, 2)) < 0.5, np.arange(N) == 0])
    labels = Labels(label="go", task=MULTILABEL, targets=targets, classes=("a", "b", "c"))
    widths = []

    def predictor(fold):
        widths.append((fold.classes, fold.train_targets.shape[1]))
        return targets[fold.test] + rng.normal(size=(len(fold.test), 3))

    results = run({"a": predictor}, labels)
    assert set(widths) == {(3, 3)}  # which are scored is none of a predictor's business
    assert [r.classes_left_out for r in results.runs] == [1, 1, 1]
    assert "2 of 3 classes" in results.title()


# --- Bootstrap over clusters


def test_cluster_bootstrap_is_wider_where_rows_are_copies_of_few():
    rng = np.random.default_rng(0)
    clusters = np.arange(N) % 6
    targets = rng.normal(size=6)[clusters] + 0.01 * rng.normal(size=N)
    labels = replace(numbers(), targets=targets)
    predicted = (targets + rng.normal(size=6)[clusters], targets + rng.normal(size=N))
    predictors = {"a": lambda f: predicted[0][f.test], "b": lambda f: predicted[1][f.test]}
    results = run(predictors, labels)
    by_cluster = results.cluster_intervals([clusters], resamples=200)
    by_row = results.cluster_intervals([np.arange(N)], resamples=200)
    for found in (by_cluster, by_row):
        assert found["a"]["mean"][0] == results.mean("a")[0]
        assert found["a"]["gain"] == (0, 0, 0)
        assert found["b"]["gain"][0] == results.gain("b")[0]
    widths = [found["a"]["mean"][2] - found["a"]["mean"][1] for found in (by_cluster, by_row)]
    assert widths[0] > 1.5 * widths[1]
    assert by_row == results.cluster_intervals([np.arange(N)], resamples=200)  # seeded
    both_ways = results.cluster_intervals([clusters, np.arange(N) // 6], resamples=50)
    assert both_ways["a"]["mean"][1] < results.mean("a")[0] < both_ways["a"]["mean"][2]


# --- Results as text, JSON, and logs


def test_results_survive_their_json(tmp_path):
    labels = numbers()
    results = run({"a": noisy(labels, 1, 1), "b": noisy(labels, 2, 1)}, labels, counts=(5, 1.0))
    results.to_json(tmp_path / "a.json")
    back = read_results(tmp_path / "a.json")
    assert back == results
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["summary"]["b"]["gain_over_first"] == list(results.gain("b"))
    assert content["summary"]["b"]["pearson"] == list(results.mean("b", "pearson"))
    assert content["few_labels"][0]["train_rows"] == 5
    assert "Nadeau & Bengio" in content["interval"]
    (tmp_path / "b.json").write_text(json.dumps(content | {"runs": [{"predictor": "a"}]}))
    with pytest.raises(InputError, match="b.json: runs: .*wanted results"):
        read_results(tmp_path / "b.json")


def test_table_has_every_metric_and_the_curve():
    labels = numbers()
    table = run({"a": noisy(labels, 1, 1), "b": noisy(labels, 2, 1)}, labels, counts=(5, 1.0))
    lines = table.table().splitlines()
    assert lines[0] == "y: 60 rows, homology split, 3 seeds"
    assert lines[1].split()[:3] == ["predictor", "Pearson", "r"]
    assert "Pearson r - that of a" in lines[1]
    assert lines[2].startswith("a ") and lines[3].startswith("b ")
    assert "Nadeau & Bengio" in lines[4]
    assert lines[6].split() == ["predictor", "5", "labels", "36", "labels"]


def test_figures_of_splits_and_of_label_counts(tmp_path):
    labels = numbers()
    predictors = {"a": noisy(labels, 1, 1), "b": noisy(labels, 2, 1)}
    results = run(predictors, labels, counts=(5, 20, 1.0))
    results.figure(tmp_path / "curve.png")
    results.at(1.0).figure(tmp_path / "splits.svg")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "splits.svg").read_bytes()


def test_a_stopped_comparison_goes_on_with_its_log(tmp_path):
    labels, calls = numbers(), []

    def counted(fold):
        calls.append(fold.seed)
        if len(calls) == 3 and len(calls) != stop_at + 3:
            raise KeyboardInterrupt
        return labels.targets[fold.test] + fold.seed * np.arange(len(fold.test))

    stop_at = 100
    whole = run({"a": lambda fold: labels.targets[fold.test] + fold.seed * np.arange(12)}, labels)
    with pytest.raises(KeyboardInterrupt):
        run({"a": counted}, labels, log=RunLog(tmp_path / "runs.jsonl", {"of": 1}))
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"predictor": "cut sho')
    resumed = run({"a": counted}, labels, log=RunLog(tmp_path / "runs.jsonl", {"of": 1}))
    assert calls == [1, 2, 3, 3]
    assert [r.scores for r in resumed.runs] == [r.scores for r in whole.runs]
    assert resumed.about == {"of": 1}
    with pytest.raises(InputError, match="without its predictions"):
        resumed.cluster_intervals([np.arange(N)], resamples=2)
    with pytest.raises(InputError, match="runs.jsonl: of: got 1 in it, wanted 2"):
        RunLog(tmp_path / "runs.jsonl", {"of": 2})


# --- Errors


def test_errors_name_what_was_wrong():
    labels = numbers()
    good = noisy(labels, 1, 1)
    same = replace(labels, targets=np.zeros(N))
    for predictors, of, splits, counts, match in (
        ({}, labels, None, (1.0,), "got no predictor"),
        ({"a": good}, labels, [], (1.0,), "got 0 splits"),
        ({"a": good}, labels, rows_of_splits((1, 1)), (1.0,), "2 splits of 1 seeds"),
        ({"a": good}, labels, None, (37,), "got 37, 37 of 36 rows"),
        ({"a": good}, labels, None, (0.01,), "got 0.01, 0 of 36 rows"),
        ({"a": good}, labels, None, (float("nan"),), "got nan, 0 of 36 rows"),
        ({"a": good}, same, None, (1.0,), "no two values in 36 rows of train and 12 of test"),
        (
            {"a": lambda f: np.zeros(3)},
            labels,
            None,
            (1.0,),
            r"a: predictions of test: got shape \(3,\)",
        ),
        ({"a": lambda f: np.full(12, np.nan)}, labels, None, (1.0,), "finite"),
    ):
        with pytest.raises(InputError, match=match):
            run(predictors, of, splits, counts)


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("magic", np.zeros(3), "task: got 'magic', wanted one of regression, binary"),
        (REGRESSION, np.zeros(3, bool), r"got bool \(3,\), wanted numbers \(3,\) of a regression"),
        (BINARY, np.zeros(3), r"got float64 \(3,\), wanted bool \(3,\) of a binary task"),
        (MULTILABEL, np.zeros((3, 2), bool), r"got bool \(3, 2\), wanted bool \(3, 0\)"),
        (MULTICLASS, np.arange(3), "got classes 0 to 2, wanted 0 to -1"),
    ],
)
def test_targets_are_those_of_their_task(task, targets, message):
    with pytest.raises(InputError, match=f"y: .*{message}"):
        Labels(label="y", task=task, targets=targets)
