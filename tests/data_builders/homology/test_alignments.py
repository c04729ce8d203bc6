"""Readers of homologous sequences: what each format means, and what is wrong with a file."""

import gzip

import pytest

from data_builders.homology.alignments import family_name, read_rows
from data_builders.homology.alphabets import PROTEIN, RNA, guess_alphabet, without_gaps
from data_builders.homology.headers import normalised_species, origin
from data_builders.records import InputError

LETTERS = ("MKV-LA", "MKVALA", "M--ALA")
FORMATS = {
    "f.fasta": ">a x y\nMKV\n-LA\n>b\nMKVALA\n>c\nM--ALA\n",
    "f.phy": "3 6\na MKV-LA\nb MKVALA\nc M--ALA\n",
    "strict.phy": "3 6\na         MKV -LA\nb         MKV ALA\nc         M-- ALA\n",
    "interleaved.phy": "3 6\na MKV\nb MKV\nc M--\n\n-LA\nALA\nALA\n",
    "sequential.phy": "3 6\na MKV\n-LA\nb MKV\nALA\nc M--\nALA\n",
    "f.sto": "# STOCKHOLM 1.0\n#=GF ID fam\n\na MKV\nb MKV\nc M--\n#=GC SS ...\n\na -LA\nb ALA\n"
    "c ALA\n//\n",
}


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return list(read_rows(path))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    (family,) = read(tmp_path, name, FORMATS[name])
    assert [row.name for row in family.rows] == ["a", "b", "c"]
    assert family.columns == LETTERS
    assert family.name == ("fam" if name == "f.sto" else name.split(".")[0])


def test_insertions_of_a3m_are_letters_and_no_columns(tmp_path):
    (family,) = read(tmp_path, "f.a3m", "#A3M#\n>a\nMKVLA\n>b\nM-aaVL.A\n")
    assert family.columns == ("MKVLA", "M-VLA")
    assert without_gaps(PROTEIN.read(family.rows[1].letters)[0]) == "MAAVLA"


def test_fasta_of_one_length_is_aligned_and_of_several_is_not(tmp_path):
    assert read(tmp_path, "f.fa", ">a\nMKV\n>b\nMKA\n")[0].columns == ("MKV", "MKA")
    assert read(tmp_path, "f.fa", ">a\nMKV\n>b\nMK\n")[0].columns is None


def test_stockholm_holds_several_families(tmp_path):
    families = read(
        tmp_path,
        "many.sto",
        "# STOCKHOLM 1.0\n#=GF AC PF1.1\na MK\nb ML\n//\n# STOCKHOLM 1.0\nc MK\nd M-\n//\n",
    )
    assert [family.name for family in families] == ["PF1.1", "many.2"]


def test_a_gzip_file_is_read_and_named_without_its_suffixes(tmp_path):
    path = tmp_path / "OG1.fa.gz"
    path.write_bytes(gzip.compress(b">a\nMK\n>b\nML\n"))
    (family,) = read_rows(path)
    assert family.name == family_name(path) == "OG1"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.fa", "", "wanted FASTA, A3M, PHYLIP or Stockholm"),
        ("f.fa", "hello\n", r"f\.fa:1: got 'hello', wanted FASTA"),
        ("f.fa", ">a\nMK\n>a\nML\n", r"f\.fa:3: name: got 'a' again"),
        ("f.fa", ">a\n>b\nML\n", r"f\.fa:1: sequence of 'a': got none"),
        ("f.fa", ">\nMK\n", r"f\.fa:1: header: got no name"),
        ("f.fa", ">a\nM-K\n>b\nML\n", r"f\.fa:3: row 'b': got 2 columns, wanted 3 as in 'a'"),
        ("f.phy", "3 4\na MKVA\n", r"f\.phy: got 1 lines, wanted 3 sequences"),
        ("f.phy", "2 4\na MKVA\nb MK\n", r"f\.phy:3: row 'b': got 2 columns, wanted 4"),
        ("f.phy", "2 4\na MKVA\na MKVA\n", r"f\.phy:3: name: got 'a' again"),
        ("f.sto", "# STOCKHOLM 1.0\na MK\n", "got the end of the file, wanted '//'"),
        ("f.sto", "# STOCKHOLM 1.0\na MK\nb M\n//\n", r"f\.sto:3: row 'b': got 1 columns"),
        ("f.sto", "# STOCKHOLM 1.0\na\n//\n", r"f\.sto:2: got 1 fields"),
        ("f.sto", "# STOCKHOLM 1.0\n//\n", "alignment 1: got no sequences"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_error(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, name, text)


def test_letters_are_read_by_alphabet():
    assert PROTEIN.read("mk*x-.B") == ("MKXX--B", None, 1)
    assert RNA.read("acguRYx") == ("ACGTNNN", None, 2)
    assert RNA.read("ACE")[1] == "E"
    assert PROTEIN.read("MK1")[1] == "1"


def test_an_alphabet_is_guessed_only_where_it_can_be_told():
    assert guess_alphabet("ACGT" * 10) == "rna"
    assert guess_alphabet("ACGU-N" * 10) == "rna"
    assert guess_alphabet("MKVLAAGIVGLCDEFGHIKLMNPQRSTVWYMK") == "protein"
    assert guess_alphabet("ACGT") is None
    assert guess_alphabet("N" * 100) is None


@pytest.mark.parametrize(
    ("header", "species", "gene"),
    [
        ("Homo_sapiens", "Homo_sapiens", "Homo_sapiens"),
        ("human|TP53", "human", "TP53"),
        ("TP53@human", "human", "TP53"),
        ("human:TP53", "human", "TP53"),
        ("P04637 Cellular tumor OS=Homo sapiens OX=9606 GN=TP53 PE=1", "Homo sapiens", "TP53"),
        ("NP_1.1 protein p53 [Homo sapiens]", "Homo sapiens", "NP_1.1"),
        (
            '9606_0:1 {"organism_name":"Homo sapiens","pub_gene_id":"TP53"}',
            "Homo sapiens",
            "TP53",
        ),
        ("9606_0:1 {broken", "9606_0", "1"),
    ],
)
def test_a_header_says_species_and_gene(tmp_path, header, species, gene):
    (family,) = read(tmp_path, "f.fa", f">{header}\nMKV\n")
    assert origin(family.rows[0]) == (species, gene)


def test_species_names_are_normalised():
    names = ("Homo sapiens", "Homo_sapiens", " homo.sapiens ", "HOMO_SAPIENS")
    assert {normalised_species(name) for name in names} == {"homo_sapiens"}
    assert normalised_species("hg38") == "hg38"
