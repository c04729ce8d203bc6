"""Gene Ontology by a model, beside its controls."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_builders.labels.files import read_label_set
from data_builders.labels.ontology import read_obo
from data_builders.labels.splits import SEEDS
from isoclr.evaluation.controls import control_features, control_predictors
from isoclr.evaluation.embed import embed_transcripts, load_model
from isoclr.evaluation.figures import plot_probe
from isoclr.evaluation.figures_terms import plot_terms
from isoclr.evaluation.probe import ProbeResult, probe
from isoclr.evaluation.supervised import untrained
from isoclr.evaluation.terms import (
    Separation,
    frequent_terms,
    map_genes,
    separate,
    single_term_genes,
    terms_at_level,
)


def go_model(
    model: str | os.PathLike,
    labels: str | os.PathLike,
    output: Path,
    *,
    terms: int = 10,
    max_share: float = 0.1,
    obo: str | os.PathLike | None = None,
    level: int = 3,
    aspect: str = "F",
    seeds: Sequence[int] = SEEDS,
    saluki: bool = False,
) -> tuple[Separation, ProbeResult]:
    """Do terms lie apart, and does a linear probe read them: a model and its controls.

    Writes `go.json` and `go.png` (genes with one of the terms), `probe.json` and `probe.png` (all
    genes, every term a class).

    Args:
        model: as `load_model` takes it.
        labels: file of `write_label_set`, with classes.
        output: folder to write into.
        terms: as in `frequent_terms`.
        max_share: as in `frequent_terms`.
        obo: ontology, for `terms_at_level` to choose the terms instead.
        level: as in `terms_at_level`.
        aspect: as in `terms_at_level`.
        seeds: as in `probe`.
        saluki: as in `probe_models`.

    Raises:
        InputError: as these, `separate` and `probe`.
    """
    labelled, _ = read_label_set(labels)
    if obo is None:
        columns = frequent_terms(labelled, terms, max_share=max_share)
    else:
        columns = terms_at_level(labelled, read_obo(obo), terms, level=level, aspect=aspect)
    rows, term = single_term_genes(labelled, columns)
    encoder, tokenizer = load_model(model)
    features = {"IsoCLR": embed_transcripts(encoder, tokenizer, labelled.transcripts)}
    random = untrained(encoder.config, 0)
    features["random weights"] = embed_transcripts(random, tokenizer, labelled.transcripts)
    maps = {name: map_genes(matrix[rows]) for name, matrix in features.items()}
    features |= control_features(labelled.transcripts, kmers=[(1, 6)])
    separation = separate(features, labelled, columns)
    output.mkdir(parents=True, exist_ok=True)
    separation.to_json(output / "go.json")
    plot_terms(separation, maps, term, output / "go.png")
    of_terms = replace(
        labelled,
        targets=labelled.targets[:, columns],
        classes=tuple(labelled.classes[column] for column in columns),
    )
    predictors = control_predictors(features, of_terms, output / "saluki" if saluki else None)
    probed = probe(features, of_terms, predictors=predictors, seeds=seeds)
    probed.to_json(output / "probe.json")
    plot_probe(probed, output / "probe.png")
    return separation, probed
