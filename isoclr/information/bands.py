"""Do distance bands pay? Critics trained on simulated families whose conserved sites are known.

Two comparisons. Pairs: an encoder with room for few numbers, trained on near pairs (identity above
90 %) or on distant ones (40 to 70 %); which letters does it keep? Told: a critic trained on pairs
of all distances, with one temperature or with one of each band; which bound is higher?
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isoclr.bounds import Estimate, estimate, info_nce
from isoclr.information.conserved import Clade, probe_sites, simulate
from isoclr.information.trained import homolog_recipe, load_critic
from isoclr.information.training import train_model
from isoclr.objectives.homologs.objective import HomologObjective
from isoclr.statistics import aligned

NEAR, DISTANT, ALL = [[0.0, 0.1]], [[0.3, 1.0]], [[0.0, 0.1], [0.3, 1.0], [1.0, 2.0]]
# Sites of the families that the second comparison has: more would take all bounds to log N.
_SHORT = 20
_NARROW = {"encoder": "linear", "model": {"projector_sizes": [1, 1, 16], "norm": "layer"}}
_WIDE = {"encoder": "sites", "model": {"projector_sizes": [1, 1, 4], "norm": "layer"}}
_RUN = {"positives": "bands", "steps": 250, "batch_size": 256, "evaluate_every": 250}


@dataclass(frozen=True)
class BandsPay:
    """What was found, over seeds of data and training.

    Attributes:
        identity: expected identity of near and of distant pairs.
        conserved: accuracy of the probe at conserved sites, by what was trained on.
        neutral: the same at neutral sites.
        gain: accuracy at conserved sites of distant pairs beyond near ones, seeds paired.
        bound: InfoNCE on held-out families of a critic that is told the band, and of one that is
            not, in nats.
        told_gain: of the former beyond the latter, seeds paired.
        log_n: which no bound can exceed.
    """

    identity: dict[str, float]
    conserved: dict[str, Estimate]
    neutral: dict[str, Estimate]
    gain: Estimate
    bound: dict[str, Estimate]
    told_gain: Estimate
    log_n: float

    def table(self) -> str:
        """Both comparisons as text."""
        pairs = [["pairs", "identity", "conserved sites", "neutral sites"]]
        for name, identity in self.identity.items():
            row = [name, f"{identity:.0%}", str(self.conserved[name]), str(self.neutral[name])]
            pairs.append(row)
        bound = [["critic", "InfoNCE"], *([name, str(b)] for name, b in self.bound.items())]
        return (
            "accuracy of a probe of the letters; mean ± standard error over seeds\n"
            f"{aligned(pairs)}\n"
            f"distant beyond near, at conserved sites: {self.gain}\n\n"
            f"bound on held-out families, nats; log N {self.log_n:.2f}\n{aligned(bound)}\n"
            f"told beyond not told: {self.told_gain}"
        )

    def save(self, folder: Path) -> None:
        """Write `bands.json` and `bands.txt`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bands.txt").write_text(self.table() + "\n")
        (folder / "bands.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def bands_pay(output: Path, seeds: Iterable[int] = range(3)) -> BandsPay:
    """Run both comparisons.

    Args:
        output: folder of data and models.
        seeds: of data and training, two or more.
    """
    probed: dict[str, list[dict[str, Estimate]]] = {"near": [], "distant": []}
    bound: dict[str, list[float]] = {"told the band": [], "not told": []}
    data = None
    for seed in seeds:
        data = simulate(seed=seed)
        families = data.write(output / f"families-{seed}")
        short = simulate(sites=_SHORT, seed=seed).write(output / f"short-{seed}")
        for name, bands in (("near", NEAR), ("distant", DISTANT)):
            told = _RUN | _NARROW | {"bands": bands, "seed": seed}
            folder = train_model(families, output / f"{name}-{seed}", told)
            probed[name].append(probe_sites(folder, data))
        for name, tell in (("told the band", True), ("not told", False)):
            told = _RUN | _WIDE | {"bands": ALL, "tell_bands": tell, "seed": seed}
            folder = train_model(short, output / f"{name.split()[0]}-{seed}", told)
            bound[name].append(held_out_bound(folder))
    assert data is not None  # there are two seeds or more
    return _summed(data, probed, bound)


def held_out_bound(folder: Path, draws: int = 10) -> float:
    """Return InfoNCE of a model on the first 256 families that its recipe holds out.

    Of rows alone, told the band or not, so that both critics are asked the same.
    """
    objective = HomologObjective(homolog_recipe(folder), 0, 1)
    scores = objective.held_out_scores(load_critic(folder), range(draws))
    return float(np.mean([info_nce(batch, rows_alone=True).mean() for batch in scores]))


def _summed(data: Clade, probed: dict, bound: dict) -> BandsPay:
    means = {
        kind: {name: [one[kind].mean for one in found] for name, found in probed.items()}
        for kind in ("conserved", "neutral")
    }
    distant, near = (np.array(means["conserved"][name]) for name in ("distant", "near"))
    told, not_told = (np.array(bound[name]) for name in ("told the band", "not told"))
    distances = {"near": data.distances[0, 1], "distant": data.distances[0, 2]}
    return BandsPay(
        identity={name: data.identity(distance) for name, distance in distances.items()},
        conserved={name: estimate(values) for name, values in means["conserved"].items()},
        neutral={name: estimate(values) for name, values in means["neutral"].items()},
        gain=estimate(distant - near),
        bound={name: estimate(values) for name, values in bound.items()},
        told_gain=estimate(told - not_told),
        log_n=float(np.log(256)),
    )
