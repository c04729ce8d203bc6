import json

import numpy as np
import pytest
import torch
from scipy.stats import special_ortho_group

from data_builders.groups.parquet import read_groups
from data_builders.records import InputError
from isoclr.cli import main
from isoclr.evaluation.discriminants import (
    add_discriminants,
    fit_discriminants,
    linear_discriminants,
)
from isoclr.pretrained import load_model
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder of a toy encoder that pools by region."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = tiny(pooling="regions", norm="layer", layout_size=10, content_size=6)
    IsoCLRModel(config).save_pretrained(folder)
    IsoCLRTokenizer().save_pretrained(folder)
    (folder / "NOTES.md").write_text("of the encoder")
    (folder / "log.jsonl").write_text('{"step": 1, "loss": 2.5}\n')
    return folder


@pytest.fixture(scope="module")
def grouped(groups_folder):
    """Transcripts of isoform groups of two and more, and the number of the group of each."""
    several = [group for group in read_groups(groups_folder) if len(group.transcripts) > 1]
    transcripts = [t for group in several for t in group.transcripts]
    numbers = [i for i, group in enumerate(several) for _ in group.transcripts]
    return transcripts, np.array(numbers)


def test_what_groups_share_is_found_among_what_they_do_not():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 4)
    shared = rng.normal(size=(300, 2))[groups] * (3, 1)
    private = rng.normal(size=(1200, 6)) * 2
    rotation = special_ortho_group.rvs(8, random_state=0)
    matrix = np.hstack([np.hstack([shared, private]) @ rotation + 7, np.ones((1200, 1))])
    centre, axes, ratios = linear_discriminants(matrix, groups, 2)
    found = (matrix - centre) @ axes
    assert (axes[-1] == 0).all()  # a constant column
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(found.var(0), 2 * ratios / ratios.sum())
    correlations = np.abs(np.corrcoef(found.T, shared.T))[:2, 2:]
    assert correlations[0, 0] > 0.9 and correlations[1, 1] > 0.8
    order = rng.permutation(1200)
    again = linear_discriminants(matrix[order], groups[order], 2)
    np.testing.assert_allclose(np.abs(again[1]), np.abs(axes), rtol=1e-6, atol=1e-9)
    with pytest.raises(InputError, match="discriminants: got 9, wanted at most"):
        linear_discriminants(matrix, groups, 9)


def test_discriminants_stand_beside_all_that_was_there(encoder, grouped):
    transcripts, groups = grouped
    model, tokenizer = load_model(encoder)
    fitted, about = fit_discriminants(
        model, tokenizer, transcripts, groups, discriminants=3, features=20, progress=False
    )
    rows = [IsoCLRTokenizer().tokenize_transcript(t.sequence) for t in transcripts[:9]]
    before, after = model.embed(rows), fitted.embed(rows)
    assert after.shape[1] == before.shape[1] + 20 == fitted.config.pooled_size
    assert (np.delete(after, slice(74, 94), 1) == before).all()
    assert (after[:, 74:94].std(0) > 0).all()
    assert about.transcripts == len(transcripts) and about.groups == len(set(groups))
    assert min(about.ratios) > 0 and len(about.held_out) == len(about.ratios) == 3

    anew, _ = fit_discriminants(
        fitted, tokenizer, transcripts, groups, discriminants=3, features=20, progress=False
    )
    assert (anew.embed(rows) == after).all()  # discriminants are not made of discriminants


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discriminants": 0}, "discriminants: got 0, wanted at least 1"),
        ({"features": 0}, "features: got 0, wanted at least 1"),
        (
            {"groups": "single"},
            r"groups: got \d+, the smallest of 1 transcript, wanted at least",
        ),
        ({"groups": "one"}, "groups: got 1, .* wanted at least 10, each of several"),
    ],
)
def test_what_cannot_be_fitted_is_named(options, message, encoder, grouped):
    transcripts, groups = grouped
    kinds = {"single": np.arange(len(groups)), "one": np.zeros(len(groups), int)}
    groups = kinds.get(options.pop("groups", None), groups)
    with pytest.raises(InputError, match=message):
        fit_discriminants(*load_model(encoder), transcripts, groups, progress=False, **options)


def test_another_pooling_is_refused(model_folder, grouped):
    with pytest.raises(InputError, match="pooling: got a model with 'stages', wanted 'regions'"):
        fit_discriminants(*load_model(model_folder), *grouped)


def test_on_the_command_line(encoder, groups_folder, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    for name in ("NOTES.md", "recipe.yaml"):
        (output / name).write_text("of a model before")
    arguments = ["--model", str(encoder), "--groups", str(groups_folder), "--output", str(output)]
    assert main(["discriminants", *arguments, "--discriminants", "2", "--features", "5"]) == 0
    assert "2 linear discriminants of" in capsys.readouterr().out
    assert len(json.loads((output / "discriminants.json").read_text())["held_out"]) == 2
    assert (output / "discriminants.png").stat().st_size > 1000
    assert (output / "NOTES.md").read_text() == "of the encoder"
    assert not (output / "recipe.yaml").exists()  # the encoder has none
    card = (output / "README.md").read_text()
    assert "2 linear discriminants of homology groups" in card and "of the encoder" in card
    model, _ = load_model(output)
    assert model.config.pooled_size == load_model(encoder)[0].config.pooled_size + 5
    fewer = add_discriminants(
        encoder, groups_folder, tmp_path / "few", discriminants=1, features=5, transcripts=40
    )
    assert 30 < fewer.transcripts <= 40
