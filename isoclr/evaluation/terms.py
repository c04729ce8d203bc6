"""Gene Ontology terms in embeddings: do genes of one term lie together?"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from data_builders.labels.label_set import LabelSet
from data_builders.labels.ontology import ASPECTS, Ontology
from data_builders.records import InputError
from isoclr.progress import progress as progress_bar
from isoclr.statistics import aligned, standardised, unit_vectors

MEASURES = ("silhouette", "purity")
_NEIGHBOURS = 10
_PERMUTATIONS = 200


def frequent_terms(labels: LabelSet, terms: int = 10, *, max_share: float = 0.1) -> list[int]:
    """Return the most frequent terms that at most a share of the genes has, as columns of targets.

    For labels without an ontology, where the level of a term is not known: the share keeps out
    terms as wide as "binding". A term is passed over when most of its genes have one already
    chosen: terms lie within terms. Fewer than two such terms are an InputError.
    """
    _check(labels)
    narrow = np.flatnonzero(labels.targets.mean(axis=0) <= max_share)
    return _choose(labels, narrow, terms, f"terms of at most {max_share:.0%} of the genes")


def of_terms(labels: LabelSet, columns: Sequence[int]) -> LabelSet:
    """Return the labels of some classes alone, in the order given."""
    return replace(
        labels,
        targets=labels.targets[:, list(columns)],
        classes=tuple(labels.classes[column] for column in columns),
    )


def terms_at_level(
    labels: LabelSet, ontology: Ontology, terms: int = 10, *, level: int = 3, aspect: str = "F"
) -> list[int]:
    """Return the most frequent terms at a level of the ontology, as the IsoCLR paper takes them.

    Args:
        labels: with classes that are ids of terms.
        ontology: that of the ids.
        terms: how many, fewer where there are fewer.
        level: steps from the root, over the shortest way within the namespace.
        aspect: "F", "P" or "C".

    Returns:
        As `frequent_terms`.

    Raises:
        InputError: labels without classes, an unknown aspect, or fewer than two such terms.
    """
    _check(labels)
    if aspect not in ASPECTS:
        raise InputError(f"aspect: got '{aspect}', wanted one of {', '.join(ASPECTS)}")
    children: dict[str, list[str]] = {}
    roots = []
    for term, parents in ontology.parents.items():
        parents = [p for p in parents if ontology.namespace[p] == ontology.namespace[term]]
        for parent in parents:
            children.setdefault(parent, []).append(term)
        if not parents and ontology.namespace[term] == ASPECTS[aspect]:
            roots.append(term)
    at_level, above = set(roots), set(roots)
    for _ in range(level):
        at_level = {child for term in at_level for child in children.get(term, ())} - above
        above |= at_level
    columns = np.array([i for i, name in enumerate(labels.classes) if name in at_level], int)
    return _choose(labels, columns, terms, f"terms of {ASPECTS[aspect]} at level {level}")


def _check(labels: LabelSet) -> None:
    if not labels.classes:
        raise InputError(
            f"labels: got the number '{labels.label}', wanted classes such as GO terms"
        )


def _choose(labels: LabelSet, columns: np.ndarray, terms: int, what: str) -> list[int]:
    counts = labels.targets.sum(axis=0)
    chosen: list[int] = []
    for column in sorted(columns.tolist(), key=lambda i: (-counts[i], labels.classes[i])):
        members = labels.targets[:, column]
        taken = labels.targets[members][:, chosen].any(axis=1).mean() if members.any() else 1
        if taken <= 0.5 and len(chosen) < terms:
            chosen.append(column)
    if len(chosen) < 2:
        raise InputError(f"labels: got {len(chosen)} {what}, wanted two or more")
    return chosen


@dataclass(frozen=True)
class Separation:
    """How well genes of different terms lie apart.

    Attributes:
        terms: their names.
        genes: of each term that count: those with none other of the terms, one a homology group.
        scores: feature set -> measure -> "value", "shuffled" (the 95 % interval among shuffled
            terms) and "p" (the share of shuffles, and of the value itself, that are as high).
            "silhouette", by cosine, from -1 to 1; "purity", the share of a gene's ten nearest
            neighbours that have its term.
    """

    terms: tuple[str, ...]
    genes: tuple[int, ...]
    scores: dict[str, dict[str, dict]]

    def table(self) -> str:
        """Return one aligned line a feature set, for reading."""
        lines = [("features", *(x for m in MEASURES for x in (m, "shuffled terms", "p")))]
        for name, scores in self.scores.items():
            cells = []
            for found in (scores[measure] for measure in MEASURES):
                low, high = found["shuffled"]
                cells += [f"{found['value']:.3f}", f"{low:.3f} … {high:.3f}", f"{found['p']:.2g}"]
            lines.append((name, *cells))
        return f"{self.title()}\n{aligned(lines)}"

    def title(self) -> str:
        """Say what was asked, in one line."""
        return f"{sum(self.genes):,} genes with one of {len(self.terms)} terms"

    def to_json(self, path: str | os.PathLike) -> None:
        """Write every field as one JSON object."""
        with open(path, "w") as file:
            json.dump(asdict(self), file, indent=1, allow_nan=False)
            file.write("\n")


def single_term_genes(labels: LabelSet, terms: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return genes with exactly one of some terms, the first of each homology group.

    Homologs share terms and sequence: several of a group would find each other whatever the
    embedding knows of function. Returns ascending rows, and for each the place of its term in
    `terms`, both int64 (genes,). Not more genes than neighbours are an InputError.
    """
    of_terms = labels.targets[:, terms]
    rows = np.flatnonzero(of_terms.sum(axis=1) == 1)
    _, first = np.unique(np.array(labels.groups, object)[rows].astype(str), return_index=True)
    rows = rows[np.sort(first)]
    term = of_terms[rows].argmax(axis=1)
    if len(rows) <= _NEIGHBOURS or len(np.unique(term)) < 2:
        raise InputError(
            f"labels: got {len(rows)} genes of {len(np.unique(term))} terms with no other of them, "
            f"wanted more than {_NEIGHBOURS} genes of two terms or more"
        )
    return rows, term


def separate(
    features: Mapping[str, np.ndarray],
    labels: LabelSet,
    terms: list[int],
    *,
    permutations: int = _PERMUTATIONS,
    seed: int = 0,
    progress: bool = True,
) -> Separation:
    """Measure silhouette and purity of neighbours of feature sets, beside shuffled terms.

    Columns are standardised over the genes, so that features of any unit are treated alike.

    Args:
        features: name -> (n, any width), in the order of the transcripts.
        labels: n transcripts with classes.
        terms: columns of the targets.
        permutations: shuffles of the terms over the genes, the same for all feature sets.
        seed: of the shuffles.
        progress: show a bar on stderr.

    Raises:
        InputError: too few genes with one term, another number of rows, or one that is not finite.
    """
    rows, term = single_term_genes(labels, terms)
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(term) for _ in range(permutations)]
    scores = {}
    bar = progress_bar(features.items(), "separation", unit="feature set", show=progress)
    for name, matrix in bar:
        if len(matrix) != len(labels.targets) or not np.isfinite(matrix).all():
            raise InputError(
                f"features '{name}': got shape {np.shape(matrix)}, wanted "
                f"{len(labels.targets)} rows, all finite"
            )
        unit = unit_vectors(standardised(matrix[rows]))
        similarity = unit @ unit.T
        others = np.where(np.eye(len(unit), dtype=bool), -np.inf, similarity)
        near = np.argpartition(-others, _NEIGHBOURS)[:, :_NEIGHBOURS]
        values = np.array(
            [
                (cosine_silhouettes(similarity, each).mean(), (each[near] == each[:, None]).mean())
                for each in (term, *shuffled)
            ]
        )
        scores[name] = {
            measure: {
                "value": float(value[0]),
                "shuffled": np.quantile(value[1:], (0.025, 0.975)).tolist(),
                "p": float((value >= value[0]).mean()),
            }
            for measure, value in zip(MEASURES, values.T, strict=True)
        }
    genes = tuple(np.bincount(term, minlength=len(terms)).tolist())
    return Separation(tuple(labels.classes[i] for i in terms), genes, scores)


def cosine_silhouettes(similarity: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the silhouette (Rousseeuw 1987) of every row, by cosine distance, float64 (n,).

    A product of the cosines (n, n) with one matrix of pairs for each labelling: what makes hundreds
    of shuffles cheap. A row alone in its cluster has 0.
    """
    present, place = np.unique(clusters, return_inverse=True)
    sizes, rows = np.bincount(place).astype(np.float64), np.arange(len(clusters))
    members = np.eye(len(present), dtype=similarity.dtype)[place]
    totals = sizes - similarity @ members
    own_size = sizes[place]
    to_itself = 1 - similarity.diagonal()  # 0, but for a row of zeros
    within = (totals[rows, place] - to_itself) / np.maximum(own_size - 1, 1)
    between = totals / sizes
    between[rows, place] = np.inf
    nearest = between.min(axis=1)
    larger = np.maximum(within, nearest)
    silhouettes = np.divide(nearest - within, larger, out=np.zeros(len(rows)), where=larger > 0)
    return np.where(own_size > 1, silhouettes, 0)


def map_genes(matrix: np.ndarray) -> np.ndarray:
    """Put rows on a plane, float32 (n, 2): standardised, 50 principal components, t-SNE."""
    columns = standardised(matrix)
    components = min(50, *columns.shape)
    reduced = PCA(components, svd_solver="covariance_eigh").fit_transform(columns)
    perplexity = min(30.0, (len(matrix) - 1) / 3)
    return TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(reduced)
