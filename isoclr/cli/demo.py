"""isoclr demo: the whole path on simulated data."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.command import LOCKS_OUTPUT
from isoclr.cli.options import Option


def demo(
    output: Annotated[str, Option(metavar="DIR", help="folder of everything it makes")] = "demo",
    homologs: Annotated[
        bool, Option("--homologs", help="families of homologs instead of isoforms of genes")
    ] = False,
) -> None:
    """Run the whole path on simulated genomes.

    Example:
    isoclr demo --output demo
    isoclr demo --homologs --output demo
    """
    from isoclr.demo import run_demo

    if homologs:
        from isoclr.demo_homologs import homolog_commands, homolog_summary

        run_demo(Path(output), homolog_commands, homolog_summary)
    else:
        run_demo(Path(output))


setattr(demo, LOCKS_OUTPUT, True)
