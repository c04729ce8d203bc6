"""Checkpoints that are whole or not there, whatever moment the process dies at.

A checkpoint is a folder `step-N` of `model.safetensors`, `optimizer.safetensors` and `state.json`,
whose checksums of the other two make it complete. It is written beside, synced, then renamed; what
is pruned is renamed away first. Every random state, the schedule and the position in the data are
functions of the step (and of the recipe, which `state.json` holds), so nothing else needs saving,
and a run may go on with another number of processes.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from data_builders.records import InputError
from isoclr.training.sharded import shard_like

_FILES = ("model.safetensors", "optimizer.safetensors")


def save_checkpoint(
    folder: Path,
    step: int,
    weights: dict[str, torch.Tensor],
    optimizer_state: dict[str, torch.Tensor],
    state: dict,
    keep: int,
) -> Path:
    """Write the checkpoint of `step` and prune old ones.

    Args:
        folder: of all checkpoints of a run.
        step: steps done.
        weights: and buffers of the model, whole.
        optimizer_state: as `whole_state` gives it.
        state: further JSON values.
        keep: newest checkpoints that stay.

    Returns:
        The checkpoint's folder.

    Raises:
        InputError: it cannot be written: a full disk, a folder that is not writable. The checkpoint
            before it is as it was.
    """
    target, beside = folder / f"step-{step:08d}", folder / f".step-{step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _discard_leftovers(folder)
        beside.mkdir()
        save_file(weights, beside / _FILES[0])
        save_file(optimizer_state, beside / _FILES[1])
        checksums = {name: _checksum(beside / name) for name in _FILES}
        manifest = {"step": step, "sha256": checksums, **state}
        (beside / "state.json").write_text(json.dumps(manifest, indent=1))
        for path in beside.iterdir():
            sync(path)
        sync(beside)
        _move_away(target)  # only a damaged one, or one that this run has not seen, can be there
        beside.rename(target)
        sync(folder)
        for old in sorted(folder.glob("step-*"))[:-keep]:
            _move_away(old)
    # safetensors reports a full disk by an error of its own.
    except Exception as error:
        shutil.rmtree(beside, ignore_errors=True)
        reason = getattr(error, "strerror", None) or str(error)
        kept = newest_checkpoint(folder)
        raise InputError(
            f"{target}: cannot be written: {reason}; "
            f"{'there is no checkpoint yet' if kept is None else f'{kept.name} is as it was'}"
        ) from error
    return target


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        if _is_complete(path):
            return path
    return None


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """Restore model and optimizer, shared out or not, in place; returns the checkpoint's state."""
    weights, now = load_file(path / _FILES[0]), model.state_dict()
    model.load_state_dict({n: shard_like(t, now.get(n)) for n, t in weights.items()})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = optimizer.state_dict()
    state["state"] = {}
    for name, tensor in load_file(path / _FILES[1]).items():
        index, key = name.split(".")
        tensor = shard_like(tensor, parameters[int(index)])
        state["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(state)
    return json.loads((path / "state.json").read_text())


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_complete(path: Path) -> bool:
    try:
        checksums = json.loads((path / "state.json").read_text())["sha256"]
        return all(_checksum(path / name) == checksums[name] for name in _FILES)
    except (OSError, ValueError, KeyError):
        return False


def _move_away(path: Path) -> None:
    """Delete a checkpoint so that at no moment half of it has its name."""
    if path.exists():
        away = path.with_name(f".{path.name}-away")
        path.rename(away)
        shutil.rmtree(away)


def _discard_leftovers(folder: Path) -> None:
    for path in folder.glob(".step-*"):
        shutil.rmtree(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
