"""A batch in pieces has the gradient of the whole batch."""

import pytest
import torch
from pair_batches import pair_batch

from isoclr.objectives.isoforms import microbatches
from isoclr.objectives.isoforms.microbatches import PairEncoder
from modeling_isoclr import IsoCLRForPreTraining
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm
from toys import tiny

LENGTHS = (40, 300, 75, 64, 310, 90, 33, 128)  # two views of each of four pairs


def batch_of(parts, labels=False):
    """The same eight views, cut as `parts` say."""
    return pair_batch(LENGTHS, parts, labels=labels)


WHOLE, CUT = [list(range(8))], [[4, 1], [7, 5, 2], [3, 0, 6]]


def pre_training(norm="layer", **overrides):
    torch.manual_seed(0)
    config = tiny(norm=norm, **{"dropout": 0.0, **overrides})
    return IsoCLRForPreTraining(config).double().train()


def loss_and_gradients(model, batch, **options):
    model.zero_grad()
    projections, masked_lm = PairEncoder(model, **options)(batch)
    loss, _ = model.contrast(projections)
    if masked_lm is not None:
        loss = loss + masked_lm / 7
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_equal(got, wanted, tolerance):
    assert got[0] == pytest.approx(wanted[0], rel=tolerance, abs=0)
    for name, gradient in wanted[1].items():
        assert (got[1][name] - gradient).norm() <= tolerance * gradient.norm(), name


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("gradient_cache", [True, False])
def test_pieces_have_the_gradient_of_one_big_batch(norm, gradient_cache):
    model = pre_training(norm)
    whole = loss_and_gradients(model, batch_of(WHOLE), gradient_cache=False)
    cut = loss_and_gradients(model, batch_of(CUT), gradient_cache=gradient_cache)
    assert_equal(cut, whole, 1e-12)


def test_the_projector_in_parts_is_the_projector(monkeypatch):
    model = pre_training()
    whole = loss_and_gradients(model, batch_of(CUT))
    monkeypatch.setattr(microbatches, "_ROWS", 3)
    assert_equal(loss_and_gradients(model, batch_of(CUT)), whole, 1e-12)
    kept = loss_and_gradients(model, batch_of(CUT), gradient_cache=False)
    assert kept[0] == loss_and_gradients(model, batch_of(CUT))[0]
    batch_norm = pre_training("batch")  # goes as a whole: its statistics are of all rows
    loss, _ = loss_and_gradients(batch_norm, batch_of(CUT))
    monkeypatch.undo()
    assert loss == loss_and_gradients(pre_training("batch"), batch_of(CUT))[0]


def test_a_gradient_of_each_piece_for_itself_would_be_noticed():
    model = pre_training()
    wanted = loss_and_gradients(model, batch_of(WHOLE))
    encoder = PairEncoder(model, gradient_cache=False)
    encode = encoder.encode
    # The usual mistake: micro-batches as if they were accumulated, negatives without a gradient.
    detached = iter([True, False, False])
    encoder.encode = lambda *args: (
        (encode(*args)[0].detach(), torch.zeros(())) if next(detached, False) else encode(*args)
    )
    model.zero_grad()
    model.contrast(encoder(batch_of(CUT))[0])[0].backward()
    got = {name: p.grad for name, p in model.named_parameters()}
    errors = [(got[n] - g).norm() / g.norm() for n, g in wanted[1].items() if n.endswith("weight")]
    assert max(errors) > 0.05


def test_dropout_is_replayed_to_the_bit():
    model = pre_training(dropout=0.3)
    cached = loss_and_gradients(model, batch_of(CUT))
    kept = loss_and_gradients(model, batch_of(CUT), gradient_cache=False)
    assert cached[0] == kept[0]
    for name, gradient in kept[1].items():
        assert torch.equal(cached[1][name], gradient), name
    without = loss_and_gradients(pre_training(), batch_of(CUT))
    assert without[0] != cached[0]


def test_the_masked_nucleotide_term_is_the_sum_over_pieces():
    model = pre_training(masked_lm_weight=0.5)
    whole = loss_and_gradients(model, batch_of(WHOLE, labels=True), gradient_cache=False)
    # Its cross-entropy is taken in float32.
    assert_equal(loss_and_gradients(model, batch_of(CUT, labels=True)), whole, 1e-6)


def statistics(model):
    return {n: b.clone() for n, b in model.named_buffers() if "running" in n}


def test_batch_norm_takes_statistics_of_a_piece_and_updates_once_a_step():
    model, kept = pre_training("batch"), pre_training("batch")
    cached = loss_and_gradients(model, batch_of(CUT))
    assert_equal(cached, loss_and_gradients(kept, batch_of(CUT), gradient_cache=False), 1e-12)
    for name, buffer in statistics(kept).items():
        assert torch.equal(statistics(model)[name], buffer), name
    # What stands before the first norm does not depend on the cut, so neither do its statistics.
    whole = pre_training("batch")
    loss_and_gradients(whole, batch_of(WHOLE))
    for name in ("mean", "var"):
        name = f"isoclr.encoder.stem_norm.running_{name}"
        torch.testing.assert_close(
            statistics(model)[name], statistics(whole)[name], rtol=2e-3, atol=1e-6
        )
    assert cached[0] != pytest.approx(loss_and_gradients(whole, batch_of(WHOLE))[0], rel=1e-3)


def test_batch_norm_by_itself_would_remember_the_last_piece_most():
    model, plain = pre_training("batch"), pre_training("batch")
    loss_and_gradients(model, batch_of(CUT))
    for tokens in batch_of(CUT).tokens:
        plain.isoclr(tokens.int())
    name = "isoclr.encoder.stages.1.0.norm1.running_var"
    ratio = statistics(plain)[name] / statistics(model)[name]
    assert (ratio - 1).abs().max() > 0.05
    momenta = {m.momentum for m in model.modules() if isinstance(m, IsoCLRBatchNorm)}
    assert momenta == {model.config.norm_momentum}


def test_no_graph_of_a_piece_outlives_its_embeddings():
    """Counts the tensors that autograd keeps: with the cache, none grows with the pieces."""

    def kept(pieces, **options):
        saved = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor
        )
        with hooks:
            rows, _ = PairEncoder(pre_training(), **options)(batch_of(pieces))
        assert rows.requires_grad
        return sum(saved)

    assert kept(CUT) == kept(WHOLE) == kept([[i] for i in range(8)])
    assert kept(CUT, gradient_cache=False) > 50 * kept(CUT)


def test_evaluation_leaves_the_statistics_alone():
    model = pre_training("batch").eval()
    before = statistics(model)
    with torch.no_grad():
        PairEncoder(model)(batch_of(CUT))
    for name, buffer in statistics(model).items():
        assert torch.equal(buffer, before[name])


@pytest.mark.slow
def test_compiled_pieces_have_the_same_gradient():
    model = pre_training(filters=[8, 8], blocks=[1, 1], dilations=[1, 2])
    plain = loss_and_gradients(model, batch_of(CUT))
    torch._dynamo.reset()
    compiled = loss_and_gradients(model, batch_of(CUT), compile_encoder=True)
    assert_equal(compiled, plain, 1e-10)


def test_cuda_graphs_are_a_mode_of_the_compiler(monkeypatch):
    """No GPU is needed to see what is asked for; the step is marked before each forward pass."""
    asked, marks = [], []

    def compiled(encode, **options):
        asked.append(options)
        return encode

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(1))
    expected = loss_and_gradients(pre_training(), batch_of(CUT), gradient_cache=False)
    options = {"compile_encoder": True, "cuda_graphs": True}
    found = loss_and_gradients(pre_training(), batch_of(CUT), gradient_cache=False, **options)
    assert_equal(found, expected, 1e-12)
    assert asked == [{"dynamic": False, "mode": "reduce-overhead"}] and marks == [1]
