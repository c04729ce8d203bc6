import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from data_builders.labels.files import read_label_set, write_label_set
from data_builders.labels.label_set import LabelSet, read_labels
from data_builders.records import InputError, Transcript

N = 60
TRANSCRIPTS = tuple(
    Transcript(f"t{i}", f"g{i}", "human", "ATGTAA", 0, 6, [(), (3,), None][i % 3]) for i in range(N)
)
GROUPS = tuple(f"h{i // 4}" for i in range(N))


def label_set(label, task, targets, classes=(), report=None):
    return LabelSet(
        label=label,
        task=task,
        targets=targets,
        classes=classes,
        transcripts=TRANSCRIPTS,
        groups=GROUPS,
        report=report or {"matched": N},
    )


NUMBERS = label_set("half_life", REGRESSION, np.arange(N) / 7)
CLASSES = label_set(
    "go",
    MULTILABEL,
    np.random.default_rng(0).random((N, 5)) < 0.3,
    ("a", "b", "never", "d", "e"),
    {"matched": N, "unmatched": 3},
)
CLASSES.targets[:, 2] = False
SETS = (
    NUMBERS,
    CLASSES,
    label_set("coding", BINARY, np.arange(N) % 3 == 0),
    label_set("organ", MULTICLASS, np.arange(N) % 3, ("liver", "lung", "skin")),
    label_set("zero_or_one", REGRESSION, (np.arange(N) % 2).astype(float)),
)


@pytest.mark.parametrize("labels", SETS, ids=lambda labels: labels.label)
def test_round_trip(tmp_path, labels):
    path = tmp_path / "labels.parquet"
    write_label_set(labels, path)
    found = read_label_set(path)
    for name in ("label", "task", "transcripts", "groups", "classes", "report"):
        assert getattr(found, name) == getattr(labels, name)
    assert found.targets.dtype == labels.targets.dtype
    assert (found.targets == labels.targets).all()
    assert [p.name for p in tmp_path.iterdir()] == ["labels.parquet"]
    assert "split" not in pq.read_schema(path).names


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
    labels = label_set("sequence", REGRESSION, NUMBERS.targets)
    with pytest.raises(InputError, match="label: got the name 'sequence', wanted none of trans"):
        write_label_set(labels, tmp_path / "labels.parquet")


def test_what_is_no_label_set(tmp_path):
    path = tmp_path / "labels.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(
        InputError, match=r"labels\.parquet: got '.+', wanted the Parquet file of a label set"
    ):
        read_label_set(path)
    write_label_set(NUMBERS, path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(InputError, match="got a Parquet file of something else, wanted labels"):
        read_label_set(path)
