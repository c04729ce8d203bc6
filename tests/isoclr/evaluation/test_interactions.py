"""The table of a set of pairs: what is learned, what is memory, what is chance."""

import json

import numpy as np
import polars as pl
import pytest
from results import results_of
from sklearn.metrics import roc_auc_score

from data_builders.interactions.dataset import InteractionSet, Molecule
from data_builders.interactions.splits import interaction_folds
from data_builders.labels.base import Labels
from data_builders.records import InputError
from data_builders.simulate.interactions import simulate_interactions
from isoclr.evaluation.compare import Prediction, compare, fold_of
from isoclr.evaluation.interactions import (
    Calibrated,
    InteractionOptions,
    auroc_by_group,
    bootstrap_auroc,
    calibration_error,
    evaluate_interactions,
    sets_table,
    weighted_auroc,
    write_sets,
)
from isoclr.evaluation.interactions_figures import plot_sets
from isoclr.evaluation.interactions_predictors import (
    Degree,
    LookUp,
    PairFeatures,
    TwoTowers,
    plain_predictors,
    read_scores,
)
from isoclr.evaluation.interactions_sources import (
    models_of,
    named_sets,
    published_sets,
    read_strangers,
)
from isoclr.evaluation.pair_models import SolvedPairs, TrainedPairs

FAST = InteractionOptions(
    kinds=("random", "both-new"), folds=2, seeds=(1,), trees=5, resamples=20, progress=False
)


def truth_of(interactions):
    """Predicts by the families of the molecules, which are their first motifs."""

    def predict(fold):
        def of(rows):
            return np.array(
                [
                    interactions.rnas[r].family == interactions.proteins[p].family
                    for r, p in zip(interactions.rna[rows], interactions.protein[rows], strict=True)
                ],
                float,
            )

        return Prediction(test=of(fold.test), validation=of(fold.validation))

    return predict


@pytest.fixture(scope="module")
def simulated():
    return simulate_interactions(60, 40, pairs_per_rna=4, seed=1)


@pytest.fixture(scope="module")
def evaluated(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    strangers = InteractionSet(
        rnas=(Molecule("1", "ACGTACGT", "none"),) * 3,
        proteins=(Molecule("1", "MKWWL", "no"),) * 3,
        rna=np.arange(3, dtype=np.int32),
        protein=np.arange(3, dtype=np.int32),
        label=np.zeros(3, np.int8),
        source=("x",) * 3,
    )
    found = evaluate_interactions(
        simulated, "toy", folder, FAST, {"the truth": truth_of}, strangers
    )
    return folder, found


def test_memory_is_chance_and_truth_is_not(evaluated):
    _, found = evaluated
    for kind in found.values():
        for blind in ("look-up table", "degree"):
            assert kind.results.mean(blind)[0] == pytest.approx(0.5, abs=0.1)
        assert kind.results.mean("the truth")[0] > 0.7
        assert kind.results.reference == "k-mer forest"
    both_new = found["both-new"].results
    assert both_new.values("look-up table") == [0.5, 0.5]
    assert both_new.values("degree") == [0.5, 0.5]


def test_files_and_table(evaluated):
    folder, found = evaluated
    names = {path.name for path in folder.iterdir()}
    for kind in FAST.kinds:
        assert {f"toy_{kind}_redrawn.{suffix}" for suffix in ("json", "txt", "png")} <= names
    assert "toy_redrawn.png" in names
    content = json.loads((folder / "toy_both-new_redrawn.json").read_text())
    assert set(content["more"]["the truth"]) == {"brier", "ece", "auroc_by_protein"}
    assert content["missing_negatives"] == found["both-new"].missing
    table = found["random"].table()
    for column in ("MCC", "Brier", "ECE", "AUROC by protein", "precision"):
        assert column in table
    assert len({len(line.split("  ")) > 1 for line in table.splitlines()[1:9]}) == 1


def test_several_sets_are_one_table_and_one_figure(tmp_path):
    names = ("auroc", "auprc", "mcc", "f1", "precision", "recall", "accuracy")
    one, other = (
        results_of(
            "binary", {name: [dict.fromkeys(names, x) for x in values] for name in predictors}
        )
        for predictors, values in ((("forest", "kernel"), (0.5, 0.75)), (("forest",), (0.6, 0.6)))
    )
    found = {"A": {"random": one, "new-rna": other}, "B": {"random": other}}
    lines = sets_table(found).splitlines()
    assert lines[0] == "| AUROC | split | forest | kernel |"
    assert lines[2].startswith("| A | random | 0.625 ± ") and lines[2].count("0.625") == 2
    assert lines[3:] == ["| A | new-rna | 0.600 ± 0.000 |  |", "| B | random | 0.600 ± 0.000 |  |"]
    plot_sets(found, tmp_path / "sets.png")
    assert (tmp_path / "sets.png").stat().st_size > 1000


def test_a_card_has_every_set_without_its_runs(evaluated, tmp_path):
    _, found = evaluated
    table = write_sets({"toy": found}, tmp_path, "sets")
    assert table.splitlines()[0].startswith("| AUROC | split | k-mer forest |")
    assert (tmp_path / "sets.png").stat().st_size > 1000
    content = json.loads((tmp_path / "sets.json").read_text())
    assert content["models"] == ["the truth"]
    both_new = content["sets"]["toy"]["both-new"]
    assert "runs" not in both_new
    mean, _ = found["both-new"].results.mean("the truth")
    assert both_new["summary"]["the truth"]["auroc"][0] == mean


def test_strangers_are_called_by_the_threshold(evaluated):
    _, found = evaluated
    strangers, positives = found["random"].called["the truth"]
    assert strangers == 0
    assert positives == pytest.approx(found["random"].results.mean("the truth", "recall")[0])
    strangers, positives, negatives = found["random"].called_at_half["the truth"]
    assert strangers <= negatives < positives


def balanced_set(seed=0):
    """Every molecule has as many negatives as positives, over the whole set."""
    rng = np.random.default_rng(seed)
    rna, protein, label = [], [], []
    for r in range(60):
        partners = [(r * 7 + step) % 60 for step in range(12)]
        for place, p in enumerate(partners):
            rna.append(r)
            protein.append(p)
            label.append(place % 2)
    order = rng.permutation(len(rna))
    return InteractionSet(
        rnas=tuple(Molecule(f"r{i}", "A") for i in range(60)),
        proteins=tuple(Molecule(f"p{i}", "M") for i in range(60)),
        rna=np.array(rna, np.int32)[order],
        protein=np.array(protein, np.int32)[order],
        label=np.array(label, np.int8)[order],
        source=("x",) * len(rna),
    )


def test_the_look_up_table_learns_the_complement():
    """Where positives and negatives balance, what is held out is what the others are not."""
    pairs = balanced_set()
    splits = interaction_folds(pairs, "random", 5, seed=1)
    labels = Labels(label="x", task="binary", targets=pairs.label.astype(bool))
    predictors = {"look-up": LookUp(pairs), "degree": Degree(pairs)}
    results = compare(predictors, labels, splits, progress=False)
    assert results.mean("look-up")[0] > 0.7
    assert results.mean("degree")[0] < 0.4  # it is against what memory says


def test_two_towers_learn_which_motifs_meet():
    pairs = simulate_interactions(160, 100, motifs=3, pairs_per_rna=12, seed=2)
    (split, *_) = interaction_folds(pairs, "random", 4, seed=1)
    labels = Labels(label="x", task="binary", targets=pairs.label.astype(bool))
    results = compare({"towers": TwoTowers(PairFeatures(pairs))}, labels, [split], progress=False)
    assert results.mean("towers")[0] > 0.8


def test_pair_features():
    pairs = simulate_interactions(24, 24, seed=0)
    both, rna = PairFeatures(pairs), PairFeatures(pairs, ("rna",))
    rows = np.array([5, 0])
    words = 4 + 4**2 + 4**3 + 4**4
    assert both[rows].shape == (2, words + 20 + 7**3)
    np.testing.assert_array_equal(both[rows][:, :words], rna[rows])
    np.testing.assert_allclose(rna[rows].sum(axis=1), 4, rtol=1e-5)  # 1 for each length


def test_weighted_auroc_is_that_of_repeated_rows():
    rng = np.random.default_rng(0)
    scores, observed = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    weights = rng.integers(0, 3, (6, 40))
    found = weighted_auroc(scores, observed, weights)
    for area, row in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(40), row)
        assert area == pytest.approx(roc_auc_score(observed[rows], scores[rows]))
    assert np.isnan(weighted_auroc(scores, np.ones(40, bool), weights[:1])).all()


def test_bootstrap_is_that_of_results():
    pairs = simulate_interactions(24, 24, seed=0)
    labels = Labels(label="x", task="binary", targets=pairs.label.astype(bool))
    splits = interaction_folds(pairs, "random", 2, seed=1)
    results = compare({"truth": truth_of(pairs)}, labels, splits, progress=False)
    clusters = (pairs.rna, pairs.protein)
    found = bootstrap_auroc(results, clusters, 30)
    wanted = results.cluster_intervals(clusters, resamples=30)
    assert found["truth"]["mean"] == pytest.approx(wanted["truth"]["mean"], rel=1e-9)


def test_calibration_error():
    assert calibration_error(np.full(8, 0.5), np.array([1, 1, 1, 1, 0, 0, 0, 0])) == 0
    assert calibration_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([1, 1, 0, 0])) == 1


def test_auroc_by_protein():
    scores = np.array([0.9, 0.1, 0.1, 0.9, 0.7])
    observed = np.array([True, False, True, False, True])
    assert auroc_by_group(scores, observed, np.array([0, 0, 1, 1, 2])) == 0.5
    assert auroc_by_group(scores, observed, np.arange(5)) is None


def test_calibration_keeps_the_order(simulated):
    (split, *_) = interaction_folds(simulated, "random", 3, seed=1)
    labels = Labels(label="x", task="binary", targets=simulated.label.astype(bool))
    nothing = np.zeros(0, np.int64)

    def against(fold):
        """Scores against the labels: the curve must not turn them round."""
        made = truth_of(simulated)(fold)
        return Prediction(test=-5 * made.test, validation=-5 * made.validation)

    results = compare(
        {"as it is": against, "calibrated": Calibrated(against, nothing)},
        labels,
        [split],
        progress=False,
    )
    assert results.values("as it is") == results.values("calibrated")
    (run,) = results.of("calibrated").values()
    predicted = results.predictions[run.key].predicted
    assert 0 < predicted.min() <= predicted.max() < 1


def test_scores_of_a_table(tmp_path, simulated):
    pairs = [
        (rna.id, protein.id, float(rna.family == protein.family))
        for rna in simulated.rnas
        for protein in simulated.proteins
    ]
    path = tmp_path / "scores.parquet"
    pl.DataFrame(pairs, ["rna_id", "protein_id", "score"], orient="row").write_parquet(path)
    made = models_of([], [f"mine={path}"], tmp_path)
    rows = np.arange(20)
    fold_like = type("Fold", (), {"test": rows, "validation": rows, "seed": 1})
    found = made["mine"](simulated)(fold_like).test
    wanted = truth_of(simulated)(fold_like).test
    np.testing.assert_array_equal(found, wanted)
    pl.DataFrame(pairs[:1], ["rna_id", "protein_id", "score"], orient="row").write_parquet(path)
    with pytest.raises(InputError, match="got no score of rna0 with"):
        read_scores(path, simulated)(fold_like)


@pytest.mark.parametrize(
    ("scores", "message"),
    [(["x"], "wanted NAME=FILE"), (["a=b", "a=c"], "got two named 'a'")],
)
def test_refuses_models(tmp_path, scores, message):
    with pytest.raises(InputError, match=message):
        models_of([], scores, tmp_path)


def test_ablations_take_the_vectors_away(tmp_path, simulated):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "model: {design: bilinear, hidden_size: 3, rna_embedder: {kind: kmers, size: 21}}\n"
    )
    made = models_of([str(recipe)], [], tmp_path, ablations=True)
    given = {name: make(simulated).recipe["model"] for name, make in made.items()}
    one_hot, random = {"kind": "one_hot"}, {"kind": "random", "per": "molecule"}
    assert {
        name: tuple(model.get(f"{side}_embedder") for side in ("rna", "protein"))
        for name, model in given.items()
    } == {
        "mine": ({"kind": "kmers", "size": 21}, None),
        "mine, random RNA": ({"kind": "random", "size": 21}, None),
        "mine, random protein": ({"kind": "kmers", "size": 21}, {"kind": "random", "size": 20}),
        "mine, one-hot": (one_hot, one_hot),
        "mine, random molecules": (random | {"size": 21}, random | {"size": 20}),
    }
    assert all(model["hidden_size"] == 3 for model in given.values())
    with pytest.raises(InputError, match="--ablations: got no --recipe"):
        models_of([], [], tmp_path, ablations=True)


def test_a_kernel_is_solved_as_training_solves_it(tmp_path, simulated):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "model: {design: kernel, hidden_size: 8, rna_embedder: {kind: kmers, size: 21}}\n"
        "negative_draws: 2\nsteps: 1\nwarmup_steps: 0\nevaluate_every: 1\n"
    )
    mine = models_of([str(recipe)], [], tmp_path)["mine"](simulated)
    assert isinstance(mine, SolvedPairs)
    trained = TrainedPairs(interactions=simulated, folder=tmp_path / "runs", recipe=mine.recipe)
    labels = Labels(label="x", task="binary", targets=simulated.label.astype(bool))
    (split, *_) = interaction_folds(simulated, "random", 2, seed=1)
    fold = fold_of(labels, split)
    found, wanted = mine(fold), trained(fold)
    for side in ("validation", "test"):
        line = np.corrcoef(getattr(found, side), getattr(wanted, side))[0, 1]
        assert line == pytest.approx(1, abs=1e-9)


def test_controls_are_those_that_are_named(simulated):
    names = ["degree", "look-up table"]
    assert list(plain_predictors(simulated, 5, names)) == [
        "k-mer forest",
        "look-up table",
        "degree",
    ]
    with pytest.raises(InputError, match="controls: got 'tree', wanted k-mer forest, "):
        plain_predictors(simulated, 5, ["tree"])


def test_published_sets(tmp_path):
    for name, content in (
        ("RPI1_pairs.txt", "p1 r1 1\np2 r2 0\n"),
        ("RPI1_rna_seq.fa", ">r1\nACGU\n>r2\nGGGG\n"),
        ("RPI1_protein_seq.fa", ">p1\nMKL\n>p2\nMLL\n"),
    ):
        (tmp_path / name).write_text(content)
    ((name, found),) = named_sets([], tmp_path)
    assert (name, len(found)) == ("RPI1", 2)
    (tmp_path / "RPI1_rna_seq.fa").unlink()
    with pytest.raises(InputError, match="got 0 files RPI1_rna"):
        published_sets(tmp_path)
    with pytest.raises(InputError, match="got no set"):
        next(named_sets([]))


def test_strangers(real_data):
    found = read_strangers(real_data / "rna_protein" / "non_rbp_negatives.parquet")
    assert len(found) == 971
    assert not found.label.any()
