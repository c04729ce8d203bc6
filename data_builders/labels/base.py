"""What every downstream task says: the label of n rows, and of what type it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REGRESSION, BINARY, MULTICLASS, MULTILABEL = TASK_TYPES = (
    "regression",
    "binary",
    "multiclass",
    "multilabel",
)
"""A number; yes or no; one class of several; any number of classes."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is predicted of n rows: transcripts, pairs or samples.

    Attributes:
        label: what was measured.
        task: one of `TASK_TYPES`.
        targets: float (n,) for regression; bool (n,) for binary; class numbers (n,) for multiclass;
            bool (n, classes) for multilabel.
        groups: what the splits keep on one side, such as the homology group of each row; may be
            empty.
        classes: the names of the classes of a multiclass or multilabel task.
        unit: what a row is, in the plural.
        group_unit: what a group is, in the plural.
    """

    label: str
    task: str
    targets: np.ndarray
    groups: Sequence = ()
    classes: tuple[str, ...] = ()
    unit: str = "rows"
    group_unit: str = "groups"
