from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from data_builders.homology.homologous_genes import Homology, read_homology
from data_builders.homology.report import KINDS, draw_homology, report_homology

SMALL = Homology(
    {
        ("9606", "a"): "1",
        ("10090", "b"): "1",
        ("9606", "c"): "2",
        ("10090", "d"): "2",
        ("10090", "e"): "2",
        ("10116", "f"): "2",
        ("10116", "g"): "2",
        ("9606", "h"): "3",
    },
    {("9606", "symbol"): "1"},
)


def test_small_homology_by_hand():
    none = dict.fromkeys(KINDS, 0)
    assert report_homology(SMALL) == {
        "genes": 8,
        "groups": 3,
        "species": {"10090": 3, "10116": 2, "9606": 3},
        "genes_per_group": {"1": 1, "2": 1, "5": 1},
        "species_pairs": {
            "10090-10116": none | {"many_to_many": 1},
            "10090-9606": none | {"one_to_one": 1, "many_to_one": 1},
            "10116-9606": none | {"many_to_one": 1},
        },
    }


def naive(homology):
    """Group by group, pair by pair."""
    members = {}
    for (taxon, _), group in homology.groups.items():
        members.setdefault(group, Counter())[taxon] += 1
    counts = Counter()
    for genes in members.values():
        for a, b in combinations(sorted(genes), 2):
            kind = "_to_".join("one" if genes[x] == 1 else "many" for x in (a, b))
            counts[f"{a}-{b}", kind] += 1
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_pairs_against_a_walk_over_groups(seed):
    rng = np.random.default_rng(seed)
    homology = Homology({(str(rng.integers(7)), str(i)): str(rng.integers(90)) for i in range(400)})
    report = report_homology(homology)
    flat = {
        (pair, kind): n for pair, of in report["species_pairs"].items() for kind, n in of.items()
    }
    assert {key: n for key, n in flat.items() if n} == naive(homology)
    assert sum(int(s) * n for s, n in report["genes_per_group"].items()) == 400


def match(species, taxon, genes, matched):
    fields = {"table": "h.tsv", "species": species, "taxon": taxon, "in_table": 9}
    return fields | {"genes": genes, "matched": matched}


@pytest.mark.parametrize("homology", [SMALL, Homology({("9606", "a"): "1"})])
def test_the_figure_has_the_species_that_matched_by_their_names(tmp_path, homology, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "data_builders.homology.report.write_figure",
        lambda figure, path, dpi: drawn.append(figure),
    )
    matches = [match("human", "9606", 5, 4), match("mouse", "10090", 3, 2)]
    matches.append(match("fly", "7227", 8, 0))
    draw_homology({"matches": matches, "partition": report_homology(homology)}, tmp_path / "h.png")
    genes, kinds = drawn[0].axes
    assert [label.get_text() for label in genes.get_yticklabels()] == ["mouse", "human", "fly"]
    assert [bar.get_width() for bar in genes.patches] == [3, 5, 8, 2, 4, 0]
    pairs = [label.get_text() for label in kinds.get_yticklabels()]
    assert pairs == (["mouse – human"] if homology is SMALL else [])
    assert drawn[0].get_suptitle().startswith("6 genes matched")


def test_real_homologene(real_data, tmp_path):
    homology = read_homology(real_data / "homology" / "homologene_build68.tsv.gz")
    report = report_homology(homology)
    assert (report["genes"], len(report["species"])) == (275_237, 21)
    expected = naive(homology)
    assert report["species_pairs"]["10090-9606"] == {
        kind: expected["10090-9606", kind] for kind in KINDS
    }
    matches = [match("human", "9606", 5, 4), match("mouse", "10090", 3, 2)]
    draw_homology({"matches": matches, "partition": report}, tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
