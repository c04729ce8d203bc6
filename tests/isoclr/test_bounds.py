"""The estimators: against a loop that is obviously right, and against what they must satisfy."""

import math

import numpy as np
import pytest

from data_builders.simulate.homologs import Channel, substitution_model
from isoclr.bounds import calibrate, estimate, info_nce, nwj, permuted


def looped_info_nce(scores):
    n, found = len(scores), []
    for i in range(n):
        row = math.log(sum(math.exp(scores[i, j]) for j in range(n)))
        column = math.log(sum(math.exp(scores[j, i]) for j in range(n)))
        found.append(math.log(n) + scores[i, i] - (row + column) / 2)
    return found


def looped_nwj(scores):
    n = len(scores)
    return [
        1 + scores[i, i] - sum(math.exp(scores[i, j]) for j in range(n) if j != i) / (n - 1)
        for i in range(n)
    ]


@pytest.mark.parametrize(("bound", "loop"), [(info_nce, looped_info_nce), (nwj, looped_nwj)])
def test_a_bound_is_what_a_loop_says(bound, loop):
    scores = np.random.default_rng(0).normal(size=(7, 7))
    np.testing.assert_allclose(bound(scores), loop(scores), rtol=1e-12)


def test_info_nce_never_exceeds_log_n():
    scores = np.eye(32) * 1e6
    assert info_nce(scores).mean() == pytest.approx(math.log(32))
    assert not info_nce(np.zeros((32, 32))).any()


def test_a_free_offset_a_row_breaks_nwj_and_not_info_nce_of_rows():
    scores = np.random.default_rng(1).normal(size=(50, 50))
    shifted = scores + np.linspace(-3, 3, 50)[:, None]
    assert nwj(shifted).mean() < nwj(scores).mean() - 1


def test_estimates_know_their_error():
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.interval == pytest.approx((2 - 1.96 / math.sqrt(3), 2 + 1.96 / math.sqrt(3)))
    assert math.isnan(estimate([1.0]).standard_error)


def test_calibration_finds_the_scale_and_offset_that_were_lost():
    channel = Channel(substitution_model("jc69"), 1.0, np.ones(20))
    rng = np.random.default_rng(2)
    batches = [channel.scores(*channel.draw(512, rng)) for _ in range(4)]
    scale, offset = calibrate([3 * scores - 5 for scores in batches])
    assert scale == pytest.approx(1 / 3, rel=0.1)
    assert offset == pytest.approx(5 / 3, abs=0.2)


def test_nwj_of_the_true_ratio_is_unbiased_where_info_nce_saturates():
    channel = Channel(substitution_model("jc69"), 0.5, np.ones(20))
    rng = np.random.default_rng(3)
    batches = [channel.scores(*channel.draw(256, rng)) for _ in range(20)]
    by_nwj = estimate([nwj(scores).mean() for scores in batches])
    assert abs(by_nwj.mean - channel.information()) < 3 * by_nwj.standard_error
    assert estimate([info_nce(scores).mean() for scores in batches]).mean < np.log(256)


@pytest.mark.parametrize("seed", range(5))
def test_independent_pairs_give_no_positive_value(seed):
    rng = np.random.default_rng(seed)
    channel = Channel(substitution_model("jc69"), 0.5, np.ones(20))
    values = []
    for _ in range(10):
        first, second = channel.draw(64, rng)
        values.append(info_nce(permuted(channel.scores(first, second), rng)).mean())
    found = estimate(values)
    assert found.mean < 3 * found.standard_error


def test_the_permuted_control_gives_nobody_their_own_partner():
    scores = np.arange(36.0).reshape(6, 6)
    for seed in range(20):
        dealt = permuted(scores, np.random.default_rng(seed))
        assert sorted(dealt[0]) == sorted(scores[0])
        assert not (np.diagonal(dealt) == np.diagonal(scores)).any()


def test_a_critic_with_an_offset_of_each_row_is_read_by_rows():
    scores = np.random.default_rng(0).normal(size=(64, 64)) + 3 * np.eye(64)
    shifted = scores + np.where(np.arange(64) < 32, 4.0, 0.0)[:, None]
    by_rows = info_nce(shifted, rows_alone=True)
    np.testing.assert_allclose(by_rows, info_nce(scores, rows_alone=True))
    np.testing.assert_allclose(
        by_rows, np.log(64) + np.diagonal(scores) - np.log(np.exp(scores).sum(1))
    )
    assert info_nce(shifted).mean() < by_rows.mean() - 0.1
