import copy
import json
import os
import resource
import signal

import pytest
import torch

from data_builders.records import InputError
from isoclr.training import checkpoints
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
    told = []
    assert newest_checkpoint(tmp_path, told.append).name == "step-00000001"
    assert told == [
        f"{tmp_path}: step-00000010/model.safetensors: got other bytes than were written; "
        "going back to step-00000001",
        f"{tmp_path}: step-00000002/state.json: No such file or directory; "
        "going back to step-00000001",
    ]


def rewritten(path, **changes):
    """A state.json whose checksum fits what it says."""
    manifest = {**json.loads(path.read_text()), **changes}
    manifest.pop("checksum")
    manifest["checksum"] = checkpoints._checksum_of_state(manifest)
    path.write_text(json.dumps(manifest))


DAMAGE = {
    "weights cut": lambda c: (c / "model.safetensors").write_bytes(b"x"),
    "weights gone": lambda c: (c / "model.safetensors").unlink(),
    "optimizer flipped": lambda c: flip(c / "optimizer.safetensors"),
    "state gone": lambda c: (c / "state.json").unlink(),
    "state empty": lambda c: (c / "state.json").write_text(""),
    "state cut": lambda c: (c / "state.json").write_text('{"step": 3'),
    "state a list": lambda c: (c / "state.json").write_text("[1, 2]"),
    "state a number": lambda c: (c / "state.json").write_text("3"),
    "state of NUL": lambda c: (c / "state.json").write_bytes(b"\0" * 99),
    "state of no UTF-8": lambda c: (c / "state.json").write_bytes(b'{"step": "\xff"}'),
    "state too deep": lambda c: (c / "state.json").write_text("[" * 200_000),
    "state a folder": lambda c: ((c / "state.json").unlink(), (c / "state.json").mkdir()),
    "recipe flipped": lambda c: (c / "state.json").write_text(
        (c / "state.json").read_text().replace('"a": 1', '"a": 2')
    ),
    "an older format": lambda c: rewritten(c / "state.json", format=1),
    "of another step": lambda c: rewritten(c / "state.json", step=7),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_passed_over_never_restarted_nor_pruned(tmp_path, damage):
    model, optimizer = trained(1)
    for number in (1, 2, 3):
        save_checkpoint(tmp_path, number, *parts(model, optimizer), {"recipe": {"a": 1}}, keep=5)
    damage(tmp_path / "step-00000003")
    told = []
    assert newest_checkpoint(tmp_path, told.append).name == "step-00000002"
    assert len(told) == 1 and told[0].startswith(f"{tmp_path}: step-00000003")
    # The run goes on from step 2 and saves it again: what is newer stays.
    save_checkpoint(tmp_path, 2, *parts(model, optimizer), {}, keep=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    save_checkpoint(tmp_path, 3, *parts(model, optimizer), {}, keep=1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000003"]
    assert newest_checkpoint(tmp_path, told.append).name == "step-00000003" and len(told) == 1


def test_where_no_checkpoint_is_whole_nothing_begins_anew(tmp_path):
    model, optimizer = trained(1)
    for number in (1, 2):
        path = save_checkpoint(tmp_path, number, *parts(model, optimizer), {}, keep=5)
        (path / "state.json").write_text("[]")
    message = r"got 2 checkpoints, wanted a whole one: step-00000002/state.json: got list, wanted"
    with pytest.raises(InputError, match=message) as error:
        newest_checkpoint(tmp_path)
    assert "to begin anew, move the folder away" in str(error.value)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_person_put_there_stays(tmp_path):
    model, optimizer = trained(1)
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    save_checkpoint(elsewhere, 9, *parts(model, optimizer), {}, keep=1)
    theirs = ["step-best", "step-1", ".step-mine", "notes", "step-00000001.bak"]
    for name in theirs:
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").touch()
    (tmp_path / "step-00000009").symlink_to(elsewhere / "step-00000009")
    (tmp_path / "step-00000099").touch()
    assert newest_checkpoint(tmp_path) is None
    for number in (1, 2, 3):
        save_checkpoint(tmp_path, number, *parts(model, optimizer), {}, keep=1)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*theirs, "step-00000003", "step-00000009", "step-00000099"}
    with pytest.raises(InputError, match="step-00000009: cannot be written: got a link or a file"):
        save_checkpoint(tmp_path, 9, *parts(model, optimizer), {}, keep=1)
    assert newest_checkpoint(tmp_path).name == "step-00000003"
    assert newest_checkpoint(elsewhere).name == "step-00000009"


def test_steps_are_ordered_as_numbers(tmp_path):
    model, optimizer = trained(1)
    for number in (99_999_999, 100_000_000):
        save_checkpoint(tmp_path, number, *parts(model, optimizer), {}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-100000000"]


def test_a_checkpoint_of_another_model_is_one_clear_error(tmp_path):
    model, optimizer = trained(1)
    path = save_checkpoint(tmp_path, 1, *parts(model, optimizer), {}, keep=1)
    other = torch.nn.Linear(3, 2)
    with pytest.raises(InputError, match="step-00000001: does not fit the model of this recipe"):
        load_checkpoint(path, other, torch.optim.AdamW(other.parameters()))


def test_files_have_the_mode_that_the_umask_gives(tmp_path):
    model, optimizer = trained(1)
    before = os.umask(0o027)
    try:
        path = save_checkpoint(tmp_path, 1, *parts(model, optimizer), {}, keep=1)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o640}
    assert path.stat().st_mode & 0o777 == 0o750


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
