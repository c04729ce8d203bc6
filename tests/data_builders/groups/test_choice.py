"""Parts of the groups of a dataset: they share none, and are the same in another dataset."""

import pytest

from data_builders.groups.choice import GroupChoice, percentile
from data_builders.groups.parquet import read_groups
from data_builders.records import InputError


def test_parts_make_the_whole_and_share_no_group(groups_folder):
    every = [group.group_id for group in read_groups(groups_folder)]
    ends = (0, 55, 67, 100)
    parts = [
        [group.group_id for group in GroupChoice(part=part).read(groups_folder)]
        for part in zip(ends, ends[1:], strict=False)
    ]
    assert all(parts) and sorted(sum(parts, [])) == sorted(every)
    assert list(GroupChoice().read(groups_folder)) == list(read_groups(groups_folder))
    assert percentile("9606:TP53") == 17  # whoever names a part means the same


def test_transcripts_are_left_out_by_cds_and_length(groups_folder):
    lengths = [len(t.sequence) for group in read_groups(groups_folder) for t in group.transcripts]
    longest = sorted(lengths)[len(lengths) // 2]
    found = list(GroupChoice(coding=True, longest=longest).read(groups_folder))
    kept = [t for group in found for t in group.transcripts]
    wanted = [
        t
        for group in read_groups(groups_folder)
        for t in group.transcripts
        if t.cds_start >= 0 and len(t.sequence) <= longest
    ]
    assert kept == wanted and 0 < len(kept) < len(lengths)
    assert all(group.transcripts for group in found)


@pytest.mark.parametrize("part", [(10, 10), (50, 101), (-1, 3)])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(InputError, match="part of the groups: got"):
        GroupChoice(part=part)
