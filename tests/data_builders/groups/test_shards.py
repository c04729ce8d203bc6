"""The report of merged shards is that of a build without shards."""

import json
import re
import shutil

import pytest

from data_builders.groups.build import TableSource, build
from data_builders.groups.grouping import Grouping
from data_builders.groups.shards import merge_reports
from data_builders.records import InputError

MODES = ("genes", "within", "across")
GENES = {
    "human": [("h1", "ABC", "ACG"), ("h2", "DEF", "ACGT"), ("h3", "DEF", "ACGT")],
    "mouse": [("m1", "m1", "ACG"), ("m2", "m2", "AAAAAAAA")],
    "rat": [("r1", "r1", "ACG"), ("r2", "r2", "ACC"), ("r3", "r2", "ACC")],
    "fly": [("f1", "f1", "ACGAA")],
}
HOMOLOGY = [("H", "human", "ABC"), ("H", "mouse", "m1"), ("R", "rat", "r1"), ("R", "fly", "f1")]


@pytest.fixture
def options(tmp_path):
    """mode -> options of `build`."""
    for species, genes in GENES.items():
        lines = ["transcript_id\tgene_id\tsequence", *("\t".join(row) for row in genes)]
        (tmp_path / f"{species}.tsv").write_text("\n".join(lines) + "\n")
    table = tmp_path / "homology.tsv"
    lines = ["group_id\tspecies\tgene_id", *("\t".join(row) for row in HOMOLOGY)]
    table.write_text("\n".join(lines) + "\n")
    merged = {
        mode: {"homology": table, "grouping": Grouping(merge=mode, max_length=6)}
        for mode in ("within", "across")
    }
    return {mode: {"grouping": Grouping(max_length=6), **merged.get(mode, {})} for mode in MODES}


def sources(folder):
    return [TableSource(folder / f"{species}.tsv", species) for species in GENES]


def shards(folder, options, n):
    for number in range(n):
        build(sources(folder), folder / "shards", shard=(number, n), **options)
    return folder / "shards"


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("n", [1, 3, 6])
@pytest.mark.parametrize("mode", MODES)
def test_the_report_is_that_of_one_build(tmp_path, options, no_figure, mode, n):
    whole = build(sources(tmp_path), tmp_path / "whole", **options[mode])
    folder = shards(tmp_path, options[mode], n)
    merged = merge_reports(folder)
    assert merged == json.loads((folder / "report.json").read_text())
    order = list(GENES) if mode == "across" else [s for i in range(n) for s in list(GENES)[i::n]]
    assert [source["species"] for source in merged["sources"]] == order
    merged["sources"].sort(key=lambda source: list(GENES).index(source["species"]))
    assert merged == whole
    assert whole["grouping"]["skipped"] == {
        "duplicate in its group": 3 if mode == "across" else 2,
        "longer than 6 nt": 1,
    }


def test_the_figures_are_those_of_one_build(tmp_path, options):
    build(sources(tmp_path), tmp_path / "whole", **options["within"])
    folder = shards(tmp_path, options["within"], 2)
    assert not list(folder.glob("*.png"))
    merge_reports(folder)
    for name in ("report.png", "homology.png"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_table_of_several_species_is_told_once(tmp_path, options, no_figure):
    table = tmp_path / "all.tsv"
    table.write_text("transcript_id\tgene_id\tspecies\tsequence\nt\tg\tcow\tACG\nu\th\tpig\tACG\n")
    found = [TableSource(table), *sources(tmp_path)]
    whole = build(found, tmp_path / "whole")
    for number in range(2):
        build(found, tmp_path / "shards", shard=(number, 2))
    assert merge_reports(tmp_path / "shards") == whole


def test_a_shard_that_is_built_anew_takes_the_merged_report_away(tmp_path, options, no_figure):
    folder = shards(tmp_path, options["across"], 2)
    before = files(folder)
    merge_reports(folder)
    build(sources(tmp_path), folder, shard=(1, 2), overwrite=True, **options["across"])
    assert files(folder) == before
    merge_reports(folder)
    build(sources(tmp_path), folder, overwrite=True)
    assert files(folder) == {"data/train-00000-of-00001.parquet", "report.json", "report.png"}


def change(name, pattern, replacement):
    def edit(folder):
        path = folder / "reports" / name
        text, n = re.subn(pattern, replacement, path.read_text())
        assert n
        path.write_text(text)

    return edit


SECOND = "00001-of-00002.json"


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda f: shutil.rmtree(f / "reports"), "got no report, wanted one of every shard"),
        (lambda f: (f / "reports" / SECOND).unlink(), f"got 1 reports, wanted {SECOND} too"),
        (
            lambda f: (f / "reports" / "x.json").write_text("{}"),
            "got x.json, wanted reports of 2 shards alone",
        ),
        (
            lambda f: next((f / "data").glob("train-00001*")).unlink(),
            "got 1 of 2 files, wanted train-00001-of-00002-part-0000-of-0001.parquet too",
        ),
        (change(SECOND, '("dataset": {\\s*"groups": )', r"\g<1>7"), "dataset.groups: got "),
        (change(SECOND, '"max_length": 6', '"max_length": 7'), f"{SECOND}: max_length: got"),
        (change(SECOND, '"merge": "across"', '"merge": "within"'), f"{SECOND}: homology: got"),
        (change(SECOND, '"read": 3,', '"read": 4,'), f"{SECOND}: sources: got another than in"),
        (change(SECOND, '"sources"', '"source"'), f"{SECOND}: no sources in it"),
    ],
)
def test_shards_that_do_not_fit_are_refused(tmp_path, options, no_figure, alter, message):
    folder = shards(tmp_path, options["across"], 2)
    alter(folder)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        merge_reports(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    assert not (folder / "report.json").exists()
