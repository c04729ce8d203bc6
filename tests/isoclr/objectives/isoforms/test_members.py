import numpy as np
import pyarrow as pa
import pytest

from data_builders.records import InputError
from group_tables import group_table, member, random_groups
from isoclr.objectives.isoforms.members import concatenate, flat_column, members_of


def as_lists(members):
    """Of each group, what is known of its members; genes by their first member."""
    out = []
    for start, end in zip(members.offsets, members.offsets[1:], strict=False):
        genes = members.genes[start:end].tolist()
        out.append(
            [
                (
                    members.species_names[members.species[i]],
                    genes.index(members.genes[i]),
                    int(members.lengths[i]),
                    int(members.cds_start[i]),
                    int(members.cds_end[i]),
                )
                for i in range(start, end)
            ]
        )
    return out


def expected(groups):
    return [
        [
            (species, [m[1] for m in group].index(gene), len(sequence), start, end)
            for species, gene, sequence, start, end, _ in group
        ]
        for group in groups
    ]


@pytest.mark.parametrize("start, rows", [(0, 40), (7, 11), (39, 1), (5, 0)])
def test_members_are_those_of_the_rows_also_of_a_slice(start, rows):
    groups = random_groups(40)
    table = group_table(*groups).slice(start, rows)
    assert as_lists(members_of(table, "x")) == expected(groups[start : start + rows])


def test_a_table_of_several_chunks_and_large_types_reads_the_same():
    groups = random_groups(20)
    table = group_table(*groups)
    chunked = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    large = table.set_column(
        table.column_names.index("sequence"),
        "sequence",
        table["sequence"].cast(pa.large_list(pa.large_string())),
    )
    assert as_lists(members_of(chunked, "x")) == as_lists(members_of(large, "x"))
    assert as_lists(members_of(chunked, "x")) == expected(groups)
    assert as_lists(members_of(large.slice(8, 9), "x")) == expected(groups[8:17])


def test_parts_concatenate_to_the_whole():
    groups = random_groups(30)
    table = group_table(*groups)
    whole = concatenate([members_of(table.slice(i, 7), "x") for i in range(0, 30, 7)])
    assert as_lists(whole) == expected(groups)
    assert whole.transcripts.tolist() == list(range(sum(map(len, groups))))
    assert whole.counts.tolist() == [len(group) for group in groups] and len(whole) == 30


def test_select_keeps_numbers_and_may_empty_a_group():
    groups = random_groups(30, seed=1)
    members = members_of(group_table(*groups), "x")
    keep = members.lengths <= 20
    chosen = members.select(keep)
    assert as_lists(chosen) == expected([[m for m in g if len(m[2]) <= 20] for g in groups])
    assert chosen.transcripts.tolist() == np.flatnonzero(keep).tolist()
    assert 0 in chosen.counts


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.drop_columns("species"), "f: species: got no such column, wanted a list"),
        (lambda t: _replaced(t, "cds_end", pa.array([1, 2])), "f: cds_end: got int64, wanted"),
        (lambda t: _replaced(t, "species", pa.array([["a"], ["a", "b"]])), "species: got other"),
        (lambda t: _replaced(t, "species", pa.array([["a"], [None]])), "species: got a null"),
        (lambda t: _replaced(t, "sequence", pa.array([["A"], None])), "sequence: got a null"),
    ],
)
def test_tables_that_are_no_groups_are_errors(change, message):
    with pytest.raises(InputError, match=message):
        members_of(change(group_table([member()], [member()])), "f")


def _replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


def test_entries_begin_where_their_buffers_do_and_only_slices_are_copied():
    table = group_table(*random_groups(20))
    letters = table["sequence"].chunk(0).values.buffers()[2]
    _, whole = flat_column(table, "sequence", "x")
    assert whole.buffers()[2].address == letters.address
    for part in (table.slice(5, 9), pa.concat_tables([table.slice(0, 3), table.slice(3)])):
        offsets, entries = flat_column(part, "sequence", "x")
        assert entries.offset == 0 == offsets[0] and offsets[-1] == len(entries)
        assert entries.to_pylist() == [s for row in part["sequence"].to_pylist() for s in row]
