"""Expression from simulated files to embeddings, as it is typed."""

import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from isoclr.cli import main
from isoclr.evaluation.embed_expression import KEY
from modeling_isoclr import ExpressionConfig, ExpressionModel, ExpressionProcessor


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expression")
    words = ["--samples", 24, "--genes", 30, "--tissues", 3]
    assert run("expression", "simulate", "--output", folder / "a.tsv", *words) == 0
    words = ["--obs", folder / "a.samples.tsv", "--output", folder / "a.parquet"]
    assert run("expression", "prepare", folder / "a.tsv", *words) == 0
    return folder / "a.parquet"


@pytest.fixture(scope="module")
def model(prepared):
    folder = prepared.with_name("model")
    genes = [f"ENSG{i:011d}" for i in range(6, 36)]  # 25 of the data's
    values = np.random.default_rng(0).gamma(2, 2, (9, 30))
    ExpressionProcessor.fit(values, genes).save_pretrained(folder)
    ExpressionModel(ExpressionConfig(n_genes=30, hidden_size=8)).save_pretrained(folder)
    return folder


def test_embeddings_as_parquet_and_a_figure(prepared, model, tmp_path, capsys):
    out = tmp_path / "out.parquet"
    assert run("expression", "embed", model, prepared, "--output", out, "--label", "tissue") == 0
    said = capsys.readouterr().out
    assert "25 of 30 genes of the model found; 5 missing ones take their mean; 5 others" in said
    assert f"{out}: embeddings of 8 numbers" in said
    table = pq.read_table(out)
    assert table.num_rows == 24 and table["embedding"].type.list_size == 8
    assert len(set(table["tissue"].to_pylist())) == 3
    assert (tmp_path / "out.png").stat().st_size > 5_000


def test_a_figure_by_umap_needs_a_label_and_the_package(
    prepared, model, tmp_path, capsys, monkeypatch
):
    words = ["expression", "embed", model, prepared, "--output", tmp_path / "out.parquet"]
    assert run(*words, "--map", "umap") == 2
    assert "--map umap: wanted --label with it" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "umap", None)
    assert run(*words, "--map", "umap", "--label", "tissue") == 2
    assert "umap needs a package: pip install umap-learn" in capsys.readouterr().err
    umap = SimpleNamespace(UMAP=lambda **_: SimpleNamespace(fit_transform=lambda rows: rows[:, :2]))
    monkeypatch.setitem(sys.modules, "umap", umap)
    assert run(*words, "--map", "umap", "--label", "tissue") == 0
    assert (tmp_path / "out.png").stat().st_size > 5_000


def test_embeddings_as_anndata(prepared, model, tmp_path):
    anndata = pytest.importorskip("anndata", reason="the extra expression is not installed")
    assert run("expression", "embed", model, prepared, "--output", tmp_path / "out.h5ad") == 0
    assert run("expression", "embed", model, prepared, "--output", tmp_path / "a.parquet") == 0
    data = anndata.read_h5ad(tmp_path / "out.h5ad")
    table = pq.read_table(tmp_path / "a.parquet")
    assert data.obsm[KEY].tolist() == table["embedding"].to_pylist()
    assert data.shape == (24, 30) and list(data.obs_names) == table["sample_id"].to_pylist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "organ"], "obs: got no column 'organ', wanted one of tissue"),
        (["--layer", "counts"], "layer: got 'counts' for a file that is not .h5ad"),
    ],
)
def test_wrong_input_of_embed(prepared, model, tmp_path, capsys, words, message):
    output = tmp_path / "o.parquet"
    assert run("expression", "embed", model, prepared, "--output", output, *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_data_without_the_genes_of_the_model(model, tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_text("gene\tone\ttwo\nACTB\t5.5\t6\nGAPDH\t1\t2\nTP53\t2\t3\n")
    assert run("expression", "embed", model, path, "--output", tmp_path / "o.parquet") == 2
    assert "got 0 of the model's 30 genes" in capsys.readouterr().err
    assert not (tmp_path / "o.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "scarf,simclr"], "--methods: got 'simclr', wanted some of scarf, vime"),
        (["--folds", "1"], "--folds: got 1, wanted at least 2"),
        (["--label", "organ"], "obs: got no column 'organ'"),
        (["--group", "patient"], "obs: got no column 'patient'"),
    ],
)
def test_wrong_input_of_phenotype(prepared, tmp_path, capsys, words, message):
    label = [] if "--label" in words else ["--label", "tissue"]
    assert run("phenotype", prepared, *label, "--output", tmp_path, *words) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
