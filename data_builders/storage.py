"""What keeps files whole and folders apart: syncing, modes, and one writer at a time."""

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_builders.records import InputError

LOCK = ".lock"
"""Name of the lock file of a folder."""

_held: dict[str, "_Held"] = {}
"""Locks of this process by the real path of their file; it never conflicts with itself by fcntl."""


@dataclass
class _Held:
    descriptor: int
    shared: bool
    holders: int = 1


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


def check_ending(path: str | os.PathLike, *endings: str) -> None:
    """Refuse the name of a file to write that does not say in which format."""
    if not os.fspath(path).lower().endswith(endings):
        wanted = " or ".join(endings)
        raise InputError(f"{path}: got the ending '{Path(path).suffix}', wanted {wanted}")


@contextlib.contextmanager
def one_writer(
    folder: str | os.PathLike,
    what: str,
    name: str = LOCK,
    *,
    wait: bool = False,
    shared: bool = False,
) -> Iterator[None]:
    """Hold a folder, so that no other process writes into it.

    The operating system holds the lock for the process, not for its children, and drops it when
    the process ends, however it ends. So a lock file that is left over locks nothing.

    Args:
        folder: made if absent, and removed again if the block leaves nothing in it.
        what: is writing, for the error: 'a run', 'a build'.
        name: of the lock file in it.
        wait: until the other process is done, after a line that says so.
        shared: with others that share it too; with none that does not.

    Raises:
        InputError: another process holds the folder, or a lock cannot be made in it.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: got a file, wanted a folder to write into")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder / name}: cannot be locked: {reason_of(error)}") from error
    try:
        with _holding(folder / name, str(folder), what, wait=wait, shared=shared):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # there is something in it
                folder.rmdir()


@contextlib.contextmanager
def one_writer_of_file(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Hold a file, so that no other process writes it; in a folder that is there."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: got a folder, wanted the name of a file to write")
    if not path.parent.is_dir():
        yield  # nobody is writing into it, and the command says what it wants of it
        return
    with _holding(path.with_name(f".{path.name}{LOCK}"), str(path), what):
        yield


@contextlib.contextmanager
def _holding(
    lock: Path, held: str, what: str, *, wait: bool = False, shared: bool = False
) -> Iterator[None]:
    """Hold a lock file; errors name `held`, what it is of."""
    key = os.path.realpath(lock)
    mine = _held.get(key)
    if mine is not None and not (shared and mine.shared):
        raise InputError(f"{held}: got {what} of this process in it, wanted one at a time")
    if mine is None:
        mine = _held[key] = _Held(_locked(lock, held, what, wait, shared), shared)
    else:  # closing any descriptor of a file drops the locks that the process has on it
        mine.holders += 1
    try:
        yield
    finally:
        mine.holders -= 1
        if not mine.holders:
            del _held[key]
            _release(lock, mine)


def _locked(lock: Path, held: str, what: str, wait: bool, shared: bool) -> int:
    """Return the descriptor of a lock file that this process has locked."""
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        descriptor = _acquire(lock, what, how | fcntl.LOCK_NB)
        if descriptor is None and wait:
            print(f"{held}: waiting for {_holder(lock, what)}", file=sys.stderr)
            descriptor = _acquire(lock, what, how)
    except OSError as error:
        raise InputError(f"{lock}: cannot be locked: {reason_of(error)}") from error
    if descriptor is None:
        raise InputError(
            f"{held}: got {_holder(lock, what)} in it, wanted one at a time; "
            "wait for it, or choose another output"
        )
    return descriptor


def _acquire(path: Path, what: str, how: int) -> int | None:
    """Return an open, locked file of this path; None if another process has it locked."""
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
            about: dict[str, str | int] = {"what": what}
            if how & fcntl.LOCK_EX:  # of those that share it, the last may be gone before others
                about |= {"pid": os.getpid(), "host": socket.gethostname(), "since": time.ctime()}
            os.truncate(descriptor, 0)
            os.write(descriptor, json.dumps(about).encode())
            return descriptor
        os.close(descriptor)


def _release(path: Path, held: _Held) -> None:
    """Unlock a lock file, and delete it unless others share it."""
    try:
        if held.shared:
            fcntl.lockf(held.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # others share it, or the folder is deleted
        pass
    finally:
        os.close(held.descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path, what: str) -> str:
    """Say who holds a lock; `what` stands in where its file does not say."""
    try:
        about = json.loads(path.read_text())
        who = "another process"
        if "pid" in about:
            who = f"process {about['pid']} on {about['host']} since {about['since']}"
        return f"{about['what']} of {who}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{what} of another process"
