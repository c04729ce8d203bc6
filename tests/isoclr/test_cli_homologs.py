"""The commands of homologs: what they print, what they leave, and one line for what is wrong."""

import json

import pytest
from toy_families import model_folder, simulated

from isoclr.cli import main


def run(*words):
    return main([str(word) for word in words])


PROTEIN = "MKVLAAGIVGLCDEFGHIKLMNPQRSTVWYMK"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    for name in "ab":
        rows = f">Homo_sapiens\n{PROTEIN}\n>mouse\n{PROTEIN[:-1]}R\n>rat\n{'-' * 32}\n"
        (path / f"{name}.fa").write_text(rows)
    return path


def test_build_homologs_says_what_it_made_and_left_out(folder, tmp_path, capsys):
    words = ["build-homologs", "--families", folder, "--output", tmp_path / "out"]
    assert run(*words) == 0
    out = capsys.readouterr().out
    assert "2 families of 4 protein sequences of 2 species" in out
    assert "skipped 2: row of gaps alone" in out
    assert "distances: poisson (2 families); 0 of 2 unknown" in out
    assert "species renamed: 1, such as Homo_sapiens as homo_sapiens" in out
    assert run(*words) == 2
    assert "got a dataset in it, wanted none, or --overwrite" in capsys.readouterr().err
    assert run(*words, "--overwrite", "--strict") == 2
    assert "row of gaps alone" in capsys.readouterr().err
    assert run(*words, "--columns", "gene_id") == 2
    assert "columns: got 'gene_id', wanted names such as family=gene_id" in capsys.readouterr().err
    assert run(*words, "--columns", "family=a,family=b") == 2
    assert "columns: got 'family=a,family=b', wanted each meaning once" in capsys.readouterr().err


def test_information_of_a_model(tmp_path, capsys):
    data = simulated(tmp_path / "data", families=24, sites=40)
    model = model_folder(tmp_path / "m", data)
    words = ["information", "--output", tmp_path / "out", "--batches", "2", "--batch-size", "8"]
    assert run(*words, "--model", model, "--bands", "0.1-0.5") == 0
    assert "0.1 to 0.5" in capsys.readouterr().out
    assert (tmp_path / "out" / "families.json").exists()
    table = (tmp_path / "out" / "families.md").read_text()
    assert table.startswith("### ") and "\n| 0.1 to 0.5 | 20 | 8 | 2.08 | " in table
    assert run(*words) == 2
    assert "--demo, --model: got both or neither" in capsys.readouterr().err
    assert run(*words[:-4], "--demo", "--batches", "1") == 2
    assert "--batches: got 1, wanted at least 2" in capsys.readouterr().err


def test_windows_of_a_model(tmp_path, capsys):
    data = simulated(tmp_path / "data", families=24, sites=40)
    model = model_folder(tmp_path / "m", data)
    assert run("windows", "--model", model, "--window", "15", "--output", tmp_path / "out") == 0
    assert "Windows of 15 letters" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "windows.json").read_text())["window"] == 15
    table = (tmp_path / "out" / "windows.md").read_text()
    assert "\n| disjoint | critic | 20 | " in table
    assert run("windows", "--model", model, "--window", "400", "--output", tmp_path / "out") == 2
    assert "disjoint: got no two families" in capsys.readouterr().err
