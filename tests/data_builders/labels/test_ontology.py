import gzip

import pytest

from data_builders.labels.ontology import read_gaf, read_gmt, read_obo
from data_builders.records import InputError
from data_builders.text import Tally

OBO = """format-version: 1.2
ontology: go

[Term]
id: GO:0000001
name: root
namespace: molecular_function

[Term]
id: GO:0000002
name: middle
namespace: molecular_function
alt_id: GO:0000022
is_a: GO:0000001 ! root
relationship: part_of GO:0000005 ! process
relationship: regulates GO:0000006 ! not followed

[Term]
id: GO:0000003
name: leaf
namespace: molecular_function
is_a: GO:0000002 {source="x"} ! middle

[Term]
id: GO:0000005
namespace: biological_process

[Term]
id: GO:0000006
namespace: biological_process

[Term]
id: GO:0000009
name: gone
is_obsolete: true

[Typedef]
id: part_of
is_transitive: true
"""


def gaf(gene, symbol, term, qualifier="enables", code="IDA", taxon="taxon:9606", synonyms="", n=17):
    fields = ["UniProtKB", gene, symbol, qualifier, term, "PMID:1", code, "", "F", "a name"]
    fields += [synonyms, "protein", taxon, "20200101", "UniProt", "", ""]
    return "\t".join(fields[:n]) + "\n"


@pytest.fixture
def ontology(tmp_path):
    path = tmp_path / "go.obo"
    path.write_text(OBO)
    return read_obo(path)


def terms(*numbers):
    return {f"GO:{n:07d}" for n in numbers}


def test_ancestors_by_is_a_and_part_of_alone(ontology):
    assert ontology.with_ancestors("GO:0000003") == terms(1, 2, 3, 5)
    assert ontology.with_ancestors("GO:0000001") == terms(1)
    assert ontology.current["GO:0000022"] == "GO:0000002"
    assert "GO:0000009" not in ontology.current


def test_a_cycle_of_terms_ends(tmp_path):
    path = tmp_path / "go.obo"
    term = "[Term]\nid: GO:000000{0}\nnamespace: x\nis_a: GO:000000{1}\n"
    path.write_text("\n".join(term.format(*ends) for ends in [(1, 2), (2, 3), (3, 1)]))
    assert read_obo(path).with_ancestors("GO:0000002") == terms(1, 2, 3)


def read(tmp_path, ontology, text, **options):
    path = tmp_path / "a.gaf.gz"
    path.write_bytes(gzip.compress(("!gaf-version: 2.2\n" + text).encode()))
    tally = Tally()
    genes = read_gaf(path, ontology, tally, **options)
    return {gene.names: gene.terms for gene in genes}, tally, genes


ANNOTATIONS = (
    gaf("P1", "ABC1", "GO:0000003")
    + gaf("P1", "ABC1", "GO:0000006", "involved_in", "IEA")
    + gaf("P2", "DEF2", "GO:0000022", n=15)
    + gaf("P2", "DEF2", "GO:0000003", "NOT|enables")
    + gaf("P3", "GHI3", "GO:0000001", code="ND")
    + gaf("P4", "JKL4", "GO:0000009")
    + gaf("P4", "JKL4", "GO:7654321")
)


def test_annotations_are_carried_up_and_counted(tmp_path, ontology):
    found, tally, _ = read(tmp_path, ontology, ANNOTATIONS)
    assert found == {("P1", "ABC1"): terms(1, 2, 3, 5, 6), ("P2", "DEF2"): terms(1, 2, 5)}
    assert (tally.read, tally.kept) == (7, 3)
    assert tally.skipped == {
        "qualifier NOT": 1,
        "evidence ND": 1,
        "term not in the ontology, or obsolete": 2,
    }


def test_aspect(tmp_path, ontology):
    found, _, _ = read(tmp_path, ontology, ANNOTATIONS, aspect="P")
    assert found == {("P1", "ABC1"): terms(5, 6), ("P2", "DEF2"): terms(5)}


def test_two_taxa_and_synonyms(tmp_path, ontology):
    text = gaf("P1", "A", "GO:0000001", taxon="taxon:9606|taxon:1280", synonyms="YAL1|x")
    _, _, genes = read(tmp_path, ontology, text + gaf("P1", "A", "GO:0000005", taxon="taxon:1"))
    assert [(g.species, g.synonyms) for g in genes] == [("9606", ("YAL1", "x")), ("1", ())]
    assert [g.terms for g in genes] == [terms(1), terms(5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (gaf("P1", "A", "GO:0000001", n=14), r"gaf\.gz:2: columns: got 14, wanted 17"),
        (gaf("", "A", "GO:0000001"), r"gaf\.gz:2: got '', 'A', 'GO:0000001', 'IDA', 'taxon:9606'"),
        (gaf("P1", "A", "0000001"), r"gaf\.gz:2: got 'P1', 'A', '0000001'"),
        (gaf("P1", "A", "GO:0000001", taxon="9606"), r"gaf\.gz:2: got .*'9606', wanted an id"),
    ],
)
def test_what_is_no_gaf(tmp_path, ontology, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, ontology, text)


def test_unknown_aspect(tmp_path, ontology):
    with pytest.raises(InputError, match="aspect: got 'X', wanted one of F, P, C"):
        read(tmp_path, ontology, ANNOTATIONS, aspect="X")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"go\.obo: got no \[Term\]"),
        ("[Term]\nid: GO:1\n", r"go\.obo:1: term GO:1: got 1 ids and 0 namespaces"),
        ("[Term]\nid: a\nnamespace: x\nis_a: b\n", r":1: term 'a': got the parent 'b', wanted"),
        ("[Term]\nid: a\nnamespace: x\nis_a:\n", r"go\.obo:4: got 'is_a:', wanted 'tag: value'"),
        (
            "[Term]\nid: a\nnamespace: x\nrelationship: part_of\n",
            r":4: got 'relationship: part_of'",
        ),
        ("[Term]\nid: a\nnamespace: x\n\n" * 2, r":5: term 'a': got it again, .*\(line 1\)"),
    ],
)
def test_what_is_no_obo(tmp_path, text, message):
    path = tmp_path / "go.obo"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_obo(path)


def test_gmt(tmp_path):
    path = tmp_path / "c5.gmt"
    path.write_text("T1\thttp://x\tA\tB\r\nT2\t\tB\tC\t\n")
    genes = read_gmt(path, "human")
    assert [(g.names, g.terms, g.species) for g in genes] == [
        (("A",), {"T1"}, "human"),
        (("B",), {"T1", "T2"}, "human"),
        (("C",), {"T2"}, "human"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"gmt: got an empty file"),
        ("T1\tx\n", r"gmt:1: got 2 columns, wanted a set's name"),
        ("T1\tx\tA\nT1\tx\tB\n", r"gmt:2: set 'T1': got it again, wanted it once \(line 1\)"),
    ],
)
def test_what_is_no_gmt(tmp_path, text, message):
    path = tmp_path / "c5.gmt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_gmt(path, "human")
