"""Damaged checkpoints, logs, caches, manifests and model folders: told in one line, or harmless.

Each case draws its damage from a seed, which a failure shows. Damage that leaves a file the same is
read as before; else nothing but what was written is ever used, or the damage is told.
"""

import json
import random
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from data_builders.genomes import download
from data_builders.genomes.registry import SHIPPED, read_registry
from data_builders.records import InputError
from group_tables import group_table, random_groups, write_groups_table
from isoclr.hub.card import write_card
from isoclr.hub.dataset_card import render_dataset_card
from isoclr.hub.push import shared_files
from isoclr.objectives.isoforms.token_cache import build_token_cache, open_token_cache
from isoclr.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from isoclr.training.curves import RunLog, read_log
from isoclr.training.sharded import whole_state
from modeling_isoclr import IsoCLRTokenizer
from mutations import mutate

CASES = 60
SECONDS = 20  # thousands of times what a case takes


@contextmanager
def one_line_or_fine():
    """Whether what is tried within is refused, in one short line and in time."""
    outcome = {"refused": ""}

    def late(*_):
        raise TimeoutError(f"took over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield outcome
    except InputError as error:
        outcome["refused"] = str(error)
        assert "\n" not in str(error) and 10 < len(str(error)) < 2500
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damaged_copy(folder, target, seed, pattern="*"):
    """A copy of a folder with damage to one file; the file, and whether it changed."""
    shutil.copytree(folder, target)
    rng = random.Random(seed)
    file = rng.choice(sorted(path for path in target.rglob(pattern) if path.is_file()))
    before = file.read_bytes()
    how = rng.randrange(12)
    if how == 0:
        file.unlink()
    elif how == 1:
        file.write_bytes(b"")
    elif how == 2:
        file.write_bytes(rng.choice((b"[]", b"{}", b"null", b"1e999", b"[" * 50_000, b"\0" * 99)))
    else:
        file.write_bytes(mutate(before, rng))
    return file, not file.exists() or file.read_bytes() != before


def model_and_optimizer(seed):
    torch.manual_seed(seed)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    for step in (1, 2):
        model, optimizer = model_and_optimizer(step)
        state = {"recipe": {"steps": 9, "model": {"a": [1.5, None]}}, "data": [["x", "0" * 64]]}
        save_checkpoint(folder, step, model.state_dict(), whole_state(optimizer), state, keep=2)
    return folder


@pytest.mark.parametrize("seed", range(CASES))
def test_a_damaged_checkpoint_is_told_and_the_one_before_goes_on(checkpoints, tmp_path, seed):
    file, changed = damaged_copy(checkpoints, tmp_path / "c", seed)
    told = []
    found = newest_checkpoint(tmp_path / "c", told.append)
    newest = file.parent.name == "step-00000002" and changed
    if newest and file.name == "state.json":  # blanks and line ends are no values
        newest = not same_values(file, checkpoints / "step-00000002" / "state.json")
    assert found.name == ("step-00000001" if newest else "step-00000002")
    assert len(told) == newest and not any("\n" in line for line in told)
    step = int(found.name[-1])
    model, optimizer = model_and_optimizer(9)
    state = load_checkpoint(found, model, optimizer)
    wanted, wanted_optimizer = model_and_optimizer(step)
    assert state["step"] == step and state["recipe"]["model"] == {"a": [1.5, None]}
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in wanted.state_dict().items())
    theirs, ours = whole_state(wanted_optimizer), whole_state(optimizer)
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)


def same_values(one, other):
    try:
        return json.loads(one.read_text()) == json.loads(other.read_text())
    except (OSError, ValueError, RecursionError):
        return False


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    log = RunLog(folder / "log.jsonl", 0)
    for step in range(1, 20):
        log.write(step=step, loss=1 / step, nested={"a": [step]})
    return folder


@pytest.mark.parametrize("seed", range(CASES))
def test_a_damaged_log_stops_no_run(log_folder, tmp_path, seed, capsys):
    file, _ = damaged_copy(log_folder, tmp_path / "l", seed)
    with one_line_or_fine():
        read_log(file)
    with one_line_or_fine() as outcome:
        log = RunLog(file, 15)
    assert not outcome["refused"]
    steps = [record["step"] for record in log.records]
    assert steps == sorted(set(steps)) and set(steps) <= set(range(1, 16))
    told = capsys.readouterr().err
    assert steps == list(range(1, 16)) or "of 15 steps lost" in told
    log.write(step=16, loss=0.1)
    assert [record["step"] for record in read_log(file)] == [*steps, 16]


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached")
    source = write_groups_table(group_table(*random_groups(12)), folder / "groups", shards=1)
    build_token_cache(source, folder / "cache", IsoCLRTokenizer())
    return folder, tokens_of(open_token_cache(source, folder / "cache", IsoCLRTokenizer()))


def tokens_of(made):
    return [made.tokens(transcript).copy() for transcript in range(len(made.bounds) - 1)]


@pytest.mark.parametrize("seed", range(CASES))
def test_a_damaged_cache_gives_no_other_tokens(cached, tmp_path, seed):
    folder, wanted = cached
    _, changed = damaged_copy(folder / "cache", tmp_path / "cache", seed)
    with one_line_or_fine() as outcome:
        made = open_token_cache(folder / "groups", tmp_path / "cache", IsoCLRTokenizer())
        found = tokens_of(made)
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert changed or not outcome["refused"]


@pytest.mark.parametrize("seed", range(CASES))
def test_a_damaged_registry_is_refused_or_read(tmp_path, seed):
    (tmp_path / "r").mkdir()
    shutil.copy(SHIPPED, tmp_path / "r" / "species.yaml")
    file, _ = damaged_copy(tmp_path / "r", tmp_path / "d", seed)
    with one_line_or_fine():
        registry = read_registry(file)
        for row in registry.rows:
            entry = row.entry(row.releases.start if row.releases else None)
            cache = Path(tmp_path / "cache")
            for published in (entry.source(cache).genome, entry.source(cache).annotation):
                assert cache.resolve() in published.folder.resolve().parents


@pytest.fixture(scope="module")
def shared(model_folder, tmp_path_factory):
    """A model folder with results, as `isoclr push` takes it."""
    folder = tmp_path_factory.mktemp("shared") / "model"
    shutil.copytree(model_folder, folder)
    write_card(folder)
    return folder


@pytest.mark.parametrize("seed", range(CASES))
def test_the_text_files_of_a_model_folder(shared, tmp_path, seed):
    """Cards are written and folders shared, or refused; weights are another matter."""
    kinds = ("*.json", "*.yaml", "*.jsonl", "config.json")
    damaged_copy(shared, tmp_path / "m", seed, kinds[seed % len(kinds)])
    with one_line_or_fine():
        shared_files(tmp_path / "m")
    with one_line_or_fine():
        write_card(tmp_path / "m")


REPORT = {
    "sources": [
        {"species": "a", "files": {"genome": {"name": "g.fa", "sha256": "0" * 64}}}
        | {"read": 3, "kept": 2, "skipped": {"why": 1}, "adjusted": {}}
    ],
    "homology": None,
    "grouping": {"max_length": 9, "read": 2, "kept": 2, "skipped": {}, "adjusted": {}},
    "dataset": {
        **dict.fromkeys(("groups", "transcripts", "genes", "nucleotides", "with_cds"), 1),
        **{"with_exon_structure": 1, "exon_junctions": 0, "species": {"a": 1}},
        "transcripts_per_group": {"1": 1},
    },
}


@pytest.mark.parametrize("seed", range(CASES))
def test_a_report_of_a_dataset(tmp_path, seed):
    rng = random.Random(seed)
    text = mutate(yaml.safe_dump(REPORT).encode(), rng).decode("utf-8", "replace")
    try:
        report = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return
    with one_line_or_fine():
        render_dataset_card("o/n", {"default": report})


@pytest.mark.parametrize("seed", range(CASES))
def test_records_of_downloads(tmp_path, monkeypatch, seed):
    """What a kill or a disk left beside a download is never taken for its checksum."""
    monkeypatch.setattr(download, "_WAITS", ())
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "g.fa.gz"
    path.write_bytes(b"content")
    digests = {
        "url": "http://127.0.0.1:9/g.fa.gz",
        "size": 7,
        "sha256": download._digests(path, "sha256")["sha256"],
    }
    (tmp_path / "d" / "g.fa.gz.json").write_text(str(digests).replace("'", '"'))
    (tmp_path / "d" / "g.fa.gz.part").write_bytes(b"con")
    (tmp_path / "d" / "g.fa.gz.part.validator").write_text('"etag"')
    _, changed = damaged_copy(tmp_path / "d", tmp_path / "e", seed)
    with one_line_or_fine() as outcome:
        download.fetch(digests["url"], "SUMS", tmp_path / "e")
        assert (tmp_path / "e" / "g.fa.gz").read_bytes() == b"content"
    assert changed or not outcome["refused"]
