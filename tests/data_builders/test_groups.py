import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_builders.groups import SCHEMA, group_transcripts, read_groups, write_groups
from data_builders.homology import Homology
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.text import Tally

A = Transcript("a", "g1", "human", "ACGTACGT", 0, 6, (3, 5))
B = Transcript("b", "g1", "human", "ACGTACGT", 0, 6, ())
C = Transcript("c", "g2", "human", "ACG", -1, -1, None)
D = Transcript("d", "m1", "mouse", "GGG")
E = Transcript("e", "m2", "mouse", "TTT")
HOMOLOGY = Homology({("9606", "g1"): "H", ("9606", "G2SYM"): "H", ("10090", "m1"): "H"})
SYMBOLS = {("human", "g2"): "G2SYM", ("mouse", "m2"): "G2SYM"}


def members(groups):
    return {g.group_id: "".join(t.transcript_id for t in g.transcripts) for g in groups}


def test_a_gene_is_a_group():
    groups = group_transcripts([A, D, B, C, E])
    assert members(groups) == {"human:g1": "ab", "mouse:m1": "d", "human:g2": "c", "mouse:m2": "e"}
    assert [group.group_id for group in groups][:2] == ["human:g1", "mouse:m1"]


def test_homologous_genes_across_and_within_species():
    def grouped(merge):
        transcripts = [A, B, C, D, E]
        return members(group_transcripts(transcripts, HOMOLOGY, merge, gene_symbols=SYMBOLS))

    assert grouped("across") == {"H": "abcd", "mouse:m2": "e"}
    assert grouped("within") == {"H:human": "abc", "H:mouse": "d", "mouse:m2": "e"}


def test_unknown_merge():
    with pytest.raises(ValueError, match="merge: got 'all', wanted 'across' or 'within'"):
        group_transcripts([A], HOMOLOGY, "all")


def test_duplicates_and_long_transcripts_are_dropped_and_counted():
    again = Transcript("x", "g1", "human", A.sequence, 0, 6, (3, 5))
    elsewhere = Transcript("y", "g9", "human", A.sequence, 0, 6, (3, 5))
    edge = Transcript("z", "g1", "human", "A" * 10)
    long = Transcript("l", "g1", "human", "A" * 11)
    tally = Tally()
    groups = group_transcripts([A, again, elsewhere, edge, long], max_length=10, tally=tally)
    assert members(groups) == {"human:g1": "az", "human:g9": "y"}
    assert (tally.read, tally.kept) == (5, 3)
    assert tally.skipped == {"duplicate in its group": 1, "longer than 10 nt": 1}


GROUPS = [IsoformGroup("human:g1", (A, B)), IsoformGroup("x", (C,)), IsoformGroup("y", (D, E))]


@pytest.mark.parametrize(("rows", "shards"), [(1, 3), (2, 2), (3, 1), (100, 1)])
def test_round_trip(tmp_path, rows, shards):
    paths = write_groups(iter(GROUPS), tmp_path, rows)
    names = [f"train-{i:05d}-of-{shards:05d}.parquet" for i in range(shards)]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == names
    assert list(read_groups(tmp_path)) == GROUPS
    assert pq.read_schema(paths[0]).equals(SCHEMA)


def test_datasets_opens_it(tmp_path):
    write_groups(GROUPS, tmp_path / "d", 2)
    (tmp_path / "d" / "report.json").write_text("{}")
    rows = datasets.load_dataset(str(tmp_path / "d"), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows["group_id"][:] == ["human:g1", "x", "y"]
    assert rows["exon_junctions"][:] == [[[3, 5], []], [None], [None, None]]
    assert rows[0]["sequence"] == [A.sequence, B.sequence]
    assert rows[2]["cds_start"] == [-1, -1]


def test_what_was_there_stays_until_the_new_is_whole(tmp_path):
    write_groups(GROUPS, tmp_path, 1)

    def breaks():
        yield GROUPS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_groups(breaks(), tmp_path, 1)
    assert list(read_groups(tmp_path)) == GROUPS
    write_groups(GROUPS[:1], tmp_path)
    assert list(read_groups(tmp_path)) == GROUPS[:1]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_nothing_to_write(tmp_path):
    with pytest.raises(InputError, match="got no isoform group to write"):
        write_groups([], tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match=r"data: got no train-\*\.parquet"):
        list(read_groups(tmp_path))
    first, *_ = write_groups(GROUPS, tmp_path, 1)
    other = pa.table({"group_id": ["x"]})
    pq.write_table(other, first)
    with pytest.raises(InputError, match="columns: got group_id, wanted isoform groups"):
        list(read_groups(tmp_path))
    first.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"00000-of-00003\.parquet: got '.*', wanted Parquet"):
        list(read_groups(tmp_path))
    first.unlink()
    with pytest.raises(InputError, match="got 2 shards, wanted 3"):
        list(read_groups(tmp_path))
