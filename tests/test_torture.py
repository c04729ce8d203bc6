"""A run that is killed, at whatever moment, ends as if it had not been."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.distributed
def test_killed_runs_end_in_the_same_bits(request):
    script = request.config.rootpath / "tests" / "torture.py"
    done = subprocess.run([sys.executable, script, "20"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for line, processes in zip(done.stdout.splitlines(), (1, 2), strict=True):
        assert line.startswith(f"{processes} processes: {{'kills': 10, 'resumed': ")
        assert line.endswith("all ended in the same bits")
