"""isoclr doctor: what the installation has, and what it lacks."""

import json
from typing import Annotated

import typer

from isoclr.cli.options import Option


def doctor(
    hub: Annotated[
        bool, Option("--hub", help="ask the Hub whether it answers; nothing else is asked")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="print JSON, for a machine")] = False,
) -> None:
    """Print versions, devices, threads, cache, and what is missing for which extra.

    Exit status 1 says that something needed is missing or does not answer.

    Example:
    isoclr doctor
    isoclr doctor --hub --json
    """
    from isoclr.doctor import examine, table

    found = examine(ask_hub=hub)
    print(json.dumps(found, indent=1) if as_json else table(found))
    if found["problems"]:
        raise typer.Exit(1)
