import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_builders.groups.parquet import read_groups
from data_builders.records import InputError
from isoclr.cli import main
from isoclr.evaluation.discriminants import fit_discriminants
from isoclr.evaluation.homolog_features import (
    NetworkOptions,
    _teach,
    add_homolog_features,
    fit_homolog_features,
)
from isoclr.evaluation.networks import seeded
from isoclr.pretrained import load_model
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.pooling_isoclr import IsoCLRHomologFeatures
from toys import tiny

FEATURES = 7
SIZES = {"features": FEATURES, "hidden": 5, "steps": 4}
QUICK = NetworkOptions(**SIZES)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder of a toy encoder that pools by region, with sites and discriminants."""
    folder = tmp_path_factory.mktemp("encoder")
    options = {"layout_size": 10, "content_size": 6, "sites_size": 12}
    config = tiny(pooling="regions", norm="layer", discriminants=3, discriminant_size=4, **options)
    seeded(lambda: IsoCLRModel(config), 0).save_pretrained(folder)
    IsoCLRTokenizer().save_pretrained(folder)
    (folder / "NOTES.md").write_text("of the encoder")
    (folder / "log.jsonl").write_text('{"step": 1, "loss": 2.5}\n')
    (folder / "discriminants.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def grouped(groups_folder):
    """Transcripts of isoform groups of two and more, and the number of the group of each."""
    several = [group for group in read_groups(groups_folder) if len(group.transcripts) > 1]
    transcripts = [t for group in several for t in group.transcripts]
    numbers = [i for i, group in enumerate(several) for _ in group.transcripts]
    return transcripts, np.array(numbers)


def test_a_network_finds_what_groups_share_among_what_they_do_not():
    """Ten numbers that members share, five louder ones that they do not, mixed in 200 columns."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 2)
    shared, private = rng.normal(size=(300, 10))[groups], 2 * rng.normal(size=(600, 5))
    columns = np.hstack([shared, private]) @ rng.normal(size=(15, 200))
    columns = torch.from_numpy(columns / columns.std(axis=0)).float()
    config = IsoCLRConfig(pooling="regions", homolog_features=64, homolog_hidden=128)
    network = IsoCLRHomologFeatures(config)
    torch.manual_seed(0)
    network.hidden, network.output = torch.randn(200, 128) / 14, torch.randn(128, 64) / 11
    before = network.seen(columns)
    options, left_out = NetworkOptions(steps=120), groups % 10 == 0
    looks = _teach(network, columns, groups, left_out, options, progress=False)
    assert looks["steps"] == tuple(range(8, 121, 8))
    first, *_, last = looks["held_out_accuracy"]  # among 30 groups
    assert first < 0.5 and last > 0.8
    assert not network.hidden.requires_grad
    assert not torch.equal(network.seen(columns), before)


def test_features_stand_beside_all_that_was_there(encoder, grouped):
    transcripts, groups = grouped
    model, tokenizer = load_model(encoder)
    fitted, about = fit_homolog_features(
        model, tokenizer, transcripts, groups, QUICK, progress=False
    )
    rows = [IsoCLRTokenizer().tokenize_transcript(t.sequence) for t in transcripts[:9]]
    before, after = model.embed(rows), fitted.embed(rows)
    place = slice(10 + 64 + 4 + 12, 10 + 64 + 4 + 12 + FEATURES)
    assert after.shape[1] == before.shape[1] + FEATURES == fitted.config.pooled_size
    assert (np.delete(after, place, 1) == before).all()
    assert (after[:, place].std(0) > 0).all() and abs(after[:, place]).max() <= 1
    assert about.transcripts == len(transcripts) and about.groups == len(set(groups))
    assert about.steps == (1, 2, 3, 4) and len(about.held_out_accuracy) == 4
    assert not any("homologs" in name for name, _ in fitted.named_parameters())

    anew, _ = fit_homolog_features(fitted, tokenizer, transcripts, groups, QUICK, progress=False)
    assert (anew.embed(rows) == after).all()  # features are not made of features
    other, _ = fit_homolog_features(
        model, tokenizer, transcripts, groups, replace(QUICK, seed=1), progress=False
    )
    assert (other.embed(rows)[:, place] != after[:, place]).any()
    again, _ = fit_discriminants(
        fitted, tokenizer, transcripts, groups, discriminants=3, features=4, progress=False
    )
    assert (again.embed(rows)[:, place] == after[:, place]).all()


@pytest.mark.parametrize("name", SIZES)
def test_what_cannot_be_fitted_is_named(name, encoder, grouped):
    with pytest.raises(InputError, match=f"{name}: got 0, wanted at least 1"):
        fit_homolog_features(*load_model(encoder), *grouped, replace(QUICK, **{name: 0}))


def test_other_groups_and_another_pooling_are_refused(encoder, model_folder, grouped):
    transcripts, groups = grouped
    with pytest.raises(InputError, match="groups: got 1, .* wanted at least 10, each of several"):
        fit_homolog_features(*load_model(encoder), transcripts, 0 * groups, QUICK)
    with pytest.raises(InputError, match="pooling: got a model with 'stages', wanted 'regions'"):
        fit_homolog_features(*load_model(model_folder), *grouped, QUICK)


def test_on_the_command_line(encoder, groups_folder, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["--model", str(encoder), "--groups", str(groups_folder), "--output", str(output)]
    sizes = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]
    assert main(["homolog-features", *arguments, *sizes]) == 0
    assert "7 features taught by " in capsys.readouterr().out
    about = json.loads((output / "homolog_features.json").read_text())
    assert about["steps"] == [1, 2, 3, 4]
    assert (output / "homolog_features.png").stat().st_size > 1000
    assert (output / "NOTES.md").read_text() == "of the encoder"
    assert (output / "discriminants.json").read_text() == "{}"
    card = (output / "README.md").read_text()
    assert "it\ngives 7 of the numbers of an embedding" in card
    model, _ = load_model(output)
    assert model.config.pooled_size == load_model(encoder)[0].config.pooled_size + FEATURES
    fewer = add_homolog_features(encoder, groups_folder, tmp_path / "few", QUICK, transcripts=40)
    assert 30 < fewer.transcripts <= 40
