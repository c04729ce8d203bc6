"""A run that is killed, at whatever moment, ends as if it had not been."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(
    ("objective", "kills"),
    [("isoforms", 20), ("homologs", 6), ("expression", 6), ("interactions", 6), ("toy", 8)],
)
def test_killed_runs_end_in_the_same_bits(request, objective, kills):
    script = request.config.rootpath / "tests" / "torture.py"
    done = subprocess.run(
        [sys.executable, script, str(kills), objective],
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line, processes in zip(done.stdout.splitlines(), (1, 2), strict=True):
        assert line.startswith(f"{processes} processes: {{'kills': {kills // 2}, 'resumed': ")
        assert line.endswith("all ended in the same bits")
