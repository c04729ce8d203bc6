"""Kernel ridge regression over both molecules, against its formula in a few obvious lines."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from isoclr.objectives.interactions.batches import Pairs
from isoclr.objectives.interactions.ridge import fit_kernels
from modeling_isoclr import RPIConfig, RPIForSequenceClassification

RNAS, PROTEINS, RIDGE, JOINT = 12, 15, (1.0, 10.0), 3.0


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(RNAS, 5)), rng.normal(size=(PROTEINS, 21))
    means[0][:, 2] = 0.3  # a number that all have in common
    rows = rng.choice(RNAS * PROTEINS, 80, replace=False)
    label = rng.integers(0, 2, 80)
    weight = np.where(label == 1, 1.0, 0.5)
    pairs = Pairs(rna=rows // PROTEINS, protein=rows % PROTEINS, label=label, weight=weight)
    new = rng.normal(size=(7, 5)), rng.normal(size=(7, 21))
    new[0][:, 2] = 0.3
    return means, pairs, new


def fitted(means, pairs, rank=RNAS - 1, ridge=RIDGE):
    config = RPIConfig(
        design="kernel",
        hidden_size=rank,
        landmarks=(len(means[0]), len(means[1])),
        rna_embedder={"kind": "kmers", "size": 5},
        protein_embedder={"kind": "kmers", "size": 21},
    )
    model = RPIForSequenceClassification(config).eval()
    fit_kernels((model.rpi.rna_kernel, model.rpi.protein_kernel), means, pairs, ridge)
    return model


def logits(model, rna, protein):
    embeds = [torch.from_numpy(x[:, None]).float() for x in (rna, protein)]
    with torch.no_grad():
        return model(*embeds).logits[:, 0].double().numpy()


def centred_kernels(means, new):
    """Kernels of training with itself, and of new molecules with it; mean diagonal 1."""
    spread = means.std(0)
    spread[spread == 0] = np.inf
    means, new = means / spread, new / spread
    apart = ((means[:, None] - means) ** 2).sum(-1)
    above = np.sort(apart[np.triu_indices(len(means), 1)])
    width = above[(len(above) - 1) // 2]  # torch's median: the lower of two
    own = np.exp(-apart / width)
    others = np.exp(-((new[:, None] - means) ** 2).sum(-1) / width)
    mean = own.mean(0)
    both = [k - k.mean(1, keepdims=True) - mean + mean.mean() for k in (own, others)]
    return [k * len(means) / np.trace(both[0]) for k in both]


def two_step(rna, protein, table):
    dual = np.linalg.inv(rna + RIDGE[0] * np.eye(RNAS)) @ table
    return dual @ np.linalg.inv(protein + RIDGE[1] * np.eye(PROTEINS))


def kronecker(rna, protein, table):
    of_pairs = np.kron(rna, protein) + JOINT * np.eye(table.size)
    return np.linalg.solve(of_pairs, table.ravel()).reshape(table.shape)


@pytest.mark.parametrize(("ridge", "dual_of"), [(RIDGE, two_step), (JOINT, kronecker)])
def test_scores_are_those_of_kernel_ridge_regression(toy, ridge, dual_of):
    means, pairs, new = toy
    table = np.zeros((RNAS, PROTEINS))
    np.add.at(table, (pairs.rna, pairs.protein), pairs.weight * (2 * pairs.label - 1))
    (rna, new_rna), (protein, new_protein) = map(centred_kernels, means, new)
    dual = dual_of(rna, protein, table)
    of_training = (rna @ dual @ protein)[pairs.rna, pairs.protein]
    expected = np.einsum("bi,ij,bj->b", new_rna, dual, new_protein) / of_training.std()
    found = logits(fitted(means, pairs, ridge=ridge), *new)
    assert np.allclose(found, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_a_lower_rank_is_the_nearest_on_training(toy):
    means, pairs, _ = toy
    everything = np.indices((RNAS, PROTEINS)).reshape(2, -1)
    grid = means[0][everything[0]], means[1][everything[1]]
    whole = logits(fitted(means, pairs), *grid)
    errors = []
    for rank in (1, 4, 8):
        low = logits(fitted(means, pairs, rank), *grid)
        errors.append(1 - np.corrcoef(low, whole)[0, 1] ** 2)
        sizes = np.linalg.svd(low.reshape(RNAS, PROTEINS), compute_uv=False)
        assert sizes[rank] < 1e-5 * sizes[0]
    assert errors[0] > errors[1] > errors[2]


def test_more_components_than_directions_are_zero(toy):
    means, pairs, new = toy
    expected = logits(fitted(means, pairs), *new)
    assert np.allclose(logits(fitted(means, pairs, rank=20), *new), expected, atol=1e-5)


def test_an_order_of_pairs_means_nothing_and_labels_turned_over_turn_scores_over(toy):
    means, pairs, new = toy
    expected = logits(fitted(means, pairs), *new)
    order = np.random.default_rng(1).permutation(len(pairs))
    shuffled = {name: getattr(pairs, name)[order] for name in ("rna", "protein", "label", "weight")}
    assert np.allclose(logits(fitted(means, Pairs(**shuffled)), *new), expected, atol=1e-5)
    turned = logits(fitted(means, replace(pairs, label=1 - pairs.label)), *new)
    assert np.allclose(turned, -expected, atol=1e-5)


def test_a_score_does_not_depend_on_the_batch_and_gradients_are_finite(toy):
    means, pairs, new = toy
    model = fitted(means, pairs)
    together = logits(model, *new)
    apart = [logits(model, new[0][i : i + 1], new[1][i : i + 1])[0] for i in range(len(new[0]))]
    assert np.allclose(together, apart, rtol=0, atol=1e-6)
    at = torch.from_numpy(means[0][:3, None]).float().requires_grad_()  # no distance to training
    other = torch.from_numpy(means[1][:3, None]).float()
    model(at, other).logits.sum().backward()
    assert at.grad.isfinite().all() and at.grad.any()
