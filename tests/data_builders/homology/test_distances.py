"""Distances: against their formulas on counts that can be seen, and against simulated truth."""

import math

import numpy as np
import pytest

from data_builders.homology.distances import alignment_distances, mash_distances
from data_builders.records import InputError
from data_builders.simulate.homologs import simulate_families, spelled, star, substitution_model


def test_only_columns_with_two_known_letters_count():
    rows = ["ACGTACGTAC", "ACGTACGTTC", "NNGT-CGTAC"]
    p = alignment_distances(rows, "p", "N")
    np.testing.assert_allclose(p, [[0, 0.1, 0], [0.1, 0, 1 / 7], [0, 1 / 7, 0]], atol=1e-7)


def test_corrections_follow_their_formulas():
    rows = ["AAAAAAAAAA", "GAAAAAAAAC"]  # one transition, one transversion of ten
    assert alignment_distances(rows, "p", "N")[0, 1] == pytest.approx(0.2)
    jukes_cantor = -0.75 * math.log(1 - 4 * 0.2 / 3)
    assert alignment_distances(rows, "jc69", "N")[0, 1] == pytest.approx(jukes_cantor)
    kimura = -0.5 * math.log(1 - 0.2 - 0.1) - 0.25 * math.log(1 - 0.2)
    assert alignment_distances(rows, "k80", "N")[0, 1] == pytest.approx(kimura)
    assert alignment_distances(rows, "poisson", "X")[0, 1] == pytest.approx(-math.log(0.8))


@pytest.mark.parametrize("method", ["p", "jc69", "k80", "poisson"])
def test_what_cannot_be_known_is_nan_and_not_infinite(method):
    rows = ["AAAA", "CCCC", "NNNN"]
    distances = alignment_distances(rows, method, "N")
    assert np.isnan(distances[0, 2])
    assert np.isnan(distances[0, 1]) or method == "p"
    assert not np.isinf(distances).any()
    assert not distances.diagonal().any()
    np.testing.assert_array_equal(distances, distances.T)


@pytest.mark.parametrize(("model", "method"), [("jc69", "jc69"), ("k80", "k80")])
def test_distances_recover_the_branch_lengths_of_a_simulation(model, method):
    process = substitution_model(model, **({"kappa": 4.0} if model == "k80" else {}))
    rng = np.random.default_rng(0)
    _, letters = simulate_families(process, star(3, 0.6), 1, np.ones(20_000), rng)
    distances = alignment_distances(spelled(process, letters[0]), method, "N")
    np.testing.assert_allclose(distances[np.triu_indices(3, 1)], 0.6, atol=0.03)


def test_mash_is_the_formula_of_shared_words():
    first, second = "ACGTAC", "ACGTTT"
    words = [{s[i : i + 3] for i in range(4)} for s in (first, second)]
    jaccard = len(words[0] & words[1]) / len(words[0] | words[1])
    expected = -math.log(2 * jaccard / (1 + jaccard)) / 3
    found = mash_distances([first, second, first, "GGG", "AN"], 3, "N")
    assert found[0, 1] == found[1, 0] == pytest.approx(expected)
    assert found[0, 2] == 0
    assert np.isnan(found[0, 3]) and np.isnan(found[3, 4])
    assert not found.diagonal().any()


def test_words_with_unknown_letters_do_not_count():
    assert np.isnan(mash_distances(["ACNGT", "ACNGT"], 3, "N")[0, 1])


def test_bad_arguments_are_errors():
    with pytest.raises(InputError, match="distances: got 'lg', wanted one of p, jc69"):
        alignment_distances(["AC", "AC"], "lg", "N")
    with pytest.raises(InputError, match="k: got 0"):
        mash_distances(["AC"], 0, "N")
