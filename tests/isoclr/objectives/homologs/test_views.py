"""Views of homologs: who is drawn, what of them is seen, and that every choice is a key's alone."""

import numpy as np
import pytest
from toy_families import simulated

from data_builders.homology.families import Homolog, HomologFamily, write_families
from data_builders.records import InputError
from isoclr.objectives.homologs.batches import HomologBatches
from isoclr.objectives.homologs.families import held_out, load_families
from isoclr.objectives.homologs.mutation import Mutation
from isoclr.objectives.homologs.recipe import HomologRecipe
from isoclr.objectives.homologs.views import ViewMaker, hidden, uniform
from isoclr.objectives.sequences import DataSource
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import MASK_BASE

SPECIES = ("cow", "human", "mouse", "rat")
# Distances of a family of four: three bands.
MATRIX = np.array([[0, 0.1, 0.5, 0.5], [0.1, 0, 0.5, 0.5], [0.5, 0.5, 0, 2], [0.5, 0.5, 2, 0]])


def recipe(folder, **changes):
    told = {"data": str(folder), "output": "o", "steps": 4, "batch_size": 4}
    return HomologRecipe.model_validate(told | {"held_out_families": 0} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight families of four species; each sequence says where its letters come from."""
    rng = np.random.default_rng(0)
    families = []
    for number in range(8):
        members = tuple(
            Homolog(f"{name}{number}", "g", name, "".join(rng.choice(list("ACGT"), 60 + 10 * i)))
            for i, name in enumerate(SPECIES)
        )
        families.append(HomologFamily(f"f{number}", "rna", members, MATRIX))
    path = tmp_path_factory.mktemp("families")
    write_families(families, path)
    return path


@pytest.fixture(scope="module")
def families(folder):
    return load_families(DataSource(path=str(folder)))


def maker(folder, families, **changes):
    return ViewMaker(families, recipe(folder, **changes))


def drawn(made, steps=100):
    return [views for step in range(steps) for views in made.views(np.arange(8), step)]


def test_numbers_are_uniform_and_a_function_of_the_key():
    many = uniform(1000, 7, np.arange(50))
    assert many.shape == (50, 1000)
    assert 0 <= many.min() and many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(uniform(1000, 7, 3), many[3])


def test_views_do_not_depend_on_what_else_is_asked_for(folder, families):
    made = maker(folder, families, window=20, homologs=2)
    together = made.views(np.arange(8), 5)
    alone = made.views(np.array([6]), 5)[0]
    assert together[6].members == alone.members
    for a, b in zip(together[6].rows, alone.rows, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(
        a.members != b.members for a, b in zip(together, made.views(np.arange(8), 6), strict=True)
    )


def test_uniform_pairs_are_two_homologs_and_all_are_drawn(folder, families):
    pairs = {tuple(m % 4 for m in views.members) for views in drawn(maker(folder, families))}
    assert pairs == {(i, j) for i in range(4) for j in range(4) if i != j}


def test_bands_hold_what_they_say_and_each_is_drawn_as_often(folder, families):
    bands = [[0.05, 0.2], [0.4, 0.6], [1.0, 3.0]]
    found = drawn(maker(folder, families, positives="bands", bands=bands))
    for views in found:
        first, second = (m % 4 for m in views.members)
        low, high = bands[views.band]
        assert low <= MATRIX[first, second] < high
    shares = np.bincount([views.band for views in found]) / len(found)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.06)


def test_species_are_drawn_by_their_weight(folder, families):
    weights = {"rat": 0.0, "mouse": 3.0}
    found = drawn(maker(folder, families, positives="species", species_weights=weights))
    positives = [SPECIES[views.members[1] % 4] for views in found]
    assert "rat" not in positives
    from_cow = [p for v, p in zip(found, positives, strict=True) if v.members[0] % 4 == 0]
    assert np.mean([p == "mouse" for p in from_cow]) == pytest.approx(0.75, abs=0.1)


def test_all_of_a_step_are_of_two_species_where_asked_for(folder, families):
    made = maker(folder, families, negatives="same_species")
    steps = {}
    for step in range(30):
        pairs = {tuple(m % 4 for m in views.members) for views in made.views(np.arange(8), step)}
        assert len(pairs) == 1
        steps[step] = pairs.pop()
    assert len(set(steps.values())) > 5


def test_a_set_has_different_homologs_while_there_are_some(folder, families):
    for views in drawn(maker(folder, families, homologs=3), 10):
        assert sorted(m % 4 for m in views.members) == [0, 1, 2, 3]
    repeated = drawn(maker(folder, families, homologs=5), 1)[0].members
    assert len(repeated) == 6 and repeated[0] not in repeated[1:]


def at(window, sequence):
    """Where a window begins; these sequences have no repeats so long."""
    return bytes(sequence).index(bytes(window))


def test_disjoint_windows_share_no_site(folder, families):
    sides = set()
    for views in drawn(maker(folder, families, window=20, windows="disjoint"), 50):
        spans = []
        for row, member in zip(views.rows, views.members, strict=True):
            sequence = families.tokens(member)
            start = at(row, sequence)
            assert len(row) == 20
            spans.append((start / len(sequence), (start + 20) / len(sequence)))
        (a, b), (c, d) = spans
        assert b <= c + 0.01 or d <= a + 0.01
        sides.add(b <= c + 0.01)
    assert sides == {True, False}


def test_windows_at_the_same_place_overlap_and_independent_ones_do_not_always(folder, families):
    def apart(windows):
        found = []
        for views in drawn(maker(folder, families, window=20, windows=windows), 30):
            starts = [
                at(row, families.tokens(m)) / (len(families.tokens(m)) - 20)
                for row, m in zip(views.rows, views.members, strict=True)
            ]
            found.append(abs(starts[0] - starts[1]))
        return np.array(found)

    assert apart("same").max() < 0.05
    assert apart("independent").max() > 0.5


def test_sequences_without_room_for_two_windows_are_not_drawn(folder, families):
    """Else short windows would tell which belong together. Cows have 60 letters, rats 90."""
    for changes in ({}, {"positives": "bands", "bands": [[0.05, 3.0]]}):
        found = drawn(maker(folder, families, window=35, windows="disjoint", **changes), 30)
        assert {m % 4 for views in found for m in views.members} == {1, 2, 3}
        assert {len(row) for views in found for row in views.rows} == {35}
    made = maker(folder, families, window=50, windows="disjoint")
    assert not made.eligible.any()
    assert made.reasons == {"family without a sequence of two windows": 8}


def test_a_window_is_never_longer_than_the_sequence(folder, families):
    views = drawn(maker(folder, families, window=1000), 1)[0]
    assert [len(row) for row in views.rows] == [len(families.tokens(m)) for m in views.members]


def test_letters_are_hidden_in_spans_as_often_as_asked_for():
    masked = hidden((200, 300), 0.15, 4, 1, 2)
    assert masked.mean() == pytest.approx(0.15, abs=0.01)
    edges = np.diff(masked.astype(int), axis=1)
    assert masked.sum() / (edges == 1).sum() > 3.5
    np.testing.assert_array_equal(hidden((3, 300), 0.15, 4, 1, 2), masked[:3])
    assert hidden((200, 300), 0.15, 1, 1, 2).mean() == pytest.approx(0.15, abs=0.01)


def test_mutation_keeps_as_many_letters_as_it_is_told():
    tokens = IsoCLRTokenizer(alphabet="protein").tokenize_transcript("ACDEFGHIKLMNPQRSTVWY" * 200)
    draws = uniform(4 * len(tokens), 1).reshape(4, -1)
    same = Mutation("protein", indel_rate=0)(tokens, 0.6, draws)
    assert (same == tokens).mean() == pytest.approx(0.6, abs=0.03)
    leucine, isoleucine = (IsoCLRTokenizer(alphabet="protein").tokenize_transcript(x) for x in "LI")
    changed = same[(tokens == isoleucine[0]) & (same != tokens)]
    assert (changed == leucine[0]).mean() > 0.1  # BLOSUM62's favourite of isoleucine beside valine
    with_indels = Mutation("protein", indel_rate=0.05, indel_length=3)(tokens, 1.0, draws)
    assert len(with_indels) != len(tokens)
    assert abs(len(with_indels) - len(tokens)) < 0.1 * len(tokens)


def test_a_mutated_copy_is_as_far_as_the_homolog_that_it_stands_for(folder, families):
    options = {"positives": "mutation", "mutation": {"indel_rate": 0.0}}
    found = drawn(maker(folder, families, **options), 40)
    identity = np.mean([(views.rows[0] == views.rows[1]).mean() for views in found])
    expected = np.mean([0.25 + 0.75 * np.exp(-4 * d / 3) for d in MATRIX[np.triu_indices(4, 1)]])
    assert identity == pytest.approx(expected, abs=0.03)
    assert all(views.members[0] == views.members[1] for views in found)


def test_a_sequence_without_a_homolog_has_a_mutated_copy_of_the_identity_asked_for(tmp_path):
    member = (Homolog("m", "g", "s", "ACGT" * 500),)
    write_families([HomologFamily(name, "rna", member) for name in "abcd"], tmp_path)
    told = {"indel_rate": 0.0, "unknown_identity": 0.8}
    found = batches(tmp_path, positives="mutation", mutation=told, held_out_families=0)
    assert "family of one" not in found.described()
    first, second = found[0].tokens.split(len(found[0].bands))
    assert (first == second).float().mean() == pytest.approx(0.8, abs=0.03)


def test_unknown_letters_are_left_out_where_asked_for(tmp_path):
    sequences = ("ACNNGT", "NNNN", "ACGT")
    members = tuple(Homolog(f"m{i}", "g", f"s{i}", s) for i, s in enumerate(sequences))
    write_families([HomologFamily("f", "rna", members)], tmp_path)
    kept = load_families(DataSource(path=str(tmp_path)))
    dropped = load_families(DataSource(path=str(tmp_path)), drop_unknown=True)
    assert kept.lengths.tolist() == [6, 4, 4]
    assert dropped.lengths.tolist() == [4, 4, 4]
    np.testing.assert_array_equal(dropped.tokens(0), dropped.tokens(2))
    assert kept.checksum != dropped.checksum


def test_families_are_held_out_whatever_else_is_in_the_data():
    ids = [f"f{i}" for i in range(50)]
    chosen = {name for name, held in zip(ids, held_out(ids, 10, 3), strict=True) if held}
    assert len(chosen) == 10
    backwards = held_out(ids[::-1], 10, 3)
    assert {name for name, held in zip(ids[::-1], backwards, strict=True) if held} == chosen
    assert chosen != {n for n, held in zip(ids, held_out(ids, 10, 4), strict=True) if held}


def batches(folder, rank=0, world_size=1, **changes):
    told = recipe(folder, **changes)
    return HomologBatches([load_families(told.data[0])], told, rank, world_size)


def test_no_family_is_its_own_negative_and_an_epoch_has_each_once(tmp_path):
    simulated(tmp_path, families=40)
    made = batches(tmp_path, batch_size=9, held_out_families=7)
    epoch = [pair for step in range(made.order.steps_per_epoch) for pair in made.located(step)]
    assert len(epoch) == len(set(epoch)) == 33
    held = set(made.held.tolist())
    assert len(held) == 7 and not held & {family for _, family in epoch}


def test_the_final_evaluation_has_families_of_its_own_where_asked_for(tmp_path):
    simulated(tmp_path, families=40)
    whole, parted = (batches(tmp_path, held_out_families=12, test_families=n) for n in (0, 5))
    assert np.array_equal(whole.test, whole.held)
    assert len(parted.test) == 5 and len(parted.held) == 7
    assert sorted([*parted.test, *parted.held]) == whole.held.tolist()
    assert np.array_equal(parted.trained[0], whole.trained[0])
    assert "28 families of rna to train on, 7 held out, 5 to test" in parted.described()
    with pytest.raises(ValueError, match="test_families: got 13, wanted at most"):
        recipe(tmp_path, held_out_families=12, test_families=13)


def test_two_processes_see_the_batch_of_one(folder):
    options = {"window": 20, "mask_fraction": 0.0, "homologs": 2, "batch_size": 5}
    whole = batches(folder, **options)[3]
    parts = [batches(folder, rank, 2, **options)[3] for rank in range(2)]
    pairs = whole.pairs_of_rank[0]
    assert sum(parts[0].pairs_of_rank) == pairs
    rows = []
    for place in range(3):
        for part in parts:
            own = part.pairs_of_rank[part.rank]
            rows.append(part.tokens[place * own : (place + 1) * own])
    import torch

    assert torch.equal(torch.cat(rows), whole.tokens)


def test_what_is_predicted_is_what_is_hidden(folder):
    batch = batches(folder, loss="masked", mask_fraction=0.3)[0]
    hidden_letters = batch.tokens == MASK_BASE
    assert (batch.labels[hidden_letters] >= 0).all()
    assert (batch.labels[~hidden_letters] == -100).all()
    assert 0.15 < hidden_letters.float().mean() < 0.4


def test_families_of_like_length_come_together_where_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    members = lambda n: tuple(  # noqa: E731
        Homolog(s, "g", s, "".join(rng.choice(list("ACGT"), n))) for s in ("a", "b")
    )
    lengths = rng.integers(40, 2000, 64)
    write_families(
        (HomologFamily(f"f{i}", "rna", members(n)) for i, n in enumerate(lengths)), tmp_path
    )

    def spread(**changes):
        made = batches(tmp_path, batch_size=8, **changes)
        steps = [[lengths[f] for _, f in made.located(s)] for s in range(8)]
        assert sorted(sum(steps, [])) == sorted(lengths)
        return np.mean([np.std(step) for step in steps])

    assert spread(length_matched=True) < spread() / 4


def test_what_takes_no_part_is_said(tmp_path):
    members = tuple(Homolog(s, "g", s, "ACGTACGTAC") for s in ("a", "b"))
    near, far = (np.array([[0, d], [d, 0]]) for d in (0.1, 1.0))
    write_families(
        [
            HomologFamily("one", "rna", members[:1]),
            HomologFamily("near", "rna", members, near),
            HomologFamily("far", "rna", members, far),
            HomologFamily("near too", "rna", members, near),
        ],
        tmp_path,
    )
    made = batches(tmp_path, positives="bands", bands=[[0.0, 0.5]])
    assert "2 families of rna to train on" in made.described()
    assert "left out: 1, family of one" in made.described()
    assert "left out: 1, family without a pair in any band" in made.described()
    assert "family of one" not in batches(tmp_path, windows="disjoint", window=4).described()
    with pytest.raises(InputError, match=r"bands: got \[5.0, 6.0\], which holds no pair"):
        batches(tmp_path, bands=[[0.0, 0.5], [5.0, 6.0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positives": "bands"}, "bands: got none"),
        ({"bands": [[0.5, 0.1]]}, "ascending"),
        ({"windows": "disjoint"}, "window: got none with disjoint windows"),
        ({"windows": {"disjoint": 0.0}, "window": 10}, "with weights above 0"),
        ({"windows": "apart"}, "independent, same, disjoint"),
        ({"positives": "mutation", "homologs": 2}, "homologs: got several"),
        ({"loss": "masked"}, "mask_fraction"),
        ({"critic": "bilinear", "encoder": "sites"}, "critic: got bilinear with an encoder"),
        ({"model": {"alphabet": "protein"}}, "model.alphabet: got one"),
        ({"model": {"fillters": [8]}}, "did you mean filters"),
        ({"encoder": "transformer"}, "Input should be"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        recipe(folder, **changes)
