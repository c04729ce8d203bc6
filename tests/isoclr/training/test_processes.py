"""Any number of processes is one: loss, gradients and statistics."""

import json

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pair_batches import pair_batch

from isoclr.objectives.isoforms.microbatches import PairEncoder
from isoclr.objectives.sequences import share_statistics
from isoclr.training import processes
from isoclr.training.processes import gather_rows, sum_over_processes
from modeling_isoclr import IsoCLRForPreTraining
from toys import tiny

LENGTHS = (40, 300, 75, 64, 310, 90, 33, 128, 70, 200, 65, 130)  # two views of six pairs
CUT = [[4, 1], [9, 11, 7], [5, 2, 8, 10], [3, 0, 6]]


def one_step(setting, rank=0, world_size=1):
    """Loss, and every gradient and running statistic, as DDP would leave them."""
    torch.manual_seed(0)
    config = tiny(norm=setting["norm"], dropout=0.2 if setting["cut"] else 0.0)
    model = IsoCLRForPreTraining(config).double().train()
    if not setting["cut"] and world_size > 1:
        share_statistics(model)
    order = list(range(len(LENGTHS)))
    parts = CUT if setting["cut"] else [order[r::world_size] for r in range(world_size)]
    batch = pair_batch(LENGTHS, parts, rank, world_size)
    projections, _ = PairEncoder(model)(batch)
    loss, _ = model.contrast(projections)
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
    buffers = [b.flatten() for n, b in model.named_buffers() if "running" in n]
    statistics = torch.cat([torch.zeros(0, dtype=torch.float64), *buffers])
    return loss.item(), sum_over_processes(gradients) / world_size, statistics


SETTINGS = (
    {"norm": "layer", "cut": True},
    {"norm": "batch", "cut": True},
    {"norm": "batch", "cut": False},
)


def in_process(rank, world_size, folder):
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    results = [one_step(setting, rank, world_size) for setting in SETTINGS]
    # The bug of the closest peer: each process keeps the gradient of its own loss alone.
    processes._GatherRows.backward = staticmethod(
        lambda ctx, grad: (grad.split(ctx.sizes)[rank], None)
    )
    results.append(one_step(SETTINGS[0], rank, world_size))
    found = [(loss, grads.tolist(), stats.tolist()) for loss, grads, stats in results]
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3])
def results(request, tmp_path_factory):
    """Of every setting, and of the first without the reduce, from each process."""
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(in_process, (request.param, folder), nprocs=request.param)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


def error(got, wanted):
    return float((torch.tensor(got, dtype=torch.float64) - wanted).norm() / wanted.norm())


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_loss_gradient_and_statistics_equal_those_of_one(results, number):
    loss, gradients, statistics = one_step(SETTINGS[number])
    for of_rank in results:
        got = of_rank[number]
        assert got[0] == pytest.approx(loss, rel=1e-12)
        assert error(got[1], gradients) < 1e-11
        if SETTINGS[number]["norm"] == "batch":
            assert error(got[2], statistics) < 1e-11


@pytest.mark.slow
@pytest.mark.distributed
def test_a_gather_without_its_reduce_would_be_noticed(results):
    loss, gradients, _ = one_step(SETTINGS[0])
    for of_rank in results:
        assert of_rank[-1][0] == pytest.approx(loss, rel=1e-12)
        assert error(of_rank[-1][1], gradients) > 0.05


def test_one_process_gathers_nothing():
    rows = torch.ones(2, 3)
    assert gather_rows(rows, [2]) is rows
    assert sum_over_processes(rows) is rows
