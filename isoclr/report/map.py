"""A map of embeddings and their clusters: figure, labels, AnnData."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from data_builders.counts import counted
from data_builders.figures import new_figure, plain, save_figure
from data_builders.records import InputError
from data_builders.tables import names_of_columns, read_table
from isoclr.evaluation.embedding_files import ann_data, read_embedded, safe_table
from isoclr.evaluation.planes import Map, map_of
from isoclr.report.pictures import colours_of_names, colours_of_numbers
from isoclr.statistics import standardised

_COMPONENTS = 50
_MOST_CLUSTERS = 12
_SCORED = 2000  # rows that the silhouette is taken of


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Clusters of embeddings.

    Attributes:
        labels: of each row, from 0, the largest cluster first, (n,).
        silhouette: of the clusters, from -1 to 1: 0 is none worth the name; None of a single one.
    """

    labels: np.ndarray
    silhouette: float | None


def clusters_of(embeddings: np.ndarray, number: int | None = None, seed: int = 0) -> Clusters:
    """Cluster embeddings by k-means on the 50 main components of their standardised columns.

    Args:
        embeddings: (n, width).
        number: of clusters; None: of 2 to 12 the number with the greatest silhouette.
        seed: of k-means, and of the rows that the silhouette is taken of.

    Raises:
        InputError: fewer rows than clusters.
    """
    n = len(embeddings)
    if number is not None and not 1 <= number <= n:
        raise InputError(f"clusters: got {number}, wanted 1 to {n}, the number of transcripts")
    rows = standardised(embeddings)
    most = min(_COMPONENTS, n, rows.shape[1])
    rows = PCA(most, random_state=seed).fit_transform(rows)
    numbers = [number] if number is not None else range(2, min(_MOST_CLUSTERS, n - 1) + 1)
    tried = [_k_means(rows, k, seed) for k in numbers]
    if not tried:
        return Clusters(labels=np.zeros(n, int), silhouette=None)
    return max(tried, key=lambda found: -2 if found.silhouette is None else found.silhouette)


def _k_means(rows: np.ndarray, number: int, seed: int) -> Clusters:
    k_means = KMeans(
        number,
        n_init=4,  # pyright: ignore[reportArgumentType] scikit-learn has no types
        random_state=seed,
    )
    labels = k_means.fit_predict(rows)
    order = np.argsort(-np.bincount(labels, minlength=number), kind="stable")
    labels = np.argsort(order)[labels]
    score = None
    if 1 < len(np.unique(labels)) < len(rows):
        size = min(_SCORED, len(rows))
        score = float(silhouette_score(rows, labels, sample_size=size, random_state=seed))
    return Clusters(labels=labels, silhouette=score)


def map_embeddings(
    path: str | os.PathLike,
    output: Path,
    *,
    by: str = "pca",
    clusters: int | None = None,
    labels: str | os.PathLike | None = None,
    label: str | None = None,
) -> pl.DataFrame:
    """Place embeddings on a plane and cluster them; write figure, table and AnnData.

    Writes `map.png`, `map.tsv` and, where anndata is installed, `map.h5ad`.

    Args:
        path: file that `isoclr embed` wrote, of any format.
        output: folder to write into.
        by: "pca" or "umap", see `map_of`.
        clusters: how many; None: as `clusters_of` finds best.
        labels: a table with transcript_id, to colour the map by.
        label: its column.

    Returns:
        A row a transcript: transcript_id, gene_id, species, x, y, cluster, and the label.

    Raises:
        InputError: no such embeddings, fewer than three, or labels that name none of them.
    """
    table, embeddings = read_embedded(path)
    found = map_of(embeddings, by)
    if found is None:
        raise InputError(
            f"{path}: got {counted(len(table), 'transcript')}, wanted at least 3 for a map"
        )
    clustered = clusters_of(embeddings, clusters)
    table = table.with_columns(
        x=pl.Series(found.points[:, 0]),
        y=pl.Series(found.points[:, 1]),
        cluster=pl.Series(clustered.labels),
    )
    shown = ["cluster"]
    if labels is not None:
        table = _with_label(table, labels, label)
        shown.append(table.columns[-1])
    elif table["species"].n_unique() > 1:
        shown.append("species")
    output.mkdir(parents=True, exist_ok=True)
    _plot(found, clustered, table, shown, output / "map.png")
    safe_table(table).write_csv(output / "map.tsv", separator="\t")
    if importlib.util.find_spec("anndata") is not None:
        made = ann_data(table, embeddings)
        made.obs["cluster"] = made.obs["cluster"].astype(str).astype("category")
        made.obsm[f"X_{by}"] = found.points
        made.write_h5ad(output / "map.h5ad")
    return table


def _with_label(table: pl.DataFrame, path: str | os.PathLike, label: str | None) -> pl.DataFrame:
    labels = read_table(path)
    wanted = f"{path}: got the columns {names_of_columns(labels)}"
    if "transcript_id" not in labels.columns:
        raise InputError(f"{wanted}, wanted transcript_id")
    if label in table.columns:
        raise InputError(f"{path}: {label}: got a column of the map, wanted another name")
    if label is None or label not in labels.columns:
        raise InputError(f"{wanted}, wanted a label of them, got {label!r}")
    labels = labels.select("transcript_id", label).unique("transcript_id", keep="first")
    joined = table.join(labels, on="transcript_id", how="left", maintain_order="left")
    if joined[label].null_count() == len(joined):
        raise InputError(f"{path}: {label}: got a label of none of {len(table)} transcripts")
    return joined


def _plot(found: Map, clustered: Clusters, table: pl.DataFrame, shown: Sequence[str], path) -> None:
    figure = new_figure(5.6 * len(shown), 4.6)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        values = table[name]
        if name != "cluster" and values.dtype.is_numeric():
            colours, legend = colours_of_numbers(values.to_list())
        else:
            texts = ["not known" if value is None else str(value) for value in values]
            colours, legend = colours_of_names(texts)
        axes.scatter(*found.points.T, s=9, c=colours, linewidths=0)
        for colour, words in legend:
            axes.scatter([], [], s=24, color=colour, label=plain(words, 30))
        axes.legend(title=plain(name), fontsize=7, title_fontsize=8, frameon=False)
        axes.set_xlabel(found.axes[0], fontsize=8)
        axes.set_ylabel(found.axes[1], fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    score = clustered.silhouette
    said = "" if score is None else f", silhouette {score:.2f} (0: no clusters)"
    n = len(np.unique(clustered.labels))
    save_figure(figure, f"{len(table):,} transcripts, {n} clusters by k-means{said}", path)
