import numpy as np
import pytest

from data_builders.homology.phylogeny import read_species_distances
from data_builders.records import InputError


def read(tmp_path, text):
    path = tmp_path / "tree"
    path.write_text(text, encoding="utf-8")
    return read_species_distances(path)


def test_distances_are_sums_of_branch_lengths(tmp_path):
    found = read(tmp_path, "((human:1,mouse:2)mammals:0.5,(fly:8,worm:16):4,\n yeast:32);\n")
    assert found.species == ("human", "mouse", "fly", "worm", "yeast")
    assert found.matrix.tolist() == [
        [0, 3, 13.5, 21.5, 33.5],
        [3, 0, 14.5, 22.5, 34.5],
        [13.5, 14.5, 0, 24, 44],
        [21.5, 22.5, 24, 0, 52],
        [33.5, 34.5, 44, 52, 0],
    ]
    assert found.between(["worm", "human"]).tolist() == [[0, 21.5], [21.5, 0]]


def test_what_newick_allows_is_read(tmp_path):
    found = read(tmp_path, "[a tree]('Mus musculus':1e0,[c,(]'it''s':2,Homo_sapiens:.5)root:0 ;")
    assert found.species == ("Mus musculus", "it's", "Homo_sapiens")
    assert found.between(["it's", "Homo_sapiens"])[0, 1] == 2.5


def test_distances_of_a_random_tree_are_those_of_walks_over_its_edges(tmp_path):
    rng = np.random.default_rng(0)
    edges, texts = {}, {f"s{i}": f"s{i}" for i in range(30)}
    leaves, inner = list(texts), 0
    while len(texts) > 1:
        children = rng.choice(list(texts), min(int(rng.integers(2, 5)), len(texts)), replace=False)
        inner, parent = inner + 1, f"n{inner}"
        lengths = rng.integers(0, 100, len(children)).tolist()
        edges |= {c: (parent, n) for c, n in zip(children.tolist(), lengths, strict=True)}
        texts[parent] = "(" + ",".join(
            f"{texts.pop(c)}:{n}" for c, n in zip(children.tolist(), lengths, strict=True)
        )
        texts[parent] += ")"
    found = read(tmp_path, texts.popitem()[1] + ";")

    def to_root(node):
        path = {node: 0}
        while node in edges:
            node, length = edges[node][0], path[node] + edges[node][1]
            path[node] = length
        return path

    matrix = found.between(leaves)
    for i, a in enumerate(leaves):
        for j, b in enumerate(leaves):
            up, down = to_root(a), to_root(b)
            assert matrix[i, j] == min(up[node] + down[node] for node in up.keys() & down.keys())


def test_a_tree_may_be_deeper_than_the_stack(tmp_path):
    depth = 2000
    found = read(tmp_path, "(" * depth + "a:1" + "):1" * (depth - 1) + ",b:1);")
    assert found.between(["a", "b"])[0, 1] == depth + 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("(a:1,b:1)", "tree:1: got 'the end', wanted a tree in Newick that ends in ;"),
        ("(a:1,\nb:1;", "tree:2: got ';', wanted a tree in Newick"),
        ("(a:1,b:1));", "tree:1: got '\\)', wanted a tree"),
        ("(a:1,b:1),c:1;", "tree:1: got ',', wanted a tree"),
        ("(a:1,b:1)(c:1);", "tree:1: got '\\(', wanted a tree"),
        ("(a:1 b:1);", "tree:1: got 'b', wanted a tree"),
        ("(a b:1);", "tree:1: got 'b', wanted a tree"),
        ("(a:1:2,b:1);", "tree:1: got ':', wanted a tree"),
        ("(a:,b:1);", "tree:1: got ',', wanted a branch length"),
        ("(a:x,b:1);", "branch length: got 'x', wanted a number of at least 0"),
        ("(a:-1,b:1);", "branch length: got '-1', wanted a number"),
        ("(a:nan,b:1);", "branch length: got 'nan', wanted a number"),
        ("(a:inf,b:1);", "branch length: got 'inf', wanted a number"),
        ("(a:1,b);", "tree:1: b: no branch length"),
        ("(a:1,\n(b:1,c:1));", "tree:2: inner node: no branch length"),
        ("(a:1,:1);", "tree:1: leaf: got no name, wanted a species"),
        ("(a:1,\na:1);", "tree:2: leaf: got 'a' a second time"),
        ("(a:1,b:1);(c:1);", "tree:1: got '\\(', wanted nothing more"),
        ("(a:1,'b:1);", 'tree:1: got "\'", wanted a tree'),
        ("(a:1,[b:1);", "tree:1: got '\\[', wanted a tree"),
        ("", "tree:1: got '', wanted a tree in Newick or the columns species_a"),
        ("a\tb\t1\n", "tree:1: got 'a.tb.t1', wanted a tree in Newick or the columns"),
    ],
)
def test_malformed_trees_are_errors(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


HEADER = "species_a\tspecies_b\tdistance\n"


def test_a_table_is_symmetric(tmp_path):
    found = read(tmp_path, HEADER + "a\tb\t1.5\nc\ta\t2\nb\tc\t3\nb\ta\t1.5\na\ta\t0\n")
    assert found.between(["a", "b", "c"]).tolist() == [[0, 1.5, 2], [1.5, 0, 3], [2, 3, 0]]


@pytest.mark.parametrize(
    "rows, message",
    [
        ("a\tb\n", "tree:2: columns: got 2, wanted 3"),
        ("a\tb\t1\n\n", "tree:3: columns: got 1, wanted 3"),
        ("a\tb\tfar\n", "tree:2: distance: got 'far', wanted a number"),
        ("a\ta\t1\n", "tree:2: distance: got 1, wanted 0 of a to itself"),
        ("a\tb\t1\nb\ta\t2\n", "tree:3: distance: got 2 and 1.0 before"),
        ("a\tb\t1\nb\tc\t2\n", "tree: got no distance of a and c, wanted all"),
    ],
)
def test_malformed_tables_are_errors(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, HEADER + rows)


def test_other_errors_name_the_file(tmp_path):
    with pytest.raises(InputError, match="missing: got 'No such file"):
        read_species_distances(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"(\xff\xfe")
    with pytest.raises(InputError, match="binary:1: got b'.*', wanted UTF-8 text"):
        read_species_distances(tmp_path / "binary")
    with pytest.raises(InputError, match="tree: got no species 'cow', wanted all of the data"):
        read(tmp_path, "(a:1,b:1);").between(["a", "cow"])
