"""Embeddings of expression profiles, by a pre-trained encoder and its processor."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoModel, AutoProcessor

from data_builders.counts import counted
from data_builders.expression.matrix import ExpressionMatrix
from data_builders.figures import new_axes, plain, save_figure
from data_builders.records import InputError
from isoclr.evaluation.planes import map_of
from isoclr.pretrained import on_device
from isoclr.progress import progress
from isoclr.repositories import check_source
from modeling_isoclr import ExpressionModel, ExpressionProcessor, GeneReport

KEY = "X_isoclr"
_ROWS = 512
_CLASSES = 20  # colours that can be told apart


def load_expression_model(
    model: str | os.PathLike,
) -> tuple[ExpressionModel, ExpressionProcessor]:
    """Load an encoder of expression and its processor for inference, on the GPU where one is."""
    check_source(model, "a model that train.py wrote", "config.json")
    try:
        encoder = AutoModel.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: {str(error).strip().splitlines()[0]}") from None
    if not isinstance(encoder, ExpressionModel):
        raise InputError(
            f"{model}: got a model of type {encoder.config.model_type}, wanted isoclr_expression"
        )
    return on_device(encoder.eval()), AutoProcessor.from_pretrained(model)


def embed_expression(
    model: ExpressionModel, processor: ExpressionProcessor, matrix: ExpressionMatrix
) -> tuple[np.ndarray, GeneReport]:
    """Embed the samples of a matrix of log2(x + 1): float32 (samples, hidden_size).

    It also says how the genes met those of the model; too few of them are an InputError.
    """
    rows = range(0, len(matrix.samples), _ROWS)
    found = []
    for start in progress(rows, "embed", unit="parts"):
        values = matrix.values[start : start + _ROWS]
        values = values if isinstance(values, np.ndarray) else values.toarray()
        try:
            inputs = processor(values, matrix.genes, return_tensors="pt")["values"]
        except ValueError as error:
            raise InputError(str(error)) from None
        with torch.inference_mode():
            found.append(model(inputs.to(model.device)).pooler_output.float().cpu().numpy())
    _, report = processor.align(np.empty((0, len(matrix.genes))), matrix.genes)
    return np.concatenate(found), report


def write_embeddings(
    path: str | os.PathLike, matrix: ExpressionMatrix, embeddings: np.ndarray
) -> None:
    """Write embeddings (samples, width) beside what is known of the samples.

    To Parquet, or to .h5ad as `obsm["X_isoclr"]` beside the log2 values, which needs anndata.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    if path.suffix != ".h5ad":
        flat = pa.array(embeddings.ravel(), pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
        obs = {name: list(column) for name, column in matrix.obs.items()}
        table = pa.table({"sample_id": list(matrix.samples), **obs, "embedding": vectors})
        pq.write_table(table, beside, compression="zstd")
    else:
        try:
            import anndata
        except ImportError:
            raise InputError(
                f"{path}: writing .h5ad needs the package anndata: pip install 'isoclr[expression]'"
            ) from None
        data = anndata.AnnData(matrix.values, obs={n: list(c) for n, c in matrix.obs.items()})
        data.obs_names, data.var_names = list(matrix.samples), list(matrix.genes)
        data.obsm[KEY] = embeddings
        data.write_h5ad(beside)
    beside.replace(path)


def plot_embeddings(
    embeddings: np.ndarray,
    labels: np.ndarray | None,
    label: str,
    path: str | os.PathLike,
    by: str = "pca",
) -> None:
    """Draw embeddings on a plane of `map_of`, coloured by a label.

    The most frequent `_CLASSES` of the labels have a colour each. Fewer than three samples are an
    InputError.
    """
    found = map_of(embeddings, by)
    if found is None:
        raise InputError(
            f"embeddings: got {counted(len(embeddings), 'sample')}, wanted at least 3 to draw"
        )
    shown = np.full(len(embeddings), "") if labels is None else labels
    names, which, counts = np.unique(shown.astype(str), return_inverse=True, return_counts=True)
    figure, axes = new_axes(7.5, 5)
    coloured = np.argsort(-counts, kind="stable")[:_CLASSES]
    rest = ~np.isin(which, coloured)
    if rest.any():
        axes.scatter(*found.points[rest].T, s=10, c="#cccccc", linewidths=0, label="others")
    for place, number in enumerate(sorted(coloured)):
        colour = [[*_colour(place)]]
        name = plain(str(names[number]), 30)
        points = found.points[which == number].T
        axes.scatter(*points, s=14, c=colour, linewidths=0, label=name)
    axes.set(xlabel=found.axes[0], ylabel=found.axes[1])
    title = f"Embeddings of {len(embeddings):,} samples"
    if labels is not None:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
        title += f" by {plain(label)}"
    save_figure(figure, title, path)


def _colour(place: int) -> tuple:
    from matplotlib import colormaps

    return colormaps["tab20"](place)
