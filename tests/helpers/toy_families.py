"""Families of homologs, written as a dataset."""

import numpy as np

from data_builders.homology.families import Homolog, HomologFamily, write_families
from data_builders.simulate.homologs import (
    simulate_families,
    spelled,
    star,
    substitution_model,
)


def simulated(folder, families=40, *, sites=40, leaves=4, distance=0.3, model="jc69", seed=0):
    """Write families of aligned sites that evolve on a star; return the folder."""
    process = substitution_model(model)
    rng = np.random.default_rng(seed)
    names, letters = simulate_families(
        process, star(leaves, distance), families, np.ones(sites), rng
    )
    matrix = np.full((leaves, leaves), distance, np.float32)
    np.fill_diagonal(matrix, 0)
    alphabet = "protein" if model == "poisson" else "rna"
    write_families(
        (
            HomologFamily(
                f"family_{number}",
                alphabet,
                tuple(
                    Homolog(name, f"gene_{number}", name, sequence)
                    for name, sequence in zip(names, spelled(process, of_one), strict=True)
                ),
                matrix,
            )
            for number, of_one in enumerate(letters)
        ),
        folder,
    )
    return folder
