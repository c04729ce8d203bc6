"""Training and embedding on a GPU: one script, six minutes or less, a table and gpu.json.

    python benchmarks/gpu.py                    # all sections, most telling first
    python benchmarks/gpu.py --only train,embed --forms "isoclr-small bf16 compiled"
    python benchmarks/gpu.py --toy              # every path in a minute or two, on a CPU too

Transcripts are random letters with the lengths of annotations; what is counted are their own
nucleotides, gaps and padding not. A section that fails says so and the others go on; what does not
begin before the time is up is left out, and said.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from measure import MAX_LENGTH, length_mix
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from isoclr.objectives.isoforms.held_out import evaluate
from isoclr.objectives.isoforms.members import Members
from isoclr.objectives.isoforms.microbatches import PairEncoder
from isoclr.objectives.isoforms.pairs import Located, Masking, PairBatch, PairBatches
from isoclr.objectives.isoforms.sampling import PairSampler
from isoclr.training.background_evaluation import BackgroundEvaluation
from isoclr.training.curves import RunLog
from isoclr.training.speed import Speed
from modeling_isoclr import IsoCLRConfig, IsoCLRForPreTraining, IsoCLRModel
from modeling_isoclr.configuration_isoclr import CODON_START_BIT, EXON_END_BIT, PAD_BASE
from modeling_isoclr.layers_isoclr import IsoCLRConv
from modeling_isoclr.packing_isoclr import PackedShape, pack
from modeling_isoclr.pipeline_isoclr import embed_tokens
from modeling_isoclr.tokenization_isoclr import pad_tokens

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
ISOCLR_SMALL = {  # recipes/isoclr-small.yaml
    "filters": [64, 64, 128, 256],
    "blocks": [1, 1, 1, 1],
    "kernel_size": 3,
    "stem_kernel_size": 7,
    "stem_filters": 128,
    "norm": "layer",
    "pooling": "regions",
    "layout_size": 256,
    "content_size": 128,
    "projector_sizes": [512, 512, 128],
    "dropout": 0.0,
}
TOY = {"filters": [8, 8, 8, 16], "projector_sizes": [16, 16, 8]}
ORTHRUS = {"vocab_size": 32, "hidden_size": 256, "num_hidden_layers": 3, "use_cache": False}
FORMS: list[str] = []  # see --forms; empty: all
BUCKETS = (512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, MAX_LENGTH)


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        pairs: of a step, of isoclr-small and of the paper's medium encoder.
        tokens: of a micro-batch, of both.
        embedded: transcripts that are embedded, and tokens of a batch of them.
        seconds: that a measurement takes at least, the first runs left out.
        toy: tiny encoders.
    """

    pairs: tuple[int, int]
    tokens: tuple[int, int]
    embedded: tuple[int, int]
    seconds: float
    toy: bool = False

    def config(self, name: str) -> IsoCLRConfig:
        """The configuration of an encoder, tiny where only the paths are of interest."""
        tiny = TOY if self.toy else {}
        if name == "isoclr-small":
            return IsoCLRConfig(**ISOCLR_SMALL | tiny)
        few = {"blocks": [1, 2, 1, 1]} if self.toy else {}
        return IsoCLRConfig.preset(name, **tiny | few)


FULL = Scale((1024, 768), (1 << 20, 1 << 19), (4096, 1 << 20), 3.0)
SMALL = Scale((12, 6), (1 << 15, 1 << 15), (12, 1 << 15), 0.0, toy=True)


def main() -> None:
    """Run the sections; print tables; write gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"of {', '.join(SECTIONS)}, with commas between")
    parser.add_argument("--forms", help="measure those alone, by their names, with commas between")
    parser.add_argument("--toy", action="store_true", help="tiny sizes: are all paths sound?")
    parser.add_argument("--seconds", type=float, default=300, help="begin no section after")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"--only: got {', '.join(unknown)}, wanted some of {', '.join(SECTIONS)}")
    report = {"machine": machine(), "sections": {}}
    FORMS.extend(arguments.forms.split(",") if arguments.forms else [])
    print(json.dumps(report["machine"]))
    began = time.perf_counter()
    scale = SMALL if arguments.toy else FULL
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        at = time.perf_counter() - began
        if at > arguments.seconds:
            report["sections"][name] = {"skipped": f"{at:.0f} s were over"}
            print(f"\n{name}: skipped, {at:.0f} s are over")
            continue
        print(f"\n== {name} (at {at:.0f} s)", flush=True)
        report["sections"][name] = attempt(lambda name=name: SECTIONS[name](scale, report))
        (arguments.output / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s; {arguments.output / 'gpu.json'}")


def machine() -> dict:
    """What it was measured on."""
    facts = {"torch": torch.__version__, "cores": os.cpu_count(), "device": DEVICE.type}
    if CUDA:
        properties = torch.cuda.get_device_properties(0)
        facts |= {"gpu": properties.name, "memory_GB": round(properties.total_memory / 1e9, 1)}
    return facts


def each(wanted: Sequence[tuple], run: Callable) -> dict:
    """What `run` returns of each tuple of arguments, by their names; see --forms."""
    named = {" ".join(one): one for one in wanted}
    if FORMS:
        named = {name: one for name, one in named.items() if name in FORMS}
    return {name: attempt(lambda one=one: run(*one)) for name, one in named.items()}


def attempt(run: Callable[[], object]):
    """What `run` returns or, where it fails, why."""
    try:
        return run()
    except Exception as error:
        lines = traceback.format_exc().strip().splitlines()
        print(f"FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
        return {"error": f"{type(error).__name__}: {str(error)[:2000]}", "traceback": lines[-12:]}
    finally:
        torch._dynamo.reset()
        if CUDA:
            torch.cuda.empty_cache()


# --- Time


def wait() -> None:
    """Until the GPU has done what it was told."""
    if CUDA:
        torch.cuda.synchronize()


def timed(run: Callable[[], object], seconds: float, warm: int = 2) -> dict:
    """Seconds of the first run, and of one of those after the warm ones; peak memory."""
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    run()
    wait()
    first = time.perf_counter() - start
    for _ in range(warm):
        run()
    wait()
    runs, start = 0, time.perf_counter()
    while not runs or time.perf_counter() - start < seconds:
        run()
        wait()
        runs += 1
    found = {"first_s": first, "step_s": (time.perf_counter() - start) / runs, "steps": runs}
    if CUDA:
        found["peak_GB"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def precision_context(precision: str):
    """bfloat16 as training has it, or nothing."""
    if precision == "bf16":
        return torch.autocast(DEVICE.type, torch.bfloat16)
    return contextlib.nullcontext()


def show(name: str, result: dict) -> dict:
    """One line; the result."""
    units = {"Mnt_per_s": "Mnt/s", "TFLOP_per_s": "TFLOP/s"}
    parts = []
    for key, value in result.items():
        if isinstance(value, float):
            parts.append(f"{units.get(key, key)} {value:.3g}")
        elif isinstance(value, (int, str)):
            parts.append(f"{key} {value}")
    print(f"{name:44} {'  '.join(parts)}", flush=True)
    return result


# --- What the card can do


def ceilings(scale: Scale, report: dict) -> dict:
    """Matrix products in bf16 and fp32, and copying in memory."""
    size = 256 if scale.toy else 8192
    found = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        a = torch.randn(size, size, device=DEVICE, dtype=dtype)
        took = timed(lambda a=a: a @ a, min(scale.seconds, 0.5))["step_s"]
        found[f"{name}_TFLOP_per_s"] = 2 * size**3 / took / 1e12
    data = torch.empty((1 << 20) if scale.toy else (1 << 30), dtype=torch.uint8, device=DEVICE)
    took = timed(data.clone, min(scale.seconds, 0.5))["step_s"]
    found["copy_TB_per_s"] = 2 * data.numel() / took / 1e12
    return show("ceilings", found)


def flops_per_nt(config: IsoCLRConfig) -> float:
    """Of the convolutions of a forward pass, a nucleotide; two for each multiplication."""
    total = 2 * config.n_tracks * config.stem_channels * (config.stem_kernel_size or 2)
    before = config.stem_channels
    for stage, (channels, blocks) in enumerate(zip(config.filters, config.blocks, strict=True)):
        for block in range(blocks):
            weights = config.kernel_size * channels * (before + channels)
            weights += before * channels * (before != channels)
            total += 2 * weights / 2 ** (stage + (1 if block == 0 else 2))
            before = channels
    return total


def bytes_per_nt(config: IsoCLRConfig, width: int) -> float:
    """Least traffic of a forward pass, a nucleotide.

    Every convolution and every norm reads its input and writes its output once; all that is
    elementwise is fused into one of them.
    """
    total, before = 0.0, config.stem_channels
    total += config.n_tracks + 3 * config.stem_channels
    for stage, (channels, blocks) in enumerate(zip(config.filters, config.blocks, strict=True)):
        for block in range(blocks):
            maps = before + 3 * channels + channels + 3 * channels + channels
            maps += (before + 3 * channels) * (before != channels)
            total += maps / 2 ** (stage + (1 if block == 0 else 2))
            before = channels
    return width * total


def shares(config, mnt_per_s: float, passes: int, width: int, report: dict) -> dict:
    """Achieved operations, and the shares of what the card was measured to do."""
    found = {"TFLOP_per_s": passes * flops_per_nt(config) * mnt_per_s / 1e6}
    top = report["sections"].get("ceilings", {})
    if "bf16_TFLOP_per_s" in top:
        ceiling = top["bf16_TFLOP_per_s" if width == 2 else "fp32_TFLOP_per_s"]
        traffic = passes * bytes_per_nt(config, width) * mnt_per_s / 1e6
        found["of_matrix_ceiling"] = found["TFLOP_per_s"] / ceiling
        found["of_bandwidth"] = traffic / top["copy_TB_per_s"]
    return found


# --- Data


class RandomGroups:
    """Transcripts of random letters, as training has them: tokens of each, at once."""

    def __init__(self, lengths: Sequence[int], seed: int = 0):
        rng = np.random.default_rng(seed)
        lengths = rng.permutation(np.asarray(lengths))
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        flat = rng.integers(0, 4, bounds[-1], dtype=np.uint8)
        for start, length in zip(bounds.tolist(), lengths.tolist(), strict=False):
            flat[start + length // 5 : start + length // 5 + length // 6 * 3 : 3] |= CODON_START_BIT
            flat[start + length // 3] |= EXON_END_BIT
            flat[start + length - 1] |= EXON_END_BIT
        self.flat, self.bounds = flat, bounds
        n = len(lengths)
        offsets = np.arange(0, n + 1, 2)  # two transcripts a group
        zeros = np.zeros(n, dtype=np.int64)
        self.members = Members(
            offsets=offsets,
            transcripts=np.arange(n),
            species=zeros,
            genes=np.repeat(np.arange(n // 2), 2),
            lengths=lengths,
            cds_start=lengths // 5,
            cds_end=lengths // 5 + lengths // 6 * 3,
            species_names=("random",),
        )

    def tokens(self, transcript: int) -> np.ndarray:
        """Of a transcript, a copy."""
        return self.flat[self.bounds[transcript] : self.bounds[transcript + 1]].copy()

    def locate(self, step: int) -> Located:
        """All groups, in every step."""
        rows = np.arange(len(self.members))
        passes = np.full_like(rows, step)
        return Located(groups=self, eligible=self.members, rows=rows, keys=rows, passes=passes)


def pair_batches(config: IsoCLRConfig, pairs: int, tokens: int) -> PairBatches:
    """Steps over as many pairs, packed and masked as training does it."""
    lengths, _ = length_mix(2 * pairs)
    source = RandomGroups(lengths)
    batches = PairBatches(
        source,
        PairSampler(0),
        masking=Masking(fractions=(0.2, 0.2)),
        shape=PackedShape.of(config, tokens, MAX_LENGTH),
        seed=0,
    )
    batches.fill_evenly()
    return batches


# --- Training


class Trainer:
    """A step of training, as train.py takes it.

    Args:
        config: of the encoder.
        precision: fp32 or bf16, by autocast.
        mode: eager, compiled, or graphs: compiled into CUDA graphs.
        gradient_cache: see `PairEncoder`.
    """

    def __init__(self, config, precision: str, mode: str, *, gradient_cache: bool = False):
        torch.manual_seed(0)
        self.model = IsoCLRForPreTraining(config).to(DEVICE).train()
        self.encoder = PairEncoder(
            self.model,
            gradient_cache=gradient_cache,
            compile_encoder=mode != "eager",
            cuda_graphs=mode == "graphs",
        )
        self.precision = precision
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=CUDA)

    def step(self, batch: PairBatch) -> torch.Tensor:
        """Learn from a batch that is on the device."""
        with precision_context(self.precision):
            projections, _ = self.encoder(batch)
        loss, _ = self.model.contrast(projections.float())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


def train_one(scale, report, name: str, precision: str, mode: str, *options: str) -> dict:
    """Rate of training an encoder on one batch that stays on the device; see `Trainer`."""
    which = int(name != "isoclr-small")
    config = scale.config(name)
    batch = pair_batches(config, scale.pairs[which], scale.tokens[which])[0].to(DEVICE)
    trainer = Trainer(config, precision, mode, gradient_cache="gradient_cache" in options)
    losses = []
    found = timed(lambda: losses.append(trainer.step(batch)), scale.seconds)
    found["Mnt_per_s"] = batch.nucleotides / found["step_s"] / 1e6
    found["padding"] = batch.padding
    found["micro_batches"] = len(batch.seeds)
    found["loss_first_last"] = [losses[0].item(), losses[-1].item()]
    width = 2 if precision == "bf16" else 4
    found |= shares(config, found["Mnt_per_s"], 3, width, report)
    return show(" ".join(["train", name, precision, mode, *options]), found)


def waiting(scale: Scale, report: dict) -> dict:
    """The loader alone, and the share of time that training waits for it."""
    config = scale.config("isoclr-small")
    batches = pair_batches(config, scale.pairs[0], scale.tokens[0])
    workers = 2 if scale.toy else 8
    options = {"batch_size": None, "num_workers": workers, "pin_memory": CUDA}
    found, steps = {"workers": workers}, 4 * workers if scale.toy else 16 * workers
    arrivals = [
        (time.perf_counter(), batch.nucleotides)
        for batch in DataLoader(batches, sampler=range(steps), **options)
    ]
    later = arrivals[workers:]  # what the workers had made before the first was asked for
    seconds = later[-1][0] - later[0][0]
    found["loader_Mnt_per_s"] = sum(n for _, n in later[1:]) / seconds / 1e6
    mode = "eager" if scale.toy else "compiled"
    trainer = Trainer(config, "bf16", mode)
    trainer.step(batches[0].to(DEVICE))
    wait()
    loader = iter(DataLoader(batches, sampler=range(steps), **options))
    trainer.step(next(loader).to(DEVICE))
    wait()
    waited, nucleotides, began, loss = 0.0, 0, time.perf_counter(), None
    while True:
        asked = time.perf_counter()
        batch = next(loader, None)
        if batch is None:
            break
        waited += time.perf_counter() - asked
        if loss is not None:
            torch.isfinite(loss).item()  # as train.py does, of the step before
        loss = trainer.step(batch.to(DEVICE))
        nucleotides += batch.nucleotides
    wait()
    seconds = time.perf_counter() - began
    found |= {"waiting_share": waited / seconds, "Mnt_per_s": nucleotides / seconds / 1e6}
    return show(f"train isoclr-small bf16 {mode}, with the loader", found)


def evaluating(scale: Scale, report: dict) -> dict:
    """What training pays for evaluations between two steps, and in a thread beside them."""
    config = scale.config("isoclr-small")
    batches = pair_batches(config, scale.pairs[0], scale.tokens[0])
    batch, held_out = (batches[step].to(DEVICE) for step in (0, 1))
    mode, steps, every = ("eager", 8, 4) if scale.toy else ("compiled", 64, 16)
    found = {}
    for name, in_thread in (("between two steps", False), ("in a thread", True)):
        trainer, speed = Trainer(config, "bf16", mode), Speed()
        for _ in range(2):
            trainer.step(batch)
        wait()
        with tempfile.TemporaryDirectory() as folder:
            log = RunLog(Path(folder) / "log.jsonl", 0)
            evaluation = BackgroundEvaluation(
                lambda model: evaluate(model, held_out, None),
                trainer.model,
                log,
                lambda record, step: None,
                in_thread=in_thread,
            )
            with evaluation:
                for step, given in enumerate(speed.waiting_for([batch] * steps), 1):
                    torch.isfinite(trainer.step(given)).item()  # as train.py does
                    speed.did(given.sizes)
                    if step % every == every // 2:  # so that steps follow the last one
                        with speed.spending_on("evaluation"):
                            evaluation.start(trainer.model)
                    evaluation.write({"step": step}, {})
                with speed.spending_on("evaluation"):
                    evaluation.wait()
        result = {"Mnt_per_s": speed.rates()["nucleotides_per_s"] / 1e6}
        result["main_thread_pays_ms"] = 1e3 * speed.spent["evaluation"] / (steps // every)
        result["evaluation_share"] = speed.rates()["evaluation_share"]
        scored = [record for record in log.records if "held_out_loss" in record]
        result["held_out_loss"] = scored[-1]["held_out_loss"]
        found[name] = show(f"evaluating every {every} steps {name}, {mode}", result)
    return found


# --- Embedding


def embed_one(scale, report, name: str, precision: str, mode: str) -> dict:
    """Rate of embedding batches that are on the device, and from arrays to arrays."""
    config = scale.config(name)
    torch.manual_seed(0)
    model = IsoCLRModel(config).to(DEVICE).eval()
    if mode != "eager":
        options = {"mode": "reduce-overhead"} if mode == "graphs" else {}
        model.forward = torch.compile(model.forward, dynamic=False, **options)
    n, tokens = scale.embedded
    groups = RandomGroups(length_mix(n)[0])
    rows = [groups.tokens(i) for i in range(n)]
    lengths = np.array([len(row) for row in rows])
    shape = PackedShape.of(config, tokens, MAX_LENGTH)
    packing, batches = pack(lengths, shape), []
    for number in range(packing.batches):
        members = packing.members(number)
        arrays = packing.tokens(members, [rows[i] for i in members]), packing.segment_ids(members)
        batches.append([torch.from_numpy(values).to(DEVICE) for values in arrays])

    @torch.inference_mode()
    def on_device():
        with precision_context(precision):
            for values, ids in batches:
                model(values, segment_ids=ids, n_segments=shape.segments)

    def whole():
        with precision_context(precision):
            embed_tokens(model, rows, tokens, packed=True)

    found = timed(on_device, scale.seconds)
    found["Mnt_per_s"] = lengths.sum() / found["step_s"] / 1e6
    whole_way = timed(whole, scale.seconds / 2, warm=1)["step_s"]
    found["arrays_to_arrays_Mnt_per_s"] = lengths.sum() / whole_way / 1e6
    found["padding"] = 1 - lengths.sum() / (packing.batches * shape.size)
    width = 2 if precision == "bf16" else 4
    found |= shares(config, found["Mnt_per_s"], 1, width, report)
    return show(f"embed {name} {precision} {mode}", found)


# --- Where the time goes


def profile_one(scale: Scale, report: dict, name: str, precision: str, mode: str) -> dict:
    """Kernels (on a CPU: operators) of one warm micro-batch, forward and backward."""
    config = scale.config(name)
    batch = pair_batches(config, scale.pairs[0], scale.tokens[0])[0]
    first = slice(0, 1)
    in_first = batch.slots < batch.tokens.shape[1] * batch.n_segments
    batch = replace(
        batch,
        tokens=batch.tokens[first],
        segment_ids=batch.segment_ids[first],
        seeds=batch.seeds[first],
        slots=batch.slots[in_first],
    ).to(DEVICE)
    trainer = Trainer(config, precision, mode)
    layouts = []

    def lay_out():
        with precision_context(precision):
            layouts.append(trainer.encoder.layouts(batch, range(1))[0])

    def once():
        with precision_context(precision):
            rows, _ = trainer.encoder.encode_one(batch, 0, layouts[-1])
        rows.float().square().mean().backward()
        trainer.model.zero_grad()

    for _ in range(3):
        lay_out()
        once()
    laid_out, found = profile_of(lay_out), profile_of(once)
    result = {"launches": found["launches"], "to_lay_out_four": laid_out["launches"]}
    result |= {"busy_ms": found["busy_ms"], "wall_ms": found["wall_ms"]}
    show(f"profile {precision} {mode}, one micro-batch", result)
    for line in found["top"]:
        print(f"   {line['ms']:8.3f} ms {line['count']:5} x {line['name']}")
    return result | {"top": found["top"], "laying_out": laid_out}


def profile_of(run: Callable[[], object]) -> dict:
    """Kernels of `run`, on a CPU operators: how many, how long, the longest."""
    wait()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if CUDA else [])]
    with profile(activities=activities) as seen:
        start = time.perf_counter()
        run()
        wait()
        seconds = time.perf_counter() - start
    wanted = torch.autograd.DeviceType.CUDA if CUDA else torch.autograd.DeviceType.CPU
    times, counts = Counter(), Counter()
    for event in seen.events():
        # Compiled regions mark the time of their kernels, which would count twice.
        marks = event.name.startswith(("Mem", "##", "Torch-Compiled", "Profiler"))
        if event.device_type == wanted and not marks:
            name = event.name[:90]
            times[name] += event.time_range.elapsed_us() if CUDA else event.self_cpu_time_total
            counts[name] += 1
    top = [
        {"ms": us / 1e3, "count": counts[name], "name": name} for name, us in times.most_common(25)
    ]
    busy = sum(times.values()) / 1e3
    launches = sum(counts.values())
    return {"launches": launches, "busy_ms": busy, "wall_ms": 1e3 * seconds, "top": top}


# --- Other forms of the encoder, and other ways to batch


def conv1d(self, x):
    """As one first writes it: (batch, channels, length) in torch's own order."""
    (reach,) = self.padding
    x = nn.functional.pad(x.squeeze(2).contiguous(), (reach // 2, reach - reach // 2))
    x = nn.functional.conv1d(x, self.weight, self.bias, dilation=self.dilation)
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def shifted_product(self, x):
    """A product with the shifted inputs, one after another."""
    (reach,) = self.padding
    x = x.permute(0, 2, 3, 1).squeeze(1)
    length = x.shape[1]
    x = nn.functional.pad(x, (0, 0, reach // 2, reach - reach // 2))
    step = self.dilation[0]
    shifted = [x[:, k * step : k * step + length] for k in range(self.kernel_size[0])]
    weight = self.weight.permute(0, 2, 1).flatten(1)
    x = nn.functional.linear(torch.cat(shifted, 2), weight, self.bias)
    return x.unsqueeze(1).permute(0, 3, 1, 2)


@contextlib.contextmanager
def another_convolution(forward):
    """Replace that of the encoders meanwhile."""
    before = IsoCLRConv.forward
    IsoCLRConv.forward = forward
    try:
        yield
    finally:
        IsoCLRConv.forward = before


def forms(scale: Scale, report: dict) -> dict:
    """Isoclr-small with other forms of the convolution, and in other numbers of rows."""
    found = {}
    for form in (shifted_product, conv1d):
        for mode in ("compiled", "eager"):
            with another_convolution(form):
                label = f"{form.__name__} {mode}"
                print(f"{label}: ", end="")
                found[label] = attempt(
                    lambda m=mode: train_one(scale, report, "isoclr-small", "bf16", m)
                )
    for factor in (4, 0.25):
        tokens = int(scale.tokens[0] * factor)
        other = replace(scale, tokens=(tokens, scale.tokens[1]))
        print(f"micro-batches of {tokens:,}: ", end="")
        found[f"eager, {tokens} tokens"] = attempt(
            lambda other=other: train_one(other, report, "isoclr-small", "bf16", "eager")
        )
    return found


def encoder_step(model: nn.Module, precision: str, pooled: Callable[[], torch.Tensor]) -> Callable:
    """Forward and backward of an encoder alone, towards embeddings of zero."""

    def step():
        with precision_context(precision):
            embeddings = pooled()
        embeddings.float().square().mean().backward()
        model.zero_grad()

    return step


def buckets(scale: Scale, report: dict) -> dict:
    """The alternative to packing: rows of one transcript, in a few fixed (rows, length)."""
    found = {}
    config = scale.config("isoclr-small")
    pairs, tokens = scale.pairs[0], scale.tokens[0]
    groups = RandomGroups(length_mix(2 * pairs)[0])
    rows = sorted((groups.tokens(i) for i in range(2 * pairs)), key=len)
    batches, useful = [], 0
    for low, high in zip((0, *BUCKETS), BUCKETS, strict=False):
        inside = [row for row in rows if low < len(row) <= high]
        at_once = max(tokens // high, 1)
        for start in range(0, len(inside), at_once):
            part = inside[start : start + at_once]
            useful += sum(map(len, part))
            batch = np.full((at_once, high), PAD_BASE, np.uint8)
            filled = pad_tokens(part)[:, :high]
            batch[: len(part), : filled.shape[1]] = filled
            batches.append(torch.from_numpy(batch).to(DEVICE))
    for precision in ("bf16", "fp32"):
        torch.manual_seed(0)
        model = IsoCLRModel(config).to(DEVICE).train()

        def pooled(model=model):
            return torch.cat([model(b, learned_only=True).pooler_output for b in batches])

        result = timed(encoder_step(model, precision, pooled), scale.seconds)
        result["Mnt_per_s"] = useful / result["step_s"] / 1e6
        result["padding"] = 1 - useful / sum(batch.numel() for batch in batches)
        found[f"eager {precision}"] = show(f"buckets, encoder alone, eager {precision}", result)
    return found


def plain(scale: Scale, report: dict) -> dict:
    """The paper's way: its small encoder over conv1d, every transcript padded to 12,288."""
    config = scale.config("small")
    n = 4 if scale.toy else 64
    lengths, _ = length_mix(64 * n)
    lengths = lengths[:: len(lengths) // n][:n]
    length = 1024 if scale.toy else MAX_LENGTH
    lengths = [min(one, length) for one in lengths]
    groups = RandomGroups(lengths)
    tokens = np.full((n, length), PAD_BASE, np.uint8)
    for i in range(n):
        row = groups.tokens(i)
        tokens[i, : len(row)] = row
    tokens, found = torch.from_numpy(tokens).to(DEVICE), {}
    for precision in ("bf16", "fp32"):
        torch.manual_seed(0)
        model = IsoCLRModel(config).to(DEVICE).train()
        step = encoder_step(model, precision, lambda model=model: model(tokens).pooler_output)
        with another_convolution(conv1d):
            result = timed(step, scale.seconds)
        result["Mnt_per_s"] = sum(lengths) / result["step_s"] / 1e6
        result["padding"] = 1 - sum(lengths) / tokens.numel()
        found[precision] = show(f"small, conv1d, padded to {length:,}, eager {precision}", result)
    return found


def mamba(scale: Scale, report: dict) -> dict:
    """A Mamba of the shape of Orthrus's smaller one, in transformers' PyTorch path."""
    from transformers import MambaConfig, MambaModel

    rows, length = (1, 64) if scale.toy else (64, 512)
    tokens = torch.randint(0, 4, (rows, length), device=DEVICE)
    torch.manual_seed(0)
    model = MambaModel(MambaConfig(**ORTHRUS)).to(DEVICE).train()
    step = encoder_step(model, "bf16", lambda: model(tokens).last_hidden_state.mean(1))

    @torch.inference_mode()
    def forward():
        with precision_context("bf16"):
            model(tokens)

    found = {}
    for name, run in (("train", step), ("embed", forward)):
        result = timed(run, scale.seconds / 2, warm=1)
        result["Mnt_per_s"] = tokens.numel() / result["step_s"] / 1e6
        found[name] = show(f"Mamba 3 x 256, {rows} x {length} nt, no padding, {name}", result)
    return found


def section(run: Callable, *wanted: tuple) -> Callable[[Scale, dict], dict]:
    """A section that runs the same with several arguments."""
    return lambda scale, report: each(wanted, lambda *one: run(scale, report, *one))


EAGER, FLOAT = ("isoclr-small", "bf16", "eager"), ("isoclr-small", "fp32", "eager")
COMPILED = ("isoclr-small", "bf16", "compiled")
GRAPHS = [("isoclr-small", "bf16", "graphs")] if CUDA else []
SECTIONS = {
    "ceilings": ceilings,
    "train": section(train_one, COMPILED, EAGER, FLOAT),
    "profile": section(profile_one, EAGER, FLOAT, COMPILED),
    "embed": section(embed_one, COMPILED, EAGER, FLOAT, *GRAPHS),
    "plain": plain,
    "mamba": mamba,
    "waiting": waiting,
    "evaluating": evaluating,
    "medium": section(train_one, ("medium", "bf16", "eager"), ("medium", "bf16", "compiled")),
    "buckets": buckets,
    "forms": forms,
    "train_more": section(
        train_one,
        ("isoclr-small", "fp32", "compiled"),
        (*COMPILED, "gradient_cache"),
        *GRAPHS,
        ("medium", "fp32", "eager"),
    ),
}

if __name__ == "__main__":
    main()
