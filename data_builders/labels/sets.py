"""Label sets of downstream tasks, from the files that their authors publish.

Each function reads one kind of file and returns a `LabelSet`; `read_labels` is the general case.
`join` says where transcripts come from.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from data_builders.labels.base import MULTILABEL
from data_builders.labels.join import gene_key
from data_builders.labels.label_set import (
    Join,
    LabelColumn,
    LabelSet,
    label_genes,
    label_rows,
    names_of_columns,
    numbers,
    read_column,
    read_table,
)
from data_builders.labels.ontology import GeneTerms, read_gaf, read_gmt, read_obo
from data_builders.records import InputError
from data_builders.text import Tally

_SALUKI = {"ENSID": "gene_id", "5UTR": "utr5", "ORF": "cds", "3UTR": "utr3"}
_HALF_LIFE = ("HALFLIFE", "half_life_pc1", "log_half_life_min", "half_life")
_RIBOSOME_LOAD = ("rl", "mrl")
_HPA = {"Gene": "gene_id", "Gene name": "gene_symbol"}
_HPA_LOCATIONS = ("Main location", "Additional location")
_NOT_CLASSES = {
    *("species", "transcript_id", "gene_id", "gene", "gene_symbol", "sequence", "cds_start"),
    *("cds_end", "exon_junctions", "utr5", "cds", "utr3", "homology_group", "split"),
}


def half_life(
    path: str | os.PathLike, column: str | None = None, join: Join | None = None
) -> LabelSet:
    """Read RNA half-lives of genes.

    Args:
        path: Saluki's `all_HLs_*_featTable.txt.gz` (Agarwal & Kelley 2022: ENSID, HALFLIFE, 5UTR,
            ORF, 3UTR, the half-life being the first principal component of many studies), or any
            table of `read_labels`.
        column: the label; None: the first there is of HALFLIFE, half_life_pc1, log_half_life_min
            and half_life.
        join: see above.
    """
    table = read_table(path)
    column = column or _first_of(_HALF_LIFE, table, path)
    if set(_SALUKI) <= set(table.columns):
        table = table.rename(_SALUKI)
    return label_rows(table, read_column(table, column, path), join)


def mean_ribosome_load(
    path: str | os.PathLike, column: str | None = None, join: Join | None = None
) -> LabelSet:
    """Read mean ribosome loads of the 5'UTRs of a reporter library, or of transcripts.

    A library (Sample et al. 2019) has no transcripts of its own: every row is one, without CDS,
    named `library:row`. Rows of equal sequence are homologous. Variants of one sequence are not
    told apart from strangers; libraries of variants need a `homology_group` column.

    Args:
        path: a library with the columns utr (or utr5) and rl (or mrl) and perhaps library, or an
            isoform-resolved table of `read_labels`.
        column: the label; None: rl or mrl.
        join: see above; a library needs none.
    """
    table = read_table(path)
    column = column or _first_of(_RIBOSOME_LOAD, table, path)
    values = read_column(table, column, path)
    utr = next((name for name in ("utr", "utr5") if name in table.columns), None)
    if utr is None or "cds" in table.columns or "transcript_id" in table.columns:
        return label_rows(table, values, join)
    if "library" not in table.columns:
        table = table.with_columns(library=pl.lit("library"))
    if "homology_group" not in table.columns:
        table = table.with_columns(
            homology_group=pl.col(utr).str.to_uppercase().str.replace_all("U", "T")
        )
    numbered = pl.format("{}:{}", "library", pl.int_range(1, pl.len() + 1))
    table = table.with_columns(transcript_id=numbered, gene_id=numbered, sequence=utr)
    return label_rows(table, values, _of_species(join, "reporter"))


def protein_localisation(
    path: str | os.PathLike, compartments: Sequence[str] | None = None, join: Join | None = None
) -> LabelSet:
    """Read the compartments of the cell that the protein of a gene or transcript is found in.

    Args:
        path: `subcellular_location.tsv` of the Human Protein Atlas (main and additional locations;
            a reliability of Uncertain counts as missing), or a table of transcripts or genes with
            a column of 0 and 1 for each compartment.
        compartments: the columns to use, or the locations; None: all there are.
        join: see above.

    Raises:
        InputError: as `read_labels`, or a value that is not 0 or 1.
    """
    table = read_table(path)
    if set(_HPA_LOCATIONS) <= set(table.columns):
        values = _atlas_locations(table)
        table = table.rename(_HPA, strict=False)
        found = sorted(set().union(*filter(None, values)))
        join = _of_species(join, "homo_sapiens")
    else:
        found = [name for name in table.columns if name not in _NOT_CLASSES]
        values = _indicated(table, compartments or found, path)
    classes = tuple(compartments or found)
    return label_rows(table, _classes_column("localisation", values, classes, path), join)


def gene_ontology_sets(path: str | os.PathLike, join: Join, min_genes: int = 1) -> LabelSet:
    """Read GO terms of genes from sets of genes (GMT) such as MSigDB's c5.

    Args:
        path: the sets, closed under the ontology by their maker.
        join: with isoform groups; a gene is represented as in `read_labels`. The species of the
            genes is human if it names none.
        min_genes: terms of fewer matched genes are left out.

    Returns:
        The rows of its report are genes.
    """
    join = _of_species(join, "homo_sapiens")
    return _label_terms(
        read_gmt(path, join.species or join.default_species or ""), join, min_genes, path
    )


def gene_ontology_annotations(
    gaf: str | os.PathLike,
    obo: str | os.PathLike,
    join: Join,
    *,
    aspect: str | None = None,
    min_genes: int = 1,
) -> LabelSet:
    """Read GO terms of genes from annotations (GAF 2) and the ontology (OBO).

    Args:
        gaf: annotations, as in `read_gaf`, which tells what counts.
        obo: such as go-basic.obo.
        join: as in `gene_ontology_sets`, but that a GAF names its species.
        aspect: as in `read_gaf`.
        min_genes: as in `gene_ontology_sets`.

    Returns:
        The rows of its report are genes; what became of annotations follows as "annotations ...".
    """
    if join.species is not None:
        raise InputError(f"species '{join.species}': wanted none, a GAF names its own")
    tally = Tally()
    genes = read_gaf(gaf, read_obo(obo), tally, aspect=aspect)
    labels = _label_terms(genes, join, min_genes, gaf)
    labels.report["annotations used"] = tally.kept
    for reason, number in tally.skipped.items():
        labels.report[f"annotations skipped: {reason}"] = number
    return labels


def _of_species(join: Join | None, species: str) -> Join:
    """Return the join, with this species for rows that no one names one for."""
    join = join or Join()
    return replace(join, default_species=join.default_species or species)


def _label_terms(genes: list[GeneTerms], join: Join, min_genes: int, path) -> LabelSet:
    if join.isoform_groups is None:
        raise InputError(f"{path}: got no transcripts to label, wanted isoform groups or a source")
    keys = [gene_key(gene.species, gene.names, gene.synonyms) for gene in genes]
    classes = tuple(sorted(set().union(*(gene.terms for gene in genes))))
    column = _classes_column("go", [gene.terms for gene in genes], classes, path)
    labels = label_genes(column, keys, join)
    frequent = labels.targets.sum(axis=0) >= min_genes
    if not frequent.any():
        raise InputError(f"{path}: got no term of {min_genes} matched genes, wanted some")
    return replace(
        labels,
        targets=labels.targets[:, frequent],
        classes=tuple(name for name, kept in zip(classes, frequent, strict=True) if kept),
    )


def _first_of(names: Sequence[str], table: pl.DataFrame, path) -> str:
    for name in names:
        if name in table.columns:
            return name
    raise InputError(
        f"{path}: got the columns {names_of_columns(table)}, wanted one of {', '.join(names)}"
    )


def _atlas_locations(table: pl.DataFrame) -> list[set[str] | None]:
    """Return the locations of each gene, None where they are doubtful or not given."""
    columns = (table[name].fill_null("") for name in _HPA_LOCATIONS)
    found = [
        {location for cell in cells for location in cell.split(";") if location} or None
        for cells in zip(*columns, strict=True)
    ]
    if "Reliability" in table.columns:
        trust = table["Reliability"].fill_null("").to_list()
        found = [None if t == "Uncertain" else f for t, f in zip(trust, found, strict=True)]
    return found


def _indicated(table: pl.DataFrame, classes: Sequence[str], path) -> list[set[str] | None]:
    """Return the classes that are 1 in each row, None where one is missing."""
    columns = [numbers(table, name, path) for name in classes]
    sets = []
    for number, row in enumerate(zip(*columns, strict=True), 1):
        for name, value in zip(classes, row, strict=True):
            if value not in (0, 1, None):
                raise InputError(f"{path}: row {number}: {name}: got {value:g}, wanted 0 or 1")
        sets.append(None if None in row else {n for n, v in zip(classes, row, strict=True) if v})
    return sets


def _classes_column(
    label: str, sets: Iterable[Collection[str] | None], classes: tuple[str, ...], path
) -> LabelColumn:
    """Return a bool (classes,) for each set; classes that are not asked for are left out."""
    place = {name: i for i, name in enumerate(classes)}
    values: list[np.ndarray | None] = []
    for names in sets:
        row = None
        if names is not None:
            row = np.zeros(len(classes), bool)
            row[[place[name] for name in names if name in place]] = True
        values.append(row)
    return LabelColumn(label=label, task=MULTILABEL, values=values, classes=classes, path=path)
