"""Every downstream task of the project: what it predicts, from which files, and how it is scored.

The table feeds `isoclr labels` and `isoclr probe --task`, docs/LABELS.md and the tests. To add a
task, add an entry here; if its files have a layout of their own, a reader in `sets.py`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from data_builders.labels.base import MULTILABEL, REGRESSION
from data_builders.labels.label_set import Join, LabelSet
from data_builders.labels.sets import (
    gene_ontology_annotations,
    gene_ontology_sets,
    half_life,
    mean_ribosome_load,
    protein_localisation,
)
from data_builders.records import InputError


@dataclass(frozen=True, kw_only=True)
class Task:
    """A downstream task.

    Attributes:
        name: on the command line.
        predicts: what is predicted of what.
        files: what its authors publish.
        label: the name of the label: columns that are looked for in this order, or what the reader
            calls it.
        task: its type, one of `data_builders.labels.base.TASK_TYPES`.
        split: what splits keep on one side.
        metric: the one that comparisons show, the first of the task's type.
        citation: where the measurements were published.
        species: of files that do not name theirs; None where all do, or none is needed.
        read: from a path and a `Join`, and what `options` names by keyword, to a `LabelSet`.
        options: which of "column", "obo" and "min_genes" the reader takes.
    """

    name: str
    predicts: str
    files: str
    label: str
    task: str
    split: str
    metric: str
    citation: str
    species: str | None = None
    read: Callable[..., LabelSet]
    options: tuple[str, ...] = ("column",)


def _gene_ontology(path, join: Join, aspect: str, obo=None, min_genes: int = 1) -> LabelSet:
    """Sets of genes of one aspect, or with an ontology the annotations of that aspect."""
    if obo is None:
        return gene_ontology_sets(path, join, min_genes)
    return gene_ontology_annotations(path, obo, join, aspect=aspect, min_genes=min_genes)


_SALUKI = {
    "label": "HALFLIFE, half_life_pc1, log_half_life_min, half_life",
    "task": REGRESSION,
    "split": "homology",
    "metric": "pearson",
    "read": half_life,
}
_HALF_LIVES = "Agarwal & Kelley 2022, Genome Biology 23:245"
_GO = {
    "files": "MSigDB `c5.{0}.*.symbols.gmt`; or a GAF 2 such as `goa_human.gaf.gz`, with "
    "`go-basic.obo`",
    "label": "go",
    "task": MULTILABEL,
    "split": "homology",
    "metric": "auroc_macro",
    "citation": "Ashburner et al. 2000, Nature Genetics 25:25; Gene Ontology Consortium 2023, "
    "Genetics 224:iyad031",
    "options": ("obo", "min_genes"),
}


def _go(short: str, aspect: str, predicts: str) -> Task:
    files = _GO["files"].format(short)
    read = partial(_gene_ontology, aspect=aspect)
    return Task(**_GO | {"files": files}, name=f"go-{short}", predicts=predicts, read=read)


_TRANSCRIPT_TASKS = (
    Task(
        name="half-life-human",
        predicts="half-life of human mRNAs, the first principal component of many studies",
        files="Saluki's `all_HLs_human_featTable.txt.gz`",
        citation=_HALF_LIVES,
        species="homo_sapiens",
        **_SALUKI,
    ),
    Task(
        name="half-life-mouse",
        predicts="half-life of mouse mRNAs, the first principal component of many studies",
        files="Saluki's `all_HLs_mouse_featTable.txt.gz`",
        citation=_HALF_LIVES,
        species="mus_musculus",
        **_SALUKI,
    ),
    Task(
        name="half-life-yeast",
        predicts="log half-life of yeast mRNAs",
        files="a table with `log_half_life_min`, and gene, utr5, cds and utr3",
        citation="Cheng et al. 2017, RNA 23:1648",
        species="saccharomyces_cerevisiae",
        **_SALUKI,
    ),
    Task(
        name="ribosome-load",
        predicts="mean ribosome load of 5'UTRs in a reporter library, or of transcripts",
        files="a library with `utr` and `rl`; or a table with a load for each transcript_id",
        label="rl, mrl",
        task=REGRESSION,
        split="homology",
        metric="pearson",
        citation="Sample et al. 2019, Nature Biotechnology 37:803",
        read=mean_ribosome_load,
    ),
    Task(
        name="localisation",
        predicts="compartments of the cell that a gene's protein is found in",
        files="the Human Protein Atlas' `subcellular_location.tsv`; or columns of 0 and 1",
        label="localisation",
        task=MULTILABEL,
        split="homology",
        metric="auroc_macro",
        citation="Thul et al. 2017, Science 356:eaal3321",
        read=protein_localisation,
        options=(),
    ),
    _go("mf", "F", "molecular functions of a gene's product"),
    _go("bp", "P", "biological processes of a gene's product"),
    _go("cc", "C", "cellular components of a gene's product"),
)
# Tasks of RNA-protein pairs (data_builders/interactions) and of samples (data_builders/expression)
# go into tuples of their own here.

TASKS = {task.name: task for task in _TRANSCRIPT_TASKS}
"""Name -> task."""


def read_task(name: str, path: str | os.PathLike, join: Join | None = None, **options) -> LabelSet:
    """Read the labels of a task.

    Args:
        name: of `TASKS`.
        path: the file that its authors publish.
        join: where transcripts come from. A species that it names stands for the task's own.
        options: of the task's reader: `column`, `obo` or `min_genes`. None is as if not given.

    Raises:
        InputError: an unknown task, an option that the task has not, or what the reader refuses.
    """
    if name not in TASKS:
        raise InputError(f"task: got '{name}', wanted one of {', '.join(TASKS)}")
    task = TASKS[name]
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in task.options:
            wanted = f"wanted {' or '.join(task.options)}" if task.options else "it has no options"
            raise InputError(f"{name}: got the option {key}, {wanted}")
    join = join or Join()
    join = replace(join, default_species=join.default_species or task.species)
    return task.read(path, join=join, **given)
