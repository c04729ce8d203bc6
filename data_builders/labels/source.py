"""Where the labels of an evaluation come from: a label set, or a table and its transcripts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from data_builders.groups.parquet import read_groups
from data_builders.homology.homologous_genes import read_homology
from data_builders.labels.files import is_label_set, read_label_set
from data_builders.labels.label_set import Join, LabelSet, read_labels
from data_builders.labels.tasks import read_task
from data_builders.records import InputError


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """A file of labels, and where their transcripts are.

    Attributes:
        path: a label set that `isoclr labels` wrote; or with `task` or `label` a table.
        task: the name of a downstream task whose files `path` is one of, see `read_task`; of a
            label set, what it is of.
        label: the table's column; with a task it stands for the task's own.
        isoform_groups: folder of the transcripts, when the table does not carry them.
        homology: for `read_homology`, when it does.
        species: of the table; one that has a column species must name it there.
        default_species: of a table without a column species where `species` is None; None: that of
            the task, else any species of the isoform groups, or human where the table carries its
            transcripts.
    """

    path: str | os.PathLike
    task: str | None = None
    label: str | None = None
    isoform_groups: str | os.PathLike | None = None
    homology: str | os.PathLike | Sequence | None = None
    species: str | None = None
    default_species: str | None = None

    def read(self) -> LabelSet:
        """Read the labels; a label set takes no isoform groups or homology, as it has its own."""
        alone = self.isoform_groups is None and self.homology is None
        is_set = self.task is not None and alone and is_label_set(self.path)
        if self.label is None and (self.task is None or is_set):
            if not alone:
                raise InputError(
                    f"{self.path}: got isoform groups or homology, wanted the label's column or a "
                    "task with them"
                )
            return read_label_set(self.path)
        groups, homology = self.isoform_groups, self.homology
        human = self.task is None and groups is None
        join = Join(
            isoform_groups=None if groups is None else read_groups(groups),
            homology=None if homology is None else read_homology(homology),
            species=self.species,
            default_species=self.default_species or ("homo_sapiens" if human else None),
        )
        if self.task is not None:
            return read_task(self.task, self.path, join, column=self.label)
        return read_labels(self.path, cast(str, self.label), join)  # a task or a label, see above
