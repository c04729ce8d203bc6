import copy
import resource
import signal

import pytest
import torch

from data_builders.records import InputError
from isoclr.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from isoclr.training.sharded import whole_state


def trained(steps, seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def parts(model, optimizer):
    return model.state_dict(), whole_state(optimizer)


def step(model, optimizer):
    model(torch.arange(12.0).view(4, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_loaded_run_goes_on_bit_by_bit(tmp_path):
    model, optimizer = trained(3)
    path = save_checkpoint(tmp_path, 3, *parts(model, optimizer), {"recipe": {"a": 1}}, keep=2)
    other, other_optimizer = trained(0, seed=1)
    state = load_checkpoint(path, other, other_optimizer)
    assert (state["step"], state["recipe"]) == (3, {"a": 1})
    step(model, optimizer)
    step(other, other_optimizer)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_the_newest_complete_checkpoint_counts(tmp_path):
    model, optimizer = trained(1)
    assert newest_checkpoint(tmp_path / "none") is None
    for number in (1, 2, 10):
        save_checkpoint(tmp_path, number, *parts(model, optimizer), {}, keep=5)
    assert newest_checkpoint(tmp_path).name == "step-00000010"
    weights = tmp_path / "step-00000010" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert newest_checkpoint(tmp_path).name == "step-00000002"
    (tmp_path / "step-00000002" / "state.json").unlink()
    assert newest_checkpoint(tmp_path).name == "step-00000001"


def test_a_full_disk_is_one_clear_error_and_leaves_the_last_one(tmp_path):
    model, optimizer = trained(1)
    save_checkpoint(tmp_path, 1, *parts(model, optimizer), {}, keep=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))  # files grow no further
    try:
        with pytest.raises(InputError) as error:
            save_checkpoint(tmp_path, 2, *parts(model, optimizer), {"long": "x" * 4096}, keep=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "step-00000002: cannot be written: File too large" in str(error.value)
    assert "step-00000001 is as it was" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    save_checkpoint(tmp_path, 2, *parts(model, optimizer), {}, keep=2)
    assert newest_checkpoint(tmp_path).name == "step-00000002"


def test_a_place_that_is_no_folder_is_one_clear_error(tmp_path):
    model, optimizer = trained(1)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: .*; there is no checkpoint yet"):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, *parts(model, optimizer), {}, keep=2)


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    model, optimizer = trained(1)
    for name in (".step-00000002", ".step-00000000-away"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").touch()
    assert newest_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, 2, *parts(model, optimizer), {}, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_old_checkpoints_are_pruned(tmp_path):
    model, optimizer = trained(1)
    for number in range(1, 5):
        save_checkpoint(tmp_path, number, *parts(model, optimizer), {}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_saving_leaves_the_run_as_it_was(tmp_path):
    model, optimizer = trained(2)
    before = copy.deepcopy(optimizer.state_dict())
    save_checkpoint(tmp_path, 2, *parts(model, optimizer), {}, keep=1)
    torch.testing.assert_close(optimizer.state_dict(), before, rtol=0, atol=0)
