import hashlib
import os
import signal
import threading
import time

import pytest
import torch

from isoclr.training import signals
from isoclr.training.signals import StopRequest, leave_to_main_process

CPU = torch.device("cpu")
SIGNALS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    threads = threading.active_count()
    with StopRequest() as stop:
        stop.step_done()
        assert stop.agreed(CPU) == 0
        os.kill(os.getpid(), number)
        assert stop.agreed(CPU) == number
    assert signal.getsignal(number) is before
    assert threading.active_count() == threads and signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_the_first_step_ends_at_once(number, capfd):
    kind = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with pytest.raises(kind) as left, StopRequest():
        os.kill(os.getpid(), number)
        time.sleep(60)
    if kind is SystemExit:
        assert left.value.code == 128 + number
    assert "ending at once, no step is done yet" in capfd.readouterr().err


def held_up(number):
    """Get a signal while the main thread is in C for most of a second; when it was back."""
    sending = threading.Timer(0.1, os.kill, (os.getpid(), number))
    sending.start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)
    sending.join()
    return time.monotonic()


def test_what_a_signal_does_is_said_though_python_is_not_back(monkeypatch):
    said = []
    monkeypatch.setattr(signals, "_say", lambda line: said.append((time.monotonic(), line)))
    with StopRequest() as stop:
        stop.step_done()
        back = held_up(signal.SIGTERM)
        assert stop.agreed(CPU) == signal.SIGTERM
    ((when, line),) = said
    assert when < back and line == "SIGTERM: ending after this step, with a checkpoint"


def test_a_process_that_nothing_can_be_lost_of_ends_though_python_is_not_back(monkeypatch, capfd):
    ends = []
    monkeypatch.setattr(os, "_exit", lambda status: ends.append((time.monotonic(), status)))
    back = None
    with pytest.raises(SystemExit), StopRequest(patience=0.05):
        try:
            held_up(signal.SIGTERM)
        finally:
            back = time.monotonic()
    ((when, status),) = ends
    assert when < back and status == 128 + signal.SIGTERM


def test_a_long_step_is_said_to_be_long(monkeypatch, capfd):
    times = iter([0.0, 95.0])
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(times))
    with StopRequest() as stop:
        stop.step_done()
        stop.step_done()
        os.kill(os.getpid(), signal.SIGTERM)
    assert "ending after this step (the last one took 95 s), with" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_at_once(capfd):
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        stop.step_done()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.agreed(CPU) == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    assert "ending after this step" in capfd.readouterr().err


def test_ctrl_c_after_the_scheduler_s_signal_is_still_the_first():
    with StopRequest() as stop:
        stop.step_done()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.agreed(CPU) == signal.SIGINT


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.agreed(CPU) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_trains_without_signals():
    found = []

    def run():
        with StopRequest() as stop:
            found.append(stop.agreed(CPU))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [0]


def test_workers_leave_signals_to_the_main_process():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        leave_to_main_process(0)
        for number in SIGNALS:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
