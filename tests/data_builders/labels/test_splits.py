import random

import numpy as np
import pytest

from data_builders.labels.splits import (
    SEEDS,
    SPLITS,
    few_rows,
    groups_to_split,
    homology_split,
    read_chromosomes,
    similar_groups,
)
from data_builders.records import InputError, Transcript


def walked(groups, seed, fractions):
    """The protocol, one row after the other."""
    n = len(groups)
    quotas = [round(fractions[0] * n), round(fractions[1] * n), n]
    home = {}
    for row in np.random.default_rng(seed).permutation(n):
        group = groups[row] or row
        if group not in home:
            filled = [sum(home.get(g or i) == s for i, g in enumerate(groups)) for s in range(3)]
            home[group] = min(s for s in range(3) if filled[s] < quotas[s])
    return [[i for i, g in enumerate(groups) if home[g or i] == s] for s in range(3)]


@pytest.mark.parametrize("seed", SEEDS)
def test_split_is_the_walk_of_the_protocol(seed):
    rng = random.Random(seed)
    groups = [rng.choice([None, *"abcdefghijklmnopqrstuvwxyz"]) for _ in range(200)]
    sides = homology_split(groups, seed)
    assert [list(side) for side in sides] == walked(groups, seed, (0.7, 0.15, 0.15))

    assert sorted(np.concatenate(sides)) == list(range(200))
    train, valid, test = ({groups[row] for row in side} - {None} for side in sides)
    assert not (train & valid or train & test or valid & test)


def test_large_groups_leave_every_side_near_its_quota():
    sizes = [len(side) for side in homology_split([str(i // 20) for i in range(400)], 1)]
    assert sizes == [280, 60, 60]


def test_rows_without_a_group_are_split_to_the_quotas():
    assert [len(side) for side in homology_split([None] * 1000, 1)] == [700, 150, 150]
    assert [len(side) for side in homology_split([None] * 10, 1, (0.5, 0.2, 0.3))] == [5, 2, 3]


def test_seeds_differ_and_repeat():
    first, again, other = (homology_split([None] * 100, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_one_group_cannot_be_split():
    with pytest.raises(InputError, match=r"got \(9, 0, 0\) of 9 rows"):
        homology_split(["a"] * 9, 1)


def test_fractions_must_sum_to_1():
    with pytest.raises(InputError, match="wanted three that sum to 1"):
        homology_split([None] * 9, 1, (0.7, 0.2, 0.2))


def test_ten_seeds():
    assert len(set(SEEDS)) == 10


def transcript(name, gene="g", sequence="ACGT"):
    return Transcript(name, gene, "s", sequence)


def letters(length, seed):
    return "".join(random.Random(seed).choices("ACGT", k=length))


def mutated(sequence, share, seed=0):
    """Another base at `share` of the places, at random."""
    rng = random.Random(seed)
    return "".join(
        rng.choice("ACGT".replace(base, "")) if rng.random() < share else base for base in sequence
    )


# --- What is kept together


def test_what_each_split_keeps_on_one_side():
    first = letters(500, 1)
    rows = [
        transcript("ENST00000000001.2", "g1", first),
        transcript("t2", "ENSG00000000002.7", letters(500, 2)),
        transcript("t3", "g3", mutated(first, 0.02)),
    ]
    chromosomes = {"ENST00000000001": "X", "ENSG00000000002": "2", "g3": "X"}
    kept = {split: groups_to_split(split, rows, ["a", "b", "b"], chromosomes) for split in SPLITS}
    assert kept["homology"] == ["a", "b", "b"]
    assert kept["random"] == [None] * 3
    assert kept["chromosome"] == ["X", "2", "X"]  # whatever the versions of Ensembl ids
    a, b, c = kept["k-mer"]
    assert a == c != b


def test_a_chromosome_of_the_transcript_goes_before_its_genes():
    assert groups_to_split("chromosome", [transcript("t")], ["a"], {"t": "1", "g": "2"}) == ["1"]


@pytest.mark.parametrize(
    ("split", "chromosomes", "message"),
    [
        ("letter", None, "got 'letter', wanted one of homology, random, chromosome, k-mer"),
        ("chromosome", None, "got no chromosomes, wanted one for each transcript"),
        (
            "chromosome",
            {"t": "1"},
            "for 1 of 2 transcripts, wanted one for each: the first is 'u' of 'g'",
        ),
    ],
)
def test_a_split_that_cannot_be_is_named(split, chromosomes, message):
    with pytest.raises(InputError, match=message):
        groups_to_split(split, [transcript("t"), transcript("u")], ["a", "b"], chromosomes)


# --- Chromosomes


def test_chromosomes_go_by_transcripts_and_genes_without_ensembl_versions(tmp_path):
    gene, one, other = "ENSG00000000001", "ENST00000000001", "ENST00000000002"
    table = tmp_path / "places.tsv"
    table.write_text(
        f"gene_id\ttranscript_id\tchromosome\n{gene}.1\t{one}.1\tX\n{gene}.1\t{other}.3\tX\n"
        "h.1\tv\t2\n"
    )
    assert read_chromosomes(table) == {gene: "X", one: "X", other: "X", "h.1": "2", "v": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene_id\tplace\ng\t1\n", "wanted chromosome and one of transcript_id, gene_id, gene"),
        ("name\tchromosome\ng\t1\n", "wanted chromosome and one of transcript_id, gene_id, gene"),
        ("gene\tchromosome\ng\t1\ng\t2\n", "gene 'g': got chromosomes '1' and '2', wanted one"),
        ("gene\tchromosome\ng\t1\nh\t\n", "row 2: chromosome: got nothing, wanted a value"),
    ],
)
def test_a_table_without_chromosomes_is_explained(text, message, tmp_path):
    table = tmp_path / "places.tsv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        read_chromosomes(table)


# --- Similar sequences


def together(*sequences):
    return len(set(similar_groups(sequences).tolist())) == 1


def test_sequences_are_similar_down_to_an_identity_of_about_84_per_cent():
    ancestor = letters(3000, 1)
    assert together(ancestor, mutated(ancestor, 0.11))
    assert not together(ancestor, mutated(ancestor, 0.21))
    assert not together(ancestor, letters(3000, 2))


def test_sequences_that_a_third_one_links_are_together():
    whole = letters(400, 1)
    left, right = whole[:220], whole[180:]
    assert not together(left, right)
    assert together(left, whole, right)


def test_similarity_is_that_of_all_words_when_they_are_few():
    # Of 101 words each, 20 shared: 20 / 182. With 18 it is 18 / 184, less than 0.1.
    for shared, similar in ((20, True), (18, False)):
        middle = letters(shared + 9, 5)
        rest = 110 - len(middle)
        assert together(letters(rest, 6) + middle, middle + letters(rest, 7)) is similar


def test_a_strand_is_not_its_complement():
    sequence = letters(500, 1)
    assert not together(sequence, sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1])


def test_words_with_n_do_not_count_and_sequences_without_words_are_alone():
    sequence = letters(300, 1)
    assert together(sequence, sequence[:100] + "N" + sequence[101:])
    groups = similar_groups(["N" * 300, "N" * 300, "ACGT", "ACGT", "", letters(50, 1)])
    assert len(set(groups.tolist())) == 6
    assert len(set(similar_groups(["N" * 20, ""]).tolist())) == 2


def test_many_sequences_are_grouped_as_few_are():
    families = [letters(200, seed) for seed in range(350)]
    rows = [mutated(family, 0.02, seed) for seed, family in enumerate(2 * families)]
    groups = similar_groups(rows)  # in two blocks
    assert (groups[:350] == groups[350:]).all()
    assert len(set(groups.tolist())) == 350


@pytest.mark.parametrize("seed", [0, 2541])
def test_few_rows_are_nested(seed):
    train, validation, _ = homology_split([None] * 1000, seed)
    sizes = (4, 7, 14, 35, 70, 210, 700)
    parts = [few_rows(train, validation, size, seed) for size in sizes]
    for few, many in zip(parts, parts[1:], strict=False):
        assert all(set(a) <= set(b) for a, b in zip(few, many, strict=True))
    assert [len(known) for known, _ in parts] == list(sizes)
    assert [len(known) for _, known in parts] == [10, 10, 10, 10, 15, 45, 150]
    assert (parts[-1][0] == train).all() and (parts[-1][1] == validation).all()
    assert not (few_rows(train, validation, 70, seed + 1)[0] == parts[4][0]).all()


def test_few_validation_rows_are_all_known():
    _, known = few_rows(np.arange(40), np.arange(40, 46), 20, 0)
    assert (known == np.arange(40, 46)).all()
