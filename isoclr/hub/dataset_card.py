"""The dataset card: what the reports of isoform groups say, in the Hub's form."""

from pathlib import Path

import jinja2
from huggingface_hub import DatasetCardData
from markupsafe import Markup

from data_builders.records import InputError
from data_builders.storage import reason_of
from isoclr.hub.markdown import environment
from isoclr.repositories import DEFAULT, prefix

_TEMPLATE = Path(__file__).with_name("dataset_card_template.md")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")


def render_dataset_card(repository: str, reports: dict[str, dict]) -> str:
    """README.md of a dataset repository, with the metadata that `load_dataset` goes by.

    `reports` are those of configurations, at least one.
    """
    reports = dict(sorted(reports.items(), key=lambda item: (item[0] != DEFAULT, item[0])))
    try:
        return _rendered(repository, reports)
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise InputError(
            f"{repository}: a report.json is not what isoclr build writes: {reason_of(error)[:200]}"
        ) from error


def _rendered(repository: str, reports: dict[str, dict]) -> str:
    groups = sum(report["dataset"]["groups"] for report in reports.values())
    data = DatasetCardData(
        pretty_name=repository.split("/")[-1],
        tags=["isoclr", "rna", "isoforms", "biology", "genomics"],
        size_categories=[size_category(groups)],
        configs=[
            {
                "config_name": config,
                "data_files": [{"split": "train", "path": f"{prefix(config)}data/*.parquet"}],
            }
            for config in reports
        ],
    )
    template = environment([_TEMPLATE.parent]).get_template(_TEMPLATE.name)
    card = template.render(
        card_data=Markup(data.to_yaml()),
        repository=Markup(repository),
        reports=reports,
        reasons=_reasons,
        prefixes={config: prefix(config) for config in reports},
        counts={config: _counts(report) for config, report in reports.items()},
        several={config: _groups_of_several(report) for config, report in reports.items()},
    )
    return card.rstrip() + "\n"


def _reasons(found: dict[str, int]) -> str:
    return "; ".join(f"{count:,} {reason}" for reason, count in found.items())


def size_category(groups: int) -> str:
    """What the Hub calls a dataset of so many rows."""
    return _SIZES[min(max(len(str(groups)) - 3, 0), len(_SIZES) - 1)]


def _groups_of_several(report: dict) -> int:
    sizes = report["dataset"]["transcripts_per_group"]
    return sum(groups for size, groups in sizes.items() if int(size) > 1)


def _counts(report: dict) -> list[tuple[str, dict]]:
    """What was read and what became of it, step by step."""
    steps = [(source["species"] or "table", source) for source in report["sources"]]
    if report["homology"]:
        steps.append(("homology table", report["homology"]))
    return [*steps, ("grouping", report["grouping"])]
