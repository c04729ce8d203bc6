import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForSequenceClassification

from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, homology_split, random_split
from data_builders.records import InputError, Transcript
from isoclr.evaluation import finetune as module
from isoclr.evaluation.finetune import (
    FINE_TUNED,
    FROZEN,
    SCRATCH,
    Head,
    Network,
    embed_rows,
    finetune,
    finetune_model,
    frozen_head,
    network_to_save,
    plot_finetuning,
    problem_of,
    split_rows,
    train_network,
)
from isoclr.evaluation.linear import ALPHAS, score_numbers
from isoclr.evaluation.supervised import (
    DEFAULTS,
    MULTI,
    REGRESSION,
    SINGLE,
    FitSettings,
    Settings,
    predict,
    tokenize,
)
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny

QUICK = FitSettings(dropout=0.0, evaluations=2, evaluate_every=2, batch_size=32)
SETTINGS = Settings(QUICK, replace(QUICK, learning_rate=1e-4))
TRAIN, VALIDATION, TEST = np.arange(60), np.arange(60, 75), np.arange(75, 100)
OPTIONS = {"problem": REGRESSION, "settings": SETTINGS, "seed": 0, "progress": False}


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
    return LabelSet("gc", tuple(transcripts), targets, groups, Counter())


@pytest.fixture(scope="module")
def classes(labels):
    """The same by halves and thirds of the label, as several classes or as one of three."""
    thirds = np.digitize(labels.targets, np.quantile(labels.targets, (1 / 3, 2 / 3)))
    names = ("low", "middle", "high")
    return replace(labels, label="third", targets=np.eye(3, dtype=bool)[thirds], classes=names)


@pytest.fixture(scope="module")
def rows(labels):
    return tokenize(IsoCLRTokenizer(), labels.transcripts)[0]


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def result(encoder, labels):
    before = bits(encoder)
    found = finetune(
        encoder,
        IsoCLRTokenizer(),
        labels,
        seeds=SEEDS[:2],
        settings=SETTINGS,
        max_length=80,
        progress=False,
    )
    assert same(bits(encoder), before)
    return found


def test_the_frozen_head_is_the_ridge_of_the_probe(encoder, labels, rows):
    embeddings = encoder.embed(rows)
    targets = labels.targets[:, None]
    before = bits(encoder)
    head = frozen_head(embeddings, targets, TRAIN, VALIDATION, **OPTIONS)
    assert same(bits(encoder), before)
    scaler = StandardScaler().fit(embeddings[TRAIN].astype(np.float64))
    wide = scaler.scale_ > 0.1 * np.median(scaler.scale_)
    assert wide.all()  # no floor in the way
    ridge = RidgeCV(ALPHAS).fit(scaler.transform(embeddings[TRAIN]), labels.targets[TRAIN])
    expected = ridge.predict(scaler.transform(embeddings[TEST]))
    found = predict(head, embeddings, TEST)[:, 0] * labels.targets[TRAIN].std()
    np.testing.assert_allclose(found + labels.targets[TRAIN].mean(), expected, rtol=1e-4)


def test_a_channel_silent_in_train_decides_nothing():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 5)).astype(np.float32)
    targets = features[:, :1].astype(np.float64)
    silent = 1e-6 * rng.normal(size=(100, 1)).astype(np.float32)
    silent[TEST[0]] = 1.0  # a million of its standard deviations in train
    features = np.hstack([features, silent, np.zeros_like(silent)])
    head = frozen_head(features, targets, TRAIN, VALIDATION, **OPTIONS)
    predicted = predict(head, features, TEST)[:, 0]
    assert np.corrcoef(predicted, targets[TEST, 0])[0, 1] > 0.99


def test_features_that_do_not_vary_predict_the_mean(labels):
    constant = np.ones((100, 3), np.float32)
    head = frozen_head(constant, labels.targets[:, None], TRAIN, VALIDATION, **OPTIONS)
    assert predict(head, constant, TEST) == pytest.approx(np.zeros((25, 1)), abs=1e-6)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_fine_tuning_begins_at_the_frozen_head(norm, labels, rows):
    encoder = encoder_of(norm=norm)
    embeddings = encoder.embed(rows)
    targets = labels.targets[:, None]
    head = frozen_head(embeddings, targets, TRAIN, VALIDATION, **OPTIONS)
    head_before, encoder_before = bits(head), bits(encoder)
    # Stopped by train: the last weights are the best.
    network, evaluations = train_network(encoder, head, rows, targets, TRAIN, TRAIN, **OPTIONS)
    assert same(bits(head), head_before) and same(bits(encoder), encoder_before)
    centre, scale = targets[TRAIN].mean(), targets[TRAIN].std()
    error = predict(head, embeddings, TRAIN) - (targets[TRAIN] - centre) / scale
    assert evaluations[0].validation_loss == pytest.approx((error**2).mean(), rel=1e-4)
    moved = {
        name: not torch.equal(tensor, encoder_before[name])
        for name, tensor in bits(network.encoder).items()
        if "running" not in name and "table" not in name
    }
    assert all(moved.values())  # every weight learns


def test_batch_norms_keep_what_they_learned_before(labels, rows):
    encoder = encoder_of(norm="batch")
    for name, buffer in encoder.named_buffers():
        if "running" in name:
            buffer.add_(0.1)
    targets = labels.targets[:, None]
    head = frozen_head(encoder.embed(rows), targets, TRAIN, VALIDATION, **OPTIONS)
    kept, changed = (
        bits(train_network(encoder, start, rows, targets, TRAIN, VALIDATION, **OPTIONS)[0].encoder)
        for start in (head, None)
    )
    before = bits(encoder)
    statistics = [name for name in before if "running" in name]
    assert statistics and all(torch.equal(kept[name], before[name]) for name in statistics)
    assert not any(torch.equal(changed[name], before[name]) for name in statistics)


def test_early_stopping_restores_the_best_weights(encoder, labels, rows):
    targets = labels.targets[:, None].copy()
    head = frozen_head(encoder.embed(rows), targets, TRAIN, VALIDATION, **OPTIONS)
    wild = replace(SETTINGS, fine_tuned=replace(QUICK, learning_rate=10.0, patience=1))
    options = {**OPTIONS, "settings": wild}
    network, evaluations = train_network(encoder, head, rows, targets, TRAIN, VALIDATION, **options)
    assert len(evaluations) == 2 and evaluations[1].validation_loss > evaluations[0].validation_loss
    assert same(bits(network.encoder), bits(encoder))


def test_from_scratch_is_the_same_shape_with_other_weights(encoder, labels, rows):
    targets = labels.targets[:, None]
    config = encoder.config.to_dict()
    head = frozen_head(encoder.embed(rows), targets, TRAIN, VALIDATION, **OPTIONS)
    tuned, scratch, other_seed = (
        train_network(encoder, start, rows, targets, TRAIN, VALIDATION, **{**OPTIONS, "seed": seed})
        for start, seed in ((head, 1), (None, 1), (None, 2))
    )
    shapes = [{n: t.shape for n, t in bits(network).items()} for network, _ in (tuned, scratch)]
    assert shapes[0] == shapes[1]
    assert scratch[1][0].validation_loss == other_seed[1][0].validation_loss  # of the mean
    first = bits(encoder)["encoder.stem.weight"]
    stems = [first, *(bits(n.encoder)["encoder.stem.weight"] for n, _ in (scratch, other_seed))]
    assert min((a - b).abs().max() for a in stems for b in stems if a is not b) > 0.1
    assert encoder.config.to_dict() == config


def test_same_seed_same_scores(encoder, labels, result):
    again, _ = finetune(
        encoder,
        IsoCLRTokenizer(),
        labels,
        seeds=SEEDS[:2],
        settings=SETTINGS,
        max_length=80,
        progress=False,
    )
    assert again == result[0]
    assert again.scores[SCRATCH]["mse"][0] != again.scores[SCRATCH]["mse"][1]


def test_the_result_says_what_was_done(labels, result, tmp_path):
    found, _ = result
    cropped = sum(len(t.sequence) > 80 for t in labels.transcripts)
    assert (found.rows, found.groups, found.problem) == (100, 50, REGRESSION)
    assert found.cropped == cropped > 0
    assert list(found.scores) == [FROZEN, FINE_TUNED, SCRATCH]
    assert found.metrics == ("pearson", "spearman", "mse")
    r = found.scores[FROZEN]["pearson"]
    gain, _, p = found.gain(FROZEN)
    assert gain == pytest.approx(np.mean(r) - np.mean(found.scores[SCRATCH]["pearson"]))
    assert 0 <= p <= 1
    assert [look.step for look in found.evaluations[SCRATCH][0]] == [0, 3, 6]
    head, columns, *lines = found.table().splitlines()
    assert head == (
        f"gc: 100 transcripts, {cropped} cropped to 80 nt, 50 homology groups, homology split, "
        "2 seeds"
    )
    assert [line.split("  ")[0] for line in lines] == [FROZEN, FINE_TUNED, SCRATCH]
    assert f"{np.mean(r):.3f} ± " in lines[0]
    found.to_json(tmp_path / "f.json")
    content = json.loads((tmp_path / "f.json").read_text())
    assert content["summary"][FROZEN]["pearson"][0] == pytest.approx(np.mean(r))
    assert content["settings"]["fine_tuned"]["learning_rate"] == 1e-4
    plot_finetuning(found, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_all_is_embedded_once_and_test_predicted_once(encoder, labels, monkeypatch):
    embedded, predicted = [], []

    def counting_embed(encoder, rows, *arguments, **options):
        embedded.append(len(rows))
        return embed_rows(encoder, rows, *arguments, **options)

    def counting_predict(model, rows, chosen, *arguments):
        predicted.append((type(model), len(chosen)))
        return predict(model, rows, chosen, *arguments)

    monkeypatch.setattr(module, "embed_rows", counting_embed)
    monkeypatch.setattr(module, "predict", counting_predict)
    options = {"seeds": SEEDS[:2], "settings": SETTINGS, "progress": False}
    finetune(encoder, IsoCLRTokenizer(), labels, **options)
    sides = [homology_split(labels.groups, seed) for seed in SEEDS[:2]]
    # Once all; from scratch the train rows, for their standard units.
    assert embedded == [100, *(len(train) for train, *_ in sides)]
    assert predicted == [
        (kind, len(test)) for *_, test in sides for kind in (Head, Network, Network)
    ]


def test_a_saved_network_predicts_the_same_in_the_labels_units(encoder, labels, rows, tmp_path):
    targets = labels.targets[:, None]
    head = frozen_head(encoder.embed(rows), targets, TRAIN, VALIDATION, **OPTIONS)
    network, _ = train_network(encoder, head, rows, targets, TRAIN, VALIDATION, **OPTIONS)
    expected = predict(network, rows, TEST)
    network_to_save(network, labels, REGRESSION).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.id2label == {0: "gc"}
    with torch.inference_mode():
        found = [loaded(torch.from_numpy(rows[row])[None].long()).logits[0, 0] for row in TEST]
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5)
    assert abs(expected.mean() - targets.mean()) < 5


@pytest.mark.slow
@pytest.mark.parametrize("single", [True, False])
def test_classes(single, encoder, classes):
    eager = replace(QUICK, learning_rate=0.05, evaluations=8)
    found, model = finetune(
        encoder,
        IsoCLRTokenizer(),
        classes,
        seeds=SEEDS[:2],
        split="random",
        single_label=single,
        settings=Settings(eager, SETTINGS.fine_tuned),
        progress=False,
    )
    assert found.problem == (SINGLE if single else MULTI)
    assert found.metrics == (("accuracy", "balanced accuracy") if single else ("auroc", "auprc"))
    assert np.mean(found.scores[FROZEN][found.metrics[0]]) > (0.5 if single else 0.7)
    assert model.config.id2label == {0: "low", 1: "middle", 2: "high"}
    assert model.config.problem_type == found.problem


def test_problems(labels, classes):
    targets, problem = problem_of(labels)
    assert problem == REGRESSION and targets.shape == (100, 1)
    targets, problem = problem_of(classes, single_label=True)
    assert problem == SINGLE and (classes.targets[range(100), targets]).all()
    with pytest.raises(InputError, match="gc: got numbers, wanted one class a transcript"):
        problem_of(labels, single_label=True)
    both = classes.targets.copy()
    both[3] = True
    with pytest.raises(InputError, match="third: transcript 't3': got 3 classes, wanted exactly"):
        problem_of(replace(classes, targets=both), single_label=True)


def test_splits_are_those_of_the_probe(labels):
    for split, expected in (
        ("homology", homology_split(labels.groups, 3)),
        ("random", random_split(100, 3)),
    ):
        found = split_rows(labels, split, 3)
        assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_one_seed_is_too_few(encoder, labels):
    with pytest.raises(InputError, match="got 1 seeds, wanted at least two"):
        finetune(encoder, IsoCLRTokenizer(), labels, seeds=(1,))


def test_frozen_scores_are_of_test_in_the_labels_units(encoder, labels, result):
    rows, _ = tokenize(IsoCLRTokenizer(), labels.transcripts, 80)
    embeddings = encoder.embed(rows)
    train, validation, test = homology_split(labels.groups, SEEDS[0])
    head = frozen_head(
        embeddings, labels.targets[:, None], train, validation, **{**OPTIONS, "seed": SEEDS[0]}
    )
    known = labels.targets[train]
    predicted = predict(head, embeddings, test)[:, 0] * known.std() + known.mean()
    expected = score_numbers(predicted, labels.targets[test])
    found = [values[0] for values in result[0].scores[FROZEN].values()]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_file_of_labels_and_a_model_folder(clade, groups_folder, model_folder, tmp_path):
    found = finetune_model(
        model_folder,
        clade.half_life,
        "half_life",
        tmp_path,
        isoform_groups=groups_folder,
        seeds=SEEDS[:2],
        settings=SETTINGS,
        progress=False,
    )
    assert json.loads((tmp_path / "finetune.json").read_text())["rows"] == found.rows
    assert (tmp_path / "finetune.png").stat().st_size > 10_000
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert model.config.id2label == {0: "half_life"}


def test_defaults_change_a_trained_encoder_gently():
    assert DEFAULTS.fine_tuned.dropout == 0
    assert DEFAULTS.fine_tuned.learning_rate < DEFAULTS.from_scratch.learning_rate / 10
