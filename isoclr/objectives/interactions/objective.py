"""Training on pairs of an RNA and a protein that interact or do not (RPIembeddor, RNAInterAct)."""

import copy
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from data_builders.counts import counted
from data_builders.interactions.dataset import InteractionSet, read_interactions
from data_builders.interactions.splits import (
    interaction_folds,
    positives_of,
    redraw_negatives,
)
from data_builders.labels.splits import Split
from data_builders.records import InputError
from data_builders.storage import respect_umask
from data_builders.text import read_json
from isoclr.objectives.base import Objective
from isoclr.objectives.card import CardFacts
from isoclr.objectives.interactions.batches import PairBatch, PairBatches, Pairs
from isoclr.objectives.interactions.calibration import platt
from isoclr.objectives.interactions.known import write_known
from isoclr.objectives.interactions.recipe import InteractionRecipe
from isoclr.objectives.interactions.ridge import fit_kernels
from isoclr.objectives.interactions.vectors import MeanVectors, MoleculeVectors, vectors_of
from isoclr.training.curves import Panel
from isoclr.training.processes import sum_over_processes
from modeling_isoclr import RPIConfig, RPIForSequenceClassification, RPIProcessor

_BEST = Path("checkpoints") / "best.safetensors"
_POSITIONS_AT_ONCE = 1 << 16  # of pairs that are scored without gradients
_MOLECULES_FITTED = 20_000
_MOST_LANDMARKS = 4096  # their kernel is decomposed: 30 s and 400 MB
_MOLECULES = ("rna", "protein")
_CITATION = """@inproceedings{rpiembeddor2024,
  title = {{RNA-Protein Interaction Classification via Sequence Embeddings}},
  booktitle = {ICLR 2024 MLGenX},
  year = {2024},
  url = {https://openreview.net/forum?id=04MgOkuPTo}
}"""
_SIDES = ("train", "validation", "test")


class InteractionObjective(Objective[InteractionRecipe, PairBatches, RPIForSequenceClassification]):
    """Binary cross-entropy of pairs; the weights that are kept are the best on validation.

    See `Objective` for arguments and attributes.

    Attributes:
        interactions: all pairs, redrawn negatives too.
        split: rows of train, validation and test.
    """

    recipe_class = InteractionRecipe
    panels = (
        Panel("loss", (("loss", "training batches"), ("held_out_loss", "validation"))),
        Panel(
            "validation",
            (("held_out_auroc", "AUROC"), ("held_out_auprc", "AUPRC")),
            limits=(0, 1),
        ),
    )

    def __init__(self, recipe: InteractionRecipe, rank: int, world_size: int):
        super().__init__(recipe, rank, world_size)
        given = read_interactions(recipe.data)
        self.interactions, self.split, missing = sides_of(given, recipe)
        self.config = portable(recipe.pair_config())
        self.processor = RPIProcessor.of(self.config)
        cache = recipe.cache or str(Path(recipe.data) / "embeddings")
        embedders = ((name, recipe.model.get(f"{name}_embedder", {})) for name in _MOLECULES)
        self.vectors = vectors_of(
            {"rna": given.rnas, "protein": given.proteins},
            self.config,
            cache=cache,
            files={name: spec["file"] for name, spec in embedders if "file" in spec},
        )
        self.batches = self._batches(self.split.train, (rank, world_size))
        self._validation = self._batches(self.split.validation, (0, 1))
        self.steps_per_epoch = self.batches.order.steps_per_epoch
        self.fingerprint = [(Path(recipe.data).name, _checksum(self.interactions))]
        if rank == 0:
            print(self._described(missing), file=sys.stderr)

    def _batches(self, rows: np.ndarray, share: tuple[int, int]) -> PairBatches:
        recipe = self.recipe
        return PairBatches(
            weighted_pairs(self.interactions, rows, recipe),
            self.vectors["rna"],
            self.vectors["protein"],
            self.processor,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            share=share,
        )

    def _described(self, missing: int) -> str:
        sides = (self.split.train, self.split.validation, self.split.test)
        train, validation, test = (f"{len(side):,}" for side in sides)
        lines = [f"{train} pairs to train on, {validation} to validate, {test} left alone"]
        if missing:
            lines.append(f"{missing:,} negatives fewer than wanted: no pair was left to draw")
        done = "cut" if self.config.long == "cut" else "seen by windows"
        for molecule, vectors in self.vectors.items():
            if vectors.long:
                lines.append(
                    f"{done}, being longer than {self.config.max_positions:,} positions: "
                    f"{vectors.long:,} of {counted(len(vectors), f'{molecule} sequence')}"
                )
        return "\n".join(lines)

    def build_model(self) -> RPIForSequenceClassification:
        """The classifier that the recipe describes."""
        if self.config.design == "kernel":
            return solved(self.recipe, self.config, self.batches.pairs, self.vectors)
        model = RPIForSequenceClassification(self.config)
        if self.config.design == "bilinear":
            for molecule in _MOLECULES:
                places = np.unique(getattr(self.interactions, molecule)[self.split.train])
                projection = getattr(model.rpi, f"{molecule}_projection")
                means = _means(self.vectors[molecule], places[:_MOLECULES_FITTED])
                projection.fit(torch.from_numpy(means))
        return model

    def loss_module(self, model: RPIForSequenceClassification) -> "InteractionLoss":
        """Binary cross-entropy; weights that the published read-out never reaches are frozen."""
        if self.config.readout == "first":
            model.rpi.protein_layers.requires_grad_(False)
            model.rpi.norm.requires_grad_(False)
        return InteractionLoss(model, self.world_size)

    def evaluate(self, model: RPIForSequenceClassification) -> dict[str, float]:
        """Score validation pairs, and keep the weights if they are the best so far."""
        logits, labels = self._validated(model)
        found = {
            "held_out_loss": float(np.mean(np.logaddexp(0, logits) - labels * logits)),
            "held_out_auroc": float(roc_auc_score(labels, logits)),
            "held_out_auprc": float(average_precision_score(labels, logits)),
        }
        path = Path(self.recipe.output) / _BEST
        if found["held_out_auroc"] > _best_score(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}")
            state = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
            save_file(state, beside, metadata={"auroc": repr(found["held_out_auroc"])})
            respect_umask(beside)
            beside.replace(path)
        return found

    def _validated(self, model) -> tuple[np.ndarray, np.ndarray]:
        labels = self._validation.pairs.label.astype(np.float64)
        return score_pairs(model, self._validation), labels

    def describe(self, step: int) -> list[str]:
        """The ids of the pairs of the whole batch."""
        pairs, data = self.batches.pairs, self.interactions
        return [
            f"{data.rnas[pairs.rna[row]].id} {data.proteins[pairs.protein[row]].id}"
            for row in self.batches.rows(step)
        ]

    def save(self, model: RPIForSequenceClassification, folder: Path) -> None:
        """Write the weights that were best on validation, calibrated there, and what was seen."""
        best = copy.deepcopy(model).cpu()
        path = Path(self.recipe.output) / _BEST
        if path.is_file():
            best.load_state_dict(load_file(path))
        logits, labels = self._validated(best)
        best.config.calibration = list(platt(logits, labels))
        rows = np.concatenate([self.split.train, self.split.validation])
        data = self.interactions
        rnas = [data.rnas[i] for i in np.unique(data.rna[rows])]
        proteins = [data.proteins[i] for i in np.unique(data.protein[rows])]
        best.config.training = {
            "pairs": len(rows),
            "positives": int(data.label[rows].sum()),
            "rnas": len(rnas),
            "proteins": len(proteins),
            "split": self.recipe.split,
            "negatives": self.recipe.negatives,
            "validation_auroc": round(float(roc_auc_score(labels, logits)), 4),
        }
        super().save(best, folder)
        write_known(folder, rnas, proteins)

    @classmethod
    def card_facts(cls, folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
        """What the card says beyond what is true for all objectives."""
        keys = ("split", "folds", "negatives", "steps", "batch_size", "learning_rate")
        shown = ("design", "hidden_size", "rna_embedder", "protein_embedder", "max_positions")
        config = RPIConfig.from_json_file(folder / "config.json")
        return CardFacts(
            tags=("rna", "protein", "rna-protein-interaction", "biology"),
            pipeline_tag="text-classification",
            language=["rna", "protein"],
            encoder_prefix="rpi.",
            recipe_keys=(*keys, "weight_decay", "seed"),
            architecture={key: getattr(config, key) for key in shown},
            width=" and ".join(
                f"vectors of {getattr(config, f'{name}_size')} numbers of {of}"
                for name, of in (("rna", "an RNA"), ("protein", "a protein"))
            ),
            longest=_longest(config),
            citation=_CITATION,
            cited="The task and its first network, of the design named attention",
            template="card.md",
            template_folder=Path(__file__).parent,
            variables={
                "config": config,
                "training": config.training or {},
                "evaluated": _evaluated(folder),
            },
        )


def _evaluated(folder: Path) -> dict | None:
    """What `isoclr interactions evaluate` found, as the card shows it; None: nothing.

    Returns:
        What the JSON has of every set and kind of split, with the `set`, as `kinds`; the first
        `model` and its `ablations`, the `forest` and the `others` that stand beside, by name; and
        the `figures`.
    """
    paths = sorted(folder.glob("results/*/sets_redrawn.json"))
    if not paths:
        return None
    what = "the sets_redrawn.json of isoclr interactions evaluate"
    found = [read_json(path, ("models", "sets"), what) for path in paths]
    model = found[0]["models"][0]
    kinds = [
        kind | {"set": name}
        for each in found
        for name, of_set in each["sets"].items()
        for kind in of_set.values()
    ]
    names = list(dict.fromkeys(name for kind in kinds for name in kind["summary"]))
    ablations = [name for name in names if name.startswith(f"{model}, ")]
    forest, *others = (name for name in names if name not in (model, *ablations))
    figures = (path.with_suffix(".png") for path in paths)
    return {
        "kinds": kinds,
        "model": model,
        "ablations": ablations,
        "forest": forest,
        "others": others,
        "figures": [f.relative_to(folder).as_posix() for f in figures if f.exists()],
    }


def _longest(config: RPIConfig) -> str:
    """Say how long molecules may be."""
    beyond = "cut" if config.long == "cut" else "read in windows"
    said = []
    for name, of in (("rna", "an RNA"), ("protein", "a protein")):
        if getattr(config, f"{name}_embedder")["kind"] == "kmers":
            said.append(f"all of {of}")
        else:
            said.append(f"{config.max_positions:,} vectors of {of}, what is longer is {beyond}")
    return "; ".join(said)


class InteractionLoss(nn.Module):
    """Binary cross-entropy of the pairs of a batch, of which this process has some."""

    def __init__(self, model: RPIForSequenceClassification, world_size: int):
        super().__init__()
        self.model, self.world_size = model, world_size

    def forward(self, batch: PairBatch) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss whose gradient, averaged over processes, is that of the whole batch."""
        logits = self.model(**batch.inputs).logits[:, 0]
        with torch.autocast(logits.device.type, enabled=False):
            losses = nn.functional.binary_cross_entropy_with_logits(
                logits.float(), batch.labels, reduction="none"
            )
            loss = self.world_size * (losses * batch.weights).sum()
        shown = sum_over_processes(loss.detach().double()) / self.world_size
        return loss, {"loss": shown.item()}


def sides_of(given: InteractionSet, recipe: InteractionRecipe) -> tuple[InteractionSet, Split, int]:
    """Cut a set as a recipe says, and draw negatives inside each side where it says so.

    Returns:
        The set, with redrawn negatives; rows of train, validation and test, which is empty where
        the recipe keeps none; and how many negatives there are fewer than wanted.

    Raises:
        InputError: fewer clusters than folds, or a side without pairs that interact or do not.
    """
    redrawn = recipe.negatives == "redrawn"
    data = positives_of(given) if redrawn else given
    if recipe.split == "source":
        split = _split_by_source(data, recipe.split_seed)
    else:
        cut = recipe.folds, recipe.split_seed, recipe.split_by
        split = interaction_folds(data, recipe.split, *cut)[recipe.fold]
    if not recipe.keep_test:
        rest = np.setdiff1d(np.arange(len(data)), split.test)
        split = split._replace(train=rest, validation=split.test, test=rest[:0])
    missing = 0
    if redrawn:
        sides = {}
        for number, name in enumerate(_SIDES):
            rows = getattr(split, name)
            for draw in range(recipe.negative_draws if name == "train" else 1):
                key = [recipe.split_seed, recipe.fold, number, draw]
                seed = int(np.random.SeedSequence(key).generate_state(1)[0])
                found = redraw_negatives(data, getattr(split, name), seed)
                rows = np.concatenate([rows, len(data) + np.arange(len(found.rna))])
                data = data.with_negatives(found.rna, found.protein, "redrawn")
                missing += found.missing
            sides[name] = rows
        split = split._replace(**sides)
    for name in _SIDES[:2]:
        labels = data.label[getattr(split, name)]
        if len(set(labels.tolist())) < 2:
            raise InputError(
                f"{recipe.data}: {name}: got {int(labels.sum())} pairs that interact of "
                f"{len(labels)}, wanted some that do and some that do not"
            )
    return data, split, missing


def weighted_pairs(
    interactions: InteractionSet, rows: np.ndarray, recipe: InteractionRecipe
) -> Pairs:
    """Return the pairs of some rows; several draws of negatives weigh together as much as one."""
    label = interactions.label[rows]
    weight = np.ones(len(rows))
    if recipe.negatives == "redrawn":
        weight[label == 0] = min(1.0, (label == 1).sum() / max(int((label == 0).sum()), 1))
    return Pairs(
        rna=interactions.rna[rows], protein=interactions.protein[rows], label=label, weight=weight
    )


def solved(
    recipe: InteractionRecipe,
    config: RPIConfig,
    pairs: Pairs,
    vectors: Mapping[str, MoleculeVectors | MeanVectors],
) -> RPIForSequenceClassification:
    """Return kernel ridge regression of pairs, of which a slope and an intercept are left to learn.

    Args:
        recipe: has the ridges.
        config: of the design kernel; it gets the numbers of molecules.
        pairs: to learn from.
        vectors: of `rna` and `protein`, see `vectors_of`.

    Raises:
        InputError: more molecules than a kernel takes.
    """
    rnas, rna = np.unique(pairs.rna, return_inverse=True)
    proteins, protein = np.unique(pairs.protein, return_inverse=True)
    config.landmarks = [len(rnas), len(proteins)]
    if max(config.landmarks) > _MOST_LANDMARKS:
        raise InputError(
            f"design: got 'kernel' with {len(rnas):,} RNAs and {len(proteins):,} proteins to "
            f"train on, wanted at most {_MOST_LANDMARKS:,} of each; 'bilinear' takes more"
        )
    model = RPIForSequenceClassification(config)
    fit_kernels(
        (model.rpi.rna_kernel, model.rpi.protein_kernel),
        (_means(vectors["rna"], rnas), _means(vectors["protein"], proteins)),
        replace(pairs, rna=rna, protein=protein),
        recipe.joint_ridge or (recipe.rna_ridge, recipe.protein_ridge),
    )
    return model


def _means(vectors: MoleculeVectors | MeanVectors, places: np.ndarray) -> np.ndarray:
    """Mean vectors of some molecules, float64 (places, size)."""
    return np.stack([vectors[i][0] for i in places.tolist()]).astype(np.float64)


def _split_by_source(data: InteractionSet, seed: int) -> Split:
    """The split that the sources of pairs name."""
    sources = np.array(data.source)
    unknown = sorted(set(data.source) - set(_SIDES))
    if unknown:
        raise InputError(
            f"split: got 'source' and pairs of the source {unknown[0]!r}, wanted "
            f"{', '.join(_SIDES)}"
        )
    train, validation, test = (np.flatnonzero(sources == name) for name in _SIDES)
    return Split(train, validation, test, seed=seed, kind="source")


def portable(config: RPIConfig) -> RPIConfig:
    """A configuration without the files that only this machine has."""
    for name in ("rna_embedder", "protein_embedder"):
        spec = getattr(config, name)
        setattr(config, name, {key: value for key, value in spec.items() if key != "file"})
    return config


@torch.no_grad()
def score_pairs(model: RPIForSequenceClassification, batches: PairBatches) -> np.ndarray:
    """Return the logits of pairs, in their order, float64 (pairs,); the model's mode stays."""
    pairs, training = batches.pairs, model.training
    lengths = batches.rnas.lengths[pairs.rna] + batches.proteins.lengths[pairs.protein]
    order = np.argsort(lengths, kind="stable")
    found = np.empty(len(pairs))
    model.eval()
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop - start + 1) * lengths[order[stop]] < _POSITIONS_AT_ONCE:
            stop += 1
        rows = order[start:stop]
        inputs = batches.of(rows).to(model.device).inputs
        found[rows] = model(**inputs).logits[:, 0].double().cpu().numpy()
        start = stop
    model.train(training)
    return found


def _best_score(path: Path) -> float:
    try:
        with safe_open(path, "pt") as opened:
            return float(opened.metadata()["auroc"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return -1.0


def _checksum(interactions: InteractionSet) -> str:
    found = hashlib.sha256()
    for array in (interactions.rna, interactions.protein, interactions.label):
        found.update(np.ascontiguousarray(array).tobytes())
    for molecule in (*interactions.rnas, *interactions.proteins):
        found.update(f"{molecule.id}\n{molecule.sequence}\n".encode())
    return found.hexdigest()
