"""What a forward makes of padding on either side, of usual keywords, of quantization."""

import pytest
import torch
from torch import nn
from transformers.utils import ModelOutput

from modeling_isoclr import (
    IsoCLRForMaskedLM,
    IsoCLRForPreTraining,
    IsoCLRForSequenceClassification,
    IsoCLRForTokenClassification,
    IsoCLRModel,
)
from toys import PAD, padded, random_tokens, tiny, trained_like

MODELS = (
    IsoCLRModel,
    IsoCLRForPreTraining,
    IsoCLRForMaskedLM,
    IsoCLRForSequenceClassification,
    IsoCLRForTokenClassification,
)
POOLINGS = [
    {"pooling": "last"},
    {"pooling": "stages"},
    {"pooling": "regions", "discriminants": 3, "discriminant_size": 50},
]


def padded_left(rows, length):
    batch = torch.full((len(rows), length), PAD)
    for i, row in enumerate(rows):
        batch[i, length - len(row) :] = row
    return batch


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda p: p["pooling"])
@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_padding_on_the_left_changes_no_bit(norm, pooling):
    model = trained_like(IsoCLRModel(tiny(norm=norm, **pooling)))
    rows = random_tokens(1, 37, 100, 333, 512)
    right, left = padded(rows, 700), padded_left(rows, 700)
    both = torch.roll(right, 45, 1)
    with torch.no_grad():
        expected = model(right, output_hidden_states=True)
        garbage = torch.where(left == PAD, 2, left)
        for found in (
            model(left, output_hidden_states=True),
            model(both, output_hidden_states=True),
            model(garbage, attention_mask=(left != PAD).long(), output_hidden_states=True),
            model(
                inputs_embeds=model.embeddings(garbage),
                attention_mask=(left != PAD).float(),
                output_hidden_states=True,
            ),
        ):
            assert torch.equal(found.pooler_output, expected.pooler_output)
            for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("head", [IsoCLRForMaskedLM, IsoCLRForTokenClassification])
def test_padding_on_the_left_leaves_logits_at_their_nucleotides(head):
    model = trained_like(head(tiny(num_labels=3)))
    rows = random_tokens(37, 100, 64)
    with torch.no_grad():
        right, left = model(padded(rows, 100)).logits, model(padded_left(rows, 100)).logits
        for row, a, b in zip(rows, right, left, strict=True):
            assert torch.equal(a[: len(row)], b[100 - len(row) :])


def test_padding_on_the_left_leaves_the_joint_objective_as_it_is():
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(tiny(masked_lm_weight=0.5)).eval()
    rows = random_tokens(37, 100, 64, 80)
    losses = []
    for pad in (padded, padded_left):
        labels = torch.where(pad(rows, 100) == PAD, -100, pad(rows, 100))
        losses.append(model(pad(rows, 100), labels=labels).masked_lm_loss)
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)  # sums in another order


def test_a_row_without_a_valid_position_is_finite():
    for pooling in POOLINGS:
        output = IsoCLRModel(tiny(**pooling)).eval()(torch.full((2, 40), PAD))
        assert output.pooler_output.isfinite().all()
        assert not output.last_hidden_state.any()


def test_the_mask_of_the_features_is_where_they_are_not_zero():
    model = trained_like(IsoCLRModel(tiny()))
    rows = random_tokens(1, 32, 33, 100, 128)
    for batch in (padded(rows, 150), padded_left(rows, 150)):
        mask = model.feature_attention_mask(batch != PAD)
        hidden = model(batch).last_hidden_state
        assert mask.tolist() == [[1] * n + [0] * (5 - n) for n in (1, 1, 2, 4, 4)]
        assert torch.equal(hidden.abs().sum(2) > 0, mask.bool())
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(mean, model(batch).pooler_output)


def call(model, **arguments):
    tokens = torch.stack(random_tokens(64, 64, 64, 64))
    with torch.no_grad():
        return model(tokens, **arguments)


@pytest.mark.parametrize("head", MODELS)
def test_keywords_of_other_families_change_nothing_and_misspelt_ones_are_refused(head):
    model = head(tiny(num_labels=3)).eval()
    plain = call(model)
    usual = call(
        model,
        output_attentions=None,
        head_mask=None,
        token_type_ids=torch.zeros(4, 64, dtype=torch.long),
        position_ids=torch.arange(64),
        use_cache=False,
    )
    assert plain.keys() == usual.keys()
    assert all(torch.equal(plain[name], usual[name]) for name in plain)
    with pytest.raises(TypeError, match="unknown keyword 'atention_mask'"):
        call(model, atention_mask=torch.ones(4, 64))


@pytest.mark.parametrize("head", MODELS)
def test_the_configuration_says_what_is_returned_unless_the_call_does(head):
    model = head(tiny(num_labels=3, return_dict=False, output_hidden_states=True)).eval()
    found = call(model)
    assert isinstance(found, tuple) and not isinstance(found, ModelOutput)
    named = call(model, return_dict=True)
    assert torch.equal(found[0], named[0])
    if head is not IsoCLRForPreTraining:
        assert len(named.hidden_states) == 4
        hidden = call(model, return_dict=True, output_hidden_states=False).hidden_states
        assert hidden is None


class OtherDtype(nn.Module):
    """A linear layer whose weight is stored as integers, as quantizers store it."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((linear.weight / scale).round().to(torch.int8), False)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x):
        weight = self.weight.to(x.dtype) * self.scale.to(x.dtype)
        return nn.functional.linear(x, weight, None if self.bias is None else self.bias.to(x.dtype))


def quantized_by_hand(model):
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            model.set_submodule(name, OtherDtype(module))
    return model


def quantized_dynamically(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("quantize", [quantized_by_hand, quantized_dynamically])
@pytest.mark.parametrize(
    "head", [IsoCLRModel, IsoCLRForPreTraining, IsoCLRForSequenceClassification, IsoCLRForMaskedLM]
)
def test_quantized_linear_layers_give_nearly_the_same(head, quantize):
    arguments = {"pooling": "regions", "discriminants": 3, "content_size": 64}
    model = trained_like(head(tiny(num_labels=3, **arguments)))
    names = ("pooler_output", "projections", "logits")
    expected, found = call(model), None
    model = quantize(model)
    assert not any(type(module) is nn.Linear for module in model.modules())
    found = call(model)
    for name in names:
        if name in expected:
            a, b = (x.flatten(1).double() for x in (expected[name], found[name]))
            assert nn.functional.cosine_similarity(a, b).min() > 0.99
            assert not torch.equal(a, b)


def test_a_stem_of_integers_leaves_activations_in_the_precision_of_the_tracks():
    model = trained_like(IsoCLRModel(tiny(norm="layer")))
    expected = call(model).pooler_output
    stem = model.encoder.stem
    weight, scale = stem.weight.detach(), stem.weight.detach().abs().max() / 127
    stem.weight = nn.Parameter((weight / scale).round().to(torch.int8), requires_grad=False)
    stem.forward = lambda x: nn.functional.conv2d(
        nn.functional.pad(x, (0, 1)), (stem.weight * scale).to(x.dtype).unsqueeze(2), stem.bias
    )
    found = call(model).pooler_output
    assert nn.functional.cosine_similarity(found, expected).min() > 0.999


def test_weights_widened_after_loading_compute_in_their_own_precision():
    """As PEFT's `prepare_model_for_kbit_training`, which leaves buffers narrow."""
    model = IsoCLRModel(tiny(norm="layer", pooling="regions", discriminants=3)).bfloat16().eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.float()
    assert call(model).pooler_output.isfinite().all()
