"""The IsoCLR encoder: dilated residual convolutions over RNA tracks (arXiv 2310.08738).

Inside, a batch is (batch, channels, 1, length) in channels_last memory, which is what the fast
convolution kernels of CPUs and GPUs want; outside, it is (batch, length) of tokens. Padding never
leaks: padded positions are zero before every convolution, never win a maximum, and take no part in
means or in the statistics of a norm.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput

from .configuration_isoclr import (
    BASES,
    CODON_START_BIT,
    EXON_END_BIT,
    MASK_BASE,
    N_BASE,
    PAD_BASE,
    VOCABULARY_SIZE,
    IsoCLRConfig,
)
from .losses_isoclr import contrastive_loss


def track_table(n_tracks: int, unknown_value: float) -> torch.Tensor:
    """What each token has in each track: A, C, G, T, codon start, exon end; shape (32, n_tracks).

    N is `unknown_value` in the base tracks. MASK is `unknown_value` in all of the first six, unless
    the token carries a mark: a known mark stays known. PAD is zero.
    """
    tokens = torch.arange(VOCABULARY_SIZE)
    base = tokens % 8
    table = torch.zeros(VOCABULARY_SIZE, max(n_tracks, 6))
    table[:, :BASES] = nn.functional.one_hot(base, 8)[:, :BASES].float()
    table[(base == N_BASE) | (base == MASK_BASE), :BASES] = unknown_value
    table[base == MASK_BASE, BASES : BASES + 2] = unknown_value
    for track, bit in ((BASES, CODON_START_BIT), (BASES + 1, EXON_END_BIT)):
        table[(tokens & bit > 0) & (base != PAD_BASE), track] = 1.0
    return table[:, :n_tracks].contiguous()


class IsoCLRTrackEmbedding(nn.Module):
    """Looks the tracks of each token up; nothing in it is learned."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.register_buffer("table", track_table(config.n_tracks, config.unknown_value))

    def forward(self, input_ids):
        """(batch, length) of integers to (batch, length, n_tracks)."""
        return nn.functional.embedding(input_ids.long(), self.table)


class IsoCLRConv(nn.Conv1d):
    """A convolution whose output is as long as its input; an even kernel looks further 3'."""

    def forward(self, x):
        """(batch, in, 1, length) to (batch, out, 1, length)."""
        reach = self.dilation[0] * (self.kernel_size[0] - 1)
        if reach:
            x = nn.functional.pad(x, (reach // 2, reach - reach // 2))
        return nn.functional.conv2d(
            x, self.weight.unsqueeze(2), self.bias, dilation=(1, self.dilation[0])
        )


class IsoCLRBatchNorm(nn.Module):
    """Batch normalisation whose statistics see valid positions only."""

    def __init__(self, channels: int, config: IsoCLRConfig):
        super().__init__()
        self.eps, self.momentum = config.norm_eps, config.norm_momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x, mask=None):
        """(batch, channels, 1, length) and a mask of (batch, 1, 1, length), True where valid."""
        if not self.training or mask is None:
            return nn.functional.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=self.training,
                momentum=self.momentum,
                eps=self.eps,
            )
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, torch.float32))  # half precision cannot count
        n = mask.sum()
        mean = (x * mask).sum((0, 2, 3), keepdim=True) / n
        centred = (x - mean) * mask
        var = centred.square().sum((0, 2, 3), keepdim=True) / n
        with torch.no_grad():
            unbiased = var.flatten() * n / (n - 1).clamp(min=1)
            self.running_mean.lerp_(mean.flatten().to(self.running_mean), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        scale = self.weight.view(1, -1, 1, 1) * torch.rsqrt(var + self.eps)
        return (centred * scale + self.bias.view(1, -1, 1, 1)).to(dtype)


class IsoCLRLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position."""

    def __init__(self, channels: int, config: IsoCLRConfig):
        super().__init__(channels, eps=config.norm_eps)

    def forward(self, x, mask=None):
        """(batch, channels, 1, length); no position sees another, so the mask is not needed."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS = {"batch": IsoCLRBatchNorm, "layer": IsoCLRLayerNorm}


def halve(x, mask):
    """Max-pools pairs of positions; an odd last one stands alone.

    Args:
        x: (batch, channels, 1, length).
        mask: (batch, 1, 1, length), True where valid; None: all are.

    Returns:
        Both at length ceil(length / 2); padded positions are zero.
    """
    if mask is None:
        return nn.functional.max_pool2d(x, (1, 2), ceil_mode=True), None
    x = x.masked_fill(~mask, torch.finfo(x.dtype).min)
    x = nn.functional.max_pool2d(x, (1, 2), ceil_mode=True)
    mask = mask[..., ::2]
    return x.masked_fill(~mask, 0), mask


def masked_mean(x, mask):
    """Mean over valid positions: (batch, channels, 1, length) to (batch, channels)."""
    if mask is None:
        return x.mean((2, 3))
    return (x * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1)


class IsoCLRBlock(nn.Module):
    """conv → ReLU → norm → ReLU → dropout → conv → ReLU → norm → + residual → ReLU."""

    def __init__(self, channels_in: int, channels: int, dilation: int, config: IsoCLRConfig):
        super().__init__()
        norm = NORMS[config.norm]
        self.conv1 = IsoCLRConv(channels_in, channels, config.kernel_size, dilation=dilation)
        self.norm1 = norm(channels, config)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = IsoCLRConv(channels, channels, config.kernel_size, dilation=dilation)
        self.norm2 = norm(channels, config)
        self.shortcut = self.shortcut_norm = None
        if channels_in != channels:
            self.shortcut = IsoCLRConv(channels_in, channels, 1)
            self.shortcut_norm = norm(channels, config)

    def forward(self, x, mask):
        """(batch, in, 1, length) to (batch, out, 1, length); padding is zero in and out."""
        residual = x if self.shortcut is None else self.shortcut_norm(self.shortcut(x), mask)
        x = self.dropout(self.norm1(self.conv1(x).relu(), mask).relu())
        if mask is not None:
            x = x * mask
        x = self.norm2(self.conv2(x).relu(), mask)
        x = (x + residual).relu()
        return x if mask is None else x * mask


class IsoCLREncoder(nn.Module):
    """Stem and stages; every stage and the stem halve the length."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        width = config.stem_kernel_size or config.kernel_size
        self.stem = IsoCLRConv(config.n_tracks, config.filters[0], width)
        self.stem_norm = NORMS[config.norm](config.filters[0], config)
        self.stages = nn.ModuleList()
        channels_in = config.filters[0]
        for channels, blocks, dilation in zip(
            config.filters, config.blocks, config.dilations, strict=True
        ):
            widths = [channels_in] + [channels] * (blocks - 1)
            self.stages.append(
                nn.ModuleList(IsoCLRBlock(width, channels, dilation, config) for width in widths)
            )
            channels_in = channels

    def forward(self, x, mask):
        """Tracks to the output of every stage.

        Args:
            x: (batch, n_tracks, 1, length), zero where padded.
            mask: (batch, 1, 1, length), True where valid; None: all are.

        Returns:
            For each stage (batch, channels, 1, ceil(length / 2^(stage + 2))) and its mask.
        """
        x, mask = halve(self.stem_norm(self.stem(x), mask), mask)
        outputs = []
        for first, *rest in self.stages:
            x, mask = halve(first(x, mask), mask)
            for block in rest:
                x = block(x, mask)
            outputs.append((x, mask))
        return outputs


class IsoCLRPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving of every IsoCLR model."""

    config_class = IsoCLRConfig
    base_model_prefix = "isoclr"
    main_input_name = "input_ids"
    _no_split_modules = ["IsoCLRBlock"]

    def _init_weights(self, module):
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (IsoCLRBatchNorm, nn.LayerNorm)):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            if isinstance(module, IsoCLRBatchNorm):
                nn.init.zeros_(module.running_mean)
                nn.init.ones_(module.running_var)
        elif isinstance(module, IsoCLRTrackEmbedding):
            if not getattr(module.table, "_is_hf_initialized", False):
                config = self.config
                module.table.copy_(track_table(config.n_tracks, config.unknown_value))

    @property
    def dummy_inputs(self):
        """Two short transcripts, the second padded."""
        input_ids = torch.tensor([[0, 11, 2, 17], [3, 18, PAD_BASE, PAD_BASE]])
        return {"input_ids": input_ids, "attention_mask": (input_ids != PAD_BASE).long()}


class IsoCLRModel(IsoCLRPreTrainedModel):
    """RNA isoform encoder."""

    _keys_to_ignore_on_load_unexpected = [r"^projector\."]  # a pre-training checkpoint is whole

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.embeddings = IsoCLRTrackEmbedding(config)
        self.encoder = IsoCLREncoder(config)
        self.post_init()

    def get_input_embeddings(self):
        """The track lookup."""
        return self.embeddings

    def set_input_embeddings(self, value):
        """Replace the track lookup."""
        self.embeddings = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """Embed a batch of transcripts.

        Args:
            input_ids: tokens, (batch, length), padded on the right.
            attention_mask: (batch, length), non-zero where valid; None: where `input_ids` are not
                PAD.
            inputs_embeds: tracks, (batch, length, n_tracks), instead of `input_ids`.
            output_hidden_states: also return the output of every stage.
            return_dict: False returns a tuple.

        Returns:
            `last_hidden_state` (batch, ceil(length / 32), hidden), zero where padded;
            `pooler_output` (batch, pooled); `hidden_states`, one of the first form a stage.

        Raises:
            ValueError: unless exactly one of `input_ids` and `inputs_embeds` is given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("got both or neither of input_ids and inputs_embeds, wanted one")
        if inputs_embeds is None:
            inputs_embeds = self.embeddings(input_ids)
            if attention_mask is None:
                attention_mask = input_ids != PAD_BASE
        x = inputs_embeds.unsqueeze(1).permute(0, 3, 1, 2)  # (batch, n_tracks, 1, length)
        mask = None
        if attention_mask is not None:
            mask = attention_mask.bool()[:, None, None, :]  # (batch, 1, 1, length)
            x = x * mask
        stages = self.encoder(x, mask)
        pooled = [masked_mean(*stage) for stage in stages]
        pooled = torch.cat(pooled, 1) if self.config.pooling == "stages" else pooled[-1]
        hidden = [stage.squeeze(2).transpose(1, 2) for stage, _ in stages]
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        output = BaseModelOutputWithPooling(
            last_hidden_state=hidden[-1],
            pooler_output=pooled,
            hidden_states=tuple(hidden) if output_hidden_states else None,
        )
        return output if return_dict is not False else output.to_tuple()


class IsoCLRProjector(nn.Module):
    """Three linear layers; norm and ReLU after the first two, the last without bias."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        norm = NORMS[config.norm]
        first, second, last = config.projector_sizes
        self.linear1 = nn.Linear(config.pooled_size, first)
        self.norm1 = norm(first, config)
        self.linear2 = nn.Linear(first, second)
        self.norm2 = norm(second, config)
        self.linear3 = nn.Linear(second, last, bias=False)

    def forward(self, x):
        """(batch, pooled) to (batch, projected)."""
        for linear, norm in ((self.linear1, self.norm1), (self.linear2, self.norm2)):
            x = norm(linear(x)[:, :, None, None])[:, :, 0, 0].relu()
        return self.linear3(x)


@dataclass
class IsoCLRForPreTrainingOutput(ModelOutput):
    """What pre-training needs of a batch.

    Attributes:
        loss: the objective, when asked for.
        projections: what it is taken over, (2 · pairs, projected).
        pooler_output: the embeddings, (2 · pairs, pooled).
    """

    loss: torch.Tensor | None = None
    projections: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class IsoCLRForPreTraining(IsoCLRPreTrainedModel):
    """The encoder with its contrastive head."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.isoclr = IsoCLRModel(config)
        self.projector = IsoCLRProjector(config)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        pair_weights=None,
        return_loss=True,
        return_dict=None,
    ):
        """Contrast the two views of every pair.

        Args:
            input_ids: tokens of the first views, then, in the same order, of the second:
                (2 · pairs, length).
            attention_mask: (2 · pairs, length), see `IsoCLRModel`.
            inputs_embeds: tracks instead, (2 · pairs, length, n_tracks).
            pair_weights: of the positive terms, (pairs,); see `transcript_count_weights`.
            return_loss: False for projections alone, of any number of rows.
            return_dict: False returns a tuple.

        Returns:
            An `IsoCLRForPreTrainingOutput`.
        """
        pooled = self.isoclr(input_ids, attention_mask, inputs_embeds).pooler_output
        projections = self.projector(pooled)
        loss = None
        if return_loss:
            loss = self.loss(projections, pair_weights)
        output = IsoCLRForPreTrainingOutput(loss, projections, pooled)
        return output if return_dict is not False else output.to_tuple()

    def loss(self, projections, pair_weights=None):
        """The configured objective over (2 · pairs, projected), first views first."""
        if len(projections) % 2:
            raise ValueError(f"got {len(projections)} rows, wanted two views a pair")
        return contrastive_loss(
            *projections.chunk(2), self.config.loss_form, self.config.loss_temperature, pair_weights
        )
