import numpy as np
import pytest
from scipy import stats

from isoclr.evaluation.statistics import aligned, mean_and_half_width, paired_gain, plus_minus


def test_mean_and_interval_of_a_known_case():
    assert mean_and_half_width([1, 2, 3]) == (2, pytest.approx(1.96 / 3**0.5))


def test_a_gain_is_that_of_the_pairs():
    # Apart they overlap; pair by pair the first is ahead by 0.1 ± 0.01.
    reference = np.array([0.1, 0.3, 0.5, 0.7])
    values = reference + [0.1, 0.11, 0.09, 0.1]
    gain, half_width, p = paired_gain(values, reference)
    assert gain == pytest.approx(0.1)
    assert half_width == pytest.approx(1.96 * np.std([0.1, 0.11, 0.09, 0.1], ddof=1) / 2)
    assert p == pytest.approx(stats.ttest_1samp(values - reference, 0).pvalue)
    assert p < 1e-3 < 0.5 < stats.ttest_ind(values, reference).pvalue
    back, _, same = paired_gain(reference, values)
    assert (back, same) == (-gain, p)


def test_nothing_gained_is_no_evidence():
    assert paired_gain([0.1, 0.2], [0.1, 0.2]) == (0, 0, 1)


def test_columns_are_aligned_and_lines_have_no_tails():
    lines = aligned([("features", "r"), ("a", plus_minus(0.12345, 0.01)), ("much longer", "")])
    assert lines == "features     r\na            0.123 ± 0.010\nmuch longer"
