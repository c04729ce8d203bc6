"""A log is whole, or says what it lacks."""

import json
import resource
import signal

import pytest

from data_builders.records import InputError
from isoclr.training.curves import RunLog, read_log


def written(path, steps=6):
    log = RunLog(path, 0)
    for step in range(1, steps + 1):
        log.write(step=step, loss=1 / step)
    return log


def test_a_resumed_log_ends_as_one_that_was_never_cut(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path)
    whole = path.read_bytes()
    log = RunLog(path, 4)
    assert [record["step"] for record in log.records] == [1, 2, 3, 4]
    for step in (5, 6):
        log.write(step=step, loss=1 / step)
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.jsonl"]


def lines(content):
    return content.splitlines(keepends=True)


def lost(content):
    return b"".join(lines(content)[:1] + lines(content)[2:])


def repeated(content):
    return content + b"".join(lines(content)[1:3])


DAMAGE = {
    "a line lost": (lost, "1 of 4 steps lost"),
    "all lost": (lambda content: b"", "4 of 4 steps lost"),
    "NUL": (lambda c: c[:50] + bytes(30) + c[80:], "damaged lines, "),
    "NUL at the end": (
        lambda c: b"".join(lines(c)[:3]) + bytes(40) + b"\n",
        "1 damaged lines, 1 of 4 steps lost",
    ),
    "cut in the middle": (lambda c: c[:20] + c[40:], "damaged lines, "),
    "cut at the end": (lambda c: c[: len(c) // 2 - 3], "of 4 steps lost"),
    "twice": (repeated, "2 steps that came again"),
    "no UTF-8": (lambda c: c.replace(b"loss", b"\xff", 1), ""),
    "a list": (lambda c: c + b"[1]\n", "1 damaged lines"),
    "no step": (lambda c: c + b'{"loss": 1}\n', "1 damaged lines"),
    "too deep": (lambda c: c + b"[" * 100_000 + b"\n", "1 damaged lines"),
    "a step of text": (lambda c: c + b'{"step": "4"}\n', "1 damaged lines"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_log_stops_no_run_and_is_kept_and_counted(tmp_path, capsys, name):
    path = tmp_path / "log.jsonl"
    damage, message = DAMAGE[name]
    written(path)
    content = damage(path.read_bytes())
    path.write_bytes(content)
    log = RunLog(path, 4)
    steps = [record["step"] for record in log.records]
    assert steps == sorted(set(steps)) and set(steps) <= {1, 2, 3, 4}
    (line,) = capsys.readouterr().err.splitlines() or [""]
    assert message in line
    if message:
        assert line.endswith("as it was: log.jsonl.damaged")
        assert path.with_name("log.jsonl.damaged").read_bytes() == content
    log.write(step=5, loss=0.2)
    assert [record["step"] for record in read_log(path)] == [*steps, 5]


@pytest.mark.parametrize("name", ["NUL at the end", "a list", "no step", "too deep"])
def test_readers_of_a_damaged_log_are_told_its_line(tmp_path, name):
    path = tmp_path / "log.jsonl"
    written(path)
    path.write_bytes(DAMAGE[name][0](path.read_bytes()))
    with pytest.raises(InputError, match=r"log.jsonl:\d: got no record, wanted a JSON object"):
        read_log(path)


def test_a_last_line_cut_short_does_not_count(tmp_path):
    path = tmp_path / "log.jsonl"
    written(path)
    path.write_bytes(path.read_bytes()[:-5])
    assert len(read_log(path)) == 5 and read_log(tmp_path / "none") == []


def test_a_deleted_log_is_one_clear_error_not_a_new_log(tmp_path):
    path = tmp_path / "log.jsonl"
    log = written(path)
    path.unlink()
    with pytest.raises(InputError, match="log.jsonl: step 7 cannot be written: No such file"):
        log.write(step=7)
    with pytest.raises(InputError, match="log.jsonl: cannot be written: No such file"):
        log.sync()
    assert not path.exists()


def test_a_full_disk_is_one_clear_error(tmp_path):
    path = tmp_path / "log.jsonl"
    log = written(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(InputError, match="step 7 cannot be written: File too large; the run"):
            log.write(step=7, loss=0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [record["step"] for record in RunLog(path, 6).records] == [1, 2, 3, 4, 5, 6]


def test_a_folder_in_its_place_is_one_clear_error(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(InputError, match="log.jsonl: cannot be read: Is a directory"):
        RunLog(tmp_path / "log.jsonl", 0)


def test_values_come_back_as_they_were(tmp_path):
    log = RunLog(tmp_path / "log.jsonl", 0)
    record = {"step": 1, "loss": 0.1 + 0.2, "name": "é\u2028 ", "nan": None}
    log.write(**record)
    assert read_log(tmp_path / "log.jsonl") == [record]
    assert json.loads((tmp_path / "log.jsonl").read_text()) == record
