import json
import random
from itertools import product

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from data_builders.groups.parquet import read_groups, write_groups
from data_builders.records import InputError, IsoformGroup, Transcript
from isoclr.evaluation.features import kmer_frequencies
from isoclr.evaluation.figures_retrieve import plot_retrieval
from isoclr.evaluation.retrieve import (
    TYPES,
    Retrieval,
    draw_pairs,
    edit_identity,
    rank_partners,
    retrieve,
    retrieve_model,
)
from isoclr.evaluation.search import whitened

GROUPS = 60


def random_sequence(rng, length=120, letters="ACGT"):
    return "".join(rng.choices(letters, k=length))


def substituted(sequence, rate, rng):
    return "".join(
        rng.choice("ACGT".replace(base, "")) if rng.random() < rate else base for base in sequence
    )


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """Groups of two species, two genes of each and two isoforms of each; and groups of one."""
    rng = random.Random(0)
    groups = []
    for g in range(GROUPS):
        ancestor = random_sequence(rng)
        members = tuple(
            Transcript(f"{s}{g}{h}{i}", f"g{g}{h}", s, substituted(ancestor, 0.1, rng))
            for s, h, i in product(("human", "mouse"), "ab", "12")
        )
        groups.append(IsoformGroup(f"family{g}", members))
        alone = Transcript(f"alone{g}", f"x{g}", "fly", random_sequence(rng))
        groups.append(IsoformGroup(f"fly:x{g}", (alone,)))
    folder = tmp_path_factory.mktemp("families")
    write_groups(groups, folder)
    return folder


@pytest.fixture(scope="module")
def sample(families):
    return draw_pairs(families, queries=50, candidates=10_000, seed=0)


def test_pairs_are_of_their_type_and_group_one_a_group(families, sample):
    assert len(sample.transcripts) == sum(len(g.transcripts) for g in read_groups(families))
    group_of = {
        (t.species, t.transcript_id): group.group_id
        for group in read_groups(families)
        for t in group.transcripts
    }
    asked = []
    for number, query, partner in zip(sample.types, sample.queries, sample.partners, strict=True):
        q, p = sample.transcripts[query], sample.transcripts[partner]
        group = group_of[q.species, q.transcript_id]
        assert group == group_of[p.species, p.transcript_id]
        assert TYPES[number] == (
            "ortholog"
            if q.species != p.species
            else "paralog"
            if q.gene_id != p.gene_id
            else "splice"
        )
        assert q.sequence != p.sequence
        asked.append((number, group))
    assert len(set(asked)) == len(asked) == 3 * 50


def test_pairs_are_uniform_over_members_and_partners(families):
    ids = [
        sample.transcripts[row].transcript_id
        for seed in range(20)
        for sample in [draw_pairs(families, seed=seed)]
        for rows in (sample.queries, sample.partners)
        for row in rows[sample.types == TYPES.index("ortholog")]
    ]
    assert len(ids) == 2 * 20 * GROUPS
    kinds = [(name.startswith("human"), name[-2:]) for name in ids]
    _, counts = np.unique([str(kind) for kind in kinds], return_counts=True)
    assert len(counts) == 8
    # 2,400 in 8 kinds: 300 each, standard deviation 16.
    assert 240 < counts.min() and counts.max() < 360


def test_the_sample_is_filled_up_to_the_candidates_and_repeats_with_its_seed(families):
    small = draw_pairs(families, queries=3, candidates=40, seed=5)
    assert len(small.transcripts) == 40
    again = draw_pairs(families, queries=3, candidates=40, seed=5)
    assert again.transcripts == small.transcripts
    assert (again.queries == small.queries).all() and (again.partners == small.partners).all()
    other = draw_pairs(families, queries=3, candidates=40, seed=6)
    assert other.transcripts != small.transcripts
    # Pairs are never left out for want of room.
    least = draw_pairs(families, queries=3, candidates=1, seed=5)
    assert {t.transcript_id for t in least.transcripts} == {
        small.transcripts[row].transcript_id for row in [*small.queries, *small.partners]
    }


def test_rivals_are_strangers_of_the_partners_species_for_orthologs(sample):
    n = len(sample.transcripts)
    rivals = sample.rivals(slice(None))
    for row, (number, query, partner) in enumerate(
        zip(sample.types, sample.queries, sample.partners, strict=True)
    ):
        expected = [
            sample.groups[other] != sample.groups[query]
            and (
                TYPES[number] != "ortholog"
                or sample.transcripts[other].species == sample.transcripts[partner].species
            )
            for other in range(n)
        ]
        assert rivals[row].tolist() == expected


def test_copies_of_the_pair_in_other_groups_are_no_rivals(tmp_path):
    sequences = ("ACGT", "ACGA", "ACGT", "ACGA", "TTTT")
    genes = ("a", "a", "b", "c", "d")
    groups = {}
    for i, (gene, sequence) in enumerate(zip(genes, sequences, strict=True)):
        groups.setdefault(gene, []).append(Transcript(f"t{i}", gene, "s", sequence))
    write_groups([IsoformGroup(g, tuple(members)) for g, members in groups.items()], tmp_path)
    sample = draw_pairs(tmp_path)
    assert len(sample.queries) == 1
    assert np.flatnonzero(sample.rivals(slice(None))[0]).tolist() == [4]


def test_a_species_of_two_names_has_isoforms_and_no_orthologs(tmp_path):
    names = ("fly", "drosophila_melanogaster")
    members = tuple(Transcript(f"t{i}", "g", s, "ACGT"[i:]) for i, s in enumerate(names))
    write_groups([IsoformGroup("g", members)], tmp_path)
    assert [TYPES[number] for number in draw_pairs(tmp_path).types] == ["splice"]


@pytest.mark.parametrize("block", [1, 7, 256])
def test_ranks_are_those_counted_one_by_one(sample, block):
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(len(sample.transcripts), 3)) + 5
    found = rank_partners(embeddings, sample, block=block)
    centred = embeddings - embeddings.mean(0)

    def cosine(a, b):
        a, b = centred[a], centred[b]
        return a @ b / np.sqrt((a @ a) * (b @ b))

    for row, (query, partner) in enumerate(zip(sample.queries, sample.partners, strict=True)):
        rivals = np.flatnonzero(sample.rivals(slice(row, row + 1))[0])
        ahead = sum(cosine(query, other) >= cosine(query, partner) for other in rivals)
        assert found[row] == 1 + ahead


def test_planted_partners_come_first_and_a_constant_embedding_finds_none(sample):
    exact = np.random.default_rng(0).normal(size=(2 * GROUPS, 64))[sample.groups]
    constant = np.ones((len(sample.transcripts), 4))
    result = retrieve({"exact": exact, "constant": constant}, sample)
    assert (result.ranks["exact"] == 1).all()
    assert (result.ranks["constant"] == result.candidates).all()
    for row in result.summary():
        assert row["scores"]["exact"] == dict.fromkeys(("recall@1", "recall@10", "mrr"), (1, 1, 1))
        assert row["scores"]["constant"]["recall@10"] == (0, 0, 0)


def test_whitened_embeddings_hear_what_varies_little(sample):
    rng = np.random.default_rng(0)
    loud = rng.normal(size=(len(sample.transcripts), 1)) @ rng.normal(size=(1, 40))
    quiet = rng.normal(size=(GROUPS * 2, 40))[sample.groups]
    embeddings = loud + 0.1 * quiet
    raw, white = (rank_partners(e, sample) for e in (embeddings, whitened(embeddings)))
    assert (raw == 1).mean() < 0.5
    assert (white == 1).mean() > 0.9
    units = 10.0 ** rng.integers(-3, 4, size=40)
    constant = np.full((len(embeddings), 1), 0.1)  # whose mean is not 0.1 to the bit
    again = rank_partners(whitened(np.hstack([embeddings * units, constant])), sample)
    assert (again == white).all()


def test_whitened_axes_vary_alike_but_for_a_tenth_of_a_column():
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(500, 1)) + rng.normal(size=(500, 4)) * (0.1, 1, 1, 1)
    variances = np.linalg.eigvalsh(np.corrcoef(embeddings.T))
    wanted = np.diag(variances / (variances + 0.1))
    got = np.cov(whitened(embeddings).T, bias=True)
    assert got == pytest.approx(wanted, abs=1e-6)


def test_random_embeddings_score_what_chance_says(families):
    scores, chances = [], []
    for seed in range(10):
        sample = draw_pairs(families, seed=seed)
        noise = np.random.default_rng(seed).normal(size=(len(sample.transcripts), 32))
        for row in retrieve({"noise": noise}, sample).summary():
            if row["identity"] == "all":
                scores.append([row["scores"]["noise"][m][0] for m in row["chance"]])
                chances.append(list(row["chance"].values()))
    # 1,800 queries among 541 candidates (241 for orthologs).
    for i, error in enumerate((0.003, 0.01, 0.005)):
        assert np.mean(scores, axis=0)[i] == pytest.approx(np.mean(chances, axis=0)[i], abs=error)


def test_kmers_find_relatives_that_share_words(sample):
    result = retrieve({"6-mers": kmer_frequencies(sample.transcripts, 6, 6)}, sample)
    everywhere = [row for row in result.summary() if row["identity"] == "all"]
    # A tenth of the letters changed on either side: four fifths are left, words of six a quarter.
    assert all(row["scores"]["6-mers"]["recall@1"][0] > 0.9 for row in everywhere)


def test_interval_is_that_of_a_bootstrap_over_queries(sample):
    n = len(sample.queries)
    ranks = np.where(np.arange(n) % 4 == 0, 1, 20)
    candidates = np.full(n, 100)
    result = Retrieval(sample, 0, np.full(n, 0.7), candidates, {"x": ranks})
    rows = result.summary()
    assert [(r["pairs"], r["identity"]) for r in rows] == list(product(TYPES, ("all", "60-80 %")))
    value, low, high = rows[0]["scores"]["x"]["recall@1"]
    first = ranks[sample.types == 0] == 1
    assert value == first.mean()
    half_width = 1.96 * np.sqrt(value * (1 - value) / len(first))
    assert (low, high) == pytest.approx((value - half_width, value + half_width), abs=0.025)
    assert rows[0]["chance"]["recall@1"] == pytest.approx(0.01)
    assert rows[0]["chance"]["recall@10"] == pytest.approx(0.1)
    assert rows[0]["chance"]["mrr"] == pytest.approx(sum(1 / i for i in range(1, 101)) / 100)


def test_every_pair_is_in_one_bin(sample):
    n = len(sample.queries)
    identities = np.random.default_rng(0).choice([0, 0.39, 0.4, 0.6, 0.8, 0.949, 0.95, 1], n)
    ones = np.ones(n, int)
    rows = Retrieval(sample, 0, identities, ones, {"x": ones}).summary()
    for kind in TYPES:
        of_kind = identities[sample.types == TYPES.index(kind)]
        counts = {r["identity"]: r["queries"] for r in rows if r["pairs"] == kind}
        assert counts.pop("all") == len(of_kind) == sum(counts.values())
        assert counts["40-60 %"] == (of_kind == 0.4).sum()
        assert counts["95-100 %"] == (of_kind >= 0.95).sum()


def edit_distance(first, second):
    """By the recurrence of Wagner and Fischer; N is unlike N."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row = row, [i]
        for j, b in enumerate(second, 1):
            differ = a != b or a == "N"
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + differ))
    return row[-1]


def test_identity_is_that_of_an_exact_alignment():
    rng = random.Random(0)
    for _ in range(300):
        one, other = (random_sequence(rng, rng.randint(1, 70), "AACCGGTTN") for _ in "ab")
        expected = 1 - edit_distance(one, other) / max(len(one), len(other))
        assert edit_identity(one, other) == pytest.approx(expected, abs=1e-12)


def test_identity_of_known_changes():
    rng = random.Random(0)
    sequence = random_sequence(rng, 3000)
    for rate in (0.02, 0.1, 0.2):
        assert edit_identity(sequence, substituted(sequence, rate, rng)) == pytest.approx(
            1 - rate, abs=0.02
        )
    assert edit_identity(sequence, sequence[:1000] + sequence[1600:]) == pytest.approx(0.8)
    assert edit_identity(sequence, sequence) == 1
    # Unrelated: what chance alone aligns.
    assert edit_identity(sequence, random_sequence(rng, 3000)) == pytest.approx(0.48, abs=0.02)


def test_a_model_beside_random_weights_and_kmers(groups_folder, model_folder, tmp_path):
    result = retrieve_model(model_folder, groups_folder, tmp_path / "out", queries=8, candidates=60)
    encoders = [
        f"{name}{how}"
        for name in (model_folder.name, "random weights")
        for how in ("", ", whitened")
    ]
    assert list(result.ranks) == [*encoders, "codons", "amino-acid pairs", "6-mers"]
    read = json.loads((tmp_path / "out" / "retrieve.json").read_text())
    assert read["transcripts"] == len(result.sample.transcripts)
    assert sum(read["queries"].values()) == len(result.sample.queries)
    assert read["summary"][0]["scores"].keys() == result.ranks.keys()
    pairs = pl.read_csv(tmp_path / "out" / "retrieve.tsv", separator="\t")
    assert pairs["rank by 6-mers"].to_list() == result.ranks["6-mers"].tolist()
    assert pairs["query"][0] == result.sample.transcripts[result.sample.queries[0]].transcript_id
    lines = result.table().splitlines()
    assert lines[0].startswith(f"{read['transcripts']:,} transcripts; pairs: ")
    assert lines[2].split("  ")[0] == "pairs" and lines[2].endswith("chance")
    first, whole = lines[3], read["summary"][0]
    value, low, high = whole["scores"][model_folder.name]["recall@1"]
    assert first.startswith(f"{whole['pairs']}")
    at_ten = whole["scores"][model_folder.name]["recall@10"][0]
    assert f"{value:.3f} [{low:.3f}, {high:.3f}] {at_ten:.3f} " in first
    assert len(lines) == 3 + len(read["summary"])
    image = imread(tmp_path / "out" / "retrieve.png")
    assert all((edge == 1).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


def test_bad_input_is_named(families, sample, tmp_path):
    with pytest.raises(InputError, match="queries: got 0, wanted at least 1"):
        draw_pairs(families, queries=0)
    with pytest.raises(InputError, match="candidates: got -1, wanted at least 1"):
        draw_pairs(families, candidates=-1)
    write_groups([IsoformGroup("g", (Transcript("t", "g", "s", "A"),) * 2)], tmp_path)
    with pytest.raises(InputError, match="got 1 groups without two transcripts of different"):
        draw_pairs(tmp_path)
    n = len(sample.transcripts)
    for wrong in (np.ones((n - 1, 2)), np.ones(n), np.full((n, 2), np.nan)):
        with pytest.raises(InputError, match=rf"embeddings: got shape .*, wanted \({n}, width\)"):
            rank_partners(wrong, sample)
    for wrong in (np.ones(n), np.full((n, 2), np.nan)):
        with pytest.raises(InputError, match=r"embeddings: got shape .*, wanted \(n, width\)"):
            whitened(wrong)


@pytest.mark.parametrize("kinds", [("splice",), ("splice", "paralog", "ortholog")])
def test_the_figure_stays_within_its_edges(kinds, tmp_path):
    names = ["isoclr-small-of-a-long-name", "isoclr-small-of-a-long-name, whitened"]
    names += ["random weights", "random weights, whitened", "6-mers"]
    scores = {name: {"recall@1": (0.5, 0.4, 0.6)} for name in names}
    chance = {"recall@1": 0.01}
    summary = [
        {"pairs": kind, "identity": "all", "queries": 10, "chance": chance, "scores": scores}
        for kind in kinds
    ]
    title = "5,085 transcripts; pairs: 1,000 splice, 637 paralog, 1,000 ortholog; seed 0"
    plot_retrieval(summary, title, tmp_path / "r.png")
    image = imread(tmp_path / "r.png")
    edges = (image[0], image[-1], image[:, 0], image[:, -1])
    assert all((edge == 1).all() for edge in edges)  # white: nothing is cut off
