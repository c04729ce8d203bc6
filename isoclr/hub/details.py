"""What a person says about a model, in `card.yaml` of its folder: no file tells it otherwise."""

from pathlib import Path

from pydantic import ValidationError

from data_builders.records import InputError
from isoclr.training.recipe import Options, Place, nearest
from isoclr.training.yaml_file import read_mapping

DETAILS = "card.yaml"


class Details(Options):
    """Keys of card.yaml; each may be absent.

    Attributes:
        developer: who made the model.
        source: where its code or more about it is.
        datasets: repositories on the Hub that it was trained on.
        siblings: name of a related model -> how it differs.
    """

    developer: Place | None = None
    source: Place | None = None
    datasets: list[Place] = []
    siblings: dict[Place, Place] = {}


def read_details(folder: Path) -> Details:
    """Read card.yaml of a model folder; without one, nothing is said."""
    path = folder / DETAILS
    if not path.exists():
        return Details()
    found = read_mapping(path, "details of a card")
    for name in found:
        if name not in Details.model_fields:
            raise InputError(
                f"{path}: {name}: unknown key{nearest(str(name), Details.model_fields)}"
            )
    try:
        return Details(**found)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise InputError(f"{path}: {key}: {problem['msg']}") from error
