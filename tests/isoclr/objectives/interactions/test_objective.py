"""Interactions through the engine: what is learned, resume, the weights that are kept."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from global_draws import none_drawn
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score
from toy_interactions import write_toy
from transformers import AutoModelForSequenceClassification

import train
from data_builders.interactions.dataset import read_interactions, write_interactions
from data_builders.labels.base import BINARY, Labels
from data_builders.records import InputError
from data_builders.simulate.interactions import simulate_interactions
from isoclr.evaluation.compare import fold_of
from isoclr.evaluation.interactions_predictors import LookUp
from isoclr.objectives import read_recipe
from isoclr.objectives.interactions import objective as objective_module
from isoclr.objectives.interactions import vectors as vectors_module
from isoclr.objectives.interactions.calibration import platt
from isoclr.objectives.interactions.known import Known, sketch
from isoclr.objectives.interactions.objective import InteractionObjective, score_pairs
from isoclr.objectives.interactions.vectors import MoleculeVectors
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer, RPIConfig
from toys import tiny

TOWERS = {"design": "towers", "kernel_size": 8, "motifs": 64, "hidden_size": 16, "dropout": 0.1}
SMALL = {"design": "towers", "kernel_size": 3, "motifs": 4, "hidden_size": 4}


@pytest.fixture(autouse=True)
def forgotten_accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    write_interactions(simulate_interactions(120, 80, motifs=4), folder)
    return folder


def recipe_file(folder, data, **changes):
    told = {
        "objective": "interactions",
        "data": str(data),
        "output": str(folder / "model"),
        "model": SMALL,
        "steps": 6,
        "batch_size": 16,
        "learning_rate": 0.01,
        "folds": 3,
        "evaluate_every": 2,
        "checkpoint_every": 3,
        "tracker": None,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(told | changes))
    return path


def objective(folder, data, share=(0, 1), **changes):
    return InteractionObjective(read_recipe(recipe_file(folder, data, **changes)), *share)


def test_planted_motifs_are_found_in_pairs_of_new_molecules(tmp_path, simulated):
    """Of RNAs and proteins that are all new, where a table of known molecules says .5."""
    keys = {"batch_size": 64, "steps": 150, "warmup_steps": 20, "weight_decay": 0.01}
    keys |= {"evaluate_every": 50, "checkpoint_every": 150, "negatives": "given"}
    path = recipe_file(tmp_path, simulated, model=TOWERS, **keys)
    train.main([str(path)])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    made = InteractionObjective(read_recipe(path), 0, 1)
    test, known = made._batches(made.split.test, (0, 1)), made._batches(made.split.train, (0, 1))
    assert not set(test.pairs.rna) & set(known.pairs.rna)
    assert not set(test.pairs.protein) & set(known.pairs.protein)
    assert roc_auc_score(test.pairs.label, score_pairs(model, test)) >= 0.9
    labels = Labels(label="pair", task=BINARY, targets=made.interactions.label == 1)
    table = LookUp(made.interactions)(fold_of(labels, made.split)).test
    assert roc_auc_score(test.pairs.label, table) == 0.5
    record = model.config.training
    assert record["split"] == "both-new" and record["validation_auroc"] >= 0.9
    assert model.config.calibration[0] > 0


@pytest.mark.parametrize("steps_done", [3, 6])
def test_it_goes_on_to_the_same_bits_and_keeps_the_best_weights(tmp_path, data, steps_done):
    path = recipe_file(tmp_path, data)
    train.main([str(path)])
    whole, half = tmp_path / "model", tmp_path / "half"
    shutil.copytree(whole, half)
    for step in range(steps_done + 1, 7):
        shutil.rmtree(half / "checkpoints" / f"step-{step:08d}", ignore_errors=True)
    train.main([str(path), "--output", str(half)])
    for name in ("model.safetensors", "log.jsonl", "config.json", "known.safetensors"):
        assert (half / name).read_bytes() == (whole / name).read_bytes(), name
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    scores = [record["held_out_auroc"] for record in log if "held_out_auroc" in record]
    model = AutoModelForSequenceClassification.from_pretrained(whole)
    assert model.config.training["validation_auroc"] == round(max(scores), 4)


def test_batches_hold_every_pair_once_whoever_asks(tmp_path, data):
    one = objective(tmp_path, data)
    steps = range(one.steps_per_epoch)
    rows = np.concatenate([one.batches.rows(step) for step in steps])
    assert sorted(rows) == list(range(len(one.split.train)))
    halves = [objective(tmp_path, data, (rank, 2)) for rank in range(2)]
    for step in (0, 3):
        whole, parts = one.batches[step], [half.batches[step] for half in halves]
        labels = torch.cat([part.labels for part in parts])
        assert torch.equal(labels, whole.labels)
        assert sum(part.weights.sum() for part in parts) == pytest.approx(1)
    ids = one.describe(0)
    assert len(ids) == len(one.batches.rows(0)) and ids[0].startswith("rna")


def test_an_evaluation_draws_nothing(tmp_path, data):
    made = objective(tmp_path, data, model=SMALL | {"dropout": 0.5})
    model = made.build_model()
    with none_drawn():
        scores = made.evaluate(model.train())
    assert 0 <= scores["held_out_auroc"] <= 1 and model.training


def test_gradients_of_two_processes_average_to_those_of_one(tmp_path, data):
    torch.manual_seed(0)
    made = objective(tmp_path, data, model=SMALL | {"dropout": 0.0})
    model = made.build_model()

    def gradient(module, batch):
        model.zero_grad()
        module(batch)[0].backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    whole = gradient(made.loss_module(model), made.batches[0])
    halves = []
    for rank in range(2):
        half = objective(tmp_path, data, (rank, 2), model=SMALL | {"dropout": 0.0})
        halves.append(gradient(half.loss_module(model), half.batches[0]))
    torch.testing.assert_close((halves[0] + halves[1]) / 2, whole, rtol=1e-4, atol=1e-6)


def test_negatives_drawn_several_times_weigh_as_much_as_once(tmp_path, data):
    made = objective(tmp_path, data, negative_draws=4)
    label, weight = made.batches.pairs.label, made.batches.pairs.weight
    assert (label == 0).sum() > 3 * (label == 1).sum()
    assert weight[label == 0].sum() == pytest.approx(weight[label == 1].sum())


def test_no_part_is_kept_from_training_where_the_recipe_says_so(tmp_path, data):
    made = objective(tmp_path, data, keep_test=False, split="new-protein")
    interactions = read_interactions(data)
    used = np.concatenate([made.split.train, made.split.validation])
    assert int(made.interactions.label[used].sum()) == len(interactions.positives)
    assert not len(made.split.test)


def test_the_published_read_out_trains_without_its_dead_branch(tmp_path, data):
    keys = {"readout": "first", "hidden_size": 8, "intermediate_size": 5, "max_positions": 40}
    made = objective(tmp_path, data, model=keys)
    model = made.build_model()
    made.loss_module(model)(made.batches[0])[0].backward()
    frozen = {n.split(".")[1] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"protein_layers", "norm"}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert made.batches[0].inputs["rna_embeds"].shape[1] == 40


def test_bilinear_components_are_those_of_training_alone(tmp_path, data):
    keys = {"design": "bilinear", "hidden_size": 3}
    keys |= {"rna_embedder": {"kind": "kmers", "size": 21}}
    made = objective(tmp_path, data, model=keys)
    model = made.build_model()
    train_rnas = np.unique(made.interactions.rna[made.split.train])
    means = np.stack([made.vectors["rna"][i].mean(0) for i in train_rnas])
    with torch.no_grad():
        found = model.rpi.rna_projection(
            torch.from_numpy(means[:, None]), torch.ones(len(means), 1, dtype=torch.bool)
        )
    torch.testing.assert_close(found.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.var(0, correction=0), torch.ones(3), rtol=1e-3, atol=1e-3)


def test_the_kernel_design_is_solved_on_training_alone(tmp_path, data, monkeypatch):
    keys = {"design": "kernel", "hidden_size": 3, "rna_embedder": {"kind": "kmers", "size": 21}}
    train.main([str(recipe_file(tmp_path, data, model=keys, protein_ridge=2.0))])
    made = objective(tmp_path, data, model=keys, protein_ridge=2.0)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    rnas = np.unique(made.interactions.rna[made.split.train])
    expected = np.stack([made.vectors["rna"][i][0] for i in rnas])
    assert np.array_equal(model.rpi.rna_kernel.landmarks.numpy(), expected)
    assert model.config.landmarks[0] == len(rnas) < len(made.interactions.rnas)
    learned = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learned == ["classifier.slope", "classifier.intercept"]
    assert model.classifier.slope.item() != 1.0
    monkeypatch.setattr(objective_module, "_MOST_LANDMARKS", 3)
    with pytest.raises(InputError, match=f"got 'kernel' with {len(rnas)} RNAs and "):
        made.build_model()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    IsoCLRModel(tiny()).save_pretrained(folder)
    IsoCLRTokenizer().save_pretrained(folder)
    return {"kind": "isoclr", "model": str(folder), "size": tiny().hidden_size}


def test_vectors_of_an_encoder_are_made_once_and_found_by_what_the_sequence_is(
    tmp_path, data, encoder, monkeypatch
):
    rnas = read_interactions(data).rnas
    config = RPIConfig(rna_embedder=encoder)
    monkeypatch.setattr(vectors_module, "_LETTERS_A_PART", 200)
    stopped = MoleculeVectors("rna", rnas[:7], config, cache=tmp_path)
    before = {path.name for path in tmp_path.rglob("part-*")}
    assert before
    whole = MoleculeVectors("rna", rnas, config, cache=tmp_path)
    assert {path.name for path in tmp_path.rglob("part-*")} > before
    direct = MoleculeVectors("rna", rnas, config)
    shuffled = MoleculeVectors("rna", rnas[::-1], config, cache=tmp_path)
    for i in range(len(rnas)):
        assert np.allclose(whole[i], direct[i], atol=1e-5)
        assert np.array_equal(whole[i], shuffled[len(rnas) - 1 - i])
        assert len(whole[i]) == whole.lengths[i]
    assert np.array_equal(stopped[3], whole[3])
    made = vectors_module.load_embedder("rna", config)
    monkeypatch.setattr(vectors_module, "load_embedder", lambda *_: _Refusing(made))
    MoleculeVectors("rna", rnas, config, cache=tmp_path)  # nothing is made again


class _Refusing:
    """An embedder that makes nothing."""

    def __init__(self, made):
        self.model, self.positions = made.model, made.positions

    def __call__(self, sequences):
        raise AssertionError("made again")


def test_the_bilinear_design_scores_means_as_it_scores_all_positions(tmp_path, data, encoder):
    keys = {"design": "bilinear", "hidden_size": 3, "rna_embedder": encoder}
    made = objective(tmp_path, data, model=keys)
    torch.manual_seed(0)
    model = made.build_model()
    with torch.no_grad():
        model.rpi.form.weight.normal_()
    rows = np.arange(9)
    batch = made.batches.of(rows)
    assert batch.inputs["rna_embeds"].shape[1] == 1
    pairs = made.batches.pairs
    sequences = [
        [found[places[row]].sequence for row in rows]
        for found, places in (
            (made.interactions.rnas, pairs.rna),
            (made.interactions.proteins, pairs.protein),
        )
    ]
    whole = made.processor(*sequences, return_tensors="pt")
    with torch.no_grad():
        expected = model(**whole).logits
        torch.testing.assert_close(model(**batch.inputs).logits, expected, rtol=1e-4, atol=1e-4)


def test_precomputed_vectors_go_by_id_and_long_ones_are_counted(tmp_path, data):
    rnas = read_interactions(data).rnas
    arrays = {each.id: np.full((3 + i, 2), i, np.float32) for i, each in enumerate(rnas)}
    save_file(dict(sorted(arrays.items())), tmp_path / "rnas.safetensors")
    config = RPIConfig(rna_embedder={"kind": "precomputed", "size": 2}, max_positions=5)
    found = MoleculeVectors("rna", rnas, config, file=tmp_path / "rnas.safetensors")
    assert found.long == len(rnas) - 3
    for i in (0, 2, 9):
        assert np.array_equal(found[i], arrays[rnas[i].id][:5])
    del arrays["rna7"]
    save_file(arrays, tmp_path / "fewer.safetensors")
    with pytest.raises(InputError, match="no array for 1 of 30 rna ids.*'rna7'"):
        MoleculeVectors("rna", rnas, config, file=tmp_path / "fewer.safetensors")
    save_file(arrays | {"rna7": np.zeros((2, 3), np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"'rna7': got an array of \(2, 3\)"):
        MoleculeVectors("rna", rnas, config, file=tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="wanted a file of precomputed arrays"):
        MoleculeVectors("rna", rnas, config)


def test_platt_finds_the_line_that_made_the_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 50_000)
    labels = rng.random(50_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    slope, intercept = platt(logits, labels)
    assert slope == pytest.approx(0.5, abs=0.02) and intercept == pytest.approx(-1, abs=0.05)
    perfect = platt(np.array([-900.0, -800, 900, 800]), np.array([0, 0, 1, 1]))
    assert np.isfinite(perfect).all() and perfect[0] > 0


def test_what_was_seen_is_near_and_what_is_new_is_far(tmp_path, data):
    path = recipe_file(tmp_path, data, steps=2)
    train.main([str(path)])
    known = Known(tmp_path / "model")
    rng = np.random.default_rng(1)
    seen = set(json.loads((tmp_path / "model" / "config.json").read_text())["training"])
    assert {"rnas", "proteins", "pairs"} <= seen
    protein = known._ids["protein"][0]
    sequence = next(p.sequence for p in read_interactions(data).proteins if p.id == protein)
    assert known.nearest("protein", sequence) == (protein, 1.0)
    name, identity = known.nearest("protein", sequence[:15] + "WWWWWWWWWWWWWWW")
    assert name == protein and 0.5 < identity < 1
    assert known.nearest("rna", "".join(rng.choice(list("ACGT"), 40))) == (None, 0.0)
    assert len(sketch("protein", "MK")) == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 3}, "fold: got 3, wanted one of 0 to 2"),
        ({"negatives": "given", "negative_draws": 2}, "negative_draws: got 2 with given"),
        ({"negatives": "given"}, "train: got .* pairs that interact"),
        ({"model": {"desing": "towers"}}, "model.desing: unknown key; did you mean design?"),
        ({"model": {"rna_embedder": {"kind": "isoclr", "model": "nowhere", "size": 8}}}, "nowhere"),
    ],
)
def test_recipes_that_cannot_be(tmp_path, data, changes, message):
    with pytest.raises(InputError, match=message):
        objective(tmp_path, data, **changes)
