"""Speed and memory of a model, measured on the machine at hand for its card.

    python -m isoclr.hub.measure MODEL LENGTH DEVICE

measures one length in a process of its own and prints the result as JSON.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModel, PreTrainedModel

from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.hub.card import MEASURED, check_model_folder
from isoclr.progress import progress

LENGTHS = (1000, 4000, 12000)
_LETTERS = 48_000  # of a batch, so that batches of all lengths do as much work
_PROFILES = 256  # a batch of a model without a length
_PASSES = 5
_UNITS = {"isoclr": "letters", "isoclr_expression": "samples"}


def measure(folder: str | os.PathLike, lengths: tuple[int, ...] = LENGTHS) -> dict:
    """Measure how fast a model embeds and what memory it takes, and write `measured.json`.

    Each length is measured in a fresh process: float32, without gradients, one thread of a CPU in
    processor time (which other programs hardly change), or a GPU in wall time where there is one.

    Args:
        folder: of a model; the file is written into it.
        lengths: letters of a sequence; a model of another input is measured once.

    Returns:
        `device`, `threads`, `torch`, `unit` and `rows`: of each length the `batch` size,
        `per_second` (units a second, the best of five passes) and `peak_bytes`: of the whole
        process on a CPU, of tensors on a GPU.

    Raises:
        InputError: no model in the folder, or one that cannot be measured.
    """
    folder = Path(folder)
    check_model_folder(folder)
    family = read_json(folder / "config.json", ("model_type",), "a model")["model_type"]
    if family not in _UNITS:
        raise InputError(f"{folder}: model_type: got {family!r}, wanted one of {', '.join(_UNITS)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = {
        "device": _name(device),
        "threads": 1 if device == "cpu" else None,
        "torch": torch.__version__,
        "unit": _UNITS[family],
        "rows": [
            _in_a_process(folder, length, device)
            for length in progress(lengths if family == "isoclr" else (0,), "measuring")
        ],
    }
    (folder / MEASURED).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _in_a_process(folder: Path, length: int, device: str) -> dict:
    command = [sys.executable, "-m", __spec__.name, str(folder.resolve()), str(length), device]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{folder}: cannot be measured: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_length(folder: str, length: int, device: str) -> dict:
    """Measure batches of one length, in this process.

    Args:
        folder: of a model.
        length: of its sequences; 0: its input has no length.
        device: cpu or cuda.
    """
    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(folder).eval().to(device)
    inputs, units = _inputs(model, length)
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = []
    with torch.inference_mode():
        for _ in range(_PASSES):
            began = clock()
            model(inputs.to(device))
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(clock() - began)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:  # ru_maxrss counts KiB on Linux, bytes on macOS
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    row = {"batch": len(inputs), "per_second": units / min(seconds), "peak_bytes": peak}
    return {"length": length, **row} if length else row


def _inputs(model: PreTrainedModel, length: int) -> tuple[torch.Tensor, int]:
    """Random inputs of a batch, and how many units they are."""
    torch.manual_seed(0)
    if length:
        batch = max(_LETTERS // length, 1)
        return torch.randint(0, 4, (batch, length)), batch * length
    width = next(iter(model.dummy_inputs.values())).shape[1]
    return torch.randn(_PROFILES, width), _PROFILES


def _name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    folder, length, device = sys.argv[1:]
    print(json.dumps(measure_length(folder, int(length), device)))
