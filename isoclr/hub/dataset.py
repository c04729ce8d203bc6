"""Sharing isoform groups: what `isoclr build` wrote, as one dataset repository on the Hub."""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from data_builders.dataset_files import dataset_files
from data_builders.groups.parquet import read_groups
from data_builders.groups.report import read_report
from data_builders.groups.shards import merge_reports
from data_builders.records import InputError
from data_builders.staging import REPORTS
from isoclr.hub.dataset_card import render_dataset_card
from isoclr.hub.push import check_own_file, open_repository
from isoclr.repositories import DEFAULT, hub_errors, prefix, reason

Contents = Mapping[str, Path | bytes]
"""Path in a repository -> file, or what it holds."""

_LOG = logging.getLogger(__name__)
_WANTED = "isoform groups that isoclr build wrote"
_CONFIG = re.compile(r"[A-Za-z0-9][\w.-]*")
_REPORT = re.compile(r"(?:([^/]+)/)?report\.json")
_WAITS = (1, 4, 16, 64)  # seconds before each new try


def is_dataset(folder: str | os.PathLike) -> bool:
    """Whether a folder holds isoform groups, or folders of them."""
    return _has_groups(Path(folder)) or bool(_inside(Path(folder)))


def push_dataset(
    folders: str | os.PathLike | Sequence[str | os.PathLike],
    repo: str,
    private: bool = False,
    *,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload isoform groups to the Hub, as one commit with a card of all that is there then.

    The repository is made when there is none. A dataset's Parquet files, `report.json` and its
    figures go; nothing else does. Those reports are written into a folder of shards (see
    `merge_reports`). Files of an earlier push of the same configuration that are not in this one
    are removed; other configurations stay, so that each may come from a machine of
    its own. README.md is always written anew. A Hub that is away or busy is tried again for more
    than a minute; after that, the same call goes on where it broke off: files that have arrived
    are not sent twice.

    `folders` are a folder that `build` wrote, the configuration `default`; or a folder of such
    folders, or several such, each a configuration of its folder's name (a species, a clade). The
    other arguments and the result are those of `push`.

    Raises:
        InputError: a folder that is no such dataset, or whose report tells of another one; a link
            in place of a file; two folders of a name, or one that can't be a configuration's; a
            script in the repository that `load_dataset` would trip over; a public repository where
            a private one was asked for; a Hub that refuses or stays out of reach.
    """
    configs = _configurations(folders)
    reports = {config: _checked_report(folder) for config, folder in configs.items()}
    files = _files(configs)

    def with_card(api: HfApi, info: DatasetInfo) -> dict[str, Path | bytes]:
        there = _reports_there(api, info)
        return {**files, "README.md": render_dataset_card(info.id, there | reports).encode()}

    own = (prefix(config) + part for config in reports for part in ("data/", *REPORTS))
    return upload_files(
        with_card,
        repo,
        f"Upload isoform groups: {', '.join(reports)}",
        ours=f"(?:{'|'.join(map(re.escape, own))}).*",
        private=private,
        revision=revision,
        create_pr=create_pr,
    )


def _configurations(folders) -> dict[str, Path]:
    """Name of each configuration -> its folder."""
    if isinstance(folders, (str, os.PathLike)):
        folder = Path(folders)
        if _has_groups(folder):
            return {DEFAULT: folder}
        found = _inside(folder)
        if not found:
            raise InputError(
                f"{folder}: no data/*.parquet in it or in its folders, wanted {_WANTED}"
            )
    else:
        found = [Path(folder) for folder in folders]
    configs: dict[str, Path] = {}
    for folder in found:
        name = folder.resolve().name
        if not _CONFIG.fullmatch(name) or name in (DEFAULT, "data"):
            raise InputError(
                f"{folder}: name of the folder: got {name!r}, wanted a configuration's name: "
                f"letters, digits and _ . - alone, neither {DEFAULT!r} nor 'data'"
            )
        if name in configs:
            raise InputError(f"{folder}: got the name of {configs[name]} again, wanted another")
        configs[name] = folder
    if not configs:
        raise InputError(f"got no folder, wanted {_WANTED}")
    return configs


def _has_groups(folder: Path) -> bool:
    return any(folder.glob("data/*.parquet"))


def _inside(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/data") if _has_groups(path.parent))


def _checked_report(folder: Path) -> dict:
    """The report of a folder, if it tells of the groups that are there."""
    if (folder / "reports").is_dir():
        return merge_reports(folder)
    next(read_groups(folder))  # all files are there, in our schema
    report = read_report(folder / "report.json")
    if not (folder / "report.png").is_file():
        raise InputError(f"{folder}: no report.png in it, wanted {_WANTED}")
    rows = sum(pq.read_metadata(path).num_rows for path in folder.glob("data/*.parquet"))
    if rows != report["dataset"]["groups"]:
        raise InputError(
            f"{folder / 'report.json'}: dataset.groups: got {report['dataset']['groups']}, "
            f"wanted {rows} as in data/*.parquet"
        )
    return report


def _files(configs: dict[str, Path]) -> dict[str, Path]:
    """Path in the repository -> file; a link, whose content lies elsewhere, is an InputError."""
    found = {}
    for config, folder in configs.items():
        reports = [folder / name for name in REPORTS if os.path.lexists(folder / name)]
        for path in [*dataset_files(folder), *reports]:
            check_own_file(folder, path)
            found[f"{prefix(config)}{path.relative_to(folder).as_posix()}"] = path
    return found


def _reports_there(api: HfApi, info: DatasetInfo) -> dict[str, dict]:
    """Return the reports of the configurations that the repository has already."""
    present = {file.rfilename for file in info.siblings or ()}
    script = f"{info.id.split('/')[1]}.py"
    if script in present:
        raise InputError(
            f"{info.id}: got {script} in it, wanted no script: load_dataset refuses one"
        )
    reports = {}
    for match in filter(None, map(_REPORT.fullmatch, sorted(present))):
        where = {"repo_type": "dataset", "revision": info.sha}
        path = Path(api.hf_hub_download(info.id, match[0], **where))
        reports[match[1] or DEFAULT] = read_report(path)
    return reports


def upload_files(
    files: Contents | Callable[[HfApi, DatasetInfo], Contents],
    repo: str,
    message: str,
    *,
    ours: str,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload the files of one dataset, as one commit; what an earlier push left behind goes.

    `files` maps a path in the repository to what it holds, or makes such a map of what is there;
    `message` is of the commit, and `ours` is a regular expression of the paths that are removed
    where `files` lacks them. The other arguments and the result are those of `push`.

    Raises:
        InputError: a public repository where a private one was asked for, or a Hub that refuses.
    """
    api = HfApi()

    def attempt() -> str:
        url = open_repository(api, repo, "dataset", private, None if create_pr else revision)
        info = api.dataset_info(url.repo_id, revision=revision)
        present = {file.rfilename for file in info.siblings or ()}
        made = files(api, info) if callable(files) else files
        stale = sorted(path for path in present - made.keys() if re.fullmatch(ours, path))
        done = api.create_commit(
            url.repo_id,
            [
                *(CommitOperationAdd(path, content) for path, content in made.items()),
                *(CommitOperationDelete(path) for path in stale),
            ],
            commit_message=message,
            repo_type="dataset",
            revision=revision,
            create_pr=create_pr,
            # Refused when someone else has pushed in between: a card would not have what they did.
            parent_commit=info.sha,
        )
        return str(done.pr_url or url)

    with hub_errors(repo, api.endpoint):
        return retry(attempt, api.endpoint)


def retry(attempt: Callable[[], str], endpoint: str) -> str:
    """Call what uploads; where a Hub is away or busy, call it again for more than a minute."""
    for wait in _WAITS:
        try:
            return attempt()
        except HTTPError as error:
            if not _passes(error):
                raise
            _LOG.warning("%s; trying again in %d s", reason(error, endpoint), wait)
        time.sleep(wait)
    return attempt()


def _passes(error: Exception) -> bool:
    """Whether what failed may succeed later: no connection, a race, too many requests, a fault."""
    if not isinstance(error, HfHubHTTPError):
        return True
    status = error.response.status_code
    return status in (408, 412, 429) or status >= 500
