"""What draws no global random numbers may run in a thread beside training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def none_drawn() -> Iterator[None]:
    """Assert that torch's global generator is left where it was, and not seeded anew."""
    torch.manual_seed(1)
    torch.rand(3)
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)
