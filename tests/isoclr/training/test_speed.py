"""What a run says of its time."""

import pytest

from isoclr.training import speed


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    return now


def test_shares_are_of_the_time_since_the_first_batch(clock):
    told = speed.Speed()
    assert told.summary() == "nothing left to train"
    assert list(told.waiting_for([])) == []

    def batches():
        for wait in (5, 1, 0):
            clock[0] += wait
            yield wait

    for _ in told.waiting_for(batches()):
        clock[0] += 2
        told.did({"points": 10, "padded": 16})
    with told.spending_on("evaluation"):
        clock[0] += 2
    with pytest.raises(ZeroDivisionError), told.spending_on("checkpoints"):
        clock[0] += 1
        raise ZeroDivisionError
    assert told.rates() == {
        "points_per_s": 3.0,
        "padding_share": 0.375,
        "waiting_share": 0.1,
        "evaluation_share": 0.2,
        "checkpoints_share": 0.1,
    }
    assert told.shown() == {"points/s": "3", "padding": "37.5%", "waiting": "10.0%"}
    assert told.summary().endswith(
        "waiting 10.0%, evaluation 20.0% (2.0 s), checkpoints 10.0% (1.0 s)"
    )
