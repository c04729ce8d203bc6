"""Find the models and recipes that come with the package."""

import os
from pathlib import Path

from data_builders.records import InputError

DEFAULT_MODEL = "isoclr-small"
SHIPPED_MODELS = (DEFAULT_MODEL, "isoclr-small-bare")

_PACKAGE = Path(__file__).resolve().parent


def shipped_model(name: str = DEFAULT_MODEL) -> Path:
    """Return the folder of a model by its name, of the checkout or of the installed package."""
    return _shipped("model_cards") / name


def resolve_model(model: str | os.PathLike) -> str | os.PathLike:
    """Return the folder of a shipped model for its name, and everything else unchanged.

    A folder of that name in the working directory comes before the shipped one.

    Raises:
        InputError: when the name is that of a shipped model, and this installation lacks it.
    """
    if str(model) not in SHIPPED_MODELS or Path(model).is_dir():
        return model
    folder = shipped_model(str(model))
    if not folder.is_dir():
        raise InputError(
            f"{model}: got an installation without the model that the repository ships, "
            "wanted a --model, folder or Hub repository"
        )
    return folder


def _shipped(folder: str) -> Path:
    """Return a folder of data: in the package once it is installed, else in the checkout."""
    installed = _PACKAGE / "shipped_data" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder
