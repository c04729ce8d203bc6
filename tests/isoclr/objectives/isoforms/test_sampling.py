import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from data_builders.records import InputError
from group_tables import group_table, member, random_groups
from isoclr.objectives.isoforms.members import members_of
from isoclr.objectives.isoforms.sampling import PAIR_TYPES, PairSampler, graft_utrs
from modeling_isoclr import IsoCLRTokenizer
from strategies import junctions_of, letters

TREE = "((human:1,mouse:1):1,fly:6);\n"
DISTANCE = {frozenset(["human", "mouse"]): 2, frozenset(["human", "fly"]): 8}
DISTANCE[frozenset(["mouse", "fly"])] = 8
RICH = [
    member("human", "h1"),
    member("human", "h1"),
    member("human", "h1"),
    member("human", "h2"),
    member("mouse", "m1"),
    member("mouse", "m1"),
    member("fly", "h1"),
]
LONELY = [member("human", "h1"), member("mouse", "m1"), member("mouse", "m2")]


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "tree.nwk"
    path.write_text(TREE)
    return path


def members(*groups):
    return members_of(group_table(*groups), "test")


def many(sampler, group, draws=20_000):
    """Pairs of one group in as many epochs."""
    found = sampler.draw(members(group), np.zeros(draws, int), np.arange(draws))
    return list(zip(found.first.tolist(), found.second.tolist(), strict=True)), found


def pair_type(a, b, group):
    if a == b:
        return "self"
    if group[a][0] != group[b][0]:
        return "ortholog"
    return "splice" if group[a][1] == group[b][1] else "paralog"


def probabilities(group, types=None, species=None, band=None):
    """Of every pair, from the definition: type by type, partner by partner."""
    out = Counter()
    for a in range(len(group)):
        partners = {}
        for b in range(len(group)):
            kind = pair_type(a, b, group)
            weight = species[group[b][0]] if species else 1
            if band and kind == "ortholog":
                distance = DISTANCE[frozenset([group[a][0], group[b][0]])]
                weight *= band[0] <= distance <= band[1]
            if types is None:
                kind, type_weight = "any", kind != "self"
            else:
                type_weight = types.get(kind, 0)
            if weight * type_weight:
                partners.setdefault(kind, (type_weight, {}))[1][b] = weight
        if not partners:
            partners = {"self": (1, {a: 1})}
        all_types = sum(type_weight for type_weight, _ in partners.values())
        for type_weight, of_type in partners.values():
            for b, weight in of_type.items():
                share = weight / sum(of_type.values())
                out[a, b] += type_weight / all_types * share / len(group)
    return out


POLICIES = [
    {},
    {"types": {"splice": 0.5, "ortholog": 0.5}},
    {"types": {"splice": 0.2, "ortholog": 0.8}},
    {"types": {"self": 1, "splice": 2, "paralog": 3, "ortholog": 4}},
    {"types": {"ortholog": 1}},
    {"types": {"paralog": 1}},
    {"species": {"human": 1, "mouse": 5, "fly": 0}},
    {"types": {"splice": 1, "ortholog": 1}, "species": {"human": 1, "mouse": 1, "fly": 6}},
    {"band": (0, 3)},
    {"types": {"ortholog": 1}, "band": (5, 9)},
    {"types": {"splice": 1, "ortholog": 3}, "band": (2, 2)},
    {"types": {"ortholog": 1}, "band": (3, 4)},
]


def sampler_of(policy, seed, tree):
    arguments = {"type_weights": policy.get("types"), "species_weights": policy.get("species")}
    if "band" in policy:
        arguments |= {"distances": tree, "distance_band": policy["band"]}
    return PairSampler(seed, **arguments)


@pytest.mark.parametrize("group", [RICH, LONELY], ids=["rich", "lonely"])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_pairs_have_the_probabilities_of_the_policy(policy, group, tree):
    drawn, found = many(sampler_of(policy, 11, tree), group)
    wanted = probabilities(group, **policy)
    assert math.isclose(sum(wanted.values()), 1)
    counts = Counter(drawn)
    assert set(counts) == set(wanted)
    observed, share = zip(*((counts[pair], wanted[pair]) for pair in wanted), strict=True)
    assert chisquare(observed, np.array(share) * len(drawn)).pvalue > 1e-3
    types = [PAIR_TYPES[code] for code in found.types]
    assert types == [pair_type(a, b, group) for a, b in drawn]
    assert found.second_lengths.tolist() == [9] * len(drawn) and not found.grafted.any()


def reference_hash(*parts):
    """SplitMix64's finaliser, chained, in Python's integers."""
    state, top = 0, 2**64
    for part in parts:
        state = ((state ^ part) + 0x9E3779B97F4A7C15) % top
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % top
        state = (state ^ state >> 27) * 0x94D049BB133111EB % top
        state ^= state >> 31
    return state


def reference_pair(group, seed, epoch, key, **policy):
    """One group, one member after the other; a change of this is a change of every run."""
    stream = reference_hash(seed, int.from_bytes(b"pair"), epoch, key)
    first = int((reference_hash(stream, 0) >> 11) / 2**53 * len(group))
    rates = [probabilities(group, **policy)[first, b] for b in range(len(group))]
    uniform = [(reference_hash(stream, 1, b) >> 11) / 2**53 for b in range(len(group))]
    wait = [-math.log1p(-u) / r if r else math.inf for u, r in zip(uniform, rates, strict=True)]
    return first, wait.index(min(wait))


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_draws_are_those_of_the_reference(policy, tree):
    groups = random_groups(40, seed=6)
    data = members(*groups)
    found = sampler_of(policy, 9, tree).draw(data, np.arange(40), 4)
    wanted = [reference_pair(group, 9, 4, key, **policy) for key, group in enumerate(groups)]
    first, second = ((drawn - data.offsets[:-1]).tolist() for drawn in (found.first, found.second))
    assert list(zip(first, second, strict=True)) == wanted


def test_the_test_of_probabilities_tells_policies_apart():
    drawn, _ = many(PairSampler(11), RICH)
    wanted = probabilities(RICH, types={"splice": 1, "paralog": 1, "ortholog": 1})
    counts = Counter(drawn)
    observed, share = zip(*((counts[pair], wanted[pair]) for pair in wanted), strict=True)
    assert chisquare(observed, np.array(share) * len(drawn)).pvalue < 1e-6


def test_two_transcripts_always_make_both_pairs_and_one_pairs_with_itself():
    assert set(many(PairSampler(0), [member()] * 2, 100)[0]) == {(0, 1), (1, 0)}
    assert set(many(PairSampler(0), [member()], 100)[0]) == {(0, 0)}


def test_an_ortholog_comes_with_its_probability_only_where_there_is_a_splice_partner_too():
    sampler = PairSampler(5, type_weights={"splice": 0.5, "ortholog": 0.5})
    drawn, found = many(sampler, LONELY)
    assert {PAIR_TYPES[code] for code in found.types} == {"ortholog"}
    drawn, found = many(sampler, RICH)
    both = [PAIR_TYPES[t] for t, (a, _) in zip(found.types, drawn, strict=True) if a < 3]
    share = both.count("ortholog") / len(both)
    assert set(both) == {"splice", "ortholog"} and abs(share - 0.5) < 3 * 0.5 / len(both) ** 0.5


@pytest.mark.parametrize("policy", [{}, {"type_weights": {"splice": 1, "ortholog": 2}}], ids=str)
def test_a_pair_is_a_function_of_seed_epoch_and_group_alone(policy):
    sampler, data = PairSampler(3, **policy), members(*random_groups(60))
    groups = np.arange(60)
    together = sampler.draw(data, groups, 7)
    shuffled = np.random.default_rng(0).permutation(60)
    for parts in ([[g] for g in groups], np.array_split(shuffled, 7), [groups[::-1]]):
        for part in parts:
            alone = sampler.draw(data, np.array(part), 7)
            for name, values in vars(alone).items():
                assert values.tolist() == getattr(together, name)[part].tolist()
    # A part of the data, told the rows that it has in the whole.
    table = group_table(*random_groups(60)).slice(20, 30)
    part = sampler.draw(members_of(table, "x"), np.arange(30), 7, keys=np.arange(20, 50))
    first = data.offsets[20]
    assert part.first.tolist() == (together.first[20:50] - first).tolist()
    assert part.second.tolist() == (together.second[20:50] - first).tolist()


def test_seeds_epochs_and_groups_differ_and_epochs_may_differ_within_a_batch():
    data, groups = members(*[RICH] * 200), np.arange(200)
    pairs = {}
    for seed, epoch in product((0, 1), (0, 1)):
        found = PairSampler(seed).draw(data, groups, epoch)
        pairs[seed, epoch] = found.first % 7, found.second % 7
    for one, other in product(pairs, pairs):
        same = np.mean([a == b for a, b in zip(pairs[one], pairs[other], strict=True)])
        assert same == 1 if one == other else 0.05 < same < 0.25
    assert len(set(zip(*pairs[0, 0], strict=True))) == 42
    mixed = PairSampler(0).draw(data, groups, groups % 2)
    for half in (0, 1):
        assert mixed.first[half::2].tolist() == (pairs[0, half][0] + groups * 7)[half::2].tolist()


def test_transcripts_left_out_are_never_drawn_and_numbers_stay():
    data = members(*random_groups(60))
    chosen = data.select(data.lengths > 12)
    groups = np.flatnonzero(chosen.counts)
    for epoch in range(20):
        found = PairSampler(0).draw(chosen, groups, epoch)
        for drawn in (found.first, found.second):
            assert (data.lengths[drawn] > 12).all()
            assert (np.searchsorted(data.offsets, drawn, "right") - 1).tolist() == groups.tolist()
    with pytest.raises(InputError, match="got no member, wanted at least one"):
        PairSampler(0).draw(data.select(data.lengths > 100), np.arange(60), 0)


# Grafts. A CDS alone, and the same between UTRs.
CDS_ONLY = member("mouse", "m1", "ATGCCCTAA", (0, 9), [4])
FULL = member("human", "h1", "GGGG" + "ATGAAATAG" + "TT", (4, 13), [2, 7])


def test_an_ortholog_known_by_its_cds_gets_the_utrs_of_the_other():
    drawn, found = many(PairSampler(0, graft=True), [CDS_ONLY, FULL], 100)
    assert set(drawn) == {(1, 0)} and found.grafted.all()
    assert set(found.second_lengths.tolist()) == {4 + 9 + 2}
    drawn, found = many(PairSampler(0), [CDS_ONLY, FULL], 100)
    assert set(drawn) == {(1, 0), (0, 1)} and not found.grafted.any()


@pytest.mark.parametrize(
    "other",
    [
        member("human", "h1", "ATGTAA", (0, 6)),
        member("human", "h1", "ATGTAACC"),
        member("mouse", "m1", "GGATGTAACC", (2, 8)),
        member("mouse", "m2", "GGATGTAACC", (2, 8)),
    ],
    ids=["without UTRs", "without CDS", "of one gene", "of one species"],
)
def test_other_pairs_are_not_grafted(other):
    drawn, found = many(PairSampler(0, graft=True), [CDS_ONLY, other], 100)
    assert not found.grafted.any() and set(drawn) == {(0, 1), (1, 0)}


@pytest.mark.parametrize("max_length, grafted", [(15, True), (14, False)])
def test_a_view_is_not_grafted_beyond_the_greatest_length(max_length, grafted):
    _, found = many(PairSampler(0, graft=True, max_length=max_length), [CDS_ONLY, FULL], 10)
    assert set(found.grafted.tolist()) == {grafted}
    assert set(found.second_lengths.tolist()) == {15 if grafted else 9}


@given(st.data())
def test_a_graft_is_the_transcript_that_it_describes(data):
    tokenize = IsoCLRTokenizer().tokenize_transcript
    five, three = data.draw(letters(0, 8), "5' UTR"), data.draw(letters(0, 8), "3' UTR")
    cds, partner = (3 * data.draw(st.integers(1, 5)) for _ in range(2))
    base_cds, partner_cds = data.draw(letters(cds, cds)), data.draw(letters(partner, partner))
    start, end = len(five), len(five) + cds
    base_junctions = data.draw(junctions_of(end + len(three)), "junctions")
    partner_junctions = data.draw(junctions_of(partner), "junctions of the partner")
    base = tokenize(five + base_cds + three, (start, end), base_junctions)
    other = tokenize(partner_cds, (0, partner), partner_junctions)
    before = base.copy(), other.copy()
    view = graft_utrs(base, (start, end), other)
    junctions = [j for j in base_junctions if j <= start]
    junctions += [start + j for j in partner_junctions]
    junctions += [j + partner - cds for j in base_junctions if j >= end]
    grafted = tokenize(five + partner_cds + three, (start, start + partner), junctions)
    assert view.tolist() == grafted.tolist() and view.dtype == np.uint8
    assert all(np.array_equal(*pair) for pair in zip(before, (base, other), strict=True))


def test_a_graft_marks_the_exon_ends_that_are_known():
    tokenize = IsoCLRTokenizer().tokenize_transcript
    known, unknown = tokenize("GGATGTAACC", (2, 8), [1]), tokenize("GGATGTAACC", (2, 8))
    cds_known, cds_unknown = tokenize("ATGTAA", (0, 6), [2]), tokenize("ATGTAA", (0, 6))
    for base, partner, ends in [
        (known, cds_known, [0, 3, 9]),
        (known, cds_unknown, [0, 9]),
        (unknown, cds_known, [3]),
        (unknown, cds_unknown, []),
    ]:
        before = base.copy(), partner.copy()
        assert np.flatnonzero(graft_utrs(base, (2, 8), partner) & 16).tolist() == ends
        assert (base == before[0]).all() and (partner == before[1]).all()


# Arguments.
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"type_weights": {"isoform": 1}}, "type_weights: got 'isoform', wanted self, splice"),
        ({"type_weights": {"splice": -1}}, "type_weights.splice: got -1, wanted a number"),
        ({"type_weights": {"splice": math.nan}}, "type_weights.splice: got nan, wanted"),
        ({"type_weights": {"splice": 0}}, "type_weights: got no weight above 0"),
        ({"species_weights": {"human": math.inf}}, "species_weights.human: got inf"),
        ({"species_weights": {}}, "species_weights: got no weight above 0"),
        ({"distance_band": (0, 1)}, "distance_band: wanted together with distances"),
        ({"distances": "x"}, "distance_band: wanted together with distances"),
        ({"distances": "x", "distance_band": (2, 1)}, "distance_band: got .2, 1., wanted 0 <="),
        ({"distances": "x", "distance_band": [1]}, "distance_band: got .1., wanted 0 <="),
        ({"distances": "x", "distance_band": (0, 1)}, "x: got 'No such file or directory'"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(arguments, message):
    with pytest.raises(InputError, match=message):
        PairSampler(0, **arguments)


def test_a_species_without_weight_or_distance_is_an_error(tmp_path):
    data = members(RICH, [member("cow")])
    with pytest.raises(InputError, match="species_weights: got no 'cow', wanted all"):
        weights = {"human": 1, "mouse": 1, "fly": 1}
        PairSampler(0, species_weights=weights).draw(data, [0], 0)
    (tmp_path / "tree").write_text(TREE)
    with pytest.raises(InputError, match="tree: got no species 'cow', wanted all"):
        PairSampler(0, distances=tmp_path / "tree", distance_band=(0, 9)).draw(data, [0], 0)
