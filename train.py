"""Contrastive pre-training: accelerate launch train.py RECIPE [--key value ...].

A run whose output folder holds a checkpoint of the same recipe goes on from it.
"""

import dataclasses
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader
from tqdm import tqdm

from data_builders.records import InputError
from isoclr.card import write_card
from isoclr.hub import check_source
from isoclr.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from isoclr.training.curves import RunLog, plot_curves
from isoclr.training.microbatches import PairEncoder
from isoclr.training.pairs import PairBatch, PairBatches, index_groups
from isoclr.training.processes import gather_rows, gather_views
from isoclr.training.recipe import Recipe, read_recipe
from modeling_isoclr import (
    IsoCLRForPreTraining,
    IsoCLRTokenizer,
    pair_accuracy,
    transcript_count_weights,
)


def main(arguments: list[str]) -> None:
    """Read the recipe, build what it asks for, train, save."""
    if not arguments or arguments[0].startswith("-"):
        raise InputError("usage: accelerate launch train.py RECIPE [--key value ...]")
    recipe = read_recipe(arguments[0], arguments[1:])
    train(recipe)


def train(recipe: Recipe) -> None:
    """Train from the newest checkpoint, or from the start, to the recipe's last step."""
    accelerator = Accelerator(
        # Without a GPU and without being told, accelerate takes every process for the only one.
        cpu=not torch.accelerator.is_available(),
        # Ranks differ in the number of micro-batches, so a forward must not communicate.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    output = Path(recipe.output)
    tokenizer = IsoCLRTokenizer()
    torch.manual_seed(recipe.seed)
    model = IsoCLRForPreTraining(recipe.model_config())
    encoder = PairEncoder(model).to(accelerator.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)

    start = resume(accelerator, recipe, output, model, optimizer)
    batches = build_batches(accelerator, recipe, tokenizer)
    held_out = batches.held_out() if len(batches.index.held_out) > 1 else None
    log = RunLog(output / "log.jsonl", start) if accelerator.is_main_process else None

    encoder = accelerator.prepare_model(encoder)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, recipe.steps),
        num_workers=recipe.workers,
        pin_memory=accelerator.device.type == "cuda",
    )
    progress = tqdm(
        loader,
        initial=start,
        total=recipe.steps,
        desc="training",
        unit="step",
        disable=not accelerator.is_main_process,
    )
    for step, batch in enumerate(progress, start=start + 1):
        began = time.perf_counter()
        seed_step(recipe.seed, step, accelerator.process_index)
        rate = learning_rate(recipe, step - 1)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(accelerator.device)
        loss, accuracy = objective(
            gather_views(encoder(batch).float()), gather_rows(batch.counts), model, recipe
        )
        if not torch.isfinite(loss):
            raise InputError(f"step {step}: the loss is {loss.item()}; the learning rate is {rate}")
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()

        last = step == recipe.steps
        if accelerator.is_main_process:
            seconds = time.perf_counter() - began
            progress.set_postfix(
                loss=f"{loss.item():.3f}",
                accuracy=f"{accuracy.item():.2f}",
                kb_s=f"{batch.nucleotides * accelerator.num_processes / seconds / 1e3:.0f}",
                padding=f"{batch.padding:.0%}",
            )
            record = {"step": step, "loss": loss.item(), "accuracy": accuracy.item(), "lr": rate}
            if held_out is not None and (last or step % recipe.evaluate_every == 0):
                record |= evaluate(model, held_out.to(accelerator.device), recipe)
            log.write(**record)
            if last or step % recipe.checkpoint_every == 0:
                save_checkpoint(
                    output / "checkpoints",
                    step,
                    model,
                    optimizer,
                    {"recipe": dataclasses.asdict(recipe)},
                    recipe.keep_checkpoints,
                )
        accelerator.wait_for_everyone()

    if accelerator.is_main_process:
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
        recipe.save(output / "recipe.yaml")
        plot_curves(log.records, output / "curves.png")
        write_card(output, datasets=[] if Path(recipe.data).is_dir() else [recipe.data])
        print_summary(log.records, output)
    accelerator.end_training()


def build_batches(
    accelerator: Accelerator, recipe: Recipe, tokenizer: IsoCLRTokenizer
) -> PairBatches:
    """The training data, and a word on what of it takes part."""
    groups = load_groups(recipe.data)
    index = index_groups(groups, recipe.max_length, recipe.held_out_groups, recipe.seed)
    batches = PairBatches(
        groups,
        index,
        tokenizer,
        batch_size=recipe.batch_size,
        mask_fraction=recipe.mask_fraction,
        micro_batch_tokens=recipe.micro_batch_tokens,
        seed=recipe.seed,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    left_out = ", ".join(f"{n} {reason}" for reason, n in index.left_out.items() if n)
    accelerator.print(
        f"{len(index.train)} groups to train on ({batches.steps_per_epoch} steps an epoch), "
        f"{len(index.held_out)} held out; left out: {left_out or 'nothing'}",
        file=sys.stderr,
    )
    return batches


def load_groups(data: str) -> Dataset:
    """Isoform groups from a folder of `isoclr build`, or from the Hub."""
    check_source(data, "isoform groups that isoclr build wrote", "data/train-*.parquet")
    return load_dataset(data, split="train")


def resume(accelerator, recipe, output, model, optimizer) -> int:
    """Steps done: those of the newest complete checkpoint, which is loaded, or 0."""
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = newest_checkpoint(output / "checkpoints")
    if checkpoint is None:
        return 0
    state = load_checkpoint(checkpoint, model, optimizer)
    # What a run leaves behind may change; what it computes may not.
    free = {"output", "data", "workers", "keep_checkpoints", "checkpoint_every"}
    for key, value in dataclasses.asdict(recipe).items():
        if key not in free and state["recipe"][key] != value:
            raise InputError(
                f"{checkpoint}: {key}: got {value!r}, wanted {state['recipe'][key]!r} as the run "
                "began; choose another output"
            )
    accelerator.print(f"resuming from {checkpoint}", file=sys.stderr)
    return state["step"]


def seed_step(seed: int, step: int, rank: int) -> None:
    """Dropout of a step is a function of (seed, step, rank), so that nothing needs saving."""
    (state,) = np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(state) >> 1)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a half cosine to zero; `step` counts from 0."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2


def objective(
    projections: torch.Tensor, counts: torch.Tensor, model: IsoCLRForPreTraining, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and pair accuracy of projections (2 · pairs, projected) and counts (pairs,)."""
    weights = transcript_count_weights(counts) if recipe.count_weights else None
    return model.contrast(projections, weights), pair_accuracy(*projections.chunk(2))


@torch.no_grad()
def evaluate(model: IsoCLRForPreTraining, batch: PairBatch, recipe: Recipe) -> dict[str, float]:
    """Loss and accuracy on held-out pairs, and the loss when their partners are shuffled."""
    model.eval()
    projections = PairEncoder(model)(batch).float()
    model.train()
    first, second = projections.chunk(2)
    loss, accuracy = objective(projections, batch.counts, model, recipe)
    shuffled = torch.cat([first, second.roll(1, 0)])
    return {
        "held_out_loss": loss.item(),
        "shuffled_loss": objective(shuffled, batch.counts, model, recipe)[0].item(),
        "held_out_accuracy": accuracy.item(),
        "held_out_pairs": len(first),
    }


def print_summary(records: list[dict], output: Path) -> None:
    """What came out, in a few lines."""
    last = records[-1]
    print(f"model: {output}; curves: {output / 'curves.png'}")
    print(f"last step {last['step']}: loss {last['loss']:.3f}, accuracy {last['accuracy']:.3f}")
    if "held_out_loss" in last:
        print(
            f"held-out pairs: loss {last['held_out_loss']:.3f} "
            f"(shuffled {last['shuffled_loss']:.3f}), accuracy {last['held_out_accuracy']:.3f}"
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"train.py: {error}")
