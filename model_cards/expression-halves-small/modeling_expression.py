"""Encoders of bulk expression, and their self-supervised and supervised heads.

SCARF, VIME and BYOL follow Dradjat et al. (Bioinformatics 41(11), btaf533), without the faults of
its code; denoising and halves (SubTab, arXiv 2110.04361) stand beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    ModelOutput,
    SequenceClassifierOutput,
)

from .configuration_expression import ExpressionConfig


class ExpressionBatchNorm(nn.BatchNorm1d):
    """A batch norm whose statistics can be taken over all processes.

    `over_processes`, a differentiable sum over processes, is set by the engine in a run of several;
    a PyTorch SyncBatchNorm would refuse the CPU.
    """

    over_processes: Callable | None = None
    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def forward(self, x):
        """(batch, channels) to the same."""
        if not self.training or self.over_processes is None:
            return super().forward(x)
        dtype, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
        count = self.over_processes(x.new_full((), float(len(x))))
        mean = self.over_processes(x.sum(0)) / count
        centred = x - mean
        variance = self.over_processes(centred.square().sum(0)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
            self.num_batches_tracked += 1
        scaled = centred * torch.rsqrt(variance + self.eps)
        return (scaled * self.weight + self.bias).to(dtype)


class ExpressionLayer(nn.Module):
    """Linear → batch norm → ReLU → dropout."""

    def __init__(self, inputs: int, outputs: int, config: ExpressionConfig):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = ExpressionBatchNorm(outputs, momentum=config.norm_momentum)
        self.activation = nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x, keep=None):
        """(batch, inputs) to (batch, outputs).

        Args:
            x: the inputs.
            keep: which outputs dropout leaves, (batch, outputs), instead of a draw.
        """
        x = self.activation(self.norm(self.linear(x)))
        if keep is None or not self.training or not self.dropout.p:
            return self.dropout(x)
        return x * keep / (1 - self.dropout.p)


class ExpressionPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving of every model of expression."""

    config: ExpressionConfig
    config_class = ExpressionConfig
    base_model_prefix = "expression"
    main_input_name = "values"
    _keep_in_fp32_modules_strict = ["norm"]

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, ExpressionBatchNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            nn.init.zeros_(module.running_mean)
            nn.init.ones_(module.running_var)
            nn.init.zeros_(module.num_batches_tracked)

    @property
    def dummy_inputs(self):
        """Two profiles."""
        return {"values": torch.linspace(-1, 1, 2 * self.config.n_genes).view(2, -1)}


class ExpressionModel(ExpressionPreTrainedModel):
    """Encoder of expression profiles."""

    # A pre-training checkpoint has its heads.
    _keys_to_ignore_on_load_unexpected = [r"^(projector|predictor|target|\w*decoder)\b"]

    def __init__(self, config: ExpressionConfig):
        super().__init__(config)
        first, width = config.n_genes, config.hidden_size
        self.bottleneck = None
        if config.bottleneck_size:
            self.bottleneck = nn.Linear(first, config.bottleneck_size)
            first = config.bottleneck_size
        sizes = [first] + [width] * config.num_hidden_layers
        self.layers = nn.ModuleList(
            ExpressionLayer(inputs, outputs, config)
            for inputs, outputs in zip(sizes, sizes[1:], strict=False)
        )
        self.post_init()

    def forward(self, values=None, keep=None, return_dict=None, **kwargs):
        """Embed profiles.

        Args:
            values: (batch, n_genes), as the model's processor makes them.
            keep: of dropout in training, (layers, batch, hidden_size); None: drawn.
            return_dict: False returns a tuple.
            **kwargs: usual keywords of transformers, without a meaning here.

        Returns:
            `last_hidden_state` and `pooler_output`, both (batch, hidden_size).

        Raises:
            ValueError: on values of another shape.
        """
        if values is None or values.ndim != 2 or values.shape[1] != self.config.n_genes:
            shape = None if values is None else tuple(values.shape)
            raise ValueError(f"values: got shape {shape}, wanted (batch, {self.config.n_genes})")
        x = values if self.bottleneck is None else self.bottleneck(values)
        for number, layer in enumerate(self.layers):
            x = layer(x, None if keep is None else keep[number])
        output = BaseModelOutputWithPooling(last_hidden_state=x, pooler_output=x)
        return output if return_dict is not False else output.to_tuple()


class ExpressionHead(nn.Module):
    """Two linear layers with a ReLU between, and a batch norm before it where `norm`."""

    def __init__(self, inputs: int, config: ExpressionConfig, norm: bool = False):
        super().__init__()
        hidden, outputs = config.head_sizes
        self.linear1 = nn.Linear(inputs, hidden)
        self.norm = ExpressionBatchNorm(hidden, momentum=config.norm_momentum) if norm else None
        self.activation = nn.ReLU()
        self.linear2 = nn.Linear(hidden, outputs)

    def forward(self, x):
        """(batch, inputs) to (batch, outputs)."""
        x = self.linear1(x)
        return self.linear2(self.activation(x if self.norm is None else self.norm(x)))


@dataclass
class ExpressionForPreTrainingOutput(ModelOutput):
    """What the methods compare.

    Attributes:
        first: of the first view: projections of scarf and halves, predictions of byol, or
            reconstructed values of vime and denoising.
        second: of the second view, where the method has one; byol's two targets follow.
        mask_logits: of vime, (batch, n_genes): was the value replaced?
        pooler_output: embeddings of the first view.
    """

    first: torch.Tensor | None = None
    second: torch.Tensor | None = None
    targets: tuple[torch.Tensor, ...] | None = None
    mask_logits: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class ExpressionForPreTraining(ExpressionPreTrainedModel):
    """The encoder with the heads of `config.method`."""

    def __init__(self, config: ExpressionConfig):
        super().__init__(config)
        self.expression = ExpressionModel(config)
        width, method = config.hidden_size, config.method
        if method in ("scarf", "halves"):
            self.projector = ExpressionHead(width, config)
        elif method == "byol":
            self.projector = ExpressionHead(width, config, norm=True)
            self.predictor = ExpressionHead(config.head_sizes[1], config, norm=True)
            self.target = nn.ModuleDict(
                {
                    "expression": ExpressionModel(config),
                    "projector": ExpressionHead(width, config, norm=True),
                }
            )
            self.target.requires_grad_(False)
        else:
            self.value_decoder = nn.Linear(width, config.n_genes)
            if method == "vime":
                self.mask_decoder = nn.Linear(width, config.n_genes)
        self.post_init()

    @torch.no_grad()
    def start_target(self):
        """Make byol's target network equal to the encoder and its projector."""
        for name, part in self.target.items():
            part.load_state_dict(getattr(self, name).state_dict())

    @torch.no_grad()
    def update_target(self):
        """Move byol's target network toward the encoder: target ← d·target + (1 − d)·online."""
        for name, part in self.target.items():
            online = getattr(self, name)
            for slow, fast in zip(part.parameters(), online.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.config.target_decay)

    def forward(self, first=None, second=None, keep=None):
        """Encode the views of a batch.

        Args:
            first: (batch, n_genes); the corrupted view of vime and denoising.
            second: (batch, n_genes), the other view of scarf, byol and halves.
            keep: of dropout, one tensor of (layers, batch, hidden_size) a view; None: drawn.
        """
        keep = keep or (None, None)
        embeddings = self.expression(first, keep[0]).pooler_output
        method = self.config.method
        if method in ("vime", "denoising"):
            return ExpressionForPreTrainingOutput(
                first=self.value_decoder(embeddings),
                mask_logits=self.mask_decoder(embeddings) if method == "vime" else None,
                pooler_output=embeddings,
            )
        projections = [
            self.projector(embeddings),
            self.projector(self.expression(second, keep[1]).pooler_output),
        ]
        targets = None
        if method == "byol":
            with torch.no_grad():
                slow = self.target["expression"], self.target["projector"]
                targets = tuple(
                    slow[1](slow[0](view, kept).pooler_output)
                    for view, kept in zip((first, second), keep, strict=True)
                )
            projections = [self.predictor(each) for each in projections]
        return ExpressionForPreTrainingOutput(
            first=projections[0],
            second=projections[1],
            targets=targets,
            pooler_output=embeddings,
        )


def cox_loss(risk, time, event):
    """Return the negative log partial likelihood of Cox's model, a mean over events.

    Ties are handled as Breslow does: everyone whose time is at least that of the event is at risk.

    Args:
        risk: log hazards, (batch,).
        time: of event or censoring, (batch,).
        event: whether the event was seen, (batch,).

    Returns:
        A scalar; zero, with gradients of zero, where no event was seen.
    """
    at_risk = time[None, :] >= time[:, None]
    log_sum = torch.where(at_risk, risk[None, :], -torch.inf).logsumexp(1)
    event = event.to(risk.dtype)
    return ((log_sum - risk) * event).sum() / event.sum().clamp(min=1)


class ExpressionForSequenceClassification(ExpressionPreTrainedModel):
    """Predicts phenotypes: classes, numbers, or survival."""

    _keys_to_ignore_on_load_unexpected = ExpressionModel._keys_to_ignore_on_load_unexpected

    def __init__(self, config: ExpressionConfig):
        super().__init__(config)
        self.expression = ExpressionModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, values=None, labels=None, return_dict=None, **kwargs):
        """Predict phenotypes of profiles.

        Args:
            values: (batch, n_genes), as the model's processor makes them.
            labels: by `config.problem_type`: classes (batch,); values or 0/1 of (batch,
                num_labels); or, for survival, time and event of (batch, 2).
            return_dict: False returns a tuple.
            **kwargs: usual keywords of transformers, without a meaning here.

        Returns:
            `loss`, and `logits` of (batch, num_labels); for survival they are log hazards.
        """
        pooled = self.expression(values).pooler_output
        logits = self.classifier(self.dropout(pooled))
        loss = None if labels is None else self._loss(logits, labels)
        output = SequenceClassifierOutput(loss=loss, logits=logits)
        return output if return_dict is not False else output.to_tuple()

    def _loss(self, logits, labels):
        kind = self.config.problem_type
        if kind == "survival":
            return cox_loss(logits[:, 0], labels[:, 0], labels[:, 1])
        if kind == "regression":
            return nn.functional.mse_loss(logits, labels.to(logits.dtype).view_as(logits))
        if kind == "multi_label_classification":
            return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return nn.functional.cross_entropy(logits, labels.long())
