"""Time and memory of the contrastive loss, forward and backward, beside peers, on one CPU thread.

Peers are read from a folder of their own, for they would bring another torch, and skipped where
they are missing:

    pip install --no-deps --target .venv-peers lightly==1.6.0 open_clip_torch==3.3.0
"""

import argparse
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Workload, machine, peak_memory, print_machine, race, read_arguments
from torch import nn

from modeling_isoclr import contrastive_loss

PAIRS, MANY_PAIRS, DIM = 8_192, 32_768, 512
TEMPERATURE = 0.1
MB = 1 << 20
PEERS = Path(__file__).resolve().parents[1] / ".venv-peers"


def main() -> None:
    """Print a table: seconds, speed relative to the peer, peak memory above the views' own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="of each loss; the fastest counts")
    torch.set_num_threads(1)
    arguments = read_arguments(parser, lambda section, name: SECTIONS[section][name]())
    print_machine(machine())
    for section, configurations in list(SECTIONS.items())[:-1]:
        print()
        names = [name for name in configurations if is_there(name)]
        print(f"{section:48}{'seconds':>9}{'speed':>8}{'memory':>12}{'ratio':>8}", flush=True)
        results = race(__file__, section, names, arguments.turns)
        for result in results:
            check_same(result, results[0])
            print(
                f"{result['name']:48}{min(result['seconds']):9.2f}{result['ratio']:8.2f}"
                f"{result['memory'] / MB:9,.0f} MB{result['memory'] / results[0]['memory']:8.3f}"
            )
    section, (name,) = MANY, SECTIONS[MANY]
    once = [sys.executable, __file__, "--serve", section, name]
    result = json.loads(subprocess.run(once, input=b"", capture_output=True, check=True).stdout)
    print(f"\n{section}: {name}: {result['whole_memory'] / MB:,.0f} MB, views and torch included")
    print(f"load at the end, this script included: {machine()['load']:.2f}")


def is_there(name: str) -> bool:
    """Whether the peer of a configuration is installed; says so where it is not."""
    path = PEER_FILES.get(name)
    if path is None or (PEERS / path).is_file():
        return True
    print(f"{name}: skipped, no {PEERS / path}; see --help")
    return False


def check_same(result: dict, first: dict) -> None:
    """Raise unless two losses have the same value and gradient."""
    for fact in ("loss", "gradient_norm", "gradient_sample"):
        if not math.isclose(result[fact], first[fact], rel_tol=1e-4):
            raise RuntimeError(
                f"{result['name']}: {fact}: got {result[fact]}, wanted {first[fact]} as of "
                f"{first['name']}"
            )


def workload(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], pairs: int) -> Workload:
    """Forward and backward of a loss, with what they gave and took among the facts."""
    generator = torch.Generator().manual_seed(0)
    z1 = torch.randn(pairs, DIM, generator=generator)
    z2 = (z1 + torch.randn(pairs, DIM, generator=generator)).requires_grad_()
    z1.requires_grad_()
    before = peak_memory()
    facts = {}

    def run():
        z1.grad = z2.grad = None
        value = loss(z1, z2)
        value.backward()
        facts.update(
            loss=value.item(),
            gradient_norm=z1.grad.norm().item(),
            gradient_sample=z2.grad[0].abs().max().item(),
            memory=peak_memory() - before,
            whole_memory=peak_memory(),
        )

    return Workload(run, pairs, facts)


def ours(form: str, pairs: int = PAIRS) -> Workload:
    """`contrastive_loss`."""
    return workload(lambda z1, z2: contrastive_loss(z1, z2, form, TEMPERATURE), pairs)


def lightly() -> Workload:
    """DCLLoss, since 1.6 with one log-sum-exp over both sets of negatives."""
    return workload(peer(LIGHTLY).DCLLoss(TEMPERATURE), PAIRS)


def open_clip() -> Workload:
    """ClipLoss."""
    clip_loss = peer(OPEN_CLIP).ClipLoss()

    def loss(z1, z2):
        z1, z2 = nn.functional.normalize(z1, dim=1), nn.functional.normalize(z2, dim=1)
        return clip_loss(z1, z2, 1 / TEMPERATURE)

    return workload(loss, PAIRS)


def peer(name: str):
    """The module of a peer's loss, without the rest of the package, which wants torchvision."""
    sys.path.append(str(PEERS))
    spec = importlib.util.spec_from_file_location("peer_loss", PEERS / PEER_FILES[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LIGHTLY, OPEN_CLIP = "lightly DCLLoss", "open_clip ClipLoss"
PEER_FILES = {LIGHTLY: "lightly/loss/dcl_loss.py", OPEN_CLIP: "open_clip/loss.py"}
MANY = f"{MANY_PAIRS:,} pairs of {DIM}"
SECTIONS = {
    f"{PAIRS:,} pairs of {DIM}, DCL as printed": {
        LIGHTLY: lightly,
        "contrastive_loss, dcl_paper": lambda: ours("dcl_paper"),
    },
    f"{PAIRS:,} pairs of {DIM}, InfoNCE": {
        OPEN_CLIP: open_clip,
        "contrastive_loss, info_nce": lambda: ours("info_nce"),
    },
    MANY: {"contrastive_loss, dcl": lambda: ours("dcl", MANY_PAIRS)},
}

if __name__ == "__main__":
    main()
