"""DeepLIFT adds up for every norm and pooling, where the reference differs in the bases alone."""

import pytest
import torch
from torch import nn

from isoclr.evaluation.deeplift import deeplift_rules
from modeling_isoclr import IsoCLRModel
from toys import random_tokens, tiny, trained_like

attr = pytest.importorskip("captum.attr")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Weighted(nn.Module):
    """One number a transcript: a weighted sum of what its embedding has learned."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tracks):
        pooled = self.model(inputs_embeds=tracks, learned_only=True).pooler_output
        return pooled @ torch.linspace(-1, 1, pooled.shape[1], dtype=pooled.dtype)


def gap(norm, pooling, within):
    """By how much of the difference attributions miss it, and whether the model is unharmed."""
    torch.manual_seed(0)
    model = Weighted(trained_like(IsoCLRModel(tiny(norm=norm, pooling=pooling))).double())
    tracks = model.model.embeddings(torch.stack(random_tokens(192, 192))).requires_grad_()
    reference = tracks.detach().clone()
    reference[..., :4] = 0.25
    before = model(tracks)
    with within(model):
        found = attr.DeepLift(model).attribute(tracks, reference).sum((1, 2))
    assert torch.equal(model(tracks), before)
    difference = before - model(reference)
    assert difference.abs().min() > 0.01
    return ((found - difference) / difference).abs().max().item()


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
@pytest.mark.parametrize("pooling", ["last", "stages", "regions"])
def test_attributions_add_up(norm, pooling):
    assert gap(norm, pooling, deeplift_rules) < 1e-8


@pytest.mark.parametrize(
    ("norm", "pooling"), [("layer", "last"), ("rms", "last"), ("batch", "regions")]
)
def test_they_do_not_without_the_rules(norm, pooling):
    assert gap(norm, pooling, lambda model: torch.enable_grad()) > 1e-3
