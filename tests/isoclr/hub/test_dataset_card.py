"""The dataset card says what the reports say."""

import copy
import re

import pytest
from huggingface_hub import DatasetCard

from data_builders.groups.report import read_report
from isoclr.hub.dataset_card import render_dataset_card


@pytest.fixture(scope="module")
def built(groups_folder):
    return read_report(groups_folder / "report.json")


def test_counts_and_provenance_are_those_of_the_report(built):
    text = render_dataset_card("someone/rna", {"clade": built})
    assert text.count("\n# someone/rna\n") == 1
    counts = built["dataset"]
    several = sum(n for size, n in counts["transcripts_per_group"].items() if size != "1")
    assert 0 < several <= counts["groups"]
    columns = [counts["groups"], several, counts["transcripts"], counts["genes"]]
    columns += [counts["nucleotides"], counts["with_cds"], counts["with_exon_structure"]]
    columns += [counts["exon_junctions"]]
    assert f"| `clade` | {' | '.join(f'{n:,}' for n in columns)} |" in text
    for source in (*built["sources"], built["homology"]):
        for file in source["files"].values():
            assert f"| `{file['name']}` | `{file['sha256']}` |" in text
    for species, n in counts["species"].items():
        assert f"{species} {n:,}" in text
    assert "none over 12,288 nt. Homologous genes make a group across species." in text
    assert "(clade/report.png)" in text and "(clade/homology.png)" in text
    partition = built["homology"]["partition"]
    assert f"{partition['genes']} genes in {partition['groups']} groups" in text
    assert not re.search(r"\{\{|\{%|None|Undefined", text)


def test_what_was_left_out_and_changed_is_there_by_reason(built):
    report = copy.deepcopy(built)
    source = report["sources"][0]
    source |= {"read": 1234, "kept": 1200, "species": "worm", "assembly": "WS282"}
    source |= {"skipped": {"exons overlap": 30, "no exon": 4}, "adjusted": {"CDS cut": 1500}}
    report["grouping"]["skipped"] = {"duplicate in its group": 7}
    text = render_dataset_card("someone/rna", {"default": report})
    assert "| worm | 1,234 | 1,200 | 30 exons overlap; 4 no exon | 1,500 CDS cut |" in text
    assert re.search(r"\| grouping \| .* \| 7 duplicate in its group \|  \|", text)
    assert "| genome, worm, WS282 |" in text
    assert "(report.png)" in text
    without = render_dataset_card("someone/rna", {"default": built})
    assert "WS282" not in without and "exons overlap" not in without


def test_where_a_download_and_the_options_of_homology_are_from(built):
    report = copy.deepcopy(built)
    source = report["sources"][0]
    source |= {"species": "worm", "provider": "refseq", "release": "R1", "assembly": "WS282"}
    source["files"]["genome"] |= {"name": "w.fa.gz", "url": "https://host/w.fa.gz"}
    report["homology"]["files"]["homology"] |= {"species": "human", "level": "9347"}
    text = render_dataset_card("someone/rna", {"default": report})
    row = "| genome, worm, WS282, refseq, R1 | [`w.fa.gz`](https://host/w.fa.gz) | `"
    assert row in text and text.count("https://host") == 1
    assert "| homology, human, 9347 | `homology.tsv` | `" in text


def test_genes_and_merging_within(built):
    report = copy.deepcopy(built)
    report["homology"]["merge"] = "within"
    assert "make a group within each species." in render_dataset_card("a/b", {"x": report})
    report["homology"] = None
    text = render_dataset_card("a/b", {"x": report})
    assert "A group is a gene." in text and "homology table" not in text
    assert "homology.png" not in text


def test_metadata_names_every_configuration_and_its_files(built):
    reports = {"worm": built, "default": built, "fly": built}
    data = DatasetCard(render_dataset_card("someone/rna", reports)).data
    assert data.configs == [
        {"config_name": name, "data_files": [{"split": "train", "path": path}]}
        for name, path in (
            ("default", "data/*.parquet"),
            ("fly", "fly/data/*.parquet"),
            ("worm", "worm/data/*.parquet"),
        )
    ]
    assert data.pretty_name == "rna" and "isoclr" in data.tags


def test_the_same_reports_give_the_same_card(built):
    one = render_dataset_card("a/b", {"x": built, "y": built})
    assert one == render_dataset_card("a/b", {"y": built, "x": built})


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (999_999, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
    ],
)
def test_size_category_counts_the_groups_of_all(built, groups, size):
    report = copy.deepcopy(built)
    report["dataset"]["groups"] = groups
    nothing = copy.deepcopy(built)
    nothing["dataset"]["groups"] = 0
    card = DatasetCard(render_dataset_card("a/b", {"x": report, "y": nothing}))
    assert card.data.size_categories == [size]
