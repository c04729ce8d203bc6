"""Find the models, recipes and guides that come with the package."""

import json
import os
from pathlib import Path

from data_builders.records import InputError

DEFAULT_MODEL = "isoclr-small"
PROTEIN_MODEL = "isoclr-protein-small"
SHIPPED_MODELS = (DEFAULT_MODEL, "isoclr-base", "isoclr-small-bare", PROTEIN_MODEL)
"""Encoders of sequences."""

EXPRESSION_MODEL = "expression-scarf-small"
EXPRESSION_MODELS = (EXPRESSION_MODEL, "expression-halves-small")
"""Encoders of expression profiles: by the paper's method, and by the best of the others."""

PAIR_MODEL = "rpiembeddor-small"
"""The classifier of RNA–protein pairs."""

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(name: str) -> Path:
    """Return `model_cards`, `recipes` or `docs`: of the installed package, else of the checkout."""
    installed = _PACKAGE / "shipped" / name  # see setup.py
    return installed if installed.is_dir() else _PACKAGE.parent / name


def shipped_model(name: str = DEFAULT_MODEL) -> Path:
    """Return the folder of a model by its name."""
    return shipped_folder("model_cards") / name


def shipped_of_family(model_type: str) -> list[Path]:
    """Return the folders of the shipped models of a family, by name.

    Args:
        model_type: of their config.json: `isoclr`, `rpi` or `isoclr_expression`.
    """
    return [
        path.parent
        for path in sorted(shipped_folder("model_cards").glob("*/config.json"))
        if json.loads(path.read_text("utf-8")).get("model_type") == model_type
    ]


def resolve_model(model: str | os.PathLike) -> str | os.PathLike:
    """Return the folder of a shipped model for its name, and everything else unchanged.

    A folder of that name in the working directory comes before the shipped one. `isoclr-small` and
    `model_cards/isoclr-small` name the same model.

    Raises:
        InputError: when the name is that of a shipped model, and this installation lacks it.
    """
    name = str(model).removeprefix("model_cards/").rstrip("/")
    if name not in (*SHIPPED_MODELS, *EXPRESSION_MODELS, PAIR_MODEL) or Path(model).is_dir():
        return model
    folder = shipped_model(name)
    if not folder.is_dir():
        raise InputError(
            f"{model}: got an installation without the model that the repository ships, "
            "wanted a --model, folder or Hub repository"
        )
    return folder


def recipes() -> dict[str, Path]:
    """Return the shipped recipes by name: `laptop`, `finetune/isoclr`."""
    folder = shipped_folder("recipes")
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.yaml"))
    }


def resolve_recipe(recipe: str | os.PathLike) -> Path:
    """Return the file of a shipped recipe for its name, and every other path unchanged.

    `laptop` and `recipes/laptop.yaml` name the same recipe; a file that exists comes first.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    name = path.as_posix().removeprefix("recipes/").removesuffix(".yaml")
    return recipes().get(name, path)


def guides() -> dict[str, Path]:
    """Return the guides of docs/ by name, such as `TRAINING`."""
    return {path.stem: path for path in sorted(shipped_folder("docs").glob("*.md"))}
