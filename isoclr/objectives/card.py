"""Facts that an objective adds to the card of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeling_isoclr import IsoCLRConfig


@dataclass(frozen=True)
class CardFacts:
    """What the card of a model says beyond what is true for all objectives.

    Attributes:
        tags: for the Hub's search.
        pipeline_tag: the Hub's name of what the model does.
        encoder_prefix: of the names of the encoder's weights, beside which there may be heads.
        recipe_keys: that the card shows: those that decide the weights.
        architecture: what the card shows of the configuration.
        language: of the sequences, as the Hub's search knows it: rna, protein or both; None: none.
        embedding: numbers of an embedding; None: it gives none.
        width: of what it takes or gives, in words, where it gives no embedding; None: not said.
        longest: what limits the input, in words; None: nothing is said.
        citation: BibTeX of the paper whose method it is; None: none.
        cited: what the citation is of.
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
    language: str | list[str] | None = None
    embedding: int | None = None
    width: str | None = None
    longest: str | None = None
    citation: str | None = None
    cited: str = "The method"
    template: str | None = None
    template_folder: Path | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


def sequence_card_facts(
    config: IsoCLRConfig,
    shown: Sequence[str],
    *,
    tags: Sequence[str],
    recipe_keys: Sequence[str],
    citation: str,
    template_folder: Path,
    variables: Mapping[str, Any],
) -> CardFacts:
    """Return the facts of an encoder of sequences, RNA or protein.

    `shown` are keys of the configuration that the card shows, where they have a value. The template
    is the folder's `card.md`, and gets `config` beside the variables. The rest is as in
    `CardFacts`.
    """
    predicts = "IsoCLRForSequenceClassification" in (config.architectures or ())
    return CardFacts(
        tags=tags,
        pipeline_tag="text-classification" if predicts else "feature-extraction",
        encoder_prefix="isoclr.",
        recipe_keys=recipe_keys,
        architecture={key: v for key in shown if (v := getattr(config, key)) is not None},
        language=config.alphabet,
        embedding=config.pooled_size,
        longest="any length; memory grows with it",
        citation=citation,
        template="card.md",
        template_folder=template_folder,
        variables={"config": config, **variables},
    )
