"""isoclr card: a model folder's card."""

from typing import Annotated

import typer

from isoclr.cli.options import Option
from isoclr.cli.printed import Printed


def card(
    folder: Annotated[str, typer.Argument(help="model that train.py wrote")],
    results: Annotated[
        list[str] | None,
        Option(
            metavar="FILE",
            help="probe.json about it, repeated; none: those in results/*/ of the folder",
        ),
    ] = None,
    measure: Annotated[
        bool,
        Option("--measure", help="first measure speed and memory on this machine, one minute"),
    ] = False,
) -> Printed:
    """Write a model folder's card, README.md, anew.

    Example:
    isoclr card model --results probe/probe.json
    isoclr card model --measure
    """
    from isoclr.hub.card import write_card

    if measure:
        from isoclr.hub.measure import measure as measure_model

        measure_model(folder)
    path = write_card(folder, results=results)
    return Printed(text=str(path), data={"output": path})
