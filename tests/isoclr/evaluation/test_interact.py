"""Scores of pairs from the command line: values, order, warnings, figures, wrong input."""

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file
from toy_interactions import toy_interactions

from isoclr.cli import main
from isoclr.evaluation import interact as module
from isoclr.evaluation.interact import PairModel, Queries, Scorer, interact
from isoclr.model_folder import write_model_folder
from isoclr.objectives.interactions.known import write_known
from modeling_isoclr import (
    IsoCLRConfig,
    IsoCLRModel,
    IsoCLRTokenizer,
    RPIConfig,
    RPIForSequenceClassification,
    RPIProcessor,
)
from modeling_isoclr.kernel_rpi import RPIKernel
from modeling_isoclr.modeling_rpi import RPIProjection

TOY = toy_interactions(molecules=9, pairs=20)
RNAS, PROTEINS = TOY.rnas[:4], TOY.proteins[:3]
KEYS = {
    "attention": {"hidden_size": 8, "intermediate_size": 5},
    "bilinear": {
        "design": "bilinear",
        "hidden_size": 3,
        "rna_embedder": {"kind": "kmers", "size": 21},
        "protein_embedder": {"kind": "kmers", "size": 21},
    },
    "kernel": {"design": "kernel", "hidden_size": 3, "landmarks": (4, 5)},
    "towers": {"design": "towers", "kernel_size": 3, "motifs": 6, "hidden_size": 4},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder a design, of random weights, that says that it knows all but the last molecules."""
    made = {}
    for name, keys in KEYS.items():
        torch.manual_seed(1)
        config = RPIConfig(**keys, calibration=(3.0, 0.2), threshold=0.55)
        model = RPIForSequenceClassification(config)
        with torch.no_grad():
            for part in model.modules():
                if isinstance(part, RPIProjection | RPIKernel):
                    part.weight.normal_()
            for parameter in model.parameters():
                parameter.normal_(0, 0.4)
        made[name] = tmp_path_factory.mktemp(name)
        write_model_folder(model, RPIProcessor.of(config), made[name])
        write_known(made[name], RNAS[:3], PROTEINS[:2])
    return made


@pytest.fixture
def files(tmp_path):
    for name, molecules in (("rna", RNAS), ("protein", PROTEINS)):
        lines = [f">{each.id} a description\n{each.sequence}\n" for each in molecules]
        (tmp_path / f"{name}.fa").write_text("".join(lines))
    return ["--rna", str(tmp_path / "rna.fa"), "--protein", str(tmp_path / "protein.fa")]


@pytest.mark.parametrize("design", KEYS)
def test_all_of_all_are_scored_as_the_model_scores_each_pair(design, models, files, tmp_path):
    out = tmp_path / "scores.tsv"
    assert main(["interact", str(models[design]), *files, "--output", str(out)]) == 0
    table = pl.read_csv(out, separator="\t")
    assert table.columns == [
        *("rna_id", "protein_id", "probability", "interacts"),
        *("rna_identity", "protein_identity"),
    ]
    expected = [(a.id, b.id) for a in RNAS for b in PROTEINS]
    assert list(zip(table["rna_id"], table["protein_id"], strict=True)) == expected
    model = PairModel(models[design])
    for row in table.iter_rows(named=True):
        sequences = [
            next(each.sequence for each in found if each.id == row[f"{name}_id"])
            for name, found in (("rna", RNAS), ("protein", PROTEINS))
        ]
        inputs = model.processor(*sequences, return_tensors="pt")
        with torch.no_grad():
            logit = float(model.network(**inputs).logits)
        probability = 1 / (1 + np.exp(-(3.0 * logit + 0.2)))
        assert row["probability"] == pytest.approx(probability, abs=1e-5)
        assert row["interacts"] == (probability >= 0.55)
    assert table["probability"].n_unique() > 6


def test_named_pairs_in_their_order_and_in_parquet(models, files, tmp_path):
    pairs = [(RNAS[3].id, PROTEINS[0].id), (RNAS[0].id, PROTEINS[2].id)]
    lines = ["rna_id\tprotein_id", *("\t".join(pair) for pair in pairs)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    command = ["interact", str(models["bilinear"]), *files]
    assert main([*command, "--output", str(tmp_path / "all.parquet")]) == 0
    named = ["--pairs", str(tmp_path / "pairs.tsv"), "--output", str(tmp_path / "two.parquet")]
    assert main([*command, *named]) == 0
    every, two = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("all", "two"))
    assert list(zip(two["rna_id"], two["protein_id"], strict=True)) == pairs
    for row in two.iter_rows(named=True):
        same = (pl.col("rna_id") == row["rna_id"]) & (pl.col("protein_id") == row["protein_id"])
        assert every.filter(same).row(0, named=True) == row


def test_molecules_unlike_any_in_training_are_named(models, files, tmp_path, capsys):
    out = tmp_path / "scores.tsv"
    assert main(["interact", str(models["towers"]), *files, "--output", str(out)]) == 0
    table = pl.read_csv(out, separator="\t")
    by_rna = dict(zip(table["rna_id"], table["rna_identity"], strict=True))
    assert [by_rna[each.id] == 1.0 for each in RNAS] == [True, True, True, False]
    printed = capsys.readouterr().out
    assert "12 pairs" in printed
    assert (
        "warning: like none in training (identity below 0.6): 1 of 3 protein sequences" in printed
    )


def test_every_molecule_is_embedded_once(models, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAIRS_A_BLOCK", 5)
    torch.manual_seed(0)
    encoder = tmp_path / "encoder"
    config = IsoCLRConfig(filters=(8, 8), blocks=(1, 1), dilations=(1, 2), norm="layer")
    IsoCLRModel(config).save_pretrained(encoder)
    IsoCLRTokenizer().save_pretrained(encoder)
    rna_embedder = {"kind": "isoclr", "model": str(encoder), "size": 8}
    keys = {"rna_embedder": rna_embedder, "hidden_size": 8, "intermediate_size": 5}
    model = RPIForSequenceClassification(RPIConfig(**keys))
    write_model_folder(model, RPIProcessor.of(model.config), tmp_path / "model")
    calls = []
    forward = IsoCLRModel.forward
    monkeypatch.setattr(
        IsoCLRModel,
        "forward",
        lambda self, input_ids, **k: calls.append(len(input_ids)) or forward(self, input_ids, **k),
    )
    loaded, queries = PairModel(tmp_path / "model"), Queries(rnas=TOY.rnas, proteins=TOY.proteins)
    scorer = Scorer(loaded, queries, cache=tmp_path / "cache")
    found = interact(loaded, queries, tmp_path / "out.tsv", scorer)
    assert found.pairs == 81 and sum(calls) == len(TOY.rnas)
    assert found.matrix.shape == (9, 9) and not np.isnan(found.matrix).any()


def test_an_encoder_of_a_bare_name_is_beside_the_model(files, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    config = IsoCLRConfig(filters=(8, 8), blocks=(1, 1), dilations=(1, 2), norm="layer")
    IsoCLRModel(config).save_pretrained(tmp_path / "models" / "reader")
    IsoCLRTokenizer().save_pretrained(tmp_path / "models" / "reader")
    spec = {"kind": "isoclr", "model": "reader", "size": 8}
    model = RPIForSequenceClassification(
        RPIConfig(design="towers", motifs=4, hidden_size=2, rna_embedder=spec)
    )
    write_model_folder(model, RPIProcessor.of(model.config), tmp_path / "models" / "pairs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    command = ["interact", str(tmp_path / "models" / "pairs"), *files, "--output", "scores.tsv"]
    assert main(command) == 0
    processor = RPIProcessor.from_pretrained(tmp_path / "models" / "pairs")
    assert processor(["ACGU"], ["MK"])["rna_embeds"].shape == (1, 1, 8)
    (tmp_path / "models" / "reader").rename(tmp_path / "reader")
    assert main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "rna_embedder: got 'reader', wanted its folder in the working directory or " in error
    (tmp_path / "reader").rename(elsewhere / "reader")
    assert main(command) == 0


@pytest.mark.parametrize("design", KEYS)
def test_figures_of_all_pairs_and_of_one(design, models, files, tmp_path):
    words = ["--heat-map", str(tmp_path / "map.png"), "--figure", str(tmp_path / "pair.png")]
    words += ["--explain", f"{RNAS[1].id},{PROTEINS[2].id}", "--output", str(tmp_path / "s.tsv")]
    assert main(["interact", str(models[design]), *files, *words]) == 0
    for name in ("map.png", "pair.png"):
        assert (tmp_path / name).stat().st_size > 5000


def test_gradient_times_input_of_a_bilinear_form_adds_up_to_its_linear_part(models):
    """d(uᵀWv)/dx·x is uᵀWv less what the projection's intercept gives."""
    model = PairModel(models["bilinear"])
    queries = Queries(rnas=RNAS, proteins=PROTEINS)
    scorer = Scorer(model, queries)
    found = module.explain_pair(model, queries, scorer, (1, 2))
    assert len(found.words["rna"]) == len(found.contributions["rna"]) == 21
    model.network.rpi.rna_projection.bias.zero_()
    inputs = model.processor(RNAS[1].sequence, PROTEINS[2].sequence, return_tensors="pt")
    with torch.no_grad():
        logit = model.network(**inputs).logits - model.network.classifier.bias
    assert found.contributions["rna"].sum() == pytest.approx(float(logit), abs=1e-4)


def test_precomputed_vectors(tmp_path):
    spec = {"kind": "precomputed", "size": 3}
    keys = {"rna_embedder": spec, "protein_embedder": spec, "hidden_size": 8}
    model = RPIForSequenceClassification(RPIConfig(**keys, intermediate_size=5))
    write_model_folder(model, RPIProcessor.of(model.config), tmp_path / "model")
    for name, molecules in (("rna", RNAS), ("protein", PROTEINS)):
        arrays = {each.id: np.full((4, 3), i, np.float32) for i, each in enumerate(molecules)}
        save_file(arrays, tmp_path / f"{name}.safetensors")
    files = {name: str(tmp_path / f"{name}.safetensors") for name in ("rna", "protein")}
    queries = Queries(rnas=RNAS, proteins=PROTEINS)
    loaded = PairModel(tmp_path / "model")
    scorer = Scorer(loaded, queries, files=files)
    first = interact(loaded, queries, tmp_path / "a.tsv", scorer).matrix
    turned = Queries(rnas=RNAS[::-1], proteins=PROTEINS)
    second = interact(
        loaded, turned, tmp_path / "b.tsv", Scorer(loaded, turned, files=files)
    ).matrix
    assert np.allclose(first, second[::-1], atol=1e-6) and len(np.unique(first)) > 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--explain", "rna0"], "--explain: got 'rna0', wanted the ids of an RNA and a protein"),
        (["--pairs", "PAIRS"], "row 2: protein_id: got 'nobody', wanted an id of the sequences"),
        (["--protein", "RNA"], ""),
    ],
)
def test_wrong_input_is_one_line(words, message, models, files, tmp_path, capsys):
    (tmp_path / "pairs.tsv").write_text(
        f"rna_id\tprotein_id\n{RNAS[0].id}\t{PROTEINS[0].id}\n{RNAS[0].id}\tnobody\n"
    )
    known = {"PAIRS": str(tmp_path / "pairs.tsv"), "RNA": str(tmp_path / "rna.fa")}
    words = [known.get(word, word) for word in words]
    out = ["--output", str(tmp_path / "scores.tsv")]
    assert main(["interact", str(models["towers"]), *files, *out, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (tmp_path / "scores.tsv").exists()


def test_a_model_of_another_family_is_refused(files, tmp_path, capsys):
    words = ["--output", str(tmp_path / "scores.tsv")]
    assert main(["interact", "isoclr-small", *files, *words]) == 2
    assert "wanted rpi" in capsys.readouterr().err
    assert main(["interact", str(tmp_path / "nowhere"), *files, *words]) == 2
    assert "no such folder" in capsys.readouterr().err
