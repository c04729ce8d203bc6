"""Checkpoints that are whole or not there: written beside, synced, then renamed.

A checkpoint is a folder `step-N` of `model.safetensors`, `optimizer.safetensors` and `state.json`,
whose checksums of the other two make it complete. No random state is kept: each step seeds its own.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_FILES = ("model.safetensors", "optimizer.safetensors")


def save_checkpoint(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict,
    keep: int,
) -> Path:
    """Write the checkpoint of `step` and prune old ones.

    Args:
        folder: of all checkpoints of a run.
        step: steps done.
        model: whose weights and buffers are saved.
        optimizer: whose state is saved.
        state: further JSON values.
        keep: newest checkpoints that stay.

    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / f"step-{step:08d}", folder / f".step-{step:08d}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    save_file(model.state_dict(), beside / _FILES[0])
    save_file(_flat(optimizer), beside / _FILES[1])
    checksums = {name: _checksum(beside / name) for name in _FILES}
    manifest = {"step": step, "sha256": checksums, **state}
    (beside / "state.json").write_text(json.dumps(manifest, indent=1))
    for path in beside.iterdir():
        _sync(path)
    _sync(beside)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
    _sync(folder)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)
    return target


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        if _is_complete(path):
            return path
    return None


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """Restore model and optimizer in place; returns the checkpoint's state."""
    model.load_state_dict(load_file(path / _FILES[0]))
    state = optimizer.state_dict()
    state["state"] = {}
    for name, tensor in load_file(path / _FILES[1]).items():
        index, key = name.split(".")
        state["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(state)
    return json.loads((path / "state.json").read_text())


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{index}.{key}": tensor
        for index, values in optimizer.state_dict()["state"].items()
        for key, tensor in values.items()
    }


def _is_complete(path: Path) -> bool:
    try:
        checksums = json.loads((path / "state.json").read_text())["sha256"]
        return all(_checksum(path / name) == checksums[name] for name in _FILES)
    except (OSError, ValueError, KeyError):
        return False


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
