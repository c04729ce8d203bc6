"""Datasets of families: from every layout to Parquet and back, and what is left out on the way."""

import json

import datasets
import numpy as np
import polars as pl
import pytest

from data_builders.homology.families import Homolog, HomologFamily, read_families, write_families
from data_builders.homology.homologs import HomologOptions, build_homologs
from data_builders.homology.sources import HomologSource
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError

PROTEIN = "MKVLAAGIVGLCDEFGHIKLMNPQRSTVWYMK"
OTHER = "MKVLSAGIVGLCDEFGHIKLMNPQRSTVWYMR"
TREE = "((human:0.1,chimp:0.2):0.3,mouse:0.5);"


def fasta(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in rows))
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("fam1", "fam2"):
        fasta(tmp_path / "in" / f"{name}.fa", [("human", PROTEIN), ("Mouse", OTHER)])
    return tmp_path / "in"


def build(folder, tmp_path, **options):
    report = build_homologs(
        [HomologSource(folder)], tmp_path / "out", HomologOptions(**options), overwrite=True
    )
    return report.as_dict(), list(read_families(tmp_path / "out"))


def test_a_folder_of_files_is_a_dataset_of_families(folder, tmp_path):
    report, families = build(folder, tmp_path)
    assert [family.family_id for family in families] == ["fam1", "fam2"]
    first = families[0]
    assert first.alphabet == "protein"
    assert [(m.species, m.sequence) for m in first.members] == [
        ("human", PROTEIN),
        ("mouse", OTHER),
    ]
    assert first.distances[0, 1] == pytest.approx(-np.log(1 - 2 / 32), rel=1e-5)
    assert report["species_renamed"] == {"Mouse": "mouse"}
    assert (report["families"], report["sequences"], report["species"]) == (2, 4, 2)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_families_stream_from_load_dataset(folder, tmp_path):
    build(folder, tmp_path)
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    row = next(iter(rows))
    assert (row["group_id"], row["alphabet"], row["sequence"]) == (
        "fam1",
        "protein",
        [PROTEIN, OTHER],
    )


def test_what_is_written_comes_back_in_as_many_files_as_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    families = []
    for number in range(7):
        members = tuple(
            Homolog(f"m{i}", f"g{i}", f"s{i}", "ACGT" * (i + 1), (0, 3)) for i in range(number + 1)
        )
        matrix = rng.random((number + 1, number + 1)).astype(np.float32)
        matrix = matrix + matrix.T
        np.fill_diagonal(matrix, 0)
        families.append(
            HomologFamily(f"f{number}", "rna", members, None if number == 3 else matrix)
        )
    paths = write_families(families, tmp_path, rows_per_file=3)
    assert [path.name[-20:] for path in paths] == [
        f"{i:05d}-of-00003.parquet"[-20:] for i in range(3)
    ]
    for read, wrote in zip(read_families(tmp_path), families, strict=True):
        assert read.members == wrote.members
        if wrote.distances is None:
            assert read.distances is None
        else:
            np.testing.assert_array_equal(read.distances, wrote.distances)
    paths[1].unlink()
    with pytest.raises(InputError, match="got 2 of 3 files, wanted train-00001-of-00003"):
        list(read_families(tmp_path))


def test_tables_orthodb_and_orthofinder_give_the_same_families(folder, tmp_path):
    _, expected = build(folder, tmp_path)
    table = tmp_path / "table.parquet"
    rows = [(f.family_id, m.species, m.sequence) for f in expected for m in f.members]
    pl.DataFrame(rows, ["og", "organism", "protein"], orient="row").write_parquet(table)
    orthodb = tmp_path / "orthodb.fasta"
    orthodb.write_text(
        "".join(
            f'>9606_0:{i} {{"pub_og_id":"{name}","organism_name":"{species}"}}\n{letters}\n'
            for i, (name, species, letters) in enumerate(rows)
        )
    )
    proteomes = tmp_path / "proteomes"
    for species in ("human", "mouse"):
        of_species = [(f"{f}_{species}", letters) for f, s, letters in rows if s == species]
        fasta(proteomes / f"{species}.fa", of_species)
    groups = tmp_path / "Orthogroups.tsv"
    groups.write_text(
        "Orthogroup\thuman\tmouse\nfam1\tfam1_human\tfam1_mouse\nfam2\tfam2_human\tfam2_mouse\n"
    )
    sources = {
        "table": HomologSource(table, {"family": "og"}),
        "orthodb": HomologSource(orthodb),
        "orthofinder": HomologSource(proteomes, groups=HomologyTable(groups)),
    }
    for name, source in sources.items():
        build_homologs([source], tmp_path / name)
        found = list(read_families(tmp_path / name))
        assert [f.family_id for f in found] == ["fam1", "fam2"]
        for family, wanted in zip(found, expected, strict=True):
            assert [(m.species, m.sequence) for m in family.members] == [
                (m.species, m.sequence) for m in wanted.members
            ]


def test_distances_come_from_a_tree_and_strangers_to_it_are_counted(tmp_path):
    rows = [("human", PROTEIN), ("chimp", OTHER), ("mouse", OTHER), ("zebrafish", OTHER)]
    fasta(tmp_path / "in" / "fam.fa", rows)
    tree = tmp_path / "tree.nwk"
    tree.write_text(TREE)
    report, (family,) = build(tmp_path / "in", tmp_path, distances=str(tree))
    np.testing.assert_allclose(
        family.distances, [[0, 0.3, 0.9], [0.3, 0, 1.0], [0.9, 1.0, 0]], rtol=1e-6
    )
    assert report["skipped"] == {"species without distances": 1}


def test_what_is_left_out_is_counted_by_its_reason(tmp_path):
    fasta(tmp_path / "in" / "one.fa", [("human", PROTEIN)])
    fasta(tmp_path / "in" / "gaps.fa", [("human", PROTEIN), ("mouse", "-" * 32), ("cow", PROTEIN)])
    fasta(tmp_path / "in" / "mixed.fa", [("human", PROTEIN), ("mouse", "ACGT" * 8)])
    fasta(tmp_path / "in" / "rna.fa", [("human", "ACGT" * 8), ("mouse", "ACGT" * 8)])
    report, families = build(tmp_path / "in", tmp_path, alphabet="protein")
    assert [family.family_id for family in families] == ["gaps"]
    assert report["skipped"] == {
        "family of fewer than 2 sequences": 1,
        "family of mixed alphabets": 2,
        "family that is no protein": 2,
        "row of gaps alone": 1,
    }
    assert report["read"] == report["sequences"] + sum(report["skipped"].values())
    with pytest.raises(InputError, match="row of gaps alone"):
        build(tmp_path / "in", tmp_path, alphabet="protein", strict=True)


def test_a_stop_at_the_end_is_no_residue_and_one_inside_is_unknown(tmp_path):
    fasta(tmp_path / "in" / "f.fa", [("a", PROTEIN + "*--"), ("b", "MK*" + PROTEIN)])
    report, (family,) = build(tmp_path / "in", tmp_path)
    assert [m.sequence for m in family.members] == [PROTEIN, "MKX" + PROTEIN]
    assert report["adjusted"]["letter read as X"] == 2


def test_coding_sequences_have_a_cds_of_whole_codons(tmp_path):
    fasta(tmp_path / "in" / "f.fa", [("a", "ATG" * 11), ("b", "ATG" * 11 + "A")])
    report, (family,) = build(tmp_path / "in", tmp_path, coding=True)
    assert [m.coding for m in family.members] == [(0, 33), (0, 33)]
    assert report["adjusted"] == {"CDS cut to its last full codon": 1}


def test_coding_sequences_are_translated_where_asked_for(tmp_path):
    cds = "ATGAARGCNTGGTAYTGTCATGATGAATTTGGTATTAAACTT" * 3 + "TAA"
    fasta(tmp_path / "in" / "f.fa", [("a", cds), ("b", cds[:-3])])
    _, (family,) = build(tmp_path / "in", tmp_path, translate=True)
    assert family.alphabet == "protein"
    assert {m.sequence for m in family.members} == {"MXXWXCHDEFGIKL" * 3}
    with pytest.raises(InputError, match="translate: got it with the alphabet rna"):
        build(tmp_path / "in", tmp_path, translate=True, alphabet="rna")


def test_distances_are_of_one_kind_in_a_dataset(tmp_path):
    fasta(tmp_path / "in" / "a.fa", [("human", PROTEIN), ("mouse", OTHER)])
    fasta(tmp_path / "in" / "b.fa", [("human", PROTEIN), ("mouse", OTHER[:-2])])
    with pytest.raises(InputError, match="family b: got rows that are not aligned"):
        build(tmp_path / "in", tmp_path)
    report, _ = build(tmp_path / "in", tmp_path, distances="mash")
    assert report["distances"] == {"mash": 2}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("a", "MKV!"), ("b", "MKV")], {"alphabet": "protein"}, r"fam\.fa:1: .* got '!'"),
        ([("a", "ACGE"), ("b", "ACG")], {"alphabet": "rna"}, "got 'E', wanted letters of rna"),
        ([("a", "MKV"), ("b", "MKV")], {}, "too few letters to tell rna from protein"),
        ([("a", PROTEIN)], {}, "got no family to write"),
        ([("a", PROTEIN), ("b", OTHER[:-1])], {"distances": "p"}, "rows that are not aligned"),
        ([("a", PROTEIN), ("b", OTHER)], {"distances": "jc69"}, "got jc69 of protein"),
        ([("a", PROTEIN), ("b", OTHER)], {"distances": "nowhere.nwk"}, "got 'nowhere.nwk'"),
        ([("a", PROTEIN), ("b", OTHER)], {"alphabet": "dna"}, "alphabet: got 'dna'"),
        ([("a", PROTEIN), ("b", OTHER)], {"min_members": 0}, "min_members: got 0"),
        ([("a", PROTEIN), ("b", OTHER)], {"mash_k": 0}, "mash_k: got 0, wanted at least 1"),
        ([("a|g", PROTEIN), ("A|g", OTHER)], {}, None),
    ],
)
def test_what_cannot_be_built_is_one_error(tmp_path, rows, options, message):
    fasta(tmp_path / "in" / "fam.fa", rows)
    if message is None:  # two names of one species, told apart by their own names
        assert len(build(tmp_path / "in", tmp_path, **options)[1][0].members) == 2
        return
    with pytest.raises(InputError, match=message):
        build(tmp_path / "in", tmp_path, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("((human:1,mouse:1):1,rat);", "rat: no branch length"),
        ("(Human:1,human:1);", "got the species 'human' twice"),
        ("(human:-1,mouse:1);", "branch length: got '-1'"),
        ("species_a\tspecies_b\tdistance\nhuman\tmouse\tinf\n", "distance: got 'inf'"),
        ("species_a\tspecies_b\tdistance\nhuman\tmouse\t-2\n", "distance: got '-2'"),
    ],
)
def test_a_bad_tree_or_table_is_one_error(folder, tmp_path, text, message):
    path = tmp_path / "distances"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        build(folder, tmp_path, distances=str(path))


def test_a_tree_that_matches_no_species_is_an_error(folder, tmp_path):
    tree = tmp_path / "tree.nwk"
    tree.write_text("(rat:1,cow:1);")
    with pytest.raises(InputError, match="got none of the 2 species of the data"):
        build(folder, tmp_path, distances=str(tree))


def test_an_unrooted_tree_is_used_and_said_so(folder, tmp_path):
    tree = tmp_path / "tree.nwk"
    tree.write_text("(human:0.1,mouse:0.2,cow:0.3);")
    report, families = build(folder, tmp_path, distances=str(tree))
    assert families[0].distances[0, 1] == pytest.approx(0.3)
    assert report["tree"] == "unrooted: distances need no root"


def test_a_dataset_that_is_there_is_not_overwritten_unasked(folder, tmp_path):
    build_homologs([HomologSource(folder)], tmp_path / "out")
    with pytest.raises(InputError, match="got a dataset in it"):
        build_homologs([HomologSource(folder)], tmp_path / "out")


def test_a_join_that_matches_nothing_is_an_error(folder, tmp_path):
    groups = tmp_path / "groups.tsv"
    groups.write_text("Orthogroup\thuman\tmouse\nfam1\tx\ty\n")
    with pytest.raises(InputError, match="got none of the 4 sequences in a group"):
        build_homologs([HomologSource(folder, groups=HomologyTable(groups))], tmp_path / "out")


def test_columns_that_are_not_there_are_errors(tmp_path):
    table = tmp_path / "t.tsv"
    table.write_text("family\tspecies\tletters\nf\ta\tMKV\n")
    with pytest.raises(InputError, match="wanted one of the sequence"):
        build_homologs([HomologSource(table)], tmp_path / "out")
    with pytest.raises(InputError, match="columns: got 'seq', wanted family"):
        build_homologs([HomologSource(table, {"seq": "letters"})], tmp_path / "out")
    with pytest.raises(InputError, match="wanted sequences"):
        build_homologs([HomologSource(table, {"sequence": "sequences"})], tmp_path / "out")
