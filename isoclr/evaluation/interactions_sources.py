"""What `isoclr interactions evaluate` reads: sets, models to train, scores, and strangers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_builders.homology.alphabets import PROTEIN, RNA
from data_builders.interactions.build import InteractionFiles, read_set
from data_builders.interactions.dataset import InteractionSet, Molecule, read_interactions
from data_builders.interactions.sequences import checked_sequence
from data_builders.labels.label_set import filled
from data_builders.records import InputError
from data_builders.tables import read_table
from data_builders.text import Tally
from isoclr.evaluation.interactions import MakePredictor
from isoclr.evaluation.interactions_predictors import read_scores
from modeling_isoclr.configuration_rpi import ONE_HOT_SIZES

ABLATIONS = {
    "random RNA": ("rna",),
    "random protein": ("protein",),
    "one-hot": ("rna", "protein"),
    "random molecules": ("rna", "protein"),
}
"""What the paper puts in place of vectors, and of which molecules; and a vector a molecule."""

_PAIRS = "_pairs."


def named_sets(
    folders: Sequence[str | os.PathLike], published: str | os.PathLike | None = None
) -> Iterator[tuple[str, InteractionSet]]:
    """Yield sets of folders of `isoclr build-interactions`, and published ones, with their names.

    The latter are files NAME_pairs.*, NAME_rna* and NAME_protein*, as RPI369 comes. No set at all,
    and two of one name, are an InputError.
    """
    names = [Path(folder).resolve().name for folder in folders]
    files = {} if published is None else published_sets(published)
    twice = [name for name in names if names.count(name) > 1 or name in files]
    if twice or not (names or files):
        found = f"two sets named {twice[0]!r}" if twice else "no set"
        raise InputError(f"sets: got {found}, wanted folders of pairs, each with its own name")
    for name, folder in zip(names, folders, strict=True):
        yield name, read_interactions(folder)
    for name, of_set in files.items():
        yield name, read_set(of_set)[0]


def published_sets(folder: str | os.PathLike) -> dict[str, InteractionFiles]:
    """Return the files of the sets in a folder, by name; those that lack one are an InputError."""
    found = {}
    for pairs in sorted(Path(folder).glob(f"*{_PAIRS}*")):
        name = pairs.name.partition(_PAIRS)[0]
        sides = {}
        for side in ("rna", "protein"):
            files = [
                *Path(folder).glob(f"{name}_{side}.*"),
                *Path(folder).glob(f"{name}_{side}_seq.*"),
            ]
            if len(files) != 1:
                raise InputError(
                    f"{folder}: got {len(files)} files {name}_{side}.* or {name}_{side}_seq.*, "
                    "wanted one"
                )
            sides[f"{side}s"] = files
        found[name] = InteractionFiles(pairs=[pairs], **sides)
    if not found:
        raise InputError(f"{folder}: got no file NAME_pairs.*, wanted one or more")
    return found


def without_vectors(model: Mapping, ablation: str) -> dict:
    """Return the arguments of `RPIConfig` with vectors that say nothing learned, by `ABLATIONS`.

    Random vectors have the width of those that they stand for; a letter has one, so that the
    sequence can still be told from them. Of `random molecules` a molecule has one, from which
    nothing can be known of a new one.
    """
    made = dict(model)
    for side in ABLATIONS[ablation]:
        key = f"{side}_embedder"
        if ablation == "one-hot":
            made[key] = {"kind": "one_hot"}
        else:
            size = made.get(key, {}).get("size", ONE_HOT_SIZES[side])
            made[key] = {"kind": "random", "size": size}
            if ablation == "random molecules":
                made[key]["per"] = "molecule"
    return made


@dataclass(frozen=True)
class _FromRecipe:
    """Makes the predictor that trains the model of a recipe, or an ablation, on each fold."""

    path: str
    folder: Path
    ablation: str | None = None

    def __call__(self, interactions: InteractionSet):
        from isoclr.evaluation.pair_models import SolvedPairs, TrainedPairs
        from isoclr.training.recipe import read_values

        keys = {"data", "output", "split", "seed", "objective"}
        values = {k: v for k, v in read_values(self.path).items() if k not in keys}
        model = values.get("model") or {}
        if self.ablation is not None:
            values["model"] = without_vectors(model, self.ablation)
        predictor = SolvedPairs if model.get("design") == "kernel" else TrainedPairs
        return predictor(interactions=interactions, folder=self.folder, recipe=values)


@dataclass(frozen=True)
class _FromScores:
    """Makes the predictor that looks scores up."""

    path: str

    def __call__(self, interactions: InteractionSet):
        return read_scores(self.path, interactions)


def models_of(
    recipes: Sequence[str], scores: Sequence[str], folder: Path, ablations: bool = False
) -> dict[str, MakePredictor]:
    """Return models by name: of recipes, which are trained in the folder, and of tables of scores.

    A recipe is a YAML file of the objective interactions, and its model has the file's name; scores
    are NAME=FILE, see `read_scores`. With ablations, the model of each recipe is trained with each
    of `ABLATIONS` too.
    """
    made: dict[str, MakePredictor] = {}
    for path in recipes:
        name = Path(path).stem
        _check_new(name, made)
        made[name] = _FromRecipe(path, folder / name)
        for ablation in ABLATIONS if ablations else ():
            of_ablation = f"{name}, {ablation}"
            _check_new(of_ablation, made)
            made[of_ablation] = _FromRecipe(path, folder / of_ablation, ablation)
    if ablations and not recipes:
        raise InputError("--ablations: got no --recipe, wanted one or more")
    for text in scores:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InputError(f"--scores: got {text!r}, wanted NAME=FILE")
        _check_new(name, made)
        made[name] = _FromScores(path)
    return made


def _check_new(name: str, made: dict) -> None:
    if name in made:
        raise InputError(f"models: got two named {name!r}, wanted another name")


def read_strangers(path: str | os.PathLike) -> InteractionSet:
    """Read pairs of a protein that is not known to bind RNA with an RNA, each row its own pair.

    The table has rna_sequence and protein_sequence, and perhaps name.
    """
    table = read_table(path)
    rnas = filled(table, "rna_sequence", path)
    proteins = filled(table, "protein_sequence", path)
    if not rnas:
        raise InputError(f"{path}: got no row, wanted pairs")
    made: dict[str, list[Molecule]] = {"rna": [], "protein": []}
    for row, both in enumerate(zip(rnas, proteins, strict=True), 1):
        for alphabet, letters in zip((RNA, PROTEIN), both, strict=True):
            where = f"{path}: row {row}: {alphabet.name}_sequence"
            sequence = checked_sequence(letters, alphabet, where, Tally())
            made[alphabet.name].append(Molecule(str(row), sequence))
    places = np.arange(len(rnas), dtype=np.int32)
    return InteractionSet(
        rnas=tuple(made["rna"]),
        proteins=tuple(made["protein"]),
        rna=places,
        protein=places,
        label=np.zeros(len(rnas), np.int8),
        source=("stranger",) * len(rnas),
    )
