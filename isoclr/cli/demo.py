"""isoclr demo: the whole path on simulated data."""

from pathlib import Path
from typing import Annotated

from data_builders.records import InputError
from isoclr.cli.command import LOCKS_OUTPUT
from isoclr.cli.options import Option


def demo(
    output: Annotated[str, Option(metavar="DIR", help="folder of everything it makes")] = "demo",
    homologs: Annotated[
        bool, Option("--homologs", help="families of homologs instead of isoforms of genes")
    ] = False,
    interactions: Annotated[
        bool, Option("--interactions", help="pairs of an RNA and a protein instead")
    ] = False,
) -> None:
    """Run the whole path on simulated genomes.

    Example:
    isoclr demo --output demo
    isoclr demo --homologs --output demo
    isoclr demo --interactions --output demo
    """
    from isoclr.demo import run_demo

    if homologs and interactions:
        raise InputError("--interactions: got --homologs too, wanted one of them")
    if interactions:
        from isoclr.demo_interactions import interaction_commands, interaction_summary

        run_demo(Path(output), interaction_commands, interaction_summary)
    elif homologs:
        from isoclr.demo_homologs import homolog_commands, homolog_summary

        run_demo(Path(output), homolog_commands, homolog_summary)
    else:
        run_demo(Path(output))


setattr(demo, LOCKS_OUTPUT, True)
