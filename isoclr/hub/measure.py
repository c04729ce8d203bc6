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
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.hub.card import MEASURED, check_model_folder
from isoclr.progress import progress
from isoclr.shipped import resolve_model
from modeling_isoclr import RPIProcessor

LENGTHS = (1000, 4000, 12000)
_LETTERS = 48_000  # of a batch, so that batches of all lengths do as much work
_PROFILES = 256  # a batch of a model without a length
_PASSES = 5
_RESIDUES = 400  # of a protein of a pair
_UNITS = {"isoclr": "letters", "isoclr_expression": "samples", "rpi": "pairs"}
_WITH_LENGTH = ("isoclr", "rpi")


def measure(folder: str | os.PathLike, lengths: tuple[int, ...] = LENGTHS) -> dict:
    """Measure how fast a model embeds and what memory it takes, and write `measured.json`.

    Each length is measured in a fresh process: float32, without gradients, one thread of a CPU in
    processor time (which other programs hardly change), or a GPU in wall time where there is one.

    Args:
        folder: of a model; the file is written into it.
        lengths: letters of a sequence, of a pair those of the RNA; a model of another input is
            measured once.

    Returns:
        `device`, `threads`, `torch`, `unit` and `rows`: of each length the `batch` size,
        `per_second` (units a second, the best of five passes) and `peak_bytes`: of the whole
        process on a CPU, of tensors on a GPU. Of pairs, the vectors of both molecules are made
        anew, which is nearly all of the time; `other_length` are the letters of the proteins.
        `busy` is the share of the machine's cores that other processes kept at work.

    Raises:
        InputError: no model in the folder, or one that cannot be measured.
    """
    folder = Path(folder)
    check_model_folder(folder)
    family = read_json(folder / "config.json", ("model_type",), "a model")["model_type"]
    if family not in _UNITS:
        raise InputError(f"{folder}: model_type: got {family!r}, wanted one of {', '.join(_UNITS)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    began = _processor_seconds()
    found: dict = {
        "device": _name(device),
        "threads": 1 if device == "cpu" else None,
        "torch": torch.__version__,
        "unit": _UNITS[family],
        "rows": [
            _in_a_process(folder, length, device)
            for length in progress(lengths if family in _WITH_LENGTH else (0,), "measuring")
        ],
    }
    if family == "rpi":
        found["other_length"] = _RESIDUES
    if began is not None:
        found["busy"] = _busy_elsewhere(began)
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
    """Measure batches of one length, 0 of a model whose input has none, in this process."""
    torch.set_num_threads(1)
    run, batch, units = _pass(folder, length, device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = []
    with torch.inference_mode():
        for _ in range(_PASSES):
            began = clock()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(clock() - began)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:  # ru_maxrss counts KiB on Linux, bytes on macOS
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    row = {"batch": batch, "per_second": units / min(seconds), "peak_bytes": peak}
    return {"length": length, **row} if length else row


def _pass(folder: str, length: int, device: str) -> tuple[Callable[[], object], int, int]:
    """Return what puts a batch of random inputs through a model, its size, and its units."""
    torch.manual_seed(0)
    batch = max(_LETTERS // length, 1) if length else _PROFILES
    if read_json(Path(folder) / "config.json", ("model_type",), "a model")["model_type"] == "rpi":
        classifier = AutoModelForSequenceClassification.from_pretrained(folder).eval().to(device)
        return _pass_of_pairs(classifier, batch, length), batch, batch
    model = AutoModel.from_pretrained(folder).eval().to(device)
    if length:
        tokens = torch.randint(0, 4, (batch, length))
        return lambda: model(tokens.to(device)), batch, batch * length
    profiles = torch.randn(batch, next(iter(model.dummy_inputs.values())).shape[1])
    return lambda: model(profiles.to(device)), batch, batch


def _pass_of_pairs(model: PreTrainedModel, batch: int, length: int) -> Callable[[], object]:
    """Return what makes vectors of different molecules and scores their pairs."""
    for molecule in ("rna", "protein"):
        spec = dict(getattr(model.config, f"{molecule}_embedder"))
        if "model" in spec:
            spec["model"] = str(resolve_model(spec["model"]))
        setattr(model.config, f"{molecule}_embedder", spec)
    processor = RPIProcessor.of(model.config)
    rnas = _molecules(processor, "rna", batch, length)
    proteins = _molecules(processor, "protein", batch, _RESIDUES)

    def run() -> None:
        inputs = processor(rnas, proteins, return_tensors="pt").to(model.device)
        model(**inputs)

    return run


def _molecules(processor: RPIProcessor, molecule: str, batch: int, length: int) -> list:
    """Return random sequences; of a model of precomputed vectors these."""
    embedder = processor.embedder(molecule)
    if embedder is None:
        size = getattr(processor, f"{molecule}_embedder")["size"]
        return list(torch.randn(batch, min(length, processor.max_positions), size).numpy())
    letters = "ACGU" if molecule == "rna" else "ACDEFGHIKLMNPQRSTVWY"
    drawn = torch.randint(0, len(letters), (batch, length)).tolist()
    return ["".join(letters[i] for i in row) for row in drawn]


def _processor_seconds() -> tuple[float, float, float] | None:
    """Return seconds at work of all cores, of this process and its children, and of the clock."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, *more = map(int, fields)
    ticks = user + nice + system + sum(more[:2])
    own = sum(os.times()[:4])
    return ticks / os.sysconf("SC_CLK_TCK"), own, time.monotonic()


def _busy_elsewhere(began: tuple[float, float, float]) -> float:
    ended = _processor_seconds() or began
    all_, own, wall = (end - begin for end, begin in zip(ended, began, strict=True))
    return round(max(all_ - own, 0) / max(wall * (os.cpu_count() or 1), 1e-9), 2)


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
