"""One line for each fault around a run: disks, memory, workers, other processes."""

import contextlib
import errno
import multiprocessing
import re
import traceback
from collections.abc import Iterator

import torch
from safetensors import SafetensorError

from data_builders.records import InputError
from data_builders.storage import reason_of

_LATER = "the run can go on from its last checkpoint"
_WORKER = re.compile(r"DataLoader worker \(pid[^)]*\) (.*)")
_RAISED_IN_WORKER = re.compile(r"Caught \w+ in DataLoader worker.*InputError: (.*)", re.DOTALL)
_PEER = re.compile(r"gloo|NCCL|Connection (?:closed|reset) by peer", re.IGNORECASE)


@contextlib.contextmanager
def one_line_faults(output: str) -> Iterator[None]:
    """Turn what disks, workers, memory and other processes do to a run into one clear line.

    A fault of the program itself keeps its traceback. Workers of a data loader, which heed no
    signal, are let go: else the process would wait for them at its end.

    Args:
        output: folder of the run.

    Raises:
        InputError: instead of what was raised within.
    """
    try:
        with _letting_workers_go():
            yield
    except InputError as error:
        found = _RAISED_IN_WORKER.fullmatch(str(error))
        if found is None:
            raise
        raise InputError(" ".join(found[1].split())) from None
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"memory of the device: {reason_of(error)[:200]}; {_LATER}, with fewer tokens in a "
            "micro-batch or a smaller batch"
        ) from error
    except MemoryError as error:
        raise InputError(f"memory: got none left, wanted more; {_LATER}") from error
    except SafetensorError as error:
        raise InputError(f"{output}: cannot be written: {reason_of(error)}; {_LATER}") from error
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else output
        hint = ", with room on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise InputError(f"{place}: {reason_of(error)}; {_LATER}{hint}") from error
    except RuntimeError as error:
        if found := _WORKER.search(str(error)):
            raise InputError(
                f"workers: a process that makes batches {_ended(found[1])}, perhaps for want of "
                f"memory; {_LATER}, with fewer workers"
            ) from error
        if _PEER.search(str(error)):
            raise InputError(
                f"another process of the run has ended: {reason_of(error)[:200]}; {_LATER}"
            ) from error
        raise


@contextlib.contextmanager
def _letting_workers_go() -> Iterator[None]:
    """Drop the loop's variables when it ends in an error: the last loader ends its workers."""
    try:
        yield
    except BaseException as error:
        if multiprocessing.active_children():
            traceback.clear_frames(error.__traceback__)
        raise


def _ended(text: str) -> str:
    return text.split(". It is possible")[0].rstrip(". ")
