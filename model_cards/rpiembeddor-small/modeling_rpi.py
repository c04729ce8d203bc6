"""Models of RNA–protein interaction: RPIembeddor (ICLR 2024 MLGenX), repaired, and smaller ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from .checks_isoclr import one_of  # noqa: F401  transformers 4 copies only what is here
from .configuration_rpi import RPIConfig
from .embedders_rpi import make_embedder  # noqa: F401  as above
from .kernel_rpi import RPIKernel, RPISum
from .processing_rpi import RPIProcessor  # noqa: F401  as above


@dataclass
class RPIModelOutput(ModelOutput):
    """What a pair is made into.

    Attributes:
        pooler_output: of the pair, (batch, hidden).
        rna_state: of each position of the RNA, (batch, positions, hidden), zero where padded; None
            of towers.
        protein_state: of each position of the protein.
        attentions: of the last layer, where asked for: from the RNA to the protein, (batch, heads,
            RNA positions, protein positions), and from the protein to the RNA.
    """

    pooler_output: torch.Tensor | None = None
    rna_state: torch.Tensor | None = None
    protein_state: torch.Tensor | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class RPIClassifierOutput(ModelOutput):
    """What is known of pairs.

    Attributes:
        loss: mean binary cross-entropy, where labels are given.
        logits: (batch, 1); higher: rather interacting. They are not calibrated.
        attentions: as in `RPIModelOutput`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class RPIMotifs(nn.Module):
    """Linear map of windows of positions → ReLU → max over strides.

    With windows and strides of 1 it is the paper's reduction of embeddings.
    """

    def __init__(self, size: int, channels: int, kernel_size: int, stride: int):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.linear = nn.Linear(size * kernel_size, channels)

    def forward(self, x, mask):
        """(batch, length, size) and (batch, length) to (batch, positions, channels) and its mask.

        A window begins at its position. Padding is zero, and no window that begins in it counts.
        """
        spare = self.kernel_size - 1
        if spare:
            x = nn.functional.pad(x * mask.unsqueeze(2), (0, 0, 0, spare))
            x = x.unfold(1, self.kernel_size, 1).flatten(2)
        x = self.linear(x).relu()
        if self.stride == 1:
            return x, mask
        short = -x.shape[1] % self.stride
        x = nn.functional.pad(x * mask.unsqueeze(2), (0, 0, 0, short))
        # After the ReLU zero is the least there is, so padding changes no maximum.
        return x.unflatten(1, (-1, self.stride)).amax(2), mask[:, :: self.stride]


class RPIAttention(nn.Module):
    """Multi-head attention with masked keys."""

    def __init__(self, config: RPIConfig):
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, other, mask=None, weights=False):
        """Attend from `x` (batch, queries, width) to `other` (batch, keys, width).

        Args:
            x: what asks.
            other: what is asked.
            mask: which keys are valid, (batch, keys); None: all.
            weights: return the weights of attention too, (batch, heads, queries, keys).
        """
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(other), self.value(other))
        )
        allowed = None
        if mask is not None:
            # A row without any valid key would be NaN; nothing reads what it gives.
            allowed = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        found = None
        if weights:
            scores = query @ key.transpose(2, 3) * key.shape[3] ** -0.5
            if allowed is not None:
                scores = scores.masked_fill(~allowed, -torch.inf)
            found = scores.softmax(3)
            mixed = nn.functional.dropout(found, dropout) @ value
        else:
            mixed = nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=allowed, dropout_p=dropout
            )
        return self.out(mixed.transpose(1, 2).flatten(2)), found

    def packed(self, x, other, lengths, others):
        """Attend inside parts that lie one after another, without padding.

        Args:
            x: what asks, (positions of all parts, width).
            other: what is asked, (positions of all parts, width).
            lengths: positions of each part of `x`.
            others: positions of each part of `other`.
        """
        parts = zip(
            self.query(x).split(lengths),
            self.key(other).split(others),
            self.value(other).split(others),
            strict=True,
        )
        dropout = self.dropout if self.training else 0.0
        mixed = []
        for part in parts:
            heads = (each.unflatten(1, (self.heads, -1)).transpose(0, 1)[None] for each in part)
            found = nn.functional.scaled_dot_product_attention(*heads, dropout_p=dropout)
            mixed.append(found[0].transpose(0, 1).flatten(1))
        return self.out(torch.cat(mixed))


class RPILayer(nn.Module):
    """A molecule attends to itself, then to the other one; then a narrow network."""

    def __init__(self, config: RPIConfig):
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.self_norm = nn.LayerNorm(width, eps=eps)
        self.self_attention = RPIAttention(config)
        self.cross_norm = nn.LayerNorm(width, eps=eps)
        self.other_norm = nn.LayerNorm(width, eps=eps)
        self.cross_attention = RPIAttention(config)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.linear1 = nn.Linear(width, config.intermediate_size)
        self.linear2 = nn.Linear(config.intermediate_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.window = config.max_positions if config.long == "windows" else None

    def forward(self, x, other, mask=None, other_mask=None, weights=False):
        """(batch, length, width) to the same.

        Args:
            x: the molecule.
            other: the other molecule.
            mask: which positions are valid, (batch, length); None: all.
            other_mask: of the other molecule.
            weights: return the weights of the attention to the other molecule too.
        """
        x = x + self.dropout(self._attend_within(self.self_norm(x), mask))
        attended, found = self.cross_attention(
            self.cross_norm(x), self.other_norm(other), other_mask, weights
        )
        return self._narrow(x + self.dropout(attended)), found

    def packed(self, x, other, lengths, others):
        """`forward` of molecules that lie one after another: (positions, width) to the same.

        Args:
            x: the molecules.
            other: the other molecules.
            lengths: positions of each molecule.
            others: positions of each other molecule.
        """
        windows = lengths
        if self.window is not None:
            windows = [size for length in lengths for size in _cut(length, self.window)]
        own = self.self_norm(x)
        x = x + self.dropout(self.self_attention.packed(own, own, windows, windows))
        attended = self.cross_attention.packed(
            self.cross_norm(x), self.other_norm(other), lengths, others
        )
        return self._narrow(x + self.dropout(attended))

    def _narrow(self, x):
        hidden = self.dropout(self.linear1(self.norm(x)).relu())
        return x + self.dropout(self.linear2(hidden))

    def _attend_within(self, x, mask):
        length = x.shape[1]
        if self.window is None or length <= self.window:
            return self.self_attention(x, x, mask)[0]
        # Windows become rows of the batch.
        short = -length % self.window
        rows = nn.functional.pad(x, (0, 0, 0, short)).unflatten(1, (-1, self.window)).flatten(0, 1)
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        valid = nn.functional.pad(mask, (0, short)).unflatten(1, (-1, self.window)).flatten(0, 1)
        attended = self.self_attention(rows, rows, valid)[0]
        return attended.unflatten(0, (len(x), -1)).flatten(1, 2)[:, :length]


def _cut(length, window):
    """The lengths of the windows of a molecule."""
    whole, rest = divmod(length, window)
    return [window] * whole + [rest] * (rest > 0)


class RPITower(nn.Module):
    """Motifs of a molecule, where they are strongest and how strong on average, to a vector."""

    def __init__(self, config: RPIConfig):
        super().__init__()
        self.norm = nn.LayerNorm(2 * config.motifs, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(2 * config.motifs, config.hidden_size)

    def forward(self, x, mask):
        """(batch, positions, motifs) and (batch, positions) to (batch, hidden)."""
        x = x * mask.unsqueeze(2)
        mean = x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return self.linear(self.dropout(self.norm(torch.cat([x.amax(1), mean], dim=1))))


class RPIProjection(nn.Module):
    """Principal components of the mean vector of a molecule, as `fit` found them."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, size: int, components: int):
        super().__init__()
        self.register_buffer("weight", torch.empty(components, size))
        self.register_buffer("bias", torch.empty(components))

    def reset(self):
        """The first numbers of the vector, until something is fitted."""
        nn.init.eye_(self.weight)
        nn.init.zeros_(self.bias)

    @torch.no_grad()
    def fit(self, means):
        """Take principal components of standardised vectors, each of unit variance.

        Args:
            means: of molecules, float64 (molecules, size). Components that these do not have are
                zero.
        """
        centre, scale = means.mean(0), means.std(0)
        scale = torch.where(scale > 0, scale, torch.inf)
        _, sizes, axes = torch.linalg.svd((means - centre) / scale, full_matrices=False)
        kept = sizes[: len(self.weight)] > 1e-6 * sizes[0]
        # The sign of an axis is arbitrary; its largest number becomes positive.
        axes = axes[: len(self.weight)]
        axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        spread = sizes[: len(axes)] / len(means) ** 0.5
        weight = torch.where(kept[:, None], axes / (spread[:, None] * scale), 0.0)
        self.weight.zero_()[: len(axes)] = weight
        self.bias.zero_()[: len(axes)] = -weight @ centre

    def forward(self, x, mask):
        """(batch, length, size) and (batch, length) to (batch, components)."""
        return nn.functional.linear(masked_mean(x, mask), self.weight, self.bias)


class RPIPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving of every model of RNA–protein interaction."""

    config: RPIConfig
    config_class = RPIConfig
    base_model_prefix = "rpi"
    main_input_name = "rna_embeds"
    accepts_loss_kwargs = False

    def _init_weights(self, module):
        if isinstance(module, RPIProjection | RPIKernel):
            if not getattr(module.weight, "_is_hf_initialized", False):
                module.reset()
        elif isinstance(module, nn.Linear):
            if self.config.design == "bilinear":  # begins with nothing known
                nn.init.constant_(module.weight, float(module.bias is not None))
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

    @property
    def dummy_inputs(self):
        """Two pairs, one of them padded."""
        rna = torch.linspace(-1, 1, 2 * 5 * self.config.rna_size).view(2, 5, -1)
        protein = torch.linspace(-1, 1, 2 * 4 * self.config.protein_size).view(2, 4, -1)
        rna_mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
        return {"rna_embeds": rna, "protein_embeds": protein, "rna_mask": rna_mask}


def _checked(name, embeds, mask, size):
    """The mask of embeddings as bool, (batch, length); all valid by default.

    Raises:
        ValueError: another shape of either, or a molecule without any position.
    """
    if embeds is None or embeds.ndim != 3 or embeds.shape[2] != size or not embeds.shape[1]:
        shape = None if embeds is None else tuple(embeds.shape)
        raise ValueError(f"{name}_embeds: got shape {shape}, wanted (batch, length, {size})")
    if mask is None:
        return torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
    if mask.shape != embeds.shape[:2]:
        raise ValueError(
            f"{name}_mask: got shape {tuple(mask.shape)}, wanted {tuple(embeds.shape[:2])}"
        )
    return mask.bool()


def masked_mean(x, mask):
    """Return the mean over valid positions of (batch, length, width), as (batch, width)."""
    return (x * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def _unpacked(x, mask):
    """Return (batch, length, width), zero where padded, of the valid positions (n, width)."""
    state = x.new_zeros(*mask.shape, x.shape[1])
    state[mask] = x
    return state


class RPIModel(RPIPreTrainedModel):
    """Encoder of pairs of an RNA and a protein."""

    _keys_to_ignore_on_load_unexpected = [r"^classifier\."]

    def __init__(self, config: RPIConfig):
        super().__init__(config)
        width = config.hidden_size
        if config.design == "bilinear":
            self.rna_projection = RPIProjection(config.rna_size, width)
            self.protein_projection = RPIProjection(config.protein_size, width)
            self.form = nn.Linear(width, width, bias=False)
            self.post_init()
            return
        if config.design == "kernel":
            self.rna_kernel = RPIKernel(config.rna_size, config.landmarks[0], width)
            self.protein_kernel = RPIKernel(config.protein_size, config.landmarks[1], width)
            self.post_init()
            return
        towers = config.design == "towers"
        channels = config.motifs if towers else width
        kernel = config.kernel_size
        self.rna_motifs = RPIMotifs(config.rna_size, channels, kernel, config.rna_stride)
        self.protein_motifs = RPIMotifs(
            config.protein_size, channels, kernel, config.protein_stride
        )
        if towers:
            self.rna_tower, self.protein_tower = RPITower(config), RPITower(config)
        else:
            layers = range(config.num_hidden_layers)
            self.rna_layers = nn.ModuleList(RPILayer(config) for _ in layers)
            self.protein_layers = nn.ModuleList(RPILayer(config) for _ in layers)
            # The published model has this norm too, and never uses it.
            self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.post_init()

    def forward(
        self,
        rna_embeds=None,
        protein_embeds=None,
        rna_mask=None,
        protein_mask=None,
        output_attentions=None,
        return_dict=None,
        **kwargs,
    ):
        """Encode pairs.

        Args:
            rna_embeds: vectors of the RNAs, (batch, length, rna_size).
            protein_embeds: vectors of the proteins, (batch, length, protein_size).
            rna_mask: non-zero where valid, (batch, length), padded on the right; None: everywhere.
            protein_mask: the same of proteins.
            output_attentions: return the weights of the attention between the molecules too.
            return_dict: False returns a tuple.
            **kwargs: usual keywords of transformers, without a meaning here.

        Returns:
            `RPIModelOutput`.

        Raises:
            ValueError: on inputs of another shape.
        """
        config = self.config
        masks = [
            _checked("rna", rna_embeds, rna_mask, config.rna_size),
            _checked("protein", protein_embeds, protein_mask, config.protein_size),
        ]
        assert rna_embeds is not None and protein_embeds is not None  # _checked refuses that
        if len(rna_embeds) != len(protein_embeds):
            raise ValueError(
                f"got {len(rna_embeds)} RNAs and {len(protein_embeds)} proteins, wanted pairs"
            )
        if config.design != "attention":
            rna = self.encode("rna", rna_embeds, masks[0])
            protein = self.encode("protein", protein_embeds, masks[1])
            output = RPIModelOutput(pooler_output=rna * protein)
        elif self._packs(masks, output_attentions):
            output = self._attend_packed((rna_embeds, protein_embeds), masks)
        else:
            if config.readout == "first":
                masks = [torch.ones_like(mask) for mask in masks]
            rna, rna_mask = self.rna_motifs(rna_embeds, masks[0])
            protein, protein_mask = self.protein_motifs(protein_embeds, masks[1])
            output = self._attend(rna, protein, rna_mask, protein_mask, bool(output_attentions))
        return output if return_dict is not False else output.to_tuple()

    def _attend(self, rna, protein, rna_mask, protein_mask, weights):
        masks, found = (rna_mask, protein_mask), ()
        if self.config.readout == "first":
            masks = (None, None)
        for of_rna, of_protein in zip(self.rna_layers, self.protein_layers, strict=True):
            (new_rna, first), (protein, second) = (
                of_rna(rna, protein, *masks, weights),
                of_protein(protein, rna, *masks[::-1], weights),
            )
            rna, found = new_rna, (first, second)
        if self.config.readout == "first":
            pooled = rna[:, 0]
        else:
            rna, protein = self.norm(rna), self.norm(protein)
            pooled = (masked_mean(rna, rna_mask) + masked_mean(protein, protein_mask)) / 2
        return RPIModelOutput(
            pooler_output=pooled,
            rna_state=rna * rna_mask.unsqueeze(2),
            protein_state=protein * protein_mask.unsqueeze(2),
            attentions=found if weights else None,
        )

    def _packs(self, masks, weights):
        """Whether padding is left out before the layers rather than masked in them.

        A CPU attends to one molecule after another as fast as to all at once, or faster: what is
        attended to stays in its cache. A GPU is faster with few large operations.
        """
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if self.config.readout == "first" or weights or traced:
            return False
        return all(mask.device.type == "cpu" and bool(mask.any(1).all()) for mask in masks)

    def _attend_packed(self, embeds, masks):
        packed = [
            self._packed_motifs(*each)
            for each in zip((self.rna_motifs, self.protein_motifs), embeds, masks, strict=True)
        ]
        (rna, rna_mask), (protein, protein_mask) = packed
        sizes = rna_mask.sum(1).tolist(), protein_mask.sum(1).tolist()
        layers: Any = zip(self.rna_layers, self.protein_layers, strict=True)
        for of_rna, of_protein in layers:
            rna, protein = (
                of_rna.packed(rna, protein, *sizes),
                of_protein.packed(protein, rna, *sizes[::-1]),
            )
        rna, protein = self.norm(rna), self.norm(protein)
        rna_mean, protein_mean = (
            torch.stack([part.mean(0) for part in x.split(size)])
            for x, size in zip((rna, protein), sizes, strict=True)
        )
        return RPIModelOutput(
            pooler_output=(rna_mean + protein_mean) / 2,
            rna_state=_unpacked(rna, rna_mask),
            protein_state=_unpacked(protein, protein_mask),
        )

    @staticmethod
    def _packed_motifs(motifs, embeds, mask):
        """Motifs of valid positions, (positions, width), and the mask that says where they are."""
        if motifs.kernel_size == motifs.stride == 1:
            return motifs.linear(embeds[mask]).relu(), mask
        x, mask = motifs(embeds, mask)
        return x[mask], mask

    def encode(self, molecule, embeds, mask=None):
        """Return the vectors of molecules, where these do not attend to each other.

        Products of an RNA's and a protein's vector are `pooler_output` of the pair.

        Args:
            molecule: `rna` or `protein`.
            embeds: (batch, length, size).
            mask: (batch, length); None: all valid.

        Returns:
            (batch, hidden).
        """
        design = self.config.design
        if design == "attention":
            raise ValueError("design: got 'attention', wanted 'towers', 'bilinear' or 'kernel'")
        mask = _checked(molecule, embeds, mask, getattr(self.config, f"{molecule}_size"))
        if design == "bilinear":
            vectors = getattr(self, f"{molecule}_projection")(embeds, mask)
            return self.form(vectors) if molecule == "rna" else vectors
        if design == "kernel":
            return getattr(self, f"{molecule}_kernel")(masked_mean(embeds, mask))
        motifs = getattr(self, f"{molecule}_motifs")(embeds, mask)
        return getattr(self, f"{molecule}_tower")(*motifs)


class RPIForSequenceClassification(RPIPreTrainedModel):
    """Says how likely an RNA and a protein interact."""

    def __init__(self, config: RPIConfig):
        super().__init__(config)
        self.rpi = RPIModel(config)
        width = config.hidden_size
        if config.design == "kernel":
            self.classifier = RPISum()
        elif config.design != "attention":
            self.classifier = nn.Linear(width, 1)
        else:
            self.classifier = nn.Sequential(
                nn.Linear(width, width // 2),
                nn.ReLU(),
                nn.Linear(width // 2, width // 4),
                nn.ReLU(),
                nn.Linear(width // 4, 1),
            )
        self.post_init()

    def forward(
        self,
        rna_embeds=None,
        protein_embeds=None,
        rna_mask=None,
        protein_mask=None,
        labels=None,
        output_attentions=None,
        return_dict=None,
        **kwargs,
    ):
        """Score pairs.

        Args:
            rna_embeds: see `RPIModel.forward`, as the other inputs.
            protein_embeds: as there.
            rna_mask: as there.
            protein_mask: as there.
            labels: 1 where the pair interacts, else 0, (batch,).
            output_attentions: return the weights of the attention between the molecules too.
            return_dict: False returns a tuple.
            **kwargs: usual keywords of transformers, without a meaning here.

        Returns:
            `RPIClassifierOutput`.
        """
        output = self.rpi(rna_embeds, protein_embeds, rna_mask, protein_mask, output_attentions)
        logits = self.classifier(output.pooler_output)
        loss = None
        if labels is not None:
            scores = logits[:, 0].float()
            labels = labels.view(-1).to(scores.dtype)
            loss = nn.functional.binary_cross_entropy_with_logits(scores, labels)
        found = RPIClassifierOutput(loss=loss, logits=logits, attentions=output.attentions)
        return found if return_dict is not False else found.to_tuple()

    def probabilities(self, logits):
        """Turn logits into calibrated probabilities, of the same shape."""
        slope, intercept = self.config.calibration or (1.0, 0.0)
        return torch.sigmoid(slope * logits + intercept)
