"""Full tensors of a model and an optimizer that FSDP 2 shards over processes, and back.

Tensors that are not sharded pass unchanged. Functions that return full tensors gather them, so
every process must call them.
"""

import torch
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from isoclr.pretrained import on_device


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return the full tensor of a shard."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_model(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """Return the model or, where its weights are sharded, a copy on `device` with full ones."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model
    copy = on_device(type(model)(model.config).train(), device)
    copy.load_state_dict({name: whole(tensor) for name, tensor in model.state_dict().items()})
    return copy


def whole_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return what the optimizer keeps of each parameter, under `index.key`."""
    return {
        f"{index}.{key}": whole(tensor)
        for index, values in optimizer.state_dict()["state"].items()
        for key, tensor in values.items()
    }


def shard_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Shard a tensor that every process has, if `other`, of its shape, is sharded."""
    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
