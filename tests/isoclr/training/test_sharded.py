"""FSDP 2 computes and writes what DDP does.

Without a GPU accelerate ignores FSDP, so these runs tell it that it was asked for and takes place.
"""

import importlib.util
import json
import os
import shutil
import socket
import time

import pytest
import torch
import torch.multiprocessing as mp
import yaml
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState
from accelerate.utils import FullyShardedDataParallelPlugin
from safetensors.torch import load_file

from data_builders.records import InputError
from isoclr.training.sharded import shard_like, whole, whole_model

RECIPE = {
    "model": {"filters": [8, 8, 8, 8], "blocks": [1, 1, 1, 1], "projector_sizes": [16, 16, 8]}
    | {"norm": "batch", "dropout": 0.1},
    "steps": 4,
    "batch_size": 8,
    "learning_rate": 0.003,
    "warmup_steps": 1,
    "micro_batch_tokens": 4096,
    "held_out_groups": 4,
    "evaluate_every": 2,
    "checkpoint_every": 1,
    "keep_checkpoints": 9,
    "tracker": None,
}
# Name: whether sharded, further words, and the run whose first two checkpoints it goes on from.
RUNS = {
    "copied": (False, [], None),
    "sharded": (True, [], None),
    "copied after sharded": (False, [], "sharded"),
    "sharded after copied": (True, [], "copied"),
    "copied in half precision": (False, ["--precision", "bfloat16"], None),
    "sharded in half precision": (True, ["--precision", "bfloat16"], None),
}


def sharding(**plugin):
    """An Accelerator as `accelerate launch --use_fsdp --fsdp_version 2` makes it on GPUs."""

    class Sharding(Accelerator):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.state.distributed_type = DistributedType.FSDP
            self.state.fsdp_plugin = FullyShardedDataParallelPlugin(**{"fsdp_version": 2, **plugin})
            if self.mixed_precision != "no":
                self.state.fsdp_plugin.set_mixed_precision(self.mixed_precision)

    return Sharding


def load_train(root):
    """The module train.py."""
    spec = importlib.util.spec_from_file_location("train", root / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keep_first_two_checkpoints(source, target):
    shutil.copytree(source / "checkpoints", target / "checkpoints")
    for number in (3, 4):
        shutil.rmtree(target / "checkpoints" / f"step-{number:08d}")
    shutil.copy(source / "log.jsonl", target)


def in_process(rank, root, recipe_file, folder, ports):
    torch.set_num_threads(1)
    train = load_train(root)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "true"  # what `accelerate launch` sets unasked
    copies, kept, build = {}, [], train.build_accelerator
    # A DDP model that is freed after its process group sometimes waits for ever (gloo).
    train.build_accelerator = lambda recipe: kept.append(build(recipe)) or kept[-1]

    def recorded(name):
        def copied(model, device):
            made = whole_model(model, device)
            copies[name] = made is not model
            return made

        return copied

    for port, (name, (sharded, words, source)) in zip(ports, RUNS.items(), strict=True):
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        AcceleratorState._reset_state(reset_partial_state=True)
        train.Accelerator = sharding() if sharded else Accelerator
        train.whole_model = recorded(name)
        if source and rank == 0:
            (folder / name).mkdir()
            keep_first_two_checkpoints(folder / source, folder / name)
        while source and not (folder / name / "log.jsonl").exists():
            time.sleep(0.01)
        train.main([str(recipe_file), "--output", str(folder / name), *words])
    (folder / f"copies-{rank}.json").write_text(json.dumps(copies))
    os._exit(0)


@pytest.fixture(scope="module")
def recipe_file(groups_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"data": str(groups_folder), "output": "unused"}))
    return path


@pytest.fixture(scope="module")
def runs(request, recipe_file, tmp_path_factory):
    """The folder of all runs, two processes each."""
    folder = tmp_path_factory.mktemp("runs")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in RUNS]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    mp.spawn(in_process, (request.config.rootpath, recipe_file, folder, ports), nprocs=2)
    return folder


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("copied", "sharded"),
        ("copied", "copied after sharded"),
        ("copied", "sharded after copied"),
        ("copied in half precision", "sharded in half precision"),
    ],
)
def test_losses_norms_scores_checkpoints_and_model_are_those_of_ddp(runs, one, other):
    for wanted, got in zip(log_of(runs / one), log_of(runs / other), strict=True):
        assert got == pytest.approx(wanted, rel=1e-6)
    names = [f"checkpoints/step-0000000{n}/{f}" for n in (3, 4) for f in ("model", "optimizer")]
    for name in ("model", *names):
        wanted = load_file(runs / one / f"{name}.safetensors")
        got = load_file(runs / other / f"{name}.safetensors")
        assert list(got) == list(wanted)
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.distributed
def test_the_runs_were_sharded_and_the_precisions_differ(runs):
    for rank in range(2):
        copies = json.loads((runs / f"copies-{rank}.json").read_text())
        assert copies == {name: sharded for name, (sharded, _, _) in RUNS.items()}
    full, half = (log_of(runs / name) for name in ("sharded", "sharded in half precision"))
    assert full[0]["loss"] != pytest.approx(half[0]["loss"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.distributed
def test_one_process_goes_on_from_a_sharded_run(request, runs, recipe_file, tmp_path):
    keep_first_two_checkpoints(runs / "sharded", tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)
    load_train(request.config.rootpath).main([str(recipe_file), "--output", str(tmp_path)])
    for wanted, got in zip(log_of(runs / "sharded"), log_of(tmp_path), strict=True):
        assert got["loss"] == pytest.approx(wanted["loss"], abs=1e-3)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ({"fsdp_version": 1}, "wanted --fsdp_version 2"),
        ({"auto_wrap_policy": "TRANSFORMER_BASED_WRAP"}, "wanted NO_WRAP"),
        ({"activation_checkpointing": True}, "wanted NO_WRAP and false"),
    ],
)
def test_what_would_not_work_is_refused(
    request, recipe_file, tmp_path, monkeypatch, plugin, message
):
    AcceleratorState._reset_state(reset_partial_state=True)
    train = load_train(request.config.rootpath)
    monkeypatch.setattr(train, "Accelerator", sharding(**plugin))
    with pytest.raises(InputError, match=message):
        train.main([str(recipe_file), "--output", str(tmp_path)])
    AcceleratorState._reset_state(reset_partial_state=True)


def test_deepspeed_is_refused(request, recipe_file, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(InputError, match="got --use_deepspeed, wanted --multi_gpu or --use_fsdp"):
        load_train(request.config.rootpath).main([str(recipe_file), "--output", str(tmp_path)])


def test_what_is_not_shared_out_passes_as_it_is():
    model, tensor = torch.nn.Linear(2, 3), torch.ones(2)
    assert whole_model(model, torch.device("cpu")) is model
    assert whole(tensor) is tensor
    assert shard_like(tensor, torch.zeros(2)) is tensor
