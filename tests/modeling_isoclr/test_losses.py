import math

import pytest
import torch

from modeling_isoclr import LOSS_FORMS, contrastive_loss, pair_accuracy, transcript_count_weights

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


def test_one_pair_unknown_form_and_unequal_shapes_are_refused():
    z = torch.ones(1, 3)
    with pytest.raises(ValueError, match="at least two"):
        contrastive_loss(z, z)
    with pytest.raises(ValueError, match="form: got 'simclr'"):
        contrastive_loss(*oracle_views(), "simclr")
    with pytest.raises(ValueError, match=r"\(4, 3\), \(3, 3\)"):
        contrastive_loss(oracle_views()[0], oracle_views()[1][:3])


def test_pair_accuracy_counts_partners_ranked_first():
    z = torch.eye(4)
    assert pair_accuracy(z, z).item() == 1.0
    assert pair_accuracy(z, z[[1, 0, 2, 3]]).item() == 0.5
