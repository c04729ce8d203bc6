"""Facts for the card of an isoform encoder."""

from pathlib import Path

from data_builders.groups.report import read_report
from isoclr.objectives.card import CardFacts, sequence_card_facts
from isoclr.pretrained import read_config

_ARCHITECTURE = ("filters", "blocks", "dilations", "kernel_size", "stem_kernel_size")
_ARCHITECTURE += ("stem_filters", "n_tracks", "norm", "pooling", "discriminants")
_CITATION = """\
@article{fradkin2023splicing,
  title = {Splicing Up Your Predictions with RNA Contrastive Learning},
  author = {Fradkin, Philip and Shi, Ruian and Wang, Bo and Frey, Brendan and Lee, Leo J.},
  journal = {arXiv:2310.08738},
  year = {2023}
}"""
# Of the recipe, what decides the weights and is not said elsewhere in the card.
_RECIPE = ("steps", "batch_size", "learning_rate", "weight_decay", "warmup_steps")
_RECIPE += ("mask_fraction", "count_weights", "max_length", "micro_batch_tokens", "seed")


def card_facts(folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
    """Return the facts of a model folder; arguments and errors as in `Objective.card_facts`."""
    config = read_config(folder / "config.json")
    reports = _read_reports(recipe.get("data"))
    return sequence_card_facts(
        config,
        _ARCHITECTURE,
        tags=("rna", "biology", "contrastive-learning"),
        recipe_keys=_RECIPE,
        citation=_CITATION,
        template_folder=Path(__file__).parent,
        variables={
            "reports": reports,
            "species": sorted({name for r in reports for name in r["dataset"]["species"]}),
            "held_out": next((r for r in reversed(log) if "held_out_loss" in r), None),
        },
    )


def _read_reports(data: str | list | None) -> list[dict]:
    """Read the reports of isoform groups in folders that are still there."""
    entries = data if isinstance(data, list) else [data]
    folders = [entry.get("path") if isinstance(entry, dict) else entry for entry in entries]
    paths = [Path(folder) / "report.json" for folder in folders if isinstance(folder, str)]
    return [read_report(path) for path in paths if path.is_file()]
