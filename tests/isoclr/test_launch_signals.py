"""Signals that come to the process that started a run in several processes."""

import os
import signal
import sys

import pytest

from isoclr import launch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_to_the_launcher_alone_reaches_what_it_started(number, monkeypatch):
    """In the place of torchrun stands a process that sends a signal to its parent and waits."""
    code = f"import os, time; os.kill(os.getppid(), {int(number)}); time.sleep(60)"
    monkeypatch.setattr(launch, "_command", lambda *_: [sys.executable, "-c", code])
    before = signal.getsignal(number)
    assert launch.launch("recipe.yaml", processes=2) == -signal.SIGTERM
    assert signal.getsignal(number) is before


def test_a_signal_before_anything_is_started_ends_the_launcher(monkeypatch):
    monkeypatch.setattr(launch, "_command", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as left:
        launch.launch("recipe.yaml", processes=2)
    assert left.value.code == 128 + signal.SIGTERM
