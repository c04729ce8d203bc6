"""Fine-tuning, with the frozen encoder and the same network from scratch beside it."""

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.linear_model import RidgeCV
from torch import nn
from tqdm import tqdm

from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, homology_split, random_split
from data_builders.records import InputError
from isoclr.evaluation.embed import load_model
from isoclr.evaluation.linear import ALPHAS
from isoclr.evaluation.run import read_labelled
from isoclr.evaluation.statistics import aligned, mean_and_half_width, paired_gain, plus_minus
from isoclr.evaluation.supervised import (
    DEFAULTS,
    MULTI,
    REGRESSION,
    SINGLE,
    Evaluation,
    Settings,
    fit,
    predict,
    scores,
    standardisation,
    tokenize,
    untrained,
)
from modeling_isoclr import IsoCLRForSequenceClassification, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm

FROZEN, FINE_TUNED, SCRATCH = METHODS = ("frozen", "fine-tuned", "from scratch")
# Of a feature, in units of the median over features.
_LEAST_SPREAD = 0.1
_COLOURS = {FROZEN: "#7a7a7a", FINE_TUNED: "#1f4e79", SCRATCH: "#c0562b"}


@dataclass(frozen=True)
class FineTuning:
    """Scores of one network, pre-trained and not, on the same splits.

    Attributes:
        label: the property predicted.
        problem: as `IsoCLRConfig.problem_type` has it.
        split: "homology" or "random".
        rows: number of labelled transcripts.
        groups: number of homology groups among them.
        seeds: one split each.
        settings: of the training.
        max_length: in nt, or None.
        cropped: transcripts over it.
        scores: method -> metric -> one value a seed, on test; metrics of `scores`, best first.
        evaluations: fine-tuned and from scratch -> for each seed its evaluations on validation
            rows.
    """

    label: str
    problem: str
    split: str
    rows: int
    groups: int
    seeds: tuple[int, ...]
    settings: Settings
    max_length: int | None
    cropped: int
    scores: dict[str, dict[str, tuple[float, ...]]]
    evaluations: dict[str, tuple[list[Evaluation], ...]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Their names, the one to compare by first."""
        return tuple(self.scores[FROZEN])

    def mean(self, method: str, metric: str) -> tuple[float, float]:
        """Mean over seeds, and half the width of its 95 % interval: 1.96·sd/√n."""
        return mean_and_half_width(self.scores[method][metric])

    def gain(self, method: str) -> tuple[float, float, float]:
        """What a method has over the network from scratch in the first metric, paired by seed.

        Returns:
            Mean difference, half the width of its 95 % interval, and p of the paired t-test. The
            splits share rows, so the interval and p are optimistic (Nadeau & Bengio 2003).
        """
        metric = self.metrics[0]
        return paired_gain(self.scores[method][metric], self.scores[SCRATCH][metric])

    def title(self) -> str:
        """What the scores are of."""
        cropped = f", {self.cropped:,} cropped to {self.max_length:,} nt" if self.cropped else ""
        return (
            f"{self.label}: {self.rows:,} transcripts{cropped}, {self.groups:,} homology groups, "
            f"{self.split} split, {len(self.seeds)} seeds"
        )

    def table(self) -> str:
        """One aligned line a method, for reading."""
        lines = [("method", *self.metrics, f"{self.metrics[0]} - that from scratch", "p")]
        for method in self.scores:
            cells = [plus_minus(*self.mean(method, metric)) for metric in self.metrics]
            gain, half_width, p = self.gain(method)
            versus = (f"{gain:+.3f} ± {half_width:.3f}", f"{p:.1g}")
            lines.append((method, *cells, *(versus if method != SCRATCH else ("", ""))))
        return "\n".join([self.title(), aligned(lines)])

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes every field, and the summary that `mean` and `gain` give, as one JSON object."""
        summary = {
            method: {metric: self.mean(method, metric) for metric in self.metrics}
            | {"gain_over_scratch": self.gain(method)}
            for method in self.scores
        }
        with open(path, "w") as file:
            json.dump(asdict(self) | {"summary": summary}, file, indent=1, allow_nan=False)
            file.write("\n")


def finetune(
    encoder: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    labels: LabelSet,
    *,
    seeds: Sequence[int] = SEEDS[:3],
    split: Literal["homology", "random"] = "homology",
    single_label: bool = False,
    settings: Settings = DEFAULTS,
    max_length: int | None = None,
    progress: bool = True,
) -> tuple[FineTuning, IsoCLRForSequenceClassification]:
    """Predicts a label by an encoder frozen, fine-tuned and from scratch, on the same splits.

    Frozen: a linear head on the embeddings; of a number a ridge with the penalty that leave-one-out
    chooses, of classes trained by `fit`. Fine-tuned: all weights, from that head on (Kumar et al.
    2022), so that it never begins below it. From scratch: the same network with random weights.

    Args:
        encoder: as `load_model` gives it; it stays as it is.
        tokenizer: of the encoder.
        labels: n transcripts with targets and homology groups.
        seeds: of the splits, the weights and the training, at least two.
        split: "homology" keeps every homology group on one side, "random" ignores them.
        single_label: a label of several classes has exactly one for each transcript.
        settings: of the training.
        max_length: longer transcripts are cropped around the centre of their CDS, in nt.
        progress: show bars.

    Returns:
        The scores, and the fine-tuned model of the first seed, which predicts in the label's units.

    Raises:
        InputError: fewer than two seeds, classes that are not as `single_label` says, too few
            groups, one value for all of train or test, or a transcript that the tokenizer refuses.
    """
    if len(seeds) < 2:
        raise InputError(f"fine-tuning: got {len(seeds)} seeds, wanted at least two")
    targets, problem = problem_of(labels, single_label)
    rows, cropped = tokenize(tokenizer, labels.transcripts, max_length)
    embeddings = embed_rows(encoder, rows, settings.fine_tuned.tokens_per_batch, progress)
    found: dict[str, list[dict]] = {method: [] for method in METHODS}
    evaluations: dict[str, list[list[Evaluation]]] = {FINE_TUNED: [], SCRATCH: []}
    first = None
    for seed in seeds:
        train, validation, test = split_rows(labels, split, seed)
        options = {"problem": problem, "settings": settings, "seed": seed, "progress": progress}
        head = frozen_head(embeddings, targets, train, validation, **options)
        centre, scale = standardisation(targets, train, problem)
        logits = predict(head, embeddings, test) * scale + centre
        found[FROZEN].append(scores(problem, logits, targets[test]))
        for method in (FINE_TUNED, SCRATCH):
            start = head if method == FINE_TUNED else None
            network, seen = train_network(
                encoder, start, rows, targets, train, validation, **options
            )
            evaluations[method].append(seen)
            logits = predict(network, rows, test, settings.fine_tuned.tokens_per_batch)
            found[method].append(scores(problem, logits, targets[test]))
            first = first or network
    result = FineTuning(
        labels.label,
        problem,
        split,
        len(rows),
        len(set(labels.groups)),
        tuple(seeds),
        settings,
        max_length,
        cropped,
        {
            method: {metric: tuple(run[metric] for run in runs) for metric in runs[0]}
            for method, runs in found.items()
        },
        {method: tuple(seen) for method, seen in evaluations.items()},
    )
    return result, network_to_save(first, labels, problem)


def finetune_model(
    model: str | os.PathLike,
    labels: str | os.PathLike,
    label: str | None,
    output: Path,
    *,
    isoform_groups: str | os.PathLike | None = None,
    homology: str | os.PathLike | Sequence | None = None,
    taxonomy: int = 9606,
    **options,
) -> FineTuning:
    """Fine-tunes a model on a file of labels.

    Writes `finetune.json`, `finetune.png`, and `model`: the fine-tuned model of the first seed,
    which AutoModelForSequenceClassification loads.

    Args:
        model: as `load_model` takes it.
        labels: as `read_labelled` takes it.
        label: as `read_labelled` takes it.
        output: folder to write into.
        isoform_groups: as `read_labelled` takes them.
        homology: as `read_labelled` takes it.
        taxonomy: as `read_labelled` takes it.
        options: of `finetune`.

    Raises:
        InputError: as in `load_model`, `read_labelled` and `finetune`.
    """
    known = read_labelled(
        labels, label, isoform_groups=isoform_groups, homology=homology, taxonomy=taxonomy
    )
    encoder, tokenizer = load_model(model)
    result, network = finetune(encoder, tokenizer, known, **options)
    network.save_pretrained(output / "model")
    tokenizer.save_pretrained(output / "model")
    result.to_json(output / "finetune.json")
    plot_finetuning(result, output / "finetune.png")
    return result


def problem_of(labels: LabelSet, single_label: bool = False) -> tuple[np.ndarray, str]:
    """Targets as `fit` takes them, and their problem type.

    Raises:
        InputError: `single_label`, and a transcript with none or several classes.
    """
    if not labels.classes:
        if single_label:
            raise InputError(f"{labels.label}: got numbers, wanted one class a transcript")
        return labels.targets[:, None], REGRESSION
    if not single_label:
        return labels.targets, MULTI
    wrong = np.flatnonzero(labels.targets.sum(1) != 1)
    if len(wrong):
        row = wrong[0]
        raise InputError(
            f"{labels.label}: transcript '{labels.transcripts[row].transcript_id}': got "
            f"{labels.targets[row].sum()} classes, wanted exactly one"
        )
    return labels.targets.argmax(1), SINGLE


def split_rows(
    labels: LabelSet, split: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of train, validation and test, as `homology_split` or `random_split` has them."""
    if split == "homology":
        return homology_split(labels.groups, seed)
    return random_split(len(labels.groups), seed)


def embed_rows(
    encoder: IsoCLRModel, rows: Sequence[np.ndarray], tokens_per_batch: int, progress: bool = True
) -> np.ndarray:
    """Embeddings of token rows, float32 (n, pooled), with a bar of nucleotides."""
    options = {"unit": "nt", "unit_scale": True, "leave": False, "disable": not progress}
    with tqdm(total=sum(map(len, rows)), desc="embedding", **options) as bar:
        return encoder.embed(rows, tokens_per_batch, bar.update)


class Head(nn.Module):
    """A linear layer on features in the standard units of the train rows, at first of zeros.

    Args:
        features: of the train rows, (n, width).
        outputs: numbers to predict.
    """

    def __init__(self, features: np.ndarray, outputs: int):
        super().__init__()
        x = features.astype(np.float64)
        spread = x.std(0)
        # A channel that is silent in the few train rows may be loud in others: its own units would
        # make those outliers that decide every prediction.
        floor = _LEAST_SPREAD * np.median(spread[spread > 0]) if spread.any() else 1.0
        self.register_buffer("mean", torch.from_numpy(x.mean(0)).float())
        self.register_buffer("spread", torch.from_numpy(np.maximum(spread, floor)).float())
        self.classifier = nn.Linear(features.shape[1], outputs)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, width) to (batch, outputs)."""
        return self.classifier((x - self.mean) / self.spread)

    def on_raw_features(self) -> dict[str, torch.Tensor]:
        """Weight and bias of a linear layer that does the same."""
        weight = self.classifier.weight.detach().double() / self.spread
        bias = self.classifier.bias.detach() - weight @ self.mean.double()
        return {"weight": weight.float(), "bias": bias.float()}


class Network(nn.Module):
    """An encoder and a head.

    Args:
        encoder: whose pooled output the head gets.
        head: that gets it.
        trained: batch norms keep the statistics of pre-training, which the head was fitted to.
    """

    def __init__(self, encoder: IsoCLRModel, head: Head, trained: bool):
        super().__init__()
        self.encoder, self.head, self.trained = encoder, head, trained

    @property
    def classifier(self) -> nn.Linear:
        """The last layer."""
        return self.head.classifier

    def train(self, mode: bool = True):
        """As in `Module`."""
        super().train(mode)
        for part in self.modules():
            if self.trained and isinstance(part, IsoCLRBatchNorm):
                part.eval()
        return self

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, length) to (batch, outputs)."""
        return self.head(self.encoder(tokens).pooler_output)


def frozen_head(
    embeddings: np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    problem: str,
    settings: Settings,
    seed: int,
    progress: bool = True,
) -> Head:
    """A head on embeddings, (n, width), that predicts the standardised label, or logits of classes.

    Arguments as in `fit`; the validation rows are for classes alone.
    """
    outputs = int(targets.max()) + 1 if problem == SINGLE else targets.shape[1]
    head = Head(embeddings[train], outputs)
    if problem != REGRESSION:
        return fit(
            head,
            embeddings,
            targets,
            train,
            validation,
            problem=problem,
            settings=settings.from_scratch,
            seed=seed,
            progress=progress,
        )[0]
    centre, scale = standardisation(targets, train)
    with torch.no_grad():
        z = (torch.from_numpy(embeddings[train]) - head.mean) / head.spread
        ridge = RidgeCV(ALPHAS).fit(z.double().numpy(), (targets[train] - centre) / scale)
        head.classifier.weight.copy_(torch.from_numpy(ridge.coef_.reshape(outputs, -1)))
        head.classifier.bias.copy_(torch.from_numpy(np.atleast_1d(ridge.intercept_)))
    return head.eval()


def train_network(
    encoder: IsoCLRModel,
    head: Head | None,
    rows: Sequence[np.ndarray],
    targets: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    problem: str,
    settings: Settings,
    seed: int,
    progress: bool = True,
) -> tuple[Network, list[Evaluation]]:
    """Trains all weights: those of an encoder with its frozen head, or the same shape from scratch.

    Args:
        encoder: whose weights or shape it takes; it stays as it is.
        head: of `frozen_head`, which stays as it is; None: from scratch, with a head of zeros.
        rows: as in `fit`.
        targets: as in `fit`.
        train: as in `fit`.
        validation: as in `fit`.
        problem: as in `fit`.
        settings: of which one is taken.
        seed: of the weights, the order of the rows and dropout.
        progress: show a bar.

    Returns:
        As `fit`.
    """
    chosen = settings.from_scratch if head is None else settings.fine_tuned
    config = deepcopy(encoder.config)
    config.dropout = chosen.dropout
    copy = untrained(config, seed)
    if head is None:
        outputs = int(targets.max()) + 1 if problem == SINGLE else targets.shape[1]
        of_train = [rows[row] for row in train]
        start = Head(embed_rows(copy, of_train, chosen.tokens_per_batch, progress=False), outputs)
    else:
        copy.load_state_dict(encoder.state_dict())
        start = deepcopy(head)
    return fit(
        Network(copy, start, trained=head is not None).to(copy.device),
        rows,
        targets,
        train,
        validation,
        problem=problem,
        settings=chosen,
        seed=seed,
        progress=progress,
    )


def network_to_save(
    network: Network, labels: LabelSet, problem: str
) -> IsoCLRForSequenceClassification:
    """The same network as one of the Hub's classes, which predicts in the label's units."""
    config = deepcopy(network.encoder.config)
    names = labels.classes or (labels.label,)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type, config.classifier_hidden_size = problem, 0
    model = IsoCLRForSequenceClassification(config)
    model.isoclr.load_state_dict(network.encoder.state_dict())
    model.classifier.load_state_dict(network.head.on_raw_features())
    return model.eval().to(network.encoder.device)


def plot_finetuning(result: FineTuning, path: str | os.PathLike) -> None:
    """Draws the validation loss over the steps of every seed, fine-tuned and from scratch.

    Args:
        result: of `finetune`.
        path: the image to write; its suffix names the format.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for method, of_seeds in result.evaluations.items():
        for number, evaluations in enumerate(of_seeds):
            steps = [look.step for look in evaluations]
            losses = [look.validation_loss for look in evaluations]
            first = int(method == SCRATCH)  # what `fit` does not keep
            best = first + int(np.argmin(losses[first:]))
            name = method if number == 0 else None
            axes.plot(steps, losses, c=_COLOURS[method], lw=1.2, alpha=0.8, label=name)
            axes.plot(steps[best], losses[best], "o", c=_COLOURS[method], ms=5)
    for number, evaluations in enumerate(result.evaluations[FINE_TUNED]):
        name = "frozen, where fine-tuning begins" if number == 0 else None
        axes.axhline(evaluations[0].validation_loss, c=_COLOURS[FROZEN], lw=0.8, ls=":", label=name)
    if result.problem == REGRESSION:
        axes.set_ylabel("validation loss (of the standardised label)")
    else:
        axes.set_ylabel("validation loss (cross-entropy)")
    axes.set_xlabel("optimiser steps")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    note = "A line a seed; dots: the weights that were kept."
    figure.suptitle(f"{result.title()}\n{note}", fontsize=9, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
