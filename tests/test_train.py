"""train.py from a recipe to a folder that transformers loads on its own."""

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from data_builders.records import InputError
from isoclr.hub import background
from isoclr.model_folder import code_files


@pytest.fixture(scope="module")
def train(request):
    """The module train.py."""
    spec = importlib.util.spec_from_file_location("train", request.config.rootpath / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def forgotten_accelerator():
    """Each run in this process may choose its precision."""
    AcceleratorState._reset_state(reset_partial_state=True)


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
    assert names == {path.name for path in code_files()} | {
        *("README.md", "checkpoints", "config.json", "curves.png", "log.jsonl", "logs"),
        *("model.safetensors", "recipe.yaml", "speed.json", "tokenizer_config.json"),
        *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    }
    log = log_of(trained)
    assert [record["step"] for record in log] == [1, 2, 3, 4, 5, 6]
    assert [record["lr"] for record in log[:3]] == [0.0015, 0.003, 0.003]
    assert [record["step"] for record in log if "held_out_loss" in record] == [3, 6]
    assert set(log[-1]) == {
        *("step", "loss", "accuracy", "lr", "gradient_norm", "padding"),
        *("held_out_loss", "shuffled_loss", "held_out_accuracy", "held_out_pairs"),
        *("alignment", "uniformity"),
    }
    assert 0 < json.loads((trained / "speed.json").read_text())["padding_share"] < 1
    assert list((trained / "logs" / "isoclr").rglob("events.out.tfevents*"))


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


@pytest.mark.parametrize("words", [["--gradient_cache", "false"], ["--token_cache", "CACHE"]])
def test_caches_change_nothing(train, recipe_file, trained, tmp_path, words):
    words = [str(tmp_path / "cache") if word == "CACHE" else word for word in words]
    train.main([str(recipe_file), "--output", str(tmp_path), *words])
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert weights == (trained / "model.safetensors").read_bytes()


def test_evaluation_in_a_thread_changes_nothing(train, recipe_file, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "gains_from_a_thread", lambda device: True)
    train.main([str(recipe_file), "--output", str(tmp_path)])
    for name in ("model.safetensors", "log.jsonl"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_equal_one(request, train, recipe_file, trained, tmp_path, free_port):
    """Dropout and the statistics of batch norms included; what is left is the order of sums."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_addr", "127.0.0.1", "--master_port", str(free_port)]
    script = str(request.config.rootpath / "train.py")
    subprocess.run([*launch, script, str(recipe_file), "--output", str(tmp_path)], check=True)
    for one, two in zip(log_of(trained), log_of(tmp_path), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert two["padding"] == one["padding"]
    one, two = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path))
    # Before a batch norm a bias has no gradient but rounding, which Adam makes large.
    noise = ("stem.bias", "shortcut.bias", "linear1.bias", "linear2.bias")
    for name, tensor in one.items():
        assert name.endswith(noise) or (tensor - two[name]).abs().max() < 5e-3, name
    # What one process began, two go on with, and the other way round.
    for number in (5, 6):
        shutil.rmtree(tmp_path / "checkpoints" / f"step-{number:08d}")
    train.main([str(recipe_file), "--output", str(tmp_path)])
    assert len(log_of(tmp_path)) == 6


@pytest.mark.parametrize(
    "words",
    [
        ["--model.norm", "layer", "--mask_fraction", "[0.1, 0.3]", "--mark_mask_fraction", "0.3"],
        ["--model.masked_lm_weight", "0.9", "--model.decoder_size", "4"],
        ["--model.pair_type_weights", "[1.0, 1.0, 0.5, 2.0]", "--pairs", "{graft: true}"],
        ["--micro_batch_tokens", "null", "--schedule", "inverse_sqrt", "--steps", "1 epochs"],
        ["--precision", "bfloat16", "--tracker", "null"],
        ["--cooldown_steps", "50 %", "--warmup_steps", "1"],
    ],
)
def test_what_a_recipe_may_say_trains(train, recipe_file, tmp_path, words):
    train.main([str(recipe_file), "--output", str(tmp_path), "--steps", "2", *words])
    log = log_of(tmp_path)
    assert log[-1]["held_out_loss"] < 50
    if "masked_lm_weight" in words[0]:
        expected = 0.9 * log[0]["masked_lm_loss"] + 0.1 * log[0]["contrastive_loss"]
        assert log[0]["loss"] == pytest.approx(expected)
        assert 0 < log[0]["masked_lm_loss"] < 50


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_batch(train, recipe_file, tmp_path):
    words = ["--learning_rate", "1.0e+30", "--warmup_steps", "0", "--output", str(tmp_path)]
    with pytest.raises(InputError, match=r"step \d: got a loss or gradient of (nan|inf|-inf) at"):
        train.main([str(recipe_file), *words])
    (path,) = tmp_path.glob("nonfinite-step-*.json")
    found = json.loads(path.read_text())
    assert found["lr"] > 1e29 and len(found["records"]) >= 2
    assert all(": " in record and ", " in record for record in found["records"])
    assert not (tmp_path / "model.safetensors").exists()


def test_a_hub_that_is_away_stops_no_run_but_is_told_at_the_end(
    train, recipe_file, tmp_path, monkeypatch, capsys
):
    def push(folder, repo):
        raise InputError("cannot reach the Hub")

    monkeypatch.setattr(train, "push", push)
    monkeypatch.setattr(background, "push", push)
    words = ["--steps", "3", "--push_to_hub", "o/n", "--output", str(tmp_path)]
    with pytest.raises(InputError, match="cannot reach the Hub"):
        train.main([str(recipe_file), *words])
    assert "not pushed, will try again: cannot reach the Hub" in capsys.readouterr().err
    assert len(log_of(tmp_path)) == 3 and (tmp_path / "README.md").exists()
    monkeypatch.setattr(train, "push", lambda folder, repo: f"https://hub/{repo}")
    train.main([str(recipe_file), *words])  # nothing left to train: it pushes
    assert "https://hub/o/n" in capsys.readouterr().out


def test_a_run_follows_a_linear_probe(
    train, recipe_file, clade, groups_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "gains_from_a_thread", lambda device: True)
    labels = {"labels": str(clade.half_life), "label": "half_life"}
    probe = json.dumps({**labels, "groups": str(groups_folder)})
    train.main([str(recipe_file), "--output", str(tmp_path), "--steps", "2", "--probe", probe])
    record = log_of(tmp_path)[-1]
    assert -1 <= record["probe_pearson"] <= 1 and "probe_pearson" not in log_of(tmp_path)[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage"),
        (["--data", "nowhere"], "nowhere: no such folder, wanted isoform groups"),
        (["--data", "."], "no data/train-"),
        (["--pairs", "{weights: 3}"], "pairs.weights: unknown key"),
        (["--data", "[]"], "data: got \\[\\], wanted a path"),
        (["--streaming", "true"], "streaming: got one row group, wanted two"),
        (["--warmup_steps", "7"], "got 7 and 0, wanted at most the 6 steps"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(train, recipe_file, tmp_path, words, message):
    arguments = [str(recipe_file), "--output", str(tmp_path), *words] if words else []
    with pytest.raises(InputError, match=message):
        train.main(arguments)
