"""Bounds of trained critics: on simulated channels, beside the optimum, and on real families."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.bounds import info_nce
from isoclr.information.known import Bounds, bounds, shown_nwj
from isoclr.objectives import read_recipe
from isoclr.objectives.homologs.objective import HomologObjective
from isoclr.objectives.homologs.recipe import WINDOWS, HomologRecipe
from isoclr.objectives.homologs.site_model import SiteModel
from isoclr.statistics import aligned, markdown_table
from modeling_isoclr import IsoCLRForPreTraining

_CALIBRATION = 8  # batches that calibrate NWJ and are not reported


@dataclass(frozen=True)
class BandBounds:
    """What a critic finds between homologs of one band of distances.

    Attributes:
        band: [least, most] distance; None: pairs as the recipe draws them.
        families: held-out families that have such pairs.
        batch_size: of them in a batch.
        bounds: in nats, with standard errors over batches.
        family_error: standard error of InfoNCE over families. Batches share families, so this is
            what other families would be expected to change.
        accuracy: share of pairs whose partner ranks first.
    """

    band: tuple[float, float] | None
    families: int
    batch_size: int
    bounds: Bounds
    family_error: float
    accuracy: float


@dataclass(frozen=True)
class FamilyBounds:
    """The bounds of a trained critic on held-out families.

    Attributes:
        model: name of its folder.
        batches: that each bound is a mean of.
        bands: in ascending order; the first has all pairs.
        windows: how the windows of a pair lay; None: as in training.
    """

    model: str
    batches: int
    bands: tuple[BandBounds, ...]
    windows: str | None = None

    def _rows(self) -> list[list[str]]:
        header = ["distances", "families", "N", "log N", "InfoNCE", "± over families", "permuted"]
        lines = [[*header, "NWJ", "partner first"]]
        for band in self.bands:
            found = band.bounds
            near = found.info_nce.mean > np.log(band.batch_size) - 3
            lines.append(
                [
                    "as in training" if band.band is None else "{:g} to {:g}".format(*band.band),
                    str(band.families),
                    str(band.batch_size),
                    f"{np.log(band.batch_size):.2f}",
                    f"{found.info_nce}{' (near log N)' if near else ''}",
                    f"{band.family_error:.3f}",
                    str(found.permuted),
                    shown_nwj(found),
                    f"{band.accuracy:.1%}",
                ]
            )
        return lines

    def table(self) -> str:
        """The table as text."""
        title = f"{self.model}, held-out families, nats; mean ± standard error of {self.batches}"
        lay = f", {self.windows} windows" if self.windows else ""
        return f"{title} batches{lay}\n{aligned(self._rows())}"

    def markdown(self) -> str:
        """The table for a card."""
        lay = f", {self.windows} windows" if self.windows else ""
        return (
            f"### Information between homologs of families that were not trained on{lay}\n\n"
            f"Lower bounds in nats, mean ± standard error of {self.batches} batches. No InfoNCE "
            "exceeds log N; a bound near it says *at least*. Permuted partners share nothing.\n\n"
            f"{markdown_table(self._rows())}\n"
        )

    def save(self, folder: Path) -> None:
        """Write `families.json`, `families.txt`, `families.md` and `families.png`."""
        from isoclr.information.figures import plot_families

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "families.txt").write_text(self.table() + "\n")
        (folder / "families.md").write_text(self.markdown())
        (folder / "families.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        plot_families(self, folder / "families.png")


def family_bounds(
    folder: str | Path,
    *,
    data: Sequence[str] = (),
    bands: Sequence[tuple[float, float]] = (),
    windows: str | None = None,
    batch_size: int = 256,
    batches: int = 20,
) -> FamilyBounds:
    """Measure a trained critic on the families that its recipe holds out.

    Args:
        folder: of a model that the objective `homologs` trained: config, weights and recipe.yaml.
        data: families; none: those of the recipe.
        bands: of distances, beside the pairs that the recipe draws.
        windows: how the windows of a pair lie, one of `WINDOWS`; None: as in training.
        batch_size: families a batch, fewer where fewer are held out.
        batches: that are reported.

    Raises:
        InputError: another kind of model, fewer than two held-out families, an empty band, or one
            that a critic with a scale of each band was not trained on.
    """
    recipe = homolog_recipe(folder, data)
    if recipe.loss != "contrastive":
        raise InputError(f"{folder}: loss: got {recipe.loss!r}, wanted a critic: contrastive")
    if windows is not None:
        recipe = _with_windows(recipe, windows, folder)
    model = load_critic(folder)
    found = [_measured(recipe, model, None, batch_size, batches)]
    for band in bands:
        of_band = model if model.config.critic_bands == 1 else told_band(model, recipe.bands, band)
        told = {"positives": "bands", "bands": [list(band)], "tell_bands": False}
        found.append(_measured(recipe.model_copy(update=told), of_band, band, batch_size, batches))
    # The name alone: a card says the same wherever the model lies.
    return FamilyBounds(Path(folder).resolve().name, batches, tuple(found), windows)


def told_band(
    model: IsoCLRForPreTraining | SiteModel,
    trained: Sequence[Sequence[float]],
    band: Sequence[float],
) -> IsoCLRForPreTraining | SiteModel:
    """Return a copy of a model whose critic has the scale of one of its bands alone."""
    bands = [tuple(one) for one in trained]
    if tuple(band) not in bands:
        listed = ", ".join("{:g}-{:g}".format(*one) for one in bands)
        raise InputError(
            "bands: got {:g}-{:g} of a critic that is told others, wanted of ".format(*band)
            + listed
        )
    number = bands.index(tuple(band))
    copy = deepcopy(model)
    assert copy.critic is not None  # it is told bands
    scale = copy.critic.log_scale[number : number + 1]
    copy.critic.log_scale = torch.nn.Parameter(scale.detach())
    copy.config.critic_bands = 1
    return copy


def _with_windows(recipe: HomologRecipe, windows: str, folder) -> HomologRecipe:
    if windows not in WINDOWS:
        raise InputError(f"windows: got {windows!r}, wanted one of {', '.join(WINDOWS)}")
    if recipe.window is None:
        raise InputError(f"{folder}: windows: got {windows!r} of a model without, wanted none")
    return recipe.model_copy(update={"windows": {windows: 1.0}})


def parse_bands(text: str | None) -> tuple[tuple[float, float], ...]:
    """Return bands of distances written as `0-0.1,0.1-0.5`; none for no text."""
    bands = []
    for part in text.split(",") if text else ():
        low, dash, high = part.partition("-")
        try:
            band = float(low), float(high)
        except ValueError:
            band = 1.0, 0.0
        if not (dash and 0 <= band[0] < band[1] < np.inf):
            raise InputError(f"bands: got {part!r}, wanted distances such as 0-0.1,0.1-0.5")
        bands.append(band)
    return tuple(bands)


def homolog_recipe(folder: str | Path, data: Sequence[str] = ()) -> HomologRecipe:
    """Read the recipe of a model folder, with other data if it is given."""
    path = Path(folder) / "recipe.yaml"
    overrides = [f"--data={json.dumps(list(data))}"] if data else []
    recipe = read_recipe(path, overrides)
    if not isinstance(recipe, HomologRecipe):
        raise InputError(f"{path}: objective: got {recipe.objective!r}, wanted 'homologs'")
    return recipe


def load_critic(folder: str | Path) -> IsoCLRForPreTraining | SiteModel:
    """Load a model that has a critic, in evaluation mode."""
    config = read_json(Path(folder) / "config.json", ("model_type",), "a model with a critic")
    if config.get("critic") is None:
        raise InputError(f"{folder}: critic: got none, wanted a model that homologs taught")
    kind = SiteModel if "sites" in config else IsoCLRForPreTraining
    return kind.from_pretrained(folder).eval()


def _measured(recipe, model, band, batch_size: int, batches: int) -> BandBounds:
    objective = HomologObjective(recipe, 0, 1)
    held = objective.batches.test
    if len(held) < 2:
        raise InputError(f"held_out_families: got {len(held)} with such pairs, wanted two or more")
    size = min(batch_size, len(held))

    def families(draw: int) -> np.ndarray:
        return np.sort(np.random.default_rng([recipe.seed, draw]).permutation(held)[:size])

    draws = range(_CALIBRATION + batches)
    scores, rows = objective.held_out_scores(model, draws, families), list(map(families, draws))
    reported, told = scores[_CALIBRATION:], model.config.critic_bands > 1
    of_family: dict[int, list[float]] = {}
    for asked, batch in zip(rows[_CALIBRATION:], reported, strict=True):
        for family, value in zip(
            asked.tolist(), info_nce(batch, rows_alone=told).tolist(), strict=True
        ):
            of_family.setdefault(family, []).append(value)
    means = np.array([np.mean(values) for values in of_family.values()])
    ranked = [(batch.argmax(1) == np.arange(size)).mean() for batch in reported]
    return BandBounds(
        band=None if band is None else tuple(band),
        families=len(held),
        batch_size=size,
        bounds=bounds(reported, scores[:_CALIBRATION], seed=recipe.seed, rows_alone=told),
        family_error=float(means.std(ddof=1) / np.sqrt(len(means))),
        accuracy=float(np.mean(ranked)),
    )


def site_critic(model: SiteModel) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a model of simulated sites as a critic of letters, see `known.Critic`."""

    @torch.no_grad()
    def critic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        tokens = torch.from_numpy(np.concatenate([first, second]))
        projections = model(tokens).projections
        pair = projections[: len(first)], projections[len(first) :]
        return model.critic(*pair)[0].double().numpy()

    return critic
