import copy

import pytest
import torch

from isoclr.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint


def trained(steps, seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    model(torch.arange(12.0).view(4, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_loaded_run_goes_on_bit_by_bit(tmp_path):
    model, optimizer = trained(3)
    path = save_checkpoint(tmp_path, 3, model, optimizer, {"recipe": {"a": 1}}, keep=2)
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
        save_checkpoint(tmp_path, number, model, optimizer, {}, keep=5)
    assert newest_checkpoint(tmp_path).name == "step-00000010"
    weights = tmp_path / "step-00000010" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert newest_checkpoint(tmp_path).name == "step-00000002"
    (tmp_path / "step-00000002" / "state.json").unlink()
    assert newest_checkpoint(tmp_path).name == "step-00000001"


def test_a_save_cut_short_leaves_the_last_one(tmp_path, monkeypatch):
    model, optimizer = trained(1)
    save_checkpoint(tmp_path, 1, model, optimizer, {}, keep=2)

    def full(*arguments):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("isoclr.training.checkpoints._sync", full)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(tmp_path, 2, model, optimizer, {}, keep=2)
    assert newest_checkpoint(tmp_path).name == "step-00000001"
    save_checkpoint(tmp_path, 2, model, optimizer, {}, keep=2)
    assert newest_checkpoint(tmp_path).name == "step-00000002"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_old_checkpoints_are_pruned(tmp_path):
    model, optimizer = trained(1)
    for number in range(1, 5):
        save_checkpoint(tmp_path, number, model, optimizer, {}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_saving_leaves_the_run_as_it_was(tmp_path):
    model, optimizer = trained(2)
    before = copy.deepcopy(optimizer.state_dict())
    save_checkpoint(tmp_path, 2, model, optimizer, {}, keep=1)
    torch.testing.assert_close(optimizer.state_dict(), before, rtol=0, atol=0)
