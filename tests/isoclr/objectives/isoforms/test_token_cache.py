import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from data_builders.records import InputError
from group_tables import group_table, member, random_groups, write_groups_table
from isoclr.objectives.isoforms import token_cache
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.sampling import PairSampler
from isoclr.objectives.isoforms.token_cache import (
    build_token_cache,
    ensure_token_cache,
    open_token_cache,
)
from modeling_isoclr import IsoCLRTokenizer

TOKENIZER = IsoCLRTokenizer()


def one_by_one(groups, tokenizer=TOKENIZER):
    return [
        tokenizer.tokenize_transcript(sequence, (start, end), junctions).tolist()
        for group in groups
        for _, _, sequence, start, end, junctions in group
    ]


def all_tokens(made):
    assert len(made.flat) == made.bounds[-1]
    return [made.tokens(transcript).tolist() for transcript in range(len(made.bounds) - 1)]


def swap(one, other):
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


@pytest.fixture
def source(tmp_path):
    return write_groups_table(group_table(*random_groups(50)), tmp_path / "groups", shards=3)


@pytest.fixture
def cache(source, tmp_path):
    build_token_cache(source, tmp_path / "cache", TOKENIZER)
    return tmp_path / "cache"


def test_a_cache_has_the_tokens_and_members_of_its_source(source, cache, monkeypatch):
    groups = random_groups(50)
    made = open_token_cache(source, cache, TOKENIZER)
    assert all_tokens(made) == one_by_one(groups)
    assert not made.flat.flags.writeable and not made.tokens(3).flags.writeable
    whole = ArrowGroups(group_table(*groups).to_batches(), TOKENIZER).members
    pairs = [
        PairSampler(0, type_weights={"splice": 1, "ortholog": 1}).draw(m, np.arange(50), 2)
        for m in (made.members, whole)
    ]
    for name, values in vars(pairs[0]).items():
        assert values.tolist() == getattr(pairs[1], name).tolist()
    monkeypatch.setattr(token_cache, "_GROUPS_AT_ONCE", 4)
    build_token_cache(source, cache.with_name("in_small_batches"), TOKENIZER)
    for path in cache.glob("*.npy"):
        if path.name != "genes.npy":  # alike within a group only
            assert (
                path.read_bytes() == (cache.with_name("in_small_batches") / path.name).read_bytes()
            )


def test_a_cache_has_the_rows_of_load_dataset(source, cache):
    rows = load_dataset(str(source), split="train")
    made = open_token_cache(source, cache, TOKENIZER)
    lengths = [len(sequence) for row in rows for sequence in row["sequence"]]
    assert made.members.lengths.tolist() == lengths
    assert made.members.counts.tolist() == [len(row["sequence"]) for row in rows]


def test_tokens_are_a_byte_a_nucleotide_on_disk(source, cache):
    nucleotides = sum(len(m[2]) for group in random_groups(50) for m in group)
    assert (cache / "tokens.npy").stat().st_size == nucleotides + 128
    assert {path.name for path in cache.parent.iterdir()} == {"groups", "cache"}


@pytest.mark.parametrize(
    "change",
    [
        lambda source: write_groups_table(group_table(*random_groups(50, seed=1)), source, 3),
        lambda source: (
            shutil.rmtree(source),
            write_groups_table(group_table(*random_groups(50)), source, 2),
        ),
        lambda source: swap(
            source / "data/train-00000-of-00003.parquet",
            source / "data/train-00001-of-00003.parquet",
        ),
    ],
    ids=["content", "shards", "order"],
)
def test_a_cache_of_other_groups_is_an_error_until_it_is_built_again(source, cache, change):
    change(source)
    with pytest.raises(InputError, match="cache: got a cache of another source, wanted one of"):
        open_token_cache(source, cache, TOKENIZER)
    build_token_cache(source, cache, TOKENIZER)
    rows = [
        row
        for path in sorted((source / "data").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    made = open_token_cache(source, cache, TOKENIZER)
    lengths = [len(sequence) for row in rows for sequence in row["sequence"]]
    assert made.members.lengths.tolist() == lengths


def test_a_cache_of_another_tokenizer_is_an_error(source, cache, monkeypatch):
    message = "cache: got a cache of another tokenizer"
    with pytest.raises(InputError, match=message):
        open_token_cache(source, cache, IsoCLRTokenizer(unknown_letters="N"))
    changed = IsoCLRTokenizer()
    monkeypatch.setattr(
        changed, "tokenize_transcript", lambda *a, **k: TOKENIZER.tokenize_transcript(*a, **k) ^ 16
    )
    with pytest.raises(InputError, match=message):
        open_token_cache(source, cache, changed)


def test_a_cache_of_another_format_is_an_error(source, cache, monkeypatch):
    monkeypatch.setattr(token_cache, "_FORMAT", 99)
    with pytest.raises(InputError, match="cache: got a cache of another format"):
        open_token_cache(source, cache, TOKENIZER)


@pytest.mark.parametrize("name", ["tokens", "offsets", "species", "genes", "lengths", "cds_start"])
@pytest.mark.parametrize("damage", ["cut", "gone", "longer"])
def test_a_damaged_file_is_an_error(source, cache, name, damage):
    path = cache / f"{name}.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage == "cut" else content + b"\0")
    if damage == "gone":
        path.unlink()
    found = {"cut": len(content) - 1, "gone": 0, "longer": len(content) + 1}[damage]
    message = f"{name}.npy: got {found} bytes, wanted {len(content)}"
    with pytest.raises(InputError, match=message):
        open_token_cache(source, cache, TOKENIZER)


@pytest.mark.parametrize("text, message", [("{", "wanted JSON"), ("[]", "wanted a manifest")])
def test_a_damaged_manifest_is_an_error(source, cache, text, message):
    (cache / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        open_token_cache(source, cache, TOKENIZER)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["files"].pop("tokens.npy"),
        lambda manifest: manifest["species"].reverse(),
        lambda manifest: manifest.pop("checksum"),
        lambda manifest: manifest["files"]["tokens.npy"].update(bytes=1),
    ],
)
def test_a_manifest_of_other_values_is_an_error(source, cache, change):
    manifest = json.loads((cache / "manifest.json").read_text())
    change(manifest)
    (cache / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="manifest.json: got other values than were written"):
        open_token_cache(source, cache, TOKENIZER)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["offsets", "species", "genes", "lengths", "cds_end", "checksums"])
def test_a_flipped_bit_of_an_array_is_seen_when_the_cache_is_opened(source, cache, name):
    flip(cache / f"{name}.npy", -1)
    with pytest.raises(InputError, match=f"{name}.npy: got other bytes than were written"):
        open_token_cache(source, cache, TOKENIZER)


def test_a_flipped_bit_of_the_tokens_is_seen_when_its_block_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(token_cache, "_BLOCK", 64)
    source = write_groups_table(group_table(*random_groups(50)), tmp_path / "groups", shards=3)
    build_token_cache(source, tmp_path / "cache", TOKENIZER)
    path = tmp_path / "cache" / "tokens.npy"
    assert all_tokens(open_token_cache(source, path.parent, TOKENIZER)) == one_by_one(
        random_groups(50)
    )
    flip(path, 128 + 200)  # after the header, in the fourth block
    made = open_token_cache(source, path.parent, TOKENIZER)
    damaged = 0
    for transcript, (start, end) in enumerate(zip(made.bounds, made.bounds[1:], strict=False)):
        if start < 256 and end > 192:
            damaged += 1
            with pytest.raises(InputError, match="tokens 192 to 256: got other bytes than were"):
                made.tokens(transcript)
        else:
            made.tokens(transcript)
    assert damaged


def test_the_header_of_the_tokens_is_checked_too(source, cache):
    path = cache / "tokens.npy"
    path.write_bytes(path.read_bytes().replace(b"|u1", b"|i1"))
    with pytest.raises(InputError, match="tokens.npy: got int8"):
        open_token_cache(source, cache, TOKENIZER)
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(InputError, match="wanted arrays; remove the cache"):
        open_token_cache(source, cache, TOKENIZER)


def test_runs_that_share_a_cache_make_it_once(source, tmp_path, monkeypatch):
    made = []

    def build(*arguments):
        made.append(arguments)
        original(*arguments)

    original = token_cache._build
    monkeypatch.setattr(token_cache, "_build", build)
    for _ in range(2):
        tokens = ensure_token_cache(source, tmp_path / "cache", TOKENIZER)
        assert all_tokens(tokens) == one_by_one(random_groups(50))
    assert len(made) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"groups", "cache"}


def test_what_a_killed_build_left_is_cleared_away_by_the_next(source, tmp_path):
    left = tmp_path / ".cache-beside-abcd"
    left.mkdir()
    (left / "tokens.npy").write_bytes(b"half")
    build_token_cache(source, tmp_path / "cache", TOKENIZER)
    assert {path.name for path in tmp_path.iterdir()} == {"groups", "cache"}


def test_a_cache_has_the_modes_that_the_umask_gives(source, tmp_path):
    before = os.umask(0o027)
    try:
        build_token_cache(source, tmp_path / "cache", TOKENIZER)
    finally:
        os.umask(before)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()} == {0o640}


def test_no_cache_or_no_groups_is_an_error(source, tmp_path):
    with pytest.raises(InputError, match="absent: no manifest.json in it, wanted a token cache"):
        open_token_cache(source, tmp_path / "absent", TOKENIZER)
    with pytest.raises(InputError, match=r"got no train-.*parquet, wanted isoform groups"):
        build_token_cache(tmp_path, tmp_path / "cache", TOKENIZER)
    empty = write_groups_table(group_table(), tmp_path / "empty")
    with pytest.raises(InputError, match="got no group, wanted at least one"):
        build_token_cache(empty, tmp_path / "cache", TOKENIZER)
    assert not (tmp_path / "cache").exists()


def test_an_empty_shard_is_no_error(source, cache):
    for path in sorted((source / "data").iterdir()):
        path.rename(path.with_name(path.name.replace("-of-00003", "-of-00004")))
    pq.write_table(group_table(), source / "data/train-00003-of-00004.parquet")
    shutil.rmtree(cache)
    build_token_cache(source, cache, TOKENIZER)
    assert len(open_token_cache(source, cache, TOKENIZER).members) == 50


def test_a_build_that_fails_leaves_the_cache_as_it_was(source, cache):
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    bad = group_table([member()], [member(sequence="AXG")])
    pq.write_table(bad, source / "data/train-00002-of-00003.parquet")
    message = r"train-00002-of-00003.parquet: group group1: t1.0: got letter 'X' at position 1"
    with pytest.raises(InputError, match=message):
        build_token_cache(source, cache, TOKENIZER)
    (source / "data/train-00001-of-00003.parquet").write_bytes(b"no Parquet")
    with pytest.raises(InputError, match="train-00001-of-00003.parquet: got .*, wanted Parquet"):
        build_token_cache(source, cache, TOKENIZER)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before
    assert {path.name for path in cache.parent.iterdir()} == {"groups", "cache"}


def test_an_open_cache_goes_on_when_it_is_replaced(source, cache):
    made = open_token_cache(source, cache, TOKENIZER)
    write_groups_table(group_table(*random_groups(50, seed=1)), source, shards=3)
    build_token_cache(source, cache, TOKENIZER)
    assert all_tokens(made) == one_by_one(random_groups(50))


def test_a_folder_of_something_else_is_not_replaced(source, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="mine: got a folder that is no token cache"):
        build_token_cache(source, tmp_path / "mine", TOKENIZER)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file: got a file, wanted a folder to write into"):
        build_token_cache(source, tmp_path / "file" / "cache", TOKENIZER)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


@pytest.mark.slow
def test_real_transcripts_have_the_tokens_of_the_tokenizer(real_data, tmp_path):
    table = pq.read_table(real_data / "transcripts" / "transcripts.parquet").slice(0, 20_000)
    rows = table.to_pylist()
    names = ("species", "gene_id", "sequence", "cds_start", "cds_end", "exon_junctions")
    groups = [
        [tuple(row[name] for name in names) for row in rows[i : i + 4]]
        for i in range(0, len(rows), 4)
    ]
    source = write_groups_table(group_table(*groups), tmp_path / "groups", shards=2)
    build_token_cache(source, tmp_path / "cache", TOKENIZER)
    made = open_token_cache(source, tmp_path / "cache", TOKENIZER)
    for transcript, row in enumerate(rows):
        cds = row["cds_start"], row["cds_end"]
        wanted = TOKENIZER.tokenize_transcript(row["sequence"], cds, row["exon_junctions"])
        assert np.array_equal(made.tokens(transcript), wanted)
