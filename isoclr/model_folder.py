"""A model folder as the Hub wants it: weights, configuration, tokenizer, and the code to load them.

    python -m isoclr.model_folder model_cards/isoclr-small ...

writes the code into folders anew (`make code`).
"""

import json
import os
import shutil
import sys
from pathlib import Path

from data_builders.records import InputError
from data_builders.storage import respect_umask
from data_builders.text import read_json

HEADS = "heads"
"""The folder of a model that has its heads, a folder each (`isoclr.evaluation.heads`)."""

HEAD_FILES = ("head.json", "head.safetensors", "held_out.png")
"""What the folder of a head has."""

SEARCH_FILE = "search.safetensors"
"""Axes of a model in which plain cosine finds relatives (`isoclr.evaluation.search`)."""

HANDLER = "handler.py"
"""What Inference Endpoints of the Hub run."""

_CODE = Path(__file__).resolve().parents[1] / "modeling_isoclr"
# SentenceTransformer averages token vectors unless told otherwise, those of padding too.
_SENTENCE_TRANSFORMER = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ],
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}},
        "module_output_name": "sentence_embedding",
    },
    "config_sentence_transformers.json": {"similarity_fn_name": "cosine"},
}


def code_files(family: str = "isoclr") -> list[Path]:
    """Files of code that a model folder carries: `*_FAMILY.py`, and what they import beside them.

    `handler.py`, which answers requests of an Inference Endpoint, goes with every family.

    Args:
        family: `model_type` of the configuration; of `isoclr_FAMILY` the last part.

    Returns:
        Paths in modeling_isoclr, by name.

    Raises:
        InputError: a family without code.
    """
    from transformers.dynamic_module_utils import get_relative_import_files

    name = _suffix(family)
    files = set(_CODE.glob(f"*_{name}.py")) if name.isidentifier() else set()
    if not files:
        raise InputError(f"model_type: got {family!r}, wanted a family with code in {_CODE.name}")
    for file in sorted(files):
        files |= {_CODE / Path(name).name for name in get_relative_import_files(file)}
    return sorted({*files, *_CODE.glob(HANDLER)})


def _suffix(model_type: str) -> str:
    """How the names of a family's files end."""
    return str(model_type).removeprefix("isoclr_")


def write_code(folder: str | os.PathLike) -> list[Path]:
    """Write the code of its family, and the files for SentenceTransformer, into a model folder.

    Files of the family that there are no more are removed. No configuration, or one of a family
    without code, is an InputError.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json", ("model_type",), "a model that train.py wrote")
    family = config["model_type"]
    files = code_files(family)
    for old in set(folder.glob(f"*_{_suffix(family)}.py")) - {folder / file.name for file in files}:
        old.unlink()
    written = [Path(shutil.copyfile(file, folder / file.name)) for file in files]
    if family == "isoclr":
        for name, content in _SENTENCE_TRANSFORMER.items():
            path = folder / name
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            written.append(path)
    return written


def write_model_folder(model, processor, folder: str | os.PathLike) -> None:
    """Write a complete model folder but for its card, see `isoclr.hub.card.write_card`.

    Args:
        model: a `PreTrainedModel`; one of a family that is not in modeling_isoclr brings its own
            code, as `register_for_auto_class` says.
        processor: its tokenizer or processor; None: it has none.
        folder: to write into.
    """
    model.save_pretrained(folder)
    respect_umask(*Path(folder).glob("*.safetensors"))
    if processor is not None:
        processor.save_pretrained(folder)
    family = model.config.model_type
    if family and any(_CODE.glob(f"*_{_suffix(family)}.py")):
        write_code(folder)


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(f"{given}: {len(write_code(given))} files")
