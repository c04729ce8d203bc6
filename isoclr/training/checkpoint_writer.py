"""Checkpoints written by a thread while the run goes on."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from isoclr.training.checkpoints import save_checkpoint


class CheckpointWriter:
    """Writes one checkpoint at a time; a step pays for a copy in memory, not for the disk.

    The copy is in the memory of the CPU. From a GPU it is queued behind the step, into memory that
    the GPU can write by itself, and the thread waits for it. What goes wrong is raised in the main
    thread: at the next step, the next checkpoint, or the end. Leaving the context waits.

    Args:
        folder: of all checkpoints of a run.
        keep: newest checkpoints that stay.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._pinned: dict[str, torch.Tensor] = {}

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            self.wait()
            return
        try:
            self.wait()
        except Exception as another:  # the first one is raised
            if str(another) != str(error):
                print(another, file=sys.stderr)

    def start(
        self,
        before: Callable[[], None],
        step: int,
        weights: dict[str, torch.Tensor],
        optimizer_state: dict[str, torch.Tensor],
        state: dict,
    ) -> None:
        """Copy the state of a step, and begin to write it.

        Args:
            before: writes what the checkpoint relies on; the thread calls it first.
            step: as for `save_checkpoint`.
            weights: as for `save_checkpoint`.
            optimizer_state: as for `save_checkpoint`.
            state: as for `save_checkpoint`.

        Raises:
            InputError: the checkpoint before could not be written.
        """
        self.wait()
        copies = [
            {name: self._copy(f"{kind}/{name}", tensor) for name, tensor in tensors.items()}
            for kind, tensors in (("weights", weights), ("optimizer", optimizer_state))
        ]
        copied = None
        if self._pinned:
            copied = torch.cuda.Event()
            copied.record()
        self._thread = threading.Thread(
            target=self._write, args=(copied, before, step, *copies, state), name="checkpoint"
        )
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong, without waiting."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written, if any.

        Raises:
            InputError: it could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _copy(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a copy on the CPU; one from a GPU is whole after the event that follows it."""
        tensor = tensor.detach()
        if not tensor.is_cuda:
            return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)
        if name not in self._pinned:  # which take long to make
            self._pinned[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return self._pinned[name].copy_(tensor, non_blocking=True)

    def _write(self, copied, before, step, weights, optimizer_state, state) -> None:
        try:
            if copied is not None:
                copied.synchronize()
            before()
            save_checkpoint(self.folder, step, weights, optimizer_state, state, self.keep)
        except BaseException as error:  # raised where the main thread looks
            self._error = error
