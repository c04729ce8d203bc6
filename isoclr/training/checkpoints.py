"""Checkpoints that are whole or not there, whatever moment the process dies at.

A checkpoint is a folder `step-N` (eight digits) of `model.safetensors`, `optimizer.safetensors` and
`state.json`, which has the checksums of the other two and of itself. It is written beside, synced,
then renamed; what is pruned is renamed away first. Every random state, the schedule and the
position in the data are functions of the step (and of the recipe, which `state.json` holds), so
nothing else needs saving, and a run may go on with another number of processes.

A folder of another name, a file or a link is not a checkpoint, and is left alone.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from data_builders.records import InputError
from data_builders.storage import reason_of, respect_umask, sync
from isoclr.training.sharded import shard_like

_FORMAT = 2
_FILES = ("model.safetensors", "optimizer.safetensors")
_STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,18})")
_LEFTOVER = re.compile(r"\.step-\d{8,18}(-away)?")


def save_checkpoint(
    folder: Path,
    step: int,
    weights: dict[str, torch.Tensor],
    optimizer_state: dict[str, torch.Tensor],
    state: dict,
    keep: int,
) -> Path:
    """Write the checkpoint of `step` and prune old ones.

    A checkpoint of a later step is never pruned: the run has gone back, and that one may be of use.

    Args:
        folder: of all checkpoints of a run.
        step: steps done.
        weights: and buffers of the model, whole.
        optimizer_state: as `whole_state` gives it.
        state: further JSON values.
        keep: newest checkpoints, up to this one, that stay.

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
        manifest = {"format": _FORMAT, "step": step, "sha256": checksums, **state}
        manifest = {"checksum": _checksum_of_state(manifest), **manifest}
        (beside / _STATE).write_text(json.dumps(manifest, indent=1))
        respect_umask(*beside.iterdir())
        for path in beside.iterdir():
            sync(path)
        sync(beside)
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise InputError("got a link or a file of this name, wanted none")
        _move_away(target)  # only a damaged one, or one that this run has not seen, can be there
        beside.rename(target)
        sync(folder)
        done = [path for number, path in _checkpoints(folder).items() if number <= step]
        for old in done[:-keep]:
            _move_away(old)
    # safetensors reports a full disk by an error of its own.
    except Exception as error:
        shutil.rmtree(beside, ignore_errors=True)
        kept, _ = _newest_whole(folder)
        raise InputError(
            f"{target}: cannot be written: {reason_of(error)}; "
            f"{'there is no checkpoint yet' if kept is None else f'{kept.name} is as it was'}"
        ) from error
    return target


def newest_checkpoint(
    folder: Path, tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
) -> Path | None:
    """Return the newest whole checkpoint, or None where there is no checkpoint at all.

    Args:
        folder: of all checkpoints of a run.
        tell: is called with a line on each newer checkpoint that is damaged.

    Raises:
        InputError: there are checkpoints, and none is whole: to begin anew would lose the run.
    """
    found, damaged = _newest_whole(folder)
    if found is None and damaged:
        raise InputError(
            f"{folder}: got {len(damaged)} checkpoint{'s' * (len(damaged) > 1)}, wanted a whole "
            f"one: {damaged[0]}; to begin anew, move the folder away or choose another output"
        )
    if found is not None:
        for line in damaged:
            tell(f"{folder}: {line}; going back to {found.name}")
    return found


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """Restore model and optimizer, sharded or not, in place; return the checkpoint's state.

    Raises:
        InputError: it is of another model or optimizer.
    """
    try:
        weights, now = load_file(path / _FILES[0]), model.state_dict()
        model.load_state_dict(
            {n: shard_like(t, now[n]) if n in now else t for n, t in weights.items()}
        )
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state = optimizer.state_dict()
        state["state"] = {}
        for name, tensor in load_file(path / _FILES[1]).items():
            index, key = name.split(".")
            tensor = shard_like(tensor, parameters[int(index)])
            state["state"].setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError, IndexError, SafetensorError) as error:
        raise InputError(
            f"{path}: does not fit the model of this recipe: {reason_of(error)[:300]}"
        ) from error
    return read_state(path)


def read_state(path: Path) -> dict:
    """Read state.json of a checkpoint and check its checksum and step.

    Raises:
        InputError: it is damaged, or of another version of isoclr.
    """
    state = path / _STATE
    try:
        manifest = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{state}: {reason_of(error)}") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{state}: got {type(manifest).__name__}, wanted an object")
    if manifest.get("format") != _FORMAT:
        raise InputError(
            f"{state}: format: got {manifest.get('format')!r}, wanted {_FORMAT}, that of this "
            "version of isoclr"
        )
    checksum = manifest.pop("checksum", None)
    if checksum != _checksum_of_state(manifest):
        raise InputError(f"{state}: got other values than were written")
    if path.name != f"step-{manifest['step']:08d}":
        raise InputError(f"{state}: step: got {manifest['step']}, wanted that of {path.name}")
    return manifest


def check_data(
    began: Sequence[Sequence[str]], now: Sequence[Sequence[str]], checkpoint: Path
) -> None:
    """Compare the data of a run with what it began with; only names may differ.

    Args:
        began: (name, checksum) of each dataset or file, of the checkpoint.
        now: the same of this run.
        checkpoint: for the error.

    Raises:
        InputError: another number of them, or the first that differs.
    """
    if len(began) != len(now):
        raise InputError(
            f"{checkpoint}: data: got {len(now)} datasets and files, wanted {len(began)} as the "
            "run began; choose another output"
        )
    for (old_name, old), (name, checksum) in zip(began, now, strict=True):
        if old != checksum:
            raise InputError(
                f"{checkpoint}: data: got other content in {name} (checksum {checksum[:12]}), "
                f"wanted that of {old_name} as the run began ({old[:12]}); choose another output"
            )


def _newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """Return the newest whole checkpoint, and what is wrong with each that is newer."""
    damaged = []
    for path in reversed(_checkpoints(folder).values()):
        try:
            _check(path)
        except InputError as error:
            damaged.append(str(error).removeprefix(f"{folder}/"))
        else:
            return path, damaged
    return None, damaged


def _check(path: Path) -> None:
    checksums = read_state(path)["sha256"]
    for name in _FILES:
        try:
            found = _checksum(path / name)
        except OSError as error:
            raise InputError(f"{path / name}: {reason_of(error)}") from error
        if found != checksums[name]:
            raise InputError(f"{path / name}: got other bytes than were written")


def _checkpoints(folder: Path) -> dict[int, Path]:
    """Return the folder of each step's checkpoint, whole or not, in the order of the steps."""
    found = {}
    if folder.is_dir():
        for path in folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and path.is_dir() and not path.is_symlink():
                found[int(match[1])] = path
    return dict(sorted(found.items()))


def _move_away(path: Path) -> None:
    """Delete a checkpoint so that at no moment half of it has its name."""
    if path.exists():
        away = path.with_name(f".{path.name}-away")
        path.rename(away)
        shutil.rmtree(away)


def _discard_leftovers(folder: Path) -> None:
    for path in folder.iterdir():
        if _LEFTOVER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _checksum_of_state(manifest: dict) -> str:
    """Of the values, not of the text: JSON and back changes tuples and keys of other types."""
    values = json.loads(json.dumps(manifest))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
