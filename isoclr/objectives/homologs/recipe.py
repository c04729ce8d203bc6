"""The recipe of contrastive learning on homologs."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from isoclr.objectives.homologs.mutation import Mutation
from isoclr.objectives.sequences import DataSources, encoder_config
from isoclr.training.recipe import Options, Recipe

WINDOWS = ("independent", "same", "disjoint")


class MutationOptions(Options):
    """The control without homologs.

    Attributes:
        indel_rate, indel_length: see `mutation.Mutation`.
        unknown_identity: of a mutated copy where no distance to a homolog is known.
    """

    indel_rate: Annotated[float, Field(ge=0, lt=1)] = Mutation.indel_rate
    indel_length: Annotated[float, Field(ge=1)] = Mutation.indel_length
    unknown_identity: Annotated[float, Field(gt=0, le=1)] = 0.5


def _window_weights(value: Any) -> Any:
    """A way to cut windows, or several with weights, as the latter."""
    value = {value: 1.0} if isinstance(value, str) else value
    known = isinstance(value, dict) and value and not value.keys() - set(WINDOWS)
    if not known or not all(type(w) in (int, float) and w > 0 for w in value.values()):
        raise ValueError(f"{', '.join(WINDOWS)}, or several with weights above 0")
    return {name: float(weight) for name, weight in value.items()}


def _bands(value: Any) -> Any:
    """Ascending intervals of distance."""
    numbers = isinstance(value, list) and all(
        isinstance(band, list)
        and len(band) == 2
        and all(type(edge) in (int, float) for edge in band)
        and 0 <= band[0] < band[1]
        for band in value
    )
    if not numbers or any(a[1] > b[0] for a, b in zip(value, value[1:], strict=False)):
        raise ValueError("ascending [least, most] distances that do not overlap")
    return [[float(edge) for edge in band] for band in value]


class HomologRecipe(Recipe):
    """Everything that decides a contrastive run on homologs; see `Recipe` for other keys.

    Attributes:
        data: folder of families as `isoclr build-homologs` writes it, or a dataset on the Hub; or a
            list of such, each perhaps with the keys of `DataSource`.
        encoder: `isoclr`; or, of families without gaps, all of one length, one that keeps positions
            apart, for simulated families (see `site_model`): `sites` or `linear`, which are linear
            in the letters, or `positions`, the same convolutions without a mean over positions.
        model: arguments of `IsoCLRConfig`; `preset` names one of the paper's encoders. The alphabet
            is that of the data.
        loss: contrastive, or masked: the letters that are hidden are predicted instead, the control
            of the same size.
        critic: cosine or bilinear, times a scale that is learned.
        temperature: that the critic begins with.
        batch_size: families a step, over all processes, at most; each gives one anchor and its
            positives. No family is twice in a batch, so that none is its own negative.
        positives: of an anchor: `uniform` over its homologs; `species`: first a species by its
            weight, then a homolog of it; `bands`: first a band of distances, then a pair in it;
            `mutation`: the control, the anchor itself with as many substitutions as a homolog has.
        species_weights: with `species`: species -> weight, of others 1.
        bands: intervals of distance, in the data's unit; pairs outside of all are not drawn.
        tell_bands: the critic has a temperature of each band.
        homologs: positives of an anchor, whose embeddings are averaged: one against a set.
        negatives: `any`; or `same_species`: in a step, all positives are of one species and all
            anchors of another, where the families have them, so that species do not tell families
            apart.
        length_matched: a batch holds families of like length.
        window: letters of a view, at most; None: all, up to `max_length`.
        windows: how the windows of a pair lie: `independent`; `same`, at the same place;
            `disjoint`: no letter of one is homologous to one of the other, and sequences shorter
            than two windows take no part. Or several of these, with weights.
        max_length: letters of a view without `window`.
        drop_unknown: leave X or N out of the sequences; see `Families`.
        mask_fraction: letters of every view that are hidden.
        mask_span: of them, letters in a row.
        mutation: see `MutationOptions`.
        held_out_families: that are never trained on, the same for every recipe with this number,
            data and seed.
        test_families: of these, how many no evaluation sees before the final one (`isoclr
            information`, `isoclr windows`). 0: the final one has all that are held out.
        seed: of the weights, the order, the views, the masks and dropout.
    """

    changeable: ClassVar[frozenset[str]] = Recipe.changeable | {"data"}

    objective: str = "homologs"
    data: DataSources
    encoder: Literal["isoclr", "sites", "linear", "positions"] = "isoclr"
    model: dict[str, Any] = {}
    loss: Literal["contrastive", "masked"] = "contrastive"
    critic: Literal["cosine", "bilinear"] = "cosine"
    temperature: Annotated[float, Field(gt=0)] = 0.1
    positives: Literal["uniform", "species", "bands", "mutation"] = "uniform"
    species_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    bands: Annotated[list[list[float]], BeforeValidator(_bands)] = []
    tell_bands: bool = False
    homologs: Annotated[int, Field(ge=1)] = 1
    negatives: Literal["any", "same_species"] = "any"
    length_matched: bool = False
    window: Annotated[int, Field(ge=2)] | None = None
    windows: Annotated[dict[str, float], BeforeValidator(_window_weights)] = {"independent": 1.0}
    max_length: Annotated[int, Field(ge=2)] = 2048
    drop_unknown: bool = False
    mask_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mask_span: Annotated[int, Field(ge=1)] = 1
    mutation: MutationOptions = MutationOptions()
    held_out_families: Annotated[int, Field(ge=0)] = 64
    test_families: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> "HomologRecipe":
        if (self.positives == "bands" or self.tell_bands) and not self.bands:
            raise ValueError("bands: got none, wanted intervals of distance")
        if self.window is None and "disjoint" in self.windows:
            raise ValueError("window: got none with disjoint windows, wanted their length")
        if self.positives == "mutation" and self.homologs > 1:
            raise ValueError("homologs: got several with positives by mutation, wanted 1")
        if self.positives == "mutation" and "disjoint" in self.windows:
            raise ValueError("windows: got disjoint ones of a mutated sequence, wanted others")
        if self.critic == "bilinear" and self.encoder in ("sites", "positions"):
            raise ValueError("critic: got bilinear with an encoder of positions, wanted cosine")
        if self.loss == "masked" and (not self.mask_fraction or self.encoder != "isoclr"):
            raise ValueError("mask_fraction, encoder: got none, or no isoclr, to predict masks by")
        for name in ("alphabet", "critic", "critic_bands", "loss_temperature"):
            if name in self.model:
                raise ValueError(f"model.{name}: got one, wanted none: other keys decide it")
        if self.test_families > self.held_out_families:
            raise ValueError(
                f"test_families: got {self.test_families}, wanted at most held_out_families "
                f"({self.held_out_families})"
            )
        self.encoder_config("rna")
        return self

    def encoder_config(self, alphabet: str):
        """Return the model's configuration for an alphabet; a bad argument is a ValueError."""
        told = {
            "alphabet": alphabet,
            "critic": self.critic,
            "critic_bands": len(self.bands) if self.tell_bands else 1,
            "loss_temperature": self.temperature,
            "loss_form": "info_nce",
        }
        if alphabet == "rna":
            told["n_tracks"] = self.model.get("n_tracks", 4)
        return encoder_config(self.model | told)
