"""Channels of known information: against closed forms, enumeration, and the literature."""

import numpy as np
import pytest

from data_builders.records import InputError
from data_builders.simulate.homologs import (
    Channel,
    evolve,
    simulate_families,
    site_rates,
    spelled,
    star,
    substitution_model,
)

GTR = {
    "exchangeabilities": (1.2, 3.1, 0.7, 0.9, 4.0, 1.0),
    "frequencies": (0.31, 0.19, 0.22, 0.28),
}
MODELS = [("jc69", {}), ("k80", {"kappa": 4.0}), ("gtr", GTR), ("poisson", {})]
TIMES = (0.05, 0.2, 0.5, 1, 2)


@pytest.mark.parametrize(("name", "arguments"), MODELS)
def test_a_model_is_reversible_stationary_and_of_unit_rate(name, arguments):
    model = substitution_model(name, **arguments)
    pi = model.frequencies
    np.testing.assert_allclose(model.rates.sum(1), 0, atol=1e-12)
    assert -pi @ model.rates.diagonal() == pytest.approx(1)
    for time in TIMES:
        matrix = model.transition(time)
        np.testing.assert_allclose(matrix.sum(1), 1)
        np.testing.assert_allclose(pi @ matrix, pi)
        np.testing.assert_allclose(pi[:, None] * matrix, (pi[:, None] * matrix).T)
    np.testing.assert_allclose(model.transition(0.3) @ model.transition(0.4), model.transition(0.7))


def test_jukes_cantor_has_its_closed_form():
    model = substitution_model("jc69")
    for time in TIMES:
        same = 0.25 + 0.75 * np.exp(-4 * time / 3)
        assert model.identity(time) == pytest.approx(same)
        np.testing.assert_allclose(model.transition(time)[0, 1], (1 - same) / 3)


@pytest.mark.parametrize(
    ("name", "published"),
    [("jc69", (1.140, 0.729, 0.329, 0.092, 0.007)), ("k80", (1.142, 0.739, 0.346, 0.106, 0.011))],
)
def test_information_of_a_site_is_as_published(name, published):
    model = substitution_model(name)
    found = [model.information(time) for time in TIMES]
    np.testing.assert_allclose(found, published, atol=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_no_processing_adds_information(seed):
    """X → Y → Z: for any reversible model and any times, I(X; Z) <= I(X; Y)."""
    rng = np.random.default_rng(seed)
    model = substitution_model(
        "gtr", exchangeabilities=rng.gamma(1, 1, 6) + 0.01, frequencies=rng.dirichlet([3] * 4)
    )
    first, second = rng.exponential(0.7, 2)
    assert 0 <= model.information(first + second) <= model.information(first)
    assert model.information(first) <= -(model.frequencies * np.log(model.frequencies)).sum()


def test_conserved_sites_carry_the_published_share():
    rates = site_rates(100)
    assert rates.mean() == pytest.approx(1)
    assert sorted(set(rates)) == pytest.approx([0.1, 1.225])
    model = substitution_model("jc69")
    shares, identities = [], []
    for time in TIMES:
        channel = Channel(model, time, rates)
        shares.append(channel.information(rates < 1) / channel.information())
        identities.append(channel.identity())
    assert np.round(shares, 2).tolist() == [0.24, 0.33, 0.54, 0.82, 0.99]
    assert np.round(identities, 2).tolist() == [0.95, 0.83, 0.66, 0.50, 0.39]


def test_scores_are_the_sum_of_log_density_ratios_of_sites():
    model = substitution_model("gtr", **GTR)
    channel = Channel(model, 0.8, site_rates(6))
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (3, 6)), rng.integers(0, 4, (5, 6))
    expected = np.zeros((3, 5))
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            for rate, a, b in zip(channel.rates, x, y, strict=True):
                matrix = model.transition(rate * 0.8)
                expected[i, j] += np.log(matrix[a, b] / model.frequencies[b])
    np.testing.assert_allclose(channel.scores(first, second), expected)


def test_drawn_pairs_are_as_identical_and_as_frequent_as_the_model_says():
    channel = Channel(substitution_model("gtr", **GTR), 0.5, site_rates(50))
    first, second = channel.draw(4000, np.random.default_rng(1))
    error = 0.5 / np.sqrt(first.size)  # at least one standard error of a share
    assert (first == second).mean() == pytest.approx(channel.identity(), abs=4 * error)
    for letters in (first, second):
        shares = np.bincount(letters.ravel(), minlength=4) / letters.size
        np.testing.assert_allclose(shares, channel.model.frequencies, atol=4 * error)


def test_families_evolve_along_the_tree():
    model, rates = substitution_model("jc69"), np.ones(200)
    names, letters = simulate_families(model, star(3, 0.4), 60, rates, np.random.default_rng(2))
    assert names == ("species_1", "species_2", "species_3")
    assert letters.shape == (60, 3, 200)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        identity = (letters[:, a] == letters[:, b]).mean()
        assert identity == pytest.approx(model.identity(0.4), abs=0.02)
    strangers = (letters[:-1, 0] == letters[1:, 1]).mean()
    assert strangers == pytest.approx(0.25, abs=0.02)
    assert set(spelled(model, letters[0])[0]) == set("ACGT")


def test_no_time_changes_nothing():
    model = substitution_model("jc69")
    letters = np.random.default_rng(3).integers(0, 4, (5, 9)).astype(np.uint8)
    assert np.array_equal(evolve(model, letters, 0, np.ones(9), np.random.default_rng(0)), letters)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: substitution_model("hky"), "model: got 'hky', wanted one of jc69"),
        (lambda: substitution_model("k80", kappa=-1), "kappa: got"),
        (lambda: substitution_model("gtr"), "exchangeabilities: got None, wanted 6 positive"),
        (
            lambda: substitution_model("gtr", exchangeabilities=[1] * 6, frequencies=[0.5, 0.5]),
            "frequencies: got",
        ),
        (lambda: site_rates(10, 1.0), "site rates: got 10 of 10 sites"),
        (lambda: site_rates(10, 0.5, 3.0), "site rates: got 5 of 10 sites at 3.0"),
    ],
)
def test_bad_models_are_errors(call, message):
    with pytest.raises(InputError, match=message):
        call()
