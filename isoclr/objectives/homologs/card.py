"""What the card of an encoder says that homologs taught."""

from pathlib import Path

from markupsafe import Markup

from data_builders.text import read_json
from isoclr.objectives.card import CardFacts, sequence_card_facts
from isoclr.pretrained import read_config

_ARCHITECTURE = ("alphabet", "filters", "blocks", "dilations", "kernel_size", "stem_kernel_size")
_ARCHITECTURE += ("stem_filters", "n_tracks", "norm", "pooling", "critic", "critic_bands")
_CITATION = """\
@article{lu2020evolution,
  title = {Evolution Is All You Need: Phylogenetic Augmentation for Contrastive Learning},
  author = {Lu, Amy X. and Lu, Alex X. and Moses, Alan},
  journal = {arXiv:2012.13475},
  year = {2020}
}"""
# Of the recipe, what decides the weights.
_RECIPE = ("loss", "encoder", "critic", "positives", "bands", "tell_bands", "homologs", "negatives")
_RECIPE += ("length_matched", "window", "windows", "drop_unknown", "mask_fraction", "mask_span")
_RECIPE += ("batch_size", "steps", "learning_rate", "weight_decay", "warmup_steps")
_RECIPE += ("held_out_families", "test_families", "seed")
_REPORT = ("alphabet", "families", "sequences", "letters", "species")


def card_facts(folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
    """Return the facts of a model folder; `results/*/*.md` of it are taken in as they are.

    Arguments and errors as in `Objective.card_facts`.
    """
    config = read_config(folder / "config.json")
    sources = [Path(source["path"]) / "report.json" for source in recipe.get("data", [])]
    report = "the report of isoclr build-homologs"
    return sequence_card_facts(
        config,
        _ARCHITECTURE,
        tags=(config.alphabet, "biology", "contrastive-learning", "homology"),
        recipe_keys=_RECIPE,
        citation=_CITATION,
        template_folder=Path(__file__).parent,
        variables={
            "protein": config.alphabet == "protein",
            "reports": [read_json(path, _REPORT, report) for path in sources if path.is_file()],
            "results": [
                Markup(p.read_text().strip()) for p in sorted(folder.glob("results/*/*.md"))
            ],
            "held_out": next((r for r in reversed(log) if "held_out_bound" in r), None),
        },
    )
