import os
import signal
import threading

import pytest
import torch

from isoclr.training.signals import StopRequest, leave_to_main_process

CPU = torch.device("cpu")
SIGNALS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.agreed(CPU) == 0
        os.kill(os.getpid(), number)
        assert stop.agreed(CPU) == number
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_ends_at_once(capfd):
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.agreed(CPU) == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    assert "ending after this step" in capfd.readouterr().err


def test_ctrl_c_after_the_scheduler_s_signal_is_still_the_first():
    with StopRequest() as stop:
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
