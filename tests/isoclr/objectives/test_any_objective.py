"""What the engine gives any objective: the toy of tests/helpers has none of it in its code."""

import json
import shutil

import pytest
import yaml
from accelerate.state import AcceleratorState

import train
from isoclr.objectives import OBJECTIVES, read_recipe
from isoclr.training.curves import read_log
from toy_objective import ToyModel, ToyRecipe


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "toy", "toy_objective:ToyObjective")
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
