"""Pre-emption: a scheduler's signal becomes a checkpoint at the end of the step."""

import signal

import torch

from isoclr.training.processes import sum_over_processes

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """While entered, notes SIGTERM and SIGUSR1 instead of dying of them."""

    def __init__(self):
        self.received = 0
        self._before = {}

    def __enter__(self) -> "StopRequest":
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        self.received = number

    def agreed(self, device: torch.device) -> int:
        """The signal that any process got, 0 when none did; every process hears the same."""
        votes = torch.zeros(len(_SIGNALS), device=device)
        if self.received:
            votes[_SIGNALS.index(self.received)] = 1
        first = sum_over_processes(votes).nonzero()
        return int(_SIGNALS[first[0]]) if len(first) else 0


def leave_to_main_process(worker: int) -> None:
    """Have a worker of a data loader outlive a signal to the whole job, until the step is done."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
