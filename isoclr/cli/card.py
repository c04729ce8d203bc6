"""isoclr card: a model folder's card."""

from typing import Annotated

import typer

from isoclr.cli.options import Option


def card(
    folder: Annotated[str, typer.Argument(help="model that train.py wrote")],
    results: Annotated[
        list[str] | None,
        Option(
            metavar="FILE",
            help="probe.json about it, repeated; none: those in results/*/ of the folder",
        ),
    ] = None,
) -> None:
    """Write a model folder's card, README.md, anew.

    Example:
    isoclr card model --results probe/probe.json
    """
    from isoclr.hub.card import write_card

    print(write_card(folder, results=results))
