"""Profiles as measured to the numbers that an encoder of expression takes.

A processor is fitted on the samples of training alone, is saved with the model, and depends on
NumPy and transformers only.
"""

from dataclasses import dataclass

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin

TRANSFORMS = ("log", "ranks", "quantile")


@dataclass(frozen=True)
class GeneReport:
    """How the genes of some data meet those of a model.

    Attributes:
        model: genes of the model.
        found: of them, in the data.
        missing: of them, not in the data; they take their mean.
        extra: genes of the data that the model does not know; they are left out.
        duplicated: genes that the data has more than once; their mean is taken.
    """

    model: int
    found: int
    missing: int
    extra: int
    duplicated: int

    def __str__(self):
        text = (
            f"{self.found:,} of {self.model:,} genes of the model found; {self.missing:,} missing "
            f"ones take their mean; {self.extra:,} others are left out"
        )
        return text + (f"; {self.duplicated:,} repeated names averaged" if self.duplicated else "")


def stripped(name):
    """A gene's name without the version of an Ensembl id."""
    head, dot, version = name.partition(".")
    return head if dot and version.isdigit() and head.startswith("ENS") else name


class ExpressionProcessor(FeatureExtractionMixin):
    """Align genes, transform values and take z-scores with fitted statistics.

    Args:
        genes: of the model, in its order.
        transform: log (values as they are, in log2(x + 1)), ranks (within a sample, from 0 to 1,
            ties shared) or quantile (values of each sample replaced by the mean sorted profile).
        clip: bound of z-scores; each is also kept within the range of the fitted samples.
        min_overlap: least fraction of the model's genes that data must have.
        mean, scale: of each gene after the transform, (genes,).
        low, high: least and greatest z-score of each gene in fitting, (genes,).
        reference: of quantile, the mean sorted profile, (genes,).
    """

    model_input_names = ["values"]

    def __init__(
        self,
        genes=(),
        transform="log",
        clip=10.0,
        min_overlap=0.5,
        mean=None,
        scale=None,
        low=None,
        high=None,
        reference=None,
        **kwargs,
    ):
        if transform not in TRANSFORMS:
            raise ValueError(f"transform: got {transform!r}, wanted one of {', '.join(TRANSFORMS)}")
        kwargs.pop("feature_extractor_type", None)
        kwargs["auto_map"] = {"AutoProcessor": "processing_expression.ExpressionProcessor"}
        super().__init__(**kwargs)
        self.genes, self.transform = list(genes), transform
        self.clip, self.min_overlap = clip, min_overlap
        self.mean, self.scale = _as_list(mean), _as_list(scale)
        self.low, self.high = _as_list(low), _as_list(high)
        self.reference = _as_list(reference)

    @classmethod
    def fit(cls, values, genes, *, n_genes=None, transform="log", clip=10.0, min_overlap=0.5):
        """Fit a processor on the samples of training.

        Args:
            values: log2(x + 1), (samples, genes).
            genes: names, (genes,).
            n_genes: keep so many, the most variable by variance; None: all that vary.
            transform: see the class.
            clip: see the class.
            min_overlap: see the class.

        Raises:
            ValueError: fewer than two samples, or no gene that varies.
        """
        values = np.asarray(values, np.float32)
        if len(values) < 2:
            raise ValueError(f"values: got {len(values)} samples, wanted two or more")
        variance = values.var(0, dtype=np.float64)
        order = np.argsort(-variance, kind="stable")
        order = order[variance[order] > 0][:n_genes]
        if not len(order):
            raise ValueError("values: got no gene that varies, wanted one or more")
        chosen = np.sort(order)
        processor = cls([genes[i] for i in chosen], transform, clip=clip, min_overlap=min_overlap)
        values = values[:, chosen]
        if transform == "quantile":
            processor.reference = _as_list(np.sort(values, axis=1).mean(0))
        transformed = processor._transform(values)
        scale = transformed.std(0, dtype=np.float64)
        processor.mean = _as_list(transformed.mean(0, dtype=np.float64))
        processor.scale = _as_list(np.where(scale > 0, scale, 1))
        z = processor._z(transformed)
        processor.low, processor.high = _as_list(z.min(0)), _as_list(z.max(0))
        return processor

    def align(self, values, genes):
        """Put values into the order of the model's genes.

        Args:
            values: (samples, genes).
            genes: their names; versions of Ensembl ids do not count.

        Returns:
            (samples, model's genes), NaN where a gene is missing; and a `GeneReport`.

        Raises:
            ValueError: fewer genes found than `min_overlap` asks for.
        """
        values = np.asarray(values, np.float32)
        names = [stripped(name) for name in genes]
        places = {}
        for place, name in enumerate(names):
            places.setdefault(name, []).append(place)
        wanted = [stripped(name) for name in self.genes]
        found = sum(name in places for name in wanted)
        if found < self.min_overlap * len(wanted) or not found:
            raise ValueError(
                f"genes: got {found} of the model's {len(wanted)} genes, wanted at least "
                f"{self.min_overlap:.0%}; {names[0] if names else '(none)'!r} in the data, "
                f"{wanted[0]!r} in the model"
            )
        aligned = np.full((len(values), len(wanted)), np.nan, np.float32)
        for column, name in enumerate(wanted):
            at = places.get(name)
            if at:
                aligned[:, column] = values[:, at].mean(1) if len(at) > 1 else values[:, at[0]]
        report = GeneReport(
            model=len(wanted),
            found=found,
            missing=len(wanted) - found,
            extra=len(places.keys() - set(wanted)),
            duplicated=sum(len(at) > 1 for at in places.values()),
        )
        return aligned, report

    def __call__(self, values, genes=None, return_tensors=None):
        """Turn profiles into an encoder's input.

        Args:
            values: log2(x + 1), (samples, genes).
            genes: their names; None: they are the model's, in its order.
            return_tensors: "pt", "np" or None, as everywhere in transformers.

        Returns:
            `values`, float32 (samples, model's genes).

        Raises:
            ValueError: a shape or an overlap that does not fit, or values that are not finite.
        """
        values = np.asarray(values, np.float32)
        if genes is not None:
            if values.ndim != 2 or values.shape[1] != len(genes):
                raise ValueError(
                    f"values: got shape {values.shape}, wanted (samples, {len(genes)})"
                )
            if not np.isfinite(values).all():
                raise ValueError("values: got a value that is missing or infinite, wanted numbers")
            values, _ = self.align(values, genes)
        elif values.ndim != 2 or values.shape[1] != len(self.genes):
            raise ValueError(
                f"values: got shape {values.shape}, wanted (samples, {len(self.genes)})"
            )
        z = self._z(self._transform(values))
        np.copyto(z, 0, where=np.isnan(z))  # a missing gene is at its mean
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        z = np.clip(z, low, high, out=z).astype(np.float32, copy=False)
        return BatchFeature({"values": z}, tensor_type=return_tensors)

    def _transform(self, values):
        if self.transform == "log":
            return values
        ranks = _ranks(values)
        if self.transform == "ranks":
            return ranks
        reference = np.asarray(self.reference)
        positions = np.linspace(0, 1, len(reference))
        return np.where(np.isnan(ranks), np.nan, np.interp(ranks, positions, reference))

    def _z(self, transformed):
        mean, scale = np.asarray(self.mean, np.float32), np.asarray(self.scale, np.float32)
        z = transformed - mean
        z /= scale
        return np.clip(z, -self.clip, self.clip, out=z)


def _ranks(values):
    """Ranks within each sample, from 0 to 1; equal values share their mean rank, NaN stays NaN."""
    ranks = np.full(values.shape, np.nan)
    for row, sample in enumerate(values):
        there = np.flatnonzero(~np.isnan(sample))
        _, which, counts = np.unique(sample[there], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        mean_rank = last - (counts + 1) / 2
        ranks[row, there] = mean_rank[which] / max(len(there) - 1, 1)
    return ranks


def _as_list(values):
    # Seven digits: what float32 holds, and short in JSON.
    return None if values is None else [float(f"{value:.7g}") for value in values]
