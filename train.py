"""The training loop: accelerate launch train.py RECIPE [--key value ...].

What is trained, from what data and by which loss, is the business of the recipe's objective (see
`isoclr.objectives.base`). A run whose output folder holds a checkpoint of the same recipe goes on
from it.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from data_builders.records import InputError
from data_builders.storage import one_writer, reason_of
from isoclr.hub.background import BackgroundPush
from isoclr.hub.card import write_card
from isoclr.hub.push import push
from isoclr.objectives import objective_class, read_recipe
from isoclr.objectives.base import Objective
from isoclr.progress import progress as progress_bar
from isoclr.progress import quiet_libraries
from isoclr.repositories import TIMEOUT
from isoclr.training.background_evaluation import BackgroundEvaluation, gains_from_a_thread
from isoclr.training.checkpoint_writer import CheckpointWriter
from isoclr.training.checkpoints import check_data, load_checkpoint, newest_checkpoint, read_state
from isoclr.training.curves import RunLog, plot_curves
from isoclr.training.environment import check_environment, check_tracker, note_on_device
from isoclr.training.faults import one_line_faults
from isoclr.training.optimizers import build_optimizer
from isoclr.training.order import keyed_hash
from isoclr.training.processes import all_agree
from isoclr.training.recipe import SCHEDULE_KEYS, Recipe, check_recipe, duration
from isoclr.training.schedule import learning_rate
from isoclr.training.sharded import whole, whole_model, whole_state
from isoclr.training.signals import StopRequest, leave_to_main_process
from isoclr.training.speed import Speed
from isoclr.training.warm_start import warm_start

_FORWARD = 1 << 34  # keeps these draws apart from all others of a seed


def main(arguments: list[str]) -> None:
    """Read the recipe, build what it asks for, train, save."""
    if not arguments or arguments[0].startswith("-"):
        raise InputError(
            "usage: accelerate launch train.py RECIPE [--key value ...]; "
            "isoclr recipes --keys isoforms prints every key"
        )
    quiet_libraries()
    recipe = read_recipe(arguments[0], arguments[1:])
    with one_line_faults(recipe.output), hold_output(recipe.output), StopRequest() as stop:
        train(recipe, stop)


def train(recipe: Recipe, stop: StopRequest) -> None:
    """Train from the newest checkpoint, or from the start, to the recipe's last step."""
    with contextlib.ExitStack() as threads:  # leaving it waits for what they do
        _train(recipe, stop, threads)


def _train(recipe: Recipe, stop: StopRequest, threads: contextlib.ExitStack) -> None:
    accelerator = build_accelerator(recipe)
    main_process, device = accelerator.is_main_process, accelerator.device
    output = Path(recipe.output)
    writer = CheckpointWriter(output / "checkpoints", recipe.keep_checkpoints)
    threads.enter_context(writer)
    if note := note_on_device(recipe, device.type):
        accelerator.print(note, file=sys.stderr)
    objective = build_objective(recipe, accelerator)
    evaluate = build_evaluate(objective)

    torch.manual_seed(recipe.seed)
    model = objective.build_model()
    checkpoint = find_checkpoint(accelerator, output)
    if recipe.init_from is not None and checkpoint is None:
        accelerator.print(warm_start(model, recipe.init_from), file=sys.stderr)
    model.to(device).train()
    loss_module = objective.loss_module(model)
    optimizer = build_optimizer(
        model.parameters(),
        recipe.optimizer,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        fused=device.type == "cuda",
    )
    if accelerator.is_fsdp2:  # accelerate leaves this to a policy, see `build_accelerator`
        loss_module.forward = accelerator.autocast()(loss_module.forward)
    loss_module, optimizer = accelerator.prepare(loss_module, optimizer)
    steps, rate_of = schedule(recipe, objective.steps_per_epoch)
    start = 0
    if checkpoint is not None:
        start = check_same_run(checkpoint, objective)
        load_checkpoint(checkpoint, model, optimizer)
        accelerator.print(f"resuming from {checkpoint}", file=sys.stderr)
    if recipe.tracker is not None:
        start_tracker(accelerator, recipe.tracker, start)
    evaluation = None
    if main_process:
        log = RunLog(output / "log.jsonl", start)
        apart = gains_from_a_thread(device) and objective.evaluates_in_thread
        evaluation = BackgroundEvaluation(evaluate, model, log, accelerator.log, in_thread=apart)
        threads.enter_context(evaluation)
    sharing = BackgroundPush(output, recipe.push_to_hub) if recipe.push_to_hub else None
    speed = Speed()

    loader = DataLoader(
        objective.batches,
        batch_size=None,
        sampler=range(start, steps),
        num_workers=recipe.workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=leave_to_main_process,
    )
    progress = progress_bar(
        speed.waiting_for(loader),
        "training",
        unit="step",
        initial=start,
        total=steps,
        keep=True,
        show=main_process,
    )
    for step, batch in enumerate(progress, start=start + 1):
        rate = rate_of(step - 1)
        for group in optimizer.param_groups:
            group["lr"] = rate
        seed_forward(recipe.seed, step, accelerator.process_index)
        loss, record = loss_module(batch.to(device))
        if not torch.isfinite(loss):
            stop_at_nonfinite(accelerator, objective, step, loss.item(), rate)
        accelerator.backward(loss)
        norm = gradient_norm(model)
        if not torch.isfinite(norm):
            stop_at_nonfinite(accelerator, objective, step, norm.item(), rate)
        stop.step_done()
        writer.check()
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step(model)

        last = step == steps
        evaluated = last or step % recipe.evaluate_every == 0
        evaluation_model = whole_model(model, device) if evaluated else model
        speed.did(batch.sizes)
        record = {name: float(value) for name, value in record.items()}
        record |= {"step": step, "lr": rate, "gradient_norm": norm.item()}
        if evaluation is not None:
            progress.set_postfix(shown(record, objective) | speed.shown())
            if evaluated:
                with speed.spending_on("evaluation"):
                    evaluation.start(evaluation_model)
            evaluation.write(record, speed.rates())
        signal = stop.agreed(device)
        if last or signal or step % recipe.checkpoint_every == 0:
            with speed.spending_on("checkpoints"):
                saved = evaluation_model if evaluated else whole_model(model, device)
                optimizer_state = whole_state(optimizer)
            if evaluation is not None:
                whole_run = last or signal or sharing  # no model without its log and checkpoint
                with speed.spending_on("evaluation"):
                    finish_log = evaluation.before_checkpoint(wait=bool(whole_run))
                with speed.spending_on("checkpoints"):
                    state = {"recipe": recipe.model_dump(), "data": objective.fingerprint}
                    writer.start(finish_log, step, saved.state_dict(), optimizer_state, state)
                    if whole_run:
                        writer.wait()
                    if sharing and not (last or signal):
                        write_model(objective, saved, evaluation.log, speed)
                        sharing.start()
        if signal:
            accelerator.print(f"signal {signal}: stopped after step {step}", file=sys.stderr)
            accelerator.wait_for_everyone()  # a process that leaves early ends the others
            loss_module = accelerator.free_memory(loss_module)  # before the processes part
            accelerator.end_training()
            sys.exit(128 + signal)

    trained = whole_model(model, device)
    if evaluation is not None:
        write_model(objective, trained, evaluation.log, speed)
        print_summary(objective, evaluation.log.records, speed)
    accelerator.wait_for_everyone()
    loss_module = accelerator.free_memory(loss_module)  # before the processes part
    accelerator.end_training()
    # Last, as no other process should wait for the Hub.
    if main_process and sharing and recipe.push_to_hub:
        sharing.finish(patience=10 * TIMEOUT)
        print(push(output, recipe.push_to_hub))


def hold_output(output: str) -> contextlib.AbstractContextManager:
    """Keep other runs out of the output folder; the first process does so for all."""
    if int(os.environ.get("RANK", 0)):
        return contextlib.nullcontext()
    return one_writer(output, "a run")


def build_accelerator(recipe: Recipe) -> Accelerator:
    """Set up processes, precision and trackers as the launcher and the recipe say."""
    check_environment(recipe)
    check_tracker(recipe.tracker)
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
        if plugin is None or plugin.fsdp_version != 2:
            raise InputError("accelerate launch: got --use_fsdp, wanted --fsdp_version 2 with it")
        if plugin.auto_wrap_policy is not None or plugin.activation_checkpointing:
            raise InputError(
                "accelerate launch: got an fsdp_auto_wrap_policy or fsdp_activation_checkpointing, "
                "wanted NO_WRAP and false: processes differ in the number of micro-batches"
            )
        # Casts weights but not the tracks that they meet: autocast it is, as without FSDP.
        plugin.mixed_precision_policy = None
        plugin.cpu_ram_efficient_loading = False  # fails at the buffers of batch norms
    return accelerator


def build_objective(recipe: Recipe, accelerator: Accelerator) -> Objective:
    """Build the objective of a recipe; all processes must have the same data."""
    with accelerator.main_process_first():  # that one writes the caches
        objective = objective_class(recipe.objective)(
            recipe, accelerator.process_index, accelerator.num_processes
        )
    if not all_agree([checksum for _, checksum in objective.fingerprint]):
        raise InputError("data: got other content in another process of the run, wanted the same")
    return objective


def build_evaluate(objective: Objective) -> Callable[[PreTrainedModel], dict[str, float]]:
    """Return what scores a model: the objective and, if the recipe asks for it, a probe."""
    recipe = objective.recipe
    if recipe.probe is None or objective.rank:  # the main process evaluates
        return objective.evaluate
    from isoclr.evaluation.label_probe import LabelProbe

    if objective.processor is None:
        raise InputError(f"probe: got one, wanted none: {recipe.objective} has no tokenizer")
    probe = LabelProbe(objective.processor, **recipe.probe.model_dump())
    return lambda model: objective.evaluate(model) | probe(model.base_model)  # pyright: ignore[reportArgumentType]


def find_checkpoint(accelerator: Accelerator, output: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, None where there is none yet.

    Checkpoints that are all damaged, or a model without any, are an InputError: a new start would
    write over them.
    """
    found = newest_checkpoint(
        output / "checkpoints", lambda line: accelerator.print(line, file=sys.stderr)
    )
    if found is None and (output / "model.safetensors").exists():
        raise InputError(
            f"{output}: got a model without its checkpoints, wanted a run to go on with, or no "
            "model; choose another output"
        )
    return found


def start_tracker(accelerator: Accelerator, name: str, steps_done: int) -> None:
    """Start an experiment tracker; TensorBoard drops the steps that a resumed run repeats."""
    options = {"tensorboard": {"purge_step": steps_done + 1}} if name == "tensorboard" else {}
    try:
        accelerator.init_trackers("isoclr", init_kwargs=options)
    except Exception as error:  # each tracker has its own
        raise InputError(f"tracker: {name} cannot start: {reason_of(error)[:300]}") from error


def check_same_run(checkpoint: Path, objective: Objective) -> int:
    """Return the steps of a checkpoint, if the run can go on from it as it began.

    What a run leaves behind may change, what it computes may not. Its length and its schedule may,
    if the learning rate of every step that is done stays what it was.

    Raises:
        InputError: naming the key, or the data.
    """
    state, recipe = read_state(checkpoint), objective.recipe
    began, now = check_recipe(state["recipe"], type(recipe), checkpoint), recipe.model_dump()
    for key, before in began.model_dump(exclude={*recipe.changeable, *SCHEDULE_KEYS}).items():
        if now[key] != before:
            raise InputError(
                f"{checkpoint}: {key}: got {now[key]!r}, wanted {before!r} as the run began; "
                "choose another output"
            )
    check_data(state["data"], objective.fingerprint, checkpoint)
    done = state["step"]
    steps, rate_of = schedule(recipe, objective.steps_per_epoch)
    if steps < done:
        raise InputError(f"{checkpoint}: steps: got {steps}, wanted the {done} that are done")
    _, rate_before = schedule(began, objective.steps_per_epoch)
    other = next((step for step in range(done) if rate_of(step) != rate_before(step)), None)
    if other is not None:
        changed = [key for key in SCHEDULE_KEYS if getattr(began, key) != now[key]]
        raise InputError(
            f"{checkpoint}: {', '.join(sorted(changed))}: got another learning rate at step "
            f"{other + 1}, {rate_of(other):.4g}, wanted {rate_before(other):.4g} as the run had; a "
            "schedule that does not know its end (constant, inverse_sqrt without cooldown) can be "
            "extended; choose another output"
        )
    return done


def schedule(recipe: Recipe, steps_per_epoch: int) -> tuple[int, Callable[[int], float]]:
    """Return the steps of a run, and the learning rate as a function of the step, from 0."""
    durations = {
        name: duration(recipe, name, steps_per_epoch)
        for name in ("steps", "warmup_steps", "cooldown_steps")
    }
    if durations["warmup_steps"] + durations["cooldown_steps"] > durations["steps"]:
        raise InputError(
            f"warmup_steps, cooldown_steps: got {durations['warmup_steps']} and "
            f"{durations['cooldown_steps']}, wanted at most the {durations['steps']} steps of the "
            "run together"
        )
    return durations["steps"], lambda step: learning_rate(
        step,
        schedule=recipe.schedule,
        peak=recipe.learning_rate,
        steps_per_epoch=steps_per_epoch,
        **durations,
    )


def seed_forward(seed: int, step: int, rank: int) -> None:
    """Make what an objective draws in its forward pass a function of the step too."""
    torch.manual_seed(int(keyed_hash(seed, _FORWARD, step, rank)[0] >> 1))


def gradient_norm(model: PreTrainedModel) -> torch.Tensor:
    """Return the norm of all gradients, a scalar."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return whole(torch.nn.utils.get_total_norm(gradients))


def stop_at_nonfinite(
    accelerator: Accelerator, objective: Objective, step: int, value: float, rate: float
) -> None:
    """Write down what the batch held, and end the run before the step is taken."""
    path = Path(objective.recipe.output) / f"nonfinite-step-{step}.json"
    if accelerator.is_main_process:
        records = objective.describe(step - 1)
        found = {"step": step, "value": str(value), "lr": rate, "records": records}
        path.write_text(json.dumps(found, indent=1))
    raise InputError(
        f"step {step}: got a loss or gradient of {value} at a learning rate of {rate}, wanted a "
        f"finite one; the batch is in {path}, the weights are those of the last checkpoint"
    )


def write_model(objective: Objective, model: PreTrainedModel, log: RunLog, speed: Speed) -> None:
    """Make the output folder one that transformers loads and the Hub shows."""
    output = Path(objective.recipe.output)
    objective.save(model, output)
    objective.recipe.save(output / "recipe.yaml")
    plot_curves(log.records, objective.panels, output / "curves.png")
    (output / "speed.json").write_text(json.dumps(speed.rates(), indent=1) + "\n")
    write_card(output, datasets=objective.hub_datasets)


def shown(record: dict[str, float], objective: Objective) -> dict[str, str]:
    """Return what a progress bar shows of a step: the first curve of each panel."""
    keys = [panel.series[0][0] for panel in objective.panels]
    return {key: f"{record[key]:.3f}" for key in keys if key in record}


def print_summary(objective: Objective, records: list[dict], speed: Speed) -> None:
    """Print what came out, in a few lines."""
    output = Path(objective.recipe.output)
    print(f"model: {output}; curves: {output / 'curves.png'}")
    last = records[-1]
    print(f"after step {last['step']}:")
    for panel in objective.panels:
        scores = [f"{label} {last[key]:.3f}" for key, label in panel.series if key in last]
        if scores:
            print(f"  {panel.title}: {', '.join(scores)}")
    print(speed.summary())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"train.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
