"""How fast a run goes, and what it waits for."""

import time
from collections.abc import Iterable, Iterator

from isoclr.objectives.isoforms.pairs import PairBatch


class Speed:
    """Counts what went through from the first batch to the last; nothing of it decides anything."""

    def __init__(self):
        self.began = self.ended = None
        self.waited = 0.0
        self.transcripts = self.nucleotides = self.encoded = 0

    def waiting_for(self, batches: Iterable[PairBatch]) -> Iterator[PairBatch]:
        """The batches, their time of arrival noted; the first one's wait does not count."""
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

    def did(self, batch: PairBatch) -> None:
        """Count a batch that was learned from."""
        self.transcripts += len(batch.order)
        self.nucleotides += batch.nucleotides
        self.encoded += batch.encoded
        self.ended = time.perf_counter()

    def rates(self) -> dict[str, float]:
        """Per second over all processes; the shares of padding and of waiting for data."""
        if not self.encoded:
            return {}
        seconds = self.ended - self.began
        return {
            "transcripts_per_s": self.transcripts / seconds,
            "nucleotides_per_s": self.nucleotides / seconds,
            "padding_share": 1 - self.nucleotides / self.encoded,
            "waiting_share": self.waited / seconds,
        }

    def shown(self, record: dict) -> dict[str, str]:
        """What a progress bar says."""
        rates = self.rates()
        return {
            "loss": f"{record['loss']:.3f}",
            "accuracy": f"{record['accuracy']:.2f}",
            "transcripts/s": f"{rates['transcripts_per_s']:.0f}",
            "knt/s": f"{rates['nucleotides_per_s'] / 1e3:.0f}",
            "padding": f"{record['padding']:.1%}",
        }

    def summary(self) -> str:
        """One line."""
        rates = self.rates()
        if not rates:
            return "nothing left to train"
        return (
            f"{rates['transcripts_per_s']:.1f} transcripts/s, "
            f"{rates['nucleotides_per_s']:,.0f} nt/s, {rates['padding_share']:.1%} padding, "
            f"{rates['waiting_share']:.1%} of the time waiting for data"
        )
