"""A model beside its controls, on one set of labels."""

import os
from pathlib import Path

import numpy as np
import torch

from data_builders.groups import read_groups
from data_builders.homology import read_homology
from data_builders.labels import read_labels
from isoclr.evaluation.embed import embed_transcripts, load_model
from isoclr.evaluation.features import baseline_features
from isoclr.evaluation.figures import plot_probe
from isoclr.evaluation.probe import ProbeResult, probe
from modeling_isoclr import IsoCLRModel


def probe_model(
    model: str | os.PathLike,
    labels: str | os.PathLike,
    label: str,
    output: Path,
    *,
    isoform_groups: str | os.PathLike | None = None,
    homology: str | os.PathLike | None = None,
    taxonomy: int = 9606,
    split: str = "homology",
) -> ProbeResult:
    """Probe a model, the same encoder with random weights, and features that need no model.

    Writes `probe.json` and `probe.png`.

    Args:
        model: as `load_model` takes it.
        labels: as `read_labels` takes it.
        label: column of the labels.
        output: folder to write into.
        isoform_groups: folder of the transcripts, when the labels do not carry them.
        homology: table for `read_homology`, when they do.
        taxonomy: NCBI id of the species of labels without a column species.
        split: as `probe` takes it.

    Returns:
        The scores; the model is the reference.
    """
    labelled = read_labels(
        labels,
        label,
        homology=None if homology is None else read_homology(homology),
        isoform_groups=None if isoform_groups is None else read_groups(isoform_groups),
        species=str(taxonomy),
    )
    encoder, tokenizer = load_model(model)
    features: dict[str, np.ndarray] = {}
    features["IsoCLR"] = embed_transcripts(encoder, tokenizer, labelled.transcripts)
    torch.manual_seed(0)
    untrained = IsoCLRModel(encoder.config).eval().to(encoder.device)
    features["random weights"] = embed_transcripts(untrained, tokenizer, labelled.transcripts)
    features |= baseline_features(labelled.transcripts)
    result = probe(features, labelled, split=split)
    output.mkdir(parents=True, exist_ok=True)
    result.to_json(output / "probe.json")
    plot_probe(result, output / "probe.png")
    return result
