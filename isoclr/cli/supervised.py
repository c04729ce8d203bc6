"""Options that `isoclr finetune` and `isoclr low-data` share."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from data_builders.records import InputError
from isoclr.cli.options import Label, LabelledGroups, Labels, Model, Option, Taxonomy, seeds
from isoclr.shipped import DEFAULT_MODEL


@dataclass(kw_only=True)
class Supervised:
    """Model, labels and how networks are fitted to them."""

    PANEL: ClassVar = "Model and labels"

    labels: Labels
    model: Model = DEFAULT_MODEL
    label: Label = None
    groups: LabelledGroups = None
    taxonomy: Taxonomy = 9606
    split: Annotated[
        Literal["homology", "random"], Option(help="what keeps train and test rows apart")
    ] = "homology"
    seeds: Annotated[int, Option(help="how many of the ten splits")] = 3
    settings: Annotated[
        str | None, Option(metavar="FILE", help="YAML, as recipes/finetune/isoclr.yaml")
    ] = None
    max_length: Annotated[int | None, Option(help="crop around the CDS to so many nt")] = None

    def made(self) -> dict:
        """Return the keyword arguments that both functions take."""
        from isoclr.evaluation.supervised import DEFAULTS, read_settings

        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"--max-length: got {self.max_length}, wanted at least 1")
        return {
            "isoform_groups": self.groups,
            "taxonomy": self.taxonomy,
            "split": self.split,
            "seeds": seeds(self.seeds),
            "settings": DEFAULTS if self.settings is None else read_settings(self.settings),
            "max_length": self.max_length,
        }
