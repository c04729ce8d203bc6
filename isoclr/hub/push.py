"""Share a folder that train.py wrote."""

import json
import os
import re
from pathlib import Path
from typing import Literal

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, RepoUrl
from huggingface_hub.errors import (
    RevisionNotFoundError,
)

import modeling_isoclr
from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.hub.card import check_model_folder, write_card
from isoclr.model_folder import HANDLER, HEAD_FILES, HEADS, SEARCH_FILE, code_files
from isoclr.repositories import hub_errors
from isoclr.training.yaml_file import read_mapping

_WEIGHTS = "model.safetensors"
# What a repository carries, each by its name: what isoclr wrote. Checkpoints and whatever else
# lies in the folder stay at home.
_SHARED = (
    "README.md",
    "config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    _WEIGHTS,
    "known.safetensors",  # of interactions: the molecules of training
    "recipe.yaml",
    "log.jsonl",
    "curves.png",
    "discriminants.json",
    SEARCH_FILE,
    "measured.json",
    "card.yaml",
    "modules.json",  # these of sentence-transformers
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
)
_RESULTS = ("probe", "few_labels", "low_data", "go", "retrieve", "explain", "finetune")
_RESULTS += ("windows", "families", "information")
_IMAGE = re.compile(r"!\[[^\]\n]*\]\(([^()\s:]+\.(?:png|jpe?g|svg|gif))\)")
_EXAMPLE = re.compile(r"^```python\n.*?^```", re.DOTALL | re.MULTILINE)
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
# Of a recipe, what names places of the machine that it ran on.
_PLACES = ("output", "token_cache")
_LOCAL = re.compile(r"(?:[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|file:).*", re.DOTALL)


def push(
    folder: str | os.PathLike,
    repo: str,
    private: bool = False,
    *,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload a model folder to the Hub, as one commit.

    The repository is made when there is none. Weights, configuration, tokenizer, code, recipe, log,
    curves, results, heads, card and the images that the card shows go, each by the name that isoclr
    gives it; nothing else does. A folder without code gets the package's. Where neither the folder
    nor the repository has a card, one is written into the folder; where a generated card leaves the
    repository's name open, the uploaded one has it. Paths of this machine in recipe.yaml are cut to
    their last part.

    Args:
        folder: as train.py or `save_pretrained` writes it.
        repo: `owner/name`, or `name` of the user who is logged in.
        private: a new repository is seen by its owner alone; an existing one must be private.
        revision: branch that the commit goes to, made from main if absent; None: main.
        create_pr: propose the commit as a pull request instead.

    Returns:
        The repository's URL; of a pull request, its own.

    Raises:
        InputError: a folder without config or safetensors weights, with pickled ones, or with a
            link in place of a file; a public repository where a private one was asked for; a Hub
            that refuses, is out of reach, or is silent for `isoclr.repositories.TIMEOUT` s.
    """
    folder = Path(folder)
    _check_weights(folder)
    check_model_folder(folder)
    contents = model_contents(folder)
    api = HfApi()
    with hub_errors(repo, api.endpoint):
        url = open_repository(api, repo, "model", private, None if create_pr else revision)
        name = url.repo_id
        if not (folder / "README.md").exists() and not api.file_exists(name, "README.md"):
            contents["README.md"] = write_card(folder)
        # upload_folder may split what it uploads over several commits.
        done = api.create_commit(
            name,
            _operations(contents, name),
            commit_message="Upload IsoCLR model",
            revision=revision,
            create_pr=create_pr,
        )
    return str(done.pr_url or url)


def open_repository(
    api: HfApi,
    repo: str,
    kind: Literal["model", "dataset", "space"],
    private: bool,
    branch: str | None,
) -> RepoUrl:
    """Make a repository where there is none, and a branch of it, if one is named, from main.

    A new one may be private; one that is there and public, and should be private, is an InputError.
    """
    # None leaves what is not asked for to the default of the owner.
    url = api.create_repo(
        repo,
        repo_type=kind,
        private=private or None,
        exist_ok=True,
        space_sdk="gradio" if kind == "space" else None,
    )
    if private and not api.repo_info(url.repo_id, repo_type=kind).private:
        raise InputError(f"{url.repo_id}: is public on {api.endpoint}, wanted a private repository")
    if branch is not None:
        try:
            api.repo_info(url.repo_id, repo_type=kind, revision=branch)
        except RevisionNotFoundError:
            api.create_branch(url.repo_id, repo_type=kind, branch=branch)
    return url


def _check_weights(folder: Path) -> None:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise InputError(
            f"{folder / pickles[0]}: got weights in pickle form, which can run code where they are "
            f"loaded, wanted {_WEIGHTS} alone: load the model and save_pretrained it anew"
        )


def shared_files(folder: Path) -> dict[str, Path]:
    """What of a model folder goes to the Hub: path in the repository -> file.

    A link, a result that is no JSON, and a figure that is no PNG are an InputError.
    """
    code = {path.name for path in Path(modeling_isoclr.__file__).parent.glob("[a-z]*_*.py")}
    names = [*_SHARED, *sorted(code), HANDLER]
    for path in sorted(folder.glob("results/*/*")):
        if path.stem in _RESULTS and path.suffix in (".json", ".png"):
            names.append(path.relative_to(folder).as_posix())
    for path in sorted(folder.glob(f"{HEADS}/*/*")):
        if path.name in HEAD_FILES:
            names.append(path.relative_to(folder).as_posix())
    found = {name: folder / name for name in names if os.path.lexists(folder / name)}
    for path in found.values():
        _check_file(folder, path)
    if "README.md" in found:
        card = found["README.md"].read_text(encoding="utf-8", errors="replace")
        for name in _IMAGE.findall(card):
            path = folder / name
            if name not in found and os.path.lexists(path):
                _check_file(folder, path)
                found[name] = path
    return found


def check_own_file(folder: Path, path: Path, wanted: str = "one or nothing of this name") -> None:
    """Refuse what would carry another file than the one of this name in this folder.

    The folder itself may be a link, but nothing in it.
    """
    inside = [path, *path.parents]
    inside = inside[: inside.index(folder)]
    if ".." in path.relative_to(folder).parts or any(part.is_symlink() for part in inside):
        raise InputError(f"{path}: got a link, wanted a file of the folder itself")
    if not path.is_file():
        raise InputError(f"{path}: got no file, wanted {wanted}")


def _check_file(folder: Path, path: Path) -> None:
    """Refuse what is not the folder's own, or not what its name says."""
    check_own_file(folder, path)
    if path.suffix == ".json" and not _is_json(path):
        raise InputError(f"{path}: not JSON, wanted what isoclr writes under this name")
    if path.suffix == ".png":
        with path.open("rb") as file:
            if file.read(8) != b"\x89PNG\r\n\x1a\n":
                raise InputError(f"{path}: got no PNG, wanted a figure")


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict | list)
    except (ValueError, RecursionError):
        return False


def model_contents(folder: Path) -> dict[str, Path | bytes]:
    """What the repository of a model holds, but for the repository's name in the card, by path."""
    files = shared_files(folder)
    contents: dict[str, Path | bytes] = dict(files)
    if not any(name.endswith(".py") for name in files):
        config = read_json(files["config.json"], ("model_type",), "the configuration of a model")
        contents |= {path.name: path for path in code_files(config["model_type"])}
    if "recipe.yaml" in files:
        contents["recipe.yaml"] = public_recipe(files["recipe.yaml"])
    contents["config.json"] = _public_config(files["config.json"])
    return contents


def _operations(contents: dict[str, Path | bytes], name: str) -> list[CommitOperationAdd]:
    """What to add to the repository `name`, the card last."""
    contents = dict(contents)
    card = contents.pop("README.md", None)
    if card is not None:
        text = card.decode() if isinstance(card, bytes) else card.read_text(encoding="utf-8")
        contents["README.md"] = loading_from(text, name).encode()
    return [CommitOperationAdd(path, content) for path, content in contents.items()]


def loading_from(card: str, name: str) -> str:
    """A card whose examples load the repository `name`, not a folder of the model's own name."""
    title = re.search(r"^# (.+)$", card, re.MULTILINE)
    if title is None:
        return card
    return _EXAMPLE.sub(lambda found: found[0].replace(f'"{title[1]}"', f'"{name}"'), card)


def public_recipe(path: Path) -> bytes:
    """A recipe without places of the machine that it ran on: of a path, its last part stays."""
    recipe = read_mapping(path, "recipe")
    public = {
        key: _last_part(value) if key in _PLACES and isinstance(value, str) else _public(value)
        for key, value in recipe.items()
    }
    return (
        path.read_bytes() if public == recipe else yaml.safe_dump(public, sort_keys=False).encode()
    )


def _public(value):
    """A value of a recipe; text that names a local place becomes its last part."""
    if isinstance(value, dict):
        return {key: _public(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_public(entry) for entry in value]
    if isinstance(value, str) and (_LOCAL.fullmatch(value) or ("/" in value and _exists(value))):
        return _last_part(value)
    return value


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _public_config(path: Path) -> Path | bytes:
    """config.json without the folder that older versions of transformers write into it."""
    config = read_json(path, (), "the configuration of a model")
    if "_name_or_path" not in config:
        return path
    del config["_name_or_path"]
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
