import json

import numpy as np
import pytest

from data_builders.groups.parquet import read_groups
from data_builders.labels.base import MULTILABEL
from data_builders.labels.files import write_label_set
from data_builders.labels.label_set import LabelSet
from data_builders.records import InputError
from isoclr.evaluation.go import TermOptions, go_model


@pytest.fixture(scope="module")
def labels(groups_folder):
    """The first transcript of each group, with one of two terms, and a third that all have."""
    first = [(g.group_id, g.transcripts[0]) for g in read_groups(groups_folder)]
    groups, transcripts = zip(*first, strict=True)
    even = np.arange(len(groups)) % 2 == 0
    targets = np.stack([even, ~even, np.ones_like(even)], 1)
    return LabelSet(
        label="go",
        task=MULTILABEL,
        targets=targets,
        classes=("GO:1", "GO:2", "GO:3"),
        transcripts=transcripts,
        groups=groups,
    )


@pytest.fixture(scope="module")
def labels_file(labels, tmp_path_factory):
    path = tmp_path_factory.mktemp("go") / "labels.parquet"
    write_label_set(labels, path)
    return path


@pytest.fixture(scope="module")
def obo(tmp_path_factory):
    """A root, two terms below it and one below these."""
    path = tmp_path_factory.mktemp("obo") / "go.obo"
    above = {"GO:0": "", "GO:1": "is_a: GO:0\n", "GO:2": "is_a: GO:0\n", "GO:3": "is_a: GO:1\n"}
    path.write_text(
        "".join(
            f"[Term]\nid: {name}\nnamespace: molecular_function\n{line}\n"
            for name, line in above.items()
        )
    )
    return path


@pytest.mark.parametrize("by", ["share", pytest.param("level", marks=pytest.mark.slow)])
def test_terms_are_separated_and_probed_beside_the_controls(
    model_folder, labels, labels_file, obo, tmp_path, monkeypatch, by
):
    how = {"max_share": 0.6} if by == "share" else {"obo": obo, "level": 1, "saluki": True}

    def network(self, fold):
        assert fold.train_targets.shape == (len(fold.train), 2)
        return labels.targets[fold.test, :2].astype(np.float32)  # it knows all

    monkeypatch.setattr("isoclr.evaluation.finetune.Saluki.__call__", network)
    options = TermOptions(seeds=(1, 2), **how)
    separation, probed = go_model(model_folder, labels_file, tmp_path / "out", options)
    assert separation.terms == ("GO:1", "GO:2")  # neither what all genes have nor what is deeper
    assert separation.genes == tuple(labels.targets[:, :2].sum(axis=0))
    controls = ["structure", "codons", "codons + structure", "codons + structure + sites"]
    controls += ["codons + structure + k-mers 1-4", "amino-acid pairs"]
    controls += [f"{model_folder.name} + amino-acid pairs", "random weights + amino-acid pairs"]
    features = [model_folder.name, "random weights", "k-mers 1-6", *controls]
    assert list(separation.scores) == features
    networks = ["Saluki-like network"] if by == "level" else []
    assert list(probed.predictors) == [*features, "boosting", *networks]
    assert all(probed.values(name, "auroc_macro") == [1.0, 1.0] for name in networks)
    assert probed.classes == 2
    out = tmp_path / "out"
    files = {"go.json", "go.png", "probe.json", "probe.png"} | (
        {"runs.jsonl"} if networks else set()
    )
    assert {path.name for path in out.iterdir()} == files
    assert json.loads((out / "go.json").read_text())["scores"] == separation.scores
    assert json.loads((out / "probe.json").read_text())["rows"] == len(labels.transcripts)


def test_bad_input_is_named(model_folder, labels_file, tmp_path):
    with pytest.raises(InputError, match="got 0 terms of at most 10% of the genes, wanted two"):
        go_model(model_folder, labels_file, tmp_path)
    with pytest.raises(InputError, match="wanted the Parquet file of a label set"):
        go_model(model_folder, model_folder / "config.json", tmp_path)
    assert not list(tmp_path.iterdir())
