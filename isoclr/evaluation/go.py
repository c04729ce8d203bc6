"""Gene Ontology by a model, beside its controls."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_builders.labels.files import read_label_set
from data_builders.labels.ontology import read_obo
from data_builders.labels.splits import SEEDS, make_splits
from isoclr.evaluation.compare import Results, RunLog
from isoclr.evaluation.controls import control_features, control_predictors
from isoclr.evaluation.embeddings import features_of, model_names
from isoclr.evaluation.features import residue_pair_frequencies
from isoclr.evaluation.figures_terms import plot_terms
from isoclr.evaluation.probe import fingerprint, probe, random_features, write_probe
from isoclr.evaluation.terms import (
    Separation,
    frequent_terms,
    map_genes,
    of_terms,
    separate,
    single_term_genes,
    terms_at_level,
)


@dataclass(frozen=True, kw_only=True)
class TermOptions:
    """Which terms are looked at, and how they are probed.

    Attributes:
        terms: how many, the most frequent.
        max_share: as in `frequent_terms`.
        obo: ontology, for `terms_at_level` to choose the terms instead.
        level: as in `terms_at_level`.
        aspect: as in `terms_at_level`.
        seeds: of the splits.
        saluki: as in `ProbeOptions`.
    """

    terms: int = 10
    max_share: float = 0.1
    obo: str | os.PathLike | None = None
    level: int = 3
    aspect: str = "F"
    seeds: Sequence[int] = SEEDS
    saluki: bool = False


def go_model(
    model: str | os.PathLike,
    labels: str | os.PathLike,
    output: Path,
    options: TermOptions | None = None,
) -> tuple[Separation, Results]:
    """Measure whether terms lie apart and a linear probe reads them: a model and its controls.

    Writes `go.json` and `go.png` (genes with one of the terms), `probe.json` and `probe.png` (all
    genes, every term a class), and with the network after Saluki `runs.jsonl`. The labels are a
    file of `write_label_set`, with classes.
    """
    options = options or TermOptions()
    labelled = read_label_set(labels)
    if options.obo is None:
        columns = frequent_terms(labelled, options.terms, max_share=options.max_share)
    else:
        ontology, where = read_obo(options.obo), {"level": options.level, "aspect": options.aspect}
        columns = terms_at_level(labelled, ontology, options.terms, **where)
    rows, term = single_term_genes(labelled, columns)
    features = features_of(model_names([model]), {}, labelled.transcripts)
    features |= random_features([model], labelled)
    maps = {name: map_genes(matrix[rows]) for name, matrix in features.items()}
    features |= control_features(labelled.transcripts, kmers=[(1, 6)])
    pairs = np.sqrt(residue_pair_frequencies(labelled.transcripts))
    features["amino-acid pairs"] = pairs
    features |= {f"{name} + amino-acid pairs": np.hstack([features[name], pairs]) for name in maps}
    separation = separate(features, labelled, columns)
    output.mkdir(parents=True, exist_ok=True)
    separation.to_json(output / "go.json")
    plot_terms(separation, maps, term, output / "go.png")
    chosen = of_terms(labelled, columns)
    log = None
    if options.saluki:
        about = {"fingerprint": fingerprint(features, chosen, "homology")}
        log = RunLog(output / "runs.jsonl", about)
    results = probe(
        features,
        chosen,
        make_splits(chosen, seeds=options.seeds),
        predictors=control_predictors(features, chosen.transcripts, options.saluki),
        log=log,
    )
    write_probe(results, output)
    return separation, results
