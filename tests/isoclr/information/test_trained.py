"""Bounds of models: on held-out families by band, and of site models beside the optimum."""

import json
import math

import numpy as np
import pytest
import torch
from toy_families import model_folder, simulated

from data_builders.records import InputError
from data_builders.simulate.homologs import Channel, substitution_model
from isoclr.information.known import measure
from isoclr.information.trained import (
    family_bounds,
    homolog_recipe,
    load_critic,
    parse_bands,
    site_critic,
    told_band,
)
from isoclr.objectives.homologs.site_model import SiteModel
from modeling_isoclr import IsoCLRConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("data"), families=40, sites=40, distance=0.3)


@pytest.fixture(scope="module")
def encoder(data, tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("model") / "m", data)


def test_a_critic_of_what_is_the_same_finds_its_partner(data, tmp_path):
    folder = model_folder(tmp_path / "linear", data, encoder="linear", temperature=0.05)
    found = family_bounds(folder, batch_size=16, batches=6)
    (band,) = found.bands
    assert (band.band, band.families, band.batch_size) == (None, 20, 16)
    assert band.accuracy > 0.95
    assert 2.0 < band.bounds.info_nce.mean <= math.log(16)
    assert band.bounds.permuted.mean < 0
    assert "(near log N)" in found.table() and found.table().startswith("linear, held-out families")


def test_bands_are_measured_each_on_its_own_pairs(encoder, tmp_path):
    found = family_bounds(encoder, bands=[(0.1, 0.5)], batch_size=10, batches=4)
    assert [band.band for band in found.bands] == [None, (0.1, 0.5)]
    assert all(np.isfinite(band.family_error) for band in found.bands)
    found.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "families.json").read_text())
    assert saved["bands"][1]["band"] == [0.1, 0.5]
    assert (tmp_path / "saved" / "families.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"bands: got \[2.0, 3.0\], which holds no pair"):
        family_bounds(encoder, bands=[(2.0, 3.0)])


def test_windows_may_lie_otherwise_than_in_training(data, tmp_path):
    folder = model_folder(tmp_path / "m", data, window=16, windows={"same": 1, "disjoint": 1})
    found = {
        windows: family_bounds(folder, windows=windows, batch_size=10, batches=3)
        for windows in ("same", "disjoint")
    }
    assert found["same"].bands[0].accuracy > found["disjoint"].bands[0].accuracy
    assert ", same windows" in found["same"].table() + found["same"].markdown()
    with pytest.raises(InputError, match="windows: got 'sam', wanted one of independent, same"):
        family_bounds(folder, windows="sam")
    whole = model_folder(tmp_path / "whole", data)
    with pytest.raises(InputError, match="windows: got 'same' of a model without, wanted none"):
        family_bounds(whole, windows="same")


def test_a_site_model_stands_beside_the_optimum(data, tmp_path):
    folder = model_folder(tmp_path / "linear", data, encoder="linear", temperature=0.03)
    channel = Channel(substitution_model("jc69"), 0.3, np.ones(40))
    critics = {"optimal": channel.scores, "linear": site_critic(load_critic(folder))}
    found = measure(channel, critics, 16, batches=8)
    assert found["linear"].info_nce.mean == pytest.approx(found["optimal"].info_nce.mean, abs=0.05)


def test_a_critic_that_is_told_bands_has_the_scale_of_the_one_asked_for():
    bands = [[0.1, 0.3], [0.3, 1.0]]
    sizes = {"projector_sizes": [1, 1, 12], "norm": "layer", "critic": "cosine"}
    config = IsoCLRConfig(n_tracks=4, critic_bands=2, **sizes)
    config.sites, config.site_encoder = 3, "sites"
    model = SiteModel(config).eval()
    with torch.no_grad():
        model.critic.log_scale.copy_(torch.tensor([0.0, 2.0]))
    first, second = torch.eye(12)[:2], torch.eye(12)[:3]
    scales = [told_band(model, bands, band).critic(first, second)[0] for band in bands]
    torch.testing.assert_close(scales[0], torch.eye(2, 3))
    torch.testing.assert_close(scales[1], torch.eye(2, 3) * math.exp(2))
    assert model.config.critic_bands == 2
    with pytest.raises(InputError, match="bands: got 0.1-0.2 of a critic .* wanted of 0.1-0.3, "):
        told_band(model, bands, (0.1, 0.2))


def test_what_has_no_critic_is_an_error(encoder, data, tmp_path):
    masked = model_folder(tmp_path / "masked", data, loss="masked", mask_fraction=0.1)
    with pytest.raises(InputError, match="loss: got 'masked', wanted a critic"):
        family_bounds(masked)
    with pytest.raises(InputError, match="no such recipe"):
        homolog_recipe(tmp_path)
    other = tmp_path / "recipe.yaml"
    other.write_text("data: x\noutput: y\nsteps: 1\n")
    with pytest.raises(InputError, match="objective: got 'isoforms', wanted 'homologs'"):
        homolog_recipe(tmp_path)


def test_bands_are_read_from_text():
    assert parse_bands("0-0.1,0.1-1.5") == ((0.0, 0.1), (0.1, 1.5))
    assert parse_bands(None) == ()
    for text in ("0.1", "1-0.5", "a-b", "0-inf"):
        with pytest.raises(InputError, match="bands: got"):
            parse_bands(text)
