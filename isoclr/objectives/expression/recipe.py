"""The recipe of self-supervised learning on bulk expression."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from isoclr.training.recipe import Recipe, make_config
from modeling_isoclr import ExpressionConfig

_OURS = ("n_genes", "method")  # of the configuration, what other keys of the recipe say


class ExpressionRecipe(Recipe):
    """Everything that decides a run on expression; see `Recipe` for other keys.

    Attributes:
        data: file of expression, as `isoclr expression prepare` writes it, or any that it reads.
        method: scarf, vime, byol, denoising or halves.
        model: arguments of `ExpressionConfig`.
        batch_size: samples a step, over all processes, at most.
        transform: of the processor: log, ranks or quantile.
        n_genes: genes that are kept, those of the greatest variance in training; None: all that
            vary.
        clip: bound of z-scores.
        corruption: fraction of the values of a view that are replaced.
        replacement: of a corrupted value: `uniform`, between the gene's least and greatest value in
            training; or `marginal`, the gene's value in another sample (SCARF's own).
        gene_modules: of halves: genes are put into so many modules of co-expressed genes, and a
            view has half of the modules; 0: each gene on its own.
        held_out_fraction: of the samples, never trained on, for evaluation.
        group_column: column of `obs`, such as the donor, whose samples are held out together.
    """

    changeable: ClassVar[frozenset[str]] = Recipe.changeable | {"data"}

    objective: Literal["expression"] = "expression"
    data: str
    method: Literal["scarf", "vime", "byol", "denoising", "halves"] = "scarf"
    model: dict[str, Any] = {}
    batch_size: Annotated[int, Field(ge=2)] = 256
    transform: Literal["log", "ranks", "quantile"] = "log"
    n_genes: Annotated[int, Field(ge=1)] | None = None
    clip: Annotated[float, Field(gt=0)] = 10.0
    corruption: Annotated[float, Field(gt=0, lt=1)] = 0.3
    replacement: Literal["uniform", "marginal"] = "uniform"
    gene_modules: Annotated[int, Field(ge=0)] = 0
    held_out_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    group_column: str | None = None

    @model_validator(mode="after")
    def _check_model(self):
        self.encoder_config(1)
        return self

    def encoder_config(self, n_genes: int) -> ExpressionConfig:
        """The configuration of an encoder of `n_genes` genes."""
        known = [name for name in ExpressionConfig().to_dict() if name not in _OURS]
        make = partial(ExpressionConfig, n_genes=n_genes, method=self.method)
        return make_config(make, self.model, known)
