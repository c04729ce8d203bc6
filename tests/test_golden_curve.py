"""A few steps on the simulated clade, the same curve on every machine.

In float64 the order of sums, which kernels, processors and threads decide, moves the curves by
1e-13; in float32 it would move them by percents within fifty steps. So one golden curve holds
everywhere to nine digits. (To six where masked nucleotides are predicted: the kernels of torch
differ by 1e-10 in GELU.) What is promised to the bit is tested within one machine, in
`test_train.py`: resumed runs, worker processes, caches.

A change that moves a curve changes what every run computes. When it is meant to, write the new
curves with `ISOCLR_WRITE_GOLDEN=1 pytest tests/test_golden_curve.py`, and say in the commit why.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from data_builders.groups.parquet import read_groups

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "curve.json"
KEYS = ("loss", "accuracy", "gradient_norm", "padding", "lr", "held_out_loss", "masked_lm_loss")
SHAPE = {"filters": [8, 8, 12, 12], "blocks": [1, 1, 1, 1], "projector_sizes": [16, 16, 8]}
RECIPE = {
    "steps": 12,
    "batch_size": 10,
    "learning_rate": 0.003,
    "warmup_steps": "20 %",
    "micro_batch_tokens": 4096,
    "checkpoint_every": 12,
    "evaluate_every": 12,
    "tracker": None,
}
CURVES = {
    "batch norm": {"model": SHAPE},
    # No held-out pairs above: a bias before a batch norm has no gradient but rounding errors,
    # which Adam makes as large as any. Batches do not see it; running statistics do.
    "layer norm": {"model": SHAPE | {"norm": "layer"}, "held_out_groups": 4},
    "masked nucleotides": {
        "model": SHAPE | {"norm": "layer", "masked_lm_weight": 0.2},
        "mask_fraction": 0.15,
    },
}
DIGITS = {"batch norm": 9, "layer norm": 9, "masked nucleotides": 6}


def curve(name: str, groups: Path, folder: Path, threads: int) -> list[dict[str, float]]:
    """Train in float64 and return what the log says of each step."""
    import train

    recipe = folder / f"{name}.yaml"
    files = {"data": str(groups), "output": str(folder / name)}
    recipe.write_text(yaml.safe_dump(RECIPE | CURVES[name] | files))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float64)
    try:
        train.main([str(recipe)])
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(before)
    log = [json.loads(line) for line in (folder / name / "log.jsonl").open()]
    return [{key: record[key] for key in KEYS if key in record} for record in log]


def assert_golden(name: str, found: list[dict[str, float]]) -> None:
    """Compare a curve with the golden one, in all digits that every machine gives."""
    wanted = json.loads(GOLDEN.read_text())["curves"][name]
    assert len(found) == len(wanted)
    for step, (got, golden) in enumerate(zip(found, wanted, strict=True), start=1):
        assert got == pytest.approx(golden, rel=10 ** -DIGITS[name], abs=1e-12), f"step {step}"


@pytest.fixture(scope="module")
def fingerprint(groups_folder) -> str:
    """A hash of every record of the simulated clade."""
    return hashlib.sha256("\n".join(map(repr, read_groups(groups_folder))).encode()).hexdigest()


def test_the_data_are_those_of_the_golden_curves(fingerprint):
    if not os.environ.get("ISOCLR_WRITE_GOLDEN"):
        assert json.loads(GOLDEN.read_text())["data"] == fingerprint


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_is_as_it_was(name, groups_folder, fingerprint, tmp_path):
    found = curve(name, groups_folder, tmp_path, threads=1)
    if os.environ.get("ISOCLR_WRITE_GOLDEN"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"curves": {}}
        golden["data"] = fingerprint
        golden["curves"][name] = found
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    assert_golden(name, found)


def test_curves_do_not_depend_on_threads_and_vector_units(groups_folder, tmp_path):
    code = (
        "import json, sys; sys.path[:0] = sys.argv[1:3]; import test_golden_curve as t\n"
        "from pathlib import Path; groups, folder = map(Path, sys.argv[3:])\n"
        "found = {name: t.curve(name, groups, folder, threads=2) for name in t.CURVES}\n"
        "(folder / 'curves.json').write_text(json.dumps(found))\n"
    )
    scalar_kernels = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    }
    two_threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            str(ROOT),
            str(Path(__file__).parent),
            groups_folder,
            tmp_path,
        ],
        env=os.environ | scalar_kernels | two_threads,
        check=True,
        capture_output=True,
    )
    for name, found in json.loads((tmp_path / "curves.json").read_text()).items():
        assert_golden(name, found)
