"""Models of the other systems, as far as they come with this installation."""

from pathlib import Path

from data_builders.text import read_json
from isoclr.shipped import shipped_folder


def released(model_type: str) -> Path | None:
    """Return the folder of the first shipped model of a family, None where none is shipped.

    Args:
        model_type: of its config.json: `rpi` or `isoclr_expression`.
    """
    for path in sorted(shipped_folder("model_cards").glob("*/config.json")):
        config = read_json(path, ("model_type",), "the configuration of a model")
        if config["model_type"] == model_type:
            return path.parent
    return None
