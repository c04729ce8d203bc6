"""Critics of simulated channels, trained by train.py as any model is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from data_builders.homology.families import families_of_tree, write_families
from data_builders.records import InputError
from data_builders.simulate.homologs import Channel, simulate_families, spelled, star
from isoclr.information.known import Critic
from isoclr.information.trained import load_critic, site_critic
from isoclr.objectives.homologs.site_model import SiteModel

TRAINED = ((8, 0.5), (20, 1.0), (100, 2.0))
"""Sites and distance of the channels that a critic is trained on: those below log N by far."""

_FAMILIES, _LEAVES = 20_000, 4
_RECIPE = {
    "objective": "homologs",
    "encoder": "sites",
    "model": {"projector_sizes": [1, 1, 4], "norm": "layer"},
    "steps": 200,
    "batch_size": 512,
    "learning_rate": 0.01,
    "warmup_steps": 20,
    "weight_decay": 0.0,
    "held_out_families": 256,
    "evaluate_every": 300,
    "checkpoint_every": 300,
    "tracker": None,
}


def write_simulated(folder: Path, channel: Channel, families: int, leaves: int, seed: int) -> None:
    """Write families that evolve on a star tree, any two members the channel's distance apart."""
    rng = np.random.default_rng(seed)
    tree = star(leaves, channel.distance)
    names, letters = simulate_families(channel.model, tree, families, channel.rates, rng)
    matrix = np.full((leaves, leaves), channel.distance, np.float32)
    np.fill_diagonal(matrix, 0)
    alphabet = "protein" if len(channel.model.letters) == 20 else "rna"
    members = (spelled(channel.model, of_one) for of_one in letters)
    write_families(families_of_tree(names, members, alphabet, matrix), folder)


def train_critic(channel: Channel, folder: Path, changes: dict | None = None) -> Critic:
    """Simulate families of a channel, train a critic on them by train.py, and load it.

    The families lie beside the model's folder, and are made if absent. `changes` are of the recipe.
    """
    data = folder.parent / "families"
    if not (data / "data").exists():
        write_simulated(data, channel, _FAMILIES, _LEAVES, seed=1)
    model = load_critic(train_model(data, folder, changes or {}))
    assert isinstance(model, SiteModel)  # by the recipe
    return site_critic(model)


def train_model(data: Path, output: Path, changes: dict) -> Path:
    """Train a linear critic on families by train.py; return its folder.

    `changes` are of the recipe. A run that ended in the folder is not run again. Outside a
    checkout, and where the run fails, there is an InputError.
    """
    if not Path("train.py").exists():
        raise InputError(f"{Path.cwd()}: no train.py here; critics are trained in a checkout")
    output.mkdir(parents=True, exist_ok=True)
    recipe = output.with_suffix(".yaml")
    told = _RECIPE | {"data": str(data), "output": str(output)} | changes
    recipe.write_text(yaml.safe_dump(told, sort_keys=False))
    command = [sys.executable, "train.py", str(recipe)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        reason = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        raise InputError(f"train.py {recipe}: {reason[-1]}")
    return output


_CONVOLUTIONAL = {
    "encoder": "positions",
    "model": {
        "filters": [64],
        "blocks": [1],
        "dilations": [1],
        "kernel_size": 3,
        "norm": "layer",
        "dropout": 0.0,
        "projector_sizes": [1, 1, 8],
    },
    "steps": 300,
    "batch_size": 256,
    "learning_rate": 0.01,
}


def trained_critics(output: Path) -> Callable[[Channel], dict[str, Critic]]:
    """Return what gives a channel of `TRAINED` its trained critics, and others none."""

    def critics(channel: Channel) -> dict[str, Critic]:
        of_channel = len(channel.rates), channel.distance
        if of_channel not in TRAINED or channel.model.name != "jc69":
            return {}
        folder = output / "critics" / f"{of_channel[0]}-sites"
        return {
            "linear, trained": train_critic(channel, folder / "linear"),
            "convolutional, trained": train_critic(channel, folder / "conv", _CONVOLUTIONAL),
        }

    return critics
