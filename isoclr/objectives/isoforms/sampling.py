"""Pairs of members of a group: a function of (seed, epoch, group), never a state.

What a group gives does not depend on the batch, the worker or the process that asks. All pairs of a
batch are drawn at once, by a keyed hash.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_builders.homology.phylogeny import read_species_distances
from data_builders.records import InputError
from isoclr.objectives.isoforms.members import Members
from isoclr.training.order import keyed_hash
from modeling_isoclr.configuration_isoclr import EXON_END_BIT

PAIR_TYPES = ("self", "splice", "paralog", "ortholog")
"""The same transcript; of one gene; of two genes of one species; of two species."""

SELF, SPLICE, PARALOG, ORTHOLOG = range(len(PAIR_TYPES))

_PAIR = int.from_bytes(b"pair")  # what the keyed hash is for, so that no other use shares a stream
_FIRST, _SECOND = range(2)
_UNIT = 2.0**-53


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of transcripts, by their numbers in `Members`, one a group.

    Attributes:
        first: (pairs,).
        second: (pairs,).
        types: indices into `PAIR_TYPES`, (pairs,).
        grafted: whether the second view is the second transcript between the first's UTRs, see
            `graft_utrs`, (pairs,).
        second_lengths: nt of the second views, (pairs,).
    """

    first: np.ndarray
    second: np.ndarray
    types: np.ndarray
    grafted: np.ndarray
    second_lengths: np.ndarray


class PairSampler:
    """Draws pairs of members of isoform groups.

    The first of a pair is uniform over its group. The second is uniform over the others (IsoCLR,
    arXiv 2310.08738, section 3), or chosen by the arguments below. Where none can be chosen, a
    transcript is paired with itself.

    Args:
        seed: of all draws.
        type_weights: pair type -> weight, 0 where not given. The type is drawn among those that the
            first has partners of, in proportion to the weights; then the partner among those of the
            type. {"splice": 0.5, "ortholog": 0.5} is Orthrus's: an ortholog with probability 0.5
            where there are both. None: all partners alike, whatever their type.
        species_weights: species -> weight of a partner of it, among all partners or among those of
            the type; must have every species of the data.
        distances: file that `read_species_distances` reads, for `distance_band`.
        distance_band: least and greatest distance of a partner of another species.
        graft: an ortholog known by its CDS only gets the UTRs of the other, which becomes the first
            of the pair (as in Orthrus).
        max_length: of a view, in nt; where a graft would be longer, there is none.

    Raises:
        InputError: on an argument that makes no sense.
    """

    def __init__(
        self,
        seed: int,
        *,
        type_weights: Mapping[str, float] | None = None,
        species_weights: Mapping[str, float] | None = None,
        distances: str | os.PathLike | None = None,
        distance_band: Sequence[float] | None = None,
        graft: bool = False,
        max_length: int | None = None,
    ):
        if type_weights is not None:
            for name in type_weights:
                if name not in PAIR_TYPES:
                    raise InputError(f"type_weights: got {name!r}, wanted {', '.join(PAIR_TYPES)}")
            _check_weights("type_weights", type_weights)
        if species_weights is not None:
            _check_weights("species_weights", species_weights)
        if (distances is None) != (distance_band is None):
            raise InputError("distance_band: wanted together with distances, and only so")
        if distance_band is not None:
            if len(distance_band) != 2 or not 0 <= distance_band[0] <= distance_band[1]:
                raise InputError(f"distance_band: got {distance_band}, wanted 0 <= least <= most")
        self.seed, self.species_weights = seed, species_weights
        self.type_weights = None
        if type_weights is not None:
            self.type_weights = np.array([type_weights.get(name, 0.0) for name in PAIR_TYPES])
        self.distances = None if distances is None else read_species_distances(distances)
        self.distance_band = distance_band
        self.graft, self.max_length = graft, math.inf if max_length is None else max_length

    def draw(
        self,
        members: Members,
        groups: np.ndarray,
        epoch: int | np.ndarray,
        keys: np.ndarray | None = None,
    ) -> Pairs:
        """Draw one pair of each of some groups.

        Args:
            members: of all groups.
            groups: rows of `members`, (pairs,).
            epoch: of the draw, or one for each group, (pairs,).
            keys: what names each group in the draw, (pairs,); None: its row. Where `members` is a
                part of the data, the rows in the whole.

        Raises:
            InputError: a group has no member; a species has no weight or distance.
        """
        start, counts, stream = self._streams(members, groups, epoch, keys)
        first = start + (_uniform(stream, _FIRST) * counts).astype(np.int64)
        pair, candidates = _spread(start, counts)
        weights = self._weights(members, pair, first[pair], candidates)
        # The least of exponential variables with these rates: unlike a running sum over the
        # batch, whose rounding depends on what else is in it, it knows nothing but its group.
        race = -np.log1p(-_uniform(stream[pair], _SECOND, candidates - start[pair]))
        race = np.divide(race, weights, out=np.full(len(race), np.inf), where=weights > 0)
        begin = np.cumsum(counts) - counts
        least = np.minimum.reduceat(race, begin)
        winners = np.flatnonzero(race == least[pair])
        second = candidates[winners[np.searchsorted(winners, begin)]]
        return self._pairs(members, first, np.where(np.isinf(least), first, second))

    def _streams(self, members, groups, epoch, keys):
        groups = np.asarray(groups, dtype=np.int64)
        start = members.offsets[groups]
        counts = members.offsets[groups + 1] - start
        if not counts.all():
            raise InputError(f"group {groups[counts.argmin()]}: got no member, wanted at least one")
        stream = keyed_hash(self.seed, _PAIR, epoch, groups if keys is None else np.asarray(keys))
        return start, counts, stream

    def _weights(self, members, pair, first, candidates) -> np.ndarray:
        """Return how likely each candidate is, up to a factor per pair; 0: never."""
        types = _pair_types(members, first, candidates)
        weights = np.ones(len(candidates))
        if self.species_weights is not None:
            species = self._weight_of_species(members, self.species_weights)
            weights *= species[members.species[candidates]]
        if self.distances is not None and self.distance_band is not None:
            low, high = self.distance_band
            between = self.distances.between(members.species_names)
            distance = between[members.species[first], members.species[candidates]]
            weights[(types == ORTHOLOG) & ~((low <= distance) & (distance <= high))] = 0
        if self.type_weights is None:
            weights[types == SELF] = 0
            return weights
        slot = pair * len(PAIR_TYPES) + types
        total = np.bincount(slot, weights)[slot]
        shares = np.divide(weights, total, out=weights, where=total > 0)
        return self.type_weights[types] * shares

    @staticmethod
    def _weight_of_species(members, weights: Mapping[str, float]) -> np.ndarray:
        for name in members.species_names:
            if name not in weights:
                raise InputError(f"species_weights: got no {name!r}, wanted all of the data")
        return np.array([weights[name] for name in members.species_names])

    def _pairs(self, members, first, second) -> Pairs:
        types = _pair_types(members, first, second)
        lengths, grafted = members.lengths[second], np.zeros(len(first), dtype=bool)
        if self.graft:
            swap = (types == ORTHOLOG) & _cds_only(members, first) & _has_utrs(members, second)
            first, second = np.where(swap, second, first), np.where(swap, first, second)
            utrs = members.lengths[first] - (members.cds_end[first] - members.cds_start[first])
            grafted = (types == ORTHOLOG) & _has_utrs(members, first) & _cds_only(members, second)
            grafted &= utrs + members.lengths[second] <= self.max_length
            lengths = members.lengths[second] + np.where(grafted, utrs, 0)
        drawn = members.transcripts
        return Pairs(
            first=drawn[first],
            second=drawn[second],
            types=types,
            grafted=grafted,
            second_lengths=lengths,
        )


def graft_utrs(base: np.ndarray, cds: tuple[int, int], partner: np.ndarray) -> np.ndarray:
    """Join the tokens of a CDS to the UTRs of another transcript, whose (start, end) is `cds`.

    Exon ends in the UTRs stay where they are, those inside the CDS are the partner's; whether one
    falls on the stop codon's last base is the base transcript's to say, as the partner's only ends
    there because nothing more of it is known.
    """
    start, end = cds
    view = np.concatenate([base[:start], partner, base[end:]])
    stop = start + len(partner) - 1
    view[stop] = (view[stop] & ~np.uint8(EXON_END_BIT)) | (base[end - 1] & EXON_END_BIT)
    return view


def _check_weights(name: str, weights: Mapping[str, float]) -> None:
    for key, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"{name}.{key}: got {weight}, wanted a number of at least 0")
    if not any(weights.values()):
        raise InputError(f"{name}: got no weight above 0, wanted one")


def _pair_types(members: Members, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    one_species = members.species[first] == members.species[second]
    one_gene = members.genes[first] == members.genes[second]
    types = np.where(one_species, np.where(one_gene, SPLICE, PARALOG), ORTHOLOG)
    return np.where(first == second, SELF, types)


def _cds_only(members: Members, which: np.ndarray) -> np.ndarray:
    return (members.cds_start[which] == 0) & (members.cds_end[which] == members.lengths[which])


def _has_utrs(members: Members, which: np.ndarray) -> np.ndarray:
    return (members.cds_start[which] >= 0) & ~_cds_only(members, which)


def _spread(start: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List all members of the groups that begin at `start`: the group of each, and its entry."""
    group = np.repeat(np.arange(len(counts)), counts)
    begin = np.cumsum(counts) - counts
    return group, np.arange(len(group)) + (start - begin)[group]


def _uniform(*parts) -> np.ndarray:
    """Draw numbers in [0, 1), of 53 bits."""
    return (keyed_hash(*parts) >> np.uint64(11)) * _UNIT
