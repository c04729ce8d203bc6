"""Models beside their controls, on one set of labels."""

import os
from collections.abc import Sequence
from pathlib import Path

from data_builders.groups.parquet import read_groups
from data_builders.homology.homologous_genes import read_homology
from data_builders.labels.files import read_label_set
from data_builders.labels.label_set import LabelSet, read_labels
from data_builders.labels.splits import read_chromosomes
from data_builders.records import InputError
from isoclr.evaluation.controls import KMERS, control_features, control_predictors
from isoclr.evaluation.embed import embed_transcripts, load_model
from isoclr.evaluation.figures import plot_few_labels, plot_probe
from isoclr.evaluation.probe import (
    ProbeResult,
    probe_few_labels,
    write_few_labels,
)
from isoclr.evaluation.supervised import untrained


def probe_models(
    models: Sequence[str | os.PathLike],
    labels: str | os.PathLike,
    label: str | None,
    output: Path,
    *,
    isoform_groups: str | os.PathLike | None = None,
    homology: str | os.PathLike | Sequence | None = None,
    taxonomy: int = 9606,
    split: str = "homology",
    chromosomes: str | os.PathLike | None = None,
    kmers: Sequence[tuple[int, int]] = KMERS,
    saluki: bool = False,
    few_labels: Sequence[int] = (),
) -> tuple[ProbeResult, ...]:
    """Probe models, the first one with random weights, and all that needs no model.

    Writes `probe.json` and `probe.png`, and for few labels `few_labels.json` and `few_labels.png`.
    What each supervised network predicts is kept in `saluki`: a run that was stopped goes on there.

    Args:
        models: each as `load_model` takes it; the first is what the others are compared with.
        labels: as `read_labelled` takes it.
        label: as `read_labelled` takes it.
        output: folder to write into.
        isoform_groups: as `read_labelled` takes them.
        homology: as `read_labelled` takes it.
        taxonomy: as `read_labelled` takes it.
        split: as `probe` takes it.
        chromosomes: table for `read_chromosomes`, for that split; None: `labels` is one.
        kmers: as `control_features` takes them.
        saluki: train a supervised network beside them, which takes long.
        few_labels: as the sizes of `probe_few_labels`.

    Returns:
        A result for each of `few_labels`, ascending, and last the one of all labels.
    """
    named = _names(models)
    labelled = read_labelled(
        labels, label, isoform_groups=isoform_groups, homology=homology, taxonomy=taxonomy
    )
    places = read_chromosomes(chromosomes or labels) if split == "chromosome" else None
    loaded = {name: load_model(model) for name, model in named.items()}
    features = {
        name: embed_transcripts(encoder, tokenizer, labelled.transcripts)
        for name, (encoder, tokenizer) in loaded.items()
    }
    first, tokenizer = next(iter(loaded.values()))
    random = untrained(first.config, 0)
    controls = {
        "random weights": embed_transcripts(random, tokenizer, labelled.transcripts),
        **control_features(labelled.transcripts, kmers),
    }
    predictors = control_predictors(controls, labelled, output / "saluki" if saluki else None)
    for name in named.keys() & (controls.keys() | predictors.keys()):
        raise InputError(f"model {named[name]}: got '{name}', a control's name, wanted another")
    results = probe_few_labels(
        features | controls,
        labelled,
        few_labels,
        split=split,
        chromosomes=places,
        predictors=predictors,
    )
    output.mkdir(parents=True, exist_ok=True)
    results[-1].to_json(output / "probe.json")
    plot_probe(results[-1], output / "probe.png")
    if few_labels:
        write_few_labels(results, output / "few_labels.json")
        plot_few_labels(results, output / "few_labels.png")
    return results


def read_labelled(
    path: str | os.PathLike,
    label: str | None,
    *,
    isoform_groups: str | os.PathLike | None = None,
    homology: str | os.PathLike | Sequence | None = None,
    taxonomy: int = 9606,
) -> LabelSet:
    """Reads labels for an evaluation.

    Args:
        path: a table, as `read_labels` takes it; without a `label`, a label set.
        label: column of the table.
        isoform_groups: folder of the transcripts, when the table does not carry them.
        homology: for `read_homology`, when it does.
        taxonomy: NCBI id of the species of a table without a column species.

    Raises:
        InputError: as in `read_labels` and `read_label_set`; groups or homology for a label set.
    """
    if label is None:
        if isoform_groups is not None or homology is not None:
            raise InputError(f"{path}: got groups or homology, wanted the label's column with them")
        return read_label_set(path)[0]
    return read_labels(
        path,
        label,
        homology=None if homology is None else read_homology(homology),
        isoform_groups=None if isoform_groups is None else read_groups(isoform_groups),
        species=str(taxonomy),
    )


def _names(models: Sequence[str | os.PathLike]) -> dict[str, str | os.PathLike]:
    """Models by the last part of where they are, or by all of it where that says too little."""
    if not models:
        raise InputError("probe: got no model, wanted at least one")
    short = [Path(os.path.abspath(model)).name for model in models]
    names = short if len(set(short)) == len(short) else list(map(str, models))
    named = dict(zip(names, models, strict=True))
    if len(named) < len(models):
        raise InputError(f"probe: got a model twice among {', '.join(names)}, wanted others")
    return named
