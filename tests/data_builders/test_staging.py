import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from data_builders.groups.build import TableSource, build
from data_builders.homology.homologs import HomologOptions, build_homologs
from data_builders.homology.sources import HomologSource
from data_builders.interactions.build import InteractionFiles, build_interactions
from data_builders.records import InputError
from data_builders.staging import finish, one_builder, replacing, unfinished

SHARD = (3, 10)
OTHER = "train-00004-of-00010-part-0000-of-0001.parquet"


class Interruption(BaseException):
    """Not an Exception, as a signal is not."""


def name(part, parts):
    return f"train-00003-of-00010-part-{part:04d}-of-{parts:04d}.parquet"


def files(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def write(folder, contents, shard=None):
    with replacing(folder, shard) as partial:
        for path, text in contents.items():
            (partial / path).parent.mkdir(exist_ok=True)
            (partial / path).write_text(text)


OLD = {"data/a": "old", "data/b": "old", "report.json": "old", "report.png": "old"}
OLD |= {"homology.png": "old"}
NEW = {"data/a": "new", "report.json": "new", "report.png": "new"}
OLD_SHARD = {f"data/{name(p, 3)}": f"old {p}" for p in range(3)} | {"reports/3.json": "old"}
NEW_SHARD = {f"data/{name(p, 2)}": f"new {p}" for p in range(2)} | {"reports/3.json": "new"}
SAME_PARTS = {f"data/{name(p, 3)}": f"new {p}" for p in range(3)} | {"reports/3.json": "new"}
OTHERS = {f"data/{OTHER}": "other", "reports/4.json": "other"}


def test_replaces_a_dataset_and_nothing_else(tmp_path):
    folder = tmp_path / "d"
    write(folder, OLD)
    (folder / "README.md").write_text("mine")
    assert files(folder) == OLD | {"README.md": "mine"}
    write(folder, NEW)
    assert files(folder) == NEW | {"README.md": "mine"}
    assert sorted(p.name for p in folder.iterdir()) == [
        *("README.md", "data", "report.json", "report.png")
    ]


def test_replaces_a_shard_and_no_other(tmp_path):
    write(tmp_path, OTHERS, (4, 10))
    write(tmp_path, OLD_SHARD, SHARD)
    assert files(tmp_path) == OTHERS | OLD_SHARD
    for new in (NEW_SHARD, OLD_SHARD, SAME_PARTS):
        write(tmp_path, new, SHARD)
        assert files(tmp_path) == OTHERS | new
        (tmp_path / "report.json").write_text("of all shards")
        (tmp_path / "homology.png").write_text("of all shards")
    write(tmp_path, NEW)
    assert files(tmp_path) == NEW


def test_an_error_leaves_what_was_there(tmp_path):
    def fails(folder):
        with pytest.raises(Interruption), replacing(folder) as partial:
            (partial / "data").mkdir()
            raise Interruption

    write(tmp_path / "d", OLD)
    fails(tmp_path / "d")
    assert files(tmp_path / "d") == OLD
    fails(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def interrupted(monkeypatch, step, act):
    """Does `act` until its `step`-th change of the disk, which does not happen."""
    steps = count()

    def breaks(function):
        def wrapped(*args, **keywords):
            if next(steps) == step:
                raise Interruption
            return function(*args, **keywords)

        return wrapped

    with monkeypatch.context() as patch:
        for method in ("rename", "replace", "unlink", "rmdir"):
            patch.setattr(Path, method, breaks(getattr(Path, method)))
        patch.setattr(shutil, "rmtree", breaks(shutil.rmtree))
        try:
            act()
        except Interruption:
            return True
    return False


@pytest.mark.parametrize(
    ("shard", "before", "old", "new"),
    [
        (None, {}, OLD, NEW),
        (SHARD, OTHERS, OLD_SHARD, NEW_SHARD),
        (SHARD, OTHERS, NEW_SHARD, OLD_SHARD),
        (SHARD, OTHERS, OLD_SHARD, SAME_PARTS),
    ],
)
def test_an_interruption_anywhere_ends_in_the_old_or_the_new(
    tmp_path, monkeypatch, shard, before, old, new
):
    ends = []
    for step in count():
        folder = tmp_path / str(step)
        if before:
            write(folder, before, (4, 10))
        write(folder, old, shard)
        if not interrupted(monkeypatch, step, lambda: write(folder, new, shard)):  # noqa: B023
            break
        for again in count():  # what is interrupted while it recovers recovers too
            if not interrupted(monkeypatch, again, lambda: finish(folder, shard)):  # noqa: B023
                break
        assert unfinished(folder) == []
        shutil.rmtree(folder / f".partial{'' if shard is None else '-00003-of-00010'}", True)
        found = files(folder)
        assert found in (before | old, before | new)
        ends.append("new" if found == before | new else "old")
    assert ends == sorted(ends, reverse=True)  # the old one at first, then the new one
    assert set(ends) == {"old", "new"}
    assert step > 5


def test_between_the_renames_the_next_build_goes_on(tmp_path):
    write(tmp_path, OLD)
    (tmp_path / "data").rename(tmp_path / ".old")
    for path, text in NEW.items():
        target = tmp_path / ".complete" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    assert [path.name for path in unfinished(tmp_path)] == [".complete"]
    with pytest.raises(Interruption), replacing(tmp_path):
        raise Interruption
    assert files(tmp_path) == NEW


# Builds in a folder until its standard input ends.
HOLD = """
import sys
from data_builders.staging import one_builder
shard = tuple(map(int, sys.argv[2:])) or None
with one_builder(sys.argv[1], shard):
    print("held", flush=True)
    sys.stdin.read()
"""
INPUTS = Path(__file__).parent / "malformed"
PAIRS = InteractionFiles(
    pairs=[INPUTS / "pairs.txt"], rnas=[INPUTS / "rnas.fa"], proteins=[INPUTS / "proteins.fa"]
)
BUILDS = {
    "groups": lambda folder: build([TableSource(INPUTS / "ok.tsv")], folder),
    "homologs": lambda folder: build_homologs(
        [HomologSource(INPUTS / "family.fa")], folder, HomologOptions(alphabet="protein")
    ),
    "interactions": lambda folder: build_interactions(PAIRS, folder),
}


def holding(folder, *shard):
    words = [sys.executable, "-c", HOLD, str(folder), *map(str, shard)]
    held = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert held.stdout.readline() == "held\n"
    return held


def test_two_processes_do_not_build_in_one_folder(tmp_path):
    folder = tmp_path / "built"
    with holding(folder) as held:
        message = rf"built: got a build of process {held.pid} on .*, wanted one at a time"
        for name, call in BUILDS.items():
            with pytest.raises(InputError, match=message):
                call(folder)
            assert [path.name for path in folder.iterdir()] == [".lock"], name
        held.stdin.close()
        held.wait()
    for call in BUILDS.values():
        call(folder)
        assert not list(folder.glob(".*"))
        shutil.rmtree(folder)


def test_shards_are_built_at_once_each_by_one_process(tmp_path):
    with holding(tmp_path, 1, 3) as held:
        with (
            pytest.raises(InputError, match="got a build of shard 1/3 of process"),
            one_builder(tmp_path, (1, 3)),
        ):
            pass
        with one_builder(tmp_path, (2, 3)):
            pass
        held.stdin.close()
    with one_builder(tmp_path, (1, 3)):
        pass


def test_a_whole_build_and_one_of_a_shard_keep_each_other_out(tmp_path):
    with holding(tmp_path, 1, 3) as held:
        message = "got a build of shards of another process in it"
        with pytest.raises(InputError, match=message):
            build([TableSource(INPUTS / "ok.tsv")], tmp_path)
        held.kill()  # what it leaves locks nothing
    with holding(tmp_path) as held:
        message = f"got a build of process {held.pid} on"
        with pytest.raises(InputError, match=message):
            build([TableSource(INPUTS / "ok.tsv")], tmp_path, shard=(1, 3))
        held.kill()
    build([TableSource(INPUTS / "ok.tsv")], tmp_path)
    assert not (tmp_path / ".lock").exists()


def test_a_build_that_fails_leaves_no_folder(tmp_path):
    (tmp_path / "h.tsv").write_text("group_id\tspecies\tgene_id\n")
    with pytest.raises(InputError, match="got no "):
        build([TableSource(INPUTS / "ok.tsv")], tmp_path / "built", homology=tmp_path / "h.tsv")
    assert not (tmp_path / "built").exists()
