"""The IsoCLR models: RNA isoform encoders and their heads (arXiv 2310.08738)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    ModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from .checks_isoclr import refuse_unknown
from .codons_isoclr import CODONS  # noqa: F401  transformers 4 copies only what is here
from .configuration_isoclr import BASES, N_BASE, PAD_BASE, IsoCLRConfig
from .critic_isoclr import IsoCLRCritic
from .fused_isoclr import Bounds, at_least_float32, working_dtype
from .kernels_isoclr import has_kernels  # noqa: F401  as above
from .layers_isoclr import (
    NORMS,
    IsoCLRBatchNorm,
    IsoCLRBlock,
    IsoCLREncoder,
    IsoCLRNoNorm,
    IsoCLRSubPositionDecoder,
    IsoCLRTrackEmbedding,
    fold,
    look_up_table,
    track_table,
)
from .letters_isoclr import base_codes
from .losses_isoclr import contrastive_loss_and_accuracy, supervised_loss
from .packing_isoclr import PackedShape  # noqa: F401  as above
from .pipeline_isoclr import embed_tokens
from .pooling_isoclr import (
    IsoCLRDiscriminants,
    IsoCLRRandomFeatures,
    IsoCLRRegionPooling,
    masked_mean,
)
from .segments_isoclr import Layout, SegmentRegions, Segments
from .sites_isoclr import SITE_NUMBERS  # noqa: F401  as above
from .tokenization_isoclr import IsoCLRTokenizer  # noqa: F401  as above
from .training_isoclr import Fused

_NORMS_IN_FP32 = ["norm1", "norm2", "stem_norm", "shortcut_norm", "content_norm"]
# What clients hand to every model (PEFT, Trainer, pipelines) and this family has no use for.
_IGNORED = {"output_attentions", "head_mask", "token_type_ids", "position_ids"}
_IGNORED |= {"use_cache", "past_key_values", "cache_position", "num_items_in_batch"}
_KEYWORDS = ("input_ids", "attention_mask", "inputs_embeds", "output_hidden_states", "return_dict")


class IsoCLRPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving of every IsoCLR model."""

    config: IsoCLRConfig
    config_class = IsoCLRConfig
    base_model_prefix = "isoclr"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    # Trainer would take `**kwargs` of a forward for a loss that divides by `num_items_in_batch`.
    accepts_loss_kwargs = False
    _no_split_modules = ["IsoCLRBlock"]
    _keep_in_fp32_modules_strict = _NORMS_IN_FP32

    def post_init(self):
        """As in `PreTrainedModel`; transformers 4 refuses to keep what a model does not have."""
        there = {part for name, _ in self.named_parameters() for part in name.split(".")}
        self._keep_in_fp32_modules_strict = sorted(there & set(_NORMS_IN_FP32))
        super().post_init()
        self._freeze_unused()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs) -> Any:
        """As in `PreTrainedModel`, from safetensors alone.

        Raises:
            ValueError: on weights in pickle form, saying what to do; on weights that are NaN or
                infinite.
        """
        folder = Path(str(pretrained_model_name_or_path))
        pickled = sorted(path.name for path in folder.glob("*.bin")) if folder.is_dir() else []
        if kwargs.get("use_safetensors") is False or (
            pickled and not any(folder.glob("*.safetensors"))
        ):
            raise ValueError(
                f"{folder}: got weights in pickle form ({', '.join(pickled) or 'asked for'}), "
                "which can run code when loaded; wanted model.safetensors: where you trust them, "
                "write it with safetensors.torch.save_file(torch.load(..., weights_only=True), ...)"
            )
        kwargs["use_safetensors"] = True
        loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        check_finite(model, folder)
        model._freeze_unused()  # loading makes every weight trainable
        return loaded

    def _freeze_unused(self):
        """Freeze weights that no output depends on."""

    def resize_token_embeddings(self, new_num_tokens=None, *args, **kwargs):
        """The look-up as it is: its 32 tokens are fixed, and nothing in it is learned.

        Raises:
            ValueError: on another number of tokens.
        """
        if new_num_tokens not in (None, self.config.vocab_size):
            raise ValueError(
                f"new_num_tokens: got {new_num_tokens}, wanted {self.config.vocab_size}, the "
                "tokenizer's vocab_size: no token can be added"
            )
        return self.get_input_embeddings()

    def _init_weights(self, module):
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (IsoCLRBatchNorm, nn.LayerNorm, nn.RMSNorm)):
            begins_at = nn.init.zeros_ if hasattr(module, "begins_at_zero") else nn.init.ones_
            begins_at(module.weight)
            bias = getattr(module, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)
            if isinstance(module, IsoCLRBatchNorm):
                nn.init.zeros_(module.running_mean)
                nn.init.ones_(module.running_var)
        elif isinstance(module, IsoCLRTrackEmbedding):
            if not getattr(module.table, "_is_hf_initialized", False):
                module.table.copy_(look_up_table(self.config))
        elif isinstance(module, IsoCLRCritic):
            if not getattr(module.log_scale, "_is_hf_initialized", False):
                module.reset()
        elif isinstance(module, IsoCLRRandomFeatures):
            if not getattr(module.directions, "_is_hf_initialized", False):
                module.draw()
        elif isinstance(module, IsoCLRDiscriminants):
            if not getattr(module.axes, "_is_hf_initialized", False):
                nn.init.kaiming_normal_(module.axes.T, nonlinearity="linear")
                nn.init.zeros_(module.centre)

    def _wants_hidden(self, output_hidden_states):
        """Whether to return the stages, by the argument or else the configuration."""
        if output_hidden_states is None:
            return self.config.output_hidden_states
        return output_hidden_states

    def _result(self, output, return_dict):
        """`output`, or a tuple of it, by the argument or else the configuration."""
        if return_dict is None:
            return_dict = self.config.return_dict
        return output if return_dict else output.to_tuple()

    @property
    def dummy_inputs(self):
        """Two short transcripts, the second padded."""
        input_ids = torch.tensor([[0, 11, 2, 17], [3, 18, PAD_BASE, PAD_BASE]])
        return {"input_ids": input_ids, "attention_mask": (input_ids != PAD_BASE).long()}


def check_finite(model, source):
    """Refuse weights that would make every embedding NaN.

    Raises:
        ValueError: naming the first such tensor.
    """
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        holds_numbers = tensor.is_floating_point() and not tensor.is_meta
        if holds_numbers and not tensor.isfinite().all():
            raise ValueError(f"{source}: {name}: got NaN or infinite weights, wanted numbers")


def valid_positions(input_ids, attention_mask, inputs_embeds):
    """Where inputs are valid, as bool (batch, length); see `IsoCLRModel.forward`.

    Raises:
        ValueError: on a mask of another length than the inputs.
    """
    if attention_mask is not None:
        inputs = inputs_embeds if input_ids is None else input_ids
        if inputs is not None and attention_mask.shape[1] != inputs.shape[1]:
            raise ValueError(
                f"attention_mask: got a length of {attention_mask.shape[1]}, wanted "
                f"{inputs.shape[1]} as of the inputs"
            )
        return attention_mask.bool()
    if input_ids is not None:
        return input_ids != PAD_BASE
    return torch.ones(inputs_embeds.shape[:2], dtype=torch.bool, device=inputs_embeds.device)


def first_valid(mask):
    """Padded positions before the first valid one, (batch, 1), of a mask of (batch, length)."""
    return mask.int().argmax(1, keepdim=True)


def shift_left(x, positions, length=None):
    """Move rows of (batch, length) or (batch, length, width) to the left, what leaves to the end.

    Positions must not depend on padding, or pools would fall elsewhere than they do for the
    transcript alone: this takes padding from the left of a row to its right.

    Args:
        x: (batch, length) or (batch, length, width).
        positions: of each row, (batch, 1); negative ones move to the right.
        length: how many of `x`'s positions there are, from the first; None: all.

    Returns:
        As `x`, of that length.
    """
    length = x.shape[1] if length is None else length
    # Not by a remainder, which exporters cannot take of a length that varies.
    index = torch.arange(length, device=x.device) + positions
    index = torch.where(index >= length, index - length, index)
    index = torch.where(index < 0, index + length, index)
    if x.ndim == 3:
        index = index.unsqueeze(2).expand(-1, -1, x.shape[2])
    return x.gather(1, index)


def _positions(length, step):
    """ceil(length / step), as exporters divide: positive integers alone."""
    return (length + step - 1) // step


def _trimmed(stages, length):
    """What of each stage, (batch, positions, channels), stands for the first `length` letters."""
    return tuple(
        stage[:, : _positions(length, 2 ** (number + 2))] for number, stage in enumerate(stages)
    )


class IsoCLRModel(IsoCLRPreTrainedModel):
    """RNA isoform encoder."""

    embeddings: IsoCLRTrackEmbedding
    # A pre-training checkpoint has its heads.
    _keys_to_ignore_on_load_unexpected = [r"^projector\.", r"^lm_head\.", r"^critic\."]

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.embeddings = IsoCLRTrackEmbedding(config)
        self.encoder = IsoCLREncoder(config)
        self.pooling = IsoCLRRegionPooling(config) if config.pooling == "regions" else None
        self.post_init()

    def get_input_embeddings(self):
        """The track lookup."""
        return self.embeddings

    def set_input_embeddings(self, value: IsoCLRTrackEmbedding):
        """Replace the track lookup."""
        self.embeddings = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        segment_ids=None,
        n_segments=None,
        learned_only=False,
        layout=None,
        output_hidden_states=None,
        return_dict=None,
        **ignored,
    ):
        """Embed a batch of transcripts, a row each, or several one after another in a row.

        Args:
            input_ids: tokens, (batch, length), padded on either side.
            attention_mask: (batch, length), non-zero where valid; None: where `input_ids` are not
                PAD. Zeros between valid positions are positions of which nothing is known.
            inputs_embeds: tracks, (batch, length, n_tracks), instead of `input_ids`.
            segment_ids: integers (batch, length): 1, 2, ... for the transcripts of a row, in turn,
                0 between them. They must lie as packing_isoclr.py lays them, or neighbours are
                seen. None: a transcript a row.
            n_segments: most transcripts in a row; None: the greatest of `segment_ids`.
            learned_only: leave what is not learned, the first part, out of `pooler_output`.
            layout: what `layout` made of these `input_ids` and `segment_ids`, which saves making it
                again; needs `learned_only`.
            output_hidden_states: also return the output of every stage.
            return_dict: False returns a tuple; None: as `config.return_dict` says.
            ignored: keywords of other families, such as `output_attentions`; they change nothing.

        Returns:
            `last_hidden_state` (batch, ceil(length / 32), hidden), zero where padded; vector i
            stands for nucleotides 32·i to 32·(i + 1) of the transcript, on whichever side its row
            is padded; `pooler_output` (batch, pooled) or, with `segment_ids`, (batch, n_segments,
            pooled); `hidden_states`, one of the first form a stage.

        Raises:
            ValueError: unless exactly one of `input_ids` and `inputs_embeds` is given.
            TypeError: on a keyword that no family has.
        """
        refuse_unknown("forward", ignored.keys() - _IGNORED, _KEYWORDS)
        if layout is not None and not (learned_only and segment_ids is not None):
            raise ValueError("layout: got one, wanted it with segment_ids and learned_only alone")
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("got both or neither of input_ids and inputs_embeds, wanted one")
        if segment_ids is not None:
            if attention_mask is not None:
                raise ValueError("got attention_mask beside segment_ids, wanted one of them")
            attention_mask = segment_ids > 0 if layout is None else None
        inputs = inputs_embeds if input_ids is None else input_ids
        assert inputs is not None  # one of them is given
        length = inputs.shape[1]
        if layout is None:
            x, mask = self._tracks_and_mask(input_ids, attention_mask, inputs_embeds, segment_ids)
        else:
            x, mask = layout.tracks, layout.mask
        fused = Fused.of(self.encoder, x, mask, self.pooling, layout)
        stem, stages = self.encoder(x, mask, fused)
        segments = None
        if segment_ids is not None and layout is None:
            segments = Segments(
                nn.functional.pad(segment_ids, (0, x.shape[3] - length)),
                int(segment_ids.max()) if n_segments is None else n_segments,
                self.config.downsampling,
                at_least_float32(x).dtype,
            )
        if self.pooling is not None and fused is not None and fused.taps:
            pooled = self.pooling.read(layout, fused)
        else:
            pooled = self._pool(x, mask, stem, stages, segments, learned_only, layout)
        hidden = [stage.squeeze(2).transpose(1, 2) for stage, _ in stages]
        # The last stage has as many positions as the length asks for, others perhaps more.
        output = BaseModelOutputWithPooling(last_hidden_state=hidden[-1], pooler_output=pooled)
        if self._wants_hidden(output_hidden_states):
            output.hidden_states = _trimmed(hidden, length)
        return self._result(output, return_dict)

    def _tracks_and_mask(self, input_ids, attention_mask, inputs_embeds, segment_ids):
        """Inputs of the encoder: (batch, n_tracks, 1, length), which every stage halves."""
        mask = valid_positions(input_ids, attention_mask, inputs_embeds)
        inputs = inputs_embeds if input_ids is None else input_ids
        if segment_ids is None:
            start = first_valid(mask)
            inputs, mask = shift_left(inputs, start), shift_left(mask, start)
        x = self.embeddings(inputs) if inputs_embeds is None else inputs
        length, step = x.shape[1], self.config.downsampling
        spare = _positions(length, step) * step - length
        x = x.to(self._activation_dtype())
        mask = mask[:, None, None, :]
        if segment_ids is None or spare:  # exporters cannot branch on a length that varies
            x = nn.functional.pad(x, (0, 0, 0, spare))
            # As numbers: what inductor writes for the CPU to pad truth values does not compile.
            mask = nn.functional.pad(mask.to(x.dtype), (0, spare)) > 0
        x = x.unsqueeze(1).permute(0, 3, 1, 2)
        return x * mask, mask

    def _activation_dtype(self):
        """The precision to compute in: that of the stem, where quantization has left it one."""
        weight = self.encoder.stem.weight
        return weight.dtype if weight.is_floating_point() else self.embeddings.table.dtype

    def feature_attention_mask(self, attention_mask):
        """Which vectors of `last_hidden_state` are valid, for clients that average them.

        Args:
            attention_mask: (batch, length), as given to the model.

        Returns:
            int64 (batch, ceil(length / 32)), 1 where a vector stands for valid nucleotides.
        """
        mask = attention_mask.bool()
        mask = shift_left(mask, first_valid(mask))
        return mask[:, :: self.config.downsampling].long()

    @torch.no_grad()
    def layout(self, input_ids, segment_ids, n_segments):
        """Tracks of packed rows and what pooling needs to know of them, for many rows at once.

        Micro-batches of a batch so share its cost; see `forward`, whose arguments these are.

        Args:
            input_ids: (rows, length), a multiple of `config.downsampling` long.
            segment_ids: (rows, length).
            n_segments: most transcripts in a row.

        Returns:
            A `Layout`, of which `part` takes rows, in the precision of a forward pass here: where
            that is autocast, so must this be.
        """
        exact = self.embeddings.table.dtype
        step = self.config.downsampling
        segments = Segments(
            segment_ids, n_segments, step, torch.promote_types(exact, torch.float32)
        )
        tracks = (self.embeddings(input_ids) * segments.valid[..., None])[:, None]
        tracks, matrix, weights = tracks.permute(0, 3, 1, 2), segments.matrix, ()
        dtype = working_dtype(self._activation_dtype(), input_ids.device.type)
        if self.pooling is None:
            lengths = segments.counts(segments.valid)
        else:
            regions = SegmentRegions(tracks, segments)
            sizes = [1, *(2 ** (stage + 2) for stage in range(len(self.config.filters)))]
            weights, lengths = regions.weights(sizes, dtype), regions.lengths.sum(2)
            matrix = matrix.to(dtype)  # of zeros and ones, for sums of what is of that type
        mask = segments.valid[:, None, None]
        return Layout(
            tracks=tracks.to(dtype),
            mask=mask,
            bounds=Bounds.of(mask, dtype),
            matrix=matrix,
            lengths=lengths,
            step=step,
            weights=weights,
        )

    def _pool(self, x, mask, stem, stages, segments, learned_only, layout):
        if self.pooling is not None:
            return self.pooling(x, mask, stem, stages, segments, learned_only, layout)
        pooled = self._pooled(stages)
        if layout is None and segments is None:
            return torch.cat([masked_mean(*stage) for stage in pooled], 1)
        means = (layout or segments).means([stage for stage, _ in pooled])
        return means.to(stem.dtype)

    def _pooled(self, stages):
        return stages if self.config.pooling == "stages" else stages[-1:]

    def embed(self, rows, tokens_per_batch=1 << 16, report=None):
        """Embeddings of token rows in batches of like length; see `embed_tokens`."""
        return embed_tokens(self, rows, tokens_per_batch, report)

    def seq_to_oh(self, seq):
        """One-hot A C G T of a sequence, float32 (length, 4), as Orthrus's clients ask for it.

        U reads as T, lower case as upper; N is `config.unknown_value` in all four, as for the
        tokenizer, where Orthrus has zeros.

        Raises:
            ValueError: on any other letter, naming its position.
        """
        codes = torch.from_numpy(base_codes(seq).astype("int64"))
        if len(codes) and codes.max() > N_BASE:
            position = int((codes > N_BASE).nonzero()[0])
            raise ValueError(
                f"seq: got letter {seq[position]!r} at position {position}, "
                "wanted A, C, G, T, U or N"
            )
        return track_table(BASES, self.config.unknown_value)[codes]

    def representation(self, x, lengths=None, channel_last=False):
        """Embeddings of tracks, as Orthrus's clients ask for them.

        Args:
            x: (batch, length, tracks) if `channel_last`, else (batch, tracks, length); tracks are
                A C G T, codon starts, exon ends; those left out at the end are zero.
            lengths: nt of each row, (batch,), integers or floats; None: all are full.
            channel_last: how `x` lies.

        Returns:
            (batch, pooled).

        Raises:
            ValueError: on more tracks than the model has.
        """
        x = x if channel_last else x.transpose(1, 2)
        missing = self.config.n_tracks - x.shape[2]
        if missing < 0:
            raise ValueError(f"x: got {x.shape[2]} tracks, wanted at most {self.config.n_tracks}")
        x = nn.functional.pad(x, (0, missing))
        mask = None
        if lengths is not None:
            positions = torch.arange(x.shape[1], device=x.device)
            mask = positions < lengths.to(x.device)[:, None]
        return self(inputs_embeds=x, attention_mask=mask).pooler_output

    @torch.no_grad()
    def resize_tracks(self, n_tracks):
        """Change the number of input tracks; the stem keeps what it learned of those that stay.

        New tracks have weights of zero, so outputs stay as they are until they are trained.

        Args:
            n_tracks: at least 4.

        Returns:
            This model.
        """
        stem = self.encoder.stem
        kept = min(n_tracks, stem.in_channels)
        self.config.n_tracks = n_tracks
        self.config._check()
        weight = stem.weight.new_zeros(stem.out_channels, n_tracks, *stem.kernel_size)
        weight[:, :kept] = stem.weight[:, :kept]
        stem.in_channels, stem.weight = n_tracks, nn.Parameter(weight)
        self.embeddings.table = look_up_table(self.config).to(self.embeddings.table)
        return self

    @torch.no_grad()
    def fuse_for_inference(self):
        """Fold each batch norm that follows its convolution directly into it, in place.

        These are the stem's and the shortcuts'. In a block a ReLU stands between convolution and
        norm, and another between the first norm and the next convolution: those cannot be folded.
        A fused model is for inference: it cannot be trained on, and what it saves cannot be loaded.

        Returns:
            This model.

        Raises:
            ValueError: in training mode, or without batch norms.
        """
        if self.training or self.config.norm != "batch":
            raise ValueError(
                f"fuse_for_inference: got norm={self.config.norm!r} in "
                f"{'training' if self.training else 'evaluation'} mode, "
                "wanted norm='batch' in evaluation mode"
            )
        fold(self.encoder.stem, self.encoder.stem_norm)
        self.encoder.stem_norm = IsoCLRNoNorm()
        for block in self.encoder.modules():
            if isinstance(block, IsoCLRBlock) and block.shortcut is not None:
                fold(block.shortcut, block.shortcut_norm)
                block.shortcut_norm = IsoCLRNoNorm()
        return self


class IsoCLRProjector(nn.Module):
    """Three linear layers; norm and ReLU after the first two, the last without bias."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__()
        norm = NORMS[config.norm]
        first, second, last = config.projector_sizes
        self.linear1 = nn.Linear(config.contrasted_size, first)
        self.norm1 = norm(first, config)
        self.relu1 = nn.ReLU()
        self.linear2 = nn.Linear(first, second)
        self.norm2 = norm(second, config)
        self.relu2 = nn.ReLU()
        self.linear3 = nn.Linear(second, last, bias=False)

    def forward(self, x):
        """(batch, pooled) to (batch, projected); what is not learned, the first, is left out."""
        x = x[:, -self.linear1.in_features :]
        x = self.relu1(self.norm1(self.linear1(x)[:, :, None, None])[:, :, 0, 0])
        x = self.relu2(self.norm2(self.linear2(x)[:, :, None, None])[:, :, 0, 0])
        return self.linear3(x)


class IsoCLRNucleotideHead(nn.Module):
    """Logits for every nucleotide."""

    def __init__(self, config: IsoCLRConfig, outputs: int, dropout: float = 0.0):
        super().__init__()
        self.decoder = IsoCLRSubPositionDecoder(config)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.decoder_size, outputs)

    def forward(self, hidden_states, length):
        """Stages of (batch, positions, channels) to (batch, length, outputs)."""
        return self.classifier(self.dropout(self.decoder(hidden_states, length)))


@dataclass
class IsoCLRForPreTrainingOutput(ModelOutput):
    """What pre-training needs of a batch.

    Attributes:
        loss: the objective, when asked for.
        contrastive_loss: its contrastive term.
        masked_lm_loss: its masked-nucleotide term, when labels are given.
        projections: what the contrast is taken over, (2 · pairs, projected).
        pooler_output: the embeddings, (2 · pairs, pooled).
    """

    loss: torch.Tensor | None = None
    contrastive_loss: torch.Tensor | None = None
    masked_lm_loss: torch.Tensor | None = None
    projections: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


class IsoCLRForPreTraining(IsoCLRPreTrainedModel):
    """The encoder with its contrastive head and, if configured, a masked-nucleotide head.

    A `critic` of homologs is kept beside them where the configuration has one.
    """

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.isoclr = IsoCLRModel(config)
        self.projector = IsoCLRProjector(config)
        self.lm_head = None
        if config.masked_lm_weight:
            self.lm_head = IsoCLRNucleotideHead(config, config.vocab_size)
        self.critic = IsoCLRCritic(config) if config.critic else None
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        labels=None,
        pair_weights=None,
        pair_types=None,
        return_loss=True,
        return_dict=None,
        **ignored,
    ):
        """Contrast the two views of every pair.

        Args:
            input_ids: tokens of the first views, then, in the same order, of the second:
                (2 · pairs, length).
            attention_mask: (2 · pairs, length), see `IsoCLRModel`.
            inputs_embeds: tracks instead, (2 · pairs, length, n_tracks).
            labels: tokens to predict, (2 · pairs, length), -100 elsewhere; with
                `config.masked_lm_weight` the loss is the weighted mean of both terms (Orthrus).
            pair_weights: of the positive terms, (pairs,); see `transcript_count_weights`.
            pair_types: integers, (pairs,), into `config.pair_type_weights`.
            return_loss: False for projections alone, of any number of rows.
            return_dict: False returns a tuple; None: as `config.return_dict` says.
            ignored: see `IsoCLRModel`.

        Returns:
            An `IsoCLRForPreTrainingOutput`.

        Raises:
            ValueError: on an odd number of rows, or labels or types that the configuration has no
                weight for.
        """
        output = self.isoclr(
            input_ids,
            attention_mask,
            inputs_embeds,
            output_hidden_states=True,
            return_dict=True,
            **ignored,
        )
        projections = self.projector(output.pooler_output)
        contrastive = masked_lm = loss = None
        if return_loss:
            weights = self.positive_weights(pair_weights, pair_types)
            contrastive, _ = self.contrast(projections, weights)
            loss = contrastive
        if labels is not None:
            if self.lm_head is None:
                raise ValueError("labels: got some, wanted config.masked_lm_weight above 0")
            mask = valid_positions(input_ids, attention_mask, inputs_embeds)
            logits = self.lm_head(output.hidden_states, labels.shape[1])
            logits = shift_left(logits, -first_valid(mask))
            masked_lm = supervised_loss(logits, labels, "single_label_classification")
            if contrastive is not None:
                share = self.config.masked_lm_weight
                loss = share * masked_lm + (1 - share) * contrastive
        result = IsoCLRForPreTrainingOutput(
            loss, contrastive, masked_lm, projections, output.pooler_output
        )
        return self._result(result, return_dict)

    def contrast(self, projections, weights=None):
        """The contrastive term over (2 · pairs, projected), first views first; pair accuracy.

        A cosine `critic` learns the temperature.
        """
        if len(projections) % 2:
            raise ValueError(f"got {len(projections)} rows, wanted two views a pair")
        temperature = self.config.loss_temperature
        if self.critic is not None and self.config.critic == "cosine":
            temperature = torch.exp(-self.critic.log_scale[0])
        first, second = projections.chunk(2)
        return contrastive_loss_and_accuracy(
            first, second, self.config.loss_form, temperature, weights
        )

    def positive_weights(self, pair_weights=None, pair_types=None):
        """Weights of the positive terms, (pairs,), of both kinds; None: all 1."""
        if pair_types is None:
            return pair_weights
        if self.config.pair_type_weights is None:
            raise ValueError("pair_types: got some, wanted config.pair_type_weights")
        by_type = torch.tensor(self.config.pair_type_weights, device=pair_types.device)
        weights = by_type[pair_types]
        return weights if pair_weights is None else weights * pair_weights


class IsoCLRNucleotideModel(IsoCLRPreTrainedModel):
    """What the models at nucleotide resolution share; each has a head and knows its problem."""

    output_class = TokenClassifierOutput
    isoclr: "IsoCLRModel"
    head: "IsoCLRNucleotideHead"
    problem_type: str | None

    def _freeze_unused(self):
        """Keep the pooling, for other heads, as it is.

        No nucleotide depends on it, and DistributedDataParallel waits for every gradient.
        """
        if self.isoclr.pooling is not None:
            self.isoclr.pooling.requires_grad_(False)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        labels=None,
        output_hidden_states=None,
        return_dict=None,
        **ignored,
    ):
        """Predict a property of every nucleotide.

        Args:
            input_ids: (batch, length), see `IsoCLRModel`.
            attention_mask: (batch, length).
            inputs_embeds: (batch, length, n_tracks) instead.
            labels: (batch, length) of classes (masked nucleotides: of tokens) or, by
                `config.problem_type`, of values; or (batch, length, num_labels). -100 and NaN do
                not count.
            output_hidden_states: also return the output of every stage.
            return_dict: False returns a tuple; None: as `config.return_dict` says.
            ignored: see `IsoCLRModel`.

        Returns:
            `loss`, and `logits` of (batch, length, num_labels; masked nucleotides: 32).
        """
        mask = valid_positions(input_ids, attention_mask, inputs_embeds)
        length, step = mask.shape[1], self.config.downsampling
        whole = _positions(length, step) * step  # in which all stages end together
        if input_ids is not None:
            input_ids = nn.functional.pad(input_ids, (0, whole - length), value=PAD_BASE)
        if inputs_embeds is not None:
            inputs_embeds = nn.functional.pad(inputs_embeds, (0, 0, 0, whole - length))
        output = self.isoclr(
            input_ids,
            nn.functional.pad(mask.long(), (0, whole - length)),
            inputs_embeds,
            output_hidden_states=True,
            return_dict=True,
            **ignored,
        )
        logits = self.head(output.hidden_states, whole)
        # Each where its nucleotide was given.
        logits = shift_left(logits, -first_valid(mask), length)
        hidden = None
        if self._wants_hidden(output_hidden_states):
            hidden = _trimmed(output.hidden_states, length)
        result = self.output_class(
            loss=None if labels is None else supervised_loss(logits, labels, self.problem_type),
            logits=logits,
            hidden_states=hidden,
        )
        return self._result(result, return_dict)


class IsoCLRForMaskedLM(IsoCLRNucleotideModel):
    """Predicts the token of masked nucleotides."""

    output_class = MaskedLMOutput
    problem_type = "single_label_classification"

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.isoclr = IsoCLRModel(config)
        self.lm_head = IsoCLRNucleotideHead(config, config.vocab_size)
        self.post_init()

    @property
    def head(self):
        """Under the name that it has in a pre-training checkpoint."""
        return self.lm_head


class IsoCLRForTokenClassification(IsoCLRNucleotideModel):
    """Predicts a property of every nucleotide."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.isoclr = IsoCLRModel(config)
        self.head = IsoCLRNucleotideHead(config, config.num_labels, config.classifier_dropout)
        self.post_init()

    @property
    def problem_type(self):
        """As configured."""
        return self.config.problem_type


class IsoCLRForSequenceClassification(IsoCLRPreTrainedModel):
    """Predicts properties of a transcript: half-life, ribosome load, GO terms, localisation."""

    def __init__(self, config: IsoCLRConfig):
        super().__init__(config)
        self.isoclr = IsoCLRModel(config)
        width = config.classifier_hidden_size
        self.dense = nn.Linear(config.pooled_size, width) if width else None
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(width or config.pooled_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        labels=None,
        output_hidden_states=None,
        return_dict=None,
        **ignored,
    ):
        """Predict properties of transcripts.

        Args:
            input_ids: as of `IsoCLRModel`.
            attention_mask: as of `IsoCLRModel`.
            inputs_embeds: as of `IsoCLRModel`, instead.
            labels: by `config.problem_type`, values or 0/1 of (batch, num_labels), or classes of
                (batch,). -100 and NaN do not count, so a table with holes trains.
            output_hidden_states: also return the output of every stage.
            return_dict: False returns a tuple; None: as `config.return_dict` says.
            ignored: see `IsoCLRModel`.

        Returns:
            `loss`, and `logits` of (batch, num_labels).
        """
        output = self.isoclr(
            input_ids,
            attention_mask,
            inputs_embeds,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **ignored,
        )
        x = output.pooler_output
        if self.dense is not None:
            x = self.relu(self.dense(x))
        logits = self.classifier(self.dropout(x))
        loss = None
        if labels is not None:
            loss = supervised_loss(logits, labels, self.config.problem_type)
        result = SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states
        )
        return self._result(result, return_dict)
