"""The released encoders of expression: they load alone, embed by name, and say their worth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModel, AutoProcessor

import isoclr  # noqa: F401 - registers the Auto classes
from isoclr.cli import main
from isoclr.objectives import read_recipe
from isoclr.shipped import EXPRESSION_MODEL, EXPRESSION_MODELS, resolve_model

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "model_cards" / EXPRESSION_MODEL
each_model = pytest.mark.parametrize("name", EXPRESSION_MODELS)
ALONE = """
import sys
sys.modules.update(dict.fromkeys(["isoclr", "modeling_isoclr", "data_builders"]))
import numpy as np, torch, transformers
from safetensors.torch import save_file
folder, values, out = sys.argv[1:]
load = dict(pretrained_model_name_or_path=folder, trust_remote_code=True)
processor = transformers.AutoProcessor.from_pretrained(**load)
model = transformers.AutoModel.from_pretrained(**load).eval()
inputs = processor(np.load(values), processor.genes, return_tensors="pt")
with torch.inference_mode():
    save_file(dict(embeddings=model(**inputs).pooler_output.contiguous()), out)
"""


@pytest.fixture(scope="module")
def genes():
    return json.loads((FOLDER / "preprocessor_config.json").read_text())["genes"]


@pytest.fixture(scope="module")
def values(genes):
    """Profiles of five samples that nobody measured, log2(x + 1)."""
    return np.random.default_rng(0).gamma(2, 1.5, (5, len(genes))).astype(np.float32)


@each_model
def test_it_is_small_and_has_the_recipe_that_made_it(name):
    folder = resolve_model(name)
    assert folder == ROOT / "model_cards" / name
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 5_000_000
    made = read_recipe(folder / "recipe.yaml")
    assert made == read_recipe(name.replace("-", "/", 1))
    assert made.encoder_config(2000).to_dict().items() >= {"n_genes": 2000}.items()
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == list(range(1, 1501))
    assert log[-1]["effective_rank"] > 10  # it has not collapsed


def test_it_loads_where_none_of_our_packages_can_be_imported(values, tmp_path):
    np.save(tmp_path / "values.npy", values)
    out = tmp_path / "out.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", ALONE, FOLDER, tmp_path / "values.npy", out],
        cwd=tmp_path,
        env=os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    processor, model = AutoProcessor.from_pretrained(FOLDER), AutoModel.from_pretrained(FOLDER)
    inputs = processor(values, processor.genes, return_tensors="pt")
    with torch.inference_mode():
        expected = model.eval()(**inputs).pooler_output
    found = load_file(out)["embeddings"]
    assert found.shape == (5, 256) and np.array_equal(found, expected.numpy())
    assert np.ptp(found, axis=0).max() > 0


def test_it_embeds_by_its_name(values, genes, tmp_path, capsys):
    table = tmp_path / "reads.tsv"
    rows = [["gene", *"abcde"], *([g, *v] for g, v in zip(genes, values.T.tolist(), strict=True))]
    table.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    words = ["expression", "embed", EXPRESSION_MODEL, table, "--genes-in", "rows"]
    words += ["--unit", "log2", "--output", tmp_path / "out.parquet"]
    assert main([str(word) for word in words]) == 0
    assert "2,000 of 2,000 genes of the model found" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "out.parquet")["embedding"].type.list_size == 256


@each_model
def test_its_card_says_first_how_principal_components_do(name):
    folder = resolve_model(name)
    card = (folder / "README.md").read_text()
    first = card.partition(f"# {name}\n")[2].partition("## What it is")[0]
    found = json.loads((folder / "results" / "organ" / "phenotype.json").read_text())
    few = found["few_labels"][0]
    for method in (f"{name}, frozen + logistic", "PCA-128 + logistic"):
        assert f"{few['summary'][method]['balanced_accuracy'][0]:.3f}" in first
    assert "PCA-128 + logistic" in first.partition(". ")[0].replace("\n", " ")
