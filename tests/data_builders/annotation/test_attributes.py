"""Attributes of GTF and GFF3: quotes, semicolons and words inside values."""

import pytest

from data_builders.annotation.attributes import (
    bare_id,
    gff3_value,
    gff3_values,
    gtf_attributes,
    gtf_value,
)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('gene_id "a"; transcript_id "b";', {"gene_id": "a", "transcript_id": "b"}),
        ("gene_id a; exon_number 1", {"gene_id": "a", "exon_number": "1"}),
        ('gene_name "CYCD1;1"; x "y"', {"gene_name": "CYCD1;1", "x": "y"}),
        (
            'note "a; gene_name b; c"; gene_name "d"',
            {"note": "a; gene_name b; c", "gene_name": "d"},
        ),
        ('note "gene knockout"; gene "thrL"', {"note": "gene knockout", "gene": "thrL"}),
        ('note "5\'-3\' #1, of 2 = x"; a "b"', {"note": "5'-3' #1, of 2 = x", "a": "b"}),
        (r'note "the \"big\"; one"; a "b"', {"note": 'the "big"; one', "a": "b"}),
        (r'path "C:\"; a "b"', {"path": "C:\\", "a": "b"}),
        (r'gene_symbol "Hsap\MAPT"; a "b"', {"gene_symbol": r"Hsap\MAPT", "a": "b"}),
        ('gene_id "a" ; x "b"  ;y "c"\r', {"gene_id": "a", "x": "b", "y": "c"}),
        ('tag "one"; tag "two"', {"tag": "one"}),
        ('gene_id "a"; ; broken; x "b"', {"gene_id": "a", "x": "b"}),
        ('gene_id ""; x "b"', {"gene_id": "", "x": "b"}),
        ('gene_id "a"b; x "c"', {"x": "c"}),
        ("gene_id 'a'; x 'b c'; y 5'; z '", {"gene_id": "a", "x": "b c", "y": "5'", "z": "'"}),
        ("", {}),
    ],
)
def test_gtf(attributes, expected):
    found = gtf_attributes(attributes.encode())
    assert {name.decode(): value.decode() for name, (value, _) in found.items()} == expected
    for name, value in expected.items():
        assert gtf_value(name.encode(), attributes.encode()) == (value.encode() or None)


def test_gtf_says_where_a_value_ends():
    attributes = b'a "x;y" ; b z; c "w"'
    ends = {name: end for name, (_, end) in gtf_attributes(attributes).items()}
    assert [attributes[: ends[name]] for name in (b"a", b"b", b"c")] == [
        b'a "x;y"',
        b'a "x;y" ; b z',
        attributes,
    ]


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        ("ID=a;Parent=b,c", "Parent", ("b", "c")),
        ("Note=Parent=x;Parent=b", "Parent", ("b",)),
        ('ID="a";Parent="b"', "Parent", ("b",)),
        ('ID="a";Parent="b","c"', "Parent", ("b", "c")),
        ('ID="a";Parent="b, c"', "Parent", ("b, c",)),
        ('Name="CYCD1;1";ID=x', "Name", ("CYCD1;1",)),
        ('Name="CYCD1;1";ID=x', "ID", ("x",)),
        ('Note="a;ID=b";ID=c', "ID", ("c",)),
        ('Note=5" end;ID=c;Other=3"', "ID", ("c",)),
        ('Note="open;ID=c;Other="x"', "ID", ("c",)),
        ("Note=ID=b;ID=c", "ID", ("c",)),
        ("GeneID=1; ID=a", "ID", ("a",)),
        ("ID=a%2Cb ;x=y", "ID", ("a%2Cb",)),
        ("ID=;x=y", "ID", ()),
        ("ID= a\r", "ID", ("a",)),
        ("x=y", "ID", ()),
    ],
)
def test_gff3(attributes, name, expected):
    expected = tuple(value.encode() for value in expected)
    assert gff3_values(name.encode(), attributes.encode()) == expected
    assert gff3_value(name.encode(), attributes.encode()) == (b",".join(expected) or None)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (b"g1.t1", b"g1.t1"),
        (b" g1 ; ", b"g1"),
        (b".", None),
        (b"", None),
        (b"g1 t1", None),
        (b"ID=g1", None),
        (b'"g1"', None),
    ],
)
def test_bare_ids(attributes, expected):
    assert bare_id(attributes) == expected


@pytest.mark.parametrize(
    ("attributes", "values"),
    [
        (b"Parent=b;ID=a;Parent=c,d", (b"b", b"c", b"d")),
        (b'Parent="b";Parent=c', (b"b", b"c")),
        (b"Note=Parent=x;Parent=b;Parent=", (b"b",)),
    ],
)
def test_all_values_of_an_attribute_that_is_there_twice(attributes, values):
    assert gff3_values(b"Parent", attributes) == values
    assert gff3_value(b"Parent", attributes) == b"b"
