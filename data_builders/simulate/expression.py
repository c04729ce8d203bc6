"""Simulate bulk expression: planted programmes of genes, a nuisance batch, and outliers.

The log2 expression of gene g in sample s is

    base(g) + Σ_k P(s, k) · W(k, g) + Σ_j B(batch of s, j) · V(j, g) + donor(s, g) + noise,

with `PROGRAMMES` programmes P, whose means differ by tissue. Each moves a fifth of the genes, each
by less than its noise, so that a method that adds up many genes finds it and a look at single genes
does not. The batch of a donor moves all genes, and says nothing about the tissue. Reads are drawn
from Poisson distributions with a depth of each sample. A share of the samples are outliers: a tenth
of their genes are multiplied by up to a thousand. Time to death is exponential, with the first
programme as its log hazard; censoring is uniform.
"""

import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_builders.records import InputError

PROGRAMMES = 8
_MOVED_SHARE = 0.2
_NOISE = 2.0
_BATCH_AXES, _BATCH_SIZE = 2, 0.5
_OUTLIER_GENES = 0.1
_DEPTH = 2e6


@dataclass(frozen=True, kw_only=True)
class SimulatedExpression:
    """Simulated reads, and the truth behind them.

    Attributes:
        counts: reads, int64 (samples, genes).
        samples: names, (samples,).
        genes: Ensembl-like ids, (genes,).
        obs: column -> a value a sample: tissue, donor, batch, months and died.
        programmes: the programmes P, float64 (samples, PROGRAMMES).
        outliers: True where a sample is one, (samples,).
    """

    counts: np.ndarray
    samples: tuple[str, ...]
    genes: tuple[str, ...]
    obs: Mapping[str, Sequence]
    programmes: np.ndarray
    outliers: np.ndarray


def simulate_expression(
    samples: int = 240,
    genes: int = 600,
    *,
    tissues: int = 6,
    signal: float = 1.5,
    outlier_share: float = 0.05,
    seed: int = 0,
) -> SimulatedExpression:
    """Simulate reads of genes in samples of several tissues.

    Args:
        samples: how many; three a donor.
        genes: how many.
        tissues: classes, of which each donor gives three at random.
        signal: standard deviation of the tissues' programmes; that within a tissue is 1.
        outlier_share: of the samples.
        seed: of every draw.

    Raises:
        InputError: fewer than 2 tissues, 2 samples a tissue or 20 genes, or a share outside [0, 1].
    """
    for name, value, least in (
        ("tissues", tissues, 2),
        ("samples", samples, 2 * tissues),
        ("genes", genes, 20),
    ):
        if value < least:
            raise InputError(f"{name}: got {value}, wanted at least {least}")
    if not 0 <= outlier_share <= 1:
        raise InputError(f"outlier_share: got {outlier_share}, wanted 0 to 1")
    rng = np.random.default_rng(seed)
    tissue = rng.permutation(np.arange(samples) % tissues)
    donor = np.arange(samples) // 3
    batch = rng.integers(4, size=int(donor.max()) + 1)[donor]
    programmes = rng.normal(0, signal, (tissues, PROGRAMMES))[tissue]
    programmes += rng.normal(size=programmes.shape)
    weights = rng.normal(size=(PROGRAMMES, genes))
    weights *= rng.random(weights.shape) < _MOVED_SHARE
    axes = rng.normal(0, _BATCH_SIZE, (_BATCH_AXES, genes))
    nuisance = rng.normal(size=(4, _BATCH_AXES))[batch] @ axes
    logs = rng.normal(4, 2, genes) + programmes @ weights + nuisance
    logs += rng.normal(0, 0.3, (int(donor.max()) + 1, genes))[donor]
    logs += rng.normal(0, _NOISE, (samples, genes))
    linear = np.exp2(logs)
    outliers = rng.random(samples) < outlier_share
    hit = outliers[:, None] & (rng.random(linear.shape) < _OUTLIER_GENES)
    linear *= np.where(hit, 10 ** rng.uniform(0, 3, linear.shape), 1)
    depth = _DEPTH * rng.uniform(0.5, 2, (samples, 1))
    counts = rng.poisson(linear / linear.sum(1, keepdims=True) * depth)
    months = rng.exponential(36 * np.exp(-programmes[:, 0]))
    censored = rng.uniform(12, 120, samples)
    return SimulatedExpression(
        counts=counts,
        samples=tuple(f"sample{i:05d}" for i in range(samples)),
        genes=tuple(f"ENSG{i:011d}" for i in range(1, genes + 1)),
        obs={
            "tissue": [f"tissue{i:02d}" for i in tissue],
            "donor": [f"donor{i:04d}" for i in donor],
            "batch": [f"batch{i}" for i in batch],
            "months": np.minimum(months, censored).round(2).tolist(),
            "died": [float(seen) for seen in months <= censored],
        },
        programmes=programmes,
        outliers=outliers,
    )


def write_simulated(simulated: SimulatedExpression, path: str | os.PathLike) -> list[Path]:
    """Write simulated reads as files that `isoclr expression prepare` reads; return them.

    .h5ad; or .tsv or .tsv.gz, genes in rows, with a table of the samples beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".h5ad":
        return [_write_h5ad(simulated, path)]
    name, opened = path.name, open
    if name.endswith(".gz"):
        name, opened = name.removesuffix(".gz"), gzip.open
    if not name.endswith(".tsv"):
        raise InputError(f"{path}: got no known suffix, wanted .h5ad, .tsv or .tsv.gz")
    with opened(path, "wt", encoding="utf-8") as file:
        file.write("\t".join(["gene", *simulated.samples]) + "\n")
        for gene, reads in zip(simulated.genes, simulated.counts.T.tolist(), strict=True):
            file.write("\t".join([gene, *map(str, reads)]) + "\n")
    beside = path.with_name(f"{name.removesuffix('.tsv')}.samples.tsv")
    rows = zip(simulated.samples, *simulated.obs.values(), strict=True)
    lines = ["\t".join(map(str, row)) for row in [("sample", *simulated.obs), *rows]]
    beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [path, beside]


def _write_h5ad(simulated: SimulatedExpression, path: Path) -> Path:
    try:
        import anndata
    except ImportError:
        raise InputError(
            f"{path}: writing .h5ad needs the package anndata: pip install 'isoclr[expression]'"
        ) from None
    data = anndata.AnnData(simulated.counts.astype(np.float32), obs=dict(simulated.obs))
    data.obs_names, data.var_names = list(simulated.samples), list(simulated.genes)
    data.write_h5ad(path)
    return path
