"""Layers of the IsoCLR encoder.

Inside, a batch is (batch, channels, 1, length) in channels_last memory, which is what the fast
convolution kernels of CPUs and GPUs want. Padding never leaks: padded positions are zero before
every convolution, never win a maximum, and take no part in means or in the statistics of a norm.
"""

from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import nn

from .configuration_isoclr import (
    AMBIGUOUS_RESIDUES,
    AMINO_ACIDS,
    BASES,
    CODON_START_BIT,
    EXON_END_BIT,
    MASK_BASE,
    N_BASE,
    PAD_BASE,
    RESIDUE_TOKENS,
    VOCABULARY_SIZE,
    IsoCLRConfig,
)
from .fused_isoclr import at_least_float32, norm_over_valid


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


def residue_table(n_tracks: int, unknown_value: float) -> torch.Tensor:
    """What each token of a protein has in each track, the 20 amino acids; shape (32, n_tracks).

    A letter that may stand for two amino acids is half of each. X and MASK are `unknown_value` in
    the 20 tracks. PAD and tokens of no letter are zero.
    """
    table = torch.zeros(VOCABULARY_SIZE, n_tracks)
    for letter, token in RESIDUE_TOKENS.items():
        residues = AMBIGUOUS_RESIDUES.get(letter, letter)
        if letter != "X":
            table[token, [AMINO_ACIDS.index(residue) for residue in residues]] = 1 / len(residues)
    table[[N_BASE, MASK_BASE], : len(AMINO_ACIDS)] = unknown_value
    return table


def look_up_table(config: IsoCLRConfig) -> torch.Tensor:
    """The table of a configuration's alphabet, (32, n_tracks)."""
    table = residue_table if config.alphabet == "protein" else track_table
    return table(config.n_tracks, config.unknown_value)


class IsoCLRTrackEmbedding(nn.Module):
    """Looks the tracks of each token up; nothing in it is learned."""

    table: torch.Tensor

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.register_buffer("table", look_up_table(config))

    def forward(self, input_ids):
        """(batch, length) of integers to (batch, length, n_tracks)."""
        return nn.functional.embedding(input_ids.long(), self.table)


class IsoCLRConv(nn.Conv1d):
    """A convolution whose output is as long as its input; an even kernel reaches further 3'.

    PEFT builds the low-rank twin of a convolution from its kernel size, stride and padding, and
    leaves dilation out. So `padding` holds what is added on both sides together, and dilation
    follows from it.

    Args:
        channels_in: channels of the input.
        channels: channels of the output.
        kernel_size: width, in positions.
        stride: 1 alone.
        padding: dilation · (kernel_size - 1); None: by `dilation`.
        dilation: distance of neighbouring weights, in positions, where there is no `padding`.
        groups: 1 alone.
        bias: whether there is one.
    """

    padding: tuple[int]

    def __init__(
        self,
        channels_in,
        channels,
        kernel_size,
        stride=1,
        padding=None,
        dilation=1,
        groups=1,
        bias=True,
    ):
        width, stride = (x[0] if isinstance(x, tuple) else x for x in (kernel_size, stride))
        if (stride, groups) != (1, 1):
            raise ValueError(f"got stride {stride} and {groups} groups, wanted 1 of both")
        if padding is not None and width > 1:
            padding = padding[0] if isinstance(padding, tuple) else padding
            dilation = padding // (width - 1)
        padding = dilation * (width - 1)
        super().__init__(
            channels_in, channels, width, padding=padding, dilation=dilation, bias=bias
        )

    def reach(self):
        """How many positions before, and after, its own an output depends on; and the dilation."""
        (reach,) = self.padding
        return reach // 2, reach - reach // 2, self.dilation[0]

    def forward(self, x):
        """(batch, in, 1, length) to (batch, out, 1, length)."""
        before, after, dilation = self.reach()
        # A convolution that pads by itself saves a copy, but as wide on both sides. On CPUs it
        # rounds otherwise, so embeddings there, of which some are published, have the copy.
        pads = not (x.device.type == "cpu" and not self.training)
        if pads:
            x = nn.functional.pad(x, (0, after - before)) if after > before else x
        elif after:
            x = nn.functional.pad(x, (before, after))
        return nn.functional.conv2d(
            x,
            self.weight.unsqueeze(2),
            self.bias,
            padding=(0, before if pads else 0),
            dilation=(1, dilation),
        )


class IsoCLRBatchNorm(nn.Module):
    """Batch normalisation whose statistics see valid positions only."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, config: IsoCLRConfig):
        super().__init__()
        self.eps, self.momentum = config.norm_eps, config.norm_momentum
        self.update_statistics = True
        self.over_processes: Callable | None = None  # a sum, where processes share statistics
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x, mask=None):
        """(batch, channels, 1, length) and a mask, (batch, 1, 1, length), not 0 where valid."""
        if not self.training or mask is None:
            statistics = self.running_mean, self.running_var
            if not self.update_statistics:
                statistics = (buffer.clone() for buffer in statistics)
            return nn.functional.batch_norm(
                x,
                *statistics,
                self.weight,
                self.bias,
                training=self.training,
                momentum=self.momentum,
                eps=self.eps,
            )
        if self.over_processes is None and not torch.compiler.is_compiling():
            found = norm_over_valid(x, mask, self.weight, self.bias, self.eps)
        else:
            found = self._by_autograd(x, mask)
        y, mean, var, n = found
        if self.update_statistics:
            with torch.no_grad():
                unbiased = var.flatten() * n / (n - 1).clamp(min=1)
                self.running_mean.lerp_(mean.flatten().to(self.running_mean), self.momentum)
                self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        return y

    def _by_autograd(self, x, mask):
        """What `norm_over_valid` does, where a compiler or other processes take part."""
        dtype = x.dtype
        x = at_least_float32(x)
        total = self.over_processes or (lambda values: values)
        n = total((mask != 0).sum())
        mean = total((x * mask).sum((0, 2, 3), keepdim=True)) / n
        centred = (x - mean) * mask
        var = total(centred.square().sum((0, 2, 3), keepdim=True)) / n
        scale = self.weight.view(1, -1, 1, 1) * torch.rsqrt(var + self.eps)
        return (centred * scale + self.bias.view(1, -1, 1, 1)).to(dtype), mean, var, n


class IsoCLRLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position.

    Half precision goes in and comes out; the statistics are those of float32 in between.
    """

    def __init__(self, channels: int, config: IsoCLRConfig):
        super().__init__(channels, eps=config.norm_eps)

    def forward(self, x, mask=None):
        """(batch, channels, 1, length); no position sees another, so the mask is not needed."""
        weight, bias = self.weight, self.bias
        if x.dtype != weight.dtype and x.device.type != "cpu":  # whose kernels take both types
            weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        return self.normalized(x, weight, bias)

    def normalized(self, x, weight, bias):
        """As `forward`, by a weight and a bias of a type that the device's kernels take."""
        with torch.autocast(x.device.type, enabled=False):  # it would cast to float32 and back
            x = nn.functional.layer_norm(
                x.permute(0, 2, 3, 1), self.normalized_shape, weight, bias, self.eps
            )
        return x.permute(0, 3, 1, 2)


class IsoCLRVectorNorm(nn.LayerNorm):
    """Layer normalisation of one vector a transcript, in the precision of its weights."""

    def forward(self, x):
        """(batch, channels) to the same."""
        return super().forward(x.to(self.weight.dtype))

    def normalized(self, x, weight, bias):
        """In the precision of `x`, by a weight and a bias of a type that its kernels take."""
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class IsoCLRRMSNorm(nn.RMSNorm):
    """Root-mean-square normalisation over the channels of each position."""

    def __init__(self, channels: int, config: IsoCLRConfig):
        super().__init__(channels, eps=config.norm_eps)

    def forward(self, x, mask=None):
        """(batch, channels, 1, length); no position sees another, so the mask is not needed."""
        x, dtype = x.permute(0, 2, 3, 1), x.dtype
        return super().forward(x.to(self.weight.dtype)).to(dtype).permute(0, 3, 1, 2)


class IsoCLRNoNorm(nn.Module):
    """What is left of a norm that was folded into its convolution."""

    def forward(self, x, mask=None):
        """`x` as it is."""
        return x


NORMS = {"batch": IsoCLRBatchNorm, "layer": IsoCLRLayerNorm, "rms": IsoCLRRMSNorm}


class IsoCLRHalving(nn.Module):
    """Max-pools pairs of positions of which some are negative; padding never wins."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d((1, 2))

    def forward(self, x, mask):
        """Halve the length.

        Args:
            x: (batch, channels, 1, length), of even length.
            mask: bool (batch, 1, 1, length), True where valid.

        Returns:
            `x` at half the length, zero where padded.
        """
        x = self.pool(_filled(x, mask, torch.finfo(x.dtype).min))
        return _filled(x, mask[..., ::2], 0)


def _filled(x, mask, value):
    """`x` where `mask` is True, `value` elsewhere, in channels_last memory as `x` is."""
    if torch.compiler.is_compiling():  # inductor lays memory out itself, and fails with `where`
        return x.masked_fill(~mask, value)
    return torch.where(mask, x, value)  # `masked_fill` would leave it, and all after it be slow


class IsoCLRBlock(nn.Module):
    """conv → ReLU → norm → ReLU → dropout → conv → ReLU → norm → + residual → ReLU.

    Each ReLU is a module of its own: DeepLIFT hooks modules, and one used twice would mix its two
    inputs up. The last ReLU comes before the mask: where its result itself enters a max-pool,
    DeepLIFT takes the gradient from before the rule of the pool.
    """

    def __init__(self, channels_in: int, channels: int, dilation: int, config: IsoCLRConfig):
        super().__init__()
        norm = NORMS[config.norm]
        self.conv1 = IsoCLRConv(channels_in, channels, config.kernel_size, dilation=dilation)
        self.relu1, self.relu2, self.relu3, self.relu4 = (nn.ReLU() for _ in range(4))
        self.norm1 = norm(channels, config)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = IsoCLRConv(channels, channels, config.kernel_size, dilation=dilation)
        self.norm2 = norm(channels, config)
        if config.zero_init_residual:
            self.norm2.begins_at_zero = True
        self.shortcut = self.shortcut_norm = None
        if channels_in != channels:
            self.shortcut = IsoCLRConv(channels_in, channels, 1)
            self.shortcut_norm = norm(channels, config)

    def forward(self, x, valid):
        """(batch, in, 1, length) to (batch, out, 1, length); padding is zero in and out."""
        residual = x
        if self.shortcut is not None and self.shortcut_norm is not None:
            residual = self.shortcut_norm(self.shortcut(x), valid)
        x = self.norm1(self.relu1(self.conv1(x)), valid)
        x = self.dropout(self.relu2(x * valid))
        x = self.norm2(self.relu3(self.conv2(x)), valid)
        return self.relu4(x + residual) * valid


@contextmanager
def frozen_statistics(module, frozen=True):
    """Keep the running statistics of batch norms inside `module` as they are."""
    norms = [part for part in module.modules() if isinstance(part, IsoCLRBatchNorm)]
    for norm in norms:
        norm.update_statistics = not frozen
    try:
        yield
    finally:
        for norm in norms:
            norm.update_statistics = True


class IsoCLREncoder(nn.Module):
    """Stem and stages; every stage and the stem halve the length."""

    _gradient_checkpointing_func: Callable  # transformers sets it

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        width = config.stem_kernel_size or config.kernel_size
        self.stem = IsoCLRConv(config.n_tracks, config.stem_channels, width)
        self.stem_norm = NORMS[config.norm](config.stem_channels, config)
        pools = (nn.MaxPool2d((1, 2)) for _ in config.filters)
        self.halvings = nn.ModuleList([IsoCLRHalving(), *pools])
        self.stages = nn.ModuleList()
        self.gradient_checkpointing = False
        channels_in = config.stem_channels
        for channels, blocks, dilation in zip(
            config.filters, config.blocks, config.dilations, strict=True
        ):
            widths = [channels_in] + [channels] * (blocks - 1)
            self.stages.append(
                nn.ModuleList(IsoCLRBlock(width, channels, dilation, config) for width in widths)
            )
            channels_in = channels

    def forward(self, x, mask, fused=None):
        """Tracks to the output of every stage.

        Args:
            x: (batch, n_tracks, 1, length), zero where padded, of a length that every stage halves.
            mask: (batch, 1, 1, length), True where valid.
            fused: the training path, see training_isoclr.py; None: module by module.

        Returns:
            The stem's output, (batch, channels, 1, length); and for each stage (batch, channels, 1,
            length / 2^(stage + 2)), zero where padded, and its mask.
        """
        if fused is not None:
            return fused.encode(self, x, mask)
        halve_stem, *halvings = self.halvings
        stem = self.stem_norm(self.stem(x), mask)
        x = halve_stem(stem, mask)
        valid = mask.to(x.dtype)
        outputs = []
        for (first, *rest), halve_stage in zip(  # pyright: ignore[reportGeneralTypeIssues] ModuleLists
            self.stages, halvings, strict=True
        ):
            mask, valid = mask[..., ::2], valid[..., ::2]
            x = self._through(first, x, valid)
            x = halve_stage(x)  # nothing is negative: no padding wins
            for block in rest:
                x = self._through(block, x, valid[..., ::2])
            outputs.append((x, mask[..., ::2]))
        return stem, outputs

    def _through(self, block, x, valid):
        if not (self.gradient_checkpointing and self.training):
            return block(x, valid)
        passes = []

        def forward(x, valid):
            # The second pass, for the gradient, must not update running statistics again.
            with frozen_statistics(block, frozen=bool(passes)):
                passes.append(None)
                return block(x, valid)

        return self._gradient_checkpointing_func(forward, x, valid)


def fold(conv, norm):
    """Fold a batch norm in evaluation mode into the convolution right before it, in place."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    conv.weight.mul_(scale[:, None, None])
    conv.bias.sub_(norm.running_mean).mul_(scale).add_(norm.bias)


class IsoCLRSubPositionDecoder(nn.Module):
    """Features of every nucleotide from the stages of the encoder.

    A position of stage s stands for 2^(s + 2) nucleotides; a linear layer writes the features of
    each of them, and the stages add up. No position sees another, so padding cannot leak.
    """

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        self.size = config.decoder_size
        self.stages = nn.ModuleList(
            nn.Linear(channels, 2 ** (stage + 2) * self.size, bias=stage == 0)
            for stage, channels in enumerate(config.filters)
        )
        self.gelu = nn.GELU()

    def forward(self, hidden_states, length):
        """Stages of (batch, positions, channels) to (batch, length, decoder_size)."""
        parts = [
            # `unflatten` and `flatten` bake no batch size into an exported graph.
            linear(hidden).unflatten(2, (-1, self.size)).flatten(1, 2)[:, :length]
            for linear, hidden in zip(self.stages, hidden_states, strict=True)
        ]
        return self.gelu(sum(parts))
