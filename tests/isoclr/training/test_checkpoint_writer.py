"""The writer never mixes steps, loses no error, and waits where it must."""

import threading

import pytest
import torch

from data_builders.records import InputError
from isoclr.training import checkpoint_writer
from isoclr.training.checkpoint_writer import CheckpointWriter
from isoclr.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from isoclr.training.sharded import whole_state

PATIENCE = 60


class Held:
    """Writes checkpoints when it is let go."""

    def __init__(self, monkeypatch):
        self.begun, self.go = threading.Event(), threading.Event()
        monkeypatch.setattr(checkpoint_writer, "save_checkpoint", self.save)

    def save(self, *arguments):
        self.begun.set()
        assert self.go.wait(PATIENCE)
        save_checkpoint(*arguments)


def model_and_optimizer():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    return model, optimizer


def take_step(model, optimizer):
    model(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def begin(writer, step, model, optimizer, before=lambda: None):
    writer.start(before, step, model.state_dict(), whole_state(optimizer), {})


def test_steps_taken_meanwhile_do_not_reach_the_files(tmp_path, monkeypatch):
    held = Held(monkeypatch)
    model, optimizer = model_and_optimizer()
    take_step(model, optimizer)
    wanted = {name: x.clone() for name, x in model.state_dict().items()}
    state = optimizer.state_dict()["state"][0]
    wanted_state = {key: x.clone() for key, x in state.items()}
    with CheckpointWriter(tmp_path, keep=2) as writer:
        begin(writer, 1, model, optimizer)
        assert held.begun.wait(PATIENCE)
        take_step(model, optimizer)
        writer.check()  # does not wait
        assert newest_checkpoint(tmp_path) is None
        held.go.set()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None and newest.name == "step-00000001"
    other, its_optimizer = model_and_optimizer()
    load_checkpoint(newest, other, its_optimizer)
    for name, x in other.state_dict().items():
        assert torch.equal(x, wanted[name])
    for key, x in its_optimizer.state_dict()["state"][0].items():
        assert torch.equal(x, wanted_state[key])


def test_one_is_written_at_a_time_after_what_it_relies_on(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(
        checkpoint_writer, "save_checkpoint", lambda _, step, *__: order.append(step)
    )
    model, optimizer = model_and_optimizer()
    with CheckpointWriter(tmp_path, keep=2) as writer:
        for step in (1, 2, 3):
            begin(writer, step, model, optimizer, lambda: order.append("log"))
    assert order == ["log", 1, "log", 2, "log", 3]


@pytest.mark.parametrize("seen_by", ["check", "start", "wait", "leaving"])
def test_an_error_is_raised_once_and_not_lost(tmp_path, seen_by):
    def full():
        raise InputError("log.jsonl: cannot be written")

    model, optimizer = model_and_optimizer()
    writer = CheckpointWriter(tmp_path, keep=2)
    with pytest.raises(InputError, match="log.jsonl: cannot be written"), writer:
        begin(writer, 1, model, optimizer, full)
        assert writer._thread is not None
        writer._thread.join()
        if seen_by == "check":
            writer.check()
        if seen_by == "start":
            begin(writer, 2, model, optimizer)
        if seen_by == "wait":
            writer.wait()
        assert seen_by == "leaving"
    writer.wait()
    assert newest_checkpoint(tmp_path) is None


def test_another_error_waits_for_the_checkpoint(tmp_path, monkeypatch, capsys):
    held = Held(monkeypatch)
    model, optimizer = model_and_optimizer()
    with pytest.raises(ZeroDivisionError), CheckpointWriter(tmp_path, keep=2) as writer:
        begin(writer, 1, model, optimizer)
        threading.Timer(0.1, held.go.set).start()
        raise ZeroDivisionError
    assert newest_checkpoint(tmp_path) is not None

    def full():
        raise InputError("log.jsonl: cannot be written")

    with pytest.raises(ZeroDivisionError), CheckpointWriter(tmp_path, keep=2) as writer:
        begin(writer, 2, model, optimizer, full)
        raise ZeroDivisionError
    assert capsys.readouterr().err == "log.jsonl: cannot be written\n"
