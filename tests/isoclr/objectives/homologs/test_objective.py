"""The objective through the engine: a known optimum, exact resume, a folder that loads."""

import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from global_draws import none_drawn
from safetensors.torch import load_file
from toy_families import simulated
from transformers import AutoModel, AutoModelForPreTraining, AutoTokenizer

from data_builders.homology.families import Homolog, HomologFamily, write_families
from data_builders.records import InputError
from data_builders.simulate.homologs import Channel, substitution_model
from isoclr.bounds import info_nce
from isoclr.objectives import read_recipe
from isoclr.objectives.homologs.loss import ContrastiveLoss
from isoclr.objectives.homologs.objective import HomologObjective
from modeling_isoclr import IsoCLRConfig
from modeling_isoclr.critic_isoclr import IsoCLRCritic

TINY = {
    "filters": [8, 8],
    "blocks": [1, 1],
    "dilations": [1, 2],
    "norm": "layer",
    "projector_sizes": [16, 16, 8],
}


@pytest.fixture(scope="module")
def train(request):
    spec = importlib.util.spec_from_file_location("train", request.config.rootpath / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def forgotten_accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def proteins(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("proteins"), sites=64, model="poisson")


def written(folder, data, **changes):
    data = [str(data)] if isinstance(data, Path) else data
    path = folder / "recipe.yaml"
    told = {
        "objective": "homologs",
        "data": data,
        "output": str(folder / "out"),
        "model": TINY,
        "steps": 6,
        "batch_size": 8,
        "learning_rate": 0.003,
        "held_out_families": 8,
        "evaluate_every": 3,
        "checkpoint_every": 3,
        "tracker": None,
    }
    path.write_text(yaml.safe_dump(told | changes))
    return path


def objective(folder, data, **changes):
    return HomologObjective(read_recipe(written(folder, data, **changes)), 0, 1)


def optimal(channel, batch):
    """The optimal critic's bound on the pairs of a batch."""
    first, second = batch.tokens[:, : len(channel.rates)].numpy().reshape(2, -1, 8)
    return info_nce(channel.scores(first, second)).mean()


def test_the_cosine_of_one_hot_letters_is_the_optimal_critic_at_its_temperature():
    channel = Channel(substitution_model("jc69"), 1.0, np.ones(30))
    same = channel.model.transition(1.0)
    temperature = 1 / (30 * math.log(same[0, 0] / same[0, 1]))
    sizes = [1, 1, 120]
    config = IsoCLRConfig(critic="cosine", loss_temperature=temperature, projector_sizes=sizes)
    first, second = channel.draw(64, np.random.default_rng(0))
    one_hot = [
        torch.eye(4, dtype=torch.float64)[torch.from_numpy(x).long()].flatten(1)
        for x in (first, second)
    ]
    critic = IsoCLRCritic(config).double()
    scores = critic(*one_hot)[0].detach().numpy()
    np.testing.assert_allclose(info_nce(scores), info_nce(channel.scores(first, second)), atol=1e-5)


@pytest.mark.parametrize("loss", ["contrastive", "masked"])
def test_an_evaluation_draws_nothing(tmp_path, proteins, loss):
    masked = {"mask_fraction": 0.15} if loss == "masked" else {}
    found = objective(tmp_path, proteins, loss=loss, model=TINY | {"dropout": 0.5}, **masked)
    model = found.build_model()
    with none_drawn():
        scores = found.evaluate(model.train())
    assert scores["held_out_loss"] > 0 and model.training


def test_the_loss_is_log_n_minus_the_bound(tmp_path, proteins):
    found = objective(tmp_path, proteins)
    torch.manual_seed(0)
    model = found.build_model().eval()
    loss, record = ContrastiveLoss(model)(found.batches[0])
    projections = model(found.batches[0].tokens, return_loss=False).projections
    scores = model.critic(*projections.split(8))[0].double().detach().numpy()
    assert loss.item() == pytest.approx(math.log(8) - info_nce(scores).mean(), abs=1e-5)
    assert record["bound"].item() == pytest.approx(math.log(8) - loss.item(), abs=1e-6)


def test_a_linear_critic_is_trained_to_the_optimum(train, tmp_path):
    data = simulated(tmp_path / "data", families=3000, sites=8, leaves=6, distance=0.5)
    path = written(
        tmp_path,
        data,
        encoder="linear",
        model={"projector_sizes": [1, 1, 32], "norm": "layer"},
        steps=150,
        batch_size=256,
        learning_rate=0.01,
        held_out_families=512,
        evaluate_every=150,
    )
    train.main([str(path)])
    last = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[-1])
    channel = Channel(substitution_model("jc69"), 0.5, np.ones(8))
    batches = HomologObjective(read_recipe(path), 0, 1).batches
    best = np.mean([optimal(channel, batches.evaluation(draw)) for draw in range(4)])
    assert 0.95 * best < last["held_out_bound"] < 1.02 * best
    assert last["held_out_permuted"] < 0


@pytest.mark.parametrize(
    "changes",
    [
        {"critic": "bilinear"},
        {"bands": [[0.1, 0.5]], "positives": "bands", "tell_bands": True, "homologs": 2},
        {"positives": "mutation", "window": 32},
        {"windows": {"disjoint": 1, "same": 1}, "window": 20, "mask_fraction": 0.2, "mask_span": 2},
        {"loss": "masked", "mask_fraction": 0.2},
        {"encoder": "positions", "model": TINY},
        {"encoder": "sites", "model": TINY},
        {"negatives": "same_species", "length_matched": True},
    ],
)
def test_every_kind_of_run_trains_and_is_finite(train, tmp_path, proteins, changes):
    train.main([str(written(tmp_path, proteins, **changes))])
    lines = [json.loads(x) for x in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert "held_out_accuracy" in lines[-1]
    assert (tmp_path / "out" / "README.md").exists()


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(train, tmp_path, proteins):
    changes = {"windows": "disjoint", "window": 24, "mask_fraction": 0.1, "checkpoint_every": 2}
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    train.main([str(written(tmp_path / "whole", proteins, **changes))])
    path = written(tmp_path / "cut", proteins, **changes)
    train.main([str(path)])
    (newest,) = [p for p in (tmp_path / "cut" / "out" / "checkpoints").iterdir() if "6" in p.name]
    shutil.rmtree(newest)
    (tmp_path / "cut" / "out" / "model.safetensors").unlink()
    AcceleratorState._reset_state(reset_partial_state=True)
    train.main([str(path)])
    weights = [load_file(tmp_path / n / "out" / "model.safetensors") for n in ("whole", "cut")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_folder_loads_by_the_auto_classes(train, tmp_path, proteins):
    train.main([str(written(tmp_path, proteins, bands=[[0.1, 0.5]], tell_bands=True))])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    encoder = AutoModel.from_pretrained(tmp_path / "out").eval()
    whole = AutoModelForPreTraining.from_pretrained(tmp_path / "out").eval()
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(whole.critic.log_scale, saved["critic.log_scale"])
    batch = tokenizer(["MKVLAAGIV", "MKV"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(encoder(**batch).pooler_output, whole.isoclr(**batch).pooler_output)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "homologous families" in card and "isoform" not in card.split("## How")[0]


def test_the_report_of_a_batch_names_families_and_species(tmp_path, proteins):
    lines = objective(tmp_path, proteins).describe(0)
    assert len(lines) == 8
    assert all(line.startswith("family_") and ": species_" in line for line in lines)


def test_data_of_two_alphabets_or_lengths_are_refused(tmp_path, proteins):
    rna = simulated(tmp_path / "rna", families=4)
    with pytest.raises(InputError, match="got protein and rna, wanted one alphabet"):
        objective(tmp_path, [str(rna), str(proteins)])
    members = tuple(Homolog(s, "g", s, "ACGTACGTAC" * n) for n, s in ((1, "a"), (2, "b")))
    write_families([HomologFamily(f"f{i}", "rna", members) for i in range(4)], tmp_path / "two")
    found = objective(tmp_path, tmp_path / "two", encoder="linear", held_out_families=0)
    with pytest.raises(InputError, match="encoder: got 'linear' with 2 lengths"):
        found.build_model()
