"""train.py as launchers and schedulers run it: in processes of its own."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from accelerate.state import AcceleratorState

pytestmark = [pytest.mark.slow, pytest.mark.distributed]

ROOT = Path(__file__).resolve().parents[1]

TELL_PROCESSES = r"""
import sys
sys.path.insert(0, sys.argv[1])
import train
accelerator = train.build_accelerator(train.read_recipe(sys.argv[2]))
# In one piece: unbuffered, the two processes' words would mix.
sys.stdout.write(f"process {accelerator.process_index} of {accelerator.num_processes}\n")
sys.stdout.flush()
accelerator.end_training()
"""


@pytest.fixture
def recipe_file(groups_folder, tmp_path):
    """A recipe of a toy encoder that would train for hours; the rate does not know its end."""
    recipe = {
        "data": str(groups_folder),
        "output": str(tmp_path / "model"),
        "model": {
            "filters": [8, 8, 8, 8],
            "blocks": [1, 1, 1, 1],
            "projector_sizes": [16, 16, 8],
        },
        "steps": 1_000_000,
        "schedule": "constant",
        "batch_size": 8,
        "micro_batch_tokens": 4096,
        "held_out_groups": 4,
        "evaluate_every": 1_000_000,
        "checkpoint_every": 1_000_000,
        "tracker": None,
    }
    path = tmp_path / "long.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def log_of(folder):
    path = folder / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def stopped_by(number, recipe_file, output, after):
    """Status of a run that gets a signal as soon as step `after` is in its log."""
    command = [sys.executable, ROOT / "train.py", recipe_file]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while len(log_of(output)) < after and process.poll() is None:
            assert time.monotonic() < deadline, "no step within two minutes"
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, errors


def test_a_run_stopped_by_signals_goes_on_where_it_was(recipe_file, tmp_path):
    output = tmp_path / "model"
    stops = []
    for number, status in ((signal.SIGTERM, 143), (signal.SIGUSR1, 138)):
        code, errors = stopped_by(number, recipe_file, output, after=len(log_of(output)) + 3)
        assert code == status, errors
        stops.append(log_of(output)[-1]["step"])
        assert f"signal {number}: stopped after step {stops[-1]}" in errors
        newest = max((output / "checkpoints").iterdir())
        assert newest.name == f"step-{stops[-1]:08d}"
        assert json.loads((newest / "state.json").read_text())["step"] == stops[-1]
    assert 3 <= stops[0] and stops[0] + 3 <= stops[1]
    log = log_of(output)
    assert [record["step"] for record in log] == list(range(1, stops[1] + 1))

    never_stopped = tmp_path / "never stopped"
    AcceleratorState._reset_state(reset_partial_state=True)
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    train.main([str(recipe_file), f"--output={never_stopped}", f"--steps={stops[1]}"])
    for stopped, whole in zip(log, log_of(never_stopped), strict=True):
        assert stopped.items() <= whole.items()  # the last step of a run is evaluated


@pytest.mark.parametrize(("option", "processes"), [("--multi_gpu", 2), ("--cpu", 1)])
def test_accelerate_starts_what_the_documentation_says(
    recipe_file, tmp_path, free_port, option, processes
):
    script = tmp_path / "tell.py"
    script.write_text(TELL_PROCESSES)
    command = [Path(sys.executable).with_name("accelerate"), "launch", option]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", str(free_port)]
    done = subprocess.run(
        [*command, script, ROOT, recipe_file], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = sorted(line for line in done.stdout.splitlines() if line.startswith("process "))
    expected = [f"process {rank} of {processes}" for rank in range(processes)]
    assert told == expected, done.stdout + done.stderr
