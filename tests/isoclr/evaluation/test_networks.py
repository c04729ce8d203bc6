import numpy as np
import pytest
import torch

from data_builders.records import InputError, Transcript
from isoclr.evaluation.networks import Head, SalukiLike, seeded, tokenize
from modeling_isoclr import IsoCLRTokenizer
from toys import padded, random_tokens


def network(outputs=1):
    return seeded(lambda: SalukiLike(outputs, filters=8), 0)


def awake(model):
    """With biases and a head as training would leave them, so that padding could leak."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


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


def test_a_head_takes_over_a_linear_model_and_gives_it_back():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 4)) * [1, 100, 0.01, 1]
    features[:, 3] = 5  # constant
    weights, intercept = rng.normal(size=(4, 2)), rng.normal(size=2)
    head = Head(features, 2)
    head.start_from(weights, intercept)
    with torch.inference_mode():
        found = head(torch.from_numpy(features).float()).numpy()
    np.testing.assert_allclose(found, features @ weights + intercept, rtol=1e-4, atol=1e-4)
    back = head.on_raw_features()
    np.testing.assert_allclose(back["weight"], weights.T, rtol=1e-5)
    np.testing.assert_allclose(back["bias"], intercept, rtol=1e-4)


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
