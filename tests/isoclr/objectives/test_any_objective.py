"""What the engine gives any objective: the toy of tests/helpers has none of it in its code."""

import json
import shutil

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

import train
from isoclr.objectives import OBJECTIVES, read_recipe
from isoclr.training.curves import read_log
from toy_objective import ToyModel, ToyRecipe


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "toy", "toy_objective:ToyObjective")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def recipe_file(tmp_path):
    recipe = {"objective": "toy", "output": str(tmp_path / "model"), "steps": 8, "batch_size": 6}
    recipe |= {"learning_rate": 0.05, "checkpoint_every": 1, "keep_checkpoints": 9}
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(recipe | {"evaluate_every": 4, "tracker": None}))
    return path


def test_a_run_has_log_curves_checkpoints_model_and_card(recipe_file, tmp_path):
    train.main([str(recipe_file)])
    folder = tmp_path / "model"
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "checkpoints", "config.json", "curves.png", "log.jsonl"),
        *("model.safetensors", "recipe.yaml", "speed.json"),
    }
    log = read_log(folder / "log.jsonl")
    assert [record["step"] for record in log] == list(range(1, 9))
    assert [r["step"] for r in log if "held_out_loss" in r] == [4, 8]
    assert log[-1]["held_out_loss"] < log[3]["held_out_loss"]
    assert json.loads((folder / "speed.json").read_text())["points_per_s"] > 0
    card = (folder / "README.md").read_text()
    assert "A model of 20 parameters, trained with isoclr (objective `toy`)." in card
    assert f"had loss {log[-1]['loss']:.3f}" in card and "IsoCLR" not in card
    recipe = read_recipe(folder / "recipe.yaml")
    assert isinstance(recipe, ToyRecipe) and recipe == read_recipe(recipe_file)
    ToyModel.from_pretrained(folder)


@pytest.mark.parametrize("steps_done", [1, 5, 8])
def test_it_goes_on_to_the_same_bits(recipe_file, tmp_path, steps_done):
    train.main([str(recipe_file)])
    whole, half = tmp_path / "model", tmp_path / "half"
    shutil.copytree(whole, half)
    for step in range(steps_done + 1, 9):
        shutil.rmtree(half / "checkpoints" / f"step-{step:08d}")
    train.main([str(recipe_file), "--output", str(half)])
    for name in ("model.safetensors", "log.jsonl"):
        assert (half / name).read_bytes() == (whole / name).read_bytes()


def test_its_own_keys_are_checked_and_may_not_change_on_the_way(recipe_file):
    train.main([str(recipe_file)])
    with pytest.raises(train.InputError, match="noise: got 0.25, wanted 0.5 as the run began"):
        train.main([str(recipe_file), "--noise", "0.25"])
    with pytest.raises(train.InputError, match="nois: unknown key; did you mean noise?"):
        train.main([str(recipe_file), "--nois", "0.25"])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_every_optimizer_learns_and_goes_on_to_the_same_bits(recipe_file, tmp_path, optimizer):
    momentum = "0.5" if optimizer in ("rmsprop", "sgd") else "0"
    words = ["--optimizer", optimizer, "--momentum", momentum, "--weight_decay", "0.01"]
    train.main([str(recipe_file), *words])
    whole, half = tmp_path / "model", tmp_path / "half"
    shutil.copytree(whole, half)
    for step in range(4, 9):
        shutil.rmtree(half / "checkpoints" / f"step-{step:08d}")
    train.main([str(recipe_file), "--output", str(half), *words])
    for name in ("model.safetensors", "log.jsonl"):
        assert (half / name).read_bytes() == (whole / name).read_bytes()


def test_optimizers_differ_and_momentum_needs_one_that_has_it(recipe_file, tmp_path):
    losses = set()
    for optimizer in ("adamw", "adam", "rmsprop", "sgd"):
        words = ["--optimizer", optimizer, "--weight_decay", "0.5"]
        train.main([str(recipe_file), "--output", str(tmp_path / optimizer), *words])
        losses.add(read_log(tmp_path / optimizer / "log.jsonl")[-1]["loss"])
    assert len(losses) == 4
    with pytest.raises(train.InputError, match="momentum: got 0.9 beside optimizer adamw"):
        train.main([str(recipe_file), "--momentum", "0.9"])


def test_a_finished_run_is_extended_where_the_schedule_does_not_know_its_end(recipe_file, tmp_path):
    words = ["--schedule", "constant", "--warmup_steps", "2"]
    short, long = tmp_path / "model", tmp_path / "long"
    train.main([str(recipe_file), *words])
    train.main([str(recipe_file), *words, "--steps", "12"])
    train.main([str(recipe_file), *words, "--steps", "12", "--output", str(long)])
    weights = [(folder / "model.safetensors").read_bytes() for folder in (short, long)]
    assert weights[0] == weights[1]
    losses = [[r["loss"] for r in read_log(folder / "log.jsonl")] for folder in (short, long)]
    assert losses[0] == losses[1] and len(losses[0]) == 12
    # A cooldown may be added if it begins after what is done.
    train.main([str(recipe_file), *words, "--steps", "16", "--cooldown_steps", "3"])
    with pytest.raises(train.InputError, match="steps: got 15, wanted the 16 that are done"):
        train.main([str(recipe_file), *words, "--steps", "15"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "12"], "steps: got another learning rate at step 2, 0.04915, wanted 0.0481"),
        (["--learning_rate", "0.1"], "learning_rate: got another learning rate at step 1, 0.1"),
        (["--warmup_steps", "3"], "warmup_steps: got another learning rate at step 1"),
    ],
)
def test_a_schedule_that_would_change_what_was_done_is_refused(recipe_file, words, message):
    train.main([str(recipe_file)])
    with pytest.raises(train.InputError, match=message):
        train.main([str(recipe_file), *words])


def test_a_run_starts_from_the_weights_of_another(recipe_file, tmp_path, capsys):
    train.main([str(recipe_file)])
    words = ["--output", str(tmp_path / "warm"), "--init_from", str(tmp_path / "model")]
    words += ["--learning_rate", "1e-30"]
    train.main([str(recipe_file), *words])
    assert "2 tensors taken" in capsys.readouterr().err
    shutil.move(tmp_path / "model", tmp_path / "gone")
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("gone", "warm")]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)
    train.main([str(recipe_file), *words])  # once it has a checkpoint, it needs nothing else
    with pytest.raises(train.InputError, match="init_from: got None, wanted "):
        train.main([str(recipe_file), "--output", str(tmp_path / "warm")])
    words[1] = str(tmp_path / "other")
    with pytest.raises(train.InputError, match="init_from: .*: no such folder"):
        train.main([str(recipe_file), *words])


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "got 4, wanted 1"),
        ("ACCELERATE_GRADIENT_CLIPPING", "1.0", "got 1.0, wanted none"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "got INDUCTOR, wanted no"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", "got fp16, wanted no as the recipe's"),
        ("ACCELERATE_MIXED_PRECISION", "bf16", "got bf16, wanted no as the recipe's"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "got --use_deepspeed"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "got --use_megatron_lm"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "got --use_parallelism_config"),
    ],
)
def test_a_launcher_may_not_change_the_gradient(recipe_file, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(train.InputError, match=message):
        train.main([str(recipe_file)])


def test_what_a_launcher_sets_unasked_changes_nothing(recipe_file, tmp_path, monkeypatch):
    train.main([str(recipe_file)])
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    AcceleratorState._reset_state(reset_partial_state=True)
    train.main([str(recipe_file), "--output", str(tmp_path / "launched")])
    weights = [tmp_path / name / "model.safetensors" for name in ("model", "launched")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        ("tensorbord", "tracker: got 'tensorbord', unknown; did you mean tensorboard?"),
        ("wandb", "tracker: got 'wandb', which is not installed"),
    ],
)
def test_an_absent_tracker_is_one_line(recipe_file, tracker, message):
    with pytest.raises(train.InputError, match=message):
        train.main([str(recipe_file), "--tracker", tracker])


def test_a_probe_needs_a_tokenizer(recipe_file):
    with pytest.raises(train.InputError, match="probe: got one, wanted none: toy has no tokenizer"):
        train.main([str(recipe_file), "--probe", "{labels: a, label: b}"])


def test_workers_change_nothing(recipe_file, tmp_path):
    train.main([str(recipe_file)])
    train.main([str(recipe_file), "--output", str(tmp_path / "other"), "--workers", "2"])
    weights = [tmp_path / name / "model.safetensors" for name in ("model", "other")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_half_precision_is_the_engines(recipe_file, tmp_path):
    train.main([str(recipe_file)])
    words = ["--output", str(tmp_path / "half"), "--precision", "bfloat16"]
    AcceleratorState._reset_state(reset_partial_state=True)
    train.main([str(recipe_file), *words])
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("model", "half")]
    losses = [[record["loss"] for record in log] for log in logs]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)
