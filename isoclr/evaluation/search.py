"""Search among transcripts: axes in which plain cosine finds relatives, and nearest neighbours."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from huggingface_hub import HfApi, snapshot_download
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.linalg import eigh
from sklearn.neighbors import NearestNeighbors

from data_builders.counts import counted
from data_builders.groups.choice import EVERY, GroupChoice
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.storage import respect_umask
from isoclr.evaluation.discriminants import covariance_within
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.heads import weights_digest
from isoclr.model_folder import SEARCH_FILE
from isoclr.pretrained import load_model
from isoclr.progress import progress as progress_bar
from isoclr.repositories import hub_errors
from isoclr.shipped import DEFAULT_MODEL, resolve_model
from isoclr.statistics import standardised, unit_vectors
from modeling_isoclr import IsoCLRConfig, IsoCLRModel
from modeling_isoclr.pooling_isoclr import CODONS

_QUERIES_AT_ONCE = 1024
_WHITENING_FLOOR = 0.1
# Of the mean variance within groups, added to that of every column; chosen on groups that axes were
# not fitted to, see docs/log/search.md.
_SHRINKAGE = 0.1


@dataclass(frozen=True)
class SearchAxes:
    """Axes of an encoder's embeddings along which relatives are alike.

    Attributes:
        centre: (width,).
        axes: (width, size).
        encoder: `weights_digest` of the encoder.
    """

    centre: np.ndarray
    axes: np.ndarray
    encoder: str = ""

    def vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return vectors of length 1 whose products are the similarities: float32 (n, size)."""
        return unit_vectors((np.asarray(embeddings, np.float64) - self.centre) @ self.axes)


def write_search_axes(axes: SearchAxes, folder: Path) -> None:
    """Write `search.safetensors`: axes in single precision, of the columns that they look at."""
    columns = np.flatnonzero(axes.axes.any(axis=1))
    arrays = {
        "centre": axes.centre.astype(np.float32),
        "columns": columns.astype(np.int32),
        "axes": axes.axes[columns].astype(np.float32),
    }
    save_file(arrays, folder / SEARCH_FILE, {"encoder": axes.encoder})
    respect_umask(folder / SEARCH_FILE)


def read_search_axes(model: str | os.PathLike = DEFAULT_MODEL) -> SearchAxes | None:
    """Read the axes that a model brings, None where it has none."""
    source = resolve_model(model)
    folder = Path(source)
    if not folder.is_dir():
        with hub_errors(str(source), HfApi().endpoint):
            folder = Path(snapshot_download(str(source), allow_patterns=SEARCH_FILE))
    path = folder / SEARCH_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            centre, columns, found = map(file.get_tensor, ("centre", "columns", "axes"))
            encoder = (file.metadata() or {})["encoder"]
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{path}: got '{error}', wanted axes that isoclr wrote") from error
    fits = centre.ndim == 1 and found.ndim == 2 and columns.shape == found.shape[:1]
    if not (fits and np.isfinite(found).all() and set(columns.tolist()) <= set(range(len(centre)))):
        raise InputError(
            f"{path}: got {centre.shape}, {columns.shape} and {found.shape}, wanted a centre "
            "(width,), columns (some,) of it and finite axes (some, size)"
        )
    axes = np.zeros((len(centre), found.shape[1]))
    axes[columns] = found
    return SearchAxes(centre.astype(np.float64), axes, encoder)


def fit_search_axes(
    embeddings: np.ndarray,
    groups: np.ndarray,
    size: int = 256,
    columns: Sequence[int] | np.ndarray | None = None,
) -> SearchAxes:
    """Find the axes along which relatives are alike and others are not.

    The linear discriminants of groups, as many as `size`: columns are standardised, the covariance
    within groups is shrunk towards a multiple of one, and every axis is scaled to a variance of 1
    within groups (within-class covariance normalisation, Hatch et al. 2006).

    Args:
        embeddings: (n, width), of one encoder.
        groups: alike for relatives, (n,); those of one transcript say nothing. See `draw_genes`.
        size: of the vectors, at most.
        columns: of the embeddings to look at; None: all.

    Raises:
        InputError: embeddings that are not finite numbers of n rows, no group of several, or a size
            below 1.
    """
    _check_size(size)
    if np.ndim(embeddings) != 2 or not np.isfinite(embeddings).all():
        raise InputError(f"embeddings: got {np.shape(embeddings)}, wanted (n, width), all finite")
    names, counts = np.unique(groups, return_counts=True)
    if len(groups) != len(embeddings) or len(names) < 2 or counts.max() < 2:
        raise InputError(
            f"groups: got {counted(len(groups), 'row')} in {counted(len(names), 'group')}, wanted "
            f"{len(embeddings)} rows in several groups, some of several transcripts"
        )
    width = embeddings.shape[1]
    looked_at = np.arange(width) if columns is None else np.asarray(columns)
    looked_at = looked_at[np.ptp(embeddings[:, looked_at], axis=0) > 0]
    standard = standardised(embeddings[:, looked_at])
    within = covariance_within(standard, groups)
    between = standard.T @ standard / len(standard) - within
    shrunk = within + _SHRINKAGE * within.trace() / len(within) * np.eye(len(within))
    most = min(size, len(looked_at))
    _, found = eigh(between, shrunk, subset_by_index=(len(looked_at) - most, len(looked_at) - 1))
    axes = np.zeros((width, most))
    axes[looked_at] = (
        found[:, ::-1] / embeddings[:, looked_at].std(axis=0, dtype=np.float64)[:, None]
    )
    return SearchAxes(embeddings.mean(axis=0, dtype=np.float64), axes)


def _check_size(size: int) -> None:
    if size < 1:
        raise InputError(f"size: got {size}, wanted at least 1")


def search_columns(config: IsoCLRConfig) -> np.ndarray | None:
    """Return the columns that axes look at: codon usage and what the stem sees, of regions.

    The layout of regions and what the stages see made neither splice partners nor homologs easier
    to find (docs/log/search.md). None, for all, of a model that pools otherwise.
    """
    if config.pooling != "regions":
        return None
    end = config.pooled_size - config.content_size
    codons = config.layout_size + np.arange(CODONS)
    stem = np.arange(config.pooled_size - config.contrasted_size, end)
    return np.concatenate([codons, stem])


def make_search_axes(
    model: str | os.PathLike,
    folder: str | os.PathLike,
    output: Path,
    *,
    size: int = 256,
    transcripts: int = 20_000,
    seed: int = 0,
    choice: GroupChoice = EVERY,
) -> tuple[SearchAxes, int]:
    """Fit axes to isoform groups and write them into a model's folder, or into any other.

    `transcripts`, one of each gene, groups in random order, are enough; groups of one gene are
    passed over. `isoclr retrieve` measures the axes on a choice of other groups. It returns the
    axes, and how many groups they were fitted to.
    """
    _check_size(size)
    encoder, tokenizer = load_model(model)
    chosen, groups = draw_genes(choice.read(folder), transcripts, seed)
    embeddings = embed_transcripts(encoder, tokenizer, chosen)
    axes = fit_search_axes(embeddings, groups, size, search_columns(encoder.config))
    axes = replace(axes, encoder=weights_digest(encoder))
    output.mkdir(parents=True, exist_ok=True)
    write_search_axes(axes, output)
    return axes, len(np.unique(groups))


def draw_genes(
    read: Iterable[IsoformGroup], transcripts: int, seed: int
) -> tuple[list[Transcript], np.ndarray]:
    """Draw a transcript of each gene of groups that have several genes, groups in random order.

    Isoforms of one gene differ in little, and axes that are fitted to them take what homologs
    differ in for what tells groups apart. It returns at most so many transcripts, and the number of
    the group of each, (n,).
    """
    rng = np.random.default_rng(seed)
    several = []
    for group in read:
        genes: dict[tuple[str, str], list[Transcript]] = {}
        for transcript in group.transcripts:
            genes.setdefault((transcript.species, transcript.gene_id), []).append(transcript)
        if len(genes) > 1:
            several.append(list(genes.values()))
    chosen: list[Transcript] = []
    groups: list[int] = []
    for number in rng.permutation(len(several)):
        if len(chosen) + len(several[number]) > transcripts:
            break
        chosen += [of_gene[rng.integers(len(of_gene))] for of_gene in several[number]]
        groups += [int(number)] * len(several[number])
    return chosen, np.array(groups, int)


def whitened(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings in which every direction says as much as any other, float32 (n, width).

    The cosine of raw embeddings hears what varies most, such as length, and little else. Columns
    are standardised, then their principal axes scaled to a variance of 1, those of little variance
    less: a tenth of a column's is added, so that noise is not raised with them.
    """
    if np.ndim(embeddings) != 2 or not np.isfinite(embeddings).all():
        raise InputError(
            f"embeddings: got shape {np.shape(embeddings)}, wanted (n, width), all finite"
        )
    standard = standardised(embeddings)
    variances, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    return (standard @ (axes / np.sqrt(variances.clip(0) + _WHITENING_FLOOR))).astype(np.float32)


def axes_of(model: str | os.PathLike, encoder: IsoCLRModel) -> SearchAxes | None:
    """Read the axes of a model that is loaded; axes of another encoder are an InputError."""
    axes = read_search_axes(model)
    if axes is not None and axes.encoder != weights_digest(encoder):
        raise InputError(f"{model}: got {SEARCH_FILE} of another encoder, wanted that of its own")
    return axes


def search_vectors(
    transcripts: Sequence[Transcript],
    model: str | os.PathLike = DEFAULT_MODEL,
    *,
    progress: bool = True,
) -> np.ndarray:
    """Embed for search: float32 (n, size), of length 1, whose products are similarities.

    By the axes of the model; where it has none, embeddings are whitened over these transcripts.
    """
    encoder, tokenizer = load_model(model)
    axes = axes_of(model, encoder)
    embeddings = embed_transcripts(encoder, tokenizer, transcripts, progress=progress)
    return unit_vectors(whitened(embeddings)) if axes is None else axes.vectors(embeddings)


def neighbours(
    transcripts: Sequence[Transcript],
    vectors: np.ndarray,
    *,
    count: int = 10,
    queries: Sequence[str] | None = None,
    other_genes: bool = False,
    progress: bool = True,
) -> pl.DataFrame:
    """Find the nearest transcripts of each by the cosine of their vectors, exactly.

    Args:
        transcripts: n of them.
        vectors: (n, size), of length 1, see `search_vectors`.
        count: neighbours of each; fewer where there are fewer.
        queries: ids of the transcripts that ask; None: all.
        other_genes: leave out transcripts of the query's own gene.
        progress: show a bar.

    Returns:
        A row for each query and neighbour, the nearest first: transcript_id, gene_id, species,
        rank (from 1), neighbour, neighbour_gene, neighbour_species, similarity (-1 to 1).

    Raises:
        InputError: fewer than two transcripts, a count below 1, or a query that is not among them.
    """
    if len(transcripts) < 2 or count < 1:
        raise InputError(
            f"neighbours: got {count} among {len(transcripts)} transcripts, wanted at least one "
            "among two"
        )
    rows = np.arange(len(transcripts)) if queries is None else _rows_of(queries, transcripts)
    names = [(t.species, t.gene_id) for t in transcripts]
    _, genes, sizes = np.unique(
        np.array(["\0".join(name) for name in names]), return_inverse=True, return_counts=True
    )
    own = int(sizes[genes[rows]].max()) if other_genes else 1
    asked = min(count + own, len(transcripts))
    index = NearestNeighbors(n_neighbors=asked, algorithm="brute").fit(vectors)
    found: list[tuple[int, int, int, float]] = []
    starts = range(0, len(rows), _QUERIES_AT_ONCE)
    for start in progress_bar(starts, "neighbours", unit="block", show=progress):
        part = rows[start : start + _QUERIES_AT_ONCE]
        distances, nearest = index.kneighbors(vectors[part])
        for query, row, distance in zip(part, nearest, distances, strict=True):
            others = genes[row] != genes[query] if other_genes else row != query
            kept = zip(row[others][:count], distance[others][:count], strict=True)
            found += [
                (query, near, rank, 1 - far**2 / 2) for rank, (near, far) in enumerate(kept, 1)
            ]
    return _table(transcripts, found)


def _rows_of(queries: Sequence[str], transcripts: Sequence[Transcript]) -> np.ndarray:
    wanted = set(queries)
    rows = [row for row, t in enumerate(transcripts) if t.transcript_id in wanted]
    if missing := sorted(wanted - {transcripts[row].transcript_id for row in rows}):
        raise InputError(
            f"query '{missing[0]}': got no transcript of this name among {len(transcripts)}, such "
            f"as '{transcripts[0].transcript_id}'"
        )
    return np.array(rows)


def _table(
    transcripts: Sequence[Transcript], found: Sequence[tuple[int, int, int, float]]
) -> pl.DataFrame:
    columns: dict[str, list] = {}
    sides = [row[0] for row in found], [row[1] for row in found]
    for prefix, rows in zip(("", "neighbour_"), sides, strict=True):
        of = [transcripts[row] for row in rows]
        columns[prefix.removesuffix("_") or "transcript_id"] = [t.transcript_id for t in of]
        columns[f"{prefix}gene" if prefix else "gene_id"] = [t.gene_id for t in of]
        columns[f"{prefix}species"] = [t.species for t in of]
    columns["rank"] = [row[2] for row in found]
    columns["similarity"] = [float(row[3]) for row in found]
    order = ("transcript_id", "gene_id", "species", "rank", "neighbour", "neighbour_gene")
    order += ("neighbour_species", "similarity")
    kinds = dict.fromkeys(order, pl.String) | {"rank": pl.Int64, "similarity": pl.Float64}
    return pl.DataFrame({name: columns[name] for name in order}, schema=kinds)
