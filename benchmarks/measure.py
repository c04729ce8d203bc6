"""Times configurations side by side: one thread, a fresh process each, turn about.

All processes of a race are started before the first turn and wait in between, so that whatever
else the machine does meets every configuration alike.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from time import perf_counter

import numpy as np

from data_builders.records import Transcript

MAX_LENGTH = 12_288
_MEDIAN, _SIGMA = 1_170, 0.82  # of the log-normal: mean about 1,640 nt, 95th percentile about 4,500
_TURN_SECONDS = 0.3  # shorter runs are repeated within a turn
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}
_TELLING_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Workload:
    """What a configuration does in a run.

    Attributes:
        run: does it once.
        nucleotides: that a run gets done, padding not counted.
        facts: what else is worth reporting.
    """

    run: Callable[[], object]
    nucleotides: int
    facts: dict[str, float] = field(default_factory=dict)


def read_arguments(
    parser: argparse.ArgumentParser, make: Callable[[str, str], Workload]
) -> argparse.Namespace:
    """Return the arguments of a script; in a process of `race`, serve instead, and end."""
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(make(*arguments.serve))
        raise SystemExit
    return arguments


def race_sections(
    script: str,
    sections: Mapping[str, Mapping[str, Callable]],
    show: Callable[[str, list[dict]], None],
    facts: dict,
    report: Path,
    *,
    turns: int = 5,
    absent: Sequence[str] = (),
) -> list[dict]:
    """Race the configurations of every section, and write what was found as JSON.

    `show` prints the results of a section; names of `absent` are left out. The results of all
    sections come as `race` returns them.
    """
    results = []
    for section, configurations in sections.items():
        names = [name for name in configurations if name not in absent]
        raced = race(script, section, names, turns)
        show(section, raced)
        results += raced
    load = machine()["load"]
    print(f"\nload at the end, this script included: {load:.2f}")
    report.parent.mkdir(parents=True, exist_ok=True)
    written = {"machine": {**facts, "load_at_end": load}, "results": results}
    report.write_text(json.dumps(written, indent=2) + "\n")
    return results


def peak_memory() -> int:
    """Return the largest resident set that this process had, in bytes (on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def race(script: str, section: str, names: Sequence[str], turns: int = 5) -> list[dict]:
    """Time configurations of a script that answers `--serve SECTION NAME` with `serve`.

    Args:
        script: the file.
        section: of its configurations.
        names: of the configurations; the first is what the others are compared with.
        turns: of each; the fastest counts.

    Returns:
        For each name `section`, `name`, `nucleotides`, the facts of its workload, `seconds` of a
        run in each turn, `nt_per_second`, and `ratio` of that to the first name's.

    Raises:
        RuntimeError: when a process ends early; what it said is on standard error.
    """
    results = []
    with ExitStack() as stack:
        workers = []
        for name in names:
            command = [sys.executable, script, "--serve", section, name]
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **_ONE_THREAD},
            )
            workers.append(stack.enter_context(worker))
            first_answer = _answer(worker, name)
            results.append({"section": section, "name": name, **first_answer, "seconds": []})
        for _ in range(turns):
            for worker, result in zip(workers, results, strict=True):
                print("go", file=worker.stdin, flush=True)
                result["seconds"].append(_answer(worker, result["name"]))
    for result in results:
        result["nt_per_second"] = result["nucleotides"] / min(result["seconds"])
        result["ratio"] = result["nt_per_second"] / results[0]["nt_per_second"]
    return results


def serve(workload: Workload) -> None:
    """Be a process of `race`: say what the workload is, then time it for every line that comes."""
    # The first run is the warm-up too; it may be slow, but it only sets how often a turn repeats.
    runs = math.ceil(_TURN_SECONDS / _seconds(workload.run, 1))
    print(json.dumps({"nucleotides": workload.nucleotides, **workload.facts}), flush=True)
    for _ in sys.stdin:
        print(_seconds(workload.run, runs), flush=True)


def machine() -> dict:
    """The processor, those of its flags that matter here, and the load of the last minute."""
    facts = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
    )
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = set(facts.get("flags", "").split())
    return {
        "processor": facts.get("model name", "unknown"),
        "cores": os.cpu_count(),
        "flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "load": os.getloadavg()[0],
    }


def print_machine(facts: dict) -> None:
    """One line about the machine, and a warning when others use it."""
    flags = " ".join(facts["flags"])
    print(f"{facts['processor']}, {facts['cores']} cores, flags {flags}, load {facts['load']:.2f}")
    if facts["load"] > 0.5:
        print("warning: the machine is busy; trust ratios only roughly, and rates not at all")


def length_mix(n: int) -> tuple[list[int], str]:
    """Lengths of transcripts as annotations have them, up to `MAX_LENGTH`.

    Quantiles, not draws: a small n has the mix of a large one.

    Args:
        n: how many.

    Returns:
        Lengths in nt, ascending, and where they come from: the transcripts of `$ISOCLR_DATA`, else
        a log-normal distribution like theirs.
    """
    at = (np.arange(n) + 0.5) / n
    table = Path(os.environ.get("ISOCLR_DATA", "")) / "transcripts" / "transcripts.parquet"
    if table.is_file():
        import polars as pl  # which not every machine with a GPU has

        lengths = pl.scan_parquet(table).select(pl.col("sequence").str.len_bytes()).collect()
        lengths = lengths.to_series().to_numpy()
        mix, source = np.quantile(lengths[lengths <= MAX_LENGTH], at), "$ISOCLR_DATA"
    else:
        normal = NormalDist(math.log(_MEDIAN), _SIGMA)
        mix, source = np.exp([normal.inv_cdf(p) for p in at]).clip(max=MAX_LENGTH), "log-normal"
    return mix.astype(int).tolist(), source


def random_transcripts(lengths: Sequence[int]) -> list[Transcript]:
    """Transcripts of random letters, with a CDS in the middle and three exons; shuffled."""
    rng = np.random.default_rng(0)
    transcripts = []
    for index in rng.permutation(len(lengths)):
        length = int(lengths[index])
        sequence = rng.choice(np.frombuffer(b"ACGT", np.uint8), length).tobytes().decode()
        cds = (length // 4, length // 4 + length // 2 // 3 * 3)
        exons = (length // 3, length // 2)
        transcripts.append(Transcript(f"t{index}", f"g{index}", "random", sequence, *cds, exons))
    return transcripts


def _seconds(run: Callable[[], object], runs: int) -> float:
    start = perf_counter()
    for _ in range(runs):
        run()
    return (perf_counter() - start) / runs


def _answer(worker: subprocess.Popen, name: str):
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{name}: its process ended before it answered")
    return json.loads(line)
