"""Names on the Hub, and sharing a folder that train.py wrote."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, HfApi, RepoUrl
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

import modeling_isoclr
from data_builders.records import InputError
from isoclr.hub.card import REPOSITORY, check_model_folder, write_card

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WEIGHTS = "model.safetensors"
# What a repository carries; checkpoints and whatever else lies in the folder stay at home.
_SHARED = (
    "README.md",
    "config.json",
    "tokenizer_config.json",
    "*.py",
    _WEIGHTS,
    "recipe.yaml",
    "log.jsonl",
    "curves.png",
    "results/*/*.json",
    "results/*/*.png",
)
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def check_source(source: str | os.PathLike, wanted: str, marker: str) -> None:
    """Refuse what is neither a folder that holds `marker` nor the form of a Hub repository.

    Args:
        source: a folder or `owner/name`.
        wanted: what it should hold, for the error.
        marker: a glob that the folder must have a match of.

    Raises:
        InputError: naming the source.
    """
    folder = Path(source)
    if folder.is_dir():
        if not any(folder.glob(marker)):
            raise InputError(f"{source}: no {marker} in it, wanted {wanted}")
    elif not _REPOSITORY.fullmatch(str(source)):
        raise InputError(f"{source}: no such folder, wanted {wanted}")


def push(folder: str | os.PathLike, repo: str, private: bool = False) -> str:
    """Upload a model folder to the Hub, as one commit.

    The repository is made when there is none. Weights, configuration, tokenizer, code, recipe, log,
    curves, results and card go; nothing else does. A folder without code gets the package's. Where
    neither the folder nor the repository has a card, one is written into the folder; where a
    generated card leaves the repository's name open, the uploaded one has it.

    Args:
        folder: as train.py or `save_pretrained` writes it.
        repo: `owner/name`, or `name` of the user who is logged in.
        private: a new repository is seen by its owner alone; an existing one must be private.

    Returns:
        The repository's URL.

    Raises:
        InputError: a folder without config or safetensors weights, or with pickled ones; a public
            repository where a private one was asked for; a Hub that refuses or is out of reach.
    """
    folder = Path(folder)
    _check_weights(folder)
    check_model_folder(folder)
    api = HfApi()
    with hub_errors(repo, api.endpoint):
        url = create_repository(api, repo, "model", private)
        name = url.repo_id
        if not (folder / "README.md").exists() and not api.file_exists(name, "README.md"):
            write_card(folder)
        # upload_folder may split what it uploads over several commits.
        api.create_commit(name, _operations(folder, name), commit_message="Upload IsoCLR model")
    return str(url)


@contextmanager
def hub_errors(repo: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub raises about a repository into one line.

    Raises:
        InputError: instead.
    """
    try:
        yield
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise InputError(f"{repo}: {reason(error, endpoint)}") from error
    except InputError:
        raise
    except ValueError as error:  # a name or a card that huggingface_hub finds invalid
        raise InputError(f"{repo}: {' '.join(str(error).split())}") from error


def create_repository(
    api: HfApi, repo: str, kind: Literal["model", "dataset"], private: bool
) -> RepoUrl:
    """Make a repository where there is none.

    Raises:
        InputError: it is there and public, and a private one was asked for.
    """
    # None leaves what is not asked for to the default of the owner.
    url = api.create_repo(repo, repo_type=kind, private=private or None, exist_ok=True)
    if private and not api.repo_info(url.repo_id, repo_type=kind).private:
        raise InputError(f"{url.repo_id}: is public on {api.endpoint}, wanted a private repository")
    return url


def _check_weights(folder: Path) -> None:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise InputError(
            f"{folder / pickles[0]}: got weights in pickle form, which can run code where they are "
            f"loaded, wanted {_WEIGHTS} alone: load the model and save_pretrained it anew"
        )


def _operations(folder: Path, name: str) -> list[CommitOperationAdd]:
    """What to add to the repository `name`."""
    paths = [path for pattern in _SHARED for path in sorted(folder.glob(pattern))]
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    if not any(folder.glob("*.py")):  # the shipped model does not repeat the package's code
        files |= {
            path.name: path for path in Path(modeling_isoclr.__file__).parent.glob("*_isoclr.py")
        }
    operations = [CommitOperationAdd(n, path) for n, path in files.items() if n != "README.md"]
    if "README.md" in files:
        card = files["README.md"].read_bytes().replace(REPOSITORY.encode(), name.encode())
        operations.append(CommitOperationAdd("README.md", card))
    return operations


def reason(error: Exception, endpoint: str) -> str:
    """Why a request came to nothing, in one line."""
    if not isinstance(error, HfHubHTTPError):
        return f"cannot reach the Hub at {endpoint}: {' '.join(str(error).split())}"
    status = error.response.status_code
    message = error.server_message or error.response.reason_phrase
    advice = "; log in with `hf auth login` or set HF_TOKEN" if status == 401 else ""
    return f"the Hub at {endpoint} refuses ({status}): {' '.join(message.split())}{advice}"
