import shutil

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from data_builders.groups.parquet import read_groups
from data_builders.records import InputError, Transcript
from isoclr.cli import main
from isoclr.evaluation import search
from isoclr.evaluation.features import kmer_frequencies, residue_pair_frequencies
from isoclr.evaluation.retrieve import draw_pairs, retrieve_model
from isoclr.hub.push import shared_files


def planted(n_groups=150, seed=0):
    """Rows in which relatives share twenty columns of thirty, and the others are loud."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), 2)
    rows = rng.normal(size=(len(groups), 30)) * 5
    shared = rng.normal(size=(n_groups, 20))[groups]
    rows[:, :20] = shared + rng.normal(size=shared.shape) * 0.05
    return rows.astype(np.float32), groups


def found_first(vectors, groups):
    """How often the nearest other row is of the own group."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    return (groups[similarity.argmax(axis=1)] == groups).mean()


def test_axes_find_relatives_of_groups_that_they_were_not_fitted_to():
    axes = search.fit_search_axes(*planted())
    rows, groups = planted(seed=1)
    best = found_first(search.unit_vectors(rows[:, :20]), groups)  # by the shared columns alone
    assert best > 0.9
    assert found_first(axes.vectors(rows), groups) > 0.95 * best
    assert found_first(search.unit_vectors(rows), groups) < 0.1
    lengths = np.linalg.norm(axes.vectors(rows), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_axes_do_not_depend_on_units_or_on_columns_that_do_not_vary():
    rows, groups = planted()
    units = np.array([1e-3, 1e3] * 15)
    odd = np.hstack([rows * units, np.full((len(rows), 1), 7.0)])
    plain, other = (search.fit_search_axes(x, groups) for x in (rows, odd))
    np.testing.assert_allclose(np.abs(plain.vectors(rows)), np.abs(other.vectors(odd)), atol=1e-4)
    assert not other.axes[-1].any()


def random_transcripts(n=5, seed=0):
    rng = np.random.default_rng(seed)
    letters = ("".join(rng.choice(list("ACGT"), 600)) for _ in range(n))
    return [Transcript(f"t{i}", "g", "human", row, 30, 570) for i, row in enumerate(letters)]


def test_words_are_alike_as_their_frequencies_are(monkeypatch):
    transcripts = [*random_transcripts(), Transcript("bare", "g", "human", "ACGTACGTAC")]
    words = search.search_words(transcripts, progress=False)
    pairs = np.sqrt(residue_pair_frequencies(transcripts))
    np.testing.assert_array_equal(words[:, :400], pairs)
    assert not words[-1, :400].any()
    kmers = np.sqrt(kmer_frequencies(transcripts, 6, 6))
    np.testing.assert_allclose(words[:, 400:] @ words[:, 400:].T, kmers @ kmers.T, atol=0.25)
    monkeypatch.setattr(search, "_AT_ONCE", 2)
    np.testing.assert_allclose(search.search_words(transcripts, progress=False), words, atol=1e-6)


def test_the_projection_of_words_never_changes():
    signs = search._signs()
    assert (np.abs(signs) == 1 / 16).all()
    assert np.packbits(signs[:2] > 0).tolist()[:8] == [95, 130, 194, 217, 207, 235, 15, 163]
    assert abs(signs.mean()) < 1e-3


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
        (np.full((4, 2), np.nan), np.array([0, 0, 1, 1]), r"words: got \(4, 2\), wanted"),
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
    words = ["--groups", groups_folder, "--output", folder]
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
    assert vectors.shape[0] == n and vectors.shape[1] > 400
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


def test_damaged_axes_and_axes_of_other_columns_are_refused(searchable, tmp_path):
    folder = shutil.copytree(searchable, tmp_path / "model")
    path = folder / "search.safetensors"
    save_file({"centre": np.zeros(3, np.float32), "axes": np.zeros((4, 2), np.float32)}, path)
    with pytest.raises(InputError, match=r"got \(3,\) and \(4, 2\), wanted a centre \(656,\)"):
        search.read_search_axes(folder)
    save_file({"centre": np.zeros(656, np.float32)}, path)
    with pytest.raises(InputError, match="got ''axes'', wanted axes that isoclr wrote"):
        search.read_search_axes(folder)
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="wanted axes that isoclr wrote"):
        search.read_search_axes(folder)
