import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch

from data_builders.groups.parquet import read_groups
from data_builders.labels.files import write_label_set
from data_builders.labels.label_set import read_labels
from data_builders.records import InputError
from isoclr.evaluation.embed import embed_transcripts, load_model
from isoclr.evaluation.probe import probe
from isoclr.evaluation.run import probe_models, read_labelled
from isoclr.evaluation.supervised import FitSettings, Settings
from modeling_isoclr import IsoCLRModel

KMERS = ((1, 2),)


@pytest.fixture(scope="module")
def labels(clade, groups_folder):
    return read_labels(clade.half_life, "half_life", isoform_groups=read_groups(groups_folder))


@pytest.fixture
def label_set(labels, tmp_path):
    path = tmp_path / "labels.parquet"
    write_label_set(labels, path)
    return path


@pytest.fixture(scope="module")
def other_model(model_folder, tmp_path_factory):
    """An encoder of the same shape and other weights."""
    folder = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(model_folder, folder, ignore=shutil.ignore_patterns("checkpoints"))
    encoder, _ = load_model(folder)
    torch.manual_seed(7)
    IsoCLRModel(encoder.config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_every_model_and_every_control_on_the_same_splits(
    model_folder, other_model, labels, label_set, tmp_path
):
    out = tmp_path / "out"
    results = probe_models(
        [other_model, model_folder], label_set, None, out, kmers=KMERS, few_labels=(15,)
    )
    names = ["other", model_folder.name, "random weights", "k-mers 1-2", "structure", "codons"]
    names += ["codons + structure", "codons + structure + k-mers 1-4", "boosting"]
    assert [list(result.scores) for result in results] == [names, names]
    embedded = {
        name: embed_transcripts(*load_model(folder), labels.transcripts, progress=False)
        for name, folder in (("other", other_model), (model_folder.name, model_folder))
    }
    alone = probe(embedded, labels, progress=False)
    assert {name: results[-1].scores[name] for name in alone.scores} == alone.scores
    assert json.loads((out / "probe.json").read_text()) == json.loads(
        json.dumps(results[-1].as_dict())
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "few_labels.json",
        "few_labels.png",
        "probe.json",
        "probe.png",
    ]


def test_the_random_control_has_the_shape_of_the_first_model_and_other_weights(
    other_model, label_set, tmp_path, monkeypatch
):
    seen = {}

    def look(features, *_, **__):
        seen.update(features)
        raise InputError("enough")

    monkeypatch.setattr("isoclr.evaluation.run.probe_few_labels", look)
    for _ in range(2):
        before = seen.get("random weights")
        with pytest.raises(InputError, match="enough"):
            probe_models([other_model], label_set, None, tmp_path / "out", kmers=KMERS)
    trained, random = seen["other"], seen["random weights"]
    assert trained.shape == random.shape and not np.allclose(trained, random)
    assert (random == before).all()  # the same ones each time
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_supervised_network_beside_goes_on_where_it_was_stopped(
    model_folder, label_set, tmp_path, monkeypatch
):
    trained = []

    def quick(rows, targets, train, validation, test, seed):
        assert len(rows) == len(targets) == len({*train, *validation, *test})
        if len(trained) == stop:
            raise KeyboardInterrupt
        trained.append(seed)
        return np.random.default_rng(seed).normal(size=len(test))

    def run(folder):
        (result,) = probe_models([model_folder], label_set, None, folder, kmers=KMERS, saluki=True)
        return result

    monkeypatch.setattr("isoclr.evaluation.controls.fit_and_predict", quick)
    stop = 3
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped")
    stop = None
    result = run(tmp_path / "stopped")
    assert trained == list(result.seeds)  # each once
    assert list(result.scores)[-2:] == ["boosting", "Saluki-like network"]
    assert result == run(tmp_path / "whole")
    other = Settings(saluki_like=FitSettings(patience=1))
    monkeypatch.setattr("isoclr.evaluation.controls.DEFAULTS", other)
    stop = len(trained)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped")  # nothing kept is of these settings


@pytest.mark.slow
def test_chromosomes_come_from_a_table_or_from_the_labels(
    model_folder, labels, label_set, tmp_path
):
    genes = [transcript.gene_id for transcript in labels.transcripts]
    table = tmp_path / "places.tsv"
    pl.DataFrame({"gene_id": genes, "chromosome": [i % 12 for i in range(len(genes))]}).write_csv(
        table, separator="\t"
    )
    options = {"split": "chromosome", "kmers": KMERS}
    (result,) = probe_models(
        [model_folder], label_set, None, tmp_path / "out", chromosomes=table, **options
    )
    assert "chromosome split" in result.title()
    with pytest.raises(InputError, match="labels.parquet: got the columns .* wanted chromosome"):
        probe_models([model_folder], label_set, None, tmp_path / "out", **options)


@pytest.mark.parametrize("name", ["structure", "boosting"])
def test_a_model_named_like_a_control_is_refused(name, model_folder, label_set, tmp_path):
    folder = tmp_path / name
    shutil.copytree(model_folder, folder, ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(InputError, match=f"{name}: got '{name}', a control's name, wanted another"):
        probe_models([folder], label_set, None, tmp_path / "out", kmers=KMERS)


@pytest.mark.parametrize(
    ("models", "message"),
    [([], "got no model, wanted at least one"), (["a/m", "a/m"], "got a model twice among a/m, a")],
)
def test_models_that_cannot_be_told_apart(models, message, label_set, tmp_path):
    with pytest.raises(InputError, match=message):
        probe_models(models, label_set, None, tmp_path)


def test_a_label_set_and_a_table_give_the_same_labels(clade, groups_folder, labels, label_set):
    table = read_labelled(clade.half_life, "half_life", isoform_groups=groups_folder)
    for found in (table, read_labelled(label_set, None)):
        assert found.transcripts == labels.transcripts and found.groups == labels.groups
        assert (found.targets == labels.targets).all()


def test_a_label_set_has_its_groups_already(label_set, groups_folder):
    with pytest.raises(InputError, match="got groups or homology, wanted the label's column"):
        read_labelled(label_set, None, isoform_groups=groups_folder)
