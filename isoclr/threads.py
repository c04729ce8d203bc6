"""How the threads of numerical libraries wait, for cores that other processes use too."""

import os

WAITING = {
    "OMP_WAIT_POLICY": "PASSIVE",  # torch and scikit-learn
    "OPENBLAS_THREAD_TIMEOUT": "4",  # numpy and scipy: log2 of cycles, 26 unless told
}
"""Variables that make a thread without work sleep at once, and their values."""


def wait_without_spinning() -> None:
    """Let threads that wait for others sleep, not spin.

    A thread that spins takes a core from the one it waits for whenever other processes use the
    cores too: fits of a ridge took five times as long beside two busy processes. Results don't
    depend on it. The libraries read these variables when they are loaded, so this is called before
    they are; what the user exports wins.
    """
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
