"""The IsoCLR models: RNA isoform encoders and their heads (arXiv 2310.08738)."""

from dataclasses import dataclass
from pathlib import Path

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

from .configuration_isoclr import BASES, PAD_BASE, IsoCLRConfig
from .critic_isoclr import IsoCLRCritic
from .layers_isoclr import (
    NORMS,
    IsoCLRBatchNorm,
    IsoCLREncoder,
    IsoCLRNoNorm,
    IsoCLRSubPositionDecoder,
    IsoCLRTrackEmbedding,
    fold,
    look_up_table,
)
from .losses_isoclr import contrastive_loss_and_accuracy, supervised_loss
from .pipeline_isoclr import embed_tokens
from .pooling_isoclr import (
    IsoCLRDiscriminants,
    IsoCLRRandomFeatures,
    IsoCLRRegionPooling,
    at_least_float32,
    masked_mean,
)
from .segments_isoclr import Segments
from .tokenization_isoclr import base_codes

_NORMS_IN_FP32 = ["norm1", "norm2", "stem_norm", "shortcut_norm", "content_norm"]


class IsoCLRPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving of every IsoCLR model."""

    config_class = IsoCLRConfig
    base_model_prefix = "isoclr"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["IsoCLRBlock"]
    _keep_in_fp32_modules_strict = _NORMS_IN_FP32

    def post_init(self):
        """As in `PreTrainedModel`; transformers 4 refuses to keep what a model does not have."""
        there = {part for name, _ in self.named_parameters() for part in name.split(".")}
        self._keep_in_fp32_modules_strict = sorted(there & set(_NORMS_IN_FP32))
        super().post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in `PreTrainedModel`, from safetensors alone.

        Raises:
            ValueError: on weights in pickle form, saying what to do.
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
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def _init_weights(self, module):
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (IsoCLRBatchNorm, nn.LayerNorm, nn.RMSNorm)):
            nn.init.ones_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
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

    @property
    def dummy_inputs(self):
        """Two short transcripts, the second padded."""
        input_ids = torch.tensor([[0, 11, 2, 17], [3, 18, PAD_BASE, PAD_BASE]])
        return {"input_ids": input_ids, "attention_mask": (input_ids != PAD_BASE).long()}


class IsoCLRModel(IsoCLRPreTrainedModel):
    """RNA isoform encoder."""

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

    def set_input_embeddings(self, value):
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
        output_hidden_states=None,
        return_dict=None,
    ):
        """Embed a batch of transcripts, a row each, or several one after another in a row.

        Args:
            input_ids: tokens, (batch, length), padded on the right.
            attention_mask: (batch, length), non-zero where valid; None: where `input_ids` are not
                PAD.
            inputs_embeds: tracks, (batch, length, n_tracks), instead of `input_ids`.
            segment_ids: integers (batch, length): 1, 2, ... for the transcripts of a row, in turn,
                0 between them. They must lie as packing_isoclr.py lays them, or neighbours are
                seen. None: a transcript a row.
            n_segments: most transcripts in a row; None: the greatest of `segment_ids`.
            learned_only: leave what is not learned, the first part, out of `pooler_output`.
            output_hidden_states: also return the output of every stage.
            return_dict: False returns a tuple.

        Returns:
            `last_hidden_state` (batch, ceil(length / 32), hidden), zero where padded;
            `pooler_output` (batch, pooled) or, with `segment_ids`, (batch, n_segments, pooled);
            `hidden_states`, one of the first form a stage.

        Raises:
            ValueError: unless exactly one of `input_ids` and `inputs_embeds` is given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("got both or neither of input_ids and inputs_embeds, wanted one")
        if segment_ids is not None:
            if attention_mask is not None:
                raise ValueError("got attention_mask beside segment_ids, wanted one of them")
            attention_mask = segment_ids > 0
        elif attention_mask is None and inputs_embeds is None:
            attention_mask = input_ids != PAD_BASE
        elif attention_mask is None:
            attention_mask = inputs_embeds.new_ones(inputs_embeds.shape[:2])
        if inputs_embeds is None:
            inputs_embeds = self.embeddings(input_ids)
        length = inputs_embeds.shape[1]
        spare = -length % self.config.downsampling  # with it, every stage halves an even length
        mask = nn.functional.pad(attention_mask.bool(), (0, spare))[:, None, None, :]
        x = inputs_embeds.to(self.embeddings.table.dtype)
        x = nn.functional.pad(x, (0, 0, 0, spare))
        x = x.unsqueeze(1).permute(0, 3, 1, 2)  # (batch, n_tracks, 1, length + spare)
        x = x * mask
        stem, stages = self.encoder(x, mask)
        segments = None
        if segment_ids is not None:
            segments = Segments(
                nn.functional.pad(segment_ids, (0, spare)),
                int(segment_ids.max()) if n_segments is None else n_segments,
                self.config.downsampling,
                at_least_float32(x).dtype,
            )
        pooled = self._pool(x, mask, stem, stages, segments, learned_only)
        hidden = [
            stage.squeeze(2).transpose(1, 2)[:, : -(-length // 2 ** (number + 2))]
            for number, (stage, _) in enumerate(stages)
        ]
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        output = BaseModelOutputWithPooling(
            last_hidden_state=hidden[-1],
            pooler_output=pooled,
            hidden_states=tuple(hidden) if output_hidden_states else None,
        )
        return output if return_dict is not False else output.to_tuple()

    def _pool(self, x, mask, stem, stages, segments, learned_only):
        if segments is None:
            if self.pooling is not None:
                return self.pooling(x, mask, stem, stages, learned_only=learned_only)
            return torch.cat([masked_mean(*stage) for stage in self._pooled(stages)], 1)
        if self.pooling is not None:
            return self.pooling(x, mask, stem, stages, segments, learned_only)
        return segments.means([stage for stage, _ in self._pooled(stages)]).to(stem.dtype)

    def _pooled(self, stages):
        return stages if self.config.pooling == "stages" else stages[-1:]

    def embed(self, rows, tokens_per_batch=1 << 16, report=None):
        """Embeddings of token rows in batches of like length; see `embed_tokens`."""
        return embed_tokens(self, rows, tokens_per_batch, report)

    def seq_to_oh(self, seq):
        """One-hot A C G T of a sequence, float32 (length, 4), as Orthrus's clients ask for it.

        U reads as T, lower case as upper; any other letter is a row of zeros.
        """
        codes = torch.from_numpy(base_codes(seq).astype("int64"))
        return torch.eye(BASES + 1)[codes.clamp(max=BASES), :BASES]

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
        for block in (block for stage in self.encoder.stages for block in stage):
            if block.shortcut is not None:
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
            return_dict: False returns a tuple.

        Returns:
            An `IsoCLRForPreTrainingOutput`.

        Raises:
            ValueError: on an odd number of rows, or labels or types that the configuration has no
                weight for.
        """
        output = self.isoclr(input_ids, attention_mask, inputs_embeds, output_hidden_states=True)
        projections = self.projector(output.pooler_output)
        contrastive = masked_lm = loss = None
        if return_loss:
            weights = self.positive_weights(pair_weights, pair_types)
            contrastive, _ = self.contrast(projections, weights)
            loss = contrastive
        if labels is not None:
            if self.lm_head is None:
                raise ValueError("labels: got some, wanted config.masked_lm_weight above 0")
            logits = self.lm_head(output.hidden_states, labels.shape[1])
            masked_lm = supervised_loss(logits, labels, "single_label_classification")
            if loss is not None:
                share = self.config.masked_lm_weight
                loss = share * masked_lm + (1 - share) * contrastive
        result = IsoCLRForPreTrainingOutput(
            loss, contrastive, masked_lm, projections, output.pooler_output
        )
        return result if return_dict is not False else result.to_tuple()

    def contrast(self, projections, weights=None):
        """The contrastive term over (2 · pairs, projected), first views first; pair accuracy."""
        if len(projections) % 2:
            raise ValueError(f"got {len(projections)} rows, wanted two views a pair")
        return contrastive_loss_and_accuracy(
            *projections.chunk(2), self.config.loss_form, self.config.loss_temperature, weights
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

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        labels=None,
        output_hidden_states=None,
        return_dict=None,
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
            return_dict: False returns a tuple.

        Returns:
            `loss`, and `logits` of (batch, length, num_labels; masked nucleotides: 32).
        """
        output = self.isoclr(input_ids, attention_mask, inputs_embeds, output_hidden_states=True)
        inputs = inputs_embeds if input_ids is None else input_ids
        logits = self.head(output.hidden_states, inputs.shape[1])
        result = self.output_class(
            loss=None if labels is None else supervised_loss(logits, labels, self.problem_type),
            logits=logits,
            hidden_states=output.hidden_states if output_hidden_states else None,
        )
        return result if return_dict is not False else result.to_tuple()


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
    ):
        """Predict properties of transcripts.

        Args:
            input_ids: (batch, length), see `IsoCLRModel`.
            attention_mask: (batch, length).
            inputs_embeds: (batch, length, n_tracks) instead.
            labels: by `config.problem_type`, values or 0/1 of (batch, num_labels), or classes of
                (batch,). -100 and NaN do not count, so a table with holes trains.
            output_hidden_states: also return the output of every stage.
            return_dict: False returns a tuple.

        Returns:
            `loss`, and `logits` of (batch, num_labels).
        """
        output = self.isoclr(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states
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
        return result if return_dict is not False else result.to_tuple()
