"""Pairs and profiles of the page, without gradio."""

import numpy as np
import pytest
import torch
from toy_interactions import toy_interactions

from data_builders.records import InputError
from isoclr.app.inputs import Limits
from isoclr.app.pairs import explain_row, study_pairs
from isoclr.app.profiles import ProfileModel, study_profiles
from isoclr.evaluation.interact import PairModel
from isoclr.model_folder import write_model_folder
from isoclr.shipped import shipped_of_family
from modeling_isoclr import (
    ExpressionConfig,
    ExpressionModel,
    ExpressionProcessor,
    RPIConfig,
    RPIForSequenceClassification,
    RPIProcessor,
)

GENES = ["TP53", "EGFR", "MYC", "SOX2"]


@pytest.fixture(scope="module")
def pair_model(tmp_path_factory):
    torch.manual_seed(0)
    config = RPIConfig(design="towers", kernel_size=3, motifs=6, hidden_size=4)
    folder = tmp_path_factory.mktemp("pairs")
    write_model_folder(RPIForSequenceClassification(config), RPIProcessor.of(config), folder)
    return PairModel(folder)


def fasta(molecules):
    return "".join(f">{each.id}\n{each.sequence}\n" for each in molecules)


def test_pairs_are_scored_and_explained(pair_model):
    toy = toy_interactions(molecules=4, pairs=5)
    found = study_pairs(pair_model, fasta(toy.rnas[:3]), fasta(toy.proteins[:2]))
    assert sorted(row[:2] for row in found.rows) == sorted(
        [a.id, b.id] for a in toy.rnas[:3] for b in toy.proteins[:2]
    )
    shown = [float(row[2]) for row in found.rows]
    assert shown == sorted(shown, reverse=True)
    np.testing.assert_allclose(sorted(shown), sorted(found.scores.matrix.ravel()), atol=6e-4)
    assert found.rows[0][4:] == ["not said", "not said"]
    assert found.notes[0].startswith("6 pairs")
    assert found.heat_map().std() > 5
    assert explain_row(pair_model, found, 0, 1).std() > 5
    assert study_pairs(pair_model, "ACGU" * 9, "MKVLAAGI" * 3).heat_map() is None


@pytest.mark.parametrize(
    "rna, protein, message",
    [
        ("", "MKV", "RNA sequences: got none"),
        ("ACGU" * 5, " ", "protein sequences: got none"),
        ("ACGU" * 30, "MKVLAAGI" * 3, "got 120 letters, wanted at most 100"),
        (">a\nACGU\n>b\nACGU\n>c\nACGU\n", "MKVLAAGI", "got 3, wanted at most 2"),
        ("ACGU" * 5, "MK!" * 3, "protein sequences"),
    ],
)
def test_wrong_pairs_are_one_line_without_a_path(pair_model, rna, protein, message):
    with pytest.raises(InputError, match=message) as caught:
        study_pairs(pair_model, rna, protein, Limits(molecules=2, letters=100))
    assert "/tmp" not in str(caught.value)


@pytest.fixture(scope="module")
def profile_model():
    torch.manual_seed(0)
    values = np.random.default_rng(0).normal(5, 2, (20, len(GENES)))
    encoder = ExpressionModel(ExpressionConfig(n_genes=len(GENES), hidden_size=8)).eval()
    return ProfileModel(
        name="toy", encoder=encoder, processor=ExpressionProcessor.fit(values, GENES)
    )


def table(samples):
    lines = ["sample\t" + "\t".join(GENES)]
    lines += [f"{name}\t" + "\t".join(map(str, values)) for name, values in samples.items()]
    return ("\n".join(lines) + "\n").encode()


def test_profiles_are_embedded_and_mapped(profile_model):
    samples = {
        "a": [100, 20, 3, 50],
        "twin": [100, 20, 3, 50],
        "b": [2, 900, 40, 5],
        "c": [30, 3, 700, 90],
    }
    found = study_profiles(profile_model, table(samples))
    assert found.embeddings.shape == (4, 8)
    assert found.nearest()[0] == ["a", "twin", "1.0000"]
    assert "4 of 4 genes of the model found" in found.notes[-1]
    assert found.map(None).std() > 5
    with pytest.raises(InputError, match="got no column 'tissue'"):
        found.map("tissue")
    alone = study_profiles(profile_model, table({"a": samples["a"]}))
    assert alone.nearest() == [] and alone.map(None) is None


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "matrix: got none"),
        (table(dict.fromkeys("abc", [1, 20, 3, 50])), "got 3 samples, wanted at most 2"),
        (b"sample\tTP53\tEGFR\na\tx\ty\n", "matrix"),
        (b"x" * 2000, "got more than 1,000 bytes"),
    ],
)
def test_wrong_profiles_are_one_line_without_a_path(profile_model, content, message):
    with pytest.raises(InputError, match=message) as caught:
        study_profiles(profile_model, content, Limits(samples=2, bytes=1000))
    assert "/tmp" not in str(caught.value)


def test_shipped_models_are_found_by_their_family():
    names = [folder.name for folder in shipped_of_family("isoclr")]
    assert {"isoclr-small", "isoclr-small-bare"} <= set(names) and names == sorted(names)
    assert shipped_of_family("no_family") == []
