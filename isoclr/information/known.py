"""Bounds where the truth is known: simulated channels, their best critic, and a permuted control.

`measure` takes the critic as a function of letters, so that a trained one joins the same table.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from data_builders.records import InputError
from data_builders.simulate.homologs import Channel, substitution_model
from isoclr.bounds import (
    Estimate,
    calibrate,
    estimate,
    info_nce,
    nwj,
    permuted,
)
from isoclr.statistics import aligned

Critic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Scores (m, n) of letters (m, sites) with letters (n, sites)."""

BATCH_SIZES = (16, 64, 256, 1024)
BATCHES = 20
OPTIMAL = "optimal"
"""The name of the best critic, whose scores are log density ratios."""

_CALIBRATION_PAIRS, _CALIBRATION_BATCHES = 512, 4
_MOST_ERROR = 1.0  # nats, of an estimate of NWJ that is shown
_LEAST_STRANGERS, _MOST_STRANGERS = 0.5, 2.0


@dataclass(frozen=True)
class Bounds:
    """What one critic finds in one channel with one batch size, in nats.

    Attributes:
        info_nce: of the pairs as they are.
        permuted: InfoNCE of pairs that do not belong together.
        nwj: of the same critic; of one that is trained, calibrated on other batches.
        strangers: mean of exp(score) over strangers, as NWJ takes it. Its expectation is 1; where
            it is far from 1, the few strangers that decide it were not drawn.
    """

    info_nce: Estimate
    permuted: Estimate
    nwj: Estimate
    strangers: float


@dataclass(frozen=True)
class Cell:
    """A channel, a batch size, and what critics find.

    Attributes:
        sites: of the channel.
        distance: of the channel.
        exact: mutual information, in nats.
        batch_size: pairs a batch.
        bounds: by the name of the critic; `optimal` is always there.
        published: InfoNCE of the optimal critic in the literature, where it is known.
    """

    sites: int
    distance: float
    exact: float
    batch_size: int
    bounds: dict[str, Bounds]
    published: float | None = None

    @property
    def log_n(self) -> float:
        """What InfoNCE can never exceed."""
        return float(np.log(self.batch_size))

    @property
    def trusted(self) -> bool:
        """Whether the information is 3 nats below log N, or more."""
        return self.exact <= self.log_n - 3

    def efficiency(self, critic: str) -> float:
        """Return InfoNCE of a critic as a share of that of the optimal one."""
        return self.bounds[critic].info_nce.mean / self.bounds[OPTIMAL].info_nce.mean


# InfoNCE of the optimal critic under JC69 with all sites alike: by sites and distance, then batch.
PUBLISHED = {
    (8, 0.5): (1.87, 2.28, 2.47, 2.65),
    (20, 1.0): (1.37, 1.65, 1.75, 1.81),
    (20, 0.5): (2.62, 3.75, 4.69, 5.43),
    (100, 1.0): (2.68, 4.03, 5.21, 6.27),
    (100, 0.5): (2.77, 4.16, 5.55, 6.93),
    (100, 2.0): (0.49, 0.71, 0.69, 0.70),
}
PUBLISHED_BATCHES = 4


def measure(
    channel: Channel,
    critics: dict[str, Critic],
    batch_size: int,
    *,
    batches: int = BATCHES,
    seed: int = 0,
) -> dict[str, Bounds]:
    """Measure critics on the same simulated pairs, at least 2 a batch.

    The critic named `optimal` is not calibrated for NWJ; batches that NWJ is calibrated on come on
    top of those that are reported.
    """
    if batch_size < 2:
        raise InputError(f"batch size: got {batch_size}, wanted at least 2")
    spare = max(_CALIBRATION_PAIRS // batch_size, _CALIBRATION_BATCHES)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in critics}
    rng = np.random.default_rng([seed, batch_size, len(channel.rates)])
    for _ in range(spare + batches):
        first, second = channel.draw(batch_size, rng)
        for name, critic in critics.items():
            drawn[name].append(critic(first, second))
    return {
        name: bounds(scores[spare:], None if name == OPTIMAL else scores[:spare], seed=seed)
        for name, scores in drawn.items()
    }


def bounds(
    scores: Sequence[np.ndarray],
    calibration: Sequence[np.ndarray] | None = None,
    *,
    seed: int = 0,
    rows_alone: bool = False,
) -> Bounds:
    """Return the bounds of batches of scores, (n, n) each.

    Scores of other batches calibrate NWJ; without, the scores are log density ratios as they are.
    `rows_alone` is that of `info_nce`.
    """
    scale, offset = (1.0, 0.0) if calibration is None else calibrate(calibration)
    ratios = [scale * batch + offset for batch in scores]
    by_nwj = [nwj(batch).mean() for batch in ratios]
    attraction = np.mean([np.diagonal(batch).mean() for batch in ratios])
    rng = np.random.default_rng([seed, len(scores)])
    return Bounds(
        info_nce=estimate([info_nce(batch, rows_alone=rows_alone).mean() for batch in scores]),
        permuted=estimate(
            [info_nce(permuted(batch, rng), rows_alone=rows_alone).mean() for batch in scores]
        ),
        nwj=estimate(by_nwj),
        strangers=float(1 + attraction - np.mean(by_nwj)),
    )


@dataclass(frozen=True)
class Table:
    """Bounds over channels and batch sizes.

    Attributes:
        model: the substitution model.
        batches: of each cell.
        cells: in the order they were measured.
    """

    model: str
    batches: int = BATCHES
    cells: list[Cell] = field(default_factory=list)

    def table(self) -> str:
        """The table as text."""
        header = ["sites", "distance", "exact", "N", "log N", "critic", "InfoNCE", "of optimal"]
        lines = [[*header, "published", "off by", "permuted", "NWJ"]]
        for cell in self.cells:
            for name, found in cell.bounds.items():
                known = name == OPTIMAL and cell.published is not None
                lines.append(
                    [
                        str(cell.sites),
                        f"{cell.distance:g}",
                        f"{cell.exact:.3f}",
                        str(cell.batch_size),
                        f"{cell.log_n:.2f}",
                        name,
                        f"{found.info_nce}{'' if cell.trusted else ' (near log N)'}",
                        f"{cell.efficiency(name):.1%}",
                        f"{cell.published:.2f}" if known else "",
                        f"{off_by(cell, self.batches):+.1f} s.e." if known else "",
                        str(found.permuted),
                        shown_nwj(found),
                    ]
                )
        return f"{self.model}, nats; mean ± standard error over batches\n{aligned(lines)}"

    def save(self, folder: Path) -> None:
        """Write `information.json`, `information.txt` and `information.png`."""
        from isoclr.information.figures import plot_known

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "information.txt").write_text(self.table() + "\n")
        (folder / "information.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        plot_known(self, folder / "information.png")


def shown_nwj(found: Bounds) -> str:
    """Return the estimate of NWJ as text, or why there is none."""
    if not found.nwj.standard_error <= _MOST_ERROR:
        return "none (s.e. above 1)"
    if not _LEAST_STRANGERS <= found.strangers <= _MOST_STRANGERS:
        return f"none (strangers {found.strangers:.2g}, not 1)"
    return str(found.nwj)


def off_by(cell: Cell, batches: int = BATCHES) -> float:
    """Return how far the optimal critic's InfoNCE is from the published one, in standard errors.

    The published numbers are means over draws too, and how many is not known. Their scatter around
    ours is that of about `PUBLISHED_BATCHES` batches a cell, so each counts as such a mean, rounded
    to two decimals.
    """
    assert cell.published is not None
    found = cell.bounds[OPTIMAL].info_nce
    both = found.standard_error * (1 + batches / PUBLISHED_BATCHES) ** 0.5
    rounding = 0.01 / 12**0.5
    return (found.mean - cell.published) / np.hypot(both, rounding)


def known_table(
    batch_sizes: Sequence[int] = BATCH_SIZES,
    *,
    model: str = "jc69",
    critics: Callable[[Channel], dict[str, Critic]] | None = None,
    batches: int = BATCHES,
    seed: int = 0,
) -> Iterator[Cell]:
    """Measure the optimal critic, and others of a channel, over the published channels.

    Yields the cells of every channel and batch size, as they are done.
    """
    process = substitution_model(model)
    for (sites, distance), of_channel in PUBLISHED.items():
        channel = Channel(process, distance, np.ones(sites))
        named = {OPTIMAL: channel.scores, **(critics(channel) if critics else {})}
        published: dict[int, float] = dict(zip(BATCH_SIZES, of_channel, strict=False))
        for batch_size in batch_sizes:
            found = measure(channel, named, batch_size, batches=batches, seed=seed)
            known = published.get(batch_size) if model == "jc69" else None
            yield Cell(sites, distance, channel.information(), batch_size, found, known)
