"""Simulated families of coding sequences: the files, and the truth that is planted in them."""

import numpy as np
import polars as pl
import pytest

from data_builders.homology.alphabets import translate
from data_builders.homology.phylogeny import read_species_distances
from data_builders.records import InputError
from data_builders.simulate.families import DOMAIN, KINDS, SITES, simulate_family_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return simulate_family_files(tmp_path_factory.mktemp("families"), families=80, seed=3)


def test_every_family_has_every_species_of_the_tree(files):
    families = pl.read_csv(files.families, separator="\t")
    tree = read_species_distances(files.tree)
    assert families.height == 80 * 8
    assert set(families["species"]) == set(tree.species)
    assert tree.between(["species_1", "species_2"])[0, 1] == pytest.approx(0.1)
    assert tree.between(["species_1", "species_8"])[0, 1] == pytest.approx(1.3)
    for cds in families["sequence"]:
        protein = translate(cds)
        assert len(protein) == SITES + 2 and protein[0] == "M" and protein.index("*") == SITES + 1


def test_labels_are_of_the_first_species_and_of_all_kinds(files):
    labels = pl.read_csv(files.labels, separator="\t")
    families = pl.read_csv(files.families, separator="\t")
    assert labels.height == 80
    assert labels["kind"].value_counts()["count"].to_list() == [20] * len(KINDS)
    first = families.filter(pl.col("species") == "species_1")
    assert labels["sequence"].to_list() == first["sequence"].to_list()
    assert (labels["cds_end"] == labels["sequence"].str.len_chars()).all()


def test_a_stretch_of_sites_is_kept_by_distant_species(files):
    families = pl.read_csv(files.families, separator="\t")
    same = []
    for far in ("species_1", "species_8"):
        of_species = families.filter(pl.col("species") == far)["sequence"]
        proteins = [list(translate(cds)[1:-1]) for cds in of_species]
        same.append(np.array(proteins))
    identical = same[0] == same[1]
    windows = np.lib.stride_tricks.sliding_window_view(identical, DOMAIN, axis=1).mean(-1)
    assert windows.max(1).mean() > 0.8  # the domain, at a tenth of the rate
    assert 0.3 < identical.mean() < 0.55


def test_it_follows_from_the_seed(files, tmp_path):
    again = simulate_family_files(tmp_path / "again", families=80, seed=3)
    other = simulate_family_files(tmp_path / "other", families=80, seed=4)
    assert again.families.read_bytes() == files.families.read_bytes()
    assert other.families.read_bytes() != files.families.read_bytes()
    with pytest.raises(InputError, match="families: got 39, wanted at least 40"):
        simulate_family_files(tmp_path, families=39)
