"""Families of homologs, written as a dataset, and models of them."""

import numpy as np
import torch

from data_builders.homology.families import Homolog, HomologFamily, write_families
from data_builders.simulate.homologs import (
    simulate_families,
    spelled,
    star,
    substitution_model,
)
from isoclr.objectives.homologs.objective import HomologObjective
from isoclr.objectives.homologs.recipe import HomologRecipe


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


TINY = {"filters": [8], "blocks": [1], "dilations": [1], "norm": "layer"}


def model_folder(path, data, **changes):
    """Write the folder of a model that was never trained; return it."""
    told = {
        "objective": "homologs",
        "data": str(data),
        "output": str(path),
        "steps": 1,
        "batch_size": 8,
        "held_out_families": 20,
        "model": TINY | {"projector_sizes": [16, 16, 160]},
    }
    recipe = HomologRecipe.model_validate(told | changes)
    objective = HomologObjective(recipe, 0, 1)
    torch.manual_seed(0)
    model = objective.build_model()
    if recipe.encoder == "linear":  # as letters are, so that the cosine counts what is the same
        torch.nn.init.eye_(model.read_outs[0].linear.weight)
    path.mkdir()
    objective.save(model, path)
    recipe.save(path / "recipe.yaml")
    return path
