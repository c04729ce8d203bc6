"""Sharing families of homologs: what `isoclr build-homologs` wrote, on the Hub."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData
from markupsafe import Markup

from data_builders.homology.families import SCHEMA, family_files, read_families
from data_builders.records import InputError
from data_builders.text import read_json
from isoclr.hub.dataset import upload_files
from isoclr.hub.dataset_card import size_category
from isoclr.hub.markdown import environment
from isoclr.hub.push import check_own_file

_REPORT, _FIGURE, _CARD = "report.json", "report.png", "README.md"
_TEMPLATE = Path(__file__).with_name("families_card_template.md")
_WANTED = "families that isoclr build-homologs wrote"
_COUNTS = ("families", "sequences", "letters", "species", "read", "pairs", "pairs_without_distance")
_FACTS = ("alphabet", "skipped", "adjusted", "distances", *_COUNTS)


def is_families(folder: str | os.PathLike) -> bool:
    """Whether a folder holds families of homologs: Parquet with their columns."""
    for path in sorted(Path(folder).glob("data/*.parquet")):
        try:
            return "alphabet" in pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError):
            return False  # whoever reads it says why
    return False


def push_families(
    folder: str | os.PathLike,
    repo: str,
    private: bool = False,
    *,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Upload families to the Hub, as one commit; `load_dataset(repo, streaming=True)` opens them.

    The Parquet files, the report, its figure and a card go; nothing else does. Parquet files of an
    earlier push that are not in this one are removed. The folder is one that `build_homologs`
    wrote; the other arguments and the result are those of `push`.

    Raises:
        InputError: a folder that holds no families or lacks its report, one that tells of other
            families, a link in place of a file, or a Hub that refuses.
    """
    folder = Path(folder)
    paths = [*family_files(folder), folder / _REPORT, folder / _FIGURE]
    for path in paths:
        check_own_file(folder, path, _WANTED)
    next(read_families(folder))  # they are in our schema
    report = _checked_report(folder, paths[:-2])
    files: dict[str, Path | bytes] = {p.relative_to(folder).as_posix(): p for p in paths}
    files[_CARD] = render_families_card(repo, report).encode()
    return upload_files(
        files,
        repo,
        "Upload families of homologs",
        ours=r"data/[^/]*\.parquet",
        private=private,
        revision=revision,
        create_pr=create_pr,
    )


def _checked_report(folder: Path, data: list[Path]) -> dict:
    """The report of a folder, if it tells of the families that are there."""
    path = folder / _REPORT
    report = read_json(path, _FACTS, "the report of isoclr build-homologs")
    for name in _COUNTS:
        if type(report[name]) is not int or report[name] < 0:
            raise InputError(f"{path}: {name}: got {report[name]!r}, wanted a count")
    for name in ("skipped", "adjusted", "distances"):
        if not isinstance(report[name], dict):
            raise InputError(f"{path}: {name}: got {report[name]!r}, wanted counts by reason")
    rows = sum(pq.read_metadata(file).num_rows for file in data)
    if rows != report["families"]:
        raise InputError(
            f"{path}: families: got {report['families']}, wanted {rows} as in data/*.parquet"
        )
    return report


def render_families_card(repository: str, report: dict) -> str:
    """README.md of a repository of families, with the metadata that `load_dataset` needs."""
    data = DatasetCardData(
        pretty_name=repository.split("/")[-1],
        tags=["isoclr", report["alphabet"], "homology", "biology"],
        size_categories=[size_category(report["families"])],
        configs=[{"config_name": "default", "data_files": "data/*.parquet"}],
    )
    card = (
        environment([_TEMPLATE.parent])
        .get_template(_TEMPLATE.name)
        .render(
            card_data=Markup(data.to_yaml()),
            repository=Markup(repository),
            report=report,
            columns=[(field.name, str(field.type)) for field in SCHEMA],
        )
    )
    return card.rstrip() + "\n"
