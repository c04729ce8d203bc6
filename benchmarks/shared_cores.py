"""How much longer `isoclr demo` takes beside other processes that keep all cores busy.

    python benchmarks/shared_cores.py [--busy N] [--output DIR]

Three runs in turn: alone, beside N busy processes, and beside them with threads that spin while
they wait, as the libraries have it unasked.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

SPINNING = {"GOMP_SPINCOUNT": "300000", "OPENBLAS_THREAD_TIMEOUT": "26"}


def _burn():
    while True:
        pass


@contextmanager
def busy(processes: int):
    """Keep so many cores busy."""
    burning = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(processes)]
    for process in burning:
        process.start()
    try:
        yield
    finally:
        for process in burning:
            process.terminate()
            process.join()


def seconds_of_demo(environment: dict[str, str]) -> float:
    """Run the demo in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "isoclr", "demo", "--output", str(Path(folder, "demo"))],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began


def main():
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    found = {"cores": os.cpu_count(), "busy": options.busy, "load_before": os.getloadavg()[0]}
    found["alone_s"] = seconds_of_demo({})
    with busy(options.busy):
        found["beside_s"] = seconds_of_demo({})
        found["beside_spinning_s"] = seconds_of_demo(SPINNING)
    for name in ("beside", "beside_spinning"):
        found[f"{name}_ratio"] = found[f"{name}_s"] / found["alone_s"]
    for name, value in found.items():
        print(f"{name:24} {value:.2f}")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "shared_cores.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
