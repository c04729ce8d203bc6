"""Facts that an objective adds to the card of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class CardFacts:
    """What the card of a model says beyond what is true for all objectives.

    Attributes:
        tags: for the Hub's search.
        pipeline_tag: the Hub's name of what the model does.
        encoder_prefix: of the names of the encoder's weights, beside which there may be heads.
        recipe_keys: that the card shows: those that decide the weights.
        architecture: what the card shows of the configuration.
        template: name of a Jinja template that extends `card_template.md` of `isoclr.hub` and fills
            its blocks (summary, usage, input, intended, limits, objective_text, held_out, data and
            more); None: that template as it is.
        template_folder: where it lies.
        variables: of the template.
    """

    tags: Sequence[str] = ()
    pipeline_tag: str | None = None
    encoder_prefix: str = "model."
    recipe_keys: Sequence[str] = ("steps", "batch_size", "learning_rate", "weight_decay", "seed")
    architecture: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    template_folder: Path | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
