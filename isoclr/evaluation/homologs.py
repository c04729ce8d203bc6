"""Windows of held-out families: does a window of a homolog rank first among other families'?

Two tasks. `disjoint`: from the first letters of a sequence to the last of its homolog, which share
no site; only what the whole family is like can tell. `overlapping`: from a window to that of the
homolog at the same place, by the distance of the two; near homologs are found by any words they
share, distant ones are not. Candidates of a query are of one species, so that species do not help.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array

from data_builders.records import InputError
from isoclr.evaluation.embeddings import model_names
from isoclr.evaluation.networks import untrained
from isoclr.information.trained import homolog_recipe, load_critic
from isoclr.objectives.homologs.families import Families, held_out, load_families
from isoclr.objectives.homologs.recipe import HomologRecipe
from isoclr.pretrained import load_model, read_config
from isoclr.statistics import aligned, markdown_table
from modeling_isoclr.configuration_isoclr import N_BASE, VOCABULARY_SIZE
from modeling_isoclr.tokenization_isoclr import pad_tokens

Features = Callable[[list[np.ndarray]], np.ndarray | csr_array]
"""Rows of tokens to features of unit length, (rows, width)."""

Ranks = dict[str, dict[int, list[float]]]
"""Name of the features -> family -> candidates that came before its partner, a draw each."""

KMERS = (1, 2, 3, 4, 5, 6)
_COMMON = 0.6  # share of the families that a species must be in
_UNKNOWN = 0.2  # most unknown letters of a window
_COLOURS = {"critic": "C0", "embedding": "C0"}
_ROWS = 256  # through the encoder at once


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes:
        name: disjoint or overlapping.
        band: [least, most] distance of query and partner; None: any.
    """

    name: str
    band: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """For a table."""
        return self.name if self.band is None else "{}, {:g} to {:g}".format(self.name, *self.band)


@dataclass(frozen=True)
class Retrieved:
    """What features find in one task.

    Attributes:
        task: its title.
        features: their name.
        families: that were asked for.
        candidates: mean number of a query.
        recall_at_1: mean over families of the share of their queries whose partner ranks first.
        error_at_1: its standard error over families.
        recall_at_10: the same of the first ten.
        mrr: mean reciprocal rank.
        gain: recall_at_1 beyond the best k-mers, families paired.
        gain_error: its standard error.
    """

    task: str
    features: str
    families: int
    candidates: float
    recall_at_1: float
    error_at_1: float
    recall_at_10: float
    mrr: float
    gain: float
    gain_error: float


@dataclass(frozen=True)
class Retrieval:
    """All that was found.

    Attributes:
        model: folder of the first model.
        window: letters of a window.
        found: by task, then features.
    """

    model: str
    window: int
    found: tuple[Retrieved, ...]

    def _rows(self) -> list[list[str]]:
        header = ["task", "features", "families", "candidates", "recall@1", "recall@10", "MRR"]
        lines = [[*header, "beyond the best k-mers"]]
        for one in self.found:
            lines.append(
                [
                    one.task,
                    one.features,
                    str(one.families),
                    f"{one.candidates:.0f}",
                    f"{one.recall_at_1:.3f} ± {1.96 * one.error_at_1:.3f}",
                    f"{one.recall_at_10:.3f}",
                    f"{one.mrr:.3f}",
                    f"{one.gain:+.3f} ± {1.96 * one.gain_error:.3f}",
                ]
            )
        return lines

    def table(self) -> str:
        """The table as text."""
        title = f"Windows of {self.window} letters, held-out families; ± 95 %"
        return f"{title}\n{aligned(self._rows())}"

    def markdown(self) -> str:
        """The table for a card."""
        return (
            f"### Windows of {self.window} letters of families that were not trained on\n\n"
            "Does the window of a homolog rank first among those of other families, all of one "
            "species? *Disjoint*: from the first letters of a sequence to the last of its homolog. "
            "*Overlapping*: at the same place, by distance. ± is a 95 % interval over families; "
            f"*beyond* is paired by family.\n\n{markdown_table(self._rows())}\n"
        )

    def save(self, folder: Path) -> None:
        """Write `windows.json`, `windows.txt`, `windows.md` and `windows.png`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "windows.txt").write_text(self.table() + "\n")
        (folder / "windows.md").write_text(self.markdown())
        (folder / "windows.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        plot_retrieval(self, folder / "windows.png")


def retrieve_windows(
    models: Sequence[str | Path],
    *,
    data: Sequence[str] = (),
    window: int = 100,
    bands: Sequence[tuple[float, float]] = (),
    draws: int = 20,
    seed: int = 0,
) -> Retrieval:
    """Measure a model, its untrained twin and k-mers on the families that its recipe holds out.

    The first model is one that the objective `homologs` trained with a contrast; others, such as
    controls, are measured beside it on the same families: `data`, or those of the recipe. Bands are
    distances of the overlapping task, draws pairs of species, each a query of every family. Another
    kind of model, one that was trained on other families, and too few families are an InputError.
    """
    named = {name: Path(folder) for name, folder in model_names(models).items()}
    recipe, *others = (homolog_recipe(folder, data) for folder in named.values())
    for folder, other in zip(models[1:], others, strict=True):
        check_held_out(folder, other, recipe)
    families = load_families(recipe.data[0], drop_unknown=recipe.drop_unknown)
    asked = recipe.test_families or recipe.held_out_families
    held = np.flatnonzero(held_out(families.ids, asked, recipe.seed))
    features = feature_sets(named)
    tasks = [Task("disjoint"), *(Task("overlapping", (low, high)) for low, high in bands)]
    found: list[Retrieved] = []
    for task in tasks:
        found += retrieve(families, held, task, features, (window, draws, seed))
    return Retrieval(str(models[0]), window, tuple(found))


def check_held_out(folder: str | Path, recipe: HomologRecipe, first: HomologRecipe) -> None:
    """Refuse a model that was trained on families that another one was kept from."""
    asked = "held_out_families", "test_families", "seed"
    got, wanted = ([getattr(one, key) for key in asked] for one in (recipe, first))
    if got != wanted:
        raise InputError(
            f"{folder}: {', '.join(asked)}: got {got}, wanted {wanted} as of the first model: "
            "it may have been trained on what is asked"
        )


def feature_sets(models: Mapping[str, Path]) -> dict[str, Features]:
    """Return the features of models, of an untrained twin, and k-mers, by name."""
    features: dict[str, Features] = {}
    for number, (name, folder) in enumerate(models.items()):
        before = f"{name}: " if number else ""
        if homolog_recipe(folder).loss == "contrastive":
            features[f"{before}critic"] = partial(embedded, load_critic(folder), projected=True)
        features[f"{before}embedding"] = partial(embedded, load_model(folder)[0])
    config = read_config(next(iter(models.values())) / "config.json")
    features["untrained"] = partial(embedded, untrained(config, 0))
    return features | {f"{k}-mers": partial(kmers, k=k) for k in KMERS}


@torch.no_grad()
def embedded(model, rows: list[np.ndarray], *, projected: bool = False) -> np.ndarray:
    """Return embeddings, centred, or projections as the critic takes them, of unit length."""
    parts = []
    for start in range(0, len(rows), _ROWS):
        tokens = torch.from_numpy(pad_tokens(rows[start : start + _ROWS])).to(model.device)
        if projected:
            found = model(tokens, return_loss=False).projections
        else:
            found = model(tokens).pooler_output
        parts.append(found.float().cpu().numpy())
    found = np.concatenate(parts).astype(np.float64)
    return _unit(found if projected else found - found.mean(0))


def kmers(rows: list[np.ndarray], k: int) -> np.ndarray | csr_array:
    """Return square roots of frequencies of k-mers, of unit length; of 1-mers and 2-mers, centred.

    K-mers with an unknown letter do not count.
    """
    codes, owners = [], []
    powers = VOCABULARY_SIZE ** np.arange(k, dtype=np.int64)
    for number, row in enumerate(rows):
        if len(row) < k:
            continue
        words = np.lib.stride_tricks.sliding_window_view(row, k)
        words = words[(words != N_BASE).all(1)].astype(np.int64)
        codes.append(words @ powers)
        owners.append(np.full(len(words), number))
    kinds, columns = np.unique(np.concatenate(codes), return_inverse=True)
    shape = len(rows), max(len(kinds), 1)
    counts = csr_array((np.ones(len(columns)), (np.concatenate(owners), columns)), shape=shape)
    counts.sum_duplicates()
    counts.data = np.sqrt(counts.data)
    if k <= 2:
        dense = counts.toarray()
        dense /= np.linalg.norm(dense, axis=1, keepdims=True).clip(1e-12)
        return _unit(dense - dense.mean(0))
    norms = np.sqrt(counts.multiply(counts).sum(1)).clip(1e-12)
    return csr_array(counts.multiply(1 / norms[:, None]))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)


def retrieve(
    families: Families,
    held: np.ndarray,
    task: Task,
    features: Mapping[str, Features],
    drawing: tuple[int, int, int],
) -> list[Retrieved]:
    """Measure features on held-out families in one task; `drawing` is letters, draws and seed."""
    window, draws, seed = drawing
    found = [
        rank_draw(families, held, task, features, (window, draw, seed)) for draw in range(draws)
    ]
    found = [(ranks, candidates) for ranks, candidates in found if candidates]
    if not found:
        raise InputError(f"{families.source}: {task.title}: got no two families, wanted some")
    return summed(task, found)


def rank_draw(
    families: Families,
    held: np.ndarray,
    task: Task,
    features: Mapping[str, Features],
    drawing: tuple[int, int, int],
) -> tuple[Ranks, int]:
    """Rank the partner of each held-out family in one draw: (letters, number, seed).

    It returns, by features and family, the candidates before its partner; and how many candidates
    there were, 0 where there are no two families.
    """
    window, draw, seed = drawing
    ranks: Ranks = {name: {} for name in features}
    rng = np.random.default_rng([seed, draw, len(task.name)])
    chosen = _windows(families, held, task, window, rng)
    if chosen is None:
        return ranks, 0
    of_families, queries, candidates, asked = chosen
    for name, feature in features.items():
        rows = feature(queries + candidates)
        scores = rows[: len(queries)] @ rows[len(queries) :].T
        scores = scores if isinstance(scores, np.ndarray) else scores.toarray()
        own = scores[np.arange(len(queries)), asked]
        # A tie counts as half of a loss, so that features without a word say nothing.
        ahead = (scores > own[:, None]).sum(1) + ((scores == own[:, None]).sum(1) - 1) / 2
        for family, before in zip(of_families, ahead.tolist(), strict=True):
            ranks[name].setdefault(family, []).append(before)
    return ranks, len(candidates)


def summed(task: Task, draws: Sequence[tuple[Ranks, int]]) -> list[Retrieved]:
    """Return what features found in the draws of one task."""
    ranks: Ranks = {name: {} for name in draws[0][0]}
    for of_draw, _ in draws:
        for name, of_families in of_draw.items():
            for family, found in of_families.items():
                ranks[name].setdefault(family, []).extend(found)
    first = {name: _of_families(found, lambda r: r < 1) for name, found in ranks.items()}
    baseline = max((n for n in first if n.endswith("-mers")), key=lambda n: first[n].mean())
    return [
        Retrieved(
            task=task.title,
            features=name,
            families=len(first[name]),
            candidates=float(np.mean([size for _, size in draws])),
            recall_at_1=float(first[name].mean()),
            error_at_1=_error(first[name]),
            recall_at_10=float(_of_families(found, lambda r: r < 10).mean()),
            mrr=float(_of_families(found, lambda r: 1 / (1 + r)).mean()),
            gain=float((first[name] - first[baseline]).mean()),
            gain_error=_error(first[name] - first[baseline]),
        )
        for name, found in ranks.items()
    ]


def _of_families(ranks: dict[int, list[float]], score: Callable) -> np.ndarray:
    return np.array([score(np.array(of_one)).mean() for _, of_one in sorted(ranks.items())])


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _windows(families: Families, held: np.ndarray, task: Task, window: int, rng):
    """Families, windows that ask, windows to be found, and which of these is whose partner."""
    of_family = {int(f): families.members(int(f)) for f in held}
    present = np.zeros(len(families.species_names))
    for members in of_family.values():
        present[np.unique(families.species[members])] += 1
    common = np.flatnonzero(present >= _COMMON * len(held))
    target = int(rng.choice(common))
    found = []
    for family, members in of_family.items():
        partners = members[families.species[members] == target]
        if not len(partners):
            continue
        partner = int(partners[0])
        others = [int(m) for m in members if m != partner and _fits(families, m, partner, task)]
        if not others:
            continue
        pair = _pair(families, int(rng.choice(others)), partner, task, window, rng)
        if pair is not None:
            found.append((family, *pair))
    if len(found) < 2:
        return None
    names, queries, candidates = zip(*found, strict=True)
    return list(names), list(queries), list(candidates), np.arange(len(found))


def _fits(families: Families, first: int, second: int, task: Task) -> bool:
    if task.band is None:
        return True
    family = int(np.searchsorted(families.bounds, first, "right")) - 1
    distance = families.distance(family, first, second)
    return bool(task.band[0] <= distance < task.band[1])


def _pair(families: Families, first: int, second: int, task: Task, window: int, rng):
    a, b = families.tokens(first), families.tokens(second)
    if min(len(a), len(b)) < 2 * window:
        return None
    if task.name == "disjoint":
        rows = a[:window], b[-window:]
    else:
        place = rng.random()
        rows = tuple(t[(at := int(place * (len(t) - window))) : at + window] for t in (a, b))
    if max((row == N_BASE).mean() for row in rows) > _UNKNOWN:
        return None
    return rows


def plot_retrieval(found: Retrieval, path: str | Path) -> None:
    """Draw recall at 1 of every feature set, a panel a task."""
    from data_builders.figures import new_axes, plain, write_figure

    tasks = list(dict.fromkeys(one.task for one in found.found))
    figure, panels = new_axes(2.6 + 2.4 * len(tasks), 3.6, 1, len(tasks), sharey=True)
    for panel, task in zip(panels, tasks, strict=True):
        shown = [one for one in found.found if one.task == task][::-1]
        means = [one.recall_at_1 for one in shown]
        errors = [1.96 * one.error_at_1 for one in shown]
        names = [one.features for one in shown]
        colours = [_COLOURS.get(name, "0.3" if ": " in name else "0.6") for name in names]
        panel.barh([plain(name) for name in names], means, xerr=errors, color=colours, capsize=2)
        panel.axvline(1 / shown[0].candidates, c="k", ls=":", lw=1)
        panel.set_title(task, fontsize=9)
        panel.set_xlabel("recall@1 (dotted: chance)")
    write_figure(figure, path)
