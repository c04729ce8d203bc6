import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from isoclr.training.processes import gather_rows, gather_views
from modeling_isoclr import contrastive_loss

PAIRS, DIM = 6, 5


def setting():
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, PAIRS, DIM, generator=generator, dtype=torch.float64)
    weight = torch.randn(DIM, 3, generator=generator, dtype=torch.float64)
    return views, weight


def gradient_of_part(rank, world_size, port, reduced, queue):
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    views, weight = setting()
    weight.requires_grad_()
    mine = views[:, rank::world_size].reshape(-1, DIM) @ weight
    if reduced:
        gathered = gather_views(mine)
    else:  # the gather without its reduce: gradients of this process's own loss alone
        parts = [torch.empty_like(mine) for _ in range(world_size)]
        dist.all_gather(parts, mine.detach())
        parts[rank] = mine
        gathered = torch.cat([part.chunk(2)[view] for view in (0, 1) for part in parts])
    loss = contrastive_loss(*gathered.chunk(2))
    loss.backward()
    dist.all_reduce(weight.grad)
    queue.put((rank, loss.item(), (weight.grad / world_size).tolist()))
    dist.barrier()
    dist.destroy_process_group()


def in_processes(world_size, port, reduced=True):
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    arguments = (world_size, port, reduced, queue)
    mp.spawn(gradient_of_part, arguments, nprocs=world_size)
    return [queue.get() for _ in range(world_size)]


@pytest.fixture(scope="module")
def expected():
    views, weight = setting()
    weight.requires_grad_()
    loss = contrastive_loss(*(view @ weight for view in views))
    loss.backward()
    return loss.item(), weight.grad


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3])
def test_loss_and_gradient_equal_those_of_one_process(world_size, expected, free_port):
    loss, gradient = expected
    results = in_processes(world_size, free_port)
    assert sorted(rank for rank, _, _ in results) == list(range(world_size))
    for _, part_loss, part_gradient in results:
        assert part_loss == pytest.approx(loss, abs=1e-12)
        torch.testing.assert_close(
            torch.tensor(part_gradient, dtype=torch.float64), gradient, rtol=0, atol=1e-12
        )


@pytest.mark.distributed
@pytest.mark.slow
def test_a_gather_without_its_reduce_would_be_noticed(expected, free_port):
    loss, gradient = expected
    for _, part_loss, part_gradient in in_processes(2, free_port, reduced=False):
        assert part_loss == pytest.approx(loss, abs=1e-12)
        error = (torch.tensor(part_gradient, dtype=torch.float64) - gradient).norm()
        assert error > 0.05 * gradient.norm()


def test_one_process_gathers_nothing():
    rows = torch.ones(2, 3)
    assert gather_rows(rows) is rows
