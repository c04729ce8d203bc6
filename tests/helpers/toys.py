"""Small encoders and transcripts that tests of the model share."""

import torch

from modeling_isoclr import IsoCLRConfig

PAD = 7


def tiny(**overrides):
    """A configuration of a few thousand parameters."""
    sizes = {"filters": [8, 12, 12, 16], "blocks": [1, 2, 2, 1], "projector_sizes": [16, 16, 8]}
    return IsoCLRConfig(**{**sizes, "decoder_size": 6, **overrides})


def random_tokens(*lengths, seed=0):
    """Tokens with marks, a row a length."""
    generator = torch.Generator().manual_seed(seed)
    marks = torch.tensor([0, 0, 0, 8, 16])
    return [
        torch.randint(0, 5, (n,), generator=generator)
        + marks[torch.randint(0, 5, (n,), generator=generator)]
        for n in lengths
    ]


def padded(rows, length, value=PAD):
    """Rows as one batch of (rows, length)."""
    batch = torch.full((len(rows), length), value)
    for i, row in enumerate(rows):
        batch[i, : len(row)] = row
    return batch


def trained_like(model, seed=0):
    """Give norms the biases and running statistics that training would, so padding could leak."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(getattr(module, "bias", None), torch.Tensor):
            module.bias.data.uniform_(-0.5, 0.5, generator=generator)
        if hasattr(module, "momentum"):
            module.momentum = 1.0
    base = getattr(model, model.base_model_prefix, model)
    with torch.no_grad():
        base.train()(torch.stack(random_tokens(*[2048] * 4, seed=seed)))
    return model.eval()
