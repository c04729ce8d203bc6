import os
import signal

import pytest
import torch

from isoclr.training.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.agreed(torch.device("cpu")) == 0
        os.kill(os.getpid(), number)
        assert stop.agreed(torch.device("cpu")) == number
    assert signal.getsignal(number) is before
