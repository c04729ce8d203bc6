import itertools
import random
from itertools import product

import numpy as np
import pytest

from data_builders.records import InputError, Transcript
from isoclr.evaluation.features import (
    CODONS,
    STRUCTURE_FEATURES,
    codon_frequencies,
    kmer_frequencies,
    residue_pair_frequencies,
    structure_features,
)


def transcript(sequence, cds=(-1, -1), junctions=None):
    return Transcript("t", "g", "s", sequence, *cds, junctions)


def random_sequence(length, letters="ACGTN", seed=0):
    return "".join(random.Random(seed).choices(letters, k=length))


def counted(words, names):
    """Relative frequencies, counted one by one."""
    whole = [word for word in words if "N" not in word]
    return [whole.count(name) / max(len(whole), 1) for name in names]


@pytest.mark.parametrize("length", [0, 2, 3, 50, 1000])
def test_kmers_are_those_counted_one_by_one(length):
    sequence = random_sequence(length)
    expected = []
    for k in (1, 2, 3):
        names = ["".join(word) for word in itertools.product("ACGT", repeat=k)]
        expected += counted([sequence[i : i + k] for i in range(length - k + 1)], names)
    found = kmer_frequencies([transcript(sequence)], 1, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_kmers_of_a_known_sequence():
    names = map("".join, product("ACGT", repeat=2))
    found = dict(zip(names, kmer_frequencies([transcript("ACANAC")], 2, 2)[0], strict=True))
    assert {name: value for name, value in found.items() if value} == {
        "AC": np.float32(2 / 3),
        "CA": np.float32(1 / 3),
    }


def test_widths():
    assert kmer_frequencies([transcript("ACGT")] * 2, 1, 6).shape == (2, 5460)


@pytest.mark.parametrize("end", [300, 301, 302])
def test_codons_are_those_counted_one_by_one(end):
    sequence = random_sequence(400, seed=end)
    codons = [sequence[i : i + 3] for i in range(7, end - 2, 3)]
    found = codon_frequencies([transcript(sequence, (7, end))])
    np.testing.assert_allclose(found, [counted(codons, CODONS)], rtol=1e-6)


def test_residue_pairs_of_a_known_protein():
    sequence = "GG" + "ATGGCCATGGCNATGGCATAA" + "ATGATG"  # M A M X M A, stop
    (row,) = residue_pair_frequencies([transcript(sequence, (2, 23))])
    place = {a + b: i for i, (a, b) in enumerate(product("ACDEFGHIKLMNPQRSTVWY", repeat=2))}
    assert {name: row[i] for name, i in place.items() if row[i]} == pytest.approx(
        {"MA": 2 / 3, "AM": 1 / 3}
    )
    assert not residue_pair_frequencies([transcript("ATGATG"), transcript("ATGTAA", (0, 6))]).any()


def test_no_cds_has_no_codons():
    assert not codon_frequencies([transcript("ATGTAA")]).any()


def test_structure_of_a_known_transcript():
    # 10 nt of 5'UTR, 200 of CDS, 40 of 3'UTR. A junction on the first base of the CDS, or of the
    # 3'UTR, lies between regions: only those at 50 and 120 are within the CDS.
    coding = transcript("A" * 250, (10, 210), (10, 50, 120, 210))
    expected = [np.log(251), np.log(201), np.log(11), np.log(41), np.log(5), 10, 1]
    np.testing.assert_allclose(structure_features([coding]), [expected], rtol=1e-6)


def test_structure_without_cds_or_exons():
    found = structure_features([transcript("A" * 99), transcript("A" * 99, junctions=())])
    np.testing.assert_allclose(
        found, [[np.log(100), 0, 0, 0, 0, 0, 0], [np.log(100), 0, 0, 0, 0, 0, 1]], rtol=1e-6
    )
    assert found.shape[1] == len(STRUCTURE_FEATURES)


@pytest.mark.parametrize("letter", ["a", "U", "Ж"])
def test_another_letter_is_named_with_its_place(letter):
    for features in (lambda t: kmer_frequencies(t, 1, 2), codon_frequencies):
        with pytest.raises(InputError) as error:
            features([transcript("ACG" + letter, (0, 3))])
        assert str(error.value) == (
            f"transcript 't': position 3: got '{letter}', wanted A, C, G, T or N"
        )
