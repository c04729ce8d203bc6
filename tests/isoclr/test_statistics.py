import numpy as np
import pytest
from scipy import stats

from isoclr.statistics import (
    aligned,
    cluster_weights,
    corrected_gain,
    corrected_mean,
    markdown_table,
    plus_minus,
)


def test_mean_and_interval_of_a_known_case():
    # s = 1, J = 3: (1/3 + 15/70) ** 0.5 = 0.74001; Student's t at 2 degrees of freedom: 4.30265.
    assert corrected_mean([1, 2, 3], 15 / 70) == (2, pytest.approx(4.302653 * 0.7400129, rel=1e-6))
    assert corrected_mean([2.5], 0.2) == (2.5, None)
    assert corrected_mean([], 0.2) == (None, None)


def test_ten_splits_of_the_probe_widen_by_the_factor_of_the_paper():
    values = np.random.default_rng(0).normal(size=10)
    naive = 1.96 * values.std(ddof=1) / 10**0.5
    _, half_width = corrected_mean(values, 0.15 / 0.70)
    assert half_width / naive == pytest.approx((1 + 10 * 15 / 70) ** 0.5 * 2.262157 / 1.96)


def test_a_gain_is_that_of_the_pairs():
    # Apart they overlap; pair by pair the first is ahead by 0.1 ± 0.01.
    reference = np.array([0.1, 0.3, 0.5, 0.7])
    values = reference + [0.1, 0.11, 0.09, 0.1]
    gain, half_width, p = corrected_gain(values, reference, 0.2)
    error = ((1 / 4 + 0.2) * np.var([0.1, 0.11, 0.09, 0.1], ddof=1)) ** 0.5
    assert gain == pytest.approx(0.1)
    assert half_width == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert p == pytest.approx(2 * stats.t.sf(gain / error, 3))
    assert p < 2e-3 < 0.5 < stats.ttest_ind(values, reference).pvalue
    assert corrected_gain(reference, values, 0.2) == (-gain, half_width, p)


def test_without_overlap_p_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(0)
    values, reference = rng.normal(size=(2, 8))
    p = corrected_gain(values, reference, 0)[2]
    assert p == pytest.approx(stats.ttest_rel(values, reference).pvalue)


def test_nothing_gained_is_no_evidence():
    assert corrected_gain([0.1, 0.2], [0.1, 0.2], 0.2) == (0, 0, 1)


def test_clusters_are_drawn_whole_and_ways_are_multiplied():
    first, second = np.array([0, 0, 1, 1, 2]), np.array(["a", "b", "a", "b", "a"])
    weights = cluster_weights([first], 500)
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 2] == weights[:, 3]).all()
    assert (weights[:, [0, 2, 4]].sum(axis=1) == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.15)
    both = cluster_weights([first, second], 500)
    letters = cluster_weights([second], 500)
    assert both.mean(axis=0) == pytest.approx(np.ones(5), abs=0.2)
    assert both.var(axis=0).min() > max(weights.var(axis=0).max(), letters.var(axis=0).max())


def test_columns_are_aligned_and_lines_have_no_tails():
    lines = aligned([("features", "r"), ("a", plus_minus(0.12345, 0.01)), ("much longer", "")])
    assert lines == "features     r\na            0.123 ± 0.010\nmuch longer"


def test_what_is_not_known_is_left_out():
    assert plus_minus(0.5, None) == "0.500"
    assert plus_minus(None, None) == ""
    assert plus_minus(0.5, 0.1, sign="+") == "+0.500 ± 0.100"


def test_a_table_in_markdown_has_a_line_below_its_header():
    rows = [["a", "b"], ["1", "2"], ["3", "4"]]
    assert markdown_table(rows) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
