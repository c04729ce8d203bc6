"""Throughput of a run, and the time that goes elsewhere."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

_PADDED = "padded"
B = TypeVar("B")


class Speed:
    """Counts what was trained on from the first batch to the last."""

    def __init__(self):
        self.began: float | None = None
        self.ended: float | None = None
        self.waited = 0.0
        self.spent = {"evaluation": 0.0, "checkpoints": 0.0}
        self.totals = Counter()

    def waiting_for(self, batches: Iterable[B]) -> Iterator[B]:
        """Yield the batches and time the waits for them, except for the first one."""
        iterator = iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            if batch is None:
                return
            if self.began is None:
                self.began = time.perf_counter()
            else:
                self.waited += time.perf_counter() - asked
            yield batch

    def did(self, sizes: Mapping[str, int]) -> None:
        """Count a batch that was learned from, by its `sizes` (see `isoclr.objectives.base`)."""
        self.totals.update(sizes)
        self.ended = time.perf_counter()

    @contextlib.contextmanager
    def spending_on(self, what: str) -> Iterator[None]:
        """Time what keeps the run from training: `evaluation` or `checkpoints`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.ended = time.perf_counter()
            self.spent[what] += self.ended - began

    def rates(self) -> dict[str, float]:
        """Return rates per second over all processes, and shares.

        `padding_share` is of what is encoded; `waiting_share`, `evaluation_share` and
        `checkpoints_share` are of the time since the first batch came.
        """
        if self.began is None or self.ended is None:
            return {}
        seconds = self.ended - self.began
        useful = {name: total for name, total in self.totals.items() if name != _PADDED}
        rates = {f"{name}_per_s": total / seconds for name, total in useful.items()}
        if self.totals[_PADDED]:
            rates["padding_share"] = 1 - max(useful.values()) / self.totals[_PADDED]
        spent = {"waiting": self.waited, **self.spent}
        return rates | {f"{what}_share": value / seconds for what, value in spent.items()}

    def shown(self) -> dict[str, str]:
        """Return what a progress bar shows."""
        shown = {
            name.replace("_per_s", "/s").replace("_share", ""): (
                f"{value:.1%}" if name.endswith("_share") else f"{value:,.0f}"
            )
            for name, value in self.rates().items()
        }
        return {name: value for name, value in shown.items() if name not in self.spent}

    def summary(self) -> str:
        """Return the rates in one line, and what evaluation and checkpoints took."""
        shown, rates = self.shown(), self.rates()
        if not shown:
            return "nothing left to train"
        for what, seconds in self.spent.items():
            shown[what] = f"{rates[f'{what}_share']:.1%} ({seconds:.1f} s)"
        return ", ".join(f"{name} {value}" for name, value in shown.items())
