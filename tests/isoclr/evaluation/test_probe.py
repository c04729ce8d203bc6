import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from data_builders.homology.homologous_genes import read_homology
from data_builders.labels.label_set import LabelSet, read_labels
from data_builders.labels.splits import SEEDS, homology_split
from data_builders.records import InputError, Transcript
from isoclr.evaluation.features import codon_frequencies, structure_features
from isoclr.evaluation.linear import CLASS_METRICS, fit_and_score, fit_and_score_classes
from isoclr.evaluation.probe import (
    METRICS,
    ProbeResult,
    few_labels_table,
    probe,
    probe_few_labels,
    write_few_labels,
)

N = 400


def labelled(targets, groups=None):
    n = len(targets)
    groups = tuple(groups) if groups is not None else tuple(map(str, range(n)))
    transcripts = tuple(Transcript(f"t{i}", f"g{i}", "s", "A") for i in range(n))
    return LabelSet("half_life", transcripts, np.asarray(targets), groups, Counter())


def planted(noise, seed=0):
    """Features of very different scales, and targets that are linear in them, plus noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 5))
    targets = x @ [1, -2, 0.5, 0, 1] + noise * rng.normal(size=N)
    return x * [1, 1000, 0.001, 1, 1] + 7, targets


def run(features, labels, **options):
    return probe(features, labels, progress=False, **options)


def test_planted_signal_is_recovered():
    x, targets = planted(noise=0)
    result = run({"x": x}, labelled(targets))
    assert min(result.scores["x"]["pearson"]) > 0.99999
    assert min(result.scores["x"]["spearman"]) > 0.9999
    assert max(result.scores["x"]["mse"]) < 1e-4


def test_scores_are_those_of_ridge_by_its_normal_equations():
    x, targets = planted(noise=2)
    x = np.column_stack([x, np.full(N, 3.0)])  # a constant column has no standard deviation
    groups = [str(i // 3) for i in range(N)]
    result = run({"x": x}, labelled(targets, groups), seeds=(1, 2), alphas=(50.0,))
    for i, seed in enumerate((1, 2)):
        train, _, test = homology_split(groups, seed)
        centre, scale = x[train, :5].mean(0), x[train, :5].std(0)
        z = (x[:, :5] - centre) / scale
        mean = targets[train].mean()
        weights = np.linalg.solve(
            z[train].T @ z[train] + 50 * np.eye(5), z[train].T @ (targets[train] - mean)
        )
        predicted = z[test] @ weights + mean
        expected = {
            "pearson": np.corrcoef(predicted, targets[test])[0, 1],
            "spearman": stats.spearmanr(predicted, targets[test]).statistic,
            "mse": ((predicted - targets[test]) ** 2).mean(),
            "alpha": 50.0,
        }
        assert {m: result.scores["x"][m][i] for m in METRICS} == pytest.approx(expected, rel=1e-9)


def test_noise_and_permuted_targets_have_no_signal():
    x, targets = planted(noise=0)
    rng = np.random.default_rng(1)
    wide = rng.normal(size=(N, 2 * N))
    for features, y in ((wide, targets), (x, rng.permutation(targets))):
        r, _ = run({"x": features}, labelled(y)).mean("x")
        assert abs(r) < 0.1


def test_relatives_help_only_a_split_that_ignores_homology():
    # Features and targets are at random, but alike within each group of four: memory, no law.
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(100), 4)
    x, targets = rng.normal(size=(100, 200))[group], rng.normal(size=100)[group]
    labels = labelled(targets + 0.1 * rng.normal(size=N), map(str, group))
    assert run({"x": x}, labels, split="random").mean("x")[0] > 0.9
    assert abs(run({"x": x}, labels).mean("x")[0]) < 0.2


def test_test_rows_influence_neither_scaling_nor_penalty():
    x, targets = planted(noise=2)
    labels = labelled(targets)
    seeds = (1, 2)
    honest = run({"x": x}, labels, seeds=seeds).scores["x"]
    for i, seed in enumerate(seeds):
        _, valid, test = homology_split(labels.groups, seed)
        spoilt_x, spoilt_y = x.copy(), targets.copy()
        spoilt_x[valid] *= 1e6
        spoilt_y[valid] = 1e6
        spoilt_x[test[0]] *= 1e6
        spoilt = run({"x": spoilt_x}, labelled(spoilt_y), seeds=seeds).scores["x"]
        assert spoilt["alpha"][i] == honest["alpha"][i]
        # Had the scaler seen that row, the rank of every other prediction would change too.
        spoilt_x[test[0]] = x[test[0]]
        restored = run({"x": spoilt_x}, labelled(spoilt_y), seeds=seeds).scores["x"]
        assert restored["pearson"][i] == honest["pearson"][i]


def test_deterministic():
    x, targets = planted(noise=1)
    assert run({"x": x}, labelled(targets)) == run({"x": x}, labelled(targets))


def test_splits_are_those_of_their_groups():
    x, targets = planted(noise=2)
    labels = labelled(targets)
    place = {f"t{i}": str(i % 20) for i in range(N)}
    found = run({"x": x}, labels, seeds=(1, 2), split="chromosome", chromosomes=place)
    assert found.split == "chromosome"
    for i, seed in enumerate((1, 2)):
        train, _, test = homology_split([place[f"t{i}"] for i in range(N)], seed)
        expected = fit_and_score("x", x, targets, train, test, found.alphas)
        assert tuple(found.scores["x"][metric][i] for metric in METRICS) == expected


# --- Classes


def classes(x, seed=0):
    """Two classes linear in x with noise, and one that a single row has."""
    noise = np.random.default_rng(seed).normal(size=(N, 2))
    z = (x - x.mean(0)) / x.std(0)
    targets = z[:, :2] + noise > 0.5
    return np.column_stack([targets, np.arange(N) == 0])


def test_classes_are_scored_but_for_those_with_one_value_on_a_side():
    x, _ = planted(noise=0)
    labels = labelled(classes(x))
    result = run({"x": x}, labels, seeds=(1, 2))
    assert (result.task, result.classes, result.classes_left_out) == ("classification", 3, (1, 1))
    assert result.metrics == ("auroc_macro", "auroc_micro", "auprc_macro", "auprc_micro")
    for i, seed in enumerate((1, 2)):
        sides = homology_split(labels.groups, seed)
        expected = fit_and_score_classes("x", x, labels.targets[:, :2], *sides, result.alphas)
        assert tuple(result.scores["x"][metric][i] for metric in CLASS_METRICS) == expected
    head, columns, row = result.table().splitlines()
    assert head.endswith(", 2 seeds, 2 of 3 classes")
    for name in ("macro AUROC", "micro AUROC", "macro AUPRC", "micro AUPRC", "AUROC - AUROC(x)"):
        assert name in columns
    assert row.startswith("x ")


def test_numbers_of_0_and_1_are_a_class():
    x, _ = planted(noise=0)
    targets = classes(x)[:, 0]
    results = [run({"x": x}, labelled(t), seeds=(1, 2)) for t in (targets, targets.astype(float))]
    assert results[0] == results[1]
    assert results[0].mean("x")[0] > 0.7


# --- Other predictors


def test_predictors_see_the_same_rows_and_are_scored_alike():
    x, targets = planted(noise=2)
    labels, seen = labelled(targets), []

    def mean_of_columns(*rows):
        seen.append(rows)
        return x[rows[2], 0]

    result = run({"x": x}, labels, seeds=(1, 2), predictors={"mine": mean_of_columns})
    assert list(result.scores) == ["x", "mine"] and "alpha" not in result.scores["mine"]
    for i, ((*sides, seed), expected_seed) in enumerate(zip(seen, (1, 2), strict=True)):
        assert seed == expected_seed
        for side, expected in zip(sides, homology_split(labels.groups, seed), strict=True):
            assert (side == expected).all()
        r = np.corrcoef(x[sides[2], 0], targets[sides[2]])[0, 1]
        assert result.scores["mine"]["pearson"][i] == pytest.approx(r, rel=1e-9)
    assert result.gain("mine")[0] < 0


@pytest.mark.parametrize(
    ("name", "predicted", "message"),
    [
        ("x", lambda test: test, "got features and a predictor 'x', wanted different names"),
        ("mine", lambda test: test[1:], r"'mine': got shape \(59,\), wanted \(60,\) of finite"),
        ("mine", lambda test: test * np.nan, "'mine': got shape .* of finite numbers"),
    ],
)
def test_a_bad_predictor_is_named(name, predicted, message):
    x, targets = planted(noise=2)
    with pytest.raises(InputError, match=message):
        run({"x": x}, labelled(targets), predictors={name: lambda *rows: predicted(rows[2])})


# --- Few labels


def test_few_labels_are_nested_parts_of_train_and_test_is_whole():
    x, targets = planted(noise=2)
    labels, seen = labelled(targets), {}

    def look(train, validation, test, seed):
        seen.setdefault(seed, []).append((train, validation, test))
        return np.arange(len(test))

    results = probe_few_labels(
        {"x": x}, labels, (100, 10), seeds=(1, 2), predictors={"look": look}, progress=False
    )
    assert [result.train_rows for result in results] == [(10, 10), (100, 100), (280, 280)]
    for seed, parts in seen.items():
        whole = homology_split(labels.groups, seed)
        assert [[len(side) for side in part] for part in parts] == [
            [10, 10, 60],
            [100, 21, 60],
            [280, 60, 60],
        ]
        for smaller, larger in zip(parts, [*parts[1:], whole], strict=True):
            assert set(smaller[0]) <= set(larger[0]) and set(smaller[1]) <= set(larger[1])
            assert (smaller[2] == whole[2]).all()
        expected = fit_and_score("x", x, targets, parts[0][0], whole[2], results[0].alphas)
        assert expected[0] in results[0].scores["x"]["pearson"]
    assert not set(seen[1][0][0]) == set(seen[2][0][0])
    assert results[-1] == run({"x": x}, labels, seeds=(1, 2), predictors={"look": look})


@pytest.mark.parametrize("size", [1, 280])
def test_a_number_of_labels_that_train_has_not_is_an_error(size):
    x, targets = planted(noise=2)
    message = f"probe: got {size} labels to learn from, wanted 2 to 279"
    with pytest.raises(InputError, match=message):
        probe_few_labels({"x": x}, labelled(targets), (10, size), progress=False)


def test_few_labels_as_table_and_file(tmp_path):
    x, targets = planted(noise=2)
    options = {"seeds": (1, 2), "progress": False}
    results = probe_few_labels({"x": x, "y": x[:, :2]}, labelled(targets), (10,), **options)
    title, heads, *rows = few_labels_table(results).splitlines()
    assert title == "Pearson r by labels to learn from"
    assert heads.split() == ["features", "10", "labels", "280", "labels"]
    assert [row[0] for row in rows] == ["x", "y"]
    cells = [f"{mean:.3f} ± {half:.3f}" for mean, half in (r.mean("y") for r in results)]
    assert rows[1].split(maxsplit=1)[1] == "  ".join(cells)
    write_few_labels(results, tmp_path / "few.json")
    read = json.loads((tmp_path / "few.json").read_text())
    assert [result["scores"]["y"]["pearson"] for result in read] == [
        list(result.scores["y"]["pearson"]) for result in results
    ]


# --- Tables and files


def result_of(**pearson):
    scores = {
        name: {"pearson": r, "spearman": r, "mse": (1.0,) * 3, "alpha": (0.1, 1.0, 10.0)}
        for name, r in pearson.items()
    }
    return ProbeResult("half_life", "homology", 1200, 1100, (1, 2, 3), (0.1, 1.0, 10.0), scores)


def test_mean_interval_and_paired_gain():
    first, other = (0.1, 0.2, 0.3), (0.2, 0.4, 0.45)
    result = result_of(first=first, other=other)
    assert result.mean("first") == pytest.approx((0.2, 1.96 * 0.1 / 3**0.5))
    differences = np.array([0.1, 0.2, 0.15])
    t = differences.mean() / (differences.std(ddof=1) / 3**0.5)
    p = 2 * stats.t.sf(t, df=2)
    assert result.gain("other") == pytest.approx((0.15, 1.96 * 0.05 / 3**0.5, p))
    assert result.gain("first") == (0, 0, 1)


def test_table():
    table = result_of(**{"k-mers": (0.1, 0.2, 0.3), "mine": (0.2, 0.4, 0.45)}).table()
    assert table.splitlines() == [
        "half_life: 1,200 transcripts, 1,100 homology groups, homology split, 3 seeds",
        "features  Pearson r      Spearman       MSE            alpha     r - r(k-mers)   p",
        "k-mers    0.200 ± 0.113  0.200 ± 0.113  1.000 ± 0.000  0.1 … 10",
        "mine      0.350 ± 0.150  0.350 ± 0.150  1.000 ± 0.000  0.1 … 10  +0.150 ± 0.057  0.04",
    ]


def test_json_holds_every_score(tmp_path):
    result = result_of(first=(0.1, 0.2, 0.3), other=(0.2, 0.4, 0.45))
    result.to_json(tmp_path / "probe.json")
    read = json.loads((tmp_path / "probe.json").read_text())
    assert read["scores"]["other"]["pearson"] == [0.2, 0.4, 0.45]
    assert read["summary"]["other"]["pearson"] == pytest.approx(result.mean("other"))
    assert read["summary"]["other"]["gain_over_first"] == pytest.approx(result.gain("other"))
    assert (read["rows"], read["groups"], read["seeds"]) == (1200, 1100, [1, 2, 3])


@pytest.mark.parametrize(
    ("features", "targets", "seeds", "message"),
    [
        ({}, np.arange(40.0), SEEDS, "probe: got no feature set"),
        ({"x": np.eye(40)}, np.arange(40.0), (1,), "probe: got 1 seeds, wanted at least two"),
        ({"x": np.ones((39, 2))}, np.arange(40.0), SEEDS, r"'x': got shape \(39, 2\), wanted \(40"),
        ({"x": np.ones(40)}, np.arange(40.0), SEEDS, r"'x': got shape \(40,\), wanted \(40, width"),
        ({"x": np.diag([np.nan] * 40)}, np.arange(40.0), SEEDS, "'x': row 0: got NaN or infinity"),
        ({"x": np.eye(40)}, np.full(40, 2.0), SEEDS, "labels: got one value for all of train or"),
        (
            {"x": np.eye(40)},
            np.ones(40),
            SEEDS,
            "labels: got no class of 1 with both values in 28 rows of train and 6 of test",
        ),
    ],
)
def test_bad_input_is_named(features, targets, seeds, message):
    with pytest.raises(InputError, match=message):
        run(features, labelled(targets), seeds=seeds)


def test_real_half_lives_from_codons_and_structure(real_data):
    homology = read_homology(real_data / "homology" / "homologene_build68.tsv.gz")
    table = real_data / "rna_property" / "half_life_human.parquet"
    labels = read_labels(table, "half_life_pc1", homology=homology, species="human")
    structure = structure_features(labels.transcripts)
    codons = codon_frequencies(labels.transcripts)
    result = run({"structure": structure, "both": np.hstack([codons, structure])}, labels)
    # Measured elsewhere on other shuffles: 0.576 and 0.647, with intervals of 0.014 and 0.009.
    assert result.mean("structure")[0] == pytest.approx(0.576, abs=0.03)
    assert result.mean("both")[0] == pytest.approx(0.647, abs=0.03)
    for scores in result.scores.values():
        assert min(result.alphas) < min(scores["alpha"])
        assert max(scores["alpha"]) < max(result.alphas)
