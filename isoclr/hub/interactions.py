"""Sharing a set of RNA–protein pairs: what `isoclr build-interactions` wrote, on the Hub."""

import os
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from data_builders.interactions.dataset import FILES, REPORT, read_interactions
from data_builders.records import InputError
from isoclr.hub.dataset import retry
from isoclr.hub.push import open_repository
from isoclr.repositories import hub_errors

_FIGURE = "report.png"
_CARD = "README.md"


def is_interactions(folder: str | os.PathLike) -> bool:
    """Whether a folder holds pairs of RNAs and proteins."""
    return (Path(folder) / "pairs.parquet").is_file()


def push_interactions(
    folder: str | os.PathLike,
    repo: str,
    private: bool = False,
    *,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload a set of pairs to the Hub, as one commit; `load_dataset(repo, "pairs")` opens it.

    The tables, the report, its figure and the card go; nothing else does. The folder is one that
    `write_interactions` wrote; the other arguments and the result are those of `push`.

    Raises:
        InputError: a folder that `read_interactions` refuses, a file that is missing or a link, a
            public repository where a private one was asked for, or a Hub that refuses.
    """
    folder = Path(folder)
    read_interactions(folder)
    needed = [f"{name}.parquet" for name in FILES] + [REPORT, _CARD]
    names = needed + [_FIGURE] * (folder / _FIGURE).exists()
    for name in names:
        if not (folder / name).is_file() or (folder / name).is_symlink():
            raise InputError(
                f"{folder / name}: got no such file, or a link, wanted what isoclr "
                "build-interactions wrote"
            )
    api = HfApi()

    def attempt() -> str:
        url = open_repository(api, repo, "dataset", private, None if create_pr else revision)
        info = api.dataset_info(url.repo_id, revision=revision)
        stale = {file.rfilename for file in info.siblings or ()} & {_FIGURE} - set(names)
        done = api.create_commit(
            url.repo_id,
            [
                *(CommitOperationAdd(name, folder / name) for name in names),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message="Upload RNA–protein pairs",
            repo_type="dataset",
            revision=revision,
            create_pr=create_pr,
            parent_commit=info.sha,
        )
        return str(done.pr_url or url)

    with hub_errors(repo, api.endpoint):
        return retry(attempt, api.endpoint)
