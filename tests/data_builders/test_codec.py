"""Whatever a transcript is, it comes back from Arrow as it went."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_builders.codec import (
    FIELDS,
    GROUP_SCHEMA,
    TRANSCRIPT_SCHEMA,
    groups_of_table,
    table_of_groups,
    transcript_columns,
    transcripts_of_table,
)
from data_builders.groups.parquet import read_groups, write_groups
from data_builders.records import IsoformGroup, Transcript

INT32 = st.integers(-1, 2**31 - 1)
NAMES = st.text(st.characters(codec="utf-8"))
TRANSCRIPTS = st.builds(
    Transcript,
    transcript_id=NAMES,
    gene_id=NAMES,
    species=NAMES,
    sequence=st.text("ACGTN", max_size=50),
    cds_start=INT32,
    cds_end=INT32,
    exon_junctions=st.none() | st.lists(INT32, max_size=6).map(tuple),
)
GROUPS = st.builds(
    IsoformGroup,
    group_id=NAMES,
    transcripts=st.lists(TRANSCRIPTS, min_size=1, max_size=4).map(tuple),
)


@given(st.lists(TRANSCRIPTS, max_size=8))
def test_transcripts_come_back(transcripts):
    table = pa.table(transcript_columns(transcripts), schema=TRANSCRIPT_SCHEMA)
    table.validate(full=True)
    assert list(transcripts_of_table(table)) == transcripts


@given(st.lists(GROUPS, max_size=6), st.data())
def test_groups_come_back_however_their_table_is_cut(groups, data):
    table = table_of_groups(groups)
    assert table.schema.equals(GROUP_SCHEMA)
    table.validate(full=True)
    assert list(groups_of_table(table)) == groups
    cut = data.draw(st.integers(0, len(groups)))
    parts = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert list(groups_of_table(parts)) == groups
    assert list(groups_of_table(table.slice(cut))) == groups[cut:]


def test_a_group_has_the_fields_of_its_transcripts():
    assert GROUP_SCHEMA.names == ["group_id", *FIELDS] == ["group_id", *Transcript.__slots__]
    for field in TRANSCRIPT_SCHEMA:
        assert GROUP_SCHEMA.field(field.name).type == pa.list_(field.type)


def test_unknown_exons_are_not_one_exon(tmp_path):
    kinds = (None, (), (3,), (3, 5))
    group = IsoformGroup(
        "g", tuple(Transcript("t", "g", "s", "ACGTACGT", -1, -1, kind) for kind in kinds)
    )
    write_groups([group], tmp_path)
    assert list(read_groups(tmp_path)) == [group]
