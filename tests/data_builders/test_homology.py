import gzip

import pytest

from data_builders.homology import homologene_symbols, read_homology, taxon
from data_builders.records import InputError
from data_builders.text import Tally

HEADER = "homologene_id\ttaxonomy_id\tncbi_gene_id\tgene_symbol\n"


def write(tmp_path, text: str):
    path = tmp_path / "h.tsv"
    path.write_text(text)
    return path


def test_names_of_a_species_share_a_key():
    assert taxon("Homo sapiens") == taxon("human") == taxon("9606") == "9606"
    assert taxon("C. elegans") == taxon("caenorhabditis_elegans") == "6239"
    assert taxon("unicorn") == "unicorn"


def test_generic_table_in_any_column_order(tmp_path):
    homology = read_homology(
        write(
            tmp_path, "gene_id\tnote\tspecies\tgroup_id\r\ng1\tx\thuman\tH1\r\nm1\ty\tMouse\tH1\r\n"
        )
    )
    assert homology.group("homo_sapiens", "g1") == homology.group("mouse", "m1") == "H1"
    assert homology.group("mouse", "g1") is None
    assert homology.group("mouse", "other", "m1") == "H1"


def test_homologene_with_and_without_header_by_id_and_symbol(tmp_path):
    rows = ["3\t9606\t34\tACADM", "3\t10090\t11364\tAcadm", "5\t9606\t37\tACADVL"]
    tables = [HEADER + "\n".join(rows), "\n".join(f"{row}\t118\tNP_1.1" for row in rows)]
    for text in tables:
        homology = read_homology(write(tmp_path, text))
        assert homology.group("human", "34") == homology.group("human", "ACADM") == "3"
        assert homology.group("mouse", "Acadm") == "3"
        assert homology.group("human", "ACADVL") == "5"
        assert homologene_symbols(tmp_path / "h.tsv", 9606) == {"ACADM": "3", "ACADVL": "5"}


def test_symbol_of_two_groups_names_neither(tmp_path):
    path = write(tmp_path, HEADER + "1\t9606\t10\tX\n2\t9606\t11\tX\n")
    tally = Tally()
    homology = read_homology(path, tally)
    assert (tally.read, tally.adjusted) == (2, {"symbol of two groups not used": 1})
    assert homology.group("human", "X") is None
    assert homology.group("human", "10") == "1"
    assert homologene_symbols(path, 9606) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"h\.tsv: got an empty file"),
        ("a\tb\n", r"h\.tsv:1: header: got 'a b', wanted the columns group_id"),
        (HEADER + "3\t9606\t34\n", r"h\.tsv:2: columns: got 3, wanted 4"),
        (HEADER + "3\t\t34\tA\n", r"h\.tsv:2: got an empty field"),
        (
            "group_id\tspecies\tgene_id\nA\thuman\tg\nB\thomo_sapiens\tg\n",
            r"h\.tsv:3: gene 'g' of homo_sapiens: got group 'B', wanted 'A'",
        ),
    ],
)
def test_what_is_no_homology(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_homology(write(tmp_path, text))


def test_taxon_without_symbols(tmp_path):
    with pytest.raises(InputError, match="got no symbol of taxon 1, wanted some"):
        homologene_symbols(write(tmp_path, HEADER + "3\t9606\t34\tA\n"), 1)


def test_real_homologene(real_data):
    path = real_data / "homology" / "homologene_build68.tsv.gz"
    with gzip.open(path, "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    homology = read_homology(path)
    assert {(tax, gene): group for group, tax, gene, _ in rows}.items() <= homology.groups.items()
    symbols = homologene_symbols(path, 9606)
    assert len(symbols) > 19_000
    assert all(homology.group("human", symbol) == group for symbol, group in symbols.items())
