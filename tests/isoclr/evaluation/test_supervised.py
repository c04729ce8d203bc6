from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_builders.records import InputError, Transcript
from isoclr.evaluation.supervised import (
    DEFAULTS,
    MULTI,
    REGRESSION,
    SINGLE,
    FitSettings,
    SalukiLike,
    fit,
    fit_and_predict,
    predict,
    read_settings,
    scores,
    seeded,
    tokenize,
)
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.tokenization_isoclr import pad_tokens
from toys import padded, random_tokens

RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "finetune" / "isoclr.yaml"
SHORT = FitSettings(evaluations=3, learning_rate=0.01)
ONE_LOOK = FitSettings(evaluations=1, evaluate_every=3)
TRAIN, VALIDATION, TEST = np.arange(40), np.arange(40, 50), np.arange(50, 60)


def network(outputs=1, seed=0):
    return seeded(lambda: SalukiLike(outputs, filters=8), seed)


def awake(model):
    """With biases and a head as training would leave them, so that padding could leak."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def examples():
    """Tokens of sixty short transcripts, and their content of G and C in odd units."""
    rng = np.random.default_rng(0)
    transcripts = []
    for i in range(60):
        gc = rng.uniform(0.2, 0.8)
        letters = rng.choice(
            list("ACGT"), rng.integers(70, 140), p=np.array([1 - gc, gc, gc, 1 - gc]) / 2
        )
        transcripts.append(Transcript(f"t{i}", f"g{i}", "s", "".join(letters)))
    gc = [sum(map(t.sequence.count, "GC")) / len(t.sequence) for t in transcripts]
    rows, _ = tokenize(IsoCLRTokenizer(), transcripts)
    return rows, 500 + 20 * np.array(gc)


@pytest.mark.parametrize("lengths", [(64, 63, 1), (200, 65, 129), (5, 320, 64)])
def test_saluki_like_ignores_padding_and_its_batch(lengths):
    model = awake(network(outputs=2))
    rows = random_tokens(*lengths)
    with torch.inference_mode():
        alone = torch.cat([model(row[None]) for row in rows])
        for length in (max(lengths), 321, 640):
            torch.testing.assert_close(model(padded(rows, max(length, 320))), alone)
    assert (alone - alone.mean(0)).abs().min() > 1e-4  # it does see the transcripts


def test_saluki_like_sees_marks_and_reads_both_ends():
    model = awake(network())
    row = random_tokens(200)[0][None]
    with torch.inference_mode():
        before = model(row)
        for position in (0, 100, 199):
            changed = row.clone()
            changed[0, position] ^= 8
            assert not torch.equal(model(changed), before)


@pytest.mark.slow
def test_planted_composition_is_learned_in_the_labels_units(examples):
    _, targets = examples
    settings = FitSettings(dropout=0.0, learning_rate=3e-3, evaluations=8)
    predicted = fit_and_predict(
        *examples, TRAIN, VALIDATION, TEST, 1, settings=settings, progress=False
    )
    assert predicted.shape == (10,)
    of_mean = ((targets[TEST] - targets[TRAIN].mean()) ** 2).mean()
    assert scores(REGRESSION, predicted, targets[TEST])["mse"] < 0.5 * of_mean


def test_same_seed_same_bits_and_another_seed_others(examples):
    options = {"settings": ONE_LOOK, "progress": False}
    first, again, other = (
        fit_and_predict(*examples, TRAIN, VALIDATION, TEST, seed, **options) for seed in (1, 1, 2)
    )
    assert (first == again).all() and (first != other).any()


def test_head_norms_have_the_statistics_of_the_weights_that_are_kept(examples):
    rows, targets = examples
    settings = FitSettings(evaluations=2, learning_rate=0.1, dropout=0.0)
    known = rows, targets[:, None], TRAIN, VALIDATION
    model, _ = fit(network(), *known, settings=settings, progress=False)
    kept = [norm.running_mean.clone() for norm in model.head_norms]
    for norm in model.train().head_norms:
        norm.reset_running_stats()
    model(torch.from_numpy(pad_tokens([rows[i] for i in TRAIN])))
    for norm, mean in zip(model.head_norms, kept, strict=True):
        torch.testing.assert_close(norm.running_mean, mean)


def test_batch_norm_wants_more_than_a_row(examples):
    settings = replace(ONE_LOOK, batch_size=2)
    with pytest.raises(InputError, match="batch_size: got 2, wanted at least 3"):
        fit_and_predict(*examples, TRAIN[:39], VALIDATION, TEST, settings=settings)


def test_global_random_state_is_left_alone(examples):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_and_predict(*examples, TRAIN, VALIDATION, TEST, settings=ONE_LOOK, progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_test_rows_do_not_matter(examples):
    rows, targets = examples
    spoilt = targets.copy()
    spoilt[TEST] = 1e9
    options = {"settings": ONE_LOOK, "progress": False}
    honest = fit_and_predict(rows, targets, TRAIN, VALIDATION, TEST, **options)
    assert (fit_and_predict(rows, spoilt, TRAIN, VALIDATION, TEST, **options) == honest).all()


class Line(torch.nn.Module):
    def __init__(self, width, outputs=1):
        super().__init__()
        self.classifier = torch.nn.Linear(width, outputs)

    def forward(self, x):
        return self.classifier(x)


@pytest.mark.parametrize(("start", "kept"), [(0.1, 0), (0.0, 5)])
def test_best_weights_are_kept_and_training_stops(start, kept):
    # Validation labels contradict train: every step makes it worse. A head of zeros, which knows
    # nothing yet, is not kept.
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    y = x[:, :1].astype(np.float64)
    y[VALIDATION] *= -1
    settings = FitSettings(patience=3, evaluate_every=5, evaluations=20)

    def fitted(**changed):
        model = Line(2)
        torch.nn.init.constant_(model.classifier.weight, start)
        torch.nn.init.zeros_(model.classifier.bias)
        options = {"settings": replace(settings, **changed), "progress": False}
        return fit(model, x, y, TRAIN, VALIDATION, **options)

    model, evaluations = fitted()
    assert [look.step for look in evaluations] == list(range(0, kept + 20, 5))
    assert (
        evaluations[0].train_loss is None and evaluations[3].train_loss < evaluations[1].train_loss
    )
    predicted = predict(model, x, TEST)
    if kept:
        assert (predicted == predict(fitted(evaluations=1)[0], x, TEST)).all()
    else:
        expected = y[TRAIN].mean() + y[TRAIN].std() * 0.1 * x[TEST].sum(1, keepdims=True)
        assert predicted == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(examples):
    rows, targets = examples[0], examples[1][:, None]
    found = []
    for budget in (1, 1 << 16):
        settings = replace(SHORT, tokens_per_batch=budget, dropout=0.0, evaluations=1)
        model = seeded(lambda: SalukiLike(1, 0.0, 8), 0)
        model, evaluations = fit(
            model, rows, targets, TRAIN, VALIDATION, settings=settings, progress=False
        )
        found.append(predict(model, rows, TEST))
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("problem", [SINGLE, MULTI])
def test_classes_are_learned(problem):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    targets = x.argmax(1) if problem == SINGLE else x > 0
    settings = FitSettings(learning_rate=0.1)
    model, _ = fit(
        Line(3, 3),
        x,
        targets,
        TRAIN,
        VALIDATION,
        problem=problem,
        settings=settings,
        progress=False,
    )
    assert min(scores(problem, predict(model, x, TEST), targets[TEST]).values()) > 0.85


def test_scores_by_hand():
    chosen = np.eye(3)[[0, 0, 1, 1]]
    found = scores(SINGLE, chosen, np.array([0, 0, 0, 1]))
    assert found == pytest.approx({"accuracy": 0.75, "balanced accuracy": (2 / 3 + 1) / 2})
    logits = np.array([[3.0, 0.0], [1.0, 2.0]])
    found = scores(MULTI, logits, np.array([[True, False], [False, True]]))
    assert found == {"auroc": 1.0, "auprc": 1.0}
    found = scores(REGRESSION, np.full((3, 1), 2.0), np.array([[1.0], [2.0], [3.0]]))
    assert found == pytest.approx({"pearson": 0, "spearman": 0, "mse": 2 / 3})


def test_long_transcripts_are_cropped_around_their_cds_and_counted():
    short = Transcript("a", "a", "s", "ACGT" * 10)
    long = Transcript("b", "b", "s", "A" * 80 + "G" * 20 + "A" * 20, 81, 99, (90,))
    rows, cropped = tokenize(IsoCLRTokenizer(), [short, long], max_length=40)
    assert cropped == 1 and [len(row) for row in rows] == [40, 40]
    whole, none = tokenize(IsoCLRTokenizer(), [short, long])
    assert none == 0
    assert (rows[1] == whole[1][70:110]).all() and rows[1].dtype == np.uint8


def test_a_bad_letter_is_named():
    with pytest.raises(InputError, match="bad: got letter 'X' at position 1"):
        tokenize(IsoCLRTokenizer(), [Transcript("bad", "g", "s", "AXA")])


@pytest.mark.parametrize(
    ("targets", "validation", "message"),
    [
        (np.ones((60, 1)), VALIDATION, "got one value for all of train"),
        (np.arange(60.0)[:, None], VALIDATION[:0], "got no validation row"),
    ],
)
def test_labels_that_cannot_be_learned(targets, validation, message):
    with pytest.raises(InputError, match=message):
        fit(Line(2), np.zeros((60, 2), np.float32), targets, TRAIN, validation, progress=False)


def test_the_learning_rate_warms_up():
    # Adam's first step has the size of the learning rate, whatever the gradient.
    x, y = np.eye(60, 2, dtype=np.float32), np.arange(60.0)[:, None]
    moved = []
    for warm_up in (1, 4):
        model = Line(2)
        model.classifier.weight.data.zero_()
        before = model.classifier.bias.item()
        settings = FitSettings(
            learning_rate=0.01, warm_up=warm_up, batch_size=40, evaluate_every=1, evaluations=1
        )
        # Validation rows that the first step brings nearer.
        model, (first, last) = fit(model, x, y, TRAIN, TRAIN, settings=settings, progress=False)
        assert last.validation_loss < first.validation_loss
        centre, scale = y[TRAIN].mean(), y[TRAIN].std()
        moved.append(abs((model.classifier.bias.item() - centre) / scale - before))
    assert moved[0] == pytest.approx(0.01, rel=0.01)
    assert moved[1] == pytest.approx(0.0025, rel=0.01)


def test_the_recipe_has_the_papers_dropout_and_names_every_setting():
    settings = read_settings(RECIPE)
    assert settings.from_scratch == FitSettings()
    assert settings.fine_tuned == replace(settings.from_scratch, learning_rate=3e-5)
    assert settings.fine_tuned.dropout == 0.3
    assert all(f"  {name}:" in RECIPE.read_text() for name in vars(FitSettings()))


def test_settings_that_a_file_leaves_out_are_the_defaults(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("fine_tuned: {patience: 2}")
    fine_tuned = replace(DEFAULTS.fine_tuned, patience=2)
    assert read_settings(path) == replace(DEFAULTS, fine_tuned=fine_tuned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frozen: {}", "s.yaml: frozen: unknown key; known: from_scratch, fine_tuned, saluki_like"),
        ("fine_tuned: {dropuot: 0.1}", "s.yaml: fine_tuned: dropuot: unknown key; known: dropout"),
        ("fine_tuned: {dropout: 1}", "s.yaml: fine_tuned: dropout: got 1, wanted less than 1"),
        ("from_scratch: {patience: 0}", "from_scratch: patience: got 0, wanted a whole number"),
        ("from_scratch: {learning_rate: fast}", "learning_rate: got 'fast', wanted a number"),
        ("from_scratch: 1", "s.yaml: from_scratch: got int, wanted keys and values"),
        ("[1]", "s.yaml: got list, wanted keys and values"),
        ("a: [", "s.yaml: not YAML"),
    ],
)
def test_bad_settings_are_named(tmp_path, text, message):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_settings(path)


def test_settings_of_the_wrong_type():
    with pytest.raises(InputError, match="batch_size: got True"):
        FitSettings(batch_size=True)
