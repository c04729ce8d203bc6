"""The recipe of contrastive learning on isoforms and homologs."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from isoclr.objectives.isoforms.views import ViewOptions
from isoclr.objectives.sequences import DataSources, encoder_config
from isoclr.training.recipe import Options, Place, Recipe
from modeling_isoclr import IsoCLRConfig


class PairOptions(Options):
    """Arguments of `PairSampler`: which two transcripts of a group make a pair."""

    type_weights: dict[str, float] | None = None
    species_weights: dict[str, float] | None = None
    distances: Place | None = None
    distance_band: list[float] | None = None
    graft: bool = False


def _fractions(value: Any) -> float | list[float]:
    bounds = value if isinstance(value, list) else [value, value]
    numbers = all(type(bound) in (int, float) for bound in bounds)
    if not (numbers and len(bounds) == 2 and 0 <= bounds[0] <= bounds[1] < 1):
        raise ValueError("0 <= it < 1, or two such, the least first")
    return value


class IsoformRecipe(Recipe):
    """Everything that decides a contrastive run on isoform groups; see `Recipe` for other keys.

    Attributes:
        data: folder of isoform groups as `isoclr build` writes it, or a dataset on the Hub; or a
            list of such, each perhaps with the keys of `DataSource`.
        model: arguments of `IsoCLRConfig`; `preset` names one of the paper's encoders. With
            `critic: cosine` the temperature is learned, from `loss_temperature` on.
        batch_size: groups a step, over all processes, at most; each gives one pair.
        pairs: see `PairSampler`.
        mask_fraction: nucleotides of every view that are hidden; or two numbers, between which
            each view draws.
        mark_mask_fraction: codon starts and exon ends that are hidden, each on its own, as Orthrus
            does. None: those of the hidden nucleotides are, as IsoCLR does.
        views: what else makes views differ from their transcripts, see `ViewOptions`.
        fewest_transcripts: groups of fewer take no part, and are counted. With 2 no transcript is
            paired with itself; with type weights of `pairs`, as often as they say.
        like_lengths: steps whose groups are sorted by length and dealt into batches anew, so that
            negatives are about as long as the partner; at most those of an epoch. 1: as drawn.
        count_weights: weigh positive terms by ln(n + 0.4)/0.802, n transcripts in the group.
        max_length: transcripts over this many nt are left out, and counted.
        micro_batch_tokens: most nucleotides that go through the encoder at once, gaps included. The
            batch is packed into micro-batches of this one shape, each with a fair mixture of
            lengths; statistics of a `batch` norm are those of a micro-batch. None: all that a
            process has at once, as the paper; a batch norm then takes its statistics over all
            processes.
        gradient_cache: encode each micro-batch twice, so that memory does not grow with the batch.
            False: once, and keep all graphs.
        cuda_graphs: replay the compiled encoder as CUDA graphs, where a core launches kernels more
            slowly than the GPU runs them. With `compile: true` and `gradient_cache: false`.
        token_cache: folder of a local cache of tokens, one byte a nucleotide, for fast disks.
        streaming: read datasets of the Hub while training, without a local copy.
        held_out_groups: groups of two transcripts and more that are never trained on; at most a
            fifth of those there are.
        seed: of the weights, the order, the pairs, the masks and dropout.
    """

    changeable: ClassVar[frozenset[str]] = Recipe.changeable | {
        "data",
        "token_cache",
        "gradient_cache",
        "cuda_graphs",
    }

    data: DataSources
    model: dict[str, Any] = {}
    pairs: PairOptions = PairOptions()
    mask_fraction: Annotated[float | list[float], BeforeValidator(_fractions)] = 0.15
    mark_mask_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    views: ViewOptions = ViewOptions()
    fewest_transcripts: Annotated[int, Field(ge=1)] = 1
    like_lengths: Annotated[int, Field(ge=1)] = 1
    count_weights: bool = True
    max_length: Annotated[int, Field(ge=1)] = 12288
    micro_batch_tokens: Annotated[int, Field(ge=1)] | None = None
    gradient_cache: bool = True
    cuda_graphs: bool = False
    token_cache: Place | None = None
    streaming: bool = False
    held_out_groups: Annotated[int, Field(ge=0)] = 256

    @model_validator(mode="after")
    def _check(self) -> "IsoformRecipe":
        if self.streaming and self.token_cache:
            raise ValueError("token_cache: got one beside streaming, wanted one of them")
        if self.streaming and self.like_lengths > 1:
            raise ValueError("like_lengths: got it beside streaming, wanted one of them")
        if self.cuda_graphs and (self.gradient_cache or not self.compile):
            raise ValueError(
                f"cuda_graphs: got true with compile: {str(self.compile).lower()} and "
                f"gradient_cache: {str(self.gradient_cache).lower()}, wanted it with compile: true "
                "and gradient_cache: false"
            )
        if self.encoder_config().critic == "bilinear":
            raise ValueError("model: critic: got 'bilinear', wanted 'cosine' or none of isoforms")
        return self

    def mask_fractions(self) -> tuple[float, float]:
        """Return the least and the greatest fraction of hidden nucleotides."""
        bounds = self.mask_fraction
        low, high = bounds if isinstance(bounds, list) else (bounds, bounds)
        return float(low), float(high)

    def encoder_config(self) -> IsoCLRConfig:
        """Make the encoder's configuration; a bad argument is a ValueError."""
        return encoder_config(self.model)
