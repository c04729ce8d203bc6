"""Embeddings on a plane, by principal components or UMAP."""

from dataclasses import dataclass
from importlib import import_module

import numpy as np
from sklearn.decomposition import PCA

from data_builders.records import InputError
from isoclr.statistics import standardised

MAPS = ("pca", "umap")


@dataclass(frozen=True, kw_only=True)
class Map:
    """Rows of embeddings in two dimensions.

    Attributes:
        points: (n, 2).
        axes: what the two axes are.
    """

    points: np.ndarray
    axes: tuple[str, str]


def map_of(embeddings: np.ndarray, by: str = "pca") -> Map | None:
    """Place embeddings in two dimensions, each of their columns with a standard deviation of 1.

    By "pca", or "umap", which needs the package umap-learn. None for fewer than three rows.
    """
    if len(embeddings) < 3:
        return None
    rows = standardised(embeddings)
    if by == "umap":
        try:
            umap = import_module("umap")
        except ImportError:
            raise InputError("map: umap needs a package: pip install umap-learn") from None
        points = umap.UMAP(n_neighbors=min(15, len(rows) - 1), random_state=0).fit_transform(rows)
        return Map(points=np.asarray(points, float), axes=("UMAP 1", "UMAP 2"))
    pca = PCA(2, svd_solver="full" if len(rows) < 500 else "randomized", random_state=0)
    with np.errstate(invalid="ignore"):  # of rows that are all alike
        pca.fit(rows)
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    axes = [f"principal component {i + 1} ({shares[i]:.0%} of variance)" for i in range(2)]
    return Map(points=pca.transform(rows), axes=(axes[0], axes[1]))
