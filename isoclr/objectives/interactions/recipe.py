"""The recipe of models of RNA–protein interaction."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from isoclr.training.recipe import Place, Recipe, make_config
from modeling_isoclr import RPIConfig

_SET_BY_TRAINING = ("calibration", "threshold", "landmarks", "training")


class InteractionRecipe(Recipe):
    """Everything that decides a run on interactions; see `Recipe` for other keys.

    Attributes:
        data: folder of pairs, as `isoclr build-interactions` writes it.
        model: arguments of `RPIConfig`; an embedder of kind precomputed has its `file` too.
        batch_size: pairs a step, over all processes, at most.
        split: what test and validation have that train has not: `random` (pairs), `new-rna`,
            `new-protein` or `both-new`; or `source`: the source of a pair is its side, train,
            validation or test.
        split_by: what stays on one side: a `cluster` of similar sequences, or a `family`; of a
            molecule without a family it is the cluster.
        folds: parts that the data is cut into.
        fold: the part that is test, and is not used.
        split_seed: of the cut.
        keep_test: leave the test part alone; false: validate on it, and learn from all others.
        negatives: `given`, or `redrawn` by swaps inside each side (docs/INTERACTIONS.md).
        negative_draws: of redrawn negatives in train; each pair then weighs so much less.
        rna_ridge: of the design `kernel`, in units of the mean diagonal of the centred kernel of
            RNAs: the larger, the smoother.
        protein_ridge: the same of proteins.
        joint_ridge: one ridge of the products of both kernels in place of the two, in units of the
            product of the diagonals.
        cache: folder of the vectors that encoders make; None: `embeddings` in `data`.
    """

    changeable: ClassVar[frozenset[str]] = Recipe.changeable | {"data", "cache"}

    objective: Literal["interactions"] = "interactions"
    data: Place
    model: dict[str, Any] = {}
    batch_size: Annotated[int, Field(ge=2)] = 64
    split: Literal["random", "new-rna", "new-protein", "both-new", "source"] = "both-new"
    split_by: Literal["cluster", "family"] = "cluster"
    folds: Annotated[int, Field(ge=2)] = 4
    fold: Annotated[int, Field(ge=0)] = 0
    split_seed: Annotated[int, Field(ge=0)] = 0
    keep_test: bool = True
    negatives: Literal["given", "redrawn"] = "redrawn"
    negative_draws: Annotated[int, Field(ge=1)] = 1
    rna_ridge: Annotated[float, Field(gt=0)] = 1.0
    protein_ridge: Annotated[float, Field(gt=0)] = 10.0
    joint_ridge: Annotated[float, Field(gt=0)] | None = None
    cache: Place | None = None

    @model_validator(mode="after")
    def _check(self):
        self.pair_config()
        if self.fold >= self.folds:
            raise ValueError(f"fold: got {self.fold}, wanted one of 0 to {self.folds - 1}")
        if self.negatives == "given" and self.negative_draws > 1:
            raise ValueError(
                f"negative_draws: got {self.negative_draws} with given negatives, wanted redrawn"
            )
        return self

    def pair_config(self) -> RPIConfig:
        """The configuration of the model."""
        known = [name for name in RPIConfig().to_dict() if name not in _SET_BY_TRAINING]
        return make_config(RPIConfig, self.model, known)
