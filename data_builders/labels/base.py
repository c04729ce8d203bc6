"""What every downstream task says: the label of n rows, and of what type it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_builders.records import InputError

REGRESSION, BINARY, MULTICLASS, MULTILABEL, SURVIVAL = TASK_TYPES = (
    "regression",
    "binary",
    "multiclass",
    "multilabel",
    "survival",
)
"""A number; yes or no; one class of several; any number of classes; time to an event."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is predicted of n rows: transcripts, pairs or samples.

    Attributes:
        label: what was measured.
        task: one of `TASK_TYPES`.
        targets: float (n,) for regression; bool (n,) for binary; class numbers (n,) for multiclass;
            bool (n, classes) for multilabel; float (n, 2) for survival, time and whether the event
            was seen (1) or not (0).
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

    def __post_init__(self):
        """Raise InputError for targets that are not as the task has them."""
        if self.task not in TASK_TYPES:
            raise InputError(
                f"{self.label}: task: got '{self.task}', wanted one of {', '.join(TASK_TYPES)}"
            )
        targets, n = np.asarray(self.targets), len(self.targets)
        kinds, shape, form = {
            REGRESSION: ("fiu", (n,), f"numbers ({n},)"),
            BINARY: ("b", (n,), f"bool ({n},)"),
            MULTICLASS: ("iu", (n,), f"class numbers ({n},)"),
            MULTILABEL: ("b", (n, len(self.classes)), f"bool ({n}, {len(self.classes)})"),
            SURVIVAL: ("f", (n, 2), f"numbers ({n}, 2)"),
        }[self.task]
        if targets.dtype.kind not in kinds or targets.shape != shape:
            raise InputError(
                f"{self.label}: targets: got {targets.dtype} {targets.shape}, wanted {form} of a "
                f"{self.task} task"
            )
        if (
            self.task == MULTICLASS
            and n
            and not 0 <= targets.min() <= targets.max() < len(self.classes)
        ):
            raise InputError(
                f"{self.label}: targets: got classes {targets.min()} to {targets.max()}, wanted "
                f"0 to {len(self.classes) - 1}"
            )
