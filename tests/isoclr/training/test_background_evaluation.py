"""A run that evaluates in a thread leaves what one leaves that evaluates between two steps."""

import threading
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from transformers import PretrainedConfig

import train
from data_builders.records import InputError
from isoclr.objectives import OBJECTIVES
from isoclr.training.background_evaluation import BackgroundEvaluation, gains_from_a_thread
from isoclr.training.checkpoint_writer import CheckpointWriter
from isoclr.training.curves import RunLog, read_log
from toy_objective import ToyModel, ToyObjective

PATIENCE = 60
EVALUATE, MAKE = ToyObjective.evaluate, ToyObjective.__getitem__


def run(folder, *, in_thread):
    """Train the toy into a folder, evaluating in a thread or not."""
    recipe = {"objective": "toy", "output": str(folder), "steps": 8, "batch_size": 6}
    recipe |= {"learning_rate": 0.05, "checkpoint_every": 4, "evaluate_every": 3, "tracker": None}
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe))
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OBJECTIVES, "toy", "toy_objective:ToyObjective")
        patch.setattr(train, "gains_from_a_thread", lambda device: in_thread)
        patch.setattr(train, "plot_curves", lambda *arguments: None)  # which takes longest
        train.main([str(path)])
    return folder


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    """What a run leaves that evaluates between two steps."""
    return contents(run(tmp_path_factory.mktemp("inline") / "model", in_thread=False))


def contents(folder):
    """All that a run computed."""
    paths = [*folder.glob("checkpoints/*/*.safetensors"), folder / "model.safetensors"]
    paths.append(folder / "log.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def logged(folder):
    return [record["step"] for record in read_log(folder / "log.jsonl")]


def at_step(monkeypatch, step, happen):
    """Have something happen when the batch of a step, counted from 1, is made."""

    def make(self, number):
        if number == step - 1:
            happen(Path(self.recipe.output))
        return MAKE(self, number)

    monkeypatch.setattr(ToyObjective, "__getitem__", make)


def test_steps_pass_meanwhile_and_nothing_is_different(inline, monkeypatch, tmp_path):
    go, threads, seen = threading.Event(), [], []

    def evaluate(self, model):
        threads.append(threading.current_thread())
        assert go.wait(PATIENCE)
        return EVALUATE(self, model)

    def see(output):
        seen.extend((logged(output), list(output.glob("checkpoints/step-*"))))
        go.set()

    monkeypatch.setattr(ToyObjective, "evaluate", evaluate)
    at_step(monkeypatch, 6, see)  # the third is being evaluated, the fourth has a checkpoint
    beside = contents(run(tmp_path / "model", in_thread=True))
    assert seen == [[1, 2], []]
    assert len(threads) == 3 and threading.main_thread() not in threads
    assert beside == inline and len(inline) == 6


def test_what_goes_wrong_in_it_ends_the_run_which_goes_on_to_the_same_bits(
    inline, monkeypatch, tmp_path, capsys
):
    raised = threading.Event()

    def evaluate(self, model):
        if threading.current_thread() is not threading.main_thread():
            raised.set()
            raise InputError("labels: got none, wanted some")
        return EVALUATE(self, model)

    monkeypatch.setattr(ToyObjective, "evaluate", evaluate)
    at_step(monkeypatch, 5, lambda output: raised.wait(PATIENCE))
    folder = tmp_path / "model"
    with pytest.raises(InputError, match="labels: got none, wanted some"):
        run(folder, in_thread=True)
    assert "wanted some" not in capsys.readouterr().err  # it is raised, and not said beside that
    assert logged(folder) == [1, 2] and not list(folder.glob("checkpoints/step-*"))
    assert contents(run(folder, in_thread=False)) == inline


def test_an_error_of_a_step_leaves_the_records_before_it(monkeypatch, tmp_path):
    at_step(monkeypatch, 6, lambda output: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "model", in_thread=True)
    assert logged(tmp_path / "model") == [1, 2, 3, 4, 5]


class Parts:
    """An evaluation in a thread that goes on when it is told to."""

    def __init__(self, folder, model=None, evaluate=None):
        self.go, self.tracked = threading.Event(), []
        self.model = model or ToyModel(PretrainedConfig(dropout=0.0))
        self.log = RunLog(folder / "log.jsonl", 0)
        self.evaluation = BackgroundEvaluation(
            evaluate or self.bias, self.model, self.log, self.track, in_thread=True
        )

    def bias(self, model):
        assert self.go.wait(PATIENCE)
        return {"bias": model.linear.bias.sum().item()}

    def track(self, values, step):
        assert threading.current_thread() is threading.main_thread()
        self.tracked.append((step, values))

    def set_bias(self, value):
        with torch.no_grad():
            self.model.linear.bias.fill_(value)


def test_each_evaluation_sees_the_weights_of_its_step(tmp_path):
    parts = Parts(tmp_path)
    with parts.evaluation as evaluation:
        for step in (1, 2):
            parts.set_bias(step)
            evaluation.start(parts.model)
            parts.set_bias(100)  # the step after
            evaluation.write({"step": step}, {"points_per_s": 5.0})
            parts.go.set()
    wanted = [{"step": 1, "bias": 4.0}, {"step": 2, "bias": 8.0}]
    assert read_log(tmp_path / "log.jsonl") == parts.log.records == wanted
    assert parts.tracked == [(n, r | {"points_per_s": 5.0}) for n, r in enumerate(wanted, 1)]


def test_a_checkpoint_s_thread_waits_and_finishes_the_log(tmp_path):
    parts, finished = Parts(tmp_path), threading.Event()
    with parts.evaluation as evaluation:
        evaluation.start(parts.model)
        evaluation.write({"step": 1}, {})
        finish = evaluation.before_checkpoint(wait=False)
        thread = threading.Thread(target=lambda: (finish(), finished.set()))
        thread.start()
        evaluation.write({"step": 2}, {})
        assert not finished.wait(0.05) and not parts.log.records
        parts.go.set()
        assert finished.wait(PATIENCE)
        assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == [1, 2]
        assert not parts.tracked  # by the main thread alone
        thread.join()
    assert [step for step, _ in parts.tracked] == [1, 2]


@pytest.mark.parametrize("seen_by", ["write", "start", "checkpoint", "leaving"])
def test_an_error_is_raised_and_not_lost(tmp_path, seen_by):
    def fail(model):
        raise InputError("labels: got none")

    parts = Parts(tmp_path, evaluate=fail)
    with pytest.raises(InputError, match="labels: got none"), parts.evaluation as evaluation:
        evaluation.start(parts.model)
        evaluation.write({"step": 1}, {}) if seen_by != "write" else None
        evaluation._pool.shutdown()  # it has failed now
        if seen_by == "write":
            evaluation.write({"step": 1}, {})
        if seen_by == "start":
            evaluation.start(parts.model)
        if seen_by == "checkpoint":
            with CheckpointWriter(tmp_path / "checkpoints", keep=1) as writer:
                writer.start(evaluation.before_checkpoint(wait=False), 1, {}, {}, {})
        assert seen_by == "leaving"
    assert not parts.log.records and not list(tmp_path.glob("checkpoints/*"))


def test_another_error_is_raised_first(tmp_path, capsys):
    def fail(model):
        raise InputError("labels: got none")

    parts = Parts(tmp_path, evaluate=fail)
    with pytest.raises(ZeroDivisionError), parts.evaluation as evaluation:
        evaluation.start(parts.model)
        raise ZeroDivisionError
    assert capsys.readouterr().err == "labels: got none\n"


def test_weights_that_autocast_has_cast_stay(tmp_path):
    """Dropped in the middle of a step, they would change how gradients are summed."""

    def evaluate(model):
        with torch.autocast("cpu", enabled=False):
            return {"bias": model.linear.bias.sum().item()}

    def cast():
        """What casts the bias."""
        return parts.model.linear(torch.ones(1, 4)).grad_fn.next_functions[0][0]

    parts = Parts(tmp_path, evaluate=evaluate)
    with parts.evaluation as evaluation, torch.autocast("cpu", torch.bfloat16):
        before = cast()
        evaluation.start(parts.model)
        evaluation.wait()
        assert cast() is before
        other = threading.Thread(target=evaluate, args=(parts.model,))
        other.start()
        other.join()
        assert cast() is not before  # a thread of any other kind drops it


def test_on_a_gpu_it_waits_for_the_copy_and_is_waited_for(tmp_path, monkeypatch):
    """By what it asks of CUDA, in order: there is none here."""
    done = []

    class Stream:
        def __init__(self, device):
            self.device = device

        def wait_event(self, event):
            assert isinstance(event, Event)
            done.append("wait")

        def synchronize(self):
            done.append("synchronize")

        def __enter__(self):
            done.append("stream")

        def __exit__(self, *error):
            done.append("left")

    class Event:
        def record(self, stream):
            done.append(f"event of {stream.device}")

    class OnGPU(ToyModel):
        device = torch.device("cuda", 0)

    def evaluate(model):
        done.append("evaluate")
        raise InputError("labels: got none")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    parts = Parts(tmp_path, OnGPU(PretrainedConfig(dropout=0.0)), evaluate)
    with pytest.raises(InputError, match="labels"), parts.evaluation as evaluation:
        evaluation.start(parts.model)
    assert done == ["event of cuda:0", "stream", "wait", "evaluate", "synchronize", "left"]
    assert gains_from_a_thread(parts.model.device) and not gains_from_a_thread(torch.device("cpu"))
