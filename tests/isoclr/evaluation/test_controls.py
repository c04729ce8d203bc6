import random

import numpy as np
import pytest

from data_builders.records import Transcript
from isoclr.evaluation.controls import (
    BOOSTING,
    SALUKI,
    TOGETHER,
    boosting_features,
    control_features,
    control_predictors,
)
from isoclr.evaluation.features import (
    Lazy,
    codon_frequencies,
    kmer_frequencies,
    site_features,
    structure_features,
)


@pytest.fixture(scope="module")
def transcripts():
    rng = random.Random(0)
    return [
        Transcript(f"t{i}", "g", "s", "".join(rng.choices("ACGT", k=60 + i)), 10, 40, (20, 50))
        for i in range(5)
    ]


def test_every_control_is_there_by_name(transcripts):
    features = control_features(transcripts)
    widths = {name: matrix.shape for name, matrix in features.items()}
    assert widths == {
        "k-mers 1-6": (5, 5460),
        "k-mers 3-7": (5, 21824),
        "structure": (5, 7),
        "codons": (5, 64),
        "codons + structure": (5, 71),
        "codons + structure + sites": (5, 80),
        "codons + structure + k-mers 1-4": (5, 411),
    }
    assert {matrix.dtype for matrix in features.values()} == {np.dtype(np.float32)}
    for saluki, names in ((False, [BOOSTING]), (True, [BOOSTING, SALUKI])):
        assert list(control_predictors(features, transcripts, saluki)) == names


def test_together_is_each_side_by_side(transcripts):
    features = control_features(transcripts, [(2, 3)])
    assert "k-mers 2-3" in features and "k-mers 1-6" not in features
    codons, structure = codon_frequencies(transcripts), structure_features(transcripts)
    assert (features["codons + structure"] == np.hstack([codons, structure])).all()
    whole = np.hstack([codons, structure, kmer_frequencies(transcripts, 1, 4)])
    assert (features[TOGETHER] == whole).all()
    sites = site_features(transcripts)
    assert (features["codons + structure + sites"] == np.hstack([codons, structure, sites])).all()
    assert (boosting_features(features) == np.hstack([whole, sites])).all()


def test_lazy_features_are_made_once_and_when_asked_for():
    made = []

    def make():
        made.append(1)
        return np.arange(6).reshape(3, 2)

    features = Lazy(make)
    assert not made
    assert features[np.array([2, 0])].tolist() == [[4, 5], [0, 1]]
    assert features[np.array([1])].tolist() == [[2, 3]]
    assert made == [1]
