"""Fine-tuning, with the frozen encoder and the same network from scratch beside it."""

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data_builders.counts import counted
from data_builders.figures import new_axes, save_figure
from data_builders.labels.base import MULTICLASS, REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import make_splits
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Indexed, Prediction, Results, compare
from isoclr.evaluation.fit import (
    PROBLEM_TYPES,
    Evaluation,
    fit,
    outputs_of,
    predict_fold,
    standardisation,
)
from isoclr.evaluation.linear import LEAST_SPREAD, Linear
from isoclr.evaluation.networks import Head, Network, SalukiLike, seeded, tokenize, untrained
from isoclr.evaluation.settings import DEFAULTS, FitSettings, Settings, TrainingOptions
from isoclr.hub.card import write_card
from isoclr.hub.markdown import code
from isoclr.model_folder import write_model_folder
from isoclr.pretrained import load_model, on_device
from isoclr.progress import progress as progress_bar
from modeling_isoclr import IsoCLRForSequenceClassification, IsoCLRModel, IsoCLRTokenizer

FROZEN, FINE_TUNED, SCRATCH = METHODS = ("frozen", "fine-tuned", "from scratch")
BY_DEFAULT = (FROZEN, FINE_TUNED)
_COLOURS = {FROZEN: "#7a7a7a", FINE_TUNED: "#1f4e79", SCRATCH: "#c0562b"}
_LEAST_LOGIT = -30.0  # of a class that train lacks
_SHOWN = 3  # classes that an example names


class FineTuned:
    """A predictor: an encoder with a linear head, all weights trained.

    Args:
        encoder: whose weights or shape it takes; it stays as it is.
        rows: tokens of n transcripts.
        embeddings: of the encoder, (n, width), or what row numbers index to such rows: training
            begins at the encoder's weights and at the `Linear` of these (Kumar et al. 2022), so
            that it never begins below that. None: from scratch, with a head of zeros.
        settings: of which one is taken.
        progress: show a bar.

    Attributes:
        evaluations: of every fold that it learned, in order.
        first: the network of the first fold.
    """

    def __init__(
        self,
        encoder: IsoCLRModel,
        rows: Sequence[np.ndarray],
        embeddings: Indexed | None,
        settings: Settings = DEFAULTS,
        progress: bool = True,
    ):
        self.encoder, self.rows, self.embeddings = encoder, rows, embeddings
        self.settings = settings.from_scratch if embeddings is None else settings.fine_tuned
        self.progress = progress
        self.evaluations: list[list[Evaluation]] = []
        self.first: Network | None = None

    def __call__(self, fold: Fold) -> Prediction:
        """Train on a fold and predict it."""
        network, evaluations = self.train(fold)
        self.evaluations.append(evaluations)
        self.first = self.first or network
        return predict_fold(network, self.rows, fold, self.settings.tokens_per_batch)

    def train(self, fold: Fold) -> tuple[Network, list[Evaluation]]:
        """Train on a fold."""
        config = deepcopy(self.encoder.config)
        config.dropout = self.settings.dropout
        copy = untrained(config, fold.seed)
        if self.embeddings is None:
            rows = [self.rows[row] for row in fold.train]
            features = embed_rows(copy, rows, self.settings.tokens_per_batch, progress=False)
            head = Head(features, outputs_of(fold))
        else:
            copy.load_state_dict(self.encoder.state_dict())
            head = frozen_head(self.embeddings, fold)
        network = Network(copy, head, trained=self.embeddings is not None).to(copy.device)
        return fit(network, self.rows, fold, self.settings, progress=self.progress)


class Saluki:
    """A predictor: the network after Saluki on tokens of transcripts, trained from scratch."""

    def __init__(
        self,
        rows: Sequence[np.ndarray],
        settings: FitSettings = DEFAULTS.saluki_like,
        progress: bool = True,
    ):
        self.rows, self.settings, self.progress = rows, settings, progress

    def __call__(self, fold: Fold) -> Prediction:
        """Train on a fold and predict it."""
        network = seeded(lambda: SalukiLike(outputs_of(fold), self.settings.dropout), fold.seed)
        fit(network, self.rows, fold, self.settings, progress=self.progress)
        return predict_fold(network, self.rows, fold, self.settings.tokens_per_batch)


def frozen_head(embeddings: Indexed, fold: Fold) -> Head:
    """Return the linear probe as a head: it predicts the standardised number, or logits."""
    probe = Linear(embeddings, least_spread=LEAST_SPREAD).fit(fold)
    weights, intercept = probe.on_raw_features()
    centre, scale = standardisation(fold)
    head = Head(embeddings[fold.train], outputs_of(fold))
    head.start_from(weights / scale, np.maximum((intercept - centre) / scale, _LEAST_LOGIT))
    return head.eval()


def embed_rows(
    encoder: IsoCLRModel, rows: Sequence[np.ndarray], tokens_per_batch: int, progress: bool = True
) -> np.ndarray:
    """Embed token rows, with a bar of nucleotides: float32 (n, pooled)."""
    total = sum(map(len, rows))
    with progress_bar(description="embedding", total=total, unit="nt", show=progress) as bar:
        return encoder.embed(rows, tokens_per_batch, bar.update)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """A network pre-trained and not, on the same splits.

    Attributes:
        results: of `METHODS`.
        evaluations: fine-tuned and from scratch -> for each split its evaluations.
        network: the fine-tuned network of the first split, which predicts in the label's units.
    """

    results: Results
    evaluations: dict[str, list[list[Evaluation]]]
    network: IsoCLRForSequenceClassification

    def as_dict(self) -> dict:
        """Return JSON's types: the results, and the evaluations as "evaluations"."""
        evaluations = {
            name: [[asdict(each) for each in of_split] for of_split in found]
            for name, found in self.evaluations.items()
        }
        return self.results.as_dict() | {"evaluations": evaluations}

    def to_json(self, path: str | os.PathLike) -> None:
        """Write `as_dict` as one JSON object."""
        Path(path).write_text(json.dumps(self.as_dict(), allow_nan=False) + "\n")


def finetune(
    encoder: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    labels: LabelSet,
    options: TrainingOptions | None = None,
    methods: Sequence[str] = BY_DEFAULT,
) -> FineTuning:
    """Predict a label by an encoder frozen, fine-tuned and from scratch, on the same splits.

    Frozen: the linear probe of the embeddings. Fine-tuned: all weights, from that on. From scratch:
    the same network with random weights, which takes several times as long as the others; with it,
    or else with the frozen encoder, the others are compared.

    Args:
        encoder: as `load_model` gives it; it stays as it is.
        tokenizer: of the encoder.
        labels: n transcripts with targets and homology groups.
        options: seeds, at least two, split and training.
        methods: some of `METHODS`, fine-tuned among them.

    Raises:
        InputError: an unknown method, or none that is fine-tuned; fewer than two seeds, too few
            groups, one value for all of train or test, or a transcript that the tokenizer refuses.
    """
    options = options or TrainingOptions()
    check_methods(methods)
    if len(options.seeds) < 2:
        raise InputError(
            f"fine-tuning: got {counted(len(options.seeds), 'seed')}, wanted at least two"
        )
    settings = options.settings
    rows, cropped = tokenize(tokenizer, labels.transcripts, options.max_length)
    budget = settings.fine_tuned.tokens_per_batch
    embeddings = embed_rows(encoder, rows, budget, options.progress)
    predictors = {
        SCRATCH: FineTuned(encoder, rows, None, settings, options.progress),
        FROZEN: Linear(embeddings, least_spread=LEAST_SPREAD),
        FINE_TUNED: FineTuned(encoder, rows, embeddings, settings, options.progress),
    }
    predictors = {name: made for name, made in predictors.items() if name in methods}
    networks = {n: made for n, made in predictors.items() if isinstance(made, FineTuned)}
    results = compare(
        predictors,
        labels,
        make_splits(labels, options.split, options.seeds),
        progress=options.progress,
    )
    first = networks[FINE_TUNED].first
    assert first is not None  # there is a split
    return FineTuning(
        results=replace(results, about=about_training(options, cropped)),
        evaluations={
            name: networks[name].evaluations for name in (FINE_TUNED, SCRATCH) if name in networks
        },
        network=network_to_save(first, labels),
    )


def check_methods(methods: Sequence[str]) -> None:
    """Refuse methods that `finetune` does not know, and a choice without the fine-tuned network."""
    for name in methods:
        if name not in METHODS:
            raise InputError(f"methods: got {name!r}, wanted some of {', '.join(METHODS)}")
    if FINE_TUNED not in methods:
        raise InputError(f"methods: got {', '.join(methods)}, wanted {FINE_TUNED} among them")


def about_training(options: TrainingOptions, cropped: int) -> dict:
    """Return what JSON says of training: "settings", "max_length" and how many were "cropped"."""
    settings = options.settings.model_dump(mode="json")
    return {"settings": settings, "max_length": options.max_length, "cropped": cropped}


def finetune_model(
    model: str | os.PathLike,
    source: LabelSource,
    output: Path,
    options: TrainingOptions | None = None,
    methods: Sequence[str] = BY_DEFAULT,
) -> FineTuning:
    """Fine-tune a model on a file of labels, see `finetune`.

    Writes `finetune.json`, `finetune.png`, and `model`: the fine-tuned model of the first seed,
    which AutoModelForSequenceClassification loads, with a card that says what its head predicts.
    """
    check_methods(methods)
    labels = source.read()
    encoder, tokenizer = load_model(model)
    found = finetune(encoder, tokenizer, labels, options, methods)
    write_model_folder(found.network, tokenizer, output / "model")
    folder = output / "model"
    notes = describe_head(found, labels, Path(model).name, folder.name)
    (folder / "NOTES.md").write_text(notes, encoding="utf-8")
    write_card(folder)
    found.to_json(output / "finetune.json")
    plot_finetuning(found, output / "finetune.png")
    return found


def describe_head(found: FineTuning, labels: LabelSet, encoder: str, name: str) -> str:
    """Return what a card says of a fine-tuned model's head, in Markdown; `name` is its folder."""
    names = labels.classes or (labels.label,)
    shown = ", ".join(names) if len(names) <= _SHOWN else "columns as above"
    shown = " ".join(shown.replace("`", "'").split())  # it stands in a comment
    return f"""## What its head predicts

{code(labels.label)} ({labels.task}): {_outputs(labels)}. Fine-tuned from {code(encoder)} on the
train side of one split of {len(labels.transcripts):,} labelled transcripts by `isoclr finetune`.

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained("{name}", trust_remote_code=True)
transcripts = tokenizer(
    ["ACGATGGCCTAAGG", "ACGATGUAA"],  # spliced, 5'→3'
    cds=[(3, 12), (3, 9)],
    exon_junctions=[[7], None],
    padding=True,
    return_tensors="pt",
)
with torch.inference_mode():
    predictions = model.eval()(**transcripts).logits  # (2, {len(names)}): {shown}
```

Held-out scores over all splits; the weights are those of the first:

```text
{found.results.table().replace("```", "")}
```
"""


def _outputs(labels: LabelSet) -> str:
    """Say what the columns of the logits are, and of numbers what the labels were like."""
    if labels.task != REGRESSION:
        probabilities = "softmax" if labels.task == MULTICLASS else "sigmoid"
        names = ", ".join(map(code, labels.classes or (labels.label,)))
        return f"logits, whose {probabilities} are probabilities, of {names} in this order"
    known = labels.targets
    return (
        f"a number, in the units of the labels, which are {known.mean():.4g} in the mean, with a "
        f"standard deviation of {known.std():.4g}, from {known.min():.4g} to {known.max():.4g}"
    )


def network_to_save(network: Network, labels: LabelSet) -> IsoCLRForSequenceClassification:
    """Return the same network as one of the Hub's classes, which predicts in the label's units."""
    config = deepcopy(network.encoder.config)
    names = labels.classes or (labels.label,)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type, config.classifier_hidden_size = PROBLEM_TYPES[labels.task], 0
    model = IsoCLRForSequenceClassification(config)
    model.isoclr.load_state_dict(network.encoder.state_dict())
    model.classifier.load_state_dict(network.head.on_raw_features())
    return on_device(model.eval(), network.encoder.device)


def plot_finetuning(found: FineTuning, path: str | os.PathLike) -> None:
    """Draw the validation loss over the steps of every split, fine-tuned and from scratch."""
    figure, axes = new_axes(7, 4.2)
    for method, of_splits in found.evaluations.items():
        for number, evaluations in enumerate(of_splits):
            steps = [each.step for each in evaluations]
            losses = [each.validation_loss for each in evaluations]
            first = int(method == SCRATCH)  # what `fit` does not keep
            best = first + int(np.argmin(losses[first:]))
            name = method if number == 0 else None
            axes.plot(steps, losses, c=_COLOURS[method], lw=1.2, alpha=0.8, label=name)
            axes.plot(steps[best], losses[best], "o", c=_COLOURS[method], ms=5)
    for number, evaluations in enumerate(found.evaluations[FINE_TUNED]):
        name = "frozen, where fine-tuning begins" if number == 0 else None
        axes.axhline(evaluations[0].validation_loss, c=_COLOURS[FROZEN], lw=0.8, ls=":", label=name)
    what = "of the standardised label" if found.results.task == REGRESSION else "cross-entropy"
    axes.set_ylabel(f"validation loss ({what})")
    axes.set_xlabel("optimiser steps")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    note = "A line a seed; dots: the weights that were kept."
    save_figure(figure, f"{found.results.title()}\n{note}", path)
