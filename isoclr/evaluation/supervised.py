"""Networks that learn a property from its labels: one training loop, and a network like Saluki."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn
from tqdm import tqdm

from data_builders.records import InputError, Transcript
from isoclr.evaluation.linear import METRICS, score_numbers
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import PAD_BASE
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm, track_table
from modeling_isoclr.losses_isoclr import supervised_loss
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, pad_tokens, padded_length

REGRESSION, SINGLE, MULTI = (
    "regression",
    "single_label_classification",
    "multi_label_classification",
)
_LARGEST_GRADIENT = 1.0
_ROWS_FOR_STATISTICS = 512
_TOKENS_AT_ONCE = 1 << 14  # more at once leaves the caches of a CPU


@dataclass(frozen=True)
class FitSettings:
    """How a network is trained on labels.

    Attributes:
        dropout: of the network.
        learning_rate: of AdamW.
        warm_up: steps over which the learning rate rises to that.
        weight_decay: of AdamW.
        batch_size: transcripts a step.
        tokens_per_batch: nucleotides that go through a network at once, padding included; a batch
            over it goes in parts of like length. Where a batch norm takes the statistics of a
            batch, that is never parted.
        evaluate_every: steps between two evaluations at the validation rows; at least an epoch.
        patience: evaluations without a new best after which training ends.
        evaluations: the most evaluations that a run makes.
    """

    dropout: float = 0.3
    learning_rate: float = 1e-3
    warm_up: int = 10
    weight_decay: float = 1e-5
    batch_size: int = 16
    tokens_per_batch: int = 1 << 16
    evaluate_every: int = 10
    patience: int = 8
    evaluations: int = 60

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < 1):
                raise InputError(f"{field.name}: got {value!r}, wanted a whole number above 0")
            if field.type is float and (type(value) not in (int, float) or not value >= 0):
                raise InputError(f"{field.name}: got {value!r}, wanted a number of at least 0")
        if self.dropout >= 1:
            raise InputError(f"dropout: got {self.dropout}, wanted less than 1")


@dataclass(frozen=True)
class Settings:
    """How networks are trained, by where their weights begin; recipes/finetune has the paper's.

    Attributes:
        from_scratch: at random.
        fine_tuned: at those of an encoder that was trained before, below a head that was fitted to
            it. Dropout would shift what that head gets to see, so there is none.
        saluki_like: at random, of the network after Saluki. It learns lengths within 300 steps, and
            what else there is only after some 1,000 to 2,500, however few the labels.
    """

    from_scratch: FitSettings = FitSettings()
    fine_tuned: FitSettings = FitSettings(
        dropout=0.0, learning_rate=3e-5, evaluate_every=5, patience=4, evaluations=12
    )
    saluki_like: FitSettings = FitSettings(
        dropout=0.0, batch_size=8, evaluate_every=200, patience=14, evaluations=14
    )


DEFAULTS = Settings()


def read_settings(path: str | os.PathLike) -> Settings:
    """Reads settings from a YAML file; what it leaves out is as `Settings` has it.

    Raises:
        InputError: the file is not YAML, or has an unknown key or a bad value.
    """
    try:
        sections = yaml.safe_load(Path(path).read_text())
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    settings = DEFAULTS
    for section, values in _mapping(path, sections, Settings).items():
        of_section = getattr(settings, section)
        values = _mapping(f"{path}: {section}", values, FitSettings)
        try:
            settings = replace(settings, **{section: replace(of_section, **values)})
        except InputError as error:
            raise InputError(f"{path}: {section}: {error}") from None
    return settings


def _mapping(where, value, wanted: type) -> dict:
    """`value`, if its keys are fields of the dataclass `wanted`."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: got {type(value).__name__}, wanted keys and values")
    known = [field.name for field in dataclasses.fields(wanted)]
    for key in value:
        if key not in known:
            raise InputError(f"{where}: {key}: unknown key; known: {', '.join(known)}")
    return value


def tokenize(
    tokenizer: IsoCLRTokenizer, transcripts: Sequence[Transcript], max_length: int | None = None
) -> tuple[list[np.ndarray], int]:
    """Tokens of transcripts; those over `max_length` nt are cropped around the centre of their CDS.

    Returns:
        For each transcript uint8 (length,), and how many were cropped.

    Raises:
        InputError: on a transcript that the tokenizer refuses.
    """
    rows = []
    for transcript in transcripts:
        cds = transcript.cds_start, transcript.cds_end
        try:
            row = tokenizer.tokenize_transcript(
                transcript.sequence, cds, transcript.exon_junctions, transcript.transcript_id
            )
        except ValueError as error:
            raise InputError(str(error)) from error
        rows.append(row)
    too_long = [i for i, row in enumerate(rows) if max_length is not None and len(row) > max_length]
    if too_long:
        chosen = [transcripts[i] for i in too_long]
        cropped = tokenizer(
            [t.sequence for t in chosen],
            cds=[(t.cds_start, t.cds_end) for t in chosen],
            exon_junctions=[t.exon_junctions for t in chosen],
            truncation="cds_centre",
            max_length=max_length,
        )["input_ids"]
        for i, row in zip(too_long, cropped, strict=True):
            rows[i] = np.array(row, np.uint8)
    return rows, len(too_long)


@dataclass(frozen=True)
class Evaluation:
    """One look at the validation rows.

    Attributes:
        step: optimiser steps before it.
        train_loss: mean over the steps since the look before; None at step 0.
        validation_loss: of the label's standardised values, or of its classes.
    """

    step: int
    train_loss: float | None
    validation_loss: float


def fit(
    model: nn.Module,
    rows: Sequence[np.ndarray] | np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    problem: str = REGRESSION,
    settings: FitSettings = DEFAULTS.from_scratch,
    seed: int = 0,
    progress: bool = True,
) -> tuple[nn.Module, list[Evaluation]]:
    """Trains a network on labels, stops early, and keeps its best weights by the validation loss.

    Those it began with are among them, unless its last layer began with weights of 0.

    A step takes `batch_size` rows of train at random; the batch goes through the network in parts
    of like length, whose gradients add up. Numbers are standardised by the train rows; in the end
    that is folded into the last layer, so that the network predicts in the label's units. The same
    seed gives the same weights, bit by bit, with the same number of threads.

    Args:
        model: trained in place, on its device; takes tokens (batch, length), or features (batch,
            width), and gives logits. Its last layer, linear, is `classifier`, and predicts the
            standardised label where it is not at random.
        rows: n rows of tokens, uint8 (length,); or features, float32 (n, width).
        targets: float (n, outputs); bool (n, classes) for a multi-label problem; integers (n,) for
            a single-label one.
        train: row numbers to learn from.
        validation: row numbers to stop by.
        problem: as `IsoCLRConfig.problem_type` has it.
        settings: of the optimiser and of early stopping.
        seed: of the order of the rows and of dropout.
        progress: show a bar of steps.

    Returns:
        The model, in evaluation mode, and every look at the validation rows.

    Raises:
        InputError: no train or validation row, one value for all of train, or batches of one row
            for a batch norm.
    """
    centre, scale = standardisation(targets, train, problem)
    if not len(validation):
        raise InputError("labels: got no validation row, wanted some to stop by")
    standardised = (targets - centre) / scale if problem == REGRESSION else targets
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    # Without it Adam's first steps, all of one size, lose what the weights began with.
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / settings.warm_up, 1)
    )
    # Statistics of a batch norm over a part would be those of one length.
    norms = [part for part in model.train().modules() if isinstance(part, IsoCLRBatchNorm)]
    head_norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d)]
    whole = bool(head_norms) or any(norm.training for norm in norms)
    sample = np.random.default_rng(seed).permutation(train)[:_ROWS_FOR_STATISTICS]

    def loss_of(part: np.ndarray) -> torch.Tensor:
        labels = torch.from_numpy(standardised[part])
        labels = labels.float() if problem != SINGLE else labels
        return supervised_loss(_logits(model, rows, part), labels.to(device), problem)

    def recompute_batchnorm_statistics():
        """Those of head norms for the weights as they are; a mean over steps would lag behind."""
        for norm in head_norms:
            norm.reset_running_stats()
        with torch.no_grad():
            for part in np.array_split(sample, -(-len(sample) // 64)):
                _logits(model, rows, part)

    def validation_loss() -> float:
        if head_norms:
            recompute_batchnorm_statistics()
        model.eval()
        with torch.inference_mode():
            parts = cut_by_tokens(_lengths(rows, validation), settings.tokens_per_batch)
            total = sum(float(loss_of(validation[part])) * len(part) for part in parts)
        model.train()
        return total / len(validation)

    def step(batch: np.ndarray) -> float:
        parts = [np.arange(len(batch))]
        if not whole:
            parts = cut_by_tokens(_lengths(rows, batch), settings.tokens_per_batch)
        total = 0.0
        for part in parts:
            loss = loss_of(batch[part]) * (len(part) / len(batch))
            loss.backward()
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        warm_up.step()
        optimiser.zero_grad()
        return total

    rng = np.random.default_rng(seed)
    batches = -(-len(train) // settings.batch_size)
    if head_norms and len(train) < 2 * batches:
        raise InputError(
            f"batch_size: got {settings.batch_size}, wanted at least 3: "
            "a batch norm cannot learn from one row"
        )
    interval = max(batches, settings.evaluate_every)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), _bar(interval * settings.evaluations, progress) as bar:
        torch.manual_seed(seed)
        evaluations = [Evaluation(0, None, validation_loss())]
        best, best_weights = 0, deepcopy(model.state_dict())
        # A head of zeros predicts the mean: from scratch, that is no result to stop at.
        begun = bool(model.classifier.weight.any())
        queue: list[np.ndarray] = []
        for number in range(1, settings.evaluations + 1):
            losses = []
            for _ in range(interval):
                queue = queue or np.array_split(rng.permutation(train), batches)
                losses.append(step(queue.pop()))
                bar.update()
            evaluations.append(
                Evaluation(number * interval, float(np.mean(losses)), validation_loss())
            )
            bar.set_postfix(validation=f"{evaluations[-1].validation_loss:.3f}")
            better = evaluations[-1].validation_loss < evaluations[best].validation_loss
            if better or (best == 0 and not begun):
                best, best_weights = number, deepcopy(model.state_dict())
            if number - best >= settings.patience:
                break
    model.load_state_dict(best_weights)
    if problem == REGRESSION:
        with torch.no_grad():
            model.classifier.weight *= torch.tensor(scale[:, None], device=device)
            model.classifier.bias.mul_(torch.tensor(scale, device=device))
            model.classifier.bias += torch.tensor(centre, device=device)
    return model.eval(), evaluations


def predict(
    model: nn.Module,
    rows: Sequence[np.ndarray] | np.ndarray,
    chosen: np.ndarray,
    tokens_per_batch: int = 1 << 16,
) -> np.ndarray:
    """Logits of the rows `chosen`, in the order given: float32 (chosen, outputs)."""
    parts = cut_by_tokens(_lengths(rows, chosen), tokens_per_batch)
    with torch.inference_mode():
        logits = [_logits(model, rows, chosen[part]).float().cpu() for part in parts]
    order = np.concatenate(parts)
    return torch.cat(logits).numpy()[np.argsort(order)]


def standardisation(
    targets: np.ndarray, train: np.ndarray, problem: str = REGRESSION
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over the train rows: float32 (outputs,) twice.

    Raises:
        InputError: there is no train row, or one value for all of them.
    """
    known = targets[train]
    if not len(known) or (known == known[0]).all():
        raise InputError("labels: got one value for all of train, wanted several")
    if problem != REGRESSION:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    centre, scale = known.mean(0), known.std(0)
    return centre.astype(np.float32), np.where(scale > 0, scale, 1).astype(np.float32)


def _lengths(rows, chosen: np.ndarray) -> list[int]:
    return [len(rows[row]) for row in chosen]


def _logits(model: nn.Module, rows, part: np.ndarray) -> torch.Tensor:
    if isinstance(rows, np.ndarray):
        batch = torch.from_numpy(rows[part])
    else:
        batch = torch.from_numpy(pad_tokens([rows[row] for row in part]))
    return model(batch.to(next(model.parameters()).device))


def _bar(steps: int, progress: bool) -> tqdm:
    return tqdm(total=steps, desc="fit", unit="step", delay=2, leave=False, disable=not progress)


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position."""

    def forward(self, x):
        """(batch, channels, 1, length)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SalukiLike(nn.Module):
    """A convolutional and recurrent network after Saluki (Agarwal & Kelley 2022), which it is not.

    conv → 6 × [layer norm → ReLU → conv → max-pool 2] → layer norm → ReLU → GRU from 3' to 5' →
    mean of its states → batch norm → ReLU → dense → dropout → batch norm → ReLU → dense, with 64
    filters and kernels of 5 over the six tracks, and Keras' initial weights. As far as we know
    Saluki's, but for: the mean, where Saluki takes the state at the 5' end, and no dropout between
    convolutions, since with either it learns only lengths from a few thousand labels
    (docs/log/isoclr-small.md);
    convolutions that keep the length; a GRU that begins at the 3' end itself, not in the padding
    beyond it; Saluki's own optimiser, hundreds of epochs and folds.

    Args:
        outputs: numbers to predict.
        dropout: in the head.
        filters: width of all layers.
        blocks: that halve the length.
    """

    def __init__(self, outputs: int = 1, dropout: float = 0.0, filters: int = 64, blocks: int = 6):
        super().__init__()
        self.register_buffer("table", track_table(n_tracks=6, unknown_value=0.25))
        self.stem = nn.Conv2d(6, filters, (1, 5), padding=(0, 2))
        self.norms = nn.ModuleList(_ChannelNorm(filters) for _ in range(blocks + 1))
        self.convs = nn.ModuleList(
            nn.Conv2d(filters, filters, (1, 5), padding=(0, 2)) for _ in range(blocks)
        )
        self.gru = nn.GRU(filters, filters, batch_first=True)
        # Without momentum statistics are means over all batches, which `fit` begins anew.
        self.head_norms = nn.ModuleList(nn.BatchNorm1d(filters, momentum=None) for _ in range(2))
        self.dense = nn.Linear(filters, filters)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(filters, outputs)
        for layer in (self.stem, *self.convs, self.dense):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for gates in self.gru.weight_ih_l0.chunk(3):
            nn.init.xavier_uniform_(gates)
        for gates in self.gru.weight_hh_l0.chunk(3):
            nn.init.orthogonal_(gates)
        nn.init.zeros_(self.classifier.weight)  # the first prediction is the mean
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length), padded on the right, to (batch, outputs)."""
        lengths = (tokens != PAD_BASE).sum(1)
        # Convolutions want little padding; the GRU, whose steps are slow, the whole batch at once.
        parts = cut_by_tokens(lengths.tolist(), _TOKENS_AT_ONCE)
        rows = [row for part in parts for row in self._row_features(tokens[part])]
        rows = [rows[i] for i in np.argsort(np.concatenate(parts))]
        packed, _ = self.gru(nn.utils.rnn.pack_sequence(rows, enforce_sorted=False))
        states, counts = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        x = states.sum(1) / counts[:, None].to(states.device)
        x = self.dense(self.head_norms[0](x).relu())
        return self.classifier(self.head_norms[1](self.dropout(x)).relu())

    def _row_features(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """For each transcript what the GRU reads, from 3' to 5': (its valid positions, filters)."""
        longest = int((tokens != PAD_BASE).sum(1).max())
        # oneDNN plans each new shape at some cost: with few lengths its plans are used again.
        spare = padded_length(longest, 8, 2 ** len(self.convs)) - longest
        tokens = nn.functional.pad(tokens[:, :longest], (0, spare), value=PAD_BASE)
        mask = (tokens != PAD_BASE)[:, None, None, :]
        x = nn.functional.embedding(tokens.long(), self.table)
        x = self.stem(x.unsqueeze(1).permute(0, 3, 1, 2))
        *norms, last_norm = self.norms
        for norm, conv in zip(norms, self.convs, strict=True):
            # A last position without a partner is pooled with what the convolution has beyond the
            # end, which the transcript alone decides.
            x = nn.functional.max_pool2d(conv(norm(x).relu() * mask), (1, 2))
            mask = mask[..., ::2]
        x = last_norm(x).relu().squeeze(2).transpose(1, 2)  # (batch, positions, filters)
        return [
            row[:valid].flip(0) for row, valid in zip(x, mask.sum((1, 2, 3)).tolist(), strict=True)
        ]


def fit_and_predict(
    rows: Sequence[np.ndarray],
    targets: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    seed: int = 0,
    *,
    settings: FitSettings = DEFAULTS.saluki_like,
    progress: bool = True,
) -> np.ndarray:
    """Trains the network after Saluki, and predicts.

    Args:
        rows: n transcripts as `tokenize` gives them.
        targets: float (n,) or (n, outputs); bool (n, classes).
        train: row numbers to learn from.
        validation: row numbers to stop by.
        test: row numbers to predict.
        seed: of the weights, the order of the rows and dropout.
        settings: as `fit` takes them.
        progress: show a bar.

    Returns:
        Numbers in the label's units, or logits of classes: float32, (test,) or (test, outputs) as
        `targets` has it.

    Raises:
        InputError: as in `fit`.
    """
    matrix = targets if targets.ndim == 2 else targets[:, None]
    model, _ = fit(
        seeded(lambda: SalukiLike(matrix.shape[1], settings.dropout), seed),
        rows,
        matrix,
        train,
        validation,
        problem=MULTI if targets.dtype == bool else REGRESSION,
        settings=settings,
        seed=seed,
        progress=progress,
    )
    predicted = predict(model, rows, test, settings.tokens_per_batch)
    return predicted if targets.ndim == 2 else predicted[:, 0]


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What `make` makes with weights drawn from `seed`, on the GPU if there is one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def untrained(config: IsoCLRConfig, seed: int) -> IsoCLRModel:
    """An encoder with random weights, in evaluation mode: the control of a trained one."""
    return seeded(lambda: IsoCLRModel(config), seed).eval()


def scores(problem: str, predicted: np.ndarray, observed: np.ndarray) -> dict[str, float]:
    """How good predictions are; the first is what curves and comparisons show.

    Args:
        problem: as `IsoCLRConfig.problem_type` has it.
        predicted: (n, outputs), numbers or logits.
        observed: as `fit` takes targets.

    Returns:
        Of a number, the "pearson" and "spearman" correlations, 0 where all predictions are the
        same, and the "mse" in squared units; of several labels, micro-averaged "auroc" and
        "auprc"; of one label of several, "accuracy" and "balanced accuracy", the mean over classes.

    Raises:
        InputError: one value for all of the rows.
    """
    if (observed == observed[:1]).all():
        raise InputError("labels: got one value for all of test, wanted several")
    if problem == MULTI:
        flat = observed.ravel(), predicted.ravel()
        return {
            "auroc": float(roc_auc_score(*flat)),
            "auprc": float(average_precision_score(*flat)),
        }
    if problem == SINGLE:
        chosen = predicted.argmax(1)
        by_class = [(chosen[observed == c] == c).mean() for c in np.unique(observed)]
        return {
            "accuracy": float((chosen == observed).mean()),
            "balanced accuracy": float(np.mean(by_class)),
        }
    values = score_numbers(predicted.ravel().astype(np.float64), observed.ravel())
    return dict(zip(METRICS, values, strict=False))
