from pathlib import Path

import pytest
import torch

from data_builders.records import InputError
from isoclr import shipped
from isoclr.cli import main
from isoclr.objectives import read_recipe
from isoclr.pretrained import load_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["laptop", "laptop.yaml", "recipes/laptop", "recipes/laptop.yaml"])
def test_a_recipe_goes_by_name_wherever_one_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.resolve_recipe(name) == ROOT / "recipes" / "laptop.yaml"
    assert read_recipe(name, ["--steps", "7"]).steps == 7


def test_a_file_comes_before_the_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "laptop").write_text("data: d\noutput: o\nsteps: 5\n")
    assert shipped.resolve_recipe("laptop") == Path("laptop")
    assert shipped.resolve_recipe("nowhere.yaml") == Path("nowhere.yaml")


def test_a_folder_of_a_recipes_name_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert shipped.resolve_recipe("demo").name == "demo.yaml"


def test_a_model_goes_by_name_and_a_folder_comes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in shipped.SHIPPED_MODELS:
        assert shipped.resolve_model(name) == ROOT / "model_cards" / name
        assert shipped.resolve_model(f"model_cards/{name}/") == ROOT / "model_cards" / name
    (tmp_path / "isoclr-small").mkdir()
    assert shipped.resolve_model("isoclr-small") == "isoclr-small"
    assert shipped.resolve_model("owner/name") == "owner/name"
    monkeypatch.setattr(shipped, "shipped_folder", lambda name: tmp_path / name)
    with pytest.raises(InputError, match="isoclr-small-bare: got an installation without"):
        shipped.resolve_model("isoclr-small-bare")


def test_recipes_and_guides_are_listed_and_printed(capsys):
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(shipped.recipes())
    assert all(len(line.split()) > 3 for line in listed)
    assert main(["recipes", "laptop"]) == 0
    assert capsys.readouterr().out == (ROOT / "recipes" / "laptop.yaml").read_text()
    assert main(["docs"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {
        path.stem for path in (ROOT / "docs").glob("*.md")
    }
    for name in ("TRAINING", "training", "docs/TRAINING.md"):
        assert main(["docs", name]) == 0
        assert capsys.readouterr().out == (ROOT / "docs" / "TRAINING.md").read_text()
    for command in ("recipes", "docs"):
        assert main([command, "nothing"]) == 2
        assert f"isoclr {command}: nothing: got no such" in capsys.readouterr().err


@pytest.mark.parametrize("name", shipped.SHIPPED_MODELS)
def test_every_shipped_model_loads_by_its_name(name):
    encoder, tokenizer = load_model(name)
    batch = tokenizer(["ACGATGGCCTAAGG"], return_tensors="pt")
    with torch.inference_mode():
        pooled = encoder(**batch.to(encoder.device)).pooler_output
    assert pooled.shape == (1, encoder.config.pooled_size) and pooled.isfinite().all()
    assert (encoder.config.alphabet == "protein") == ("protein" in name)
