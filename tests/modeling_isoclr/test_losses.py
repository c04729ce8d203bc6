import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from modeling_isoclr import (
    LOSS_FORMS,
    contrastive_loss,
    losses_isoclr,
    pair_accuracy,
    transcript_count_weights,
)
from modeling_isoclr.losses_isoclr import contrastive_loss_and_accuracy

# Values of two public implementations (lightly, pytorch-metric-learning) on `oracle_views`; the
# weighted one by hand.
ORACLE = {
    ("nt_xent", 0.1): 7.471683637788571,
    ("nt_xent", 0.5): 2.512201959561599,
    ("dcl_paper", 0.1): 7.064062526530388,
    ("dcl_paper", 0.5): 2.338793448335163,
    ("dcl", 0.1): 8.061952183817128,
    ("dcl", 0.5): 2.771349959987432,
    ("info_nce", 0.1): 3.758909355536329,
    ("info_nce", 0.5): 1.356008585738955,
}
WEIGHTED_ORACLE = {0.1: 13.750425326056021, 0.5: 3.909044588435211}


def oracle_views():
    i = torch.arange(4, dtype=torch.float64)[:, None]
    j = torch.arange(3, dtype=torch.float64)
    return torch.sin(7 * i + 3 * j + 1), torch.cos(5 * i + 2 * j + 0.5)


def loop_loss(z1, z2, form, temperature, weights):
    """The same in loops over plain numbers."""

    def similarity(a, b):
        return float(a @ b / a.norm() / b.norm()) / temperature

    def log_sum_exp(values):
        return math.log(sum(map(math.exp, values)))

    total, n = 0.0, len(z1)
    for a, b in ((z1, z2), (z2, z1)):
        for i in range(n):
            within = [similarity(a[i], a[j]) for j in range(n) if j != i]
            across = [similarity(a[i], b[j]) for j in range(n) if j != i]
            own = similarity(a[i], b[i])
            total -= float(weights[i]) * own
            total += {
                "dcl": log_sum_exp(within) + log_sum_exp(across),
                "dcl_paper": log_sum_exp(within + across),
                "nt_xent": log_sum_exp(within + across + [own]),
                "info_nce": log_sum_exp(across + [own]),
            }[form]
    return total / (2 * n)


def reference_loss(z1, z2, form, temperature, weights=1.0):
    """The same on whole matrices, for its gradients."""
    z1, z2 = nn.functional.normalize(z1, dim=1), nn.functional.normalize(z2, dim=1)
    own = torch.eye(len(z1), dtype=torch.bool)
    total = -2 * (weights * (z1 * z2).sum(1) / temperature).mean()
    for a, b in ((z1, z2), (z2, z1)):
        within = (a @ a.T / temperature).masked_fill(own, -torch.inf)
        across = a @ b.T / temperature
        others = across.masked_fill(own, -torch.inf)
        total = (
            total
            + {
                "dcl": lambda w=within, o=others: w.logsumexp(1) + o.logsumexp(1),
                "dcl_paper": lambda w=within, o=others: torch.cat([w, o], 1).logsumexp(1),
                "nt_xent": lambda w=within, c=across: torch.cat([w, c], 1).logsumexp(1),
                "info_nce": lambda c=across: c.logsumexp(1),
            }[form]().mean()
        )
    return total / 2


def random_views(pairs, dim=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(pairs)
    return torch.randn(2, pairs, dim, generator=generator, dtype=torch.float64).to(dtype)


def value_and_gradients(loss, views, *arguments):
    views = views.detach().clone().requires_grad_()
    value = loss(*views, *arguments)
    value.backward()
    return value.detach(), views.grad


def assert_same(found, expected, relative=1e-12):
    """Of a whole tensor: entries that cancel have no relative precision of their own."""
    for part, wanted in zip(found, expected, strict=True):
        assert torch.isfinite(wanted).all()
        assert (part - wanted).norm() <= relative * wanted.norm()


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(losses_isoclr, "TILE", 3)


@pytest.mark.parametrize(("form", "temperature"), ORACLE)
def test_every_form_equals_the_oracle(form, temperature):
    loss = contrastive_loss(*oracle_views(), form, temperature)
    assert loss.item() == pytest.approx(ORACLE[form, temperature], abs=1e-9)


@pytest.mark.parametrize("temperature", WEIGHTED_ORACLE)
def test_transcript_counts_weigh_the_positive_terms(temperature):
    weights = torch.log(torch.tensor([1, 3, 10, 2], dtype=torch.float64) + 0.4) / 0.802
    loss = contrastive_loss(*oracle_views(), "dcl", temperature, weights)
    assert loss.item() == pytest.approx(WEIGHTED_ORACLE[temperature], abs=1e-9)


def test_transcript_count_weights():
    weights = transcript_count_weights(torch.tensor([1, 3, 10, 2]))
    expected = torch.tensor([0.419541, 1.525905, 2.919957, 1.091607])
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_equals_the_loop_on_random_views(form):
    generator = torch.Generator().manual_seed(0)
    z1, z2 = torch.randn(2, 7, 5, generator=generator, dtype=torch.float64)
    weights = torch.rand(7, generator=generator, dtype=torch.float64)
    loss = contrastive_loss(z1, z2, form, 0.3, weights)
    assert loss.item() == pytest.approx(loop_loss(z1, z2, form, 0.3, weights), abs=1e-12)


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_gradients_equal_finite_differences(form):
    z1, z2 = (view.requires_grad_() for view in oracle_views())
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, form, 0.5), (z1, z2))


def test_forms_differ():
    losses = {form: contrastive_loss(*oracle_views(), form).item() for form in LOSS_FORMS}
    assert len(set(losses.values())) == len(LOSS_FORMS)


@pytest.mark.parametrize("form", LOSS_FORMS)
@pytest.mark.parametrize("pairs", [2, 3, 4, 6, 8, 10])  # one tile, uneven ones, of one row, even
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_tiles_give_value_and_gradient_of_the_reference(form, pairs, temperature, small_tiles):
    views = random_views(pairs)
    weights = torch.rand(pairs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    arguments = (form, temperature, weights)
    found = value_and_gradients(contrastive_loss, views, *arguments)
    assert_same(found, value_and_gradients(reference_loss, views, *arguments))


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_the_real_tile_gives_value_and_gradient_of_the_reference(form):
    views = random_views(losses_isoclr.TILE + 37)
    found = value_and_gradients(contrastive_loss, views, form, 0.05)
    assert_same(found, value_and_gradients(reference_loss, views, form, 0.05))


@pytest.mark.parametrize("slip", ["a tile too few", "a tile twice", "a diagonal that stays"])
def test_a_slip_in_the_tiles_would_be_noticed(slip, small_tiles, monkeypatch):
    def slipped(z, with_own_half, tiles=losses_isoclr._tiles):
        for number, (other_half, aligned, *rest) in enumerate(tiles(z, with_own_half)):
            aligned = aligned and not (slip == "a diagonal that stays" and other_half)
            if number == 1 and slip == "a tile twice":
                yield other_half, aligned, *rest[:2], rest[2].clone()
            if number != 1 or slip != "a tile too few":
                yield other_half, aligned, *rest

    views = random_views(7)
    expected = value_and_gradients(reference_loss, views, "dcl", 0.1)
    monkeypatch.setattr(losses_isoclr, "_tiles", slipped)
    for found, wanted in zip(
        value_and_gradients(contrastive_loss, views, "dcl", 0.1), expected, strict=True
    ):
        assert (found - wanted).norm() > 1e-3 * wanted.norm()


@pytest.mark.parametrize("form", LOSS_FORMS)
@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_identical_vectors(form, temperature, small_tiles):
    views = torch.ones(2, 7, 3, dtype=torch.float64)
    value, gradients = value_and_gradients(contrastive_loss, views, form, temperature)
    count = {
        "dcl": 2 * math.log(6) + 1 / temperature,
        "dcl_paper": math.log(12),
        "nt_xent": math.log(13),
        "info_nce": math.log(7),
    }[form]
    assert value.item() == pytest.approx(count, rel=1e-12)
    assert gradients.abs().max() < 1e-12 / temperature


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_opposite_vectors_at_a_low_temperature_stay_finite_in_float32(form, small_tiles):
    # Every exponential of a similarity of -1 is 0 in float32 unless it is taken relative to the
    # largest of its own row.
    views = torch.eye(2).repeat_interleave(4, 1).mul(2).sub(1)[:, :, None].repeat(1, 1, 3)
    value, gradients = value_and_gradients(contrastive_loss, views, form, 0.01)
    wanted, _ = value_and_gradients(reference_loss, views.double(), form, 0.01)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert torch.isfinite(gradients).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_views_are_computed_in_float32(dtype, small_tiles):
    views = random_views(7, dtype=dtype)
    value, gradients = value_and_gradients(contrastive_loss, views, "dcl", 0.01)
    assert value.dtype == torch.float32 and gradients.dtype == dtype
    expected = value_and_gradients(contrastive_loss, views.float(), "dcl", 0.01)
    assert torch.equal(value, expected[0])
    assert torch.equal(gradients, expected[1].to(dtype))


def test_autocast_changes_nothing(small_tiles):
    views = random_views(7, dtype=torch.float32)
    expected = value_and_gradients(contrastive_loss, views, "dcl", 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        found = value_and_gradients(contrastive_loss, views, "dcl", 0.01)
        assert_same(found, expected, 0.0)
        rough = value_and_gradients(reference_loss, views, "dcl", 0.01)
    assert (rough[1] - expected[1]).norm() > 1e-3 * expected[1].norm()


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_gradients_of_many_tiles_equal_finite_differences(form, small_tiles):
    z1, z2 = (view.requires_grad_() for view in random_views(7, dim=3))
    weights = torch.arange(7.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a, b: contrastive_loss(a, b, form, 0.5, weights), (z1, z2)
    )


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(part, torch.Tensor):
                self.elements = max(self.elements, part.numel())
        return result


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_nothing_is_larger_than_the_views(form, small_tiles):
    pairs, dim = 24, 4
    views = random_views(pairs, dim)
    with LargestTensor() as ours:
        value_and_gradients(contrastive_loss, views, form, 0.1)
    assert ours.elements == 2 * pairs * dim
    with LargestTensor() as whole:
        value_and_gradients(reference_loss, views, form, 0.1)
    assert whole.elements >= pairs * pairs


def test_every_product_is_taken_once(small_tiles):
    z = random_views(7).flatten(0, 1)  # three blocks of rows in each half
    assert len(list(losses_isoclr._tiles(z, with_own_half=True))) == 6 * 7 // 2
    assert len(list(losses_isoclr._tiles(z, with_own_half=False))) == 3 * 3


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [3, 7])  # in the graph; too many tiles, beside it
def test_compiles(pairs, small_tiles):
    torch.compiler.reset()
    compiled = torch.compile(contrastive_loss, backend="aot_eager", fullgraph=pairs == 3)
    views = random_views(pairs)
    expected = value_and_gradients(contrastive_loss, views, "dcl", 0.1)
    assert_same(value_and_gradients(compiled, views, "dcl", 0.1), expected)


def test_one_pair_unknown_form_and_unequal_shapes_are_refused():
    z = torch.ones(1, 3)
    with pytest.raises(ValueError, match="at least two"):
        contrastive_loss(z, z)
    with pytest.raises(ValueError, match="form: got 'simclr'"):
        contrastive_loss(*oracle_views(), "simclr")
    with pytest.raises(ValueError, match=r"\(4, 3\), \(3, 3\)"):
        contrastive_loss(oracle_views()[0], oracle_views()[1][:3])
    with pytest.raises(ValueError, match=r"weights: got shape \(4, 1\), wanted \(4,\)"):
        contrastive_loss(*oracle_views(), weights=torch.ones(4, 1))


def test_pair_accuracy_counts_partners_ranked_first():
    z = torch.eye(4)
    assert pair_accuracy(z, z).item() == 1.0
    assert pair_accuracy(z, z[[1, 0, 2, 3]]).item() == 0.5


@pytest.mark.parametrize("pairs", [2, 3, 7, 9])
def test_pair_accuracy_in_tiles_equals_that_of_the_whole_matrix(pairs, small_tiles):
    first, noise = random_views(pairs)
    second = first + noise
    similarity = nn.functional.normalize(first, dim=1) @ nn.functional.normalize(second, dim=1).T
    expected = (similarity.argmax(1) == torch.arange(pairs)).double().mean().item()
    for form in LOSS_FORMS:
        loss, accuracy = contrastive_loss_and_accuracy(first, second, form)
        assert accuracy.item() == pytest.approx(expected, abs=1e-6)
        assert torch.equal(loss, contrastive_loss(first, second, form))
    assert torch.equal(pair_accuracy(first, second), accuracy)
    assert not accuracy.requires_grad


def test_a_collapsed_model_ranks_no_partner_first(small_tiles):
    assert pair_accuracy(torch.ones(7, 4), torch.ones(7, 4)).item() == 0.0
