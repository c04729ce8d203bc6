import random

import pytest

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups import grouping
from data_builders.groups.grouping import GroupCounts, Grouping, group_hash, group_tables
from data_builders.groups.transcripts import GeneNames
from data_builders.homology.homologous_genes import Homology
from data_builders.homology.matches import MatchCounter
from data_builders.records import InputError, Transcript
from data_builders.text import Tally

A = Transcript("a", "g1", "human", "ACGTACGT", 0, 6, (3, 5))
B = Transcript("b", "g1", "human", "ACGTACGT", 0, 6, ())
C = Transcript("c", "g2", "human", "ACG", -1, -1, None)
D = Transcript("d", "m1", "mouse", "GGG")
E = Transcript("e", "m2", "mouse", "TTT")
HOMOLOGY = Homology({("9606", "g1"): "H", ("9606", "G2SYM"): "H", ("10090", "m1"): "H"})
SYMBOLS = {("human", "g2"): "G2SYM", ("mouse", "m2"): "G2SYM"}


@pytest.fixture
def grouped(tmp_path_factory):
    """group_id -> transcripts, of what `group_tables` yields."""

    def run(transcripts, homology=None, *, symbols=None, tally=None, shard=(0, 1), **keywords):
        workspace = tmp_path_factory.mktemp("workspace")
        groups = {}
        for table in group_tables(
            transcripts,
            workspace,
            Grouping(**keywords),
            matches=None if homology is None else MatchCounter(homology),
            names=GeneNames(symbols=symbols or {}),
            shard=shard,
            counts=GroupCounts(tally=tally or Tally()),
        ):
            assert table.schema.equals(GROUP_SCHEMA)
            table.validate(full=True)
            for row in table.to_pylist():
                group_id = row.pop("group_id")
                assert group_id not in groups
                groups[group_id] = [
                    Transcript(
                        *member[:-1], member[-1] if member[-1] is None else tuple(member[-1])
                    )
                    for member in zip(*row.values(), strict=True)
                ]
        return groups

    return run


def members(groups):
    return {name: "".join(t.transcript_id for t in group) for name, group in groups.items()}


def by_hand(transcripts):
    """Groups by gene, as one would write it if memory did not matter, and how many repeat."""
    groups, repeated = {}, 0
    for t in transcripts:
        group = groups.setdefault(f"{t.species}:{t.gene_id}", [])
        content = [(u.sequence, u.cds_start, u.cds_end, u.exon_junctions) for u in group]
        if (t.sequence, t.cds_start, t.cds_end, t.exon_junctions) in content:
            repeated += 1
        else:
            group.append(t)
    return dict(sorted(groups.items(), key=lambda item: group_hash(item[0]))), repeated


def many(n, seed=0):
    rng = random.Random(seed)
    structures = [None, (), (1,), (1, 2)]
    return [
        Transcript(
            f"t{i}",
            f"g{rng.randrange(n // 12)}",
            rng.choice(["human", "mouse"]),
            "".join(rng.choices("AC", k=rng.choice([1, 30]))),
            *rng.choice([(-1, -1), (0, 3)]),
            rng.choice(structures),
        )
        for i in range(n)
    ]


def test_a_gene_is_a_group(grouped):
    expected = {"human:g1": "ab", "mouse:m1": "d", "human:g2": "c", "mouse:m2": "e"}
    assert members(grouped([A, D, B, C, E])) == expected


def test_homologous_genes_across_and_within_species(grouped):
    def found(merge):
        return members(grouped([A, B, C, D, E], HOMOLOGY, merge=merge, symbols=SYMBOLS))

    assert found("across") == {"H": "abcd", "mouse:m2": "e"}
    assert found("within") == {"H:human": "abc", "H:mouse": "d", "mouse:m2": "e"}


def test_unknown_merge(grouped):
    with pytest.raises(InputError, match="merge: got 'all', wanted 'across' or 'within'"):
        Grouping(merge="all")
    with pytest.raises(InputError, match="select: got 'all', wanted one of mane, appris, longest"):
        Grouping(select="all")


def test_duplicates_and_long_transcripts_are_dropped_and_counted(grouped):
    again = Transcript("x", "g1", "human", A.sequence, 0, 6, (3, 5))
    elsewhere = Transcript("y", "g9", "human", A.sequence, 0, 6, (3, 5))
    edge = Transcript("z", "g1", "human", "A" * 10)
    long = Transcript("l", "g1", "human", "A" * 11)
    tally = Tally()
    groups = grouped([A, again, elsewhere, edge, long], max_length=10, tally=tally)
    assert members(groups) == {"human:g1": "az", "human:g9": "y"}
    assert (tally.read, tally.kept) == (5, 3)
    assert tally.skipped == {"duplicate in its group": 1, "longer than 10 nt": 1}
    with pytest.raises(InputError, match="^human x: duplicate in its group$"):
        grouped([A, again], tally=Tally(strict=True))
    with pytest.raises(InputError, match="^human l: longer than 10 nt$"):
        grouped([A, long], max_length=10, tally=Tally(strict=True))


def test_the_hash_never_changes():
    assert group_hash("human:g1") == 0x50CF4070869C171C
    assert group_hash("Gène") == 0xD245D6C57E83E9AF


@pytest.mark.parametrize("in_memory", [1 << 20, 20_000, 3_000])
def test_through_any_number_of_runs_and_ranges(grouped, monkeypatch, in_memory):
    monkeypatch.setattr(grouping, "_BYTES_IN_MEMORY", in_memory)
    transcripts, tally = many(300), Tally()
    expected, repeated = by_hand(transcripts)
    found = grouped(transcripts, tally=tally)
    assert found == expected
    assert list(found) == list(expected)
    assert repeated > 5
    assert tally.skipped == {"duplicate in its group": repeated}
    assert (tally.read, tally.kept) == (300, 300 - repeated)


def test_memory_holds_one_run_and_one_range(tmp_path, monkeypatch):
    monkeypatch.setattr(grouping, "_BYTES_IN_MEMORY", 10_000)
    tables = list(group_tables(many(300), tmp_path))
    runs = list(tmp_path.iterdir())
    assert 300 // len(runs) < 10_000 // 256
    assert len(tables) >= len(runs) - 1
    assert max(table.num_rows for table in tables) < sum(table.num_rows for table in tables) / 5


def test_order_depends_on_the_names_alone(grouped):
    transcripts = many(100)
    order = list(grouped(transcripts))
    assert order == list(grouped(transcripts[::-1])) == sorted(order, key=group_hash)
    assert order != sorted(order)


def test_groups_of_equal_hash_stay_apart(grouped, monkeypatch):
    monkeypatch.setattr(grouping, "group_hash", lambda group_id: len(group_id) % 2)
    transcripts = many(100)
    found, (expected, _) = grouped(transcripts), by_hand(transcripts)
    assert found == expected
    assert list(found) == sorted(expected, key=lambda name: (len(name) % 2, name))


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("merge", ["across", "within"])
def test_shards_are_a_partition(grouped, merge, shards):
    transcripts, whole_tally = [*many(60), A, B, C, D, E], Tally()
    whole = grouped(transcripts, HOMOLOGY, merge=merge, max_length=20, tally=whole_tally)
    union, tallies = {}, Tally()
    for number in range(shards):
        tally = Tally()
        part = grouped(
            transcripts,
            HOMOLOGY,
            merge=merge,
            max_length=20,
            shard=(number, shards),
            tally=tally,
        )
        assert not union.keys() & part.keys()
        union |= part
        tallies.update(tally)
    assert union == whole
    assert tallies == whole_tally
    assert len(tallies.skipped) == 2


def test_no_transcripts(grouped):
    assert grouped([]) == {}
