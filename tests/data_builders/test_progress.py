import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest

from data_builders import progress as module
from data_builders.progress import progress, quiet_libraries


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when it is told to."""

    class Clock:
        now = 1000.0

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    for name in ("monotonic", "time"):
        monkeypatch.setattr(time, name, lambda: clock.now)
    monkeypatch.setattr(module._PlainLines, "_time", lambda self: clock.now, raising=False)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    monkeypatch.setattr(module._PlainLines, "_last_line", -float("inf"))
    return clock


def test_a_file_gets_a_line_every_ten_seconds_with_the_time_left(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for _ in progress(range(60), "embedding", unit="transcript"):
        clock.sleep(1)
    *lines, last = sys.stderr.getvalue().splitlines()
    assert lines == [
        f"embedding: {n}/60 transcript, 00:{n} elapsed, 00:{60 - n:02} left"
        for n in (10, 20, 30, 40, 50)
    ]
    assert last == "embedding: 60/60 transcript, 01:00 elapsed, 00:00 left"


def test_a_short_step_prints_nothing_in_a_file(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(description="work", total=9) as bar:
        for _ in range(9):
            clock.sleep(1)
            bar.update()
    assert sys.stderr.getvalue() == ""


def test_nested_steps_share_the_ten_seconds(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for _ in progress(range(3), "outer"):
        for _ in progress(range(30), "inner"):
            clock.sleep(1)
    lines = sys.stderr.getvalue().splitlines()
    assert 6 <= len(lines) <= 9 and "\r" not in sys.stderr.getvalue()


def test_what_was_done_before_does_not_shorten_the_time_left(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(description="training", unit="step", total=100, initial=80) as bar:
        for _ in range(20):
            clock.sleep(1)
            bar.set_postfix(loss=0.5)
            bar.update()
    first = sys.stderr.getvalue().splitlines()[0]
    found = re.fullmatch(r"training: (\d+)/100 step, 00:(\d+) elapsed, 00:(\d+) left, .*", first)
    done, elapsed, left = map(int, found.groups())
    assert done - 80 == pytest.approx(elapsed, abs=1) and left == pytest.approx(20 - elapsed, abs=2)
    assert first.endswith("loss=0.5")


def test_bytes_are_scaled(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(description="genome.fa.gz", unit="B", total=4 << 20) as bar:
        clock.sleep(20)
        bar.update(1 << 20)
    assert sys.stderr.getvalue().startswith("genome.fa.gz: 1.00M/4.00MB, 00:20 elapsed, 01:00")


def test_nothing_is_shown_where_nothing_is_to_be_shown(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for _ in progress(range(60), "quiet", show=False):
        clock.sleep(1)
    assert sys.stderr.getvalue() == ""


def test_a_terminal_gets_a_bar():
    code = (
        "from data_builders.progress import progress; import time\n"
        "for _ in progress(range(3), 'work', keep=True): time.sleep(0.2)\n"
    )
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=terminal, check=True)
    os.close(terminal)
    shown = ""
    with contextlib.suppress(OSError):  # at the end of what a terminal was sent
        while part := os.read(main, 1 << 16).decode():
            shown += part
    os.close(main)
    assert "work: 100%" in shown and "\r" in shown


def test_libraries_print_no_bars_into_files(monkeypatch):
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setitem(os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS", "0")
    quiet_libraries()
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
    assert os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] == "0"  # as the user wants it
