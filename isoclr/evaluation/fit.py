"""One training loop for networks that learn a property from its labels."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION, SURVIVAL
from data_builders.records import InputError
from isoclr.evaluation.compare import Fold, Prediction
from isoclr.evaluation.settings import FitSettings
from isoclr.progress import Progress
from isoclr.progress import progress as progress_bar
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm
from modeling_isoclr.losses_isoclr import supervised_loss
from modeling_isoclr.modeling_expression import cox_loss
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, pad_tokens

PROBLEM_TYPES = {
    REGRESSION: "regression",
    BINARY: "multi_label_classification",
    MULTICLASS: "single_label_classification",
    MULTILABEL: "multi_label_classification",
    SURVIVAL: "survival",
}
"""The `IsoCLRConfig.problem_type` of each task."""

Rows = Sequence[np.ndarray] | np.ndarray
"""n rows of tokens, uint8 (length,); or features, float32 (n, width)."""

_LARGEST_GRADIENT = 1.0
_ROWS_FOR_STATISTICS = 512
_Model = TypeVar("_Model", bound=nn.Module)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation on the validation rows.

    Attributes:
        step: optimiser steps before it.
        train_loss: mean over the steps since the evaluation before; None at step 0.
        validation_loss: of the label's standardised values, or of its classes; of survival the
            negative log partial likelihood of Cox's model.
    """

    step: int
    train_loss: float | None
    validation_loss: float


def fit(
    model: _Model, rows: Rows, fold: Fold, settings: FitSettings, *, progress: bool = True
) -> tuple[_Model, list[Evaluation]]:
    """Train a network on labels, stop early, and keep its best weights by the validation loss.

    The weights it began with are among them, unless its last layer began with weights of 0.

    A step takes `batch_size` rows of train at random; the batch goes through the network in parts
    of like length, whose gradients add up. Numbers are standardised by the train rows; in the end
    that is folded into the last layer, so that the network predicts in the label's units. The same
    seed gives the same weights, bit by bit, with the same number of threads.

    Args:
        model: trained in place, on its device; takes tokens (batch, length), or features (batch,
            width), and gives logits (batch, outputs). Its last layer, linear, is `classifier`, and
            predicts the standardised label where it is not at random.
        rows: what the fold's row numbers index.
        fold: rows and labels of train and validation, and the seed of the order of the rows and of
            dropout.
        settings: of the optimiser and of early stopping.
        progress: show a bar of steps.

    Returns:
        The model, in evaluation mode, and every evaluation.

    Raises:
        InputError: no validation row, one value for all of train, or batches of one row for a batch
            norm.
    """
    training = _Training(model, rows, fold, settings)
    devices = [training.device] if training.device.type == "cuda" else []
    total = training.interval * settings.evaluations
    bar = progress_bar(description="fit", unit="step", total=total, show=progress)
    with torch.random.fork_rng(devices), bar:
        torch.manual_seed(fold.seed)
        evaluations = training.run(bar)
    if fold.task == REGRESSION:
        centre, scale = standardisation(fold)
        last = _last_layer(model)
        with torch.no_grad():
            last.weight *= torch.tensor(scale, device=training.device)
            last.bias.mul_(torch.tensor(scale, device=training.device))
            last.bias.add_(torch.tensor(centre, device=training.device))
    return model.eval(), evaluations


def predict(
    model: nn.Module, rows: Rows, chosen: np.ndarray, tokens_per_batch: int = 1 << 16
) -> np.ndarray:
    """Return logits of the rows `chosen`, in the order given: float32 (chosen, outputs)."""
    parts = cut_by_tokens([len(rows[row]) for row in chosen], tokens_per_batch)
    with torch.inference_mode():
        logits = [_logits(model, _taken(rows, chosen[part])).float().cpu() for part in parts]
    order = np.concatenate(parts)
    return torch.cat(logits).numpy()[np.argsort(order)]


def predict_fold(model: nn.Module, rows: Rows, fold: Fold, tokens_per_batch: int) -> Prediction:
    """Predict the test rows of a fold, and for a binary task the validation rows."""

    def of(chosen: np.ndarray) -> np.ndarray:
        logits = predict(model, rows, chosen, tokens_per_batch)
        return logits if fold.task in (MULTICLASS, MULTILABEL) else logits[:, 0]

    validation = of(fold.validation) if fold.task == BINARY else None
    return Prediction(test=of(fold.test), validation=validation)


def outputs_of(fold: Fold) -> int:
    """Return how many numbers a network predicts for a row."""
    return max(fold.classes, 1)


def standardisation(fold: Fold) -> tuple[np.float32, np.float32]:
    """Return mean and standard deviation of a number over the train rows; 0 and 1 of classes."""
    known = fold.train_targets
    if not len(known) or (known == known[0]).all():
        raise InputError("labels: got one value for all of train, wanted several")
    if fold.task != REGRESSION:
        return np.float32(0), np.float32(1)
    return np.float32(known.mean()), np.float32(known.std())


class _Training:
    """The state of one call of `fit`; row numbers here count within train or validation."""

    def __init__(self, model: nn.Module, rows: Rows, fold: Fold, settings: FitSettings):
        if not len(fold.validation):
            raise InputError("labels: got no validation row, wanted some to stop by")
        self.model, self.settings, self.seed = model, settings, fold.seed
        self.problem = PROBLEM_TYPES[fold.task]
        self.device = next(model.parameters()).device
        self.train = _taken(rows, fold.train)
        self.validation = _taken(rows, fold.validation)
        centre, scale = standardisation(fold)
        sides = (fold.train_targets, fold.validation_targets)
        if fold.task == REGRESSION:
            sides = tuple((side - centre) / scale for side in sides)
        self.targets = [self._tensor(side, fold.task) for side in sides]
        self.optimiser = torch.optim.AdamW(
            model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        # Without it Adam's first steps, all of one size, lose what the weights began with.
        self.warm_up = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: min((step + 1) / settings.warm_up, 1)
        )
        norms = [part for part in model.train().modules() if isinstance(part, IsoCLRBatchNorm)]
        self.head_norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d)]
        # Statistics of a batch norm over a part would be those of one length; and whoever is at
        # risk of an event must be beside it.
        self.at_risk = fold.task == SURVIVAL
        self.whole = self.at_risk or bool(self.head_norms) or any(norm.training for norm in norms)
        self.batches = -(-len(self.train) // settings.batch_size)
        self.interval = max(self.batches, settings.evaluate_every)
        if self.head_norms and len(self.train) < 2 * self.batches:
            raise InputError(
                f"batch_size: got {settings.batch_size}, wanted at least 3: "
                "a batch norm cannot learn from one row"
            )

    def run(self, bar: Progress) -> list[Evaluation]:
        """Train until the validation loss gets no better, and put back the best weights."""
        rng = np.random.default_rng(self.seed)
        evaluations = [Evaluation(0, None, self._validation_loss())]
        best, best_weights = 0, deepcopy(self.model.state_dict())
        # A head of zeros predicts the mean: from scratch, that is no result to stop at.
        begun = bool(_last_layer(self.model).weight.any())
        queue: list[np.ndarray] = []
        for number in range(1, self.settings.evaluations + 1):
            losses = []
            for _ in range(self.interval):
                queue = queue or np.array_split(rng.permutation(len(self.train)), self.batches)
                losses.append(self._step(queue.pop()))
                bar.update()
            evaluations.append(
                Evaluation(number * self.interval, float(np.mean(losses)), self._validation_loss())
            )
            bar.set_postfix(validation=f"{evaluations[-1].validation_loss:.3f}")
            better = evaluations[-1].validation_loss < evaluations[best].validation_loss
            if better or (best == 0 and not begun):
                best, best_weights = number, deepcopy(self.model.state_dict())
            if number - best >= self.settings.patience:
                break
        self.model.load_state_dict(best_weights)
        return evaluations

    def _step(self, batch: np.ndarray) -> float:
        """One optimiser step on some rows of train; returns their loss."""
        parts = [np.arange(len(batch))]
        if not self.whole:
            lengths = [len(self.train[row]) for row in batch]
            parts = cut_by_tokens(lengths, self.settings.tokens_per_batch)
        total = 0.0
        for part in parts:
            loss = self._loss(self.train, self.targets[0], batch[part]) * (len(part) / len(batch))
            loss.backward()
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        self.warm_up.step()
        self.optimiser.zero_grad()
        return total

    def _validation_loss(self) -> float:
        if self.head_norms:
            self._recompute_batchnorm_statistics()
        self.model.eval()
        rows, total = self.validation, 0.0
        parts = [np.arange(len(rows))]
        if not self.at_risk:
            parts = cut_by_tokens([len(row) for row in rows], self.settings.tokens_per_batch)
        with torch.inference_mode():
            for part in parts:
                total += float(self._loss(rows, self.targets[1], part)) * len(part)
        self.model.train()
        return total / len(rows)

    def _recompute_batchnorm_statistics(self) -> None:
        """Those of head norms for the weights as they are; a mean over steps would lag behind."""
        momenta = [norm.momentum for norm in self.head_norms]
        for norm in self.head_norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the passes
        sample = np.random.default_rng(self.seed).permutation(len(self.train))
        sample = sample[:_ROWS_FOR_STATISTICS]
        with torch.no_grad():
            for part in np.array_split(sample, -(-len(sample) // 64)):
                _logits(self.model, _taken(self.train, part))
        for norm, momentum in zip(self.head_norms, momenta, strict=True):
            norm.momentum = momentum

    def _loss(self, rows: Rows, targets: torch.Tensor, part: np.ndarray) -> torch.Tensor:
        logits = _logits(self.model, _taken(rows, part))
        if self.at_risk:
            time, event = targets[part].to(self.device).T
            return cox_loss(logits[:, 0], time, event)
        return supervised_loss(logits, targets[part].to(self.device), self.problem)

    @staticmethod
    def _tensor(targets: np.ndarray, task: str) -> torch.Tensor:
        found = torch.from_numpy(np.asarray(targets))
        if task == MULTICLASS:
            return found
        return found.float().reshape(len(found), -1)


def _last_layer(model: nn.Module) -> nn.Linear:
    layer = model.classifier
    assert isinstance(layer, nn.Linear)  # `fit` asks for it
    return layer


def _taken(rows: Rows, chosen: np.ndarray) -> Rows:
    return rows[chosen] if isinstance(rows, np.ndarray) else [rows[row] for row in chosen]


def _logits(model: nn.Module, rows: Rows) -> torch.Tensor:
    batch = rows if isinstance(rows, np.ndarray) else pad_tokens(rows)
    return model(torch.from_numpy(batch).to(next(model.parameters()).device))
