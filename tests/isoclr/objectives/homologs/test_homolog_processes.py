"""Two processes are one: the loss of homologs, and its gradient."""

import json

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from toy_families import TINY, simulated

from isoclr.objectives.homologs.objective import HomologObjective
from isoclr.objectives.homologs.recipe import HomologRecipe
from isoclr.training import processes
from isoclr.training.processes import sum_over_processes

TOLD = {
    "output": "o",
    "steps": 1,
    "batch_size": 9,  # an odd one: processes have unlike parts
    "model": TINY | {"projector_sizes": [16, 16, 8], "dropout": 0.0},
    "held_out_families": 8,
    "window": 24,
}
SETTINGS = (
    {"positives": "bands", "bands": [[0.1, 0.5]], "tell_bands": True, "homologs": 2},
    {"critic": "bilinear", "windows": "disjoint", "negatives": "same_species"},
)


def one_step(folder, changes, rank=0, world_size=1):
    """The loss of a step, and its gradient as DDP would leave it."""
    recipe = HomologRecipe.model_validate(TOLD | {"data": str(folder)} | changes)
    objective = HomologObjective(recipe, rank, world_size)
    torch.manual_seed(0)
    model = objective.build_model().double()
    loss, _ = objective.loss_module(model)(objective.batches[1])
    loss.backward()
    parameters = [p for p in model.parameters() if p.grad is not None]
    gradient = torch.cat([p.grad.flatten() for p in parameters])
    return loss.item(), sum_over_processes(gradient) / world_size


def in_process(rank, folder):
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found = [one_step(folder / "data", changes, rank, 2) for changes in SETTINGS]
    # What would be wrong: each process keeps the gradient of its own loss alone.
    processes._GatherRows.backward = staticmethod(
        lambda ctx, grad: (grad.split(ctx.sizes)[rank], None)
    )
    found.append(one_step(folder / "data", SETTINGS[0], rank, 2))
    written = [(loss, gradient.tolist()) for loss, gradient in found]
    (folder / f"{rank}.json").write_text(json.dumps(written))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.distributed
def test_loss_and_gradient_of_two_processes_are_those_of_one(tmp_path):
    simulated(tmp_path / "data", families=30, sites=60, model="poisson")
    mp.spawn(in_process, (tmp_path,), nprocs=2)
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for number, changes in enumerate(SETTINGS):
        loss, gradient = one_step(tmp_path / "data", changes)
        for of_rank in ranks:
            assert of_rank[number][0] == pytest.approx(loss, abs=1e-6)
            assert error(of_rank[number][1], gradient) < 1e-5
    _, gradient = one_step(tmp_path / "data", SETTINGS[0])
    assert error(ranks[0][len(SETTINGS)][1], gradient) > 0.05


def error(got, wanted):
    got = torch.tensor(got, dtype=torch.float64)
    return float((got - wanted).norm() / wanted.norm())
