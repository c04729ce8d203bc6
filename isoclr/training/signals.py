"""Pre-emption: a signal that asks the run to end becomes a checkpoint at the end of the step."""

import contextlib
import os
import signal
import threading
import time

import torch

from isoclr.training.processes import sum_over_processes

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
_AGAIN = "; Ctrl-C again ends at once"
_PATIENCE = 5.0  # seconds that the main thread has to end at once
_END = b"\0"  # the number of no signal


class StopRequest:
    """While entered, notes SIGTERM, SIGUSR1, SIGINT (Ctrl-C) and SIGHUP instead of dying of them.

    Until the first step is done nothing can be lost, though reading data, compiling and that step
    may take minutes: the run ends at once. Later it ends after its step, with a checkpoint. A
    second Ctrl-C ends at once. What a signal does is said on standard error as soon as it comes.
    A signal that the process ignores (SIGHUP under nohup) stays ignored. Outside of the main thread
    nothing is noted: Python hands signals to that one alone.

    Python heeds a signal when the main thread is back from C++, where a backward pass may be for
    minutes. So a second thread is told of signals by the operating system: it says what happens,
    and where the run is to end at once and the main thread does not, ends the process.

    Args:
        patience: seconds that the main thread has to end at once by itself.
    """

    def __init__(self, patience: float = _PATIENCE):
        self.received = 0
        self._patience = patience
        self._before = {}
        self._step_began: float | None = None  # None until the first step is done
        self._seconds = 0.0  # of the last step
        self._told: list[int] = []
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._writing, False)
            self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, *error) -> None:
        self._ended.set()
        if self._watcher is not None:
            signal.set_wakeup_fd(self._wakeup)
            os.write(self._writing, _END)  # workers may have the pipe open, so closing is no end
            self._watcher.join()
            os.close(self._writing)
            os.close(self._reading)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def step_done(self) -> None:
        """Note that there is a step that a checkpoint would keep."""
        now = time.monotonic()
        self._seconds = 0.0 if self._step_began is None else now - self._step_began
        self._step_began = now

    def _note(self, number, frame) -> None:
        """Heed a signal, in the main thread."""
        again = number == self.received == signal.SIGINT
        self.received = number
        if again or self._step_began is None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def _watch(self) -> None:
        """Say what a signal does as soon as it comes, until `_END` comes."""
        while (number := os.read(self._reading, 1)) != _END:
            if number[0] in self._before:
                self._tell(number[0])

    def _tell(self, number: int) -> None:
        again = number == signal.SIGINT and self._told[-1:] == [number]
        self._told.append(number)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if again or self._step_began is None:
            if not again:
                _say(f"{name}: ending at once, no step is done yet")
            if not self._ended.wait(self._patience):
                os._exit(128 + number)  # the main thread is in C++
            return
        took = f" (the last one took {self._seconds:.0f} s)" if self._seconds >= 10 else ""
        more = _AGAIN if number == signal.SIGINT else ""
        _say(f"{name}: ending after this step{took}, with a checkpoint{more}")

    def agreed(self, device: torch.device) -> int:
        """Return the signal that any process got, the same on every process, or 0."""
        votes = torch.zeros(len(_SIGNALS), device=device)
        if self.received:
            votes[_SIGNALS.index(self.received)] = 1
        first = sum_over_processes(votes).nonzero()
        return int(_SIGNALS[first[0]]) if len(first) else 0


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"\n{line}\n".encode())


def leave_to_main_process(worker: int) -> None:
    """Have a worker of a data loader ignore signals: the main process ends it."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
