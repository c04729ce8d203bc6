import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, homology_split
from data_builders.records import InputError, Transcript
from isoclr.evaluation import low_data as module
from isoclr.evaluation.features import structure_features
from isoclr.evaluation.finetune import finetune
from isoclr.evaluation.linear import fit_and_score
from isoclr.evaluation.low_data import (
    FRACTIONS,
    METHODS,
    LowDataCurve,
    Run,
    low_data,
    low_data_of_model,
    plot_low_data,
)
from isoclr.evaluation.probe import probe, probe_few_labels
from isoclr.evaluation.supervised import FitSettings, Settings, tokenize
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny

QUICK = FitSettings(dropout=0.0, evaluations=1, evaluate_every=1, batch_size=64)
SETTINGS = Settings(QUICK, replace(QUICK, learning_rate=1e-4), QUICK)
OPTIONS = {"seeds": SEEDS[:2], "settings": SETTINGS, "progress": False}
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
    targets = np.array([float(t.cds_end) for t in transcripts]) + rng.normal(0, 5, 200)
    groups = tuple(f"h{i // 2}" for i in range(200))
    return LabelSet("cds", tuple(transcripts), targets, groups, Counter())


def curve_of(encoder, labels, output, **options):
    return low_data(encoder, IsoCLRTokenizer(), labels, output, **{**OPTIONS, **options})


def test_the_fractions_are_half_a_percent_to_all_and_the_controls_are_there():
    assert FRACTIONS == (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
    assert {"structure", "codons", "kmers", "boosting", "saluki", "random"} < METHODS.keys()


@pytest.mark.parametrize("fraction", [0.001, 0.0, -1.0, 1.5, float("nan")])
def test_impossible_fractions_are_named(fraction, encoder, labels, tmp_path):
    with pytest.raises(InputError, match=f"fraction: got {fraction} of 140 train rows"):
        curve_of(encoder, labels, tmp_path, fractions=(fraction,))


def test_the_probe_here_is_the_probe_there(encoder, labels, tmp_path):
    rows, _ = tokenize(IsoCLRTokenizer(), labels.transcripts)
    features = {"m": encoder.embed(rows), "structure": structure_features(labels.transcripts)}
    known = [len(homology_split(labels.groups, seed)[0]) for seed in SEEDS[:2]]
    assert known == [140, 140]
    curve = curve_of(encoder, labels, tmp_path, methods=QUICK_METHODS[:2], fractions=(0.2, 1.0))
    few, whole = probe_few_labels(features, labels, [28], seeds=SEEDS[:2], progress=False)
    assert whole == probe(features, labels, seeds=SEEDS[:2], progress=False)
    for method, name in (("probe", "m"), ("structure", "structure")):
        for fraction, result in ((0.2, few), (1.0, whole)):
            for metric in ("pearson", "spearman", "mse"):
                expected = dict(zip(SEEDS[:2], result.scores[name][metric], strict=True))
                assert curve.values(method, fraction, metric) == expected
    assert curve.labels(0.2) == 28


def test_all_labels_give_what_finetune_gives(encoder, labels, tmp_path):
    curve = curve_of(encoder, labels, tmp_path, methods=("finetune", "scratch"), fractions=(1.0,))
    there, _ = finetune(encoder, IsoCLRTokenizer(), labels, **OPTIONS)
    for method, name in (("finetune", "fine-tuned"), ("scratch", "from scratch")):
        expected = dict(zip(SEEDS[:2], there.scores[name]["mse"], strict=True))
        assert curve.values(method, 1.0, "mse") == expected


@pytest.mark.slow
def test_every_method_runs_and_leaves_the_encoder_alone(encoder, labels, tmp_path):
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    curve = curve_of(encoder, labels, tmp_path, fractions=(0.1, 1.0), max_length=80)
    assert curve.methods == tuple(METHODS) and curve.fractions == (0.1, 1.0)
    assert len(curve.runs) == len(METHODS) * 4
    assert curve.mean("structure", 1.0)[0] > 0.8 > curve.mean("scratch", 0.1)[0]
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
    original = fit_and_score

    def counted(name, *arguments):
        made.append(name)
        return original(name, *arguments)

    monkeypatch.setattr(module, "fit_and_score", counted)
    again = curve_of(encoder, labels, tmp_path / "cut", **options)
    assert sorted(made) == ["codons + structure"] * 4 + ["embeddings"] * 4 + ["structure"] * 2
    assert again.about == whole.about
    assert [replace(run, seconds=0) for run in again.runs] == [
        replace(run, seconds=0) for run in whole.runs
    ]
    made.clear()
    monkeypatch.setattr(IsoCLRModel, "embed", None)  # what is there needs no embedding
    assert curve_of(encoder, labels, tmp_path / "cut", **options) == again and not made


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


def test_bad_arguments_are_named(encoder, labels, tmp_path):
    with pytest.raises(InputError, match="method: got 'magic', wanted some of probe, finetune"):
        curve_of(encoder, labels, tmp_path, methods=("probe", "magic"))
    with pytest.raises(InputError, match="fraction: got 0.01 of 140 train rows"):
        curve_of(encoder, labels, tmp_path, fractions=(0.01,))
    classes = replace(labels, targets=np.ones((200, 1), bool), classes=("c",))
    with pytest.raises(InputError, match="cds: got classes, wanted a number"):
        curve_of(encoder, classes, tmp_path)


@pytest.fixture
def curve():
    """Three methods at two fractions and three seeds; the last one only at the second."""
    about = {"label": "half_life", "rows": 1000, "groups": 900, "split": "homology"}
    about |= {"max_length": None, "cropped": 0, "settings": {}, "fingerprint": "f"}
    runs = []
    for method, base in (("probe", 0.5), ("scratch", 0.2), ("boosting", 0.4)):
        for fraction, labels in ((0.1, 70), (1.0, 700)):
            for seed in (1, 2, 3):
                if method == "boosting" and fraction < 1:
                    continue
                r = base + 0.1 * fraction + 0.01 * seed
                scores = {"pearson": r, "spearman": r, "mse": 1.0}
                runs.append(Run(method, fraction, seed, labels, 10, scores, 1.5))
    return LowDataCurve(about, tuple(runs))


def test_curve_table_and_json_by_hand(curve, tmp_path):
    assert (curve.methods, curve.fractions) == (("probe", "scratch", "boosting"), (0.1, 1.0))
    assert curve.mean("probe", 0.1) == pytest.approx((0.53, 1.96 * 0.01 / 3**0.5))
    assert curve.gain("scratch", 1.0)[0] == pytest.approx(0.3)
    assert curve.gain("boosting", 0.1) is None
    assert curve.table().splitlines() == [
        "half_life: 1,000 transcripts, 900 homology groups, homology split, 3 seeds",
        "Pearson r with labels  70             700",
        "linear probe           0.530 ± 0.011  0.620 ± 0.011",
        "from scratch           0.230 ± 0.011  0.320 ± 0.011",
        "gradient boosting                     0.520 ± 0.011",
    ]
    curve.to_json(tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text())
    assert [Run(**run) for run in content["runs"]] == list(curve.runs)
    first = content["summary"]["from scratch"][0]
    assert (first["labels"], first["pearson"][0]) == (70, pytest.approx(0.23))
    assert first["gain of linear probe"][0] == pytest.approx(0.3)


def test_the_title_says_when_methods_have_unlike_numbers_of_seeds(curve):
    assert "3 seeds" in curve.title()
    assert "2 to 3 seeds" in replace(curve, runs=curve.runs[:-1]).title()


def test_the_figure_has_a_line_a_method(curve, tmp_path):
    plot_low_data(curve, tmp_path / "c.svg")
    drawn = (tmp_path / "c.svg").read_text()
    for text in ("linear probe", "from scratch", "gradient boosting", "labels to train on"):
        assert f"<!-- {text} -->" in drawn
    assert "Saluki" not in drawn


@pytest.mark.slow
def test_a_file_of_labels_and_a_model_folder(clade, groups_folder, model_folder, tmp_path):
    curve = low_data_of_model(
        model_folder,
        clade.half_life,
        "half_life",
        tmp_path,
        isoform_groups=groups_folder,
        methods=("probe", "finetune"),
        fractions=(0.5, 1.0),
        **OPTIONS,
    )
    content = json.loads((tmp_path / "low_data.json").read_text())
    assert len(content["runs"]) == len(curve.runs) == 8
    assert (tmp_path / "low_data.png").stat().st_size > 10_000
