"""isoclr doctor: what the installation has, and what it lacks."""

from typing import Annotated

from isoclr.cli.options import Option
from isoclr.cli.printed import Printed


def doctor(
    hub: Annotated[
        bool, Option("--hub", help="ask the Hub whether it answers; nothing else is asked")
    ] = False,
) -> Printed:
    """Print versions, devices, threads, cache, and what is missing for which extra.

    Exit status 1 says that something needed is missing or does not answer.

    Example:
    isoclr doctor
    isoclr doctor --hub --json
    """
    from isoclr.doctor import examine, table

    found = examine(ask_hub=hub)
    return Printed(text=table(found), data=found, status=1 if found["problems"] else 0)
