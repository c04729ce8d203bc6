"""Learning rates over steps."""

import math
from typing import Literal

Schedule = Literal["cosine", "inverse_sqrt", "constant"]
_FINAL_RATE = 1e-8


def learning_rate(
    step: int,
    *,
    schedule: str,
    peak: float,
    steps: int,
    warmup_steps: int,
    cooldown_steps: int,
    steps_per_epoch: int,
) -> float:
    """Return the learning rate of a step, counted from 0.

    A linear warm-up, then

    - `cosine`: half a cosine down to zero;
    - `inverse_sqrt`: peak / √(1 + epochs since the warm-up), as IsoCLR (arXiv 2310.08738);
    - `constant`: the peak.

    Over the last `cooldown_steps` the rate is blended, linearly, into 1e-8.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    since = step - warmup_steps
    if schedule == "cosine":
        rate = peak * (1 + math.cos(math.pi * since / max(steps - warmup_steps, 1))) / 2
    elif schedule == "inverse_sqrt":
        rate = peak / math.sqrt(1 + since / steps_per_epoch)
    else:
        rate = peak
    left = steps - step
    if left > cooldown_steps:
        return rate
    share = left / (cooldown_steps + 1)
    return rate * share + _FINAL_RATE * (1 - share)
