"""Options that `isoclr finetune` and `isoclr low-data` share."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from data_builders.records import InputError
from isoclr.cli.options import Model, Option, seeds
from isoclr.shipped import DEFAULT_MODEL, resolve_recipe


@dataclass(kw_only=True)
class Supervised:
    """A model, and how networks are fitted to labels."""

    PANEL: ClassVar = "Model and training"

    model: Model = DEFAULT_MODEL
    split: Annotated[
        Literal["homology", "random", "k-mer"], Option(help="what keeps train and test rows apart")
    ] = "homology"
    seeds: Annotated[int, Option(help="how many of the ten splits")] = 3
    settings: Annotated[
        str | None, Option(metavar="FILE", help="YAML, or a shipped one: finetune/isoclr")
    ] = None
    max_length: Annotated[int | None, Option(help="crop around the CDS to so many nt")] = None

    def made(self) -> dict:
        """Return the fields of `TrainingOptions`."""
        from isoclr.evaluation.settings import DEFAULTS, read_settings

        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"--max-length: got {self.max_length}, wanted at least 1")
        settings = DEFAULTS
        if self.settings is not None:
            settings = read_settings(resolve_recipe(self.settings))
        return {
            "split": self.split,
            "seeds": seeds(self.seeds),
            "settings": settings,
            "max_length": self.max_length,
        }
