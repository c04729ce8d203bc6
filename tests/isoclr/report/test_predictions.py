"""Predictions of a report are those of isoclr predict."""

import numpy as np
import pytest

from data_builders.records import InputError, Transcript
from isoclr.evaluation.predict import predict
from isoclr.evaluation.search import neighbours, search_vectors
from isoclr.report import make_report
from isoclr.report.predictions import choose_heads


def transcript(species, name="t"):
    sequence = "ACG" * 50 + "ATG" + "GCC" * 80 + "TAA" + "ACGTT" * 40
    return Transcript(name, "g", species, sequence, 150, 396, (90,))


@pytest.mark.parametrize(
    ("species", "wanted"),
    [
        (["human"], ["half-life-human"]),
        (["mus_musculus", "human"], ["half-life-human", "half-life-mouse"]),
        (["unknown"], ["half-life-human"]),
        (["fly"], ["half-life-human"]),
    ],
)
def test_heads_are_those_of_the_species(species, wanted):
    heads = choose_heads("isoclr-small", [transcript(name) for name in species])
    assert [head.name for head in heads] == wanted


def test_named_heads_are_taken_and_others_refused(model_folder):
    some = [transcript("human")]
    (head,) = choose_heads("isoclr-small", some, ["half-life-yeast"])
    assert head.name == "half-life-yeast"
    with pytest.raises(InputError, match="head: got 'x', wanted one of half-life-human"):
        choose_heads("isoclr-small", some, ["x"])
    assert choose_heads(model_folder, some) == []
    with pytest.raises(InputError, match="wanted one of none: the model has no such head"):
        choose_heads(model_folder, some, ["half-life-human"])


def test_predictions_are_those_of_the_command():
    transcripts = [transcript("human"), Transcript("bare", "b", "human", "ACGTACGTAA")]
    (found,) = make_report(transcripts, progress=False).predictions
    table = predict(transcripts, ["half-life-human"], progress=False)
    np.testing.assert_array_equal(found.values, table["prediction"])
    np.testing.assert_array_equal(found.low, table["lower"])
    np.testing.assert_array_equal(found.high, table["upper"])
    assert found.warnings == [warning or "" for warning in table["warning"]]
    assert "no CDS" in found.warnings[1]
    assert "3,225 transcripts of homo_sapiens" in found.note
    assert "Pearson r on held-out groups: 0.723" in found.note


def test_neighbours_are_those_of_the_axes_of_search():
    rng = np.random.default_rng(0)
    transcripts = [
        Transcript(f"t{i}", f"g{i}", "human", "".join(rng.choice(list("ACGT"), 90 + i)))
        for i in range(6)
    ]
    report = make_report(transcripts, progress=False)
    table = neighbours(transcripts, search_vectors(transcripts), count=1, other_genes=True)
    found = [neighbour.transcript_id for neighbour in report.neighbours]
    assert found == table["neighbour"].to_list()
