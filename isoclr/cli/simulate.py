"""isoclr simulate: a small clade, as real files."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Option


def simulate(
    output: Annotated[str, Option(metavar="DIR", help="folder of the files")],
    species: Annotated[int, Option(help="how many")] = 3,
    genes: Annotated[int, Option(help="of the common ancestor")] = 420,
    seed: Annotated[int, Option(help="of the random numbers")] = 0,
) -> None:
    """Write the genomes, annotations, homology and labels of a small clade.

    Example:
    isoclr simulate --species 3 --genes 420 --output genomes
    """
    from data_builders.simulate.clade import simulate_clade

    clade = simulate_clade(Path(output), species=species, genes=genes, seed=seed)
    print(f"{output}: {', '.join(clade.species)}")
    print(", ".join(f"{n} {what}" for what, n in clade.counts.items()))
