"""Sharing a set of RNA–protein pairs: what `isoclr build-interactions` wrote, on the Hub."""

import os
import re
from pathlib import Path

from data_builders.interactions.dataset import FILES, REPORT, read_interactions
from isoclr.hub.dataset import upload_files
from isoclr.hub.push import check_own_file

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
        check_own_file(folder, folder / name, "what isoclr build-interactions wrote")
    return upload_files(
        {name: folder / name for name in names},
        repo,
        "Upload RNA–protein pairs",
        ours=re.escape(_FIGURE),
        private=private,
        revision=revision,
        create_pr=create_pr,
    )
