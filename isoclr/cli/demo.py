"""isoclr demo: the whole path on simulated genomes."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Option


def demo(
    output: Annotated[str, Option(metavar="DIR", help="folder of everything it makes")] = "demo",
) -> None:
    """Run the whole path on simulated genomes.

    Example:
    isoclr demo --output demo
    """
    from isoclr.demo import run_demo

    run_demo(Path(output))
