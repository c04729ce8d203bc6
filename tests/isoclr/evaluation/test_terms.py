import json

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.spatial.distance import pdist
from sklearn.metrics import silhouette_samples

from data_builders.labels.base import MULTILABEL, REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.labels.ontology import Ontology
from data_builders.records import InputError, Transcript
from isoclr.evaluation.figures_terms import plot_terms
from isoclr.evaluation.terms import (
    cosine_silhouettes,
    frequent_terms,
    map_genes,
    separate,
    single_term_genes,
    terms_at_level,
)
from isoclr.statistics import standardised


def labelled(targets, groups=None, classes=None):
    n, width = targets.shape
    return LabelSet(
        label="go",
        task=MULTILABEL,
        targets=targets,
        classes=classes or tuple(f"GO:{i}" for i in range(width)),
        transcripts=tuple(Transcript(f"t{i}", f"g{i}", "s", "A") for i in range(n)),
        groups=tuple(groups or map(str, range(n))),
    )


def clustered(rng, n=300, terms=3, width=8, distance=6.0):
    """Genes with one term each, around as many centres."""
    term = rng.integers(terms, size=n)
    matrix = rng.normal(size=(n, width)) + distance * np.eye(terms, width)[term]
    return matrix, labelled(np.eye(terms, dtype=bool)[term]), term


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silhouettes_are_those_of_all_pairs(dtype):
    rng = np.random.default_rng(0)
    clusters = np.array([*rng.choice([0, 1, 3, 4], 199), 5])  # none of 2, and one alone
    matrix = rng.normal(size=(200, 6)) + clusters[:, None]
    expected = silhouette_samples(matrix, clusters, metric="cosine")
    unit = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(dtype)
    np.testing.assert_allclose(cosine_silhouettes(unit @ unit.T, clusters), expected, atol=1e-4)
    assert expected.std() > 0.05


def test_a_row_of_zeros_is_at_distance_one_from_all():
    unit = np.array([[0.0, 0], [1, 0], [0, 1], [0, 1]])
    # Row 0: 1 within, 1 between. Row 1: 1 to its own, 1 to the other.
    assert cosine_silhouettes(unit @ unit.T, np.array([0, 0, 1, 1])).tolist() == [0, 0, 1, 1]


def test_planted_clusters_lie_apart_and_noise_does_not():
    rng = np.random.default_rng(0)
    matrix, labels, term = clustered(rng)
    units = matrix * np.logspace(-4, 4, matrix.shape[1])  # columns of any unit count alike
    noise = rng.normal(size=matrix.shape)
    result = separate({"near": units, "noise": noise}, labels, [0, 1, 2], progress=False)
    near, random = result.scores["near"], result.scores["noise"]
    expected = silhouette_samples(standardised(matrix), term, metric="cosine").mean()
    assert near["silhouette"]["value"] == pytest.approx(expected, abs=1e-5)
    assert near["silhouette"]["value"] > 0.3 > near["silhouette"]["shuffled"][1] + 0.25
    assert near["purity"]["value"] > 0.97
    for found in near.values():
        assert found["p"] == pytest.approx(1 / 201)
    for found in random.values():
        assert found["shuffled"][0] < found["value"] < found["shuffled"][1]
        assert found["p"] > 0.02
    # Neighbours have a gene's term as often as chance has it.
    shares = np.bincount(term) / len(term)
    assert random["purity"]["value"] == pytest.approx((shares**2).sum(), abs=0.05)
    assert result.genes == tuple(np.bincount(term))


def test_purity_is_counted_over_ten_neighbours():
    rng = np.random.default_rng(1)
    matrix, labels, term = clustered(rng, n=60, distance=1.5)
    found = separate({"x": matrix}, labels, [0, 1, 2], progress=False).scores["x"]["purity"]
    unit = standardised(matrix)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :10]
    assert found["value"] == pytest.approx((term[nearest] == term[:, None]).mean())
    assert 0.4 < found["value"] < 0.95


def test_same_seed_same_shuffles():
    matrix, labels, _ = clustered(np.random.default_rng(0), n=50)
    one, two, other = (
        separate({"x": matrix}, labels, [0, 1, 2], seed=seed, progress=False) for seed in (0, 0, 1)
    )
    assert one == two != other


def test_genes_of_two_terms_and_homologs_do_not_count():
    targets = np.zeros((30, 3), bool)
    targets[:12, 0] = targets[12:25, 1] = True
    targets[3, 1] = True  # of two of the terms
    targets[4, 2] = True  # another of a term that was not asked for
    groups = [str(i) for i in range(30)]
    groups[7] = groups[20] = groups[5]  # homologs of row 5
    rows, term = single_term_genes(labelled(targets, groups), [1, 0])
    assert rows.tolist() == [i for i in range(25) if i not in (3, 7, 20)]
    assert term.tolist() == [1] * 10 + [0] * 12


def test_frequent_terms_are_narrow_and_not_within_each_other():
    targets = np.zeros((100, 5), bool)
    targets[:60, 0] = True  # too wide
    targets[:20, 1] = True
    targets[2:18, 2] = True  # within it
    targets[15:31, 3] = True  # partly within: 5 of 16
    targets[90:93, 4] = True
    labels = labelled(targets)
    assert frequent_terms(labels, max_share=0.3) == [1, 3, 4]
    assert frequent_terms(labels, 2, max_share=0.3) == [1, 3]
    assert frequent_terms(labels, max_share=0.6) == [0, 4]
    assert frequent_terms(labels, max_share=0.18) == [2, 3, 4]


@pytest.fixture
def ontology():
    """A root with two children; 'e' is two steps from it by one way, three by another."""
    parents = {
        "root": (),
        "a": ("root",),
        "b": ("root",),
        "c": ("a",),
        "d": ("b", "other"),
        "e": ("c", "b"),
        "f": ("c",),
        "other": (),
        "g": ("other", "root"),
    }
    spaces = dict.fromkeys(parents, "molecular_function")
    spaces |= dict.fromkeys(("other", "g"), "biological_process")
    return Ontology(parents, spaces, {term: term for term in parents})


def test_terms_at_a_level_are_that_many_steps_from_their_root(ontology):
    classes = tuple(ontology.parents)
    labels = labelled(np.eye(9, dtype=bool), classes=classes)

    def names(**where):
        return sorted(classes[i] for i in terms_at_level(labels, ontology, **where))

    assert names(level=1) == ["a", "b"]
    assert names(level=2) == ["c", "d", "e"]
    with pytest.raises(InputError, match="got 1 terms of molecular_function at level 3, wanted"):
        names(level=3)
    with pytest.raises(InputError, match="got 1 terms of biological_process at level 1, wanted"):
        names(level=1, aspect="P")
    with pytest.raises(InputError, match="aspect: got 'X', wanted one of F, P, C"):
        names(aspect="X")


def test_the_map_keeps_clusters_together_and_repeats():
    matrix, _, term = clustered(np.random.default_rng(0), n=90)
    points = map_genes(matrix)
    assert points.shape == (90, 2)
    assert (map_genes(matrix) == points).all()
    within = np.concatenate([pdist(points[term == i]) for i in range(3)])
    assert np.median(within) < 0.5 * np.median(pdist(points))


def test_result_is_written_and_drawn(tmp_path):
    matrix, labels, term = clustered(np.random.default_rng(0), n=60)
    result = separate({"a model": matrix, "other": matrix**2}, labels, [0, 1, 2], progress=False)
    result.to_json(tmp_path / "go.json")
    read = json.loads((tmp_path / "go.json").read_text())
    assert read["terms"] == ["GO:0", "GO:1", "GO:2"]
    assert read["scores"]["other"] == result.scores["other"]
    lines = result.table().splitlines()
    assert lines[0] == "60 genes with one of 3 terms"
    assert lines[1].split()[:2] == ["features", "silhouette"]
    assert lines[2].split()[2] == f"{result.scores['a model']['silhouette']['value']:.3f}"
    plot_terms(result, {"a model": matrix[:, :2], "b": matrix[:, 1:3]}, term, tmp_path / "go.png")
    image = imread(tmp_path / "go.png")
    assert all((edge == 1).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


def test_bad_input_is_named():
    matrix, labels, _ = clustered(np.random.default_rng(0), n=50)
    with pytest.raises(InputError, match="got the number 'half_life', wanted classes"):
        numbers = np.arange(3.0)
        frequent_terms(
            LabelSet(label="half_life", task=REGRESSION, targets=numbers, transcripts=(), groups=())
        )
    with pytest.raises(InputError, match="got 0 terms of at most 1% of the genes, wanted two"):
        frequent_terms(labels, max_share=0.01)
    with pytest.raises(InputError, match="got 9 genes of 2 terms with no other of them, wanted"):
        single_term_genes(labelled(np.eye(2, dtype=bool)[np.arange(9) % 2]), [0, 1])
    with pytest.raises(InputError, match=r"'x': got shape \(49, 8\), wanted 50 rows"):
        separate({"x": matrix[1:]}, labels, [0, 1, 2], progress=False)
    with pytest.raises(InputError, match="'x': got shape .* all finite"):
        separate({"x": matrix * np.nan}, labels, [0, 1, 2], progress=False)
