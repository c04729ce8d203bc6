"""Families of homologs go to the Hub by a command, and stream back where none of our code is."""

import json
import shutil

import numpy as np
import pytest

from data_builders.homology.families import read_families
from data_builders.homology.homologs import HomologOptions, build_homologs
from data_builders.homology.sources import HomologSource
from data_builders.records import InputError
from isoclr.hub.dataset import is_dataset
from isoclr.hub.families import is_families, push_families
from loopback_hub import run_client

PUSH = """
import sys
from isoclr.cli import main
for folder in sys.argv[1:]:
    if main(["push", folder, "tester/families"]):
        sys.exit(1)
"""
LOAD = """
import json, sys
sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)
from datasets import load_dataset
whole = load_dataset("tester/families", split="train")
streamed = list(load_dataset("tester/families", split="train", streaming=True))
assert streamed == whole.to_list()
json.dump(streamed, open(sys.argv[1], "w"))
"""
FAMILIES = {
    "globin": ">human\nMVLSPADK-TN\n>mouse\nMVLSGEDKSTN\n>chicken\nMVLSAADKNTN\n",
    "actin": ">human\nMDDDIAALVVD\n>mouse\nMDDDIAALVID\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    alignments = folder / "alignments"
    alignments.mkdir()
    for name, text in FAMILIES.items():
        (alignments / f"{name}.fa").write_text(text)
    build_homologs(
        [HomologSource(alignments)], folder / "built", HomologOptions(alphabet="protein")
    )
    return folder / "built"


def test_there_and_back(hub, folder, tmp_path):
    before = tmp_path / "before"  # a push of two files, whose second goes with the next
    shutil.copytree(folder, before)
    (before / "notes.txt").write_text("nobody's business")
    (first,) = (before / "data").iterdir()
    for place in (0, 1):
        shutil.copy(first, before / "data" / f"train-0000{place}-of-00002.parquet")
    first.unlink()
    report = json.loads((folder / "report.json").read_text())
    (before / "report.json").write_text(json.dumps(report | {"families": 4}))
    done = run_client(hub, PUSH, before, folder)
    assert done.stdout.count("tester/families") == 2
    repository = hub.repositories["dataset", "tester/families"]
    assert [len(commit.files) for commit in repository.commits[-2:]] == [
        len(repository.commits[-1].files) + 1,
        len(repository.commits[-1].files),
    ]
    files = repository.commits[-1].files
    assert {"README.md", "report.json", "report.png", "data/train-00000-of-00001.parquet"} < set(
        files
    )
    assert "notes.txt" not in files and "data/train-00001-of-00002.parquet" not in files
    assert "| 2 | 5 |" in files["README.md"].data.decode()
    run_client(hub, LOAD, tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    for row, family in zip(rows, read_families(folder), strict=True):
        assert row["group_id"] == family.family_id and row["alphabet"] == "protein"
        assert row["sequence"] == [member.sequence for member in family.members]
        upper = family.distances[np.triu_indices(len(family.members), 1)]
        assert row["distance"] == upper.tolist()


def test_what_is_no_whole_dataset_is_refused(folder, tmp_path):
    assert is_families(folder) and is_dataset(folder)
    assert not is_families(tmp_path)
    part = tmp_path / "part"
    shutil.copytree(folder, part)
    report = json.loads((part / "report.json").read_text())
    (part / "report.json").write_text(json.dumps(report | {"families": 3}))
    with pytest.raises(InputError, match="families: got 3, wanted 2 as in"):
        push_families(part, "tester/none")
    (part / "report.json").write_text(json.dumps(report | {"species": "many"}))
    with pytest.raises(InputError, match="species: got 'many', wanted a count"):
        push_families(part, "tester/none")
    (part / "report.png").unlink()
    with pytest.raises(InputError, match="report.png: got no file, wanted"):
        push_families(part, "tester/none")
    (part / "data").rename(tmp_path / "elsewhere")
    (part / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="got a link, wanted a file of the folder itself"):
        push_families(part, "tester/none")
