"""Start a training run, in this process or in several."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

from data_builders.records import InputError


def launch(recipe: str, overrides: Sequence[str] = (), processes: int = 1) -> int:
    """Train by a recipe, as `accelerate launch train.py` does; needs no checkout.

    Args:
        recipe: a YAML file.
        overrides: `--key value` pairs, see `isoclr.objectives.read_recipe`.
        processes: on this machine; more than one are started by torchrun, one a GPU where there
            are GPUs.

    Returns:
        The exit status.

    Raises:
        InputError: as `train.py`; several processes say so themselves.
    """
    if processes < 1:
        raise InputError(f"processes: got {processes}, wanted at least 1")
    if processes == 1:
        from isoclr.train import main

        main([recipe, *overrides])
        return 0
    with _passing_signals_on() as started:
        started.append(subprocess.Popen(_command(recipe, overrides, processes)))
        while True:
            try:
                return started[0].wait()
            except KeyboardInterrupt:  # the processes got it too, and end with a checkpoint
                continue


def _command(recipe: str, overrides: Sequence[str], processes: int) -> list[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", "--module", "isoclr.train"]
    return [*command, recipe, *overrides]


@contextlib.contextmanager
def _passing_signals_on() -> Iterator[list[subprocess.Popen]]:
    """Pass signals on that ask for an end and come to this process alone, as SIGTERM.

    Yields:
        A list for what was started: torchrun, which passes that signal on to its processes.
    """
    started: list[subprocess.Popen] = []
    before = {}

    def end(number, frame) -> None:
        if not started:
            raise SystemExit(128 + number)
        started[0].terminate()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
