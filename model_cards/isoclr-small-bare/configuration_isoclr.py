"""Configuration of the IsoCLR family of encoders of RNA isoforms and of proteins."""

from copy import deepcopy
from typing import TYPE_CHECKING

from transformers import PretrainedConfig

from .checks_isoclr import as_integer, as_number, listed

_MODELING = "modeling_isoclr"
AUTO_MAP = {
    "AutoConfig": "configuration_isoclr.IsoCLRConfig",
    "AutoModel": f"{_MODELING}.IsoCLRModel",
    "AutoModelForPreTraining": f"{_MODELING}.IsoCLRForPreTraining",
    "AutoModelForMaskedLM": f"{_MODELING}.IsoCLRForMaskedLM",
    "AutoModelForSequenceClassification": f"{_MODELING}.IsoCLRForSequenceClassification",
    "AutoModelForTokenClassification": f"{_MODELING}.IsoCLRForTokenClassification",
}

CUSTOM_PIPELINES = {
    "isoform-embedding": {
        "impl": "pipeline_isoclr.IsoformEmbeddingPipeline",
        "pt": ["AutoModel"],
        "type": "text",
    }
}

# An installed package registers its pipeline; transformers takes the attribute `custom_pipelines`
# for a demand to load it from the repository all the same.
_IS_REMOTE_CODE = __name__.startswith("transformers_modules")

_DERIVED = ("hidden_size", "num_hidden_layers", "max_position_embeddings", "projection_dim")

PRESETS = {
    "small": {"filters": [64, 128, 128, 256], "blocks": [2, 2, 2, 2], "kernel_size": 2},
    "medium": {"filters": [64, 128, 256, 512], "blocks": [3, 4, 6, 3], "kernel_size": 2},
    "large": {"filters": [64, 128, 256, 512], "blocks": [3, 4, 6, 3], "kernel_size": 4},
}

BASES = 4
FRAMES = 3
# Distances from the start codon are read in bands that end at these shares of the window. Each band
# holds as many nucleotides of one reading frame as of another.
START_BANDS = (1 / 8, 1 / 4, 1 / 2, 1)
START_STEP = 8 * FRAMES
VOCABULARY_SIZE = 32
# token = base + 8·codon_start + 16·exon_end, see tokenization_isoclr.py
N_BASE, MASK_BASE, PAD_BASE = 4, 5, 7
CODON_START_BIT, EXON_END_BIT = 8, 16

# Of proteins too, 4 is an unknown letter, 5 MASK and 7 PAD, so that whatever pads or masks need not
# know the alphabet.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
RESIDUE_TOKENS = {letter: i if i < N_BASE else i + 4 for i, letter in enumerate(AMINO_ACIDS)}
RESIDUE_TOKENS |= {"B": 24, "Z": 25, "J": 26, "U": 27, "O": 28, "X": N_BASE}
# What a letter may stand for; U and O count as the amino acids that they are made from.
AMBIGUOUS_RESIDUES = {"B": "DN", "Z": "EQ", "J": "IL", "U": "C", "O": "K"}
# A number for clients that ask for one; a convolution has no longest input.
LONGEST = 1 << 20
_TRACKS = {"rna": BASES + 2, "protein": len(AMINO_ACIDS)}


class IsoCLRConfig(PretrainedConfig):
    """A dilated residual convolutional encoder over tracks of a sequence (arXiv 2310.08738).

    Args:
        filters: channels of each stage.
        blocks: residual blocks of each stage; every stage halves the length once, after its first.
        dilations: dilation of the convolutions of each stage.
        kernel_size: width of the convolutions, in positions.
        stem_kernel_size: width of the stem's convolution in nt; None: `kernel_size`, as the paper.
        stem_filters: channels of the stem; None: those of the first stage, as the paper.
        alphabet: of the sequences: rna, or protein, whose tracks are its 20 amino acids.
        n_tracks: input tracks: 4 (A C G T) or, with codon starts and exon ends, 6; of proteins 20;
            further ones come by `inputs_embeds` alone. None: 6 or 20.
        norm: `batch`, as the paper, over valid positions only; `layer` and `rms` have no statistics
            across samples or positions.
        norm_eps: added to the variance; 0.01 in the paper.
        norm_momentum: of the running statistics of `batch`, as torch counts it.
        zero_init_residual: begin with a weight of 0 in the last norm of each block, so that a block
            begins as its shortcut (arXiv 1706.02677, section 5.1). With random weights and `batch`
            each block would make small differences of its input larger.
        dropout: inside each block; the paper has 0.1 in pre-training, 0.3 in fine-tuning.
        pooling: what `pooler_output` is: the masked mean of the `last` stage, as the paper; those
            of all `stages`, concatenated; or, by `regions`, what 5'UTR, CDS and 3'UTR hold and how
            they are laid out (see pooling_isoclr.py).
        layout_size: features of the layout that `regions` has.
        content_size: features of what the stages see that `regions` has.
        discriminants: linear discriminants of homologs that `regions` has, fitted after training
            (see pooling_isoclr.py); 0: none.
        discriminant_size: features of the discriminants.
        sites_size: features of the sites of decay that `regions` has (see sites_isoclr.py); 0:
            none. None is learned, so any model with `regions` can be loaded with them.
        residue_pairs: have `regions` also tell how often each pair of neighbouring residues comes
            in the protein (see codons_isoclr.py). No weight is new either.
        start_window: nt upstream of the start codon that `regions` also reads by distance and
            reading frame (see pooling_isoclr.py), a multiple of 24; 0: none. It has no weights, so
            any model with `regions` can be loaded with it.
        unknown_value: what N has in the four base tracks and a masked position in all tracks: 0.25
            in IsoCLR, 0 in Orthrus; of proteins, what X and a masked position have. None: 0.25, of
            proteins 0.05.
        projector_sizes: widths of the three linear layers of the contrastive head.
        loss_form: of the objective, see losses_isoclr.py.
        loss_temperature: of the objective.
        pair_type_weights: of the positive terms, by the type of a pair; None: all 1.
        masked_lm_weight: share of the masked-nucleotide objective in pre-training, the rest being
            contrastive; 0.95 in Orthrus, 0: none, as the paper.
        critic: of homologs, see critic_isoclr.py: `cosine` or `bilinear`; None: none is kept.
        critic_bands: bands of distances, each with a temperature that is learned.
        decoder_size: features a nucleotide in the heads at nucleotide resolution.
        classifier_hidden_size: width of a hidden layer in the sequence head; 0: a linear head.
        classifier_dropout: before the last layer of a sequence or token head.
        kwargs: passed to `PretrainedConfig`.

    Raises:
        ValueError: naming the argument, what was found and what was expected.
    """

    model_type = "isoclr"

    if TYPE_CHECKING:  # transformers 5 would make fields of annotations
        num_labels: int
        id2label: dict[int, str] = {}
        problem_type: str | None = None

    def __init__(
        self,
        filters=(64, 128, 128, 256),
        blocks=(2, 2, 2, 2),
        dilations=(1, 2, 4, 8),
        kernel_size=2,
        stem_kernel_size=None,
        stem_filters=None,
        alphabet="rna",
        n_tracks=None,
        norm="batch",
        norm_eps=0.01,
        norm_momentum=0.1,
        zero_init_residual=False,
        dropout=0.1,
        pooling="last",
        layout_size=256,
        content_size=256,
        discriminants=0,
        discriminant_size=1024,
        sites_size=0,
        residue_pairs=False,
        start_window=0,
        unknown_value=None,
        projector_sizes=(2048, 2048, 512),
        loss_form="dcl",
        loss_temperature=0.1,
        pair_type_weights=None,
        masked_lm_weight=0.0,
        critic=None,
        critic_bands=1,
        decoder_size=32,
        classifier_hidden_size=0,
        classifier_dropout=0.0,
        **kwargs,
    ):
        self.filters = listed("filters", filters)
        self.blocks = listed("blocks", blocks)
        self.dilations = listed("dilations", dilations)
        self.kernel_size = kernel_size
        self.stem_kernel_size = stem_kernel_size
        self.stem_filters = stem_filters
        self.alphabet = alphabet
        if not isinstance(alphabet, str) or alphabet not in _TRACKS:
            raise ValueError(f"alphabet: got {alphabet!r}, wanted one of {', '.join(_TRACKS)}")
        self.n_tracks = _TRACKS[alphabet] if n_tracks is None else n_tracks
        self.norm = norm
        self.norm_eps = norm_eps
        self.norm_momentum = norm_momentum
        self.zero_init_residual = zero_init_residual
        self.dropout = dropout
        self.pooling = pooling
        self.layout_size = layout_size
        self.content_size = content_size
        self.discriminants = discriminants
        self.discriminant_size = discriminant_size
        self.sites_size = sites_size
        self.residue_pairs = residue_pairs
        self.start_window = start_window
        if unknown_value is None:
            unknown_value = 1 / (len(AMINO_ACIDS) if alphabet == "protein" else BASES)
        self.unknown_value = unknown_value
        self.projector_sizes = listed("projector_sizes", projector_sizes)
        self.loss_form = loss_form
        self.loss_temperature = loss_temperature
        self.pair_type_weights = pair_type_weights
        self.masked_lm_weight = masked_lm_weight
        self.critic = critic
        self.critic_bands = critic_bands
        self.decoder_size = decoder_size
        self.classifier_hidden_size = classifier_hidden_size
        self.classifier_dropout = classifier_dropout
        self._check()
        for name in _DERIVED:
            if name in kwargs:
                raise ValueError(f"{name}: got {kwargs[name]!r}, wanted none: filters say it")
        kwargs["auto_map"] = dict(AUTO_MAP)  # one repo serves every Auto class
        kwargs.pop("custom_pipelines", None)
        if _IS_REMOTE_CODE:
            self.custom_pipelines = deepcopy(CUSTOM_PIPELINES)
        kwargs["vocab_size"] = VOCABULARY_SIZE
        kwargs["tie_word_embeddings"] = False  # transformers 4 would tie a head to the look-up
        kwargs.setdefault("pad_token_id", PAD_BASE)
        super().__init__(**kwargs)

    def to_dict(self):
        """As in `PretrainedConfig`; always with the pipelines that the repository carries."""
        return {**super().to_dict(), "custom_pipelines": deepcopy(CUSTOM_PIPELINES)}

    def _check(self):
        if not len(self.filters) == len(self.blocks) == len(self.dilations) >= 1:
            raise ValueError(
                "filters, blocks, dilations: got "
                f"{self.filters}, {self.blocks}, {self.dilations}, wanted one entry each a stage"
            )
        positive = {
            "filters": self.filters,
            "blocks": self.blocks,
            "dilations": self.dilations,
            "kernel_size": [self.kernel_size],
            "stem_kernel_size": [self.stem_kernel_size or 1],
            "stem_filters": [self.stem_channels],
            "projector_sizes": self.projector_sizes,
            "critic_bands": [self.critic_bands],
            "decoder_size": [self.decoder_size],
            "layout_size": [self.layout_size],
            "content_size": [self.content_size],
            "discriminants": [self.discriminants or 1],
            "discriminant_size": [self.discriminant_size],
        }
        for name, values in positive.items():
            if any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in values):
                raise ValueError(f"{name}: got {getattr(self, name)!r}, wanted positive integers")
        as_integer("classifier_hidden_size", self.classifier_hidden_size, minimum=0)
        as_integer("sites_size", self.sites_size, minimum=0)
        as_integer("start_window", self.start_window, minimum=0)
        as_number("norm_eps", self.norm_eps, above=0)
        as_number("norm_momentum", self.norm_momentum, above=0)
        for name in ("residue_pairs", "zero_init_residual"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: got {getattr(self, name)!r}, wanted true or false")
        as_number("loss_temperature", self.loss_temperature, above=0)
        as_number("unknown_value", self.unknown_value)
        for name in ("dropout", "classifier_dropout", "masked_lm_weight"):
            as_number(name, getattr(self, name), minimum=0, below=1)
        if self.pair_type_weights is not None:
            for weight in listed("pair_type_weights", self.pair_type_weights):
                as_number("pair_type_weights", weight, minimum=0)
        if len(self.projector_sizes) != 3:
            raise ValueError(f"projector_sizes: got {self.projector_sizes}, wanted three widths")
        if not isinstance(self.n_tracks, int) or self.n_tracks < BASES:
            raise ValueError(f"n_tracks: got {self.n_tracks}, wanted an integer of at least 4")
        if self.alphabet == "protein" and self.n_tracks < len(AMINO_ACIDS):
            raise ValueError(f"n_tracks: got {self.n_tracks} of proteins, wanted at least 20")
        if self.alphabet == "protein" and self.pooling == "regions":
            raise ValueError("pooling: got 'regions' of proteins, wanted 'last' or 'stages'")
        if self.pooling == "regions" and self.n_tracks < BASES + 2:
            raise ValueError(
                f"n_tracks: got {self.n_tracks} with pooling='regions', wanted at least 6: codon "
                "starts and exon ends"
            )
        for name in ("discriminants", "sites_size", "residue_pairs", "start_window"):
            if getattr(self, name) and self.pooling != "regions":
                raise ValueError(
                    f"{name}: got {getattr(self, name)} with pooling={self.pooling!r}, wanted "
                    "none, or pooling='regions'"
                )
        if self.start_window % START_STEP:
            raise ValueError(
                f"start_window: got {self.start_window}, wanted a multiple of {START_STEP} nt"
            )
        choices = {
            "critic": (None, "cosine", "bilinear"),
            "norm": ("batch", "layer", "rms"),
            "pooling": ("last", "stages", "regions"),
            "loss_form": ("dcl", "dcl_paper", "nt_xent", "info_nce"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}: got {getattr(self, name)!r}, wanted one of "
                    f"{', '.join(map(str, allowed))}"
                )

    @classmethod
    def preset(cls, name: str, **overrides) -> "IsoCLRConfig":
        """The paper's `small`, `medium` or `large` encoder, with `overrides`."""
        if name not in PRESETS:
            raise ValueError(f"preset: got {name!r}, wanted one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **overrides})

    @property
    def stem_channels(self) -> int:
        """Channels of the stem."""
        return self.filters[0] if self.stem_filters is None else self.stem_filters

    @property
    def hidden_size(self) -> int:
        """Channels of `last_hidden_state`."""
        return self.filters[-1]

    @property
    def projection_dim(self) -> int:
        """Width of `pooler_output`, as SentenceTransformer calls it."""
        return self.pooled_size

    @property
    def num_hidden_layers(self) -> int:
        """Stages: how many `hidden_states` there are."""
        return len(self.filters)

    @property
    def max_position_embeddings(self) -> int:
        """A number for clients that ask for one; longer sequences are not refused."""
        return LONGEST

    @property
    def pooled_size(self) -> int:
        """Width of `pooler_output`."""
        if self.pooling == "regions":
            discriminants = self.discriminant_size if self.discriminants else 0
            fixed = self.layout_size + BASES**3 + discriminants + self.sites_size
            return fixed + self.pairs_size + self.start_size + self.contrasted_size
        return self.contrasted_size

    @property
    def pairs_size(self) -> int:
        """Width of the pairs of residues, right before what is read from the start codon."""
        return len(AMINO_ACIDS) ** 2 if self.residue_pairs else 0

    @property
    def start_size(self) -> int:
        """Width of what is read by distance from the start codon, right before what is learned."""
        if not self.start_window:
            return 0
        return FRAMES * 2 * BASES**3 + (FRAMES + len(START_BANDS)) * self.stem_channels

    @property
    def contrasted_size(self) -> int:
        """Width of what the projector sees of `pooler_output`: what is learned, its last part."""
        if self.pooling == "regions":
            return 3 * self.stem_channels + self.content_size
        return sum(self.filters) if self.pooling == "stages" else self.filters[-1]

    @property
    def downsampling(self) -> int:
        """Nucleotides a position of `last_hidden_state`: 32 with four stages."""
        return 2 ** (len(self.filters) + 1)

    @property
    def packing_gap(self) -> int:
        """Nucleotides that no convolution reaches across, for two transcripts in one row.

        Counted from the first one's length rounded up to `downsampling`.
        """
        # A codon that begins at a transcript's last nucleotide reaches two further.
        reach = max((self.stem_kernel_size or self.kernel_size) // 2, 2)
        for stage, (blocks, dilation) in enumerate(zip(self.blocks, self.dilations, strict=True)):
            # Of the blocks of a stage, all but the first come after its halving.
            nucleotides = 2 ** (stage + (1 if blocks == 1 else 2))
            positions = -(-dilation * (self.kernel_size - 1) // 2)
            reach = max(reach, nucleotides * positions)
        return reach
