"""Processes that begin with what takes long already imported: forks of one that imported it.

A client of a Hub needs a process of its own, and most of its time is torch's and transformers'
import.
"""

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

# What our code and its tests import of other packages. None of it is ours: some clients may not
# have our packages.
_IMPORTED = (
    "torch",
    "transformers",
    "transformers.image_processing_utils",
    "transformers.modeling_utils",
    "accelerate",
    "datasets",
    "polars",
    "pydantic",
)


class ForkServer:
    """Runs Python programs, each in a fork of one process that has the libraries.

    The process starts with the first program, in the environment and folder of all programs.
    """

    def __init__(self, environment: dict[str, str], folder: Path):
        self.environment, self.folder = environment, folder
        self._process: subprocess.Popen | None = None
        self._programs = 0

    def run(self, code: str, argv: list[str], timeout: float) -> subprocess.CompletedProcess:
        """Run a program as `python -c` does, and return its status and text of both streams.

        One that runs longer than `timeout` seconds is killed: a TimeoutError.
        """
        process = self._process or self._start()
        self._programs += 1
        streams = [self.folder / f"program-{self._programs}.{name}" for name in ("out", "err")]
        request = {"code": code, "argv": argv, "streams": list(map(str, streams))}
        print(json.dumps(request), file=process.stdin, flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self.close()
                raise TimeoutError(f"a program ran for over {timeout} s: {code}")
        status = process.stdout.readline()
        assert status, "the process that runs programs has ended"
        printed, told = (path.read_text() for path in streams)
        return subprocess.CompletedProcess(argv, int(status), printed, told)

    def close(self) -> None:
        """End the process, and a program that runs."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self._process


def _next_program() -> str:
    """Answer requests; return, in the fork of each, the code that it is to run."""
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            for stream, path in enumerate(["/dev/null", *request["streams"]]):
                flags = os.O_WRONLY | os.O_CREAT if stream else os.O_RDONLY
                os.dup2(os.open(path, flags), stream)
            sys.argv[:] = ["-c", *request["argv"]]
            sys.path[0] = ""
            return request["code"]
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)


if __name__ == "__main__":
    for name in _IMPORTED:
        importlib.import_module(name)
    # At the end of the file, so that it ends as a program does: with its traceback, its threads
    # joined and its buffers written.
    exec(compile(_next_program(), "<string>", "exec"), {"__name__": "__main__"})
