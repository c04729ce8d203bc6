"""train.py from a recipe to a folder that transformers loads on its own."""

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import load_file

from data_builders.records import InputError


@pytest.fixture(scope="module")
def train(request):
    """The module train.py."""
    spec = importlib.util.spec_from_file_location("train", request.config.rootpath / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recipe_file(groups_folder, tmp_path_factory):
    """A recipe of six steps of a toy encoder."""
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    recipe = {
        "data": str(groups_folder),
        "output": "never written",
        "model": {
            "filters": [8, 8, 8, 8],
            "blocks": [1, 1, 1, 1],
            "projector_sizes": [16, 16, 8],
        },
        "steps": 6,
        "batch_size": 8,
        "learning_rate": 0.003,
        "warmup_steps": 2,
        "micro_batch_tokens": 4096,
        "held_out_groups": 4,
        "evaluate_every": 3,
        "checkpoint_every": 1,
        "keep_checkpoints": 9,
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="module")
def trained(train, recipe_file, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    train.main([str(recipe_file), "--output", str(folder)])
    return folder


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_weights_code_recipe_log_and_figure(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "README.md",
        "checkpoints",
        "config.json",
        "configuration_isoclr.py",
        "curves.png",
        "log.jsonl",
        "losses_isoclr.py",
        "model.safetensors",
        "layers_isoclr.py",
        "modeling_isoclr.py",
        "pipeline_isoclr.py",
        "recipe.yaml",
        "tokenization_isoclr.py",
        "tokenizer_config.json",
    }
    log = log_of(trained)
    assert [record["step"] for record in log] == [1, 2, 3, 4, 5, 6]
    assert [record["lr"] for record in log[:3]] == [0.0015, 0.003, 0.003]
    assert [record["step"] for record in log if "held_out_loss" in record] == [3, 6]


@pytest.mark.parametrize("steps_done", [1, 4, 6])
def test_a_resumed_run_ends_in_the_same_bits(train, recipe_file, trained, tmp_path, steps_done):
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    shutil.copy(trained / "log.jsonl", tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        if int(path.name.removeprefix("step-")) > steps_done:
            shutil.rmtree(path)
    train.main([str(recipe_file), "--output", str(tmp_path)])
    for name in ("model.safetensors", "log.jsonl", "config.json"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_a_run_goes_on_only_as_it_began(train, recipe_file, trained, tmp_path):
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    with pytest.raises(InputError, match="batch_size: got 4, wanted 8 as the run began"):
        train.main([str(recipe_file), "--output", str(tmp_path), "--batch_size", "4"])


def test_worker_processes_change_nothing(train, recipe_file, trained, tmp_path):
    train.main([str(recipe_file), "--output", str(tmp_path), "--workers", "2"])
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert weights == (trained / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_equal_one(request, train, recipe_file, tmp_path, free_port):
    # No dropout and no statistics across samples: what is left must not depend on the split.
    words = [str(recipe_file), "--model.norm", "layer", "--model.dropout", "0.0"]
    train.main([*words, "--output", str(tmp_path / "one")])
    launch = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2", "--main_process_port"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += [
        "--master_addr",
        "127.0.0.1",
        "--master_port",
        str(request.getfixturevalue("free_port")),
    ]
    script = str(request.config.rootpath / "train.py")
    subprocess.run([*launch, script, *words, "--output", str(tmp_path / "two")], check=True)
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-4)
        assert two["accuracy"] == one["accuracy"]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        assert (tensor - two[name]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage"),
        (["--data", "nowhere"], "nowhere: no such folder, wanted isoform groups"),
        (["--data", "."], "no data/train-"),
        (["--batch_size", "500"], "batch_size: got 500"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(train, recipe_file, tmp_path, words, message):
    arguments = [str(recipe_file), "--output", str(tmp_path), *words] if words else []
    with pytest.raises(InputError, match=message):
        train.main(arguments)
