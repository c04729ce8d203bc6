"""Conserved sites: the clade is what it says, and the probe sees what an embedding keeps."""

import numpy as np
import pytest
import torch
from toy_families import model_folder

from isoclr.information.conserved import SPECIES, clade, probe_sites, simulate
from isoclr.objectives.homologs.families import load_families
from isoclr.objectives.sequences import DataSource


@pytest.fixture(scope="module")
def data():
    return simulate(families=600, sites=20)


def test_pairs_lie_at_three_distances(data, tmp_path):
    assert sorted(set(data.distances[np.triu_indices(5, 1)].round(6))) == [0.06, 0.7, 1.6]
    assert [child.newick() for child in clade().children][1] == "far:0.8"
    assert data.identity(0.06) > 0.9
    assert 0.4 < data.identity(0.7) < 0.7
    observed = (data.letters[:, 0] == data.letters[:, 2]).mean()
    assert observed == pytest.approx(data.identity(0.7), abs=0.02)
    conserved = (data.letters[:, 0] == data.letters[:, 4])[:, data.conserved].mean()
    assert conserved > 0.8
    read = load_families(DataSource(path=str(data.write(tmp_path / "data"))))
    assert read.distance(3, 15, 19) == pytest.approx(data.distances[0, 4])
    assert tuple(read.species_names) == tuple(sorted(SPECIES))


def test_the_probe_reads_the_sites_that_an_embedding_keeps(data, tmp_path):
    folder = model_folder(
        tmp_path / "m",
        data.write(tmp_path / "data"),
        encoder="linear",
        model={"projector_sizes": [1, 1, 80], "norm": "layer"},
    )
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = torch.from_numpy(np.repeat(data.conserved, 4).astype(np.float32))
    weights["read_outs.0.linear.weight"] = torch.diag(kept)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = probe_sites(folder, data, families=400)
    assert found["conserved"].mean == 1
    assert found["neutral"].mean < 0.4
