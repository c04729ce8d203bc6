"""Families by profiles: each protein gets the family that it was made from."""

import numpy as np
import pytest

from data_builders.interactions.dataset import Molecule
from data_builders.interactions.pfam import is_profile_file, scan_families
from data_builders.records import InputError

easel = pytest.importorskip("pyhmmer.easel", reason="needs the extra pfam")
plan7 = pytest.importorskip("pyhmmer.plan7", reason="needs the extra pfam")
AMINO = list("ACDEFGHIKLMNPQRSTVWY")


def mutated(rng, letters):
    changed = letters.copy()
    places = rng.random(len(letters)) < 0.15
    changed[places] = rng.choice(AMINO, int(places.sum()))
    return "".join(changed)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Two families of a profile each; proteins of both, and one of neither."""
    rng = np.random.default_rng(0)
    parents = [rng.choice(AMINO, 80) for _ in range(2)]
    alphabet = easel.Alphabet.amino()
    path = tmp_path_factory.mktemp("profiles") / "families.hmm"
    builder, background = plan7.Builder(alphabet), plan7.Background(alphabet)
    with open(path, "wb") as file:
        for number, parent in enumerate(parents):
            rows = [
                easel.TextSequence(name=b"s%d" % i, sequence=mutated(rng, parent)) for i in range(8)
            ]
            alignment = easel.TextMSA(name=b"family%d" % number, sequences=rows)
            profile, _, _ = builder.build_msa(alignment.digitize(alphabet), background)
            profile.accession = b"PF0000%d.7" % number
            profile.write(file)
    proteins = {f"p{i}": mutated(rng, parents[i % 2]) for i in range(4)}
    proteins["other"] = "".join(rng.choice(AMINO, 80))
    return path, {name: Molecule(name, sequence) for name, sequence in proteins.items()}


def test_each_protein_gets_its_family(scanned):
    path, molecules = scanned
    assert is_profile_file(path)
    wanted = {"p0": "PF00000", "p1": "PF00001", "p2": "PF00000", "p3": "PF00001"}
    assert scan_families(path, molecules) == wanted


def test_a_file_that_is_cut_is_refused(scanned, tmp_path):
    path, molecules = scanned
    cut = tmp_path / "cut.hmm"
    cut.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"cut.hmm: got .*, wanted profiles of HMMER3"):
        scan_families(cut, molecules)


def test_other_files_are_no_profiles(tmp_path):
    (tmp_path / "table").write_text("id\tfamily\n")
    assert not is_profile_file(tmp_path / "table")
    with pytest.raises(InputError, match="wanted a readable file"):
        is_profile_file(tmp_path / "nowhere")
