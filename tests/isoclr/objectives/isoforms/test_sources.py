"""Every group comes once an epoch, wherever it is read from."""

import pickle
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from data_builders.groups.parquet import SCHEMA
from data_builders.records import InputError
from isoclr.objectives.isoforms import sources
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.sources import MappedGroups, StreamedGroups
from modeling_isoclr import IsoCLRTokenizer

OPTIONS = {"batch_size": 5, "max_length": 100, "held_out": 4, "seed": 1}


def group(number, *lengths):
    n = len(lengths)
    return {
        "group_id": f"g{number}",
        "transcript_id": [f"g{number}_{i}" for i in range(n)],
        "gene_id": [f"g{number}"] * n,
        "species": ["x"] * n,
        "sequence": ["ACGT"[number % 4] * length for length in lengths],
        "cds_start": [-1] * n,
        "cds_end": [-1] * n,
        "exon_junctions": [None] * n,
    }


ROWS = [group(i, *[10 + j for j in range(i % 3 + 1)]) for i in range(60)]


def mapped(rows=ROWS, sizes=None, weights=(1,), **overrides):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    groups = ArrowGroups(table.to_batches(max_chunksize=7), IsoCLRTokenizer())
    return MappedGroups(groups, sizes or [len(rows)], weights, **{**OPTIONS, **overrides})


@pytest.fixture
def files(tmp_path):
    """Sixty groups in two files, in pieces of six rows."""
    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    for number, part in enumerate((table[:36], table[36:])):
        pq.write_table(part, tmp_path / f"{number}.parquet", row_group_size=6)
    return [partial(open, tmp_path / f"{number}.parquet", "rb") for number in (0, 1)]


def streamed(files, weights=(1,), **overrides):
    arguments = {**OPTIONS, **overrides}
    return StreamedGroups([files] * len(weights), weights, IsoCLRTokenizer(), **arguments)


def names(located):
    return [located.groups.group_id(row) for row in located.rows]


def epoch(source, number):
    per_epoch = source.order.steps_per_epoch
    return [
        names(source.locate(step)) for step in range(number * per_epoch, (number + 1) * per_epoch)
    ]


def test_each_group_comes_once_an_epoch_in_another_order():
    source = mapped()
    held_out = set(names(source.held_out()))
    assert len(held_out) == 4
    epochs = [sum(epoch(source, number), []) for number in (0, 1)]
    for order in epochs:
        assert sorted(order) == sorted({row["group_id"] for row in ROWS} - held_out)
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])


def test_what_is_too_long_is_left_out_and_counted():
    rows = [group(0, 10, 200), group(1, 300), *(group(i, 50) for i in range(2, 9))]
    source = mapped(rows)
    assert source.left_out == {
        "transcripts over 100 nt": 2,
        "groups with no transcript left": 1,
    }
    assert "g1" not in sum(epoch(source, 0), [])
    located = source.locate(0)
    assert located.eligible.counts[0] == 1
    with pytest.raises(InputError, match="no isoform group of at most 9 nt"):
        mapped(rows, max_length=9)


def test_datasets_of_several_weights_meet_in_every_step():
    source = mapped(sizes=[40, 20], weights=(1, 2), held_out=0)
    for number in (0, 3):
        order = epoch(source, number)
        flat = sum(order, [])
        assert sorted(flat) == sorted(
            [f"g{i}" for i in range(60)] + [f"g{i}" for i in range(40, 60)]
        )
        for step in order:
            assert len(step) == len(set(step)) or set(step) & {f"g{i}" for i in range(40, 60)}
            assert 1 <= sum(int(name[1:]) >= 40 for name in step) <= 4


def test_passes_name_the_visits_of_a_group():
    source = mapped(sizes=[40, 20], weights=(1, 2), held_out=0)
    seen = {}
    for step in range(2 * source.order.steps_per_epoch):
        located = source.locate(step)
        for name, number in zip(names(located), located.passes, strict=True):
            seen.setdefault(name, []).append(int(number))
    assert seen["g3"] == [0, 1] and seen["g55"] == [0, 1, 2, 3]


@pytest.mark.parametrize("window", [2, 16])
def test_a_stream_gives_each_group_once_an_epoch(files, monkeypatch, window):
    monkeypatch.setattr(sources, "WINDOW", window)
    source = streamed(files)
    aside = set(names(source.held_out()))
    assert aside <= {f"g{i}" for i in range(60)} and len(aside) == 4
    orders = [sum(epoch(source, number), []) for number in (0, 1)]
    missing = {f"g{i}" for i in range(60)} - set(orders[0])
    assert len(missing) == 6 and aside <= missing  # a piece is held out whole
    assert sorted(orders[0]) == sorted(orders[1]) and len(set(orders[0])) == 54
    assert orders[0] != orders[1]
    if window == 2:  # a window holds two pieces of six rows
        pieces = {int(name[1:]) // 6 for name in orders[0][:12]}
        assert len(pieces) == 2


def test_a_stream_starts_anywhere(files):
    from_the_start, later = streamed(files), streamed(files)
    before = [names(from_the_start.locate(step)) for step in range(15)]
    assert [names(later.locate(step)) for step in (14, 3)] == [before[14], before[3]]
    copied = pickle.loads(pickle.dumps(streamed(files)))  # as a worker process gets it
    assert names(copied.locate(7)) == before[7]


def test_keys_of_a_stream_are_those_of_the_rows_in_all_data(files):
    located = streamed(files).locate(2)
    assert [f"g{key}" for key in located.keys] == names(located)
    source = streamed(files, weights=(1, 1))
    keys = [key for step in range(source.order.steps_per_epoch) for key in source.locate(step).keys]
    assert len(keys) == len(set(keys)) == 54 + 60


def test_groups_too_long_make_a_streams_batches_smaller(files):
    source = streamed(files, max_length=10)  # drops members, never a whole group
    assert len(sum(epoch(source, 0), [])) == 54
    source = streamed(files, max_length=5, held_out=0)
    assert not len(source.locate(0).rows)


def test_one_piece_cannot_be_streamed(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), tmp_path / "one.parquet")
    with pytest.raises(InputError, match="got one row group, wanted two"):
        streamed([partial(open, tmp_path / "one.parquet", "rb")])


def test_mapped_and_streamed_transcripts_have_the_same_tokens(groups_folder):
    dataset = load_dataset(str(groups_folder), split="train")
    whole = ArrowGroups(dataset.data.table.to_batches(), IsoCLRTokenizer())
    (file,) = sorted(groups_folder.glob("data/*.parquet"))
    source = StreamedGroups(
        [[partial(open, file, "rb")] * 2], [1], IsoCLRTokenizer(), **{**OPTIONS, "max_length": 9999}
    )
    located = source.locate(0)
    by_name = {whole.group_id(row): row for row in range(len(whole))}
    for row in located.rows:
        other = by_name[located.groups.group_id(row)]
        first = located.groups.members.offsets[row], whole.members.offsets[other]
        assert np.array_equal(located.groups.tokens(first[0]), whole.tokens(first[1]))


@pytest.mark.parametrize("name", ["exon_junctions", "transcript_id", "cds_start", "species"])
@pytest.mark.parametrize("change", ["one less", "one more", "a null"])
def test_lists_of_other_lengths_are_an_error_not_other_tokens(name, change):
    """Else each transcript behind it would have the junctions of its neighbour."""
    rows = [{**row} for row in ROWS]
    entries = list(rows[4][name])
    extra = entries[-1]
    rows[4][name] = {"one less": entries[:-1], "one more": [*entries, extra], "a null": None}[
        change
    ]
    message = "got other numbers of entries than sequence" if change != "a null" else "got a null"
    with pytest.raises(InputError, match=f"data: {name}: {message}"):
        mapped(rows)


def test_a_null_among_junctions_is_an_error():
    rows = [*ROWS[:3], {**ROWS[3], "exon_junctions": [[2, None]]}]
    with pytest.raises(InputError, match="data: exon_junctions: got a null in a list"):
        mapped(rows)
