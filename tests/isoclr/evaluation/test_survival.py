"""Cox's model against plain loops, and on hazards that were planted."""

import numpy as np
import pytest
import torch

from data_builders.labels.base import SURVIVAL, Labels
from data_builders.labels.splits import group_folds
from data_builders.records import InputError
from data_builders.simulate.expression import simulate_expression
from isoclr.evaluation.compare import compare
from isoclr.evaluation.scores import concordance, score
from isoclr.evaluation.survival import Cox, fit_cox, partial_likelihood
from modeling_isoclr.modeling_expression import cox_loss

TIME = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
EVENT = np.array([1.0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1])
RISK = np.random.default_rng(0).normal(size=12)


def test_the_likelihood_is_that_of_the_models_loss_and_its_slope_that_of_autograd():
    risk = torch.tensor(RISK, requires_grad=True)
    expected = cox_loss(risk, torch.tensor(TIME), torch.tensor(EVENT)) * EVENT.sum()
    (slope,) = torch.autograd.grad(expected, risk)
    found, found_slope = partial_likelihood(RISK, TIME, EVENT)
    assert found == pytest.approx(expected.item(), rel=1e-12)
    assert np.allclose(found_slope, slope.numpy(), atol=1e-12)


def test_concordance_is_that_of_a_loop_over_pairs():
    right = known = 0
    for i in range(12):
        for j in range(12):
            if EVENT[i] and TIME[i] < TIME[j]:
                known += 1
                right += 1.0 if RISK[i] > RISK[j] else 0.5 if RISK[i] == RISK[j] else 0
    assert concordance(RISK, TIME, EVENT) == pytest.approx(right / known)
    assert score(SURVIVAL, RISK, np.column_stack([TIME, EVENT])) == {
        "concordance": pytest.approx(right / known)
    }
    assert concordance(np.zeros(12), TIME, EVENT) == 0.5
    assert concordance(-TIME, TIME, EVENT) == 1
    assert concordance(RISK, TIME, EVENT * 0) == 0.5


def test_a_fit_is_where_the_slope_is_zero():
    x = np.random.default_rng(1).normal(size=(12, 3))
    weights = fit_cox(x, TIME, EVENT, 0.5, np.zeros(3))
    _, slope = partial_likelihood(x @ weights, TIME, EVENT)
    assert np.allclose(x.T @ slope + 0.5 * weights, 0, atol=1e-3)


def test_planted_hazards_are_found_and_a_shuffled_feature_finds_none():
    simulated = simulate_expression(240, 20, seed=1)
    targets = np.column_stack([simulated.obs["months"], simulated.obs["died"]])
    labels = Labels(label="death", task=SURVIVAL, targets=targets, groups=simulated.obs["donor"])
    splits = group_folds(labels.groups, targets[:, 1], 3, seed=0)
    shuffled = np.random.default_rng(0).permutation(simulated.programmes)
    predictors = {"programmes": Cox(simulated.programmes), "shuffled": Cox(shuffled)}
    results = compare(predictors, labels, splits, (0.3, 1.0), progress=False)
    assert results.metrics == ("concordance",)
    assert results.mean("programmes")[0] > 0.8
    assert abs(results.mean("shuffled")[0] - 0.5) < 0.08
    assert results.mean("programmes", labels=0.3)[0] > 0.75
    nobody = Labels(label="death", task=SURVIVAL, targets=targets * [1, 0], groups=labels.groups)
    with pytest.raises(InputError, match="got no event among the rows of train"):
        compare(predictors, nobody, splits, progress=False)


def test_targets_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"wanted numbers \(12, 2\) of a survival task"):
        Labels(label="death", task=SURVIVAL, targets=TIME)
