"""Networks on labels: an encoder with a head, and a convolutional and recurrent one like Saluki."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from data_builders.records import Transcript
from isoclr.evaluation.linear import LEAST_SPREAD, spread_of
from isoclr.pretrained import on_device
from isoclr.tokens import tokens_of
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import PAD_BASE
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm, track_table
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, padded_length

_TOKENS_AT_ONCE = 1 << 14  # more at once leaves the caches of a CPU
_Model = TypeVar("_Model", bound=nn.Module)


def tokenize(
    tokenizer: IsoCLRTokenizer, transcripts: Sequence[Transcript], max_length: int | None = None
) -> tuple[list[np.ndarray], int]:
    """Tokenize transcripts; those over `max_length` nt are cropped around the centre of their CDS.

    Returns uint8 (length,) of each, and how many were cropped.
    """
    rows = [tokens_of(tokenizer, transcript) for transcript in transcripts]
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


def seeded(make: Callable[[], _Model], seed: int) -> _Model:
    """Return what `make` makes with weights drawn from `seed`, on the GPU if there is one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
    return on_device(model)


def untrained(config: IsoCLRConfig, seed: int) -> IsoCLRModel:
    """Return an encoder with random weights, in evaluation mode: the control of a trained one."""
    return seeded(lambda: IsoCLRModel(config), seed).eval()


class Head(nn.Module):
    """A linear layer on features in the standard units of the train rows, at first of zeros."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, features: np.ndarray, outputs: int):
        super().__init__()
        x = features.astype(np.float64)
        self.register_buffer("mean", torch.from_numpy(x.mean(0)).float())
        self.register_buffer("spread", torch.from_numpy(spread_of(x, LEAST_SPREAD)).float())
        self.classifier = nn.Linear(features.shape[1], outputs)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, width) to (batch, outputs)."""
        return self.classifier((x - self.mean) / self.spread)

    @torch.no_grad()
    def start_from(self, weights: np.ndarray, intercept: np.ndarray) -> None:
        """Take over a linear model of raw features: (width, outputs) and (outputs,)."""
        weight, bias = torch.from_numpy(weights.T), torch.from_numpy(intercept)
        self.classifier.weight.copy_(weight * self.spread)
        self.classifier.bias.copy_(bias + weight @ self.mean.double())

    def on_raw_features(self) -> dict[str, torch.Tensor]:
        """Return weight and bias of a linear layer that does the same."""
        weight = self.classifier.weight.detach().double() / self.spread
        bias = self.classifier.bias.detach() - weight @ self.mean.double()
        return {"weight": weight.float(), "bias": bias.float()}


class Network(nn.Module):
    """An encoder whose pooled output a head gets.

    A trained one's batch norms keep the statistics of pre-training, which the head was fitted to.
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

    table: torch.Tensor

    def __init__(self, outputs: int = 1, dropout: float = 0.0, filters: int = 64, blocks: int = 6):
        super().__init__()
        self.register_buffer("table", track_table(n_tracks=6, unknown_value=0.25))
        self.stem = nn.Conv2d(6, filters, (1, 5), padding=(0, 2))
        self.norms = nn.ModuleList(_ChannelNorm(filters) for _ in range(blocks + 1))
        convs = [nn.Conv2d(filters, filters, (1, 5), padding=(0, 2)) for _ in range(blocks)]
        self.convs = nn.ModuleList(convs)
        self.gru = nn.GRU(filters, filters, batch_first=True)
        # Without momentum statistics are means over all batches, which `fit` begins anew.
        self.head_norms = nn.ModuleList(nn.BatchNorm1d(filters, momentum=None) for _ in range(2))
        self.dense = nn.Linear(filters, filters)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(filters, outputs)
        for layer in (self.stem, *convs, self.dense):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        gates = dict(self.gru.named_parameters())
        for part in gates["weight_ih_l0"].chunk(3):
            nn.init.xavier_uniform_(part)
        for part in gates["weight_hh_l0"].chunk(3):
            nn.init.orthogonal_(part)
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
