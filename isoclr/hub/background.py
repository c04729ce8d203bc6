"""Pushing a run's model while the run goes on."""

import shutil
import sys
import threading
from pathlib import Path

from huggingface_hub.utils import HFValidationError, validate_repo_id

from data_builders.records import InputError
from data_builders.storage import reason_of
from isoclr.hub.push import push, shared_files

_COPY = ".push"


class BackgroundPush:
    """Shares a model folder from a thread, so that no step waits for the Hub.

    What is pushed is a copy, `.push` in the folder: the run writes the next model over this one. A
    push that is asked for while another is under way is left out, as the next has all of it. What
    goes wrong is a line on standard error, and the run goes on.

    Args:
        folder: that train.py writes.
        repo: as `push` takes it.

    Raises:
        InputError: no name of a repository.
    """

    def __init__(self, folder: Path, repo: str):
        try:
            validate_repo_id(repo)
        except HFValidationError as error:
            raise InputError(f"push_to_hub: {' '.join(str(error).split())}") from error
        self.folder, self.repo = folder, repo
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Copy what is shared of the folder, and begin to push it."""
        if self._thread is not None and self._thread.is_alive():
            print(f"{self.repo}: still taking the push before; this one waits", file=sys.stderr)
            return
        copy = self.folder / _COPY
        try:
            shutil.rmtree(copy, ignore_errors=True)
            for name, path in shared_files(self.folder).items():
                target = copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        except OSError as error:
            raise InputError(f"{copy}: cannot be written: {reason_of(error)}") from error
        # A daemon: a Hub that never answers must not keep the process.
        self._thread = threading.Thread(target=self._push, args=(copy,), daemon=True)
        self._thread.start()

    def finish(self, patience: float) -> None:
        """Wait for a push that is under way, so many seconds at most."""
        if self._thread is not None:
            self._thread.join(patience)

    def _push(self, copy: Path) -> None:
        try:
            push(copy, self.repo)
        except InputError as error:
            print(f"not pushed, will try again: {error}", file=sys.stderr)
        except Exception as error:  # whatever a library raises in this thread must not be lost
            print(f"not pushed, will try again: {self.repo}: {reason_of(error)}", file=sys.stderr)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
