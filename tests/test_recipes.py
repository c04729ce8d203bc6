"""Every recipe of recipes/ at toy size; what decides a run stays as the recipe has it."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from isoclr.objectives import read_recipe
from isoclr.training.recipe import duration
from isoclr.training.schedule import learning_rate
from modeling_isoclr.configuration_isoclr import PRESETS

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PAPER = ("small", "medium", "large")

every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def train():
    """The module train.py."""
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def toy(groups_folder, tmp_path):
    """Words that make any recipe small."""
    overrides = {
        "data": groups_folder,
        "output": tmp_path,
        "steps": 10,
        "warmup_steps": 3,
        "cooldown_steps": "20 %",
        "batch_size": 8,
        "held_out_groups": 4,
        "workers": 0,
        "precision": "float32",
        "compile": "false",
        "model.filters": [8, 8, 8, 8],
        "model.stem_filters": 8,
        "model.blocks": [1, 1, 1, 1],
        "model.projector_sizes": [16, 16, 8],
        "model.decoder_size": 4,
    }
    return [f"--{key}={value}" for key, value in overrides.items()]


def rates(recipe, steps_per_epoch):
    """The learning rate as a function of the step, counted from 0."""
    durations = {
        name: duration(recipe, name, steps_per_epoch)
        for name in ("steps", "warmup_steps", "cooldown_steps")
    }
    return lambda step: learning_rate(
        step,
        schedule=recipe.schedule,
        peak=recipe.learning_rate,
        steps_per_epoch=steps_per_epoch,
        **durations,
    )


def test_the_recipes_that_the_documentation_names_are_there():
    names = {path.stem for path in RECIPES}
    assert names == {
        "demo",
        "gpu",
        "isoclr-base",
        "isoclr-small",
        "isoclr-small-bare",
        "laptop",
        *PAPER,
        "orthrus",
    }
    page = (ROOT / "docs" / "TRAINING.md").read_text()
    assert all(f"recipes/{name}.yaml" in page for name in names)


@every_recipe
def test_ten_steps_of_every_recipe(train, toy, path, tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    train.main([str(path), *toy])
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == list(range(1, 11))
    recipe = read_recipe(path, toy)
    expected = rates(recipe, steps_per_epoch=3)  # 20 groups of the clade, batches of 8 at most
    assert [record["lr"] for record in log] == pytest.approx([expected(step) for step in range(10)])
    assert ("masked_lm_loss" in log[-1]) == (path.stem == "orthrus")
    assert math.isfinite(log[-1]["held_out_loss"])
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


@every_recipe
def test_batch_norm_meets_micro_batches_in_the_demo_alone(path):
    """Their statistics are of one length; in the demo it costs little."""
    recipe = read_recipe(path)
    statistics_of_micro_batches = recipe.encoder_config().norm == "batch" and (
        recipe.micro_batch_tokens is not None
    )
    assert statistics_of_micro_batches == (path.stem == "demo")


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_differ_in_encoder_batch_and_rate_alone(name):
    recipes = {preset: read_recipe(ROOT / "recipes" / f"{preset}.yaml") for preset in PAPER}
    ours, medium = vars(recipes[name]), vars(recipes["medium"])
    differing = {key for key in ours if ours[key] != medium[key]}
    assert differing <= {"model", "batch_size", "learning_rate"}
    assert {**ours["model"], "preset": "medium"} == medium["model"]
    assert recipes[name].encoder_config().filters == PRESETS[name]["filters"]
    # As published: 0.01 at a batch of 1,536, 0.005 at 768.
    assert ours["learning_rate"] / ours["batch_size"] == pytest.approx(0.005 / 768)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_schedule(name):
    """Ten epochs up, then peak / √(epoch − 9), the last fifty blended into 1e-8."""
    recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    steps_per_epoch = -(-228_800 // recipe.batch_size)
    rate = rates(recipe, steps_per_epoch)
    steps = duration(recipe, "steps", steps_per_epoch)
    assert steps == 500 * steps_per_epoch
    assert rate(0) == pytest.approx(recipe.learning_rate / (10 * steps_per_epoch))
    for epoch in (10, 25, 109, 449):
        expected = recipe.learning_rate / math.sqrt(epoch - 9)
        assert rate(epoch * steps_per_epoch) == pytest.approx(expected)
    halfway = recipe.learning_rate / math.sqrt(475 - 9) / 2
    assert rate(475 * steps_per_epoch) == pytest.approx(halfway, rel=1e-3)
    assert rate(steps - 1) < 1e-6


def test_the_schedule_of_orthrus():
    rate = rates(read_recipe(ROOT / "recipes" / "orthrus.yaml"), steps_per_epoch=100)
    assert rate(999) == pytest.approx(0.0005) and rate(1_999) == rate(2_000) == 0.001
    assert rate(11_000) == pytest.approx(0.0005) and rate(19_999) < 1e-8
