"""isoclr train: train an encoder by a recipe."""

from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr.cli.command import TAKES_UNKNOWN
from isoclr.cli.options import Option


def train(
    recipe: Annotated[str, typer.Argument(help="YAML file, or name of a shipped recipe")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="--KEY VALUE ...", help="keys of the recipe, set anew"),
    ] = None,
    processes: Annotated[int, Option(help="on this machine, one a GPU where there are GPUs")] = 1,
) -> None:
    """Train an encoder by a recipe, or go on with a run that was cut off.

    'isoclr recipes' lists the shipped recipes, 'isoclr recipes --keys isoforms' every key. Under a
    launcher the same is 'accelerate launch -m isoclr.train RECIPE --KEY VALUE ...'.

    Example:
    isoclr train laptop --data groups --output model
    isoclr train mine.yaml --steps 500 --model.dropout 0.2 --processes 2
    """
    from isoclr.launch import launch

    if recipe.startswith("-"):
        raise InputError(f"{recipe}: wanted the RECIPE first")
    raise typer.Exit(launch(recipe, overrides or (), processes))


setattr(train, TAKES_UNKNOWN, True)
