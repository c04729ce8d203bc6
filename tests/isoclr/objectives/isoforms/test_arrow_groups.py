"""Tokens of a table are those of the tokenizer, wherever its buffers begin."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import load_dataset

from data_builders.records import InputError
from group_tables import group_table, member, random_groups, write_groups_table
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from modeling_isoclr import IsoCLRTokenizer

TOKENIZER = IsoCLRTokenizer()


def arrow_groups(table, tokenizer=TOKENIZER, source="x"):
    return ArrowGroups(table.to_batches(), tokenizer, source)


def one_by_one(groups, tokenizer=TOKENIZER):
    return [
        tokenizer.tokenize_transcript(sequence, (start, end), junctions).tolist()
        for group in groups
        for _, _, sequence, start, end, junctions in group
    ]


def all_tokens(made):
    """Tokens of all transcripts, made at once; one by one they are the same."""
    single = [made.tokens(transcript).tolist() for transcript in range(len(made.members.lengths))]
    assert [tokens.tolist() for tokens in made.all_tokens()] == single
    return single


@pytest.mark.parametrize("start, rows", [(0, 80), (9, 31), (79, 1)])
def test_a_table_becomes_the_tokens_of_its_transcripts(start, rows):
    groups = random_groups(80)
    made = arrow_groups(group_table(*groups).slice(start, rows))
    assert all_tokens(made) == one_by_one(groups[start : start + rows])
    assert made.tokens(0).dtype == np.uint8 and len(made) == rows


def test_a_slice_of_large_types_becomes_its_tokens_too():
    groups = random_groups(20)
    table = group_table(*groups)
    large = table["sequence"].cast(pa.large_list(pa.large_string()))
    table = table.set_column(table.column_names.index("sequence"), "sequence", large).slice(5, 9)
    assert all_tokens(arrow_groups(table)) == one_by_one(groups[5:14])


def test_what_datasets_streams_is_such_a_table(tmp_path):
    groups = random_groups(30)
    folder = write_groups_table(group_table(*groups), tmp_path, shards=2)
    stream = load_dataset(str(folder), split="train", streaming=True).with_format("arrow")
    tokens = [
        tokens for table in stream.iter(batch_size=7) for tokens in all_tokens(arrow_groups(table))
    ]
    assert tokens == one_by_one(groups)


@pytest.mark.parametrize(
    "bad",
    [
        member(sequence=""),
        member(sequence="ACGTX"),
        member(sequence="ACGé"),
        member(cds=(0, 12)),
        member(cds=(-1, 3)),
        member(cds=(0, -1)),
        member(cds=(3, 3)),
        member(cds=(6, 3)),
        member(cds=(0, 4)),
        member(junctions=[0]),
        member(junctions=[9]),
        member(junctions=[-3]),
        member(junctions=[4, 4]),
        member(junctions=[5, 2]),
    ],
    ids=str,
)
def test_what_the_tokenizer_refuses_is_refused_in_its_words(bad):
    _, _, sequence, start, end, junctions = bad
    with pytest.raises(ValueError) as wanted:
        TOKENIZER.tokenize_transcript(sequence, (start, end), junctions, "group group1: t1.2")
    table = group_table([member()], [member(), member(), bad], [member()])
    made = arrow_groups(table, source="file.parquet")
    for refused in (made.all_tokens, lambda: all_tokens(made)):
        with pytest.raises(InputError) as found:
            refused()
        assert str(found.value) == f"file.parquet: {wanted.value}"


def test_sound_transcripts_are_tokenized_at_once_as_one_by_one(monkeypatch):
    made = arrow_groups(group_table(*random_groups(60)))
    single = [made.tokens(transcript).tolist() for transcript in range(len(made.members.lengths))]
    monkeypatch.setattr(made, "tokens", None)
    assert [tokens.tolist() for tokens in made.all_tokens()] == single


def test_a_tokenizer_that_reads_unknown_letters_as_n_is_followed():
    lenient = IsoCLRTokenizer(unknown_letters="N")
    groups = [[member(sequence="ACRYé", cds=(0, 3), junctions=[2])], [member(), member(cds=(3, 9))]]
    made = arrow_groups(group_table(*groups), lenient)
    assert all_tokens(made) == one_by_one(groups, lenient)


def test_letters_may_begin_late_in_a_buffer_of_offsets_that_is_too_long():
    groups = [[member(sequence="ACG"), member(sequence="TTGGA")], [member(sequence="C")]]
    buffers = [pa.py_buffer(np.array([4, 7, 12, 13, 99])), pa.py_buffer(b"GGGGACGTTGGACGGGG")]
    letters = pa.LargeStringArray.from_buffers(3, *buffers)
    column = pa.LargeListArray.from_arrays(pa.array([0, 2, 3]), letters)
    table = group_table(*groups)
    table = table.set_column(table.column_names.index("sequence"), "sequence", column)
    assert all_tokens(arrow_groups(table)) == one_by_one(groups)


def test_junctions_descend_between_transcripts_not_within():
    groups = [[member(junctions=[8]), member(junctions=[1, 2]), member(junctions=[2])]]
    assert all_tokens(arrow_groups(group_table(*groups))) == one_by_one(groups)


def test_junction_lists_must_be_one_a_transcript():
    table = group_table([member()], [member()])
    column = pa.array([[None, None], []], pa.list_(pa.list_(pa.int32())))
    table = table.set_column(table.column_names.index("exon_junctions"), "exon_junctions", column)
    with pytest.raises(InputError, match="x: exon_junctions: got other numbers of entries than"):
        arrow_groups(table)
