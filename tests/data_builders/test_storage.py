"""One writer at a time, whatever way the others end."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from data_builders.records import InputError
from data_builders.storage import one_writer, one_writer_of_file, respect_umask

# Holds a folder until its standard input ends; a child of it lives on.
HOLD = """
import os, sys, time
from data_builders.storage import one_writer
with one_writer(sys.argv[1], "a run"):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.read()
"""


ASK = """
import sys
from data_builders.records import InputError
from data_builders.storage import one_writer
shared = len(sys.argv) > 2
try:
    with one_writer(sys.argv[1], "a part" if shared else "a run", shared=shared):
        print("held")
except InputError as error:
    print(error)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder, and its child."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        child = int(held.stdout.readline())
        yield held
        os.kill(child, signal.SIGKILL)


def test_a_second_process_is_refused_and_told_who_the_first_is(holder, tmp_path):
    message = f"got a run of process {holder.pid} on .* since .* in it, wanted one at a time"
    with pytest.raises(InputError, match=message), one_writer(tmp_path, "a run"):
        pass
    holder.stdin.close()
    holder.wait()
    with one_writer(tmp_path, "a run"):
        assert (tmp_path / ".lock").exists()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_taken_over_though_its_child_lives(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with one_writer(tmp_path, "a run"):
        pass
    assert not (tmp_path / ".lock").exists()


def test_a_process_may_wait_for_the_other(holder, tmp_path, capsys):
    threading.Timer(0.3, holder.stdin.close).start()
    with one_writer(tmp_path, "a run", wait=True):
        assert holder.wait() == 0
    assert f"waiting for a run of process {holder.pid}" in capsys.readouterr().err


def test_a_process_does_not_write_twice_at_once(tmp_path):
    message = "of this process"
    with one_writer(tmp_path, "a run"):
        with pytest.raises(InputError, match=message), one_writer(tmp_path / ".", "a run"):
            pass
        with one_writer(tmp_path, "a cache", name=".other"):
            pass
    with one_writer(tmp_path, "a run"):
        pass


def test_those_that_share_a_folder_keep_all_others_out(tmp_path):
    with one_writer(tmp_path, "a part", shared=True):
        with one_writer(tmp_path, "a part", shared=True):
            pass  # its end drops no lock of the other
        with pytest.raises(InputError, match="a run of this"), one_writer(tmp_path, "a run"):
            pass
        assert ask(tmp_path, shared=True) == "held"
        assert (tmp_path / ".lock").exists()
        assert "got a part of another process in it" in ask(tmp_path, shared=False)
    assert not list(tmp_path.iterdir())
    with one_writer(tmp_path, "a run"):
        assert "got a run of process" in ask(tmp_path, shared=True)


def ask(folder, *, shared):
    """What another process is told that asks for a folder."""
    words = [sys.executable, "-c", ASK, str(folder), *["shared"] * shared]
    return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.strip()


def test_a_file_has_one_writer_and_its_folder_stays_as_it_is(tmp_path):
    path = tmp_path / "a.tsv"
    with one_writer_of_file(path, "a table"):
        message = "a.tsv: got a table of this process in it"
        with pytest.raises(InputError, match=message), one_writer_of_file(path, "a table"):
            pass
        with one_writer_of_file(tmp_path / "b.tsv", "a table"):
            pass
    with one_writer_of_file(tmp_path / "none" / "a.tsv", "a table"):
        pass
    message = "got a folder, wanted the name of a file"
    with pytest.raises(InputError, match=message), one_writer_of_file(tmp_path, "a table"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_file_of_anything_locks_nothing(tmp_path):
    (tmp_path / ".lock").write_bytes(b"\xff{")
    with one_writer(tmp_path, "a run"):
        pass


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    for place, message in (("file", "got a file, wanted a folder"), ("file/in", "cannot be lock")):
        with pytest.raises(InputError, match=message), one_writer(tmp_path / place, "a run"):
            pass


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_are_those_of_open_and_mkdir(tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        wanted = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
        for path in tmp_path.iterdir():
            path.chmod(0o700)
        respect_umask(*tmp_path.iterdir())
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode for path in tmp_path.iterdir()} == wanted
