"""isoclr build: annotation to isoform groups."""

import sys
from typing import Annotated, Literal

from data_builders.counts import counted
from isoclr.cli.command import LOCKS_OUTPUT
from isoclr.cli.options import (
    Homology,
    Option,
    Registry,
    Sources,
    Unmatched,
    pair_of,
)
from isoclr.cli.printed import Printed, reason_lines


def build(
    sources: Sources,
    registry: Registry,
    homology: Homology,
    output: Annotated[str, Option(metavar="DIR", help="folder of the dataset")],
    merge: Annotated[
        Literal["across", "within"],
        Option(help="homologous genes of all species make a group, or of each species (the paper)"),
    ] = "across",
    max_length: Annotated[int, Option(help="longest transcript, nt")] = 12288,
    select: Annotated[
        Literal["mane", "appris", "longest"] | None,
        Option(
            help="one transcript a gene: that which annotators prefer (MANE Select, APPRIS "
            "principal), without one and with 'longest' that with the longest CDS; none: all"
        ),
    ] = None,
    unmatched: Unmatched = None,
    shard: Annotated[
        tuple | None,
        Option(
            metavar="I/N",
            parser=pair_of("/", "I/N, such as 0/4"),
            help="build part I, from 0, of N that make the dataset once they are in one folder",
        ),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace what is there")] = False,
) -> Printed:
    """Write isoform groups of annotated genomes, transcripts or tables.

    Example:
    isoclr build --genome fly.fa.gz --annotation fly.gff3.gz --species fly --output groups
    isoclr build --species human,mouse --homology homologene.tsv.gz --output groups
    """
    from data_builders.groups.build import Grouping
    from data_builders.groups.build import build as build_groups
    from data_builders.homology.matches import Match
    from data_builders.staging import shard_name

    report = build_groups(
        [*registry.made(sources.named), *sources.made()],
        output,
        Grouping(
            merge=merge,
            max_length=max_length,
            select=select,
            unmatched=unmatched or (),
        ),
        homology=homology.made(),
        shard=shard,
        strict=sources.strict,
        overwrite=overwrite,
    )
    lines = []
    for source in [*report["sources"], {"species": "all", **report["grouping"]}]:
        name = source["species"] or "table"
        lines.append(f"{name}: {source['kept']:,} of {counted(source['read'], 'transcript')}")
        lines += reason_lines(source)
    for reason, n in report["grouping"]["selected"].items():
        lines.append(f"  selected {n}: {reason}")
    for match in report["homology"]["matches"] if report["homology"] else ():
        lines.append(str(Match(**match)))
    for warning in report["warnings"]:
        print(f"isoclr build: warning: {warning}", file=sys.stderr)
    dataset = report["dataset"]
    name = "report" if shard is None else f"reports/{shard_name(shard)}"
    lines.append(
        f"{output}: {counted(dataset['groups'], 'isoform group')}, "
        f"{counted(dataset['transcripts'], 'transcript')} of {counted(dataset['genes'], 'gene')}, "
        f"{dataset['with_cds']:,} with a CDS; "
        f"see {name}.json and {name}.png"
    )
    return Printed(text="\n".join(lines), data={"output": output, **report})


setattr(build, LOCKS_OUTPUT, True)
