"""Names of things that may be a local folder or a repository on the Hub."""

import os
import re
from pathlib import Path

from data_builders.records import InputError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


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
