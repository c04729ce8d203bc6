import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_builders.labels.base import REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import SEEDS, homology_split, make_splits
from data_builders.records import InputError, Transcript
from isoclr.evaluation.features import structure_features
from isoclr.evaluation.finetune import FINE_TUNED, SCRATCH, finetune
from isoclr.evaluation.linear import Linear
from isoclr.evaluation.low_data import (
    FRACTIONS,
    METHODS,
    CurveOptions,
    low_data,
    low_data_of_model,
)
from isoclr.evaluation.networks import tokenize
from isoclr.evaluation.probe import probe
from isoclr.evaluation.settings import (
    FineTunedSettings,
    FitSettings,
    SalukiSettings,
    Settings,
    TrainingOptions,
)
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny

_QUICK = {"dropout": 0.0, "evaluations": 1, "evaluate_every": 1, "batch_size": 64}
SETTINGS = Settings(
    from_scratch=FitSettings(**_QUICK),
    fine_tuned=FineTunedSettings(**_QUICK, learning_rate=1e-4),
    saluki_like=SalukiSettings(**_QUICK),
)
OPTIONS = CurveOptions(seeds=SEEDS[:2], settings=SETTINGS, progress=False)
QUICK_METHODS = ("probe", "structure", "codons")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    shape = {"filters": [6, 8], "blocks": [1, 1], "dilations": [1, 2], "norm": "layer"}
    return IsoCLRModel(tiny(**shape, pooling="stages")).eval()


@pytest.fixture(scope="module")
def labels():
    """Two hundred short transcripts in pairs, and how long their CDS is."""
    rng = np.random.default_rng(0)
    transcripts = []
    for i in range(200):
        sequence = "".join(rng.choice(list("ACGT"), rng.integers(60, 90)))
        end = 3 * int(rng.integers(2, 20))
        transcripts.append(Transcript(f"t{i}", f"g{i}", "s", sequence, 0, end, ()))
    return LabelSet(
        label="cds",
        task=REGRESSION,
        targets=np.array([float(t.cds_end) for t in transcripts]) + rng.normal(0, 5, 200),
        transcripts=tuple(transcripts),
        groups=tuple(f"h{i // 2}" for i in range(200)),
    )


def curve_of(encoder, labels, output, **options):
    return low_data(encoder, IsoCLRTokenizer(), labels, output, replace(OPTIONS, **options))


def scores(results):
    return {run.key: run.scores for run in results.runs}


def test_the_fractions_are_half_a_percent_to_all_and_the_controls_are_there():
    assert FRACTIONS == (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
    assert {"structure", "codons", "kmers", "boosting", "saluki", "random"} < METHODS.keys()


@pytest.mark.parametrize("fraction", [0.001, 0.0, -1.0, 1.5])
def test_impossible_fractions_are_named(fraction, encoder, labels, tmp_path):
    with pytest.raises(InputError, match=f"labels to learn from: got {fraction}, .* of 140 rows"):
        curve_of(encoder, labels, tmp_path, fractions=(fraction,))


def test_the_probe_here_is_the_probe_there(encoder, labels, tmp_path):
    rows, _ = tokenize(IsoCLRTokenizer(), labels.transcripts)
    features = {"m": encoder.embed(rows), "structure": structure_features(labels.transcripts)}
    known = [len(homology_split(labels.groups, seed)[0]) for seed in SEEDS[:2]]
    assert known == [140, 140]
    curve = curve_of(encoder, labels, tmp_path, methods=QUICK_METHODS[:2], fractions=(0.2, 1.0))
    splits = make_splits(labels, seeds=SEEDS[:2])
    there = probe(features, labels, splits, label_counts=(28, 1.0), progress=False)
    for method, name in (("probe", "m"), ("structure", "structure")):
        for count, fraction in ((28, 0.2), (1.0, 1.0)):
            for metric in ("pearson", "spearman", "mse"):
                found = curve.values(METHODS[method], metric, fraction)
                assert found == there.values(name, metric, count)
    assert curve.train_rows(0.2) == 28


def test_all_labels_give_what_finetune_gives(encoder, labels, tmp_path):
    curve = curve_of(encoder, labels, tmp_path, methods=("finetune", "scratch"), fractions=(1.0,))
    options = TrainingOptions(seeds=SEEDS[:2], settings=SETTINGS, progress=False)
    there = finetune(encoder, IsoCLRTokenizer(), labels, options, (FINE_TUNED, SCRATCH)).results
    for method, name in (("finetune", FINE_TUNED), ("scratch", SCRATCH)):
        assert curve.values(METHODS[method], "mse") == there.values(name, "mse")


@pytest.mark.slow
def test_every_method_runs_and_leaves_the_encoder_alone(encoder, labels, tmp_path):
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    curve = curve_of(encoder, labels, tmp_path, fractions=(0.1, 1.0), max_length=80)
    assert curve.predictors == tuple(METHODS.values()) and curve.label_counts == (0.1, 1.0)
    assert len(curve.runs) == len(METHODS) * 4
    of_scratch = curve.mean(METHODS["scratch"], labels=0.1)[0]
    assert curve.mean(METHODS["structure"])[0] > 0.8 > of_scratch
    assert all(torch.equal(before[name], t) for name, t in encoder.state_dict().items())
    assert 0 < curve.about["cropped"] < 200


def test_it_goes_on_where_it_was(encoder, labels, tmp_path, monkeypatch):
    options = {"fractions": (0.1, 1.0), "methods": QUICK_METHODS}
    whole = curve_of(encoder, labels, tmp_path / "whole", **options)
    curve_of(encoder, labels, tmp_path / "cut", **{**options, "methods": ("structure",)})
    path = tmp_path / "cut" / "runs.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    path.write_text("".join(lines[:3]) + lines[3][:20])  # the last one cut in the middle
    made = []
    original = Linear.__call__

    def counted(self, fold):
        made.append(len(fold.train))
        return original(self, fold)

    monkeypatch.setattr(Linear, "__call__", counted)
    again = curve_of(encoder, labels, tmp_path / "cut", **options)
    assert len(made) == 10  # of 12, two were there
    assert again.about == whole.about
    assert scores(again) == scores(whole)
    made.clear()
    monkeypatch.setattr(IsoCLRModel, "embed", None)  # what is there needs no embedding
    assert scores(curve_of(encoder, labels, tmp_path / "cut", **options)) == scores(whole)
    assert not made


def test_transcripts_are_embedded_once(encoder, labels, tmp_path, monkeypatch):
    embedded = []
    original = IsoCLRModel.embed

    def counting(self, rows, *arguments):
        embedded.append(len(rows))
        return original(self, rows, *arguments)

    monkeypatch.setattr(IsoCLRModel, "embed", counting)
    curve_of(encoder, labels, tmp_path, methods=("probe", "finetune"), fractions=(0.1, 1.0))
    assert embedded == [200]


def test_runs_of_something_else_are_refused(encoder, labels, tmp_path):
    options = {"fractions": (1.0,), "methods": ("structure",)}
    curve_of(encoder, labels, tmp_path, **options)
    before = (tmp_path / "runs.jsonl").read_text()
    other = replace(labels, targets=labels.targets[::-1].copy())
    cases = {
        "fingerprint": {"labels": other},
        "split: got 'homology' in it, wanted 'random'": {"split": "random"},
        "settings": {"settings": Settings()},
        "max_length": {"max_length": 80},
    }
    for message, changed in cases.items():
        arguments = {"labels": labels, **options, **changed}
        with pytest.raises(InputError, match=message):
            curve_of(encoder, output=tmp_path, **arguments)
    assert (tmp_path / "runs.jsonl").read_text() == before


def test_a_method_that_is_none_is_named(encoder, labels, tmp_path):
    with pytest.raises(InputError, match="method: got 'magic', wanted some of probe, finetune"):
        curve_of(encoder, labels, tmp_path, methods=("probe", "magic"))


def test_yes_and_no_have_a_curve_too(encoder, labels, tmp_path):
    binary = replace(labels, task="binary", targets=labels.targets > 30)
    curve = curve_of(encoder, binary, tmp_path, methods=("structure",), fractions=(0.2, 1.0))
    assert curve.mean(METHODS["structure"], "auroc")[0] > 0.9


@pytest.mark.slow
def test_a_file_of_labels_and_a_model_folder(clade, groups_folder, model_folder, tmp_path):
    source = LabelSource(path=clade.half_life, label="half_life", isoform_groups=groups_folder)
    options = replace(OPTIONS, methods=("probe", "finetune"), fractions=(0.5, 1.0))
    curve = low_data_of_model(model_folder, source, tmp_path, options)
    content = json.loads((tmp_path / "low_data.json").read_text())
    assert len(content["runs"]) == len(curve.runs) == 8
    assert (tmp_path / "low_data.png").stat().st_size > 10_000
