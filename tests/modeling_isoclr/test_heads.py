"""The heads: losses over tables with holes, padding, and one checkpoint for all of them."""

import pytest
import torch
from torch import nn

from modeling_isoclr import (
    IsoCLRForMaskedLM,
    IsoCLRForPreTraining,
    IsoCLRForSequenceClassification,
    IsoCLRForTokenClassification,
    IsoCLRModel,
    contrastive_loss,
    supervised_loss,
)
from toys import padded, random_tokens, tiny, trained_like

NORMS = ("batch", "layer", "rms")
HEADS = (
    IsoCLRForPreTraining,
    IsoCLRForMaskedLM,
    IsoCLRForSequenceClassification,
    IsoCLRForTokenClassification,
)
NAN = float("nan")


def outputs(model, tokens, **arguments):
    if isinstance(model, IsoCLRForPreTraining):
        return model(tokens, return_loss=False, **arguments).projections
    return model(tokens, **arguments).logits


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("norm", NORMS)
def test_no_head_leaks_padding(head, norm):
    torch.manual_seed(0)
    model = trained_like(head(tiny(norm=norm, num_labels=3))).double()
    rows = random_tokens(1, 37, 100, 333, 512)
    with torch.no_grad():
        for length in (512, 700, 4096):
            batch = outputs(model, padded(rows, length))
            for row, found in zip(rows, batch, strict=True):
                (alone,) = outputs(model, row[None])
                n = len(row) if found.ndim == 2 else len(found)
                assert (found[:n] - alone).abs().max() <= 1e-12


@pytest.mark.parametrize("head", [IsoCLRForMaskedLM, IsoCLRForTokenClassification])
@pytest.mark.parametrize("length", [1, 33, 100])
def test_every_nucleotide_has_logits(head, length):
    model = head(tiny(num_labels=3)).eval()
    (tokens,) = random_tokens(length)
    width = 32 if head is IsoCLRForMaskedLM else 3
    logits = model(tokens[None]).logits
    assert logits.shape == (1, length, width)
    tracks = model.isoclr.embeddings(tokens[None]).double()
    from_tracks = model.double()(inputs_embeds=tracks).logits
    torch.testing.assert_close(from_tracks, model(tokens[None]).logits, rtol=0, atol=1e-9)


def test_the_decoder_writes_each_nucleotide_from_its_own_positions():
    model = trained_like(IsoCLRForMaskedLM(tiny())).double()
    (tokens,) = random_tokens(128)
    hidden = model.isoclr(tokens[None], output_hidden_states=True).hidden_states
    decoder, position = model.lm_head.decoder, 77
    features = sum(
        linear(stage[0, position // width]).view(width, -1)[position % width]
        for linear, stage, width in zip(decoder.stages, hidden, (4, 8, 16, 32), strict=True)
    )
    expected = model.lm_head.classifier(nn.functional.gelu(features))
    torch.testing.assert_close(model(tokens[None]).logits[0, position], expected)


def test_a_table_with_holes_trains():
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0], [1.0, 3.0]], requires_grad=True)
    values = torch.tensor([[1.0, NAN], [NAN, -100], [0.0, 1.0]])
    loss = supervised_loss(logits, values, "regression")
    assert loss.item() == pytest.approx((0.5**2 + 1 + 2**2) / 3)
    loss.backward()
    expected = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [2.0, 4.0]]) / 3
    torch.testing.assert_close(logits.grad, expected)
    binary = nn.functional.binary_cross_entropy_with_logits
    expected = binary(torch.tensor([0.5, 1.0, 3.0]), torch.tensor([1.0, 0.0, 1.0]))
    found = supervised_loss(logits, values, "multi_label_classification")
    torch.testing.assert_close(found, expected)
    classes = torch.tensor([1, -100, 0])
    expected = nn.functional.cross_entropy(logits, classes)
    found = supervised_loss(logits, classes, "single_label_classification")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_a_batch_without_labels_costs_nothing(problem):
    logits = torch.ones(2, 3, requires_grad=True)
    loss = supervised_loss(logits, torch.full((2, 3), NAN), problem)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_the_problem_is_guessed_as_transformers_does():
    one, three = torch.randn(4, 1), torch.randn(4, 3)
    values, classes, bits = torch.randn(4), torch.tensor([0, 1, 2, 0]), torch.eye(4)[:, :3]
    for logits, labels, problem in (
        (one, values, "regression"),
        (three, classes, "single_label_classification"),
        (three, bits, "multi_label_classification"),
    ):
        guessed = supervised_loss(logits, labels, None)
        assert torch.equal(guessed, supervised_loss(logits, labels, problem))


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"labels: got shape \(3,\) for regression"):
        supervised_loss(torch.ones(2, 3), torch.ones(3), "regression")
    with pytest.raises(ValueError, match=r"\(2, 3\) for single_label_classification"):
        supervised_loss(torch.ones(2, 3), torch.ones(2, 3), "single_label_classification")
    with pytest.raises(ValueError, match="problem_type: got 'ranking'"):
        supervised_loss(torch.ones(2, 3), torch.ones(2, 3), "ranking")


def test_the_joint_objective_is_the_weighted_mean_of_its_terms():
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(tiny(masked_lm_weight=0.95)).eval()
    tokens = padded(random_tokens(40, 64, 50, 33), 64)
    labels = torch.where(torch.rand(4, 64) < 0.2, tokens, -100)
    output = model(tokens, labels=labels)
    expected = 0.95 * output.masked_lm_loss + 0.05 * output.contrastive_loss
    torch.testing.assert_close(output.loss, expected)
    alone = model(tokens)
    assert alone.masked_lm_loss is None
    assert torch.equal(alone.loss, output.contrastive_loss)
    with pytest.raises(ValueError, match="masked_lm_weight above 0"):
        IsoCLRForPreTraining(tiny())(tokens, labels=labels)


def test_pair_types_and_counts_weigh_the_positive_terms():
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(tiny(pair_type_weights=[0.5, 2.0])).eval()
    tokens = padded(random_tokens(40, 64, 50, 33), 64)
    output = model(tokens, pair_types=torch.tensor([1, 0]), pair_weights=torch.tensor([3.0, 1.0]))
    weights = torch.tensor([6.0, 0.5])
    expected = contrastive_loss(*output.projections.chunk(2), "dcl", 0.1, weights)
    torch.testing.assert_close(output.loss, expected)
    with pytest.raises(ValueError, match="pair_type_weights"):
        IsoCLRForPreTraining(tiny())(tokens, pair_types=torch.tensor([1, 0]))


@pytest.mark.parametrize("head", HEADS)
def test_base_loads_into_a_head_and_a_head_into_the_base(head, tmp_path):
    tokens = torch.stack(random_tokens(64, 64))
    base = trained_like(IsoCLRModel(tiny(num_labels=3)))
    base.save_pretrained(tmp_path / "base")
    model, report = head.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert report["missing_keys"]
    assert not any(name.startswith("isoclr.") for name in report["missing_keys"])
    assert not report["unexpected_keys"]
    model.eval().save_pretrained(tmp_path / "head")
    back = IsoCLRModel.from_pretrained(tmp_path / "head").eval()
    with torch.no_grad():
        expected = base(tokens).pooler_output
        assert torch.equal(model.isoclr(tokens).pooler_output, expected)
        assert torch.equal(back(tokens).pooler_output, expected)
        again = head.from_pretrained(tmp_path / "head").eval()
        assert torch.equal(outputs(again, tokens), outputs(model, tokens))
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_hidden_layer_in_the_sequence_head():
    model = IsoCLRForSequenceClassification(tiny(num_labels=2, classifier_hidden_size=9)).eval()
    tokens = torch.stack(random_tokens(64, 64))
    hidden = model.dense(model.isoclr(tokens).pooler_output).relu()
    assert hidden.shape == (2, 9)
    assert torch.equal(model(tokens).logits, model.classifier(hidden))


@pytest.mark.parametrize("head", HEADS)
def test_tuples_when_asked_for(head):
    model = head(tiny(num_labels=3)).eval()
    tokens = torch.stack(random_tokens(64, 64, 64, 64))
    named = model(tokens)
    assert torch.equal(model(tokens, return_dict=False)[0], named.to_tuple()[0])
