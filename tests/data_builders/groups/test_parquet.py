import shutil

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups.parquet import read_groups, write_groups, write_tables
from data_builders.records import InputError, IsoformGroup, Transcript

A = Transcript("a", "g1", "human", "ACGTACGT", 0, 6, (3, 5))
B = Transcript("b", "g1", "human", "ACGTACGT", 0, 6, ())
C = Transcript("c", "g2", "human", "ACG", -1, -1, None)
D = Transcript("d", "m1", "mouse", "GGG")
E = Transcript("e", "m2", "mouse", "TTT")
GROUPS = [IsoformGroup("human:g1", (A, B)), IsoformGroup("x", (C,)), IsoformGroup("y", (D, E))]


@pytest.mark.parametrize(("rows", "shards"), [(1, 3), (2, 2), (3, 1), (100, 1)])
def test_round_trip(tmp_path, rows, shards):
    paths = write_groups(iter(GROUPS), tmp_path, rows)
    names = [f"train-{i:05d}-of-{shards:05d}.parquet" for i in range(shards)]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == names
    assert list(read_groups(tmp_path)) == GROUPS
    assert pq.read_schema(paths[0]).equals(GROUP_SCHEMA)


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
    write_groups(GROUPS, tmp_path / "old")
    for folder in ("new", "old"):
        with pytest.raises(InputError, match=f"{folder}: got no isoform group to write"):
            write_groups([], tmp_path / folder)
    assert not (tmp_path / "new").exists()
    assert list(read_groups(tmp_path / "old")) == GROUPS


@pytest.mark.parametrize("rows_in_tables", [[0, 5], [5], [1, 4], [2, 0, 3], [1] * 5])
@pytest.mark.parametrize("rows_per_file", [1, 2, 3, 5, 9])
def test_files_have_as_many_rows_however_tables_are_cut(tmp_path, rows_in_tables, rows_per_file):
    whole = table("abcde")
    at = [sum(rows_in_tables[:i]) for i in range(len(rows_in_tables))]
    tables = (whole.slice(i, n) for i, n in zip(at, rows_in_tables, strict=True))
    paths = write_tables(tables, tmp_path / "data", rows_per_file)
    rows = [pq.read_table(path)["group_id"].to_pylist() for path in paths]
    assert sum(rows, []) == list("abcde")
    assert {len(each) for each in rows[:-1]} <= {rows_per_file}
    assert 0 < len(rows[-1]) <= rows_per_file


def table(names):
    columns = {name: [["x"]] * len(names) for name in GROUP_SCHEMA.names[1:5]}
    numbers = {name: [[1]] * len(names) for name in GROUP_SCHEMA.names[5:7]}
    junctions = {"exon_junctions": [[None]] * len(names)}
    return pa.table({"group_id": list(names)} | columns | numbers | junctions, schema=GROUP_SCHEMA)


SHARDS = ["abc", "", "de"]  # group_ids, at two a file
FILES = [
    "train-00000-of-00003-part-0000-of-0002.parquet",
    "train-00000-of-00003-part-0001-of-0002.parquet",
    "train-00001-of-00003-part-0000-of-0001.parquet",
    "train-00002-of-00003-part-0000-of-0001.parquet",
]


@pytest.fixture
def merged(tmp_path):
    """A folder into which the files of three shards were put."""
    (tmp_path / "merged" / "data").mkdir(parents=True)
    for number, names in enumerate(SHARDS):
        paths = write_tables([table(names)], tmp_path / str(number), 2, (number, 3))
        for path in paths:
            shutil.copy(path, tmp_path / "merged" / "data")
    return tmp_path / "merged"


def test_shards_put_into_one_folder_are_a_dataset(merged):
    assert sorted(path.name for path in (merged / "data").iterdir()) == FILES
    assert [group.group_id for group in read_groups(merged)] == list("abcde")


def test_datasets_opens_shards_as_one_split(merged, tmp_path):
    by_pattern = {"data_files": str(merged / "data" / "train-*.parquet")}
    for path, keywords in ((str(merged), {}), ("parquet", by_pattern)):
        opened = datasets.load_dataset(path, **keywords, cache_dir=str(tmp_path / "cache"))
        assert list(opened) == ["train"]
        assert opened["train"]["group_id"][:] == list("abcde")
        streamed = datasets.load_dataset(path, **keywords, streaming=True)
        assert list(streamed) == ["train"]
        assert [row["group_id"] for row in streamed["train"]] == list("abcde")
    assert pq.read_table(merged / "data")["group_id"].to_pylist() == list("abcde")


@pytest.mark.parametrize("name", FILES)
def test_no_file_of_a_shard_may_be_missing(merged, name):
    (merged / "data" / name).unlink()
    shard_without_a_file = name.replace("0001-of-0002", "0000-of-0001")
    wanted = shard_without_a_file if "of-0001" in name else name
    with pytest.raises(InputError, match=f"data: got 3 of 4 files, wanted {wanted} too$"):
        list(read_groups(merged))


def test_files_of_two_datasets(merged):
    data, here = merged / "data", FILES[0]
    for other in (
        "train-00000-of-00001.parquet",
        "train-00000-of-00003.parquet",
        "train-00000-of-00004-part-0000-of-0001.parquet",
        "train-00002-of-00003-part-0001-of-0003.parquet",
    ):
        shutil.copy(data / here, data / other)
        with pytest.raises(InputError, match=r"data: got '.*' beside '.*', wanted one dataset$"):
            list(read_groups(merged))
        (data / other).unlink()
    assert len(list(read_groups(merged))) == 5


def test_what_an_interruption_left_is_not_read_around(merged):
    (merged / ".complete-00001-of-00003").mkdir()
    with pytest.raises(InputError, match=r"\.complete-00001-of-00003: got a dataset that an inter"):
        list(read_groups(merged))


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
    with pytest.raises(InputError, match="got 2 of 3 files, wanted train-00000-of-00003.parquet"):
        list(read_groups(tmp_path))
