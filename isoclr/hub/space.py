"""A Space of the Hub that runs the page of `isoclr app`: its files, and how they get there."""

import importlib.metadata
import os
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from packaging.requirements import Requirement
from packaging.version import Version

import data_builders
import modeling_isoclr
from data_builders.records import InputError
from isoclr.hub.push import model_contents, open_repository
from isoclr.repositories import hub_errors
from isoclr.shipped import DEFAULT_MODEL, resolve_model, shipped_of_family

# Of the packages, what runs: code, and the files that it reads.
_SUFFIXES = (".py", ".md", ".html", ".yaml", ".typed")
_OTHER_FAMILIES = ("rpi", "isoclr_expression")
_LEFT_OUT = ("log.jsonl", "README.md")  # of a model, what the page does not read
# A Space without a GPU: of torch the build for CPUs, which is gigabytes smaller.
_CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
_README = """---
title: isoclr
emoji: 🧬
colorFrom: blue
colorTo: indigo
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
license: apache-2.0
short_description: What pre-trained encoders say of RNA
---

The page of `isoclr app`. `isoclr push --space OWNER/NAME` wrote this repository; what is changed by
hand is lost when it is written again.
"""
_APP = '''"""The page of `isoclr app`, as a Space runs it."""

from pathlib import Path

from isoclr.app.page import load_models, make_page, serve

MODEL = Path(__file__).resolve().parent / "model_cards" / "{model}"

serve(make_page(load_models(MODEL)), host="0.0.0.0", port=7860)
'''


def space_files(model: str | os.PathLike = DEFAULT_MODEL) -> dict[str, Path | bytes]:
    """Return all that a Space holds: path in the repository -> content.

    It has the code of this installation beside `app.py`, so it needs no release of it; the encoder
    and its heads; and the models of pairs and of expression that ship. No such folder, and files
    that must not be shared, are an InputError.
    """
    folder = Path(resolve_model(model))
    if not folder.is_dir():
        raise InputError(f"{model}: no such folder, wanted a model that train.py wrote")
    name = folder.resolve().name
    files: dict[str, Path | bytes] = {
        "README.md": _README.format(gradio=_gradio_version()).encode(),
        "app.py": _APP.format(model=name).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in _requirements()).encode(),
    }
    for package in (modeling_isoclr, data_builders):
        files |= _package(Path(package.__file__ or "").parent)
    files |= _package(Path(__file__).resolve().parents[1])
    others = [path for family in _OTHER_FAMILIES for path in shipped_of_family(family)]
    for path in dict.fromkeys([folder.resolve(), *others]):
        for file, content in model_contents(path).items():
            if file not in _LEFT_OUT and not file.startswith("results/"):
                files[f"model_cards/{path.name}/{file}"] = content
    return files


def write_space(folder: str | os.PathLike, model: str | os.PathLike = DEFAULT_MODEL) -> list[Path]:
    """Write the files of a Space into a folder, to look at or to try: `python app.py` runs it.

    Args:
        folder: new or empty.
        model: as in `space_files`.

    Returns:
        The paths that were written.

    Raises:
        InputError: a folder that is not empty; as `space_files`.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: got something there, wanted a new or an empty folder")
    written = []
    for name, content in space_files(model).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        written.append(path)
    return written


def push_space(
    repo: str,
    model: str | os.PathLike = DEFAULT_MODEL,
    private: bool = False,
    *,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload a Space to the Hub, as one commit; it is made when there is none.

    Args:
        repo: `owner/name`, or `name` of the user who is logged in.
        model: as in `space_files`.
        private: a new Space is seen by its owner alone; an existing one must be private.
        revision: branch that the commit goes to, made from main if absent; None: main.
        create_pr: propose the commit as a pull request instead.

    Returns:
        The Space's URL; of a pull request, its own.

    Raises:
        InputError: as `space_files`; as `isoclr.hub.push.push` of the Hub.
    """
    files = space_files(model)
    api = HfApi()
    with hub_errors(repo, api.endpoint):
        url = open_repository(api, repo, "space", private, None if create_pr else revision)
        done = api.create_commit(
            url.repo_id,
            [CommitOperationAdd(path, content) for path, content in files.items()],
            commit_message="Upload the page of isoclr",
            repo_type="space",
            revision=revision,
            create_pr=create_pr,
        )
    return str(done.pr_url or url)


def _package(folder: Path) -> dict[str, Path]:
    """Code of a package, and the files that it reads; the models are not taken from there."""
    return {
        f"{folder.name}/{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SUFFIXES and "shipped" not in path.relative_to(folder).parts
    }


def _requirements() -> list[str]:
    """What the page needs; gradio is not among it: a Space brings it."""
    needed = [each for each in _required() if not each.marker or _is_extra(each, "expression")]
    return [_CPU_INDEX, *sorted(f"{each.name}{each.specifier}" for each in needed)]


def _gradio_version() -> str:
    """The least version of gradio that the page takes, in three numbers."""
    (gradio,) = (each for each in _required() if each.name == "gradio")
    (least,) = gradio.specifier
    version = Version(least.version)
    return f"{version.major}.{version.minor}.{version.micro}"


def _required() -> list[Requirement]:
    return [Requirement(text) for text in importlib.metadata.requires("isoclr") or ()]


def _is_extra(requirement: Requirement, extra: str) -> bool:
    return bool(requirement.marker and requirement.marker.evaluate({"extra": extra}))
