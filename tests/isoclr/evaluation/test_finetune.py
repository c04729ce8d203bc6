import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForSequenceClassification

from data_builders.labels.base import MULTICLASS, MULTILABEL, REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import SEEDS, Split, homology_split, make_splits
from data_builders.records import InputError, Transcript
from isoclr.evaluation import finetune as module
from isoclr.evaluation.compare import fold_of
from isoclr.evaluation.finetune import (
    FINE_TUNED,
    FROZEN,
    METHODS,
    SCRATCH,
    FineTuned,
    embed_rows,
    finetune,
    finetune_model,
    frozen_head,
    network_to_save,
    plot_finetuning,
)
from isoclr.evaluation.fit import predict
from isoclr.evaluation.linear import ALPHAS, LEAST_SPREAD, Linear
from isoclr.evaluation.networks import tokenize
from isoclr.evaluation.settings import (
    FineTunedSettings,
    FitSettings,
    Settings,
    TrainingOptions,
)
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny

_QUICK = {"dropout": 0.0, "evaluations": 2, "evaluate_every": 2, "batch_size": 32}
QUICK = FitSettings(**_QUICK)
SETTINGS = Settings(
    from_scratch=QUICK, fine_tuned=FineTunedSettings(**_QUICK, patience=8, learning_rate=1e-4)
)
TRAIN, VALIDATION, TEST = np.arange(60), np.arange(60, 75), np.arange(75, 100)
OPTIONS = TrainingOptions(seeds=SEEDS[:2], settings=SETTINGS, progress=False)


def fold(labels, seed=0, validation=VALIDATION):
    return fold_of(labels, Split(TRAIN, validation, TEST, seed))


def encoder_of(**overrides):
    torch.manual_seed(0)
    shape = {"filters": [6, 8], "blocks": [1, 1], "dilations": [1, 2], "norm": "layer"}
    return IsoCLRModel(tiny(**{**shape, "pooling": "stages", **overrides})).eval()


@pytest.fixture(scope="module")
def encoder():
    return encoder_of()


@pytest.fixture(scope="module")
def labels():
    """A hundred short transcripts in fifty groups, and their content of G and C in odd units."""
    rng = np.random.default_rng(0)
    transcripts = []
    for i in range(100):
        gc = rng.uniform(0.2, 0.8)
        p = np.array([1 - gc, gc, gc, 1 - gc]) / 2
        letters = "".join(rng.choice(list("ACGT"), rng.integers(40, 90), p=p))
        transcripts.append(Transcript(f"t{i}", f"g{i}", "s", letters))
    targets = 500 + 20 * np.array([sum(map(t.sequence.count, "GC")) / 60 for t in transcripts])
    groups = tuple(f"h{i // 2}" for i in range(100))
    return LabelSet(
        label="gc",
        task=REGRESSION,
        targets=targets,
        transcripts=tuple(transcripts),
        groups=groups,
    )


@pytest.fixture(scope="module")
def classes(labels):
    """The same by thirds of the label, as one class of three and as any number of them."""
    thirds = np.digitize(labels.targets, np.quantile(labels.targets, (1 / 3, 2 / 3)))
    names = ("low", "middle", "high")
    single = replace(labels, label="third", task=MULTICLASS, targets=thirds, classes=names)
    several = replace(single, task=MULTILABEL, targets=np.eye(3, dtype=bool)[thirds])
    return {MULTICLASS: single, MULTILABEL: several}


@pytest.fixture(scope="module")
def rows(labels):
    return tokenize(IsoCLRTokenizer(), labels.transcripts)[0]


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def found(encoder, labels):
    before = bits(encoder)
    options = replace(OPTIONS, max_length=80)
    found = finetune(encoder, IsoCLRTokenizer(), labels, options, METHODS)
    assert same(bits(encoder), before)
    return found


def test_the_frozen_head_is_the_ridge_of_the_probe(encoder, labels, rows):
    embeddings = encoder.embed(rows)
    before = bits(encoder)
    head = frozen_head(embeddings, fold(labels))
    assert same(bits(encoder), before)
    scaler = StandardScaler().fit(embeddings[TRAIN].astype(np.float64))
    wide = scaler.scale_ > LEAST_SPREAD * np.median(scaler.scale_)
    assert wide.all()  # no floor in the way
    ridge = RidgeCV(ALPHAS).fit(scaler.transform(embeddings[TRAIN]), labels.targets[TRAIN])
    expected = ridge.predict(scaler.transform(embeddings[TEST]))
    predicted = predict(head, embeddings, TEST)[:, 0] * labels.targets[TRAIN].std()
    np.testing.assert_allclose(predicted + labels.targets[TRAIN].mean(), expected, rtol=1e-4)


def test_a_channel_silent_in_train_decides_nothing(labels):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 5)).astype(np.float32)
    targets = features[:, 0].astype(np.float64)
    silent = 1e-6 * rng.normal(size=(100, 1)).astype(np.float32)
    silent[TEST[0]] = 1.0  # a million of its standard deviations in train
    features = np.hstack([features, silent, np.zeros_like(silent)])
    head = frozen_head(features, fold(replace(labels, targets=targets)))
    predicted = predict(head, features, TEST)[:, 0]
    assert np.corrcoef(predicted, targets[TEST])[0, 1] > 0.99


def test_features_that_do_not_vary_predict_the_mean(labels):
    constant = np.ones((100, 3), np.float32)
    head = frozen_head(constant, fold(labels))
    assert predict(head, constant, TEST) == pytest.approx(np.zeros((25, 1)), abs=1e-6)


def test_a_class_that_train_lacks_is_improbable_and_finite(encoder, classes, rows):
    labels = classes[MULTICLASS]
    rare = replace(labels, targets=np.where(np.arange(100) < 75, labels.targets % 2, 2))
    logits = predict(frozen_head(encoder.embed(rows), fold(rare)), encoder.embed(rows), TEST)
    assert np.isfinite(logits).all() and (logits[:, 2] < logits[:, :2].min(1) - 10).all()


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_fine_tuning_begins_at_the_frozen_head(norm, labels, rows):
    encoder = encoder_of(norm=norm)
    embeddings = encoder.embed(rows)
    # Stopped by train: the last weights are the best.
    of_train = fold(labels, validation=TRAIN)
    head = frozen_head(embeddings, of_train)
    before = bits(encoder)
    network, evaluations = FineTuned(encoder, rows, embeddings, SETTINGS, False).train(of_train)
    assert same(bits(encoder), before)
    centre, scale = labels.targets[TRAIN].mean(), labels.targets[TRAIN].std()
    error = predict(head, embeddings, TRAIN)[:, 0] - (labels.targets[TRAIN] - centre) / scale
    assert evaluations[0].validation_loss == pytest.approx((error**2).mean(), rel=1e-4)
    moved = {
        name: not torch.equal(tensor, before[name])
        for name, tensor in bits(network.encoder).items()
        if "running" not in name and "table" not in name
    }
    assert all(moved.values())  # every weight learns


def test_batch_norms_keep_what_they_learned_before(labels, rows):
    encoder = encoder_of(norm="batch")
    for name, buffer in encoder.named_buffers():
        if "running" in name:
            buffer.add_(0.1)
    kept, changed = (
        bits(FineTuned(encoder, rows, start, SETTINGS, False).train(fold(labels))[0].encoder)
        for start in (encoder.embed(rows), None)
    )
    before = bits(encoder)
    statistics = [name for name in before if "running" in name]
    assert statistics and all(torch.equal(kept[name], before[name]) for name in statistics)
    assert not any(torch.equal(changed[name], before[name]) for name in statistics)


def test_early_stopping_restores_the_best_weights(encoder, labels, rows):
    wild = FineTunedSettings(**_QUICK, learning_rate=10.0, patience=1)
    settings = Settings(fine_tuned=wild)
    tuned = FineTuned(encoder, rows, encoder.embed(rows), settings, False)
    network, evaluations = tuned.train(fold(labels))
    assert len(evaluations) == 2 and evaluations[1].validation_loss > evaluations[0].validation_loss
    assert same(bits(network.encoder), bits(encoder))


def test_from_scratch_is_the_same_shape_with_other_weights(encoder, labels, rows):
    config = encoder.config.to_dict()
    tuned, scratch, other_seed = (
        FineTuned(encoder, rows, start, SETTINGS, False).train(fold(labels, seed))
        for start, seed in ((encoder.embed(rows), 1), (None, 1), (None, 2))
    )
    shapes = [{n: t.shape for n, t in bits(network).items()} for network, _ in (tuned, scratch)]
    assert shapes[0] == shapes[1]
    assert scratch[1][0].validation_loss == other_seed[1][0].validation_loss  # of the mean
    first = bits(encoder)["encoder.stem.weight"]
    stems = [first, *(bits(n.encoder)["encoder.stem.weight"] for n, _ in (scratch, other_seed))]
    assert min((a - b).abs().max() for a in stems for b in stems if a is not b) > 0.1
    assert encoder.config.to_dict() == config


def test_same_seed_same_scores(encoder, labels, found):
    again = finetune(encoder, IsoCLRTokenizer(), labels, replace(OPTIONS, max_length=80), METHODS)
    scores = [[run.scores for run in each.results.runs] for each in (again, found)]
    assert scores[0] == scores[1]
    assert again.evaluations == found.evaluations
    assert len(set(found.results.values(SCRATCH, "mse"))) == 2


def test_the_result_says_what_was_done(labels, found, tmp_path):
    results = found.results
    cropped = sum(len(t.sequence) > 80 for t in labels.transcripts)
    assert (results.rows, results.groups, results.task) == (100, 50, REGRESSION)
    assert results.about["cropped"] == cropped > 0
    assert results.predictors == (SCRATCH, FROZEN, FINE_TUNED)
    r = results.values(FROZEN, "pearson")
    gain, _, p = results.gain(FROZEN)
    assert gain == pytest.approx(np.mean(r) - np.mean(results.values(SCRATCH, "pearson")))
    assert 0 <= p <= 1
    assert [each.step for each in found.evaluations[SCRATCH][0]] == [0, 3, 6]
    head, columns, *lines = results.table().splitlines()
    assert head == (
        f"gc: 100 transcripts, {cropped} cropped to 80 nt, 50 homology groups, homology split, "
        "2 seeds"
    )
    assert [line.split("  ")[0] for line in lines[:3]] == [SCRATCH, FROZEN, FINE_TUNED]
    assert f"{np.mean(r):.3f} ± " in lines[1]
    found.to_json(tmp_path / "f.json")
    content = json.loads((tmp_path / "f.json").read_text())
    assert content["summary"][FROZEN]["pearson"][0] == pytest.approx(np.mean(r))
    assert content["about"]["settings"]["fine_tuned"]["learning_rate"] == 1e-4
    losses = [each["validation_loss"] for each in content["evaluations"][FINE_TUNED][0]]
    assert losses == [each.validation_loss for each in found.evaluations[FINE_TUNED][0]]
    plot_finetuning(found, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_all_is_embedded_once(encoder, labels, monkeypatch):
    embedded = []

    def counting_embed(encoder, rows, *arguments, **options):
        embedded.append(len(rows))
        return embed_rows(encoder, rows, *arguments, **options)

    monkeypatch.setattr(module, "embed_rows", counting_embed)
    finetune(encoder, IsoCLRTokenizer(), labels, OPTIONS, METHODS)
    sides = [homology_split(labels.groups, seed) for seed in SEEDS[:2]]
    # Once all; from scratch the train rows, for their standard units.
    assert embedded == [100, *(len(train) for train, *_ in sides)]


def test_a_saved_network_predicts_the_same_in_the_labels_units(encoder, labels, rows, tmp_path):
    tuned = FineTuned(encoder, rows, encoder.embed(rows), SETTINGS, False)
    predicted = tuned(fold(labels)).test
    network_to_save(tuned.first, labels).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.id2label == {0: "gc"}
    with torch.inference_mode():
        again = [loaded(torch.from_numpy(rows[row])[None].long()).logits[0, 0] for row in TEST]
    np.testing.assert_allclose(again, predicted, rtol=1e-5)
    assert abs(predicted.mean() - labels.targets.mean()) < 5


@pytest.mark.slow
@pytest.mark.parametrize("task", [MULTICLASS, MULTILABEL])
def test_classes(task, encoder, classes):
    options = replace(OPTIONS, split="random")
    found = finetune(encoder, IsoCLRTokenizer(), classes[task], options)
    assert found.results.task == task
    assert found.results.mean(FROZEN)[0] > (0.5 if task == MULTICLASS else 0.7)
    config = found.network.config
    assert config.id2label == {0: "low", 1: "middle", 2: "high"}
    single, several = "single_label_classification", "multi_label_classification"
    assert config.problem_type == (single if task == MULTICLASS else several)


def test_numbers_of_0_and_1_are_yes_and_no_here_too(encoder, labels):
    binary = replace(labels, task="binary", targets=labels.targets > np.median(labels.targets))
    found = finetune(encoder, IsoCLRTokenizer(), binary, OPTIONS)
    assert found.results.metrics[0] == "auroc"
    assert found.network.config.problem_type == "multi_label_classification"
    assert found.network.config.id2label == {0: "gc"}


def test_without_the_network_from_scratch_the_others_are_the_same(encoder, labels, found):
    options = replace(OPTIONS, max_length=80)
    alone = finetune(encoder, IsoCLRTokenizer(), labels, options)
    assert alone.results.reference == FROZEN and set(alone.evaluations) == {FINE_TUNED}
    for name in (FROZEN, FINE_TUNED):
        assert alone.results.values(name) == found.results.values(name)
    with pytest.raises(InputError, match="methods: got 'magic', wanted some of frozen, fine-tuned"):
        finetune(encoder, IsoCLRTokenizer(), labels, options, ("magic",))
    with pytest.raises(InputError, match="methods: got frozen, wanted fine-tuned among them"):
        finetune(encoder, IsoCLRTokenizer(), labels, options, (FROZEN,))


def test_one_seed_is_too_few(encoder, labels):
    with pytest.raises(InputError, match="got 1 seed, wanted at least two"):
        finetune(encoder, IsoCLRTokenizer(), labels, TrainingOptions(seeds=(1,)))


def test_frozen_scores_are_those_of_the_linear_probe(encoder, labels, found):
    rows, _ = tokenize(IsoCLRTokenizer(), labels.transcripts, 80)
    probe = Linear(encoder.embed(rows), least_spread=LEAST_SPREAD)
    for split, run in zip(
        make_splits(labels, seeds=SEEDS[:2]), found.results.of(FROZEN).values(), strict=True
    ):
        predicted = probe(fold_of(labels, split)).test
        r = np.corrcoef(predicted, labels.targets[split.test])[0, 1]
        assert run.scores["pearson"] == pytest.approx(r)


@pytest.mark.slow
def test_a_file_of_labels_and_a_model_folder(
    clade, groups_folder, model_folder, tmp_path, monkeypatch
):
    source = LabelSource(path=clade.half_life, label="half_life", isoform_groups=groups_folder)
    found = finetune_model(model_folder, source, tmp_path, OPTIONS)
    content = json.loads((tmp_path / "finetune.json").read_text())
    assert content["rows"] == found.results.rows
    assert (tmp_path / "finetune.png").stat().st_size > 10_000
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert model.config.id2label == {0: "half_life"}
    card = (tmp_path / "model" / "README.md").read_text()
    assert "What its head predicts" in card and "`half_life` (regression): a number" in card
    assert f", from {min(source.read().targets):.4g} to" in card
    assert found.results.table() in card
    assert "pipeline_tag: text-classification" in card and "no evaluation" not in card
    monkeypatch.chdir(tmp_path)
    code = re.search("```python\n(.*?)```", card, re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    assert names["predictions"].shape == (2, 1) and "  # (2, 1): half_life\n" in code
