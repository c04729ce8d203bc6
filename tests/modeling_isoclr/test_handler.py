"""The handler of an Inference Endpoint, in a process that has none of our packages."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from data_builders.records import Transcript
from isoclr.evaluation.predict import predict
from isoclr.model_folder import write_model_folder
from isoclr.shipped import shipped_model
from modeling_isoclr import (
    ExpressionConfig,
    ExpressionModel,
    ExpressionProcessor,
    RPIConfig,
    RPIForSequenceClassification,
    RPIProcessor,
)

# As the endpoint does: the file of the repository, its class, and JSON in and out.
SERVE = """
import importlib.util, json, sys
sys.modules.update(dict.fromkeys(["isoclr", "modeling_isoclr", "data_builders"]))
spec = importlib.util.spec_from_file_location("handler", sys.argv[1] + "/handler.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
handler = module.EndpointHandler(sys.argv[1])
answers = []
for request in json.load(sys.stdin):
    try:
        answers.append(handler(request))
    except ValueError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""
SEQUENCE = "GGGAC" + "ATG" + "GCC" * 60 + "TAA" + "TTTATTTATA" * 40


def served(folder, requests, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(folder)],
        input=json.dumps(requests),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_transcripts_are_embedded_and_predicted(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(shipped_model(), folder, ignore=shutil.ignore_patterns("results", "*.png"))
    record = {"sequence": SEQUENCE, "cds": [5, 191], "exon_junctions": [50]}
    head = {"head": "half-life-human", "embeddings": False}
    answers = served(
        folder,
        [
            {"inputs": record},
            {"inputs": [record, "ACGU" * 20], "parameters": head},
            {"inputs": record, "parameters": {"head": "none"}},
            {"inputs": {"sequence": "AC!T"}},
            {"inputs": []},
            {"inputs": record, "parameters": {"heads": 1}},
            {"sequence": SEQUENCE},
        ],
        tmp_path,
    )
    transcripts = [
        Transcript("a", "a", "unknown", SEQUENCE, 5, 191, (50,)),
        Transcript("b", "b", "unknown", "ACGT" * 20),
    ]
    expected = predict(transcripts, ["half-life-human"], progress=False)
    assert len(answers[0][0]["embedding"]) == 2112
    for name in ("prediction", "lower", "upper"):
        found = [answer[name] for answer in answers[1]]
        np.testing.assert_allclose(found, expected[name], rtol=1e-5)
    assert answers[1][0].keys() == {"prediction", "lower", "upper"}
    errors = [answer["error"] for answer in answers[2:]]
    wanted = ("head: got 'none'", "record 0", "inputs: got 0", "parameters: got 'heads'", "request")
    assert all(part in error for part, error in zip(wanted, errors, strict=True)), errors


@pytest.mark.slow
def test_pairs_and_profiles_are_answered(tmp_path):
    torch.manual_seed(0)
    config = RPIConfig(design="towers", kernel_size=3, motifs=6, hidden_size=4)
    pairs, processor = RPIForSequenceClassification(config).eval(), RPIProcessor.of(config)
    write_model_folder(pairs, processor, tmp_path / "pairs")
    record = {"rna": "ACGUACGUAC", "protein": "MKVLAAGI"}
    (answer,), wrong = served(
        tmp_path / "pairs", [{"inputs": record}, {"inputs": {"rna": "ACGU"}}], tmp_path
    )
    with torch.inference_mode():
        logits = pairs(**processor(*record.values(), return_tensors="pt")).logits
    assert answer["probability"] == pytest.approx(float(pairs.probabilities(logits)), abs=1e-6)
    assert answer["interacts"] == (answer["probability"] >= config.threshold)
    assert "wanted records of `rna` and `protein`" in wrong["error"]

    genes = ["TP53", "EGFR", "MYC"]
    values = np.random.default_rng(0).normal(5, 2, (10, 3)).astype(np.float32)
    encoder = ExpressionModel(ExpressionConfig(n_genes=3, hidden_size=8)).eval()
    profiles = ExpressionProcessor.fit(values, genes)
    write_model_folder(encoder, profiles, tmp_path / "profiles")
    inputs = {"genes": genes[::-1], "values": values[:2, ::-1].tolist()}
    (answers,) = served(tmp_path / "profiles", [{"inputs": inputs}], tmp_path)
    with torch.inference_mode():
        expected = encoder(profiles(values[:2], genes, return_tensors="pt")["values"]).pooler_output
    found = [answer["embedding"] for answer in answers]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
