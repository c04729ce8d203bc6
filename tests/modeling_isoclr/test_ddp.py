"""A head under DistributedDataParallel, with gradient checkpointing: every weight takes part."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from modeling_isoclr import IsoCLRForMaskedLM
from toys import padded, random_tokens, tiny

ROWS = padded(random_tokens(64, 50, 64, 33), 64)


def masked_model(pooling):
    """In float64, so that another order of sums does not show."""
    torch.manual_seed(0)
    model = IsoCLRForMaskedLM(tiny(pooling=pooling, norm="layer", dropout=0.0)).double().train()
    model.activation_checkpointing_enable()
    return model


def loss_of(model, rows):
    labels = torch.where(rows == 7, -100, rows)
    # The mean over positions of a process is weighted so that processes sum to the whole batch.
    return model(rows, labels=labels).loss * (labels >= 0).sum() / (ROWS != 7).sum()


def gradients_of(pooling, rows):
    """Of a model in DDP, which is gone at the end: it must not outlive its process group.

    Its destructor would wait for a thread of gloo, which may wait for Python, for ever.
    """
    model = DistributedDataParallel(masked_model(pooling))
    for _ in range(2):  # the second pass fails where a gradient of the first never came
        model.zero_grad()
        loss_of(model, rows).backward()
    return {n: p.grad for n, p in model.module.named_parameters() if p.requires_grad}


def in_process(rank, folder):
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    for pooling in ("stages", "regions"):
        gradients = gradients_of(pooling, ROWS[rank::2])
        save_file(gradients, folder / f"{pooling}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.distributed
def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    mp.spawn(in_process, (tmp_path,), nprocs=2)
    for pooling in ("stages", "regions"):
        model = masked_model(pooling)
        loss_of(model, ROWS).backward()
        for rank in range(2):
            found = load_file(tmp_path / f"{pooling}-{rank}.safetensors")
            assert len(found) == sum(p.requires_grad for p in model.parameters())
            for name, gradient in found.items():
                expected = model.get_parameter(name).grad
                torch.testing.assert_close(2 * gradient, expected, rtol=1e-9, atol=1e-13)
