"""What can happen to a run ends in one line, and the run goes on to the same bits."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import yaml
from accelerate.state import AcceleratorState
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import toy_objective
import train
from data_builders.records import InputError
from data_builders.storage import one_writer
from isoclr.hub import background
from isoclr.objectives import OBJECTIVES, read_recipe
from isoclr.training import processes

STEPS = 8
REAL = toy_objective.ToyObjective.__getitem__


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "toy", "toy_objective:ToyObjective")
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def run(tmp_path):
    """Runs the toy recipe into `tmp_path / name`; returns that folder."""
    recipe = {"objective": "toy", "output": "never", "steps": STEPS, "batch_size": 6}
    recipe |= {"learning_rate": 0.05, "checkpoint_every": 2, "keep_checkpoints": 9}
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(recipe | {"evaluate_every": 4, "tracker": None}))

    def run(name="model", *words):
        AcceleratorState._reset_state(reset_partial_state=True)
        train.main([str(path), "--output", str(tmp_path / name), *words])
        return tmp_path / name

    return run


def at_step(monkeypatch, step, happen):
    """Have something happen when the batch of a step, counted from 0, is made."""

    def make(self, number):
        if number == step:
            happen()
        return REAL(self, number)

    monkeypatch.setattr(toy_objective.ToyObjective, "__getitem__", make)


def assert_same_bits(one, other):
    for name in ("model.safetensors", "log.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def refused(run, *arguments):
    """The one line that a run ends in."""
    with pytest.raises(InputError) as error:
        run(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_step_with_a_checkpoint_and_the_run_goes_on(run, monkeypatch, number):
    whole = run("whole")
    at_step(monkeypatch, 4, lambda: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as left:
        run()
    assert left.value.code == 128 + number
    monkeypatch.undo()
    monkeypatch.setitem(OBJECTIVES, "toy", "toy_objective:ToyObjective")
    folder = run()
    assert (folder / "checkpoints" / "step-00000005").is_dir()
    assert_same_bits(folder, whole)


def test_a_worker_that_dies_is_one_line(run, monkeypatch):
    main = os.getpid()

    def die():
        if os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)

    at_step(monkeypatch, 4, die)
    line = refused(run, "model", "--workers", "1")
    assert line.startswith("workers: a process that makes batches ")
    assert "the run can go on from its last checkpoint, with fewer workers" in line
    assert_same_bits(run("model"), run("whole"))


def test_what_a_worker_refuses_is_one_line(run, monkeypatch):
    def refuse():
        raise InputError("data: got a bad transcript,\nwanted a good one")

    at_step(monkeypatch, 4, refuse)
    line = refused(run, "model", "--workers", "1")
    assert line == "data: got a bad transcript, wanted a good one"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors"),
        SafetensorError("Error while serializing: I/O error: No space left on device"),
    ],
)
def test_a_full_disk_in_the_last_write_is_one_line_and_costs_nothing(run, monkeypatch, error):
    def save(self, model, folder):
        raise error

    monkeypatch.setattr(toy_objective.ToyObjective, "save", save)
    assert "No space left on device; the run can go on from its last" in refused(run)
    monkeypatch.undo()
    monkeypatch.setitem(OBJECTIVES, "toy", "toy_objective:ToyObjective")
    assert_same_bits(run(), run("whole"))


def test_a_deleted_output_is_one_line(run, monkeypatch, tmp_path):
    at_step(monkeypatch, 5, lambda: shutil.rmtree(tmp_path / "model"))
    line = refused(run, "model", "--checkpoint_every", "8")
    assert line.startswith(f"{tmp_path}/model/log.jsonl: step 6 cannot be written: No such file")


RUN = """
import sys
import toy_objective, train
from isoclr.objectives import OBJECTIVES, read_recipe
from isoclr.training import processes
OBJECTIVES["toy"] = "toy_objective:ToyObjective"
real = toy_objective.ToyObjective.__getitem__
def make(self, step):
    if step == 5:
        raise ZeroDivisionError
    return real(self, step)
toy_objective.ToyObjective.__getitem__ = make
train.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_run_that_fails_ends_though_its_workers_heed_no_signal(run, request, tmp_path):
    """In a process of its own: what hung was its end."""
    places = [str(request.config.rootpath), str(request.config.rootpath / "tests" / "helpers")]
    words = [str(tmp_path / "toy.yaml"), "--output", str(tmp_path / "model"), "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


def test_a_program_s_own_fault_keeps_its_traceback(run, monkeypatch):
    at_step(monkeypatch, 2, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()


def test_a_second_run_in_the_folder_is_refused_and_the_first_is_unharmed(run, tmp_path):
    with one_writer(tmp_path / "model", "a run"):
        assert "got a run of this process in it, wanted one at a time" in refused(run)
    assert not (tmp_path / "model").exists()
    run()


def test_other_data_is_refused_by_name(run, monkeypatch):
    def fingerprint(name, digit):
        found = [("labels", "0" * 64), (name, digit * 64)]
        monkeypatch.setattr(toy_objective.ToyObjective, "fingerprint", found)

    fingerprint("points", "a")
    folder = run("model", "--steps", "4")
    shutil.rmtree(folder / "checkpoints" / "step-00000004")
    fingerprint("other", "b")
    line = refused(run, "model", "--steps", "4")
    assert "step-00000002: data: got other content in other (checksum bbbbbbbbbbbb), wanted" in line
    assert "that of points as the run began (aaaaaaaaaaaa); choose another output" in line
    monkeypatch.setattr(toy_objective.ToyObjective, "fingerprint", [])
    assert "data: got 0 datasets and files, wanted 2" in refused(run, "model", "--steps", "4")
    fingerprint("moved", "a")  # the same content in another place
    run("model", "--steps", "4")


@pytest.mark.parametrize("theirs", ["a", "b"])
def test_processes_with_other_data_are_refused(tmp_path, monkeypatch, theirs):
    path = tmp_path / "toy.yaml"
    path.write_text("{objective: toy, output: never, steps: 1, batch_size: 6, learning_rate: 1}")
    monkeypatch.setattr(toy_objective.ToyObjective, "fingerprint", [("points", "a" * 64)])
    monkeypatch.setattr(processes, "is_alone", lambda: False)
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 2)

    def gather(values, mine):
        values[:] = [mine, [theirs * 64]]

    monkeypatch.setattr(processes.dist, "all_gather_object", gather)
    of_two = SimpleNamespace(main_process_first=nullcontext, process_index=0, num_processes=2)
    message = "data: got other content in another process of the run, wanted the same"
    with nullcontext() if theirs == "a" else pytest.raises(InputError, match=message):
        train.build_objective(read_recipe(path), of_two)


def test_checkpoints_that_are_all_damaged_are_no_new_start(run):
    folder = run()
    log = (folder / "log.jsonl").read_bytes()
    for path in (folder / "checkpoints").iterdir():
        (path / "state.json").write_text("[]")
    assert "got 4 checkpoints, wanted a whole one: step-00000008/state.json: got" in refused(run)
    assert (folder / "log.jsonl").read_bytes() == log
    assert len(list((folder / "checkpoints").iterdir())) == 4


@pytest.mark.parametrize("damaged", [1, 3])
def test_the_newest_whole_checkpoint_goes_on_to_the_same_bits(run, capsys, damaged):
    whole, folder = run("whole"), run()
    for number in range(STEPS, STEPS - 2 * damaged, -2):
        path = folder / "checkpoints" / f"step-{number:08d}" / "optimizer.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
    run()
    assert capsys.readouterr().err.count("going back to step-") == damaged
    assert_same_bits(folder, whole)


def test_a_model_without_its_checkpoints_is_not_written_over(run):
    folder = run()
    shutil.rmtree(folder / "checkpoints")
    weights = (folder / "model.safetensors").read_bytes()
    assert "got a model without its checkpoints, wanted a run to go on with" in refused(run)
    assert (folder / "model.safetensors").read_bytes() == weights


def test_tensorboard_has_each_step_once(run):
    folder = run("model", "--tracker", "tensorboard")
    for number in (6, 8):
        shutil.rmtree(folder / "checkpoints" / f"step-{number:08d}")
    run("model", "--tracker", "tensorboard", "--learning_rate", "0.05")
    events = EventAccumulator(str(folder / "logs" / "isoclr"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, STEPS + 1))


def test_a_hub_that_never_answers_stops_no_step(run, monkeypatch, capsys):
    never, times = threading.Event(), []
    monkeypatch.setattr(background, "push", lambda folder, repo: never.wait())
    monkeypatch.setattr(train, "push", lambda folder, repo: times.append(time.monotonic()))
    monkeypatch.setattr(train, "TIMEOUT", 0.01)
    began = time.monotonic()
    run("model", "--push_to_hub", "o/n")
    assert times[0] - began < 60
    assert "o/n: still taking the push before" in capsys.readouterr().err
    never.set()
