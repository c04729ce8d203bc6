"""What keeps files whole and folders apart: syncing, modes, and one writer at a time."""

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from data_builders.records import InputError

LOCK = ".lock"
"""Name of the lock file of a folder."""

_held: set[str] = set()  # a process never conflicts with itself by fcntl


def sync(path: str | os.PathLike) -> None:
    """Have the disk hold what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def respect_umask(*paths: str | os.PathLike) -> None:
    """Give files and folders the mode that `open` and `mkdir` give.

    safetensors and tempfile make theirs readable by their owner alone, whatever the umask says.
    """
    umask = os.umask(0o077)  # of the two calls, the gap between is on the strict side
    os.umask(umask)
    for path in map(Path, paths):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def reason_of(error: BaseException) -> str:
    """Return one line for an error of the operating system, or of a library that hides one."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


@contextlib.contextmanager
def one_writer(
    folder: str | os.PathLike, what: str, name: str = LOCK, wait: bool = False
) -> Iterator[None]:
    """Hold a folder, so that no other process writes into it.

    The operating system holds the lock for the process, not for its children, and drops it when
    the process ends, however it ends. So a lock file that is left over locks nothing.

    Args:
        folder: made if absent.
        what: is writing, for the error: 'a run', 'a build'.
        name: of the lock file in it.
        wait: until the other process is done, after a line that says so.

    Raises:
        InputError: another process holds the folder, or a lock cannot be made in it.
    """
    path = Path(folder) / name
    key = os.path.realpath(path)
    if key in _held:
        raise InputError(f"{folder}: got {what} of this process in it, wanted one at a time")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
        if descriptor is None and wait:
            print(f"{folder}: waiting for {what} of {_holder(path)}", file=sys.stderr)
            descriptor = _acquire(path, wait=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be locked: {reason_of(error)}") from error
    if descriptor is None:
        raise InputError(
            f"{folder}: got {what} of {_holder(path)} in it, wanted one at a time; "
            "wait for it, or choose another folder"
        )
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        with contextlib.suppress(FileNotFoundError):  # the folder may be deleted
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path, wait: bool = False) -> int | None:
    """Return an open, locked file of this path; None if another process has it locked."""
    how = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, how)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        # The holder before may have deleted the file between our opening and locking it.
        if _is_at(path, descriptor):
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.ctime()}
            os.truncate(descriptor, 0)
            os.write(descriptor, json.dumps(about).encode())
            return descriptor
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_text())
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
