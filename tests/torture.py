"""Kills training runs at random moments and compares what comes of them with a run never killed.

Those that are killed evaluate in a thread, as on a GPU; the other one between two steps.

python tests/torture.py KILLS [OBJECTIVE]
"""

import faulthandler
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

import yaml

ENGINE = {
    "steps": 16,
    "batch_size": 8,
    "learning_rate": 0.003,
    "evaluate_every": 5,
    "checkpoint_every": 1,
    "keep_checkpoints": 1,
    "tracker": None,
}
RECIPES = {
    "isoforms": {
        "objective": "isoforms",
        "model": {"filters": [8, 8], "blocks": [1, 1], "dilations": [1, 2], "dropout": 0.1}
        | {"projector_sizes": [8, 8, 4]},
        "micro_batch_tokens": 4096,
        "held_out_groups": 4,
    },
    "homologs": {
        "objective": "homologs",
        "model": {"filters": [8, 8], "blocks": [1, 1], "dilations": [1, 2], "dropout": 0.0}
        | {"norm": "layer", "projector_sizes": [8, 8, 4]},
        "positives": "bands",
        "bands": [[0.1, 0.5]],
        "homologs": 2,
        "window": 24,
        "windows": {"same": 1, "disjoint": 1},
        "mask_fraction": 0.0,
        "held_out_families": 8,
        "test_families": 4,
    },
    "expression": {
        "objective": "expression",
        "method": "byol",  # batch norms over processes, dropout, and a moving average of weights
        "model": {"hidden_size": 8, "num_hidden_layers": 2, "head_sizes": [8, 4]},
        "optimizer": "sgd",
        "group_column": "donor",
    },
    "interactions": {
        "objective": "interactions",
        "model": {"design": "towers", "kernel_size": 3, "motifs": 4, "hidden_size": 4}
        | {"dropout": 0.0},
        "folds": 3,
    },
    # Dropout is drawn by process: without it, one and two processes end in the same losses.
    "toy": {"objective": "toy", "dropout": 0.0},
}
_COMPARED = ("model.safetensors", "log.jsonl")
_TOLERANCE = 1e-3
_PATIENCE = 600  # seconds that a run may take, on a machine that others keep busy


def start(recipe: Path, output: Path, processes: int, *, in_thread: bool) -> list[int]:
    """Fork the processes of a run from this one, which has imported everything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            _run(recipe, output, in_thread, rank, processes, port)
        children.append(child)
    return children


def _run(recipe: Path, output: Path, in_thread: bool, rank: int, processes: int, port: int) -> None:
    """Train, and leave without what pytest would do at an exit."""
    status = 1
    try:
        silence = os.open(output.parent / f"{output.name}-{rank}.txt", os.O_CREAT | os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        faulthandler.dump_traceback_later(_PATIENCE - 2, file=sys.stderr)
        if processes > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
            os.environ |= {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
        import torch

        torch.set_num_threads(1)
        import train

        train.gains_from_a_thread = lambda device: in_thread
        train.main([str(recipe), "--output", str(output)])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def finish(children: list[int]) -> bool:
    """Wait for a run; whether all its processes ended well."""
    deadline = time.monotonic() + _PATIENCE
    ended = {}
    while len(ended) < len(children):
        for child in children:
            done, status = os.waitpid(child, os.WNOHANG) if child not in ended else (0, 0)
            if done:
                ended[child] = status
        if any(ended.values()) or time.monotonic() > deadline:
            kill([child for child in children if child not in ended])
            return False
        time.sleep(0.01)
    return True


def kill(children: list[int]) -> None:
    """End processes at once, and wait until they are gone."""
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)


def torture(recipe: dict, folder: Path, kills: int, processes: int, seed: int) -> dict:
    """Kill a run `kills` times, start it again each time, and compare it with a quiet one.

    A run that ends between two kills is begun anew, so that kills fall into all of it.

    Returns:
        Kills; those that fell into a run that had a checkpoint; runs that were finished.

    Raises:
        AssertionError: a run could not go on, or ended in other bits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**ENGINE, **recipe, "output": "never written"}))
    quiet = folder / "quiet"
    began = time.monotonic()
    assert finish(start(path, quiet, processes, in_thread=False)), _told(folder)
    duration = time.monotonic() - began
    moments, counts = random.Random(seed), {"kills": 0, "resumed": 0, "finished": 0}
    output = folder / "killed-0"
    while counts["kills"] < kills:
        children = start(path, output, processes, in_thread=True)
        time.sleep(moments.uniform(0, duration))
        counts["resumed"] += any((output / "checkpoints").glob("step-*"))
        kill(children)
        counts["kills"] += 1
        if (output / "README.md").exists():
            _finish_and_compare(path, output, quiet, processes)
            counts["finished"] += 1
            output = folder / f"killed-{counts['finished']}"
    _finish_and_compare(path, output, quiet, processes)
    counts["finished"] += 1
    return counts


def _finish_and_compare(recipe, output: Path, quiet: Path, processes: int) -> None:
    began = time.monotonic()
    ended_well = finish(start(recipe, output, processes, in_thread=True))
    assert ended_well, f"{time.monotonic() - began:.0f} s\n{_told(output.parent)}"
    for name in _COMPARED:
        assert (output / name).read_bytes() == (quiet / name).read_bytes(), f"{output}: {name}"
    assert [record["step"] for record in _log(output)] == list(range(1, ENGINE["steps"] + 1))


def _log(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").open()]


def assert_same_losses(one: Path, other: Path) -> None:
    """The losses of two runs differ by the order of sums alone.

    Raises:
        AssertionError: they differ by more.
    """
    for mine, theirs in zip(_log(one), _log(other), strict=True):
        assert abs(mine["loss"] - theirs["loss"]) < _TOLERANCE, (mine, theirs)


def _told(folder: Path) -> str:
    """What the processes that spoke last said last."""
    paths = sorted(folder.glob("*.txt"), key=lambda path: path.stat().st_mtime)[-2:]
    return "\n".join(path.read_text()[-6000:] for path in paths)


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent / "helpers")]
    from toy_families import simulated
    from toy_interactions import write_toy

    import train  # noqa: F401 - forked children have it
    from data_builders.expression.prepare import ReadOptions, prepare_expression, read_obs
    from data_builders.groups.build import GenomeSource, build
    from data_builders.simulate.clade import simulate_clade
    from data_builders.simulate.expression import simulate_expression, write_simulated
    from isoclr.objectives import OBJECTIVES, objective_class

    OBJECTIVES["toy"] = "toy_objective:ToyObjective"
    kills, name = int(sys.argv[1]) // 2, sys.argv[2] if len(sys.argv) > 2 else "isoforms"
    recipe = RECIPES[name]
    objective_class(recipe["objective"])  # imported before the fork
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if name == "isoforms":
            clade = simulate_clade(folder / "clade", species=2, genes=24, seed=1)
            sources = zip(clade.genomes, clade.annotations, clade.species, strict=True)
            build([GenomeSource(*source) for source in sources], folder / "groups")
            recipe["data"] = str(folder / "groups")
        if name == "homologs":
            recipe["data"] = str(simulated(folder / "families", sites=64, model="poisson"))
        if name == "expression":
            simulated_reads = simulate_expression(45, 30, tissues=3)
            path, table = write_simulated(simulated_reads, folder / "reads.tsv")
            recipe["data"] = str(folder / "expression.parquet")
            prepare_expression([path], recipe["data"], ReadOptions(obs=read_obs(table)))
        if name == "interactions":
            recipe["data"] = str(write_toy(folder / "pairs"))
        for processes in (1, 2):
            counts = torture(recipe, folder / str(processes), kills, processes, seed=0)
            print(f"{processes} processes: {counts}; all ended in the same bits")
        assert_same_losses(folder / "1" / "quiet", folder / "2" / "quiet")
