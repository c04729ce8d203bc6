"""Homologous sequences along a tree: a noisy channel whose information is known exactly.

Sites are independent, and so are families. A site begins at the root with a letter drawn from the
stationary frequencies and changes along every branch by a reversible substitution model, at the
rate of its class. Two leaves at distance t are then the two ends of a channel with

    I(X; Y) = Σ_sites Σ_ab π_a P_ab(r t) log(P_ab(r t) / π_b)   nats,

where r is the rate of the site. The best critic of the channel is Σ_sites log(P_xy(r t) / π_y).

Branch lengths are expected substitutions a site of rate 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data_builders.records import InputError
from data_builders.simulate.evolution import Node

NUCLEOTIDES = "ACGT"
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
MODELS = ("jc69", "k80", "gtr", "poisson")

_TRANSITIONS = ((0, 2), (1, 3))  # A with G, C with T


@dataclass(frozen=True)
class SubstitutionModel:
    """A reversible Markov process on letters, at stationarity.

    Attributes:
        name: as errors and tables show it.
        letters: the n states.
        frequencies: (n,) stationary, positive, summing to 1.
        rates: (n, n), rows sum to 0, one expected substitution a site and unit of time.
    """

    name: str
    letters: str
    frequencies: np.ndarray
    rates: np.ndarray

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues, and what stands left and right of them: a reversible model has real ones."""
        root = np.sqrt(self.frequencies)
        symmetric = root[:, None] * self.rates / root
        values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
        return values, vectors / root[:, None], vectors.T * root

    def transition(self, time: float) -> np.ndarray:
        """Return the probabilities P_ab of letter b after some time that begins with letter a.

        (n, n); time is in expected substitutions a site, and rows sum to 1.
        """
        values, left, right = self._spectrum
        matrix = np.clip((left * np.exp(values * time)) @ right, 0, None)
        return matrix / matrix.sum(1, keepdims=True)

    def critic(self, time: float) -> np.ndarray:
        """Return log(P_ab(time) / π_b), the best critic of one site, (n, n); time above 0."""
        return np.log(self.transition(time)) - np.log(self.frequencies)

    def information(self, time: float) -> float:
        """Return the mutual information of one site and itself after some time, in nats."""
        joint = self.frequencies[:, None] * self.transition(time)
        present = joint > 0
        independent = self.frequencies[:, None] * self.frequencies
        return float((joint[present] * np.log(joint[present] / independent[present])).sum())

    def identity(self, time: float) -> float:
        """Return the probability that a site has the same letter after some time."""
        return float(self.frequencies @ self.transition(time).diagonal())


def substitution_model(
    name: str,
    *,
    kappa: float = 2.0,
    exchangeabilities: Sequence[float] | None = None,
    frequencies: Sequence[float] | None = None,
) -> SubstitutionModel:
    """Build a substitution model by name.

    Args:
        name: jc69 (Jukes and Cantor 1969), k80 (Kimura 1980), gtr (Tavaré 1986), each of
            nucleotides; or poisson, all amino acids alike.
        kappa: of k80, rate of a transition over that of one transversion.
        exchangeabilities: of gtr, six: AC, AG, AT, CG, CT, GT.
        frequencies: of gtr, four: A, C, G, T.

    Raises:
        InputError: an unknown name, or numbers that are not positive or not as many as wanted.
    """
    if name == "poisson":
        return _reversible(name, AMINO_ACIDS, np.ones((20, 20)), np.full(20, 1 / 20))
    if name not in MODELS:
        raise InputError(f"model: got {name!r}, wanted one of {', '.join(MODELS)}")
    exchange, stationary = np.ones((4, 4)), np.full(4, 0.25)
    if name == "k80":
        kappa = _positive("kappa", [kappa], 1)[0]
        for a, b in _TRANSITIONS:
            exchange[a, b] = exchange[b, a] = kappa
    if name == "gtr":
        upper = np.triu_indices(4, 1)
        exchange[upper] = _positive("exchangeabilities", exchangeabilities, 6)
        exchange.T[upper] = exchange[upper]
        stationary = _positive("frequencies", frequencies, 4)
        stationary = stationary / stationary.sum()
    return _reversible(name, NUCLEOTIDES, exchange, stationary)


def _positive(name: str, values: Sequence[float] | None, count: int) -> np.ndarray:
    found = np.asarray([] if values is None else values, float)
    if found.shape != (count,) or not np.all((found > 0) & np.isfinite(found)):
        raise InputError(f"{name}: got {values}, wanted {count} positive numbers")
    return found


def _reversible(
    name: str, letters: str, exchange: np.ndarray, frequencies: np.ndarray
) -> SubstitutionModel:
    rates = exchange * frequencies
    np.fill_diagonal(rates, 0)
    np.fill_diagonal(rates, -rates.sum(1))
    substitutions = -frequencies @ rates.diagonal()
    return SubstitutionModel(name, letters, frequencies, rates / substitutions)


@dataclass(frozen=True)
class Channel:
    """What two homologs have in common: a substitution model, a distance, and rates of sites.

    Attributes:
        model: of every site.
        distance: between the two, in expected substitutions a site of rate 1.
        rates: (sites,) rate of each site.
    """

    model: SubstitutionModel
    distance: float
    rates: np.ndarray

    def information(self, sites: np.ndarray | None = None) -> float:
        """Return the mutual information of the two, in nats; of some sites alone if given."""
        rates = self.rates if sites is None else self.rates[sites]
        values, counts = np.unique(rates, return_counts=True)
        each = [self.model.information(rate * self.distance) for rate in values]
        return float(np.dot(each, counts))

    def identity(self) -> float:
        """Return the expected share of sites with the same letter."""
        values, counts = np.unique(self.rates, return_counts=True)
        each = [self.model.identity(rate * self.distance) for rate in values]
        return float(np.dot(each, counts) / counts.sum())

    def scores(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the best critic of every sequence with every other, Σ log(P_xy / π_y), (m, n).

        Letters of (m, sites) and (n, sites) are indices into the model's letters.
        """
        by_rate = {rate: self.model.critic(rate * self.distance) for rate in np.unique(self.rates)}
        critics = np.stack([by_rate[rate] for rate in self.rates])  # (sites, letters, letters)
        weighted = critics[np.arange(len(self.rates)), first]  # (m, sites, letters)
        one_hot = np.eye(len(self.model.letters))[second]
        return weighted.reshape(len(first), -1) @ one_hot.reshape(len(second), -1).T

    def draw(self, pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw pairs of homologs: letters of the first and of the second, uint8 (pairs, sites)."""
        first = _stationary(self.model, (pairs, len(self.rates)), rng)
        return first, evolve(self.model, first, self.distance, self.rates, rng)


def site_rates(
    sites: int, conserved_share: float = 0.2, conserved_rate: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Return rates of conserved and of neutral sites, of mean 1.

    Args:
        sites: how many.
        conserved_share: of the sites, at least 0 and below 1.
        conserved_rate: of those; neutral sites have the rate that makes the mean 1.
        seed: decides which sites are conserved.

    Returns:
        (sites,). With 20 % at rate 0.1 the others have 1.225.

    Raises:
        InputError: a share or a rate that leaves no positive rate to neutral sites.
    """
    conserved = round(sites * conserved_share)
    fits = conserved == 0 or 0 < conserved_rate * conserved < sites
    if not (0 <= conserved < sites and fits):
        raise InputError(
            f"site rates: got {conserved} of {sites} sites at {conserved_rate}, wanted fewer than "
            "all, and a positive rate for the others"
        )
    rates = np.full(sites, (sites - conserved * conserved_rate) / (sites - conserved))
    rates[np.random.default_rng(seed).permutation(sites)[:conserved]] = conserved_rate
    return rates


def _stationary(model: SubstitutionModel, shape, rng: np.random.Generator) -> np.ndarray:
    cumulative = np.cumsum(model.frequencies)[:-1]
    return np.searchsorted(cumulative, rng.random(shape), side="right").astype(np.uint8)


def evolve(
    model: SubstitutionModel,
    letters: np.ndarray,
    time: float,
    rates: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return sequences (..., sites) after some time, in expected substitutions a site of rate 1.

    Letters are indices into the model's; rates are (sites,).
    """
    evolved = np.empty(letters.shape, np.uint8)
    for rate in np.unique(rates):
        sites = rates == rate
        cumulative = np.cumsum(model.transition(rate * time), 1)[:, :-1]
        drawn = rng.random((*letters.shape[:-1], int(sites.sum())))
        before = cumulative[letters[..., sites]]
        evolved[..., sites] = (drawn[..., None] >= before).sum(-1)
    return evolved


def star(leaves: int, distance: float) -> Node:
    """Return a star tree whose leaves are all `distance` from each other."""
    children = tuple(Node(f"species_{number}", distance / 2) for number in range(1, leaves + 1))
    return Node("", 0.0, children)


def simulate_families(
    model: SubstitutionModel,
    tree: Node,
    families: int,
    rates: np.ndarray,
    rng: np.random.Generator,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Let families evolve along a tree, each from a root of its own.

    Returns the names of the leaves, and letters of (families, leaves, sites), uint8.
    """
    root = _stationary(model, (families, len(rates)), rng)
    found = list(_leaves(model, tree, root, rates, rng))
    return tuple(name for name, _ in found), np.stack([letters for _, letters in found], 1)


def _leaves(model, node: Node, letters: np.ndarray, rates, rng) -> Iterator[tuple[str, np.ndarray]]:
    if not node.children:
        yield node.name, letters
    for child in node.children:
        yield from _leaves(
            model, child, evolve(model, letters, child.length, rates, rng), rates, rng
        )


def spelled(model: SubstitutionModel, letters: np.ndarray) -> list[str]:
    """Return sequences of letters, one a row of (n, sites)."""
    alphabet = np.frombuffer(model.letters.encode(), np.uint8)
    return [row.tobytes().decode() for row in alphabet[letters]]
