import numpy as np
import pytest

from data_builders.groups.parquet import read_groups
from data_builders.labels.files import write_label_set
from data_builders.labels.label_set import Join, read_labels
from data_builders.labels.source import LabelSource
from data_builders.records import InputError


@pytest.fixture
def labels(clade, groups_folder):
    join = Join(isoform_groups=read_groups(groups_folder))
    return read_labels(clade.half_life, "half_life", join)


def same(one, other):
    return (one.transcripts, one.groups) == (other.transcripts, other.groups) and np.array_equal(
        one.targets, other.targets
    )


def test_a_label_set_a_table_and_a_task_give_the_same_labels(
    clade, groups_folder, labels, tmp_path
):
    write_label_set(labels, tmp_path / "labels.parquet")
    assert same(LabelSource(path=tmp_path / "labels.parquet").read(), labels)
    told = LabelSource(path=tmp_path / "labels.parquet", task="half-life-human")
    assert same(told.read(), labels)
    table = {"path": clade.half_life, "isoform_groups": groups_folder}
    assert same(LabelSource(**table, label="half_life").read(), labels)
    task = {"task": "half-life-human", "species": clade.species[0]}
    assert same(LabelSource(**table, **task, label="half_life").read(), labels)


def test_a_table_that_carries_transcripts_is_human_unless_it_is_said(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("transcript_id\tgene_id\tsequence\tx\nt\tg\tACGT\t1.5\n")
    for species, expected in ((None, "homo_sapiens"), ("10090", "10090")):
        labels = LabelSource(path=path, label="x", species=species).read()
        assert labels.transcripts[0].species == expected
    path.write_text("transcript_id\tgene_id\tsequence\thalf_life\nt\tg\tACGT\t1.5\n")
    labels = LabelSource(path=path, task="half-life-mouse").read()
    assert labels.transcripts[0].species == "mus_musculus"


def test_a_label_set_has_its_groups_already(labels, groups_folder, tmp_path):
    write_label_set(labels, tmp_path / "labels.parquet")
    source = LabelSource(path=tmp_path / "labels.parquet", isoform_groups=groups_folder)
    with pytest.raises(InputError, match="got isoform groups or homology, wanted the label's"):
        source.read()
