"""isoclr build-interactions: RNA–protein pairs to one data set."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from isoclr.cli.command import LOCKS_OUTPUT
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed


@dataclass(kw_only=True)
class Inputs:
    """Files of pairs, sequences, families and clusters."""

    PANEL: ClassVar = "Files"
    NOTE: ClassVar = "Layouts are in docs/INTERACTIONS.md."

    pairs: Annotated[
        list[str],
        Option(
            metavar="FILE",
            help="lines of protein, RNA and 1 or 0; a table with rna_id and protein_id; or "
            "RNAInter's download; repeat it for several",
        ),
    ]
    rnas: Annotated[list[str], Option(metavar="FILE", help="FASTA, or a table of id and sequence")]
    proteins: Annotated[
        list[str], Option(metavar="FILE", help="FASTA, or a table of id and sequence")
    ]
    rna_families: Annotated[
        str | None, Option(metavar="FILE", help="Infernal's tblout, or a table of id and family")
    ] = None
    protein_families: Annotated[
        str | None,
        Option(
            metavar="FILE", help="of pfam_scan or hmmscan, a table of id and family, or Pfam-A.hmm"
        ),
    ] = None
    clans: Annotated[
        str | None, Option(metavar="FILE", help="Pfam-A.clans.tsv: families become clans")
    ] = None
    rna_clusters: Annotated[
        str | None, Option(metavar="FILE", help="of MMseqs2; else by shared words")
    ] = None
    protein_clusters: Annotated[
        str | None, Option(metavar="FILE", help="of MMseqs2; else by shared words")
    ] = None


def build_interactions(
    files: Inputs,
    output: Annotated[str, Option(metavar="DIR", help="folder of the data set")],
    rnainteract: Annotated[
        bool,
        Option("--rnainteract", help="the rules of RNAInterAct, where no other is given"),
    ] = False,
    exclude: Annotated[
        str | None, Option(metavar="NAME,...", help="categories of RNAs to leave out")
    ] = None,
    min_score: Annotated[float | None, Option(help="of RNAInter; lower ones are left out")] = None,
    max_length: Annotated[int | None, Option(help="longer RNAs and proteins are left out")] = None,
    need_families: Annotated[
        bool, Option("--need-families", help="leave out molecules without a family")
    ] = False,
    max_pairs: Annotated[
        int | None, Option(help="molecules of so many pairs are left out, RNAs first")
    ] = None,
    negatives: Annotated[
        Literal["given", "none", "family-clan", "swaps"] | None,
        Option(help="those of the files by default; evaluation draws its own inside each side"),
    ] = None,
    seed: Annotated[int, Option(help="of drawn negatives")] = 0,
    strict: Annotated[bool, Option("--strict", help="a pair that is left out is an error")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="replace what is there")] = False,
) -> Printed:
    """Write RNA–protein pairs with their sequences, each once, and clusters of similar ones.

    Example:
    isoclr build-interactions --pairs RPI369_pairs.txt --rnas rna.fa --proteins p.fa --output pairs
    isoclr build-interactions --rnainteract --pairs RNAInter.tsv --rnas rna.fa --proteins p.fa \
--rna-families rfam.tblout --protein-families pfam.txt --output rnainteract
    """
    from dataclasses import replace

    from data_builders.interactions.build import (
        RNAINTERACT,
        BuildOptions,
        InteractionFiles,
    )
    from data_builders.interactions.build import build_interactions as build

    options = RNAINTERACT if rnainteract else BuildOptions()
    given = {
        "exclude": None if exclude is None else tuple(exclude.split(",")),
        "min_score": min_score,
        "max_length": max_length,
        "need_families": need_families or None,
        "max_pairs": max_pairs,
        "negatives": negatives,
    }
    given = {name: value for name, value in given.items() if value is not None}
    options = replace(options, seed=seed, strict=strict, **given)
    report = build(InteractionFiles(**vars(files)), output, options, overwrite=overwrite)
    lines = [f"{output}: see report.json and report.png", *report.lines()]
    return Printed(text="\n".join(lines), data={"output": output, **report.as_dict()})


setattr(build_interactions, LOCKS_OUTPUT, True)
