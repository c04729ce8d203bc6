"""Phenotypes of simulated samples: methods stand in the order that the planted truth demands."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_builders.expression.matrix import ExpressionMatrix
from data_builders.expression.units import to_log2
from data_builders.labels.base import MULTICLASS, SURVIVAL, Labels
from data_builders.labels.splits import Split, group_folds, transfer_splits
from data_builders.records import InputError
from data_builders.simulate.expression import simulate_expression
from isoclr.evaluation.compare import compare
from isoclr.evaluation.linear import Linear
from isoclr.evaluation.phenotype import (
    PhenotypeOptions,
    compare_phenotypes,
    of_sources,
    phenotype_labels,
    phenotype_predictors,
    splits_across,
    survival_labels,
    usual_label_counts,
    with_label,
)
from isoclr.evaluation.phenotype_curves import (
    FROM_SCRATCH,
    gains_over_scratch,
    gains_over_scratch_lines,
    labels_saved,
    labels_saved_lines,
)
from isoclr.evaluation.results import Results, Run
from isoclr.statistics import corrected_gain
from modeling_isoclr import ExpressionConfig, ExpressionModel, ExpressionProcessor

PCA, RANKS = "PCA-128 + logistic", "ranks + PCA-128 + logistic"
PROJECTION, UNTRAINED = "random projection to 128 + logistic", "untrained encoder + logistic"
LEARNT = "halves, frozen + logistic"
METRIC = "balanced_accuracy"


def matrix_of(simulated):
    return ExpressionMatrix(
        values=to_log2(simulated.counts.astype(np.float32), "counts"),
        samples=simulated.samples,
        genes=simulated.genes,
        unit="log2",
        obs=simulated.obs,
    )


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """Two simulated matrices, 15 labels each; method -> its balanced accuracy, the mean of four."""
    found = {}
    for seed in range(2):
        simulated = simulate_expression(180, 400, seed=seed)
        matrix = matrix_of(simulated)
        labels = phenotype_labels(matrix, "tissue", "donor")
        options = PhenotypeOptions(methods=("halves",), controls=False, recipe={"steps": 120})
        folder = tmp_path_factory.mktemp("pretrained")
        methods = phenotype_predictors(matrix, folder, options)
        batch = np.eye(4)[[int(name[-1]) for name in simulated.obs["batch"]]]
        predictors = {
            "truth": Linear(simulated.programmes),
            **{name: methods[name] for name in (PCA, RANKS, PROJECTION, UNTRAINED, LEARNT)},
            "batch": Linear(batch),
        }
        splits = group_folds(labels.groups, labels.targets, 2, seed)
        results = compare(predictors, labels, splits, (15,), progress=False)
        for name in predictors:
            found.setdefault(name, []).extend(results.values(name))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("truth", PCA),  # the programmes themselves, without noise and batch
        (RANKS, PCA),  # outliers move logs, and ranks hardly
        (PCA, PROJECTION),  # programmes are of low rank: components add up their genes
        (PROJECTION, UNTRAINED),  # random ReLU layers lose what one linear map keeps
        (LEARNT, UNTRAINED),  # learning without labels finds some of the programmes
        (UNTRAINED, "batch"),  # the batch says nothing about the tissue
    ],
)
def test_the_ranking_is_that_of_the_planted_truth(ranked, better, worse):
    assert ranked[better] > ranked[worse] + 0.02, ranked


def test_the_nuisance_batch_is_at_chance(ranked):
    assert abs(ranked["batch"] - 1 / 6) < 0.06


def results_of(curves, sizes=(10, 100, 1000)):
    """Results of one split whose curves are given: predictor -> a score a size."""
    runs = [
        Run(
            predictor=name,
            labels=size,
            seed=0,
            fold=0,
            train=size,
            validation=10,
            test=10,
            train_side=1000,
            scores={"balanced_accuracy": value},
            choices={},
            classes_left_out=0,
            seconds=0.0,
        )
        for name, values in curves.items()
        for size, value in zip(sizes, values, strict=False)
    ]
    about = {"label": "organ", "task": "multiclass", "split": "group", "rows": 1, "groups": 1}
    return Results(**about, classes=3, unit="samples", group_unit="donors", runs=tuple(runs))


def test_labels_saved_by_hand():
    curves = {
        PCA: [0.8, 0.9, 0.95],
        "between": [0.7, 0.8, 1.0],  # 0.9 is half way, at the root of 100 · 1000
        "few": [0.95, 0.95, 0.95],
        "never": [0.1, 0.2, 0.3],
        FROM_SCRATCH: [0.5, 0.6, 0.9],
    }
    found = labels_saved(results_of(curves))
    assert found[PCA] == {"labels": pytest.approx(100), "saved": pytest.approx(0.9)}
    assert found["between"]["labels"] == pytest.approx(10**2.5)
    assert found["few"] == {"labels": 10, "saved": pytest.approx(0.99)}
    assert found["never"] == {"labels": None, "saved": None}
    assert found[FROM_SCRATCH] == {"labels": pytest.approx(1000), "saved": pytest.approx(0)}
    lines = labels_saved_lines(results_of(curves))
    assert lines[0].endswith("has with all 1,000") and "  never: never" in lines
    assert labels_saved(results_of({PCA: [0.8]})) == {}


def test_gains_over_the_network_from_scratch_are_paired_by_split():
    rng = np.random.default_rng(0)
    names = (PCA, FROM_SCRATCH, LEARNT, "halves, fine-tuned")
    (run,) = results_of({PCA: [0.0]}, (10,)).runs
    runs = [
        replace(run, predictor=name, seed=seed, fold=fold, labels=labels, scores={METRIC: value})
        for seed in range(3)
        for fold in range(5)
        for labels in (10, 100)
        for name, value in zip(names, rng.random(4), strict=True)
        if (name, labels, seed) not in [(LEARNT, 100, s) for s in range(3)] + [(LEARNT, 10, 2)]
    ]
    runs = [replace(each, train=each.labels) for each in runs]
    results = replace(results_of({PCA: [0.0]}), runs=tuple(sorted(runs, key=_place(names))))
    found = gains_over_scratch(results)
    assert {name: list(each) for name, each in found.items()} == {
        LEARNT: ["10"],
        "halves, fine-tuned": ["10", "100"],
    }
    assert found[LEARNT]["10"]["splits"] == 10
    least = found["halves, fine-tuned"]["100"]
    pairs = [results.values(name, labels=100) for name in ("halves, fine-tuned", FROM_SCRATCH)]
    assert (least["gain"], least["width"], least["p"]) == corrected_gain(*pairs, 10 / 1000)
    assert least["splits"] == 15 and least["gain"] == pytest.approx(np.subtract(*pairs).mean())
    lines = gains_over_scratch_lines(results)[1].splitlines()
    assert lines[0].split() == [*"over the network from scratch 10 labels 100 labels".split()]
    assert f"{least['gain']:+.3f} ± {least['width']:.3f} (p " in lines[2]
    assert gains_over_scratch_lines(results_of({PCA: [0.8], LEARNT: [0.9]})) == []


def _place(names):
    return lambda run: names.index(run.predictor)


def test_the_usual_label_counts_are_one_a_class_and_shares_of_ten_or_more():
    def counts(classes, train, task=MULTICLASS):
        labels = Labels(
            label="x",
            task=task,
            targets=np.ones((train, 2)) if task == SURVIVAL else np.arange(train) % classes,
            groups=list(range(train)),
            classes=tuple("abcdefghijklmnopqrst"[:classes]),
            unit="samples",
            group_unit="samples",
        )
        return usual_label_counts(labels, [Split(*[np.arange(train)] * 3, 0)])

    assert counts(15, 591) == (15, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
    assert counts(3, 100) == (3, 0.1, 0.25, 0.5, 1.0)
    assert counts(10, 100) == (0.1, 0.25, 0.5, 1.0)  # a share is one a class
    assert counts(0, 100, SURVIVAL) == (0.1, 0.25, 0.5, 1.0)
    assert counts(9, 8) == (1.0,)


def test_one_source_teaches_and_another_tests():
    matrix = matrix_of(simulate_expression(180, 30, tissues=3, seed=1))
    labels = phenotype_labels(matrix, "tissue", "donor")
    batch = matrix.column("batch")
    splits = splits_across(matrix, labels, ("batch", "batch1"), ("batch", "batch2"), range(3))
    assert [split.kind for split in splits] == ["given"] * 3
    for split in splits:
        assert set(batch[split.test]) == {"batch2"}
        assert set(batch[[*split.train, *split.validation]]) == {"batch1"}
        donors = [{labels.groups[row] for row in side} for side in split[:3]]
        assert not donors[0] & donors[1] and len(split.test) == (batch == "batch2").sum()
    assert len({split.validation.tobytes() for split in splits}) > 1
    kept, others = of_sources(matrix, [("batch", "batch1"), ("batch", "batch2")])
    assert set(kept.column("batch")) == {"batch1", "batch2"}
    assert len(kept.samples) + others == 180
    with pytest.raises(InputError, match="batch: got no sample of 'batch9', wanted one of 'batch0"):
        splits_across(matrix, labels, ("batch", "batch9"), ("batch", "batch2"), (0,))
    with pytest.raises(InputError, match="groups: got 'd1' among the rows to train on and those"):
        transfer_splits((np.arange(2), np.arange(2, 4)), ["d0", "d1", "d1", "d2"], [0] * 4, (0,))
    with pytest.raises(InputError, match="groups: got 2 to train on, wanted at least 7"):
        transfer_splits((np.arange(2), np.arange(2, 4)), ["d0", "d1", "d2", "d2"], [0] * 4, (0,))


def test_a_model_that_is_there_stands_beside_as_it_is(tmp_path):
    matrix = matrix_of(simulate_expression(60, 30, tissues=3, seed=1))
    model = tmp_path / "mine"
    ExpressionProcessor.fit(matrix.values[:40], matrix.genes, n_genes=20).save_pretrained(model)
    torch.manual_seed(0)
    ExpressionModel(ExpressionConfig(n_genes=20, hidden_size=8)).save_pretrained(model)
    labels = phenotype_labels(matrix, "tissue", "donor")
    options = PhenotypeOptions(methods=(), controls=False, model=model)
    predictors = phenotype_predictors(matrix, tmp_path / "none", options)
    (split, *_) = group_folds(labels.groups, labels.targets, 2, 0)
    names = ("mine, frozen + logistic", "mine, fine-tuned")
    assert tuple(predictors)[-2:] == names
    chosen = {name: predictors[name] for name in names}
    results = compare(chosen, labels, [split], progress=False)
    assert results.mean(names[0])[0] > 0.4
    assert not (tmp_path / "none").exists()
    others = ExpressionMatrix(**vars(matrix) | {"genes": tuple(f"x{i}" for i in range(30))})
    predictors = phenotype_predictors(others, tmp_path / "none", options)
    with pytest.raises(InputError, match="mine: genes: got 0 of the model's 20 genes"):
        compare({names[0]: predictors[names[0]]}, labels, [split], progress=False)


def test_survival_beside_principal_components(tmp_path):
    matrix = matrix_of(simulate_expression(120, 40, seed=2))
    labels = survival_labels(matrix, "months", "died", "donor")
    assert labels.task == SURVIVAL and labels.targets.shape == (120, 2)
    options = PhenotypeOptions(
        methods=("scarf",), folds=2, seeds=(0,), label_counts=(0.5, 1.0), recipe={"steps": 5}
    )
    results = compare_phenotypes(matrix, labels, tmp_path, options)
    assert results.predictors == (
        *("PCA-128 + Cox", "ranks + PCA-128 + Cox", "1,000 most variable genes + Cox"),
        *("random projection to 128 + Cox", "untrained encoder + Cox", "from scratch"),
        *("scarf, frozen + Cox", "scarf, fine-tuned"),
    )
    assert results.mean("PCA-128 + Cox")[0] > 0.65
    assert min(results.mean(name)[0] for name in ("from scratch", "scarf, fine-tuned")) > 0.5
    assert (tmp_path / "phenotype.png").stat().st_size > 10_000
    again = compare_phenotypes(matrix, labels, tmp_path, options)  # all runs are in the log
    assert again.runs == results.runs


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("months", ["3", "-1"], "months: sample 'b': got '-1', wanted a number above 0"),
        ("months", ["3", "inf"], "months: sample 'b': got 'inf', wanted a number above 0"),
        ("died", ["0", "yes"], "died: sample 'b': got 'yes', wanted 0 or 1"),
        ("died", ["0", "0"], "died: got 0 for all 2 samples, wanted some events"),
    ],
)
def test_survival_that_cannot_be(column, values, message):
    obs = {"months": ["1", "2"], "died": ["1", "1"]} | {column: values}
    matrix = ExpressionMatrix(
        values=np.ones((2, 1)), samples=("a", "b"), genes=("g",), unit="log2", obs=obs
    )
    with pytest.raises(InputError, match=message):
        survival_labels(matrix, "months", "died", None)


def test_samples_without_a_label_are_left_out_and_counted():
    obs = {"months": ["1", None, "3"], "died": ["1", "1", None]}
    matrix = ExpressionMatrix(
        values=np.ones((3, 1)), samples=("a", "b", "c"), genes=("g",), unit="log2", obs=obs
    )
    kept, without = with_label(matrix, "months", "died")
    assert (kept.samples, without) == (("a",), 2)
    with pytest.raises(InputError, match="x: got no label in 1 sample"):
        with_label(ExpressionMatrix(**vars(kept) | {"obs": {"x": [None]}}), "x")
