"""isoclr simulate: a small clade, or families of homologs, as real files."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Option
from isoclr.cli.printed import Printed


def simulate(
    output: Annotated[str, Option(metavar="DIR", help="folder of the files")],
    species: Annotated[int, Option(help="how many")] = 3,
    genes: Annotated[int, Option(help="of the common ancestor")] = 420,
    homologs: Annotated[
        int | None,
        Option(metavar="N", help="instead, N families of coding sequences of eight species"),
    ] = None,
    seed: Annotated[int, Option(help="of the random numbers")] = 0,
) -> Printed:
    """Write the genomes, annotations, homology and labels of a small clade.

    Example:
    isoclr simulate --species 3 --genes 420 --output genomes
    isoclr simulate --homologs 600 --output homologs
    """
    if homologs is not None:
        from data_builders.simulate.families import KINDS, simulate_family_files

        files = simulate_family_files(Path(output), families=homologs, seed=seed)
        names = [files.families.name, files.tree.name, files.labels.name]
        return Printed(
            text=f"{output}: {homologs} families of {len(KINDS)} kinds; {', '.join(names)}",
            data={"output": output, "families": homologs, "kinds": len(KINDS), "files": names},
        )
    from data_builders.simulate.clade import simulate_clade

    clade = simulate_clade(Path(output), species=species, genes=genes, seed=seed)
    counts = ", ".join(f"{n} {what}" for what, n in clade.counts.items())
    return Printed(
        text=f"{output}: {', '.join(clade.species)}\n{counts}",
        data={"output": output, "species": clade.species, "counts": clade.counts},
    )
