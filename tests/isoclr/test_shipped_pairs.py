"""The shipped model of RNA–protein pairs: it loads by name, here and elsewhere, and is small."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from data_builders.interactions.dataset import Molecule
from isoclr.evaluation.interact import PairModel, Queries, Scorer
from isoclr.shipped import PAIR_MODEL, shipped_folder, shipped_model
from modeling_isoclr import RPIProcessor

RNA = "GGGUUGCGGCCACACCCUCGGAAACUUCCGGGAAGCUCCCAGG"
PROTEINS = ("MKVRASVKKLCRNCKIVKRDGVIRVICSAEPKHKQRQG", "MFVDQVKIYVKAGNGGDGMVAFRREKFVPN")
CLIENT = """
import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)
import torch
from transformers import AutoModelForSequenceClassification, AutoProcessor
folder, rna, *proteins = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
inputs = processor([rna] * len(proteins), proteins, return_tensors="pt")
with torch.inference_mode():
    print(*model.probabilities(model(**inputs).logits)[:, 0].tolist())
"""


@pytest.fixture(scope="module")
def probabilities():
    """What the command scores."""
    model = PairModel(PAIR_MODEL)
    queries = Queries(
        rnas=[Molecule("rna", RNA.replace("U", "T"))],
        proteins=[Molecule(f"protein{i}", each) for i, each in enumerate(PROTEINS)],
    )
    pairs = np.array([[0, 0], [0, 1]])
    return model, model.probabilities(Scorer(model, queries)(pairs))


def test_it_loads_by_its_name_and_says_what_it_was_trained_on(probabilities):
    model, found = probabilities
    assert ((found > 0) & (found < 1)).all() and found[0] != found[1]
    assert model.known is not None
    assert model.config.training["positives"] > 2000
    assert sum(path.stat().st_size for path in shipped_model(PAIR_MODEL).rglob("*")) < 5e6
    name, identity = model.known.nearest("protein", "M" + "WHC" * 30)
    assert name is None and identity == 0


def test_a_processor_takes_sequences_as_the_card_says(probabilities):
    model, found = probabilities
    processor = RPIProcessor.from_pretrained(shipped_model(PAIR_MODEL))
    inputs = processor([RNA, RNA], PROTEINS, return_tensors="pt")
    with torch.inference_mode():
        scored = model.network.probabilities(model.network(**inputs).logits)[:, 0]
    assert np.allclose(scored.numpy(), found, atol=1e-4)


@pytest.mark.slow
def test_it_scores_where_our_packages_are_not(probabilities, tmp_path):
    _, found = probabilities
    folder = shipped_folder("model_cards") / PAIR_MODEL
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(folder), RNA, *PROTEINS],
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert np.allclose([float(word) for word in done.stdout.split()], found, atol=1e-4)
