"""Retrieval of windows: features on words that can be counted, ranks that can be foreseen."""

import json

import numpy as np
import pytest
from toy_families import model_folder, simulated

from data_builders.records import InputError
from isoclr.evaluation.homologs import Task, kmers, retrieve, retrieve_windows
from isoclr.objectives.homologs.families import load_families
from isoclr.objectives.sequences import DataSource
from modeling_isoclr import IsoCLRTokenizer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("data"), families=30, sites=80, distance=0.1)


@pytest.fixture(scope="module")
def families(data):
    return load_families(DataSource(path=str(data)))


def tokens(*sequences):
    return [IsoCLRTokenizer().tokenize_transcript(s) for s in sequences]


@pytest.mark.parametrize("k", [3, 4])
def test_words_are_counted_without_unknown_letters(k):
    rows = kmers(tokens("ACGTACGT", "ACGTACGT", "ACGNNCGT", "TTTTTTTT", "AC"), k).toarray()
    np.testing.assert_allclose(np.linalg.norm(rows[[0, 1, 3]], axis=1), 1)
    assert rows[0] @ rows[1] == pytest.approx(1)
    assert rows[0] @ rows[3] == 0
    assert not rows[4].any()
    assert (k == 4) == (not rows[2].any())


def test_composition_is_centred():
    rows = kmers(tokens("AAAA", "CCCC", "AACC"), 1)
    np.testing.assert_allclose(rows.sum(0), 0, atol=1)
    assert rows[0] @ rows[1] < 0


def test_near_homologs_are_found_by_words_and_no_window_of_another_place_is(families):
    features = {f"{k}-mers": (lambda rows, k=k: kmers(rows, k)) for k in (3, 4)}
    features["nothing"] = lambda rows: np.ones((len(rows), 1))
    held = np.arange(30)
    near = Task("overlapping", (0.05, 0.2))
    found = {one.features: one for one in retrieve(families, held, near, features, (30, 6, 0))}
    assert found["4-mers"].recall_at_1 > 0.8
    assert found["4-mers"].families == 30
    assert found["nothing"].recall_at_1 < 0.1  # a tie is no success
    assert found["nothing"].gain + found["4-mers"].recall_at_1 < 0.2
    apart = retrieve(families, held, Task("disjoint"), features, (30, 6, 0))
    assert all(one.recall_at_1 < 0.25 for one in apart)


def test_a_model_is_measured_beside_its_untrained_twin_and_k_mers(data, tmp_path):
    folder = model_folder(tmp_path / "m", data)
    found = retrieve_windows([folder], window=30, bands=[(0.05, 0.2)], draws=3)
    names = [one.features for one in found.found[:9]]
    assert names == ["critic", "embedding", "untrained", *(f"{k}-mers" for k in range(1, 7))]
    assert {one.task for one in found.found} == {"disjoint", "overlapping, 0.05 to 0.2"}
    best = max(one.recall_at_1 for one in found.found[3:9])
    assert found.found[0].gain == pytest.approx(found.found[0].recall_at_1 - best)
    found.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "windows.json").read_text())["window"] == 30
    assert (tmp_path / "saved" / "windows.png").read_bytes().startswith(b"\x89PNG")


def test_controls_stand_beside_a_model_and_were_kept_from_the_same_families(data, tmp_path):
    folders = [
        model_folder(tmp_path / "m", data),
        model_folder(tmp_path / "mutated", data, positives="mutation"),
        model_folder(tmp_path / "masked", data, loss="masked", mask_fraction=0.2),
    ]
    found = retrieve_windows(folders, window=30, draws=1).found
    names = ["critic", "embedding", "mutated: critic", "mutated: embedding", "masked: embedding"]
    assert [one.features for one in found[:6]] == [*names, "untrained"]
    same = {one.features: one.recall_at_1 for one in found}
    assert same["critic"] == same["mutated: critic"]  # neither was trained
    other = model_folder(tmp_path / "other", data, seed=1)
    with pytest.raises(InputError, match="wanted .20, 0, 0. as of the first model"):
        retrieve_windows([folders[0], other], window=30, draws=1)
