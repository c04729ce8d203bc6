"""The report of a dataset that was built in shards."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from data_builders.groups.parquet import read_tables
from data_builders.groups.report import Summary, read_report, write_report
from data_builders.homology.report import draw_homology
from data_builders.records import InputError
from data_builders.staging import shard_name

_NAME = re.compile(r"\d{5}-of-(\d{5})\.json")


def merge_reports(folder: str | os.PathLike) -> dict:
    """Write `report.json` and the figures of a dataset whose shards are all in its folder.

    They equal those of a build without shards, except for the order of the sources, which follows
    the shards that read them. The groups are read for it, a thousand in memory at a time. A shard
    or report that is missing, and shards of different builds, are an InputError.
    """
    folder = Path(folder)
    summary = Summary()
    for table in read_tables(folder):
        summary.add(table)
    reports = _read_shards(folder / "reports")
    told = sum(report["dataset"]["groups"] for report in reports)
    if told != summary.groups:
        raise InputError(
            f"{folder / 'reports'}: dataset.groups: got {told} in all, wanted {summary.groups} as "
            "in data/*.parquet"
        )
    first = reports[0]
    homology = first["homology"]
    if homology is not None and not _reads_all(first):
        matches = [match for report in reports for match in report["homology"]["matches"]]
        tables = list(dict.fromkeys(match["table"] for match in matches))
        matches.sort(key=lambda match: (tables.index(match["table"]), match["species"]))
        homology = homology | {"matches": matches}
    sources = [source for report in reports for source in report["sources"]]
    groupings = [report["grouping"] for report in reports]
    merged = {
        "shard": None,
        "warnings": sorted({warning for report in reports for warning in report["warnings"]}),
        "sources": first["sources"] if _reads_all(first) else sources,
        "homology": homology,
        "grouping": {
            "max_length": first["grouping"]["max_length"],
            "select": first["grouping"]["select"],
            "read": sum(grouping["read"] for grouping in groupings),
            "kept": sum(grouping["kept"] for grouping in groupings),
            "skipped": _added(grouping["skipped"] for grouping in groupings),
            "adjusted": _added(grouping["adjusted"] for grouping in groupings),
            "selected": _added(grouping["selected"] for grouping in groupings),
        },
        "dataset": summary.as_dict(),
    }
    write_report(merged, summary, folder / "report")
    if merged["homology"]:
        draw_homology(merged["homology"], folder / "homology.png")
    return merged


def _read_shards(folder: Path) -> list[dict]:
    """Return the reports of all shards of one build."""
    paths = sorted(folder.glob("*.json"))
    names = [path.name for path in paths]
    if not names:
        raise InputError(f"{folder}: got no report, wanted one of every shard")
    shards = max((int(match[1]) for name in names if (match := _NAME.fullmatch(name))), default=1)
    wanted = [f"{shard_name((number, shards))}.json" for number in range(shards)]
    if missing := sorted(set(wanted) - set(names)):
        raise InputError(f"{folder}: got {len(names)} reports, wanted {missing[0]} too")
    if others := sorted(set(names) - set(wanted)):
        raise InputError(f"{folder}: got {others[0]}, wanted reports of {shards} shards alone")
    reports = [read_report(path) for path in paths]
    for path, report in zip(paths, reports, strict=True):
        for what, found in _shared(report).items():
            if found != _shared(reports[0])[what]:
                raise InputError(f"{path}: {what}: got another than in {names[0]}, wanted the same")
    return reports


def _shared(report: dict) -> dict:
    """Return what the shards of a build have in common."""
    homology = report["homology"]
    if homology is not None and not _reads_all(report):
        homology = {key: value for key, value in homology.items() if key != "matches"}
    return {
        "homology": homology,
        "max_length": report["grouping"]["max_length"],
        "select": report["grouping"]["select"],
        "sources": report["sources"] if _reads_all(report) else None,
    }


def _reads_all(report: dict) -> bool:
    """Return whether each shard read all sources, not only those of its own species (`build`)."""
    homology = report["homology"]
    crossing = homology is not None and homology["merge"] == "across"
    return crossing or any(source["species"] is None for source in report["sources"])


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    return dict(sorted(sum(map(Counter, counts), Counter()).items()))
