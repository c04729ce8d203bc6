import numpy as np
import pytest
import torch

from data_builders.labels.base import MULTICLASS, MULTILABEL, REGRESSION, SURVIVAL, Labels
from data_builders.labels.splits import Split
from data_builders.records import InputError, Transcript
from isoclr.evaluation.compare import fold_of
from isoclr.evaluation.finetune import Saluki
from isoclr.evaluation.fit import fit, predict, predict_fold
from isoclr.evaluation.networks import SalukiLike, seeded, tokenize
from isoclr.evaluation.scores import score
from isoclr.evaluation.settings import FitSettings
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.tokenization_isoclr import pad_tokens

SHORT = FitSettings(evaluations=3, learning_rate=0.01)
ONE_EVALUATION = FitSettings(evaluations=1, evaluate_every=3)
TRAIN, VALIDATION, TEST = np.arange(40), np.arange(40, 50), np.arange(50, 60)


def changed(settings, **values):
    return settings.model_copy(update=values)


def fold(targets, task=REGRESSION, seed=0, train=TRAIN, validation=VALIDATION):
    classes = 3 if task in (MULTICLASS, MULTILABEL) else 0
    labels = Labels(label="y", task=task, targets=targets, classes=tuple("abc"[:classes]))
    return fold_of(labels, Split(train, validation, TEST, seed))


def network(outputs=1, seed=0):
    return seeded(lambda: SalukiLike(outputs, filters=8), seed)


def saluki(examples, settings, **options):
    rows, targets = examples
    return Saluki(rows, settings, progress=False)(fold(targets, **options)).test


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


@pytest.mark.slow
def test_planted_composition_is_learned_in_the_labels_units(examples):
    _, targets = examples
    settings = FitSettings(dropout=0.0, learning_rate=3e-3, evaluations=8)
    predicted = saluki(examples, settings, seed=1)
    assert predicted.shape == (10,)
    of_mean = ((targets[TEST] - targets[TRAIN].mean()) ** 2).mean()
    assert score(REGRESSION, predicted, targets[TEST])["mse"] < 0.5 * of_mean


def test_same_seed_same_bits_and_another_seed_others(examples):
    first, again, other = (saluki(examples, ONE_EVALUATION, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_head_norms_have_the_statistics_of_the_weights_that_are_kept(examples):
    rows, targets = examples
    settings = FitSettings(evaluations=2, learning_rate=0.1, dropout=0.0)
    model, _ = fit(network(), rows, fold(targets), settings, progress=False)
    kept = [norm.running_mean.clone() for norm in model.head_norms]
    for norm in model.train().head_norms:
        norm.reset_running_stats()
    model(torch.from_numpy(pad_tokens([rows[i] for i in TRAIN])))
    for norm, mean in zip(model.head_norms, kept, strict=True):
        torch.testing.assert_close(norm.running_mean, mean)


def test_batch_norm_wants_more_than_a_row(examples):
    settings = changed(ONE_EVALUATION, batch_size=2)
    with pytest.raises(InputError, match="batch_size: got 2, wanted at least 3"):
        saluki(examples, settings, train=TRAIN[:39])


def test_global_random_state_is_left_alone(examples):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    saluki(examples, ONE_EVALUATION)
    assert torch.equal(torch.rand(3), expected)


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
    y = x[:, 0].astype(np.float64)
    y[VALIDATION] *= -1
    settings = FitSettings(patience=3, evaluate_every=5, evaluations=20)

    def fitted(**values):
        model = Line(2)
        torch.nn.init.constant_(model.classifier.weight, start)
        torch.nn.init.zeros_(model.classifier.bias)
        return fit(model, x, fold(y), changed(settings, **values), progress=False)

    model, evaluations = fitted()
    assert [each.step for each in evaluations] == list(range(0, kept + 20, 5))
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
    rows, targets = examples
    found = []
    for budget in (1, 1 << 16):
        settings = changed(SHORT, tokens_per_batch=budget, dropout=0.0, evaluations=1)
        model, _ = fit(network(), rows, fold(targets), settings, progress=False)
        found.append(predict(model, rows, TEST))
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("task", [MULTICLASS, MULTILABEL])
def test_classes_are_learned(task):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    targets = x.argmax(1) if task == MULTICLASS else x > 0
    settings = FitSettings(learning_rate=0.1)
    model, _ = fit(Line(3, 3), x, fold(targets, task), settings, progress=False)
    assert min(score(task, predict(model, x, TEST), targets[TEST]).values()) > 0.85


@pytest.mark.parametrize(
    ("targets", "validation", "message"),
    [
        (np.ones(60), VALIDATION, "got one value for all of train"),
        (np.arange(60.0), VALIDATION[:0], "got no validation row"),
    ],
)
def test_labels_that_cannot_be_learned(targets, validation, message):
    with pytest.raises(InputError, match=message):
        x = np.zeros((60, 2), np.float32)
        fit(Line(2), x, fold(targets, validation=validation), SHORT, progress=False)


def test_the_learning_rate_warms_up():
    # Adam's first step has the size of the learning rate, whatever the gradient.
    x, y = np.eye(60, 2, dtype=np.float32), np.arange(60.0)
    moved = []
    for warm_up in (1, 4):
        model = Line(2)
        model.classifier.weight.data.zero_()
        before = model.classifier.bias.item()
        settings = FitSettings(
            learning_rate=0.01, warm_up=warm_up, batch_size=40, evaluate_every=1, evaluations=1
        )
        # Validation rows that the first step brings nearer.
        of_train = fold(y, validation=TRAIN)
        model, (first, last) = fit(model, x, of_train, settings, progress=False)
        assert last.validation_loss < first.validation_loss
        centre, scale = y[TRAIN].mean(), y[TRAIN].std()
        moved.append(abs((model.classifier.bias.item() - centre) / scale - before))
    assert moved[0] == pytest.approx(0.01, rel=0.01)
    assert moved[1] == pytest.approx(0.0025, rel=0.01)


def test_survival_is_learned_by_the_partial_likelihood_of_all_at_risk():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    times = np.exp(-2 * x[:, 0] + 0.3 * rng.normal(size=60))
    targets = np.column_stack([times, np.arange(60) % 3 > 0])
    of = fold(targets, task=SURVIVAL)
    settings = FitSettings(learning_rate=0.05, evaluations=10, tokens_per_batch=8)
    model, evaluations = fit(seeded(lambda: Line(4), 0), x, of, settings, progress=False)
    risk = predict_fold(model, x, of, 8).test
    assert score(SURVIVAL, risk, targets[TEST], None)["concordance"] > 0.8
    # The loss of the validation rows is of all of them at once, though eight numbers fill a batch.
    start = seeded(lambda: Line(4), 0)(torch.from_numpy(x[VALIDATION]))[:, 0].detach().numpy()
    terms = [
        np.log(np.exp(start[targets[VALIDATION, 0] >= time]).sum()) - own
        for own, (time, event) in zip(start, targets[VALIDATION], strict=True)
        if event
    ]
    assert evaluations[0].validation_loss == pytest.approx(np.mean(terms), rel=1e-5)
