import os
import subprocess
import sys

from isoclr.threads import WAITING, wait_without_spinning


def test_what_the_user_exports_wins(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == "4"


def test_a_command_sets_it_before_the_libraries_are_loaded():
    code = (
        "import sys, isoclr.threads as threads, isoclr.cli as cli\n"
        "def check():\n"
        "    print(sorted({'numpy', 'scipy', 'sklearn', 'torch'} & sys.modules.keys()))\n"
        "cli.wait_without_spinning = check\n"
        "cli.main(['recipes'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "[]"
