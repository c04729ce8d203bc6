"""A map and clusters of embeddings, as a figure, a table and AnnData."""

import numpy as np
import polars as pl
import pytest

from data_builders.records import InputError
from isoclr.cli import main
from isoclr.report.map import clusters_of, map_embeddings


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """Three clusters of 30, 20 and 10 embeddings, as `isoclr embed` writes them."""
    rng = np.random.default_rng(0)
    centres = np.repeat(10 * np.eye(3, 6), (30, 20, 10), axis=0)
    rows = centres + rng.normal(size=centres.shape)
    names = [f"t{i}" for i in range(60)]
    path = tmp_path_factory.mktemp("blobs") / "e.parquet"
    pl.DataFrame(
        {"transcript_id": names, "gene_id": names, "species": "fly", "embedding": rows.tolist()}
    ).write_parquet(path)
    return path


def test_clusters_are_found_and_numbered_by_size(blobs):
    rows = np.array(pl.read_parquet(blobs)["embedding"].to_list())
    found = clusters_of(rows)
    assert found.labels.tolist() == [0] * 30 + [1] * 20 + [2] * 10
    assert found.silhouette == pytest.approx(0.389, abs=0.02)
    assert len(np.unique(clusters_of(rows, 5).labels)) == 5
    assert clusters_of(rows, 1).silhouette is None
    for wrong in (0, 61):
        with pytest.raises(InputError, match=f"clusters: got {wrong}, wanted 1 to 60"):
            clusters_of(rows, wrong)


def test_the_command_writes_figure_table_and_anndata(blobs, tmp_path, capsys):
    labels = tmp_path / "labels.tsv"
    labels.write_text("transcript_id\thalf_life\n" + "".join(f"t{i}\t{i}.5\n" for i in range(40)))
    words = ["map", str(blobs), "--output", str(tmp_path / "map"), "--clusters", "3"]
    assert main([*words, "--labels", str(labels), "--label", "half_life"]) == 0
    assert "60 transcripts in 3 clusters of [30, 20, 10]" in capsys.readouterr().out
    table = pl.read_csv(tmp_path / "map" / "map.tsv", separator="\t")
    assert table.columns[3:] == ["x", "y", "cluster", "half_life"]
    assert table["half_life"].null_count() == 20 and table["half_life"][3] == 3.5
    assert (tmp_path / "map" / "map.png").read_bytes().startswith(b"\x89PNG")
    anndata = pytest.importorskip("anndata")
    made = anndata.read_h5ad(tmp_path / "map" / "map.h5ad")
    assert made.obsm["X_isoclr"].shape == (60, 6) and made.obsm["X_pca"].shape == (60, 2)
    assert list(made.obs["cluster"].cat.categories) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ("id\tx\nt1\t1\n", "x", "wanted transcript_id"),
        ("transcript_id\tx\nt1\t1\n", "z", "wanted a label of them, got 'z'"),
        ("transcript_id\tx\nt1\t1\n", "x", "x: got a column of the map"),
        ("transcript_id\tl\nother\t1\n", "l", "got a label of none of 60 transcripts"),
    ],
)
def test_labels_that_do_not_fit_are_one_line(blobs, text, label, message, tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        map_embeddings(blobs, tmp_path / "map", labels=path, label=label)


def test_what_has_no_embeddings_is_one_line(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("transcript_id\tgene_id\nt1\tg1\n")
    with pytest.raises(InputError, match="x.tsv: got no tsv file of isoclr embed"):
        map_embeddings(path, tmp_path / "map")
