import gzip
import random
from collections import defaultdict

import pytest

from data_builders.homology.homologous_genes import Homology, read_homology
from data_builders.homology.tables import HomologyTable
from data_builders.names import taxon, without_version
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


def test_symbol_of_two_groups_names_neither(tmp_path):
    path = write(tmp_path, HEADER + "1\t9606\t10\tX\n2\t9606\t11\tX\n")
    tally = Tally()
    homology = read_homology(path, tally)
    assert (tally.read, tally.adjusted) == (2, {"name of two groups not used": 1})
    assert homology.group("human", "X") is None
    assert homology.group("human", "10") == "1"


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


def test_real_homologene(real_data):
    path = real_data / "homology" / "homologene_build68.tsv.gz"
    with gzip.open(path, "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    tally = Tally()
    homology = read_homology(path, tally)
    assert tally.read == len(rows) == 275_237
    assert homology.groups == {(tax, gene): group for group, tax, gene, _ in rows}
    meanings = defaultdict(set)
    for group, tax, _, symbol in rows:
        meanings[tax, symbol].add(group)
    clear = {name: found.pop() for name, found in meanings.items() if len(found) == 1}
    assert homology.names == clear
    assert tally.adjusted["name of two groups not used"] == len(meanings) - len(clear) > 0


def pairs_table(tmp_path, name, pairs, species="human", query="mouse"):
    path = tmp_path / name
    rows = "".join(f"{a}\t\t{b}\t\tone2one\n" for a, b in pairs)
    path.write_text("t_gene\tt_transcript\tq_gene\tq_transcript\torthology_class\n" + rows)
    return HomologyTable(path, species, query)


def components(edges):
    """The oracle: flood fill over an adjacency table."""
    near = defaultdict(set)
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    left, found = set(near), set()
    while left:
        ahead, members = [left.pop()], set()
        while ahead:
            gene = ahead.pop()
            members.add(gene)
            ahead += near[gene] - members
        left -= members
        found.add(frozenset(members))
    return found


def partition(homology):
    groups = defaultdict(set)
    for gene, group in homology.groups.items():
        groups[group].add(gene)
    return {group: frozenset(members) for group, members in groups.items()}


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_several_tables_are_joined_whatever_their_order(tmp_path, seed):
    rng = random.Random(seed)
    tables, edges = [], set()
    for number, query in enumerate(("mouse", "rat", "zz")):
        pairs = [(f"h{rng.randrange(60)}", f"q{rng.randrange(60)}") for _ in range(40)]
        tables.append(pairs_table(tmp_path, f"{number}.tsv", pairs, query=query))
        edges |= {(("9606", a), (taxon(query), b)) for a, b in pairs}
    homology = read_homology(tables)
    groups = partition(homology)
    assert set(groups.values()) == components(edges)
    assert all(group == ":".join(min(members)) for group, members in groups.items())
    rng.shuffle(tables)
    assert read_homology(tables).groups == homology.groups
    apart = [partition(read_homology(table)) for table in tables]
    assert set().union(*(part.values() for part in apart)) != set(groups.values())


def test_a_group_table_keeps_its_ids_alone_but_not_beside_another(tmp_path):
    groups = write(tmp_path, "group_id\tspecies\tgene_id\nH\thuman\th1\nH\trat\tr1\nI\thuman\th2\n")
    assert set(read_homology(groups).groups.values()) == {"H", "I"}
    pairs = pairs_table(tmp_path, "p.tsv", [("h2", "m2"), ("h1", "m1")])
    joined = read_homology([groups, pairs])
    assert partition(joined) == {
        "10090:m1": {("9606", "h1"), ("10116", "r1"), ("10090", "m1")},
        "10090:m2": {("9606", "h2"), ("10090", "m2")},
    }
    assert joined.groups == read_homology([pairs, groups]).groups


def test_two_group_tables_may_disagree_and_are_joined(tmp_path):
    a = write(tmp_path, "group_id\tspecies\tgene_id\nA\thuman\th1\nA\thuman\th2\n")
    b = tmp_path / "b.tsv"
    b.write_text("group_id\tspecies\tgene_id\nA\thuman\th3\nB\thuman\th3x\nB\thuman\th2\n")
    # The tables' "A" are not the same group.
    assert partition(read_homology([a, b])) == {
        "9606:h1": {("9606", "h1"), ("9606", "h2"), ("9606", "h3x")},
        "9606:h3": {("9606", "h3")},
    }


def test_no_table():
    with pytest.raises(InputError, match="homology: got no table, wanted one or more"):
        read_homology([])


def test_versions_of_ensembl_ids_do_not_count():
    homology = Homology({("9606", "ENSG00000000001"): "H", ("9606", "g.1"): "I"})
    assert homology.group("human", "ENSG00000000001.17") == "H"
    assert homology.group("human", "ENSG00000000001") == "H"
    assert homology.group("human", "ENSG00000000001.x") is None
    assert homology.group("human", "g.2") is None
    assert without_version("ENSMUST00000000012.3") == "ENSMUST00000000012"
    assert without_version("NM_000014.6") == "NM_000014"
    assert without_version("AT1G01010.1") == "AT1G01010.1"


def test_groups_depend_on_no_hash_seed_or_row_order(tmp_path):
    pairs = [(f"h{i // 2}", f"m{i // 3}") for i in range(30)]
    forward = read_homology(pairs_table(tmp_path, "f.tsv", pairs)).groups
    backward = read_homology(pairs_table(tmp_path, "b.tsv", pairs[::-1])).groups
    assert forward == backward
    assert len(set(forward.values())) < 15
