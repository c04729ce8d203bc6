"""Configuration of the models of RNA–protein interaction."""

from typing import Any

from transformers import PretrainedConfig

from .checks_isoclr import as_integer, as_number, one_of

AUTO_MAP = {
    "AutoConfig": "configuration_rpi.RPIConfig",
    "AutoModel": "modeling_rpi.RPIModel",
    "AutoModelForSequenceClassification": "modeling_rpi.RPIForSequenceClassification",
    "AutoProcessor": "processing_rpi.RPIProcessor",
}

DESIGNS = ("attention", "towers", "bilinear", "kernel")
MEAN_DESIGNS = ("bilinear", "kernel")
"""Designs that look at the mean vector of each molecule alone."""
READOUTS = ("mean", "first")
LONG = ("cut", "windows")

# What makes vectors of a molecule, and the keys that each kind has beside `kind`: (needed, others).
EMBEDDERS = {
    "one_hot": ((), ()),
    "random": (("size",), ("seed", "per")),
    "kmers": (("size",), ()),
    "isoclr": (("model", "size"), ()),
    "transformers": (("model", "size"), ("layer", "strip")),
    "precomputed": (("size",), ("file",)),
}
ONE_HOT_SIZES = {"rna": 4, "protein": 20}
# Of an RNA, words of up to 1, 2, 3 or 4 letters, and the length; of a protein, its amino acids and
# the length, without or with words of three classes of amino acids.
KMER_SIZES = {"rna": (5, 21, 85, 341), "protein": (21, 364)}


class RPIConfig(PretrainedConfig):
    """Describe a classifier of pairs of an RNA and a protein.

    The defaults are RPIembeddor (ICLR 2024 MLGenX), repaired: padding is masked, both molecules
    are read out, and the last norm is used. `readout="first"` is as published. The inputs of the
    paper are 640 numbers a position, see `RPIConfig.paper`.

    Args:
        rna_embedder: what makes vectors of an RNA: a dictionary with `kind` and, by kind, one_hot;
            random (size, seed, per): a fixed random vector a `letter`, or a `molecule`; isoclr
            (model, size): an encoder of the IsoCLR family; kmers (size): one vector of the
            frequencies of words, see `KMER_SIZES`; transformers (model, size, layer, strip): any
            AutoModel; precomputed (size, file): arrays that the user has. `size` is the width.
        protein_embedder: the same of proteins.
        design: `attention`, as the paper: each molecule attends to itself and to the other;
            `towers`: motifs of each molecule by convolutions, then a low-rank bilinear form;
            `bilinear`: a bilinear form of the principal components of each molecule's mean vector;
            or `kernel`: kernel ridge regression over both molecules, of the mean vectors, which is
            solved and not trained.
        hidden_size: width of the layers; of towers and kernel, the rank; of bilinear, the
            components.
        num_hidden_layers: of attention.
        num_attention_heads: of attention.
        intermediate_size: inner width of the layers of attention.
        kernel_size: positions that the first linear map sees; 1 in the paper. It is the length of
            motifs.
        rna_stride: positions of an RNA that are max-pooled into one after the first map.
        protein_stride: the same of proteins.
        motifs: of towers, in each molecule.
        dropout: in the layers.
        layer_norm_eps: added to variances.
        readout: of attention: `mean` over the valid positions of each molecule, then over the two;
            or `first`, position 0 of the RNA, without masks, as published.
        max_positions: positions beyond which a molecule is long.
        long: `cut` long molecules, as the paper, or let each position attend to a window of
            `max_positions` positions of its own molecule, and to all of the other, by `windows`.
        calibration: slope and intercept that turn a logit into the logit of a probability; None: it
            is one.
        threshold: probability from which a pair is called interacting.
        landmarks: of kernel, how many RNAs and how many proteins of training it has.
        training: what the model was trained on, for warnings; see docs/INTERACTIONS.md.
        kwargs: passed to `PretrainedConfig`.

    Raises:
        ValueError: naming the argument, what was found and what was expected.
    """

    model_type = "rpi"

    def __init__(
        self,
        rna_embedder=None,
        protein_embedder=None,
        design="attention",
        hidden_size=256,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=20,
        kernel_size=1,
        rna_stride=1,
        protein_stride=1,
        motifs=64,
        dropout=0.3,
        layer_norm_eps=1e-5,
        readout="mean",
        max_positions=1024,
        long="cut",
        calibration=None,
        threshold=0.5,
        landmarks=(1, 1),
        training=None,
        **kwargs,
    ):
        self.rna_embedder: dict[str, Any] = dict(rna_embedder or {"kind": "one_hot"})
        self.protein_embedder: dict[str, Any] = dict(protein_embedder or {"kind": "one_hot"})
        self.design = design
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.kernel_size = kernel_size
        self.rna_stride = rna_stride
        self.protein_stride = protein_stride
        self.motifs = motifs
        self.dropout = dropout
        self.layer_norm_eps = layer_norm_eps
        self.readout = readout
        self.max_positions = max_positions
        self.long = long
        self.calibration = None if calibration is None else list(calibration)
        self.threshold = threshold
        self.landmarks = list(landmarks)
        self.training = training
        self._check()
        kwargs["auto_map"] = dict(AUTO_MAP)  # one repository serves every Auto class
        kwargs["num_labels"] = 1
        for of_head in ("id2label", "label2id"):
            kwargs.pop(of_head, None)
        super().__init__(**kwargs)
        self.id2label, self.label2id = {0: "interaction"}, {"interaction": 0}

    @classmethod
    def paper(cls, **overrides) -> "RPIConfig":
        """The published model: 1,447,721 parameters, read out at position 0, without masks."""
        precomputed = {"kind": "precomputed", "size": 640}
        keys = {"rna_embedder": precomputed, "protein_embedder": precomputed, "readout": "first"}
        return cls(**keys | overrides)

    @property
    def rna_size(self) -> int:
        """Width of the vectors of an RNA."""
        return self.rna_embedder.get("size", ONE_HOT_SIZES["rna"])

    @property
    def protein_size(self) -> int:
        """Width of the vectors of a protein."""
        return self.protein_embedder.get("size", ONE_HOT_SIZES["protein"])

    def _check(self):
        for name in ("rna_embedder", "protein_embedder"):
            check_embedder(name, getattr(self, name))
        counts = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        counts += ("kernel_size", "rna_stride", "protein_stride", "motifs", "max_positions")
        for name in counts:
            as_integer(name, getattr(self, name))
        heads = self.num_attention_heads
        if self.design == "attention" and (self.hidden_size % heads or self.hidden_size < 4):
            raise ValueError(
                f"hidden_size: got {self.hidden_size} with {self.num_attention_heads} heads, "
                "wanted a multiple of these, at least 4"
            )
        as_number("dropout", self.dropout, minimum=0, below=1)
        as_number("layer_norm_eps", self.layer_norm_eps, above=0)
        as_number("threshold", self.threshold)
        one_of("design", self.design, DESIGNS)
        one_of("readout", self.readout, READOUTS)
        one_of("long", self.long, LONG)
        if self.readout == "first" and (self.design != "attention" or self.long == "windows"):
            raise ValueError(
                f"readout: got 'first' with design {self.design!r} and long {self.long!r}, "
                "wanted 'attention' and 'cut'"
            )
        if len(self.landmarks) != 2:
            raise ValueError(f"landmarks: got {self.landmarks}, wanted those of RNAs and proteins")
        for count in self.landmarks:
            as_integer("landmarks", count)
        if self.calibration is not None:
            if len(self.calibration) != 2:
                raise ValueError(f"calibration: got {self.calibration}, wanted slope and intercept")
            for number in self.calibration:
                as_number("calibration", number)


def check_embedder(name, spec):
    """Refuse an embedder that is not as `RPIConfig` has them.

    Raises:
        ValueError: naming the key.
    """
    one_of(f"{name}.kind", spec.get("kind"), tuple(EMBEDDERS))
    needed, others = EMBEDDERS[spec["kind"]]
    for key in needed:
        if key not in spec:
            raise ValueError(f"{name}.{key}: got none, wanted one for kind {spec['kind']!r}")
    for key in spec.keys() - {"kind", *needed, *others}:
        known = ", ".join(("kind", *needed, *others))
        raise ValueError(f"{name}.{key}: unknown for kind {spec['kind']!r}; known: {known}")
    if "size" in spec:
        as_integer(f"{name}.size", spec["size"])
    if "per" in spec:
        one_of(f"{name}.per", spec["per"], ("letter", "molecule"))
    if spec["kind"] == "kmers":
        one_of(f"{name}.size", spec["size"], KMER_SIZES[name.removesuffix("_embedder")])
