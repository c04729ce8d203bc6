"""Write a label set of measurements or of GO terms."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from data_builders.records import InputError
from isoclr.cli.options import Homology, Option, Sources, print_reasons


@dataclass(kw_only=True)
class LabelSetOptions:
    """Where the transcripts are, and where the label set goes."""

    PANEL: ClassVar = "Options"

    output: Annotated[str, Option(metavar="FILE", help="Parquet file of the label set")]
    groups: Annotated[
        str | None, Option(metavar="DIR", help="isoform groups of the transcripts")
    ] = None
    seed: Annotated[int, Option(help="of the split")] = 0


Column = Annotated[str | None, Option("--label", help="its column to predict")]


def half_life(
    sources: Sources,
    homology: Homology,
    options: LabelSetOptions,
    file: Annotated[str, typer.Argument(help="Saluki's table, or another of a half-life")],
    label: Column = None,
) -> None:
    r"""Read Saluki's table, or another of a half-life.

    A --species before all sources is that of the labels.

    Example:
    isoclr labels half-life all_HLs_human_featTable.txt.gz --species human \
        --groups groups --output half_life.parquet
    """
    from data_builders.labels.sets import half_life as read

    _write(options, sources, homology, lambda join: read(file, label, **join))


def ribosome_load(
    sources: Sources,
    homology: Homology,
    options: LabelSetOptions,
    file: Annotated[str, typer.Argument(help="table of sequences or transcripts")],
    label: Column = None,
) -> None:
    """Read a 5'UTR reporter library, or a load for each transcript.

    Example:
    isoclr labels ribosome-load reporters.csv.gz --label rl --output ribosome_load.parquet
    """
    from data_builders.labels.sets import mean_ribosome_load as read

    _write(options, sources, homology, lambda join: read(file, label, **join))


def localisation(
    sources: Sources,
    homology: Homology,
    options: LabelSetOptions,
    file: Annotated[str, typer.Argument(help="table of genes or transcripts")],
) -> None:
    r"""Read the Human Protein Atlas' table, or columns of 0 and 1.

    Example:
    isoclr labels localisation subcellular_location.tsv --species human \
        --groups groups --output localisation.parquet
    """
    from data_builders.labels.sets import protein_localisation as read

    _write(options, sources, homology, lambda join: read(file, **join))


def go(
    sources: Sources,
    homology: Homology,
    options: LabelSetOptions,
    file: Annotated[str, typer.Argument(help="sets of genes (GMT), or annotations (GAF)")],
    obo: Annotated[
        str | None, Option(metavar="FILE", help="ontology; the labels are a GAF then")
    ] = None,
    min_genes: Annotated[int, Option(help="a term's fewest genes")] = 1,
) -> None:
    """Read sets of genes (GMT), or annotations (GAF) with --obo.

    Example:
    isoclr labels go goa_human.gaf.gz --obo go-basic.obo --groups groups --output go.parquet
    """

    def read(join: dict):
        from data_builders.labels import sets

        if "isoform_groups" not in join:
            raise InputError(f"{file}: got no transcripts to label, wanted --groups or a source")
        if obo is None:
            return sets.gene_ontology_sets(file, min_genes=min_genes, **join)
        if "species" in join:
            raise InputError(f"--species {join['species']}: wanted none, a GAF names its own")
        return sets.gene_ontology_annotations(file, obo, min_genes=min_genes, **join)

    _write(options, sources, homology, read)


def table(
    sources: Sources,
    homology: Homology,
    options: LabelSetOptions,
    file: Annotated[str, typer.Argument(help="a number for each transcript or gene")],
    label: Annotated[str, Option(help="its column to predict")],
) -> None:
    """Read a number for each transcript or gene.

    Example:
    isoclr labels table numbers.tsv --label value --groups groups --output labels.parquet
    """
    from data_builders.labels.label_set import read_labels as read

    _write(options, sources, homology, lambda join: read(file, label, **join))


KINDS = {
    "half-life": half_life,
    "ribosome-load": ribosome_load,
    "localisation": localisation,
    "go": go,
    "table": table,
}


def _write(options: LabelSetOptions, sources: Sources, homology: Homology, read) -> None:
    """Write the label set that `read` makes of where transcripts are found."""
    from data_builders.labels.files import write_label_set
    from data_builders.text import Tally

    tally = Tally(strict=sources.strict)
    labels = read(_transcripts_to_join(options, sources, homology, tally))
    write_label_set(labels, options.output, seed=options.seed)
    what = f"{len(labels.classes)} classes" if labels.classes else "a number each"
    print(f"{options.output}: {labels.label} of {len(labels.transcripts)} transcripts, {what}")
    for outcome, n in labels.report.items():
        print(f"  {outcome}: {n}")
    print_reasons(tally)


def _transcripts_to_join(options, sources: Sources, homology: Homology, tally) -> dict:
    """Return where labels find their transcripts and groups, as `read_labels` takes it."""
    from data_builders.groups.build import group_sources
    from data_builders.groups.parquet import read_groups
    from data_builders.homology.homologous_genes import read_homology

    join: dict = {}
    if len(sources.named) > 1:
        raise InputError(f"--species {','.join(sources.named)}: wanted one, that of the labels")
    if sources.named:
        join["species"] = sources.named[0]
    tables = homology.made()
    if options.groups and (sources.begun or tables):
        raise InputError(f"--groups {options.groups}: wanted no sources and no homology beside it")
    if options.groups:
        return join | {"isoform_groups": read_groups(options.groups)}
    known = None if tables is None else read_homology(tables)
    if sources.begun:
        made = sources.made(join.get("species"))
        join["isoform_groups"], join["gene_symbols"] = group_sources(made, known, tally)
    elif known is not None:
        join["homology"] = known
    return join
