"""A model and an optimizer that FSDP 2 shares out among processes, as a whole and back.

Whatever is not shared out passes as it is. Every process must call the functions that make things
whole: they gather.
"""

import torch
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_model(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """The model itself or, where its weights are shared out, a copy on `device` that has them."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model
    copy = type(model)(model.config).to(device).train()
    copy.load_state_dict({name: whole(tensor) for name, tensor in model.state_dict().items()})
    return copy


def whole_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What the optimizer keeps of each parameter, under `index.key`."""
    return {
        f"{index}.{key}": whole(tensor)
        for index, values in optimizer.state_dict()["state"].items()
        for key, tensor in values.items()
    }


def shard_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor that all have, if `other`, of its shape, is shared out."""
    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
