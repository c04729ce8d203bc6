import gzip

import pytest

from data_builders.homology.homologous_genes import read_homology
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError
from data_builders.text import Tally

COMPARA = (
    "gene_stable_id\tprotein_stable_id\tspecies\tidentity\thomology_type\t"
    "homology_gene_stable_id\thomology_protein_stable_id\thomology_species\thomology_identity\t"
    "dn\tds\tgoc_score\twga_coverage\tis_high_confidence\thomology_id\n"
)
TOGA = "t_gene\tt_transcript\tq_gene\tq_transcript\torthology_class\n"


def compara(a, species, kind, b, other):
    return (
        f"{a}\tP{a}\t{species}\t90.1\t{kind}\t{b}\tP{b}\t{other}\t89\tNULL\tNULL\t100\t99\t1\t7\n"
    )


def read(tmp_path, text, **options):
    path = tmp_path / "h.tsv"
    path.write_bytes(text.encode())
    tally = Tally()
    return read_homology(HomologyTable(path, **options), tally), tally


def groups(homology):
    found = {}
    for gene, group in homology.groups.items():
        found.setdefault(group, set()).add(":".join(gene))
    return found


def test_ensembl_compara(tmp_path):
    rows = [
        compara("ENSG1", "homo_sapiens", "ortholog_one2one", "ENSMUSG1", "mus_musculus"),
        compara("ENSG2", "homo_sapiens", "ortholog_one2many", "ENSMUSG2", "mus_musculus"),
        compara("ENSG2", "homo_sapiens", "ortholog_one2many", "ENSMUSG3", "mus_musculus"),
        compara("ENSG1", "homo_sapiens", "within_species_paralog", "ENSG4", "homo_sapiens"),
        compara("ENSG1", "homo_sapiens", "other_paralog", "ENSG2", "homo_sapiens"),
    ]
    homology, tally = read(tmp_path, COMPARA + "".join(rows))
    assert groups(homology) == {
        "10090:ENSMUSG1": {"9606:ENSG1", "10090:ENSMUSG1", "9606:ENSG4"},
        "10090:ENSMUSG2": {"9606:ENSG2", "10090:ENSMUSG2", "10090:ENSMUSG3"},
    }
    assert (tally.read, tally.adjusted) == (5, {"other_paralog not joined": 1})
    # The last row alone holds the two groups apart.
    joined, _ = read(tmp_path, COMPARA + "".join(rows).replace("other_paralog", "gene_split"))
    assert len(groups(joined)) == 1


BIOMART = [
    ["Gene stable ID", "Gene description", "Mouse gene stable ID", "Mouse homology type"],
    ["ENSG1", "kinase, a", "ENSMUSG1", "ortholog_one2one"],
    ["ENSG2", "", "", ""],
    ["ENSG3", "", "ENSMUSG1", "ortholog_many2many"],
]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_biomart(tmp_path, separator):
    quote = '"' if separator == "," else ""
    text = "\n".join(separator.join(quote + x + quote for x in row) for row in BIOMART)
    homology, tally = read(tmp_path, text, species="human")
    assert groups(homology) == {"10090:ENSMUSG1": {"9606:ENSG1", "9606:ENSG3", "10090:ENSMUSG1"}}
    assert (tally.read, tally.adjusted) == (3, {"gene without homolog": 1})
    assert homology.group("human", "ENSG2") is None


def test_biomart_of_several_species_and_of_paralogues(tmp_path):
    header = (
        "Gene stable ID\tMouse gene stable ID\tMouse homology type\t"
        "Drosophila melanogaster (Fruit fly) gene stable ID\t"
        "Human paralogue gene stable ID\tHuman paralogue homology type\n"
    )
    rows = "ENSG1\tENSMUSG1\tortholog_one2one\tFBgn1\t\t\n"
    rows += "ENSG1\t\t\t\tENSG5\twithin_species_paralog\n"
    rows += "ENSG1\t\t\t\tENSG6\tother_paralog\n"
    homology, tally = read(tmp_path, header + rows, species="homo_sapiens")
    assert groups(homology) == {
        "10090:ENSMUSG1": {"9606:ENSG1", "9606:ENSG5", "10090:ENSMUSG1", "7227:FBgn1"}
    }
    assert tally.adjusted == {"other_paralog not joined": 1, "gene without homolog": 1}


def test_biomart_before_release_88(tmp_path):
    homology, _ = read(
        tmp_path, "Ensembl Gene ID\tMouse Ensembl Gene ID\nENSG1\tENSMUSG1\n", species="human"
    )
    assert homology.group("mouse", "ENSMUSG1") == homology.group("human", "ENSG1") is not None


def test_toga_by_gene_and_by_transcript(tmp_path):
    rows = (
        "ENSG1\tENST1\treg_7\tENST1.ABC.12\tone2one\nENSG1\tENST2\treg_7\tENST2.ABC.12\tone2one\n"
    )
    rows += "ENSG2\tENST9\tNone\tNone\tone2zero\n"
    homology, tally = read(tmp_path, TOGA + rows, species="human", query="Sus scrofa")
    assert groups(homology) == {"9606:ENSG1": {"9606:ENSG1", "9823:reg_7"}}
    for species, name in [("human", "ENST2"), ("pig", "ENST1.ABC.12"), ("pig", "reg_7")]:
        assert homology.group(species, name) == "9606:ENSG1"
    assert homology.group("human", "ENSG2") is homology.group("pig", "ENST1") is None
    assert (tally.read, tally.adjusted) == (3, {"gene without homolog": 1})


def test_orthofinder(tmp_path):
    text = "Orthogroup\tHomo_sapiens\tMus_musculus\r\nOG1\th1, h2\tm1\r\nOG2\t\tm2\r\n"
    homology, tally = read(tmp_path, text)
    assert groups(homology) == {"OG1": {"9606:h1", "9606:h2", "10090:m1"}, "OG2": {"10090:m2"}}
    assert (tally.read, tally.adjusted) == (2, {})


def test_orthofinder_hierarchical(tmp_path):
    header = "HOG\tOG\tGene Tree Parent Clade\tHomo_sapiens\tMus_musculus\n"
    homology, _ = read(tmp_path, header + "N0.HOG1\tOG1\tn0\th1\tm1\nN0.HOG2\tOG1\tn1\th2\t\n")
    assert groups(homology) == {"N0.HOG1": {"9606:h1", "10090:m1"}, "N0.HOG2": {"9606:h2"}}


ORTHODB = "5at40674\t9606_0:00a\n5at40674\t10090_0:00b\n7at40674\t9606_0:00c\n"


def test_orthodb_with_its_table_of_genes(tmp_path):
    genes = tmp_path / "genes.tab.gz"
    rows = [
        "9606_0:00a\t9606_0\tENSP1\tSYN;ABC1\tP1\tENSG1;ENST1;ENSP1\t34\tkinase\t1-2\n",
        "9606_0:00c\t9606_0\tENSP2\tABC1\t\\N\tENSG2\t35\t\t\n",
        "9913_0:00f\t9913_0\tX\tSYN\t\tENSBTAG1\t36\t\t\n",
    ]
    genes.write_bytes(gzip.compress("".join(rows).encode()))
    homology, tally = read(tmp_path, ORTHODB, genes=genes)
    assert groups(homology) == {"5at40674": {"9606:00a", "10090:00b"}, "7at40674": {"9606:00c"}}
    assert homology.group("human", "ENSG1") == homology.group("human", "34") == "5at40674"
    assert homology.group("human", "ENSG2") == "7at40674"
    assert homology.group("human", "ABC1") is homology.group("cow", "ENSBTAG1") is None
    assert homology.group("human", "\\N") is None
    assert (tally.read, tally.adjusted) == (3, {"name of two groups not used": 1})


def test_orthodb_wants_one_level(tmp_path):
    both = ORTHODB + "2at9443\t9606_0:00a\n"
    homology, tally = read(tmp_path, both, level="40674")
    assert len(groups(homology)) == 2
    assert (tally.read, tally.adjusted) == (4, {"group of another level not used": 1})
    with pytest.raises(InputError, match=r"h\.tsv:4: got groups of the levels 40674 and 9443"):
        read(tmp_path, both)


def test_group_and_species_with_gene(tmp_path):
    homology, _ = read(tmp_path, "H1\thuman:g1\nH1\tmouse:m:1\n")
    assert groups(homology) == {"H1": {"9606:g1", "10090:m:1"}}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (COMPARA + "ENSG1\tP\thomo_sapiens\n", {}, ":2: columns: got 3, wanted 15"),
        (COMPARA + compara("", "h", "k", "b", "m"), {}, ":2: got an empty field, wanted two genes"),
        (TOGA + "a\tb\tc\td\te\n", {}, ":1: got no reference and query species, wanted them"),
        (TOGA + "\tb\tc\td\te\n", {"species": "h", "query": "m"}, ":2: got an empty field"),
        ("Gene stable ID\tMouse gene stable ID\na\tb\n", {}, ":1: got no species of the first"),
        (
            "Cow gene stable ID\tMouse gene stable ID\n",
            {"species": "h"},
            ":1: header: got no 'Gene",
        ),
        ("Gene stable ID\tMouse gene stable ID\n\tb\n", {"species": "h"}, ":2: got an empty field"),
        ("Gene stable ID,Mouse gene stable ID\na,b,c\n", {"species": "h"}, ":2: columns: got 3"),
        ("Orthogroup\ta\tb\nOG1\t\t\n", {}, ":2: got no gene or no group, wanted both"),
        ("Orthogroup\ta\nOG1\tx\nOG2\tx\n", {}, ":3: gene 'x' of a: got group 'OG2', wanted 'OG1'"),
        ("H1\thuman:g1\nH1\tg2\n", {}, ":2: got an empty field, wanted group, species and gene"),
        ("H1\thuman:g1\nH2\thuman:g1\n", {}, ":2: gene 'g1' of human: got group 'H2', wanted 'H1'"),
        (TOGA, {"species": "h", "query": "m"}, ": got no homologous genes, wanted some"),
        ("a\tb\tc\n", {}, ":1: header: got 'a b c', wanted the columns group_id, species, gene_id"),
    ],
)
def test_what_is_no_homology(tmp_path, text, options, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, text, **options)
    assert str(error.value).startswith(f"{tmp_path / 'h.tsv'}{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"species": "human"}, "reference: got 'human' beside a table of the layout generic"),
        ({"query": "mouse"}, "query: got 'mouse' beside"),
        ({"level": "9606"}, "level: got '9606' beside"),
    ],
)
def test_what_a_table_has_no_use_for_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, "group_id\tspecies\tgene_id\n1\thuman\tg\n1\tmouse\tm\n", **options)


@pytest.mark.parametrize("line", ["9606_0:00a\t9606_0\n", "x\t1\t2\t3\t4\t5\t6\t7\n", "\n"])
def test_what_is_no_table_of_orthodb_genes(tmp_path, line):
    genes = tmp_path / "genes.tab"
    genes.write_text(line)
    with pytest.raises(InputError, match=r"genes\.tab.*: got .*'.*', wanted"):
        read(tmp_path, ORTHODB, genes=genes)


def test_a_real_table_whose_header_is_not_its_own(real_data):
    # Its columns are a mouse gene, a type and a number; the human genes that the header promises
    # are not in the file.
    path = real_data / "homology" / "human_mouse_one2one.tsv"
    assert b"ENSG0" not in path.read_bytes()
    with pytest.raises(InputError, match=r"one2one\.tsv:1: header: got 'human_gene_id mouse_gene"):
        read_homology(path)
