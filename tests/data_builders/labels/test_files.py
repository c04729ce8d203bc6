import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from data_builders.labels.files import SPLITS, read_label_set, write_label_set
from data_builders.labels.label_set import LabelSet, read_labels
from data_builders.labels.splits import homology_split
from data_builders.records import InputError, Transcript

N = 60
TRANSCRIPTS = tuple(
    Transcript(f"t{i}", f"g{i}", "human", "ATGTAA", 0, 6, [(), (3,), None][i % 3]) for i in range(N)
)
GROUPS = tuple(f"h{i // 4}" for i in range(N))
NUMBERS = LabelSet("half_life", TRANSCRIPTS, np.arange(N) / 7, GROUPS, {"matched": N})
CLASSES = LabelSet(
    "go",
    TRANSCRIPTS,
    np.random.default_rng(0).random((N, 5)) < 0.3,
    GROUPS,
    {"matched": N, "unmatched": 3},
    ("a", "b", "never", "d", "e"),
)
CLASSES.targets[:, 2] = False


@pytest.mark.parametrize("labels", [NUMBERS, CLASSES])
def test_round_trip(tmp_path, labels):
    path = tmp_path / "labels.parquet"
    write_label_set(labels, path, seed=3)
    found, rows = read_label_set(path)
    assert (found.label, found.transcripts, found.groups, found.classes, found.report) == (
        *(labels.label, labels.transcripts, labels.groups, labels.classes, labels.report),
    )
    assert found.targets.dtype == labels.targets.dtype
    assert (found.targets == labels.targets).all()
    for side, expected in zip(SPLITS, homology_split(GROUPS, 3), strict=True):
        assert rows[side].tolist() == expected.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["labels.parquet"]


def test_no_homology_group_on_two_sides(tmp_path):
    path = tmp_path / "labels.parquet"
    write_label_set(NUMBERS, path)
    rows = read_label_set(path)[1]
    sides = [{GROUPS[i] for i in rows[side]} for side in SPLITS]
    assert sum(map(len, sides)) == len(set().union(*sides)) == len(set(GROUPS))


def test_a_file_is_a_label_table_with_its_groups(tmp_path):
    path = tmp_path / "labels.parquet"
    write_label_set(NUMBERS, path)
    found = read_labels(path, "half_life")
    assert (found.transcripts, found.groups) == (TRANSCRIPTS, GROUPS)
    assert (found.targets == NUMBERS.targets).all()


def test_a_file_is_a_dataset(tmp_path):
    path = tmp_path / "labels.parquet"
    write_label_set(CLASSES, path)
    row = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))[1]
    assert row["exon_junctions"] == [3]
    assert row["go"] == [n for n, on in zip(CLASSES.classes, CLASSES.targets[1], strict=True) if on]


def test_a_label_may_not_be_named_like_another_column(tmp_path):
    labels = LabelSet("split", TRANSCRIPTS, NUMBERS.targets, GROUPS, {})
    with pytest.raises(InputError, match="label: got the name 'split', wanted none of trans"):
        write_label_set(labels, tmp_path / "labels.parquet")


def test_what_is_no_label_set(tmp_path):
    path = tmp_path / "labels.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"labels\.parquet: got '.+', wanted a Parquet file of"):
        read_label_set(path)
    write_label_set(NUMBERS, path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(InputError, match="got a Parquet file of something else, wanted labels"):
        read_label_set(path)
