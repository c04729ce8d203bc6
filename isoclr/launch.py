"""Start a training run, in this process or in several."""

import subprocess
import sys
from collections.abc import Sequence

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
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={processes}", "--module", "isoclr.train", recipe, *overrides]
    started = subprocess.Popen(command)
    while True:
        try:
            return started.wait()
        except KeyboardInterrupt:  # the processes got it too, and end with a checkpoint
            continue
