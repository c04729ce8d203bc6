"""Search among transcripts: axes in which plain cosine finds relatives, and nearest neighbours."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from huggingface_hub import HfApi, snapshot_download
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.linalg import eigh
from sklearn.neighbors import NearestNeighbors

from data_builders.counts import counted
from data_builders.groups.choice import EVERY, GroupChoice
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.storage import respect_umask
from isoclr.evaluation.discriminants import covariance_within
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.features import AMINO_ACIDS, kmer_frequencies, residue_pair_frequencies
from isoclr.model_folder import SEARCH_FILE
from isoclr.pretrained import load_model
from isoclr.progress import progress as progress_bar
from isoclr.repositories import hub_errors
from isoclr.shipped import DEFAULT_MODEL, resolve_model
from isoclr.statistics import standardised, unit_vectors

WORDS = "amino-acid pairs and 6-mers"
"""What search compares."""

_AT_ONCE = 1024
_WHITENING_FLOOR = 0.1
_PAIRS = len(AMINO_ACIDS) ** 2
_K = 6
_PROJECTIONS = 256
_WIDTH = _PAIRS + _PROJECTIONS
# Of the mean variance within groups, added to that of every column; chosen on groups that axes were
# not fitted to, see docs/log/search.md.
_SHRINKAGE = 3.0


@cache
def _signs() -> np.ndarray:
    """Return a random projection of 6-mers (Achlioptas 2003), (4096, 256), always the same."""
    raw = np.random.PCG64(0).random_raw(4**_K * _PROJECTIONS // 64).astype("<u8")
    bits = np.unpackbits(raw.view(np.uint8)).reshape(4**_K, _PROJECTIONS)
    return (2 * bits.astype(np.float32) - 1) / _PROJECTIONS**0.5


def search_words(transcripts: Sequence[Transcript], *, progress: bool = True) -> np.ndarray:
    """Return what search compares, before any axes: no model is asked.

    The product of two rows of square roots of frequencies is the Bhattacharyya coefficient of the
    frequencies. A frequent word weighs less in it than in a product of the frequencies themselves.

    Args:
        transcripts: n of them.
        progress: show a bar.

    Returns:
        float32 (n, 656): square roots of the frequencies of pairs of neighbouring residues, zeros
        without a CDS, and 256 random projections of those of the 6-mers of the whole transcript.
    """
    words = np.empty((len(transcripts), _WIDTH), np.float32)
    starts = range(0, len(transcripts), _AT_ONCE)
    for start in progress_bar(starts, "words", unit="block", show=progress):
        part = transcripts[start : start + _AT_ONCE]
        rows = words[start : start + _AT_ONCE]
        rows[:, :_PAIRS] = np.sqrt(residue_pair_frequencies(part))
        rows[:, _PAIRS:] = np.sqrt(kmer_frequencies(part, _K, _K, show=False)) @ _signs()
    return words


@dataclass(frozen=True)
class SearchAxes:
    """Axes of `search_words` along which relatives are alike.

    Attributes:
        centre: (656,).
        axes: (656, size).
    """

    centre: np.ndarray
    axes: np.ndarray

    def vectors(self, words: np.ndarray) -> np.ndarray:
        """Return vectors of length 1 whose products are the similarities: float32 (n, size).

        Args:
            words: of `search_words`, (n, 656).
        """
        return unit_vectors((np.asarray(words, np.float64) - self.centre) @ self.axes)


def write_search_axes(axes: SearchAxes, folder: Path) -> None:
    """Write `search.safetensors`, in single precision."""
    arrays = {"centre": axes.centre.astype(np.float32), "axes": axes.axes.astype(np.float32)}
    save_file(arrays, folder / SEARCH_FILE)
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
        found = load_file(path)
        centre, axes = found["centre"], found["axes"]
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{path}: got '{error}', wanted axes that isoclr wrote") from error
    if centre.shape != (_WIDTH,) or axes.shape[:1] != (_WIDTH,) or not np.isfinite(axes).all():
        raise InputError(
            f"{path}: got {centre.shape} and {axes.shape}, wanted a centre ({_WIDTH},) and finite "
            f"axes ({_WIDTH}, size); isoclr search-axes fits them anew"
        )
    return SearchAxes(centre.astype(np.float64), axes.astype(np.float64))


def fit_search_axes(words: np.ndarray, groups: np.ndarray) -> SearchAxes:
    """Find the axes along which relatives are alike and others are not.

    The linear discriminants of groups, all of them: columns are standardised, the covariance within
    groups is shrunk towards a multiple of one, and every axis is scaled to a variance of 1 within
    groups (within-class covariance normalisation, Hatch et al. 2006).

    Args:
        words: columns, (n, width), such as `search_words`.
        groups: alike for relatives, (n,); those of one transcript say nothing. See `draw_genes`.

    Raises:
        InputError: words that are not finite numbers of n rows, or no group of several.
    """
    if np.ndim(words) != 2 or not np.isfinite(words).all():
        raise InputError(f"words: got {np.shape(words)}, wanted (n, width), all finite")
    names, counts = np.unique(groups, return_counts=True)
    if len(groups) != len(words) or len(names) < 2 or counts.max() < 2:
        raise InputError(
            f"groups: got {counted(len(groups), 'row')} in {counted(len(names), 'group')}, wanted "
            f"{len(words)} rows in several groups, some of several transcripts"
        )
    varying = np.flatnonzero(np.ptp(words, axis=0) > 0)
    standard = standardised(words[:, varying])
    within = covariance_within(standard, groups)
    between = standard.T @ standard / len(standard) - within
    shrunk = within + _SHRINKAGE * within.trace() / len(within) * np.eye(len(within))
    _, found = eigh(between, shrunk)
    axes = np.zeros((words.shape[1], len(varying)))
    axes[varying] = found[:, ::-1] / words[:, varying].std(axis=0, dtype=np.float64)[:, None]
    return SearchAxes(words.mean(axis=0, dtype=np.float64), axes)


def make_search_axes(
    folder: str | os.PathLike,
    output: Path,
    *,
    transcripts: int = 20_000,
    seed: int = 0,
    choice: GroupChoice = EVERY,
) -> tuple[SearchAxes, int]:
    """Fit axes to isoform groups and write them into a model's folder, or into any other.

    `transcripts`, one of each gene, groups in random order, are enough; groups of one gene are
    passed over. `isoclr retrieve` measures the axes on a choice of other groups. It returns the
    axes, and how many groups they were fitted to.
    """
    chosen, groups = draw_genes(choice.read(folder), transcripts, seed)
    axes = fit_search_axes(search_words(chosen), groups)
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


def search_vectors(
    transcripts: Sequence[Transcript],
    model: str | os.PathLike = DEFAULT_MODEL,
    *,
    progress: bool = True,
) -> np.ndarray:
    """Return vectors for search: float32 (n, size), of length 1, whose products are similarities.

    By the axes that the model brings, for which its encoder is not run; where it has none, its
    embeddings are whitened over these transcripts.
    """
    axes = read_search_axes(model)
    if axes is not None:
        return axes.vectors(search_words(transcripts, progress=progress))
    encoder, tokenizer = load_model(model)
    embeddings = embed_transcripts(encoder, tokenizer, transcripts, progress=progress)
    return unit_vectors(whitened(embeddings))


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
    starts = range(0, len(rows), _AT_ONCE)
    for start in progress_bar(starts, "neighbours", unit="block", show=progress):
        part = rows[start : start + _AT_ONCE]
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
