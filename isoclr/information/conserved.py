"""What distance teaches: simulated families with conserved and neutral sites, and a probe of each.

Near homologs agree at all sites, so an encoder that has room for a part of the letters keeps any;
distant ones agree at conserved sites alone, and it keeps those. The probe reads the letters of each
site from frozen embeddings, so what was kept is seen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from data_builders.homology.families import families_of_tree, write_families
from data_builders.simulate.evolution import Node
from data_builders.simulate.homologs import (
    Channel,
    SubstitutionModel,
    simulate_families,
    site_rates,
    spelled,
    substitution_model,
)
from isoclr.bounds import Estimate, estimate
from isoclr.information.trained import load_critic

SPECIES = ("near_1", "near_2", "middle_1", "middle_2", "far")
"""Leaves of `clade`: pairs of them are at every distance of interest."""

_TRAIN_SHARE = 0.7


def clade(near: float = 0.06, middle: float = 0.7, far: float = 1.6) -> Node:
    """Return an ultrametric tree with pairs at three distances.

    Args:
        near: distance within the pairs near and middle.
        middle: between those two pairs.
        far: of the last leaf to all others.
    """
    pairs = [
        Node("", (middle - near) / 2, tuple(Node(f"{name}_{i}", near / 2) for i in (1, 2)))
        for name in ("near", "middle")
    ]
    return Node("", 0.0, (Node("", (far - middle) / 2, tuple(pairs)), Node("far", far / 2)))


@dataclass(frozen=True)
class Clade:
    """Simulated families of one clade.

    Attributes:
        model: of every site.
        rates: (sites,), below 1 where conserved.
        letters: of (families, species, sites), as indices.
        distances: (species, species), along the tree.
    """

    model: SubstitutionModel
    rates: np.ndarray
    letters: np.ndarray
    distances: np.ndarray

    @property
    def conserved(self) -> np.ndarray:
        """Which sites are, (sites,)."""
        return self.rates < 1

    def identity(self, distance: float) -> float:
        """Expected identity of two species so far apart."""
        return Channel(self.model, distance, self.rates).identity()

    def write(self, folder: Path) -> Path:
        """Write the families as a dataset, with the distances of the tree."""
        families = (spelled(self.model, of_one) for of_one in self.letters)
        write_families(families_of_tree(SPECIES, families, "rna", self.distances), folder)
        return folder


def simulate(families: int = 4000, sites: int = 60, seed: int = 0) -> Clade:
    """Let families of conserved (20 %) and neutral sites evolve along `clade`, by JC69."""
    model, rates, tree = substitution_model("jc69"), site_rates(sites, seed=seed), clade()
    _, letters = simulate_families(model, tree, families, rates, np.random.default_rng(seed))
    depths = {name: path for name, path in _paths(tree, ())}
    matrix = np.zeros((len(SPECIES), len(SPECIES)))
    for i, first in enumerate(SPECIES):
        for j, second in enumerate(SPECIES):
            shared = set(depths[first]) & set(depths[second])
            apart = (set(depths[first]) | set(depths[second])) - shared
            matrix[i, j] = sum(length for _, length in apart)
    return Clade(model, rates, letters, matrix)


def _paths(node: Node, above: tuple):
    """Leaves, each with the branches that lead to it."""
    if not node.children:
        yield node.name, above
    for child in node.children:
        yield from _paths(child, (*above, (id(child), child.length)))


def probe_sites(folder: str | Path, data: Clade, families: int = 2000) -> dict[str, Estimate]:
    """Probe frozen embeddings for the letter at each site; 30 % of the families are test.

    `conserved` and `neutral` are the accuracy of a logistic regression on test families, the mean
    over sites and its standard error.
    """
    model = load_critic(folder)
    letters = data.letters[:families, 0]
    with torch.no_grad():
        projections = model(torch.from_numpy(letters), return_loss=False).projections.numpy()
    train = int(_TRAIN_SHARE * len(letters))
    scale = projections[:train].std(0).clip(1e-9)
    features = (projections - projections[:train].mean(0)) / scale
    accuracy = np.empty(letters.shape[1])
    for site, labels in enumerate(letters.T):
        probe = LogisticRegression(max_iter=300).fit(features[:train], labels[:train])
        accuracy[site] = probe.score(features[train:], labels[train:])
    return {
        "conserved": estimate(accuracy[data.conserved]),
        "neutral": estimate(accuracy[~data.conserved]),
    }
