"""Every group comes once an epoch, wherever it is read from."""

import os
import pickle
import shutil
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups.loading import content_checksum, load_groups
from data_builders.records import InputError
from isoclr.objectives.isoforms import sources
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.objectives.isoforms.sources import MappedGroups, StreamedGroups, build_batches
from modeling_isoclr import IsoCLRTokenizer

OPTIONS = {"batch_size": 5, "max_length": 100, "held_out": 4, "seed": 1}


def sequence(number, length):
    """Of no two groups the same."""
    digits = "".join("ACGT"[number // 4**place % 4] for place in range(4))
    return digits[:length].ljust(length, digits[0])


def group(number, *lengths):
    n = len(lengths)
    return {
        "group_id": f"g{number}",
        "transcript_id": [f"g{number}_{i}" for i in range(n)],
        "gene_id": [f"g{number}"] * n,
        "species": ["x"] * n,
        "sequence": [sequence(number, length) for length in lengths],
        "cds_start": [-1] * n,
        "cds_end": [-1] * n,
        "exon_junctions": [None] * n,
    }


ROWS = [group(i, *[10 + j for j in range(i % 3 + 1)]) for i in range(60)]


def mapped(rows=ROWS, sizes=None, weights=(1,), **overrides):
    table = pa.Table.from_pylist(rows, schema=GROUP_SCHEMA)
    groups = ArrowGroups(table.to_batches(max_chunksize=7), IsoCLRTokenizer())
    return MappedGroups(groups, sizes or [len(rows)], weights, **{**OPTIONS, **overrides})


@pytest.fixture
def files(tmp_path):
    """Sixty groups in two files, in pieces of six rows."""
    table = pa.Table.from_pylist(ROWS, schema=GROUP_SCHEMA)
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


def test_batches_of_like_lengths_are_the_groups_of_a_few_steps_by_length():
    rows = [group(i, 10 + 17 * i % 60) for i in range(60)]
    plain, like = (mapped(rows, held_out=0, like_lengths=steps) for steps in (1, 3))

    def lengths(located):
        return [len(rows[row]["sequence"][0]) for row in located.rows]

    per_epoch = plain.order.steps_per_epoch
    for begin in [*range(0, per_epoch, 3), per_epoch + 3]:
        end = min(begin + 3, per_epoch * (begin // per_epoch + 1))
        steps = range(begin, end)
        drawn = sum((names(plain.locate(step)) for step in steps), [])
        dealt = [like.locate(step) for step in steps]
        assert sorted(sum(map(names, dealt), [])) == sorted(drawn)
        by_length = sorted(dealt, key=lambda located: min(lengths(located)))
        assert sum((sorted(lengths(located)) for located in by_length), []) == sorted(
            sum(map(lengths, dealt), [])
        )
    places = {
        int(np.argmin([min(lengths(like.locate(3 * n + i))) for i in range(3)])) for n in range(3)
    }
    assert len(places) > 1  # the shortest do not always come first


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
    # Of the second copy all but the four groups that are held out of the first.
    assert len(keys) == len(set(keys)) == 54 + 56


def test_groups_too_long_make_a_streams_batches_smaller(files):
    source = streamed(files, max_length=10)  # drops members, never a whole group
    assert len(sum(epoch(source, 0), [])) == 54
    source = streamed(files, max_length=5, held_out=0)
    assert not len(source.locate(0).rows)


def test_one_piece_cannot_be_streamed(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS, schema=GROUP_SCHEMA), tmp_path / "one.parquet")
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


# Held-out groups are trained on nowhere.
def trained_on(source):
    return set(sum(epoch(source, 0), []))


def renamed(row, **columns):
    return {**row, **columns}


ALIKE = {
    "name": lambda row: renamed(row, gene_id=["other"], sequence=["T" * 50]),
    "gene": lambda row: renamed(row, group_id="other", sequence=["T" * 50]),
    "sequence": lambda row: renamed(row, group_id="other", gene_id=["other"], species=["y"]),
}


@pytest.mark.parametrize("how", ALIKE)
def test_what_is_like_a_held_out_group_is_not_trained_on(how):
    held_out = names(mapped().held_out())[0]
    (row,) = (row for row in ROWS if row["group_id"] == held_out)
    one = {name: value[:1] if isinstance(value, list) else value for name, value in row.items()}
    other, new = ALIKE[how](one), {**group(99, 20), "gene_id": ["n"], "group_id": "n"}
    source = mapped([*ROWS, other, new], sizes=[60, 2], weights=(1, 1))
    assert held_out in names(source.held_out())
    assert source.left_out["groups like one that is held out"] == 1
    assert "n" in trained_on(source) and not {held_out, "other"} & trained_on(source)
    with pytest.raises(InputError, match="no isoform group of at most 100 nt that is not held out"):
        mapped([*ROWS, other], sizes=[60, 1], weights=(1, 1))


def test_a_species_name_alone_is_no_gene():
    rows = [renamed(row, species=["y"] * len(row["species"])) for row in ROWS]
    rows = [renamed(row, group_id=f"y{row['group_id']}") for row in rows]
    rows = [
        renamed(row, sequence=[f"TTTT{letters}" for letters in row["sequence"]]) for row in rows
    ]
    source = mapped([*ROWS, *rows], sizes=[60, 60], weights=(1, 1))
    assert source.left_out["groups like one that is held out"] == 0


def recipe_of(*data, **overrides):
    values = {"data": list(data), "output": "never", "steps": 1, "held_out_groups": 4}
    return IsoformRecipe.model_validate(values | overrides)


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "groups", ROWS)


def write_dataset(folder, rows, files=2):
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema=GROUP_SCHEMA)
    for number in range(files):
        part = table.slice(number * len(rows) // files, len(rows) // files)
        name = f"train-{number:05d}-of-{files:05d}.parquet"
        pq.write_table(part, folder / "data" / name, row_group_size=6)
    return folder


@pytest.fixture(autouse=True)
def copies(tmp_path, monkeypatch):
    """Where `datasets` keeps its copies."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "copies")
    return tmp_path / "copies"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("again", ["itself", "a link", "a copy", "relative"])
def test_a_dataset_that_is_there_twice_is_refused(folder, monkeypatch, streaming, again):
    other = folder
    if again == "a link":
        other = folder.with_name("link")
        other.symlink_to(folder)
    elif again == "a copy":
        if streaming:
            pytest.skip("a stream's groups are compared one by one instead")
        other = shutil.copytree(folder, folder.with_name("copy"))
    elif again == "relative":
        monkeypatch.chdir(folder.parent)
        other = "groups"
    recipe = recipe_of(str(folder), {"path": str(other), "weight": 2}, streaming=streaming)
    with pytest.raises(InputError, match="data: got the groups of .* again in .*, wanted them"):
        build_batches(recipe, IsoCLRTokenizer(), 0, 1)


def test_a_copy_is_not_streamed_where_it_is_held_out(folder):
    copy = shutil.copytree(folder, folder.with_name("copy"))
    recipe = recipe_of(str(folder), str(copy), streaming=True)
    source = build_batches(recipe, IsoCLRTokenizer(), 0, 1).source
    held_out = set(names(source.held_out()))
    assert held_out and not held_out & trained_on(source)


@pytest.mark.parametrize("streaming", [False, True])
def test_files_of_other_names_are_not_of_the_dataset(folder, streaming):
    recipe = recipe_of(str(folder), streaming=streaming)
    before = build_batches(recipe, IsoCLRTokenizer(), 0, 1)
    file = folder / "data" / "train-00000-of-00002.parquet"
    for name in ("train-00000-of-00002.parquet.bak", "train-copy.parquet", ".train-x.parquet"):
        shutil.copy(file, folder / "data" / name)
    shutil.copy(file, folder / "test-00000-of-00001.parquet")
    after = build_batches(recipe, IsoCLRTokenizer(), 0, 1)
    assert after.source.fingerprint == before.source.fingerprint
    assert names(after.source.locate(0)) == names(before.source.locate(0))
    assert sum(after.source.order.sizes) == sum(before.source.order.sizes)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda d: (d / "train-00001-of-00002.parquet").unlink(), "got 1 of 2 files, wanted"),
        (
            lambda d: shutil.copy(
                d / "train-00000-of-00002.parquet", d / "train-00000-of-00001.parquet"
            ),
            "wanted one dataset",
        ),
        (lambda d: (d / "train-00001-of-00002.parquet").write_bytes(b"no Parquet"), "cannot be"),
        (lambda d: (d / "train-00001-of-00002.parquet").write_bytes(b""), "cannot be"),
        (lambda d: cut(d / "train-00001-of-00002.parquet"), "cannot be"),
    ],
)
def test_a_dataset_that_is_not_whole_is_one_clear_line(folder, streaming, alter, message):
    alter(folder / "data")
    with pytest.raises(InputError, match=message) as error:
        build_batches(recipe_of(str(folder), streaming=streaming), IsoCLRTokenizer(), 0, 1)
    assert "\n" not in str(error.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


# The same name and time, other content.
@pytest.mark.parametrize("cached", [False, True])
def test_a_file_replaced_within_its_time_is_read_anew(folder, tmp_path, cached):
    options = {"token_cache": str(tmp_path / "tokens")} if cached else {}
    before = build_batches(recipe_of(str(folder), **options), IsoCLRTokenizer(), 0, 1)
    times = {path: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}
    load_dataset("parquet", data_files=[str(p) for p in sorted(times)], split="train")
    swapped = [renamed(row, sequence=[s[::-1] for s in row["sequence"]]) for row in ROWS]
    shutil.rmtree(folder)
    write_dataset(folder, swapped)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    if cached:
        with pytest.raises(InputError, match="got a cache of another source"):
            build_batches(recipe_of(str(folder), **options), IsoCLRTokenizer(), 0, 1)
        shutil.rmtree(tmp_path / "tokens")
    after = build_batches(recipe_of(str(folder), **options), IsoCLRTokenizer(), 0, 1)
    assert after.source.fingerprint != before.source.fingerprint
    whole = load_dataset("parquet", data_files=[str(p) for p in sorted(times)], split="train")
    assert whole.to_list() == ROWS  # what datasets alone would train on
    wanted, found = mapped(swapped).groups, after.source.groups
    for transcript in range(int(wanted.members.offsets[-1])):
        assert np.array_equal(found.tokens(transcript), wanted.tokens(transcript))


def test_a_copy_with_flipped_bytes_is_refused(folder, copies):
    load_groups(folder)
    (path,) = copies.rglob("*.arrow")
    content = path.read_bytes()
    at = content.index(sequence(7, 11).encode())
    path.write_bytes(content[:at] + b"N" + content[at + 1 :])
    with pytest.raises(InputError, match="got other rows than were written, wanted the copy"):
        load_groups(folder)


def test_the_checksum_is_of_the_values_however_they_are_cut():
    table = pa.Table.from_pylist(ROWS, schema=GROUP_SCHEMA)
    whole = content_checksum(table.to_batches())
    for size in (1, 7, 60):
        assert content_checksum(table.to_batches(max_chunksize=size)) == whole
        assert (
            content_checksum(pa.concat_tables([table[:size], table[size:]]).to_batches()) == whole
        )
    large = table.schema.get_field_index("sequence")
    cast = table.set_column(
        large, "sequence", table["sequence"].cast(pa.large_list(pa.large_string()))
    )
    assert content_checksum(cast.to_batches()) == whole


@pytest.mark.parametrize(
    "columns",
    [
        {"group_id": "g4 "},
        {"sequence": [sequence(5, 11), sequence(4, 11)]},
        {"exon_junctions": [[], None]},
        {"exon_junctions": [None, []]},
        {"exon_junctions": [[3], [4]]},
        {"exon_junctions": [[3, 4], []]},
        {"cds_end": [3, -1]},
        {"species": ["xx", ""]},
    ],
)
def test_the_checksum_sees_every_change(columns):
    rows = [*ROWS[:4], {**ROWS[4], **columns}, *ROWS[5:]]
    found = {
        content_checksum(pa.Table.from_pylist(one, schema=GROUP_SCHEMA).to_batches())
        for one in (ROWS, rows, ROWS[:-1], ROWS[::-1])
    }
    assert len(found) == 4
