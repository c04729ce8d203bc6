"""isoclr labels: measurements and annotations to a label set."""

import sys
from typing import Annotated, Literal

import typer

from data_builders.counts import counted
from data_builders.records import InputError
from isoclr.cli.options import Homology, Option, Sources, Unmatched
from isoclr.cli.printed import Printed, reason_lines, reasons

_TABLE = "table"


def labels(
    sources: Sources,
    homology: Homology,
    task: Annotated[
        str,
        typer.Argument(
            help="half-life-human, half-life-mouse, half-life-yeast, ribosome-load, localisation, "
            "go-mf, go-bp or go-cc, see docs/LABELS.md; or table, for any other"
        ),
    ],
    file: Annotated[str, typer.Argument(help="what the authors of the measurements publish")],
    output: Annotated[
        str, Option(metavar="FILE", help="Parquet file of the label set"), (".parquet",)
    ],
    groups: Annotated[
        str | None, Option(metavar="DIR", help="isoform groups of the transcripts")
    ] = None,
    label: Annotated[str | None, Option(help="the file's column to predict")] = None,
    kind: Annotated[
        Literal["regression", "binary", "multiclass"] | None,
        Option(help="of a table's column; regression by default, binary if it is all 0 and 1"),
    ] = None,
    obo: Annotated[str | None, Option(metavar="FILE", help="ontology; FILE is a GAF then")] = None,
    min_genes: Annotated[int | None, Option(help="a GO term's fewest genes; 1 by default")] = None,
    unmatched: Unmatched = None,
) -> Printed:
    r"""Write a label set of a downstream task: transcripts, homology groups and labels.

    A --species before all sources is that of the labels.

    Example:
    isoclr labels half-life-human all_HLs_human_featTable.txt.gz --groups groups \
        --output half_life.parquet
    isoclr labels go-mf goa_human.gaf.gz --obo go-basic.obo --groups groups --output go.parquet
    isoclr labels table numbers.tsv --label value --groups groups --output labels.parquet
    """
    from data_builders.labels.files import write_label_set
    from data_builders.labels.label_set import read_labels
    from data_builders.labels.tasks import read_task
    from data_builders.text import Tally

    tally = Tally(strict=sources.strict)
    join = _transcripts_to_join(groups, sources, homology, tally, unmatched or ())
    if task != _TABLE:
        if kind is not None:
            raise InputError(f"--kind {kind}: wanted none, {task} has its own")
        found = read_task(task, file, join, column=label, obo=obo, min_genes=min_genes)
    elif label is None or obo is not None or min_genes is not None:
        raise InputError("table: wanted --label, and no option of Gene Ontology")
    else:
        found = read_labels(file, label, join, kind)
    write_label_set(found, output)
    what = f"{found.task}, {len(found.classes)} classes" if found.classes else found.task
    lines = [f"{output}: {found.label} of {counted(len(found.transcripts), 'transcript')}, {what}"]
    lines += [f"  {outcome}: {n}" for outcome, n in found.report.items()]
    lines += [f"  matched of {species}: {n}" for species, n in sorted(found.matched.items())]
    lines += [f"  {match}" for match in found.homology_matches]
    for warning in found.warnings:
        print(f"isoclr labels: warning: {warning}", file=sys.stderr)
    data = {
        "output": output,
        "label": found.label,
        "task": found.task,
        "classes": found.classes,
        "transcripts": len(found.transcripts),
        "report": found.report,
        "matched": found.matched,
        "homology_matches": found.homology_matches,
        "warnings": found.warnings,
        **reasons(tally),
    }
    return Printed(text="\n".join([*lines, *reason_lines(tally)]), data=data)


def _transcripts_to_join(
    groups: str | None, sources: Sources, homology: Homology, tally, unmatched
):
    """Return where labels find their transcripts and groups, as a `Join`."""
    from data_builders.groups.build import group_sources
    from data_builders.groups.parquet import read_groups
    from data_builders.homology.homologous_genes import read_homology
    from data_builders.labels.label_set import Join

    if len(sources.named) > 1:
        raise InputError(f"--species {','.join(sources.named)}: wanted one, that of the labels")
    species = sources.named[0] if sources.named else None
    tables = homology.made()
    if groups and (sources.begun or tables):
        raise InputError(f"--groups {groups}: wanted no sources and no homology beside it")
    if unmatched and not (tables and sources.begun):
        names = ",".join(unmatched)
        raise InputError(f"--unmatched {names}: wanted sources and --homology with it")
    if groups:
        return Join(species=species, isoform_groups=read_groups(groups))
    known = None if tables is None else read_homology(tables)
    if not sources.begun:
        return Join(species=species, homology=known)
    found, symbols = group_sources(sources.made(species), known, tally, unmatched)
    return Join(species=species, isoform_groups=found, gene_symbols=symbols)
