import math

import pytest

from isoclr.training.schedule import learning_rate


def rate(step, schedule="constant", warmup_steps=0, cooldown_steps=0, steps=1000):
    return learning_rate(
        step,
        schedule=schedule,
        peak=2.0,
        steps=steps,
        warmup_steps=warmup_steps,
        cooldown_steps=cooldown_steps,
        steps_per_epoch=10,
    )


@pytest.mark.parametrize("schedule", ["cosine", "inverse_sqrt", "constant"])
def test_the_warm_up_is_linear_and_ends_at_the_peak(schedule):
    assert [rate(s, schedule, warmup_steps=4) for s in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]


def test_half_a_cosine_falls_to_zero():
    assert rate(550, "cosine", warmup_steps=100) == pytest.approx(1.0)
    assert rate(999, "cosine", warmup_steps=100) == pytest.approx(0.0, abs=1e-5)


def test_the_papers_schedule_by_epochs():
    # peak / √(epoch − 9) after ten epochs of warm-up (IsoCLR).
    for epoch in (10, 13, 58, 90):
        expected = 2.0 / math.sqrt(epoch - 9)
        assert rate(epoch * 10, "inverse_sqrt", warmup_steps=100) == pytest.approx(expected)


def test_the_last_stretch_blends_into_almost_nothing():
    rates = [rate(step, cooldown_steps=9, steps=100) for step in range(88, 100)]
    assert rates[:3] == [2.0, 2.0, 2.0]
    assert rates[3:] == pytest.approx([2 * (9 - i) / 10 for i in range(9)], abs=1e-7)
    assert rate(100, cooldown_steps=9, steps=100) == 1e-8
