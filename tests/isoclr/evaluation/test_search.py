import shutil

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from data_builders.groups.parquet import read_groups
from data_builders.records import InputError, Transcript
from isoclr.cli import main
from isoclr.evaluation import search
from isoclr.evaluation.retrieve import draw_pairs, retrieve_model
from isoclr.hub.push import shared_files
from modeling_isoclr import IsoCLRConfig


def planted(n_groups=150, seed=0):
    """Rows in which relatives share six columns out of thirty, and the others are loud."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), 2)
    rows = rng.normal(size=(len(groups), 30)) * 5
    rows[:, :6] = rng.normal(size=(n_groups, 6))[groups] + rng.normal(size=(len(groups), 6)) * 0.05
    return rows.astype(np.float32), groups


def found_first(vectors, groups):
    """How often the nearest other row is of the own group."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    return (groups[similarity.argmax(axis=1)] == groups).mean()


def test_axes_find_relatives_of_groups_that_they_were_not_fitted_to():
    axes = search.fit_search_axes(*planted(), size=6)
    rows, groups = planted(seed=1)
    best = found_first(search.unit_vectors(rows[:, :6]), groups)  # by the shared columns alone
    assert best > 0.9
    assert found_first(axes.vectors(rows), groups) > 0.95 * best
    assert found_first(search.unit_vectors(rows), groups) < 0.1
    lengths = np.linalg.norm(axes.vectors(rows), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_axes_do_not_depend_on_units_or_on_columns_that_do_not_vary():
    rows, groups = planted()
    units = np.array([1e-3, 1e3] * 15)
    odd = np.hstack([rows * units, np.full((len(rows), 1), 7.0)])
    plain, other = (search.fit_search_axes(x, groups, 5) for x in (rows, odd))
    np.testing.assert_allclose(np.abs(plain.vectors(rows)), np.abs(other.vectors(odd)), atol=1e-4)
    assert not other.axes[-1].any()


def test_axes_look_at_the_columns_that_are_given():
    rows, groups = planted()
    axes = search.fit_search_axes(rows, groups, 4, columns=[0, 2, 7, 29])
    assert np.flatnonzero(axes.axes.any(axis=1)).tolist() == [0, 2, 7, 29]
    shape = {"layout_size": 32, "content_size": 16, "stem_filters": 8, "discriminants": 2}
    config = IsoCLRConfig(filters=[8], blocks=[1], dilations=[1], pooling="regions", **shape)
    columns = search.search_columns(config)
    end = config.pooled_size - 16
    assert columns.tolist() == [*range(32, 96), *range(end - 24, end)]
    assert search.search_columns(IsoCLRConfig(filters=[8], blocks=[1], dilations=[1])) is None


def transcripts_of(genes):
    return [Transcript(f"t{i}", gene, "human", "ACGT") for i, gene in enumerate(genes)]


def test_axes_are_fitted_to_one_transcript_of_each_gene(groups_folder):
    chosen, numbers = search.draw_genes(read_groups(groups_folder), 10_000, seed=0)
    genes = [(t.species, t.gene_id) for t in chosen]
    assert len(set(genes)) == len(genes)
    of_group = {}
    for group in read_groups(groups_folder):
        found = {(t.species, t.gene_id) for t in group.transcripts}
        of_group |= dict.fromkeys(found, (group.group_id, len(found)))
    assert {gene for gene, (_, n) in of_group.items() if n > 1} == set(genes)
    names = [of_group[gene][0] for gene in genes]
    assert len(set(zip(names, numbers, strict=True))) == len(set(names)) == len(set(numbers))
    few, _ = search.draw_genes(read_groups(groups_folder), 9, seed=0)
    assert few == chosen[: len(few)] and 0 < len(few) <= 9


def test_neighbours_are_the_nearest_by_cosine():
    rng = np.random.default_rng(0)
    vectors = search.unit_vectors(rng.normal(size=(40, 6)))
    transcripts = transcripts_of([f"g{i // 2}" for i in range(40)])
    table = search.neighbours(transcripts, vectors, count=5, progress=False)
    assert table.height == 200
    similarity = vectors.astype(np.float64) @ vectors.T
    for query in range(40):
        own = table.filter(pl.col("transcript_id") == f"t{query}")
        order = [i for i in np.argsort(-similarity[query]) if i != query][:5]
        assert own["neighbour"].to_list() == [f"t{i}" for i in order]
        np.testing.assert_allclose(own["similarity"], similarity[query, order], atol=1e-5)
        assert own["rank"].to_list() == [1, 2, 3, 4, 5]
    others = search.neighbours(
        transcripts, vectors, count=3, queries=["t7", "t8"], other_genes=True, progress=False
    )
    assert others["transcript_id"].to_list() == ["t7"] * 3 + ["t8"] * 3
    assert (others["gene_id"] != others["neighbour_gene"]).all()
    order = [i for i in np.argsort(-similarity[7]) if i not in (6, 7)][:3]
    assert others["neighbour"].to_list()[:3] == [f"t{i}" for i in order]


def test_few_transcripts_have_few_neighbours():
    vectors = search.unit_vectors(np.eye(3))
    table = search.neighbours(transcripts_of("aab"), vectors, count=10, progress=False)
    assert table.height == 6
    table = search.neighbours(transcripts_of("aaa"), vectors, other_genes=True, progress=False)
    assert table.height == 0


@pytest.mark.parametrize(
    ("genes", "options", "message"),
    [
        ("a", {}, "got 10 among 1 transcripts"),
        ("ab", {"count": 0}, "got 0 among 2 transcripts"),
        ("ab", {"queries": ["t1", "other"]}, "query 'other': got no transcript of this name"),
    ],
)
def test_wrong_searches_are_refused(genes, options, message):
    vectors = search.unit_vectors(np.eye(len(genes)))
    with pytest.raises(InputError, match=message):
        search.neighbours(transcripts_of(genes), vectors, progress=False, **options)


@pytest.mark.parametrize(
    ("rows", "groups", "message"),
    [
        (np.full((4, 2), np.nan), np.array([0, 0, 1, 1]), r"embeddings: got \(4, 2\), wanted"),
        (np.eye(4), np.arange(4), "got 4 rows in 4 groups, wanted"),
        (np.eye(4), np.zeros(4), "got 4 rows in 1 group, wanted"),
    ],
)
def test_axes_of_nothing_are_refused(rows, groups, message):
    with pytest.raises(InputError, match=message):
        search.fit_search_axes(rows, groups)


@pytest.fixture(scope="module")
def searchable(model_folder, groups_folder, tmp_path_factory):
    """A model with axes of search, as the command writes them."""
    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("searchable") / "model")
    words = ["--model", folder, "--groups", groups_folder, "--output", folder, "--size", 4]
    assert main(["search-axes", *map(str, words)]) == 0
    return folder


def test_commands_search_along_the_axes_of_the_model(searchable, groups_folder, tmp_path, capsys):
    words = ["--model", searchable, "--groups", groups_folder, "--count", 2]
    words += ["--output", tmp_path / "n.tsv"]
    assert main(["neighbours", *map(str, words)]) == 0
    transcripts = [t for group in read_groups(groups_folder) for t in group.transcripts]
    n = len(transcripts)
    assert f"{2 * n} neighbours of {n} among {n} transcripts" in capsys.readouterr().out
    table = pl.read_csv(tmp_path / "n.tsv", separator="\t")
    vectors = search.search_vectors(transcripts, searchable, progress=False)
    assert vectors.shape == (n, 4)
    again = search.neighbours(transcripts, vectors, count=2, progress=False)
    assert table["neighbour"].to_list() == again["neighbour"].to_list()
    result = retrieve_model(searchable, groups_folder, tmp_path / "r", queries=4, candidates=20)
    assert "model, axes of search" in result.ranks
    assert "search.safetensors" in shared_files(searchable)


def test_a_model_without_axes_is_whitened(model_folder, groups_folder):
    assert search.read_search_axes(model_folder) is None
    transcripts = draw_pairs(groups_folder, queries=4, candidates=20).transcripts
    vectors = search.search_vectors(transcripts, model_folder, progress=False)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_damaged_and_foreign_axes_are_refused(searchable, groups_folder, tmp_path):
    folder = shutil.copytree(searchable, tmp_path / "model")
    axes = search.read_search_axes(folder)
    transcripts = draw_pairs(groups_folder, queries=4, candidates=20).transcripts
    search.write_search_axes(search.SearchAxes(axes.centre, axes.axes, "another"), folder)
    with pytest.raises(InputError, match="got search.safetensors of another encoder"):
        search.search_vectors(transcripts, folder, progress=False)
    path = folder / "search.safetensors"
    wrong = {"centre": np.zeros(3, np.float32), "axes": np.zeros((4, 2), np.float32)}
    wrong["columns"] = np.arange(4, dtype=np.int32)
    for metadata, message in (({"encoder": "x"}, r"wanted a centre \(width,\)"), (None, "encoder")):
        save_file(wrong, path, metadata)
        with pytest.raises(InputError, match=message):
            search.read_search_axes(folder)
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="wanted axes that isoclr wrote"):
        search.read_search_axes(folder)


@pytest.mark.parametrize("size", [0, -1])
def test_axes_of_no_size_are_refused_before_the_work(size, tmp_path):
    message = f"size: got {size}, wanted at least 1"
    with pytest.raises(InputError, match=message):
        search.make_search_axes("no model", tmp_path / "none", tmp_path / "out", size=size)
    with pytest.raises(InputError, match=message):
        search.fit_search_axes(*planted(), size=size)
