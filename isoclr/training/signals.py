"""Pre-emption: a signal that asks the run to end becomes a checkpoint at the end of the step."""

import os
import signal
import threading

import torch

from isoclr.training.processes import sum_over_processes

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
_NOTICE = b"\nending after this step, with a checkpoint; Ctrl-C again ends at once\n"


class StopRequest:
    """While entered, notes SIGTERM, SIGUSR1, SIGINT (Ctrl-C) and SIGHUP instead of dying of them.

    A second Ctrl-C ends at once. A signal that the process ignores (SIGHUP under nohup) stays
    ignored. Outside of the main thread nothing is noted: Python hands signals to that one alone.
    """

    def __init__(self):
        self.received = 0
        self._before = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        if number == signal.SIGINT:
            if self.received == signal.SIGINT:
                raise KeyboardInterrupt
            os.write(2, _NOTICE)
        self.received = number

    def agreed(self, device: torch.device) -> int:
        """Return the signal that any process got, the same on every process, or 0."""
        votes = torch.zeros(len(_SIGNALS), device=device)
        if self.received:
            votes[_SIGNALS.index(self.received)] = 1
        first = sum_over_processes(votes).nonzero()
        return int(_SIGNALS[first[0]]) if len(first) else 0


def leave_to_main_process(worker: int) -> None:
    """Have a worker of a data loader ignore signals: the main process ends it."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
