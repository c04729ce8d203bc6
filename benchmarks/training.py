"""Training: throughput of ways to batch, padding, weak scaling, memory; one CPU thread a process.

A step is forward, backward and AdamW on pairs of random letters, cut, padded and masked before.
"""

import argparse
import ctypes
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from measure import (
    MAX_LENGTH,
    Workload,
    length_mix,
    machine,
    peak_memory,
    print_machine,
    race,
    random_transcripts,
    read_arguments,
)

from data_builders.codec import table_of_groups
from data_builders.figures import new_axes, write_figure
from data_builders.groups.parquet import write_groups
from data_builders.records import IsoformGroup
from isoclr.objectives import read_recipe
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.microbatches import PairEncoder
from isoclr.objectives.isoforms.objective import IsoformLoss
from isoclr.objectives.isoforms.pairs import Masking, PairBatch, PairBatches
from isoclr.objectives.isoforms.sampling import PairSampler
from isoclr.objectives.isoforms.sources import MappedGroups
from modeling_isoclr import IsoCLRConfig, IsoCLRForPreTraining, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import PAD_BASE
from modeling_isoclr.packing_isoclr import PackedShape
from modeling_isoclr.tokenization_isoclr import padded_length

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "recipes" / "demo.yaml"
MB = 1 << 20
MICRO_BATCH_TOKENS = 1 << 14
PAIRS = 128
FEW_PAIRS = 8  # where every transcript is as long as any: time is linear in their number
PADDING_PAIRS, PADDING_STEPS, PADDING_BUDGETS = 768, 20, (1 << 14, 1 << 16)
SCALING_PAIRS, SCALING_STEPS, SCALING_TURNS = 64, 12, 2  # pairs of each process
MEMORY_PAIRS = (256, 1_024, 4_096, 8_192)
MEMORY_SHORTENING = 8  # of all transcripts, for the sake of time
MEMORY_BUDGET = 1 << 12


def main() -> None:
    """Print tables; write training.json and training.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help="Parquet of transcripts, or folder of isoform groups, whose lengths are used; "
        "default: those of $ISOCLR_DATA, else log-normal ones like them",
    )
    parser.add_argument("--only", choices=PARTS, help="of the parts; default: all")
    parser.add_argument("--turns", type=int, default=5, help="of each way; the fastest counts")
    parser.add_argument("--loaded", action="store_true", help="time on a busy machine, too")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    torch.set_num_threads(1)
    arguments = read_arguments(parser, lambda lengths, name: workload(np.load(lengths), name))
    lengths, source = length_population(arguments.data)
    report = {"machine": {**machine(), "torch": torch.__version__, "lengths": source}}
    print_machine(report["machine"])
    print(f"torch {torch.__version__}; lengths: {source}, mean {lengths.mean():,.0f} nt")
    is_busy = report["machine"]["load"] > os.cpu_count() - 0.5 and not arguments.loaded
    with tempfile.TemporaryDirectory() as folder:
        for part in [arguments.only] if arguments.only else PARTS:
            if part in TIMED and is_busy:
                print(f"\n{part}: skipped, the machine is loaded; --loaded times all the same")
                continue
            report[part] = PARTS[part](lengths, Path(folder), arguments.turns)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "training.json").write_text(json.dumps(report, indent=2) + "\n")
    if "memory" in report:
        draw(report["memory"], arguments.output / "training.png")
    print(f"\nload at the end, this script included: {machine()['load']:.2f}")


# --- Data


def length_population(data: Path | None) -> tuple[np.ndarray, str]:
    """Lengths of transcripts up to `MAX_LENGTH`, in nt, and where they come from."""
    if data is None:
        lengths, source = length_mix(20_000)
        return np.array(lengths), source
    sequences = pl.col("sequence")
    if data.is_dir():
        data, sequences = data / "data" / "train-*.parquet", sequences.explode()
    lengths = pl.scan_parquet(data).select(sequences.str.len_bytes()).collect().to_series()
    return lengths.filter(lengths <= MAX_LENGTH).to_numpy(), str(data)


def quantiles(lengths: np.ndarray, n: int) -> list[int]:
    """As many lengths with the mix of all: quantiles, not draws."""
    return np.quantile(lengths, (np.arange(n) + 0.5) / n).astype(int).tolist()


def paired(lengths: Sequence[int]) -> list[IsoformGroup]:
    """Groups of two transcripts with these lengths: a pair of each has them all."""
    transcripts = iter(random_transcripts(lengths))
    pairs = zip(transcripts, transcripts, strict=True)
    return [IsoformGroup(f"g{number}", pair) for number, pair in enumerate(pairs)]


def pair_batches(
    lengths: Sequence[int], micro_batch_tokens: int | None, steps: int = 1
) -> PairBatches:
    """An epoch of some steps over transcripts with these lengths, as training makes its batches."""
    groups = paired(lengths)
    table = table_of_groups(groups)
    source = MappedGroups(
        ArrowGroups(table.to_batches(), IsoCLRTokenizer()),
        [len(groups)],
        [1],
        batch_size=len(groups) // steps,
        max_length=MAX_LENGTH,
        held_out=0,
        seed=0,
    )
    return PairBatches(
        source,
        PairSampler(0),
        masking=Masking(fractions=(0.15, 0.15)),
        shape=shape_of(micro_batch_tokens),
        seed=0,
    )


def shape_of(micro_batch_tokens: int | None) -> PackedShape:
    """Of micro-batches that may hold any transcript."""
    return PackedShape.of(IsoCLRConfig.preset("small"), micro_batch_tokens, MAX_LENGTH)


# --- Throughput


def throughput(lengths: np.ndarray, folder: Path, turns: int) -> list[dict]:
    """The engine beside two ways to pad."""
    title = f"encoder small, layer norm, {PAIRS} pairs a step"
    print(f"\n{title:44}{'transcripts/s':>14}{'nt/s':>10}{'padding':>9}{'speed':>8}{'speed':>8}")
    results = race(__file__, saved(lengths, folder), list(WAYS), turns)
    for result in results:
        result["transcripts_per_second"] = result["transcripts"] / min(result["seconds"])
    paper, longest = (result["transcripts_per_second"] for result in results[:2])
    for result in results:
        rate = result["transcripts_per_second"]
        result["to_paper"], result["to_longest"] = rate / paper, rate / longest
        print(
            f"{result['name']:44}{rate:14.2f}{result['nt_per_second']:10,.0f}"
            f"{result['padding']:9.1%}{rate / paper:8.2f}{rate / longest:8.2f}"
        )
    for one, other in (results[:2], results[2:]):
        if not math.isclose(one["loss"], other["loss"], rel_tol=1e-4):
            raise RuntimeError(f"{one['name']}: got another loss than {other['name']}")
    print(f"the first two: {FEW_PAIRS} pairs a step; time is linear in rows of one length")
    return results


def padded_to(lengths: np.ndarray, length: int) -> Workload:
    """A few pairs, every transcript padded to a length."""
    batch = pair_batches(quantiles(lengths, 2 * FEW_PAIRS), None)[0]
    rows, ids = batch.tokens.flatten(0, 1), batch.segment_ids.flatten(0, 1)
    places = [divmod(slot, batch.n_segments) for slot in batch.slots.tolist()]
    views = [rows[row][ids[row] == number + 1] for row, number in places]
    tokens = torch.full((1, len(views), length), PAD_BASE, dtype=torch.uint8)
    for target, view in zip(tokens[0], views, strict=True):
        target[: len(view)] = view
    alone = {"segment_ids": (tokens != PAD_BASE).byte(), "slots": torch.arange(len(views))}
    batch = replace(batch, tokens=tokens, n_segments=1, encoded=tokens.numel(), **alone)
    return step_on(batch, gradient_cache=False)


def longest_of_batch(lengths: np.ndarray) -> int:
    """Of a batch, as it would be padded to."""
    return padded_length(max(quantiles(lengths, 2 * PAIRS)))


def engine(lengths: np.ndarray, *, gradient_cache: bool) -> Workload:
    """Packed into micro-batches of one shape."""
    batch = pair_batches(quantiles(lengths, 2 * PAIRS), MICRO_BATCH_TOKENS)[0]
    return step_on(batch, gradient_cache=gradient_cache)


def step_on(batch: PairBatch, *, gradient_cache: bool) -> Workload:
    """A training step on a batch; among its facts the loss before the first, without dropout."""
    step, loss = training_step(IsoCLRConfig.preset("small", norm="layer"), gradient_cache)
    facts = {"transcripts": len(batch.order), "padding": batch.padding, "loss": loss(batch)}
    return Workload(lambda: step(batch), batch.nucleotides, facts)


def training_step(
    config: IsoCLRConfig, gradient_cache: bool
) -> tuple[Callable[[PairBatch], None], Callable[[PairBatch], float]]:
    """A new model's step of training, and its loss in evaluation mode."""
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(config)
    loss_of = IsoformLoss(PairEncoder(model, gradient_cache=gradient_cache), count_weights=True)
    optimizer = torch.optim.AdamW(model.parameters())

    def step(batch: PairBatch) -> None:
        loss_of.train()
        loss_of(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.no_grad()
    def loss(batch: PairBatch) -> float:
        loss_of.eval()
        return loss_of(batch)[0].item()

    return step, loss


WAYS = {
    f"padded to {MAX_LENGTH:,} nt": lambda ls: padded_to(ls, MAX_LENGTH),  # as the paper
    "padded to the longest of the batch": lambda ls: padded_to(ls, longest_of_batch(ls)),
    "packed, every graph kept": lambda ls: engine(ls, gradient_cache=False),
    "packed, gradient cache": lambda ls: engine(ls, gradient_cache=True),
}


# --- Padding


def padding(lengths: np.ndarray, _folder: Path, _turns: int) -> dict:
    """Share of padding in the engine's micro-batches, over an epoch of some steps."""
    print(f"\npadding of what is encoded, {PADDING_STEPS} steps of {PADDING_PAIRS} pairs")
    mix, shares = quantiles(lengths, 2 * PADDING_PAIRS * PADDING_STEPS), {}
    batches = pair_batches(mix, None, PADDING_STEPS)
    for budget in PADDING_BUDGETS:
        batches.shape = shape_of(budget)
        made = [batches[step] for step in range(PADDING_STEPS)]
        shares[budget] = 1 - sum(b.nucleotides for b in made) / sum(b.encoded for b in made)
        worst = max(batch.padding for batch in made)
        print(f"micro_batch_tokens {budget:<25,}{shares[budget]:.2%}, worst step {worst:.2%}")
    return shares


# --- Weak scaling


def scaling(lengths: np.ndarray, folder: Path, _turns: int) -> dict:
    """Transcripts a second of train.py with one process and with two, each with as many pairs."""
    print(f"\ntrain.py, the demo's encoder, {SCALING_PAIRS} pairs a process, transcripts/s")
    write_groups(paired(quantiles(lengths, 4 * SCALING_PAIRS)), folder / "groups")
    rates = {1: [], 2: []}
    for _ in range(SCALING_TURNS):
        for processes, found in rates.items():
            found.append(trained_rate(folder, processes))
    for processes, found in rates.items():
        print(f"{processes} process(es): {max(found):.1f}, ratio {max(found) / max(rates[1]):.2f}")
    return rates


def trained_rate(folder: Path, processes: int) -> float:
    """Transcripts a second of a run over the groups in a folder."""
    settings = {
        "data": folder / "groups",
        "steps": SCALING_STEPS,
        "batch_size": processes * SCALING_PAIRS,
        "model.norm": "layer",
        "micro_batch_tokens": MICRO_BATCH_TOKENS,
        "held_out_groups": 0,
        "tracker": "null",
    }
    with tempfile.TemporaryDirectory(dir=folder) as output:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node", str(processes), str(ROOT / "train.py"), str(DEMO)]
        command += ["--output", output]
        command += [f"--{name}={value}" for name, value in settings.items()]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hf")}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command)}: {ran.stderr}")
        return json.loads((Path(output) / "speed.json").read_text())["transcripts_per_s"]


# --- Memory


def memory(lengths: np.ndarray, folder: Path, _turns: int) -> list[dict]:
    """Peak memory of a step by batch size; a fresh process each."""
    print(f"\npeak memory of a step, MB; the demo's encoder, lengths / {MEMORY_SHORTENING}")
    print(f"{'pairs':>8}{'peak':>10}{'tokens':>10}{'embeddings':>12}{'the rest':>10}{'shapes':>8}")
    path, results = saved(lengths, folder), []
    for pairs in MEMORY_PAIRS:
        command = [sys.executable, __file__, "--serve", path, str(pairs)]
        ran = subprocess.run(command, input="", stdout=subprocess.PIPE, text=True, check=True)
        result = {"pairs": pairs, **json.loads(ran.stdout)}
        result["rest"] = result["peak"] - result["tokens"] - result["embeddings"]
        shown = [result[name] / MB for name in ("peak", "tokens", "embeddings", "rest")]
        print("{:8,}{:10.1f}{:10.1f}{:12.1f}{:10.1f}".format(pairs, *shown), end="")
        print(f"{result['shapes']:8}", flush=True)
        results.append(result)
    least, most = results[0], results[-1]
    growth = (most["rest"] - least["rest"]) / (most["embeddings"] - least["embeddings"])
    print(f"the rest grows by {growth:.1f} times what the embeddings do")
    print("the rest: activations, the loss, the heap's gaps, what oneDNN keeps for each shape")
    return results


def step_in_memory(lengths: np.ndarray, pairs: int) -> Workload:
    """A batch made and learned from, with the memory that takes among the facts, in bytes."""
    config = read_recipe(DEMO, ["--model.norm", "layer"]).encoder_config()
    short = [max(length // MEMORY_SHORTENING, 30) for length in quantiles(lengths, 2 * pairs)]
    batches = pair_batches(short, MEMORY_BUDGET)
    step, _ = training_step(config, gradient_cache=True)
    ctypes.CDLL(None).malloc_trim(0)  # else the step could use what making the data left over
    before, peak_before = resident(), peak_memory()
    facts = {}

    def run():
        batch = batches[0]
        step(batch)
        size = config.pooled_size + config.projector_sizes[-1]
        facts.update(
            peak=peak_memory() - before,
            peak_before=peak_before - before,
            shapes=len({part.shape for part in batch.tokens}),
            tokens=batch.encoded,
            embeddings=2 * pairs * size * 4,
        )

    return Workload(run, sum(short), facts)


def resident() -> int:
    """Bytes of this process in memory now (on Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def draw(results: Sequence[dict], path: Path) -> None:
    """Memory over batch size."""
    figure, axes = new_axes(6, 4)
    pairs = [result["pairs"] for result in results]
    for name, label in (("peak", "peak of a step"), ("tokens", "tokens"), ("embeddings",) * 2):
        axes.plot(pairs, [result[name] / MB for result in results], marker="o", label=label)
    axes.set(xlabel="pairs a step", ylabel="MB above the model's own", ylim=(0, None))
    axes.set_xscale("log", base=2)
    axes.set_xticks(pairs, [f"{n:,}" for n in pairs])
    axes.legend(frameon=False)
    write_figure(figure, path)


# --- Processes of their own


def saved(lengths: np.ndarray, folder: Path) -> str:
    """A file of the lengths, for other processes."""
    np.save(folder / "lengths.npy", lengths)
    return str(folder / "lengths.npy")


def workload(lengths: np.ndarray, name: str) -> Workload:
    """What a process of its own does: a way to train, or a step on that many pairs."""
    return WAYS[name](lengths) if name in WAYS else step_in_memory(lengths, int(name))


PARTS = {"padding": padding, "throughput": throughput, "scaling": scaling, "memory": memory}
TIMED = ("throughput", "scaling")

if __name__ == "__main__":
    main()
