"""Contrastive pre-training: accelerate launch train.py RECIPE [--key value ...].

A run whose output folder holds a checkpoint of the same recipe goes on from it.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import (
    DistributedDataParallelKwargs,
    ProjectConfiguration,
    parse_flag_from_env,
)
from torch.utils.data import DataLoader
from tqdm import tqdm

from data_builders.records import InputError
from isoclr.hub.card import write_card
from isoclr.hub.push import push
from isoclr.objectives.isoforms.held_out import evaluate
from isoclr.objectives.isoforms.microbatches import PairEncoder
from isoclr.objectives.isoforms.pairs import PairBatch, PairBatches
from isoclr.objectives.isoforms.sources import build_batches
from isoclr.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from isoclr.training.curves import RunLog, plot_curves
from isoclr.training.processes import share_statistics, sum_over_processes
from isoclr.training.recipe import Recipe, duration, read_recipe
from isoclr.training.schedule import learning_rate
from isoclr.training.sharded import whole, whole_model, whole_state
from isoclr.training.signals import StopRequest, leave_to_main_process
from isoclr.training.speed import Speed
from modeling_isoclr import (
    IsoCLRForPreTraining,
    IsoCLRTokenizer,
    transcript_count_weights,
)


def main(arguments: list[str]) -> None:
    """Read the recipe, build what it asks for, train, save."""
    if not arguments or arguments[0].startswith("-"):
        raise InputError("usage: accelerate launch train.py RECIPE [--key value ...]")
    recipe = read_recipe(arguments[0], arguments[1:])
    with StopRequest() as stop:
        train(recipe, stop)


def train(recipe: Recipe, stop: StopRequest) -> None:
    """Train from the newest checkpoint, or from the start, to the recipe's last step."""
    accelerator = build_accelerator(recipe)
    main_process, device = accelerator.is_main_process, accelerator.device
    output = Path(recipe.output)
    tokenizer = IsoCLRTokenizer()
    batches = build_batches(recipe, tokenizer, accelerator)
    probe = build_probe(recipe, tokenizer) if main_process and recipe.probe else None
    held_out = batches.held_out()
    held_out = held_out and held_out.to(device)

    torch.manual_seed(recipe.seed)
    model = IsoCLRForPreTraining(recipe.model_config()).to(device).train()
    if recipe.micro_batch_tokens is None and accelerator.num_processes > 1:
        share_statistics(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=recipe.weight_decay, fused=device.type == "cuda"
    )
    encoder = PairEncoder(
        model, gradient_cache=recipe.gradient_cache, compile_encoder=recipe.compile
    )
    if accelerator.is_fsdp2:  # accelerate leaves this to a policy, see `build_accelerator`
        encoder.forward = accelerator.autocast()(encoder.forward)
    encoder, optimizer = accelerator.prepare(encoder, optimizer)
    start = resume(accelerator, recipe, output, model, optimizer)
    rate_of = rates(recipe, batches)
    steps = duration(recipe, "steps", batches.source.order.steps_per_epoch)
    log = RunLog(output / "log.jsonl", start) if main_process else None
    speed = Speed()

    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, steps),
        num_workers=recipe.workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=leave_to_main_process,
    )
    progress = tqdm(
        speed.waiting_for(loader),
        initial=start,
        total=steps,
        desc="training",
        unit="step",
        disable=not main_process,
    )
    for step, batch in enumerate(progress, start=start + 1):
        rate = rate_of(step - 1)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(device)
        loss, record = objective(encoder, model, batch, recipe)
        if not torch.isfinite(loss):
            stop_at_nonfinite(accelerator, batches, step, loss.item(), rate, output)
        accelerator.backward(loss)
        norm = whole(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]))
        if not torch.isfinite(norm):
            stop_at_nonfinite(accelerator, batches, step, norm.item(), rate, output)
        optimizer.step()
        optimizer.zero_grad()

        last = step == steps
        evaluated = last or step % recipe.evaluate_every == 0
        evaluation_model = whole_model(model, device) if evaluated else None
        speed.did(batch)
        record |= {"step": step, "lr": rate, "gradient_norm": norm.item()}
        record["padding"] = batch.padding
        if main_process:
            progress.set_postfix(speed.shown(record))
            if evaluated and held_out is not None:
                weights = count_weights(held_out, recipe)
                record |= evaluate(evaluation_model, held_out, weights)
            if evaluated and probe is not None:
                record |= probe(evaluation_model.isoclr)
            log.write(**record)
        accelerator.log(record | speed.rates(), step=step)
        signal = stop.agreed(device)
        if last or signal or step % recipe.checkpoint_every == 0:
            saved, optimizer_state = whole_model(model, device), whole_state(optimizer)
            if main_process:
                save_checkpoint(
                    output / "checkpoints",
                    step,
                    saved.state_dict(),
                    optimizer_state,
                    {"recipe": dataclasses.asdict(recipe)},
                    recipe.keep_checkpoints,
                )
                if recipe.push_to_hub and not (last or signal):
                    write_model(recipe, saved, tokenizer, log, speed)
                    push_if_possible(recipe)
        if signal:
            accelerator.print(f"signal {signal}: stopped after step {step}", file=sys.stderr)
            accelerator.wait_for_everyone()  # a process that leaves early ends the others
            encoder = accelerator.free_memory(encoder)  # before the processes lose each other
            accelerator.end_training()
            sys.exit(128 + signal)

    trained = whole_model(model, device)
    if main_process:
        write_model(recipe, trained, tokenizer, log, speed)
        print_summary(log.records, output, speed)
        if recipe.push_to_hub:
            print(push(output, recipe.push_to_hub))
    accelerator.wait_for_everyone()
    encoder = accelerator.free_memory(encoder)  # before the processes lose each other
    accelerator.end_training()


def build_accelerator(recipe: Recipe) -> Accelerator:
    """Processes, precision and trackers, as accelerate was launched and the recipe says."""
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise InputError(
            "accelerate launch: got --use_deepspeed, wanted --multi_gpu or --use_fsdp "
            "--fsdp_version 2: optimizer and backward pass are this program's"
        )
    accelerator = Accelerator(
        # Without a GPU and without being told, accelerate takes every process for the only one.
        cpu=not torch.accelerator.is_available(),
        mixed_precision="bf16" if recipe.precision == "bfloat16" else "no",
        log_with=recipe.tracker,
        project_config=ProjectConfiguration(recipe.output, str(Path(recipe.output) / "logs")),
        # Ranks differ in the number of micro-batches, so a forward must not communicate.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if accelerator.distributed_type == DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        if plugin.fsdp_version != 2:
            raise InputError("accelerate launch: got --use_fsdp, wanted --fsdp_version 2 with it")
        if plugin.auto_wrap_policy is not None or plugin.activation_checkpointing:
            raise InputError(
                "accelerate launch: got an fsdp_auto_wrap_policy or fsdp_activation_checkpointing, "
                "wanted NO_WRAP and false: processes differ in the number of micro-batches"
            )
        # Casts weights but not the tracks that they meet: autocast it is, as without FSDP.
        plugin.mixed_precision_policy = None
        plugin.cpu_ram_efficient_loading = False  # fails at the buffers of batch norms
    if recipe.tracker is not None:
        accelerator.init_trackers("isoclr")
    return accelerator


def build_probe(recipe: Recipe, tokenizer: IsoCLRTokenizer):
    """The probe of a recipe that asks for one; imported lazily."""
    from isoclr.evaluation.label_probe import LabelProbe

    return LabelProbe(tokenizer, **recipe.probe)


def resume(accelerator, recipe, output, model, optimizer) -> int:
    """Steps done: those of the newest complete checkpoint, which is loaded, or 0."""
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = newest_checkpoint(output / "checkpoints")
    if checkpoint is None:
        return 0
    state = load_checkpoint(checkpoint, model, optimizer)
    # What a run leaves behind may change; what it computes may not.
    free = {"output", "data", "token_cache", "workers", "keep_checkpoints", "checkpoint_every"}
    free |= {"tracker", "push_to_hub", "gradient_cache"}
    for key, value in dataclasses.asdict(recipe).items():
        if key not in free and state["recipe"][key] != value:
            raise InputError(
                f"{checkpoint}: {key}: got {value!r}, wanted {state['recipe'][key]!r} as the run "
                "began; choose another output"
            )
    accelerator.print(f"resuming from {checkpoint}", file=sys.stderr)
    return state["step"]


def rates(recipe: Recipe, batches: PairBatches):
    """The learning rate as a function of the step, counted from 0."""
    per_epoch = batches.source.order.steps_per_epoch
    durations = {
        name: duration(recipe, name, per_epoch)
        for name in ("steps", "warmup_steps", "cooldown_steps")
    }
    return lambda step: learning_rate(
        step,
        schedule=recipe.schedule,
        peak=recipe.learning_rate,
        steps_per_epoch=per_epoch,
        **durations,
    )


def count_weights(batch: PairBatch, recipe: Recipe) -> torch.Tensor | None:
    """Weights of the positive terms by the transcripts of their groups, (pairs,)."""
    return transcript_count_weights(batch.counts) if recipe.count_weights else None


def objective(
    encoder: torch.nn.Module, model: IsoCLRForPreTraining, batch: PairBatch, recipe: Recipe
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss whose gradient, averaged over processes, is that of the whole batch; and its terms.

    Every process takes the contrastive term over all views (see `gather_rows`). The
    masked-nucleotide term is a sum over this process's nucleotides, scaled to the mean over all.
    """
    projections, masked_lm = encoder(batch)
    projections = projections.float()
    types = None if model.config.pair_type_weights is None else batch.types
    weights = model.positive_weights(count_weights(batch, recipe), types)
    contrastive, accuracy = model.contrast(projections, weights)
    loss, record = contrastive, {"loss": contrastive.item()}
    if masked_lm is not None:
        hidden = sum((labels != -100).sum() for labels in batch.labels)
        sums = sum_over_processes(torch.stack([masked_lm.detach().double(), hidden.double()]))
        record["contrastive_loss"] = contrastive.item()
        record["masked_lm_loss"] = (sums[0] / sums[1]).item()
        share, world_size = model.config.masked_lm_weight, len(batch.rows_of_rank)
        masked_lm = masked_lm * (world_size / sums[1])
        loss = share * masked_lm + (1 - share) * contrastive
        record["loss"] = share * record["masked_lm_loss"] + (1 - share) * contrastive.item()
    return loss, record | {"accuracy": accuracy.item()}


def stop_at_nonfinite(
    accelerator: Accelerator, batches: PairBatches, step: int, value: float, rate: float, output
) -> None:
    """Write down what the batch held, and end the run before the step is taken."""
    path = output / f"nonfinite-step-{step}.json"
    if accelerator.is_main_process:
        found = {
            "step": step,
            "value": str(value),
            "lr": rate,
            "records": batches.records(step - 1),
        }
        path.write_text(json.dumps(found, indent=1))
    raise InputError(
        f"step {step}: got a loss or gradient of {value} at a learning rate of {rate}, wanted a "
        f"finite one; the batch is in {path}, the weights are those of the last checkpoint"
    )


def write_model(recipe: Recipe, model, tokenizer, log: RunLog, speed: Speed) -> None:
    """Make the output folder one that transformers loads and the Hub shows."""
    output = Path(recipe.output)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    recipe.save(output / "recipe.yaml")
    plot_curves(log.records, output / "curves.png")
    (output / "speed.json").write_text(json.dumps(speed.rates(), indent=1) + "\n")
    on_the_hub = [path for path, *_ in recipe.datasets() if not Path(path).is_dir()]
    write_card(output, datasets=on_the_hub)


def push_if_possible(recipe: Recipe) -> None:
    """Share a checkpoint; the run goes on when the Hub is away, and the next push has it all."""
    try:
        push(recipe.output, recipe.push_to_hub)
    except InputError as error:
        print(f"not pushed, will try again: {error}", file=sys.stderr)


def print_summary(records: list[dict], output: Path, speed: Speed) -> None:
    """What came out, in a few lines."""
    last = records[-1]
    print(f"model: {output}; curves: {output / 'curves.png'}")
    print(f"last step {last['step']}: loss {last['loss']:.3f}, accuracy {last['accuracy']:.3f}")
    if "held_out_loss" in last:
        print(
            f"held-out pairs: loss {last['held_out_loss']:.3f} "
            f"(shuffled {last['shuffled_loss']:.3f}), accuracy {last['held_out_accuracy']:.3f}"
        )
    print(speed.summary())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"train.py: {error}")
