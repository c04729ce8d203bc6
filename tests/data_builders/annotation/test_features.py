"""Whole blocks of lines and single ones are read alike."""

import random
from collections import Counter

import pytest

from data_builders import text
from data_builders.annotation import features
from data_builders.annotation.features import NO_PHASE, feature_blocks, feature_lines
from data_builders.records import InputError

KINDS = [
    "",
    "gene",
    "transcript",
    "exon",
    "CDS",
    "stop_codon",
    "three_prime_UTR",
    "three_prime_utr",
]


def random_line(rng):
    start = rng.choice((1, 9, 10, 99, 12_345, 10**9, 10**17))
    end = start + rng.randrange(10 ** rng.randrange(6))
    columns = (
        rng.choice(("1", "X", "chr10", "NC_000001.11")),
        rng.choice(("", "havana")),
        rng.choice(KINDS),
        start,
        end,
        ".",
        rng.choice("+-.?"),
        rng.choice("012."),
        rng.choice(("", " ", 'gene_id "é"; x "1 2";', "ID=a\r", "a\rb\x0bc")),
    )
    return "\t".join(map(str, columns)).encode()


def read(path):
    counts = Counter()
    return list(feature_lines(feature_blocks(path, counts))), counts


def write(tmp_path, lines, end=b"\n"):
    path = tmp_path / "a.gff"
    path.write_bytes(b"\n".join(lines) + end)
    return path


@pytest.mark.parametrize("block_bytes", [1, 100, 1_000, 1 << 20])
@pytest.mark.parametrize("comments", [0, 1, 7])
def test_blocks_of_any_size_equal_a_split(tmp_path, monkeypatch, block_bytes, comments):
    monkeypatch.setattr(text, "_BLOCK_BYTES", block_bytes)
    rng = random.Random(0)
    lines = [random_line(rng) for _ in range(200)]
    for _ in range(comments):
        lines.insert(rng.randrange(len(lines)), rng.choice((b"# a\tb", b"", b"##x", b"  \r")))
    expected = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(b"#"):
            chromosome, _, kind, start, end, _, strand, phase, attributes = line.split(b"\t")
            phase = NO_PHASE if phase == b"." else int(phase)
            interval = int(start) - 1, int(end)
            place = chromosome, strand.decode(), interval, phase
            expected.append((number, kind, *place, attributes.rstrip(b"\r")))
    found, counts = read(write(tmp_path, lines))
    assert [(*line[:-1], line[-1].rstrip(b"\r")) for line in found] == expected
    assert counts == Counter(kind for _, kind, *_ in expected)


def test_most_lines_are_read_a_block_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_BLOCK_BYTES", 1_000)
    monkeypatch.setattr(features, "_parse", pytest.fail)
    rng = random.Random(1)
    found, _ = read(write(tmp_path, [random_line(rng) for _ in range(200)]))
    assert len(found) == 200


def test_one_odd_line_is_named_among_many_good_ones(tmp_path):
    rng = random.Random(2)
    good = b"1\tx\tCDS\t1\t9\t.\t+\t0\tx"
    # A carriage return within the first line would say that lines end in them.
    lines = [good, *(random_line(rng) for _ in range(199))]
    for old, new, message in (
        (b"\t9", b"", "columns: got 8, wanted 9"),
        (b"\t1\t", b"\t0\t", "coordinates: got 0 to 9"),
        (b"\t1\t", b"\t10\t", "coordinates: got 10 to 9"),
        (b"\t1\t", b"\t:\t", "coordinates: got : to 9"),
        (b"\t1\t", b"\t\t", "coordinates: got  to 9"),
        (b"\t9\t", b"\t" + b"9" * 19 + b"\t", "coordinates: got 1 to 9999999999999999999"),
        (b"\t9\t", b"\t1\x000\t", r"got the character .\\x00., wanted text"),
        (b"+", b"*", r"strand: got '\*'"),
        (b"+", b"++", r"strand: got '\+\+'"),
        (b"+", b"", "strand: got ''"),
        (b"\t0\t", b"\t3\t", "phase: got '3'"),
        (b"\t0\t", b"\t00\t", "phase: got '00'"),
        (b"1\tx", b"\tx", "chromosome: got none"),
    ):
        assert old in good
        lines[123] = good.replace(old, new, 1)
        with pytest.raises(InputError, match=rf"a\.gff:124: {message}"):
            read(write(tmp_path, lines))
    lines[123] = good
    assert len(read(write(tmp_path, lines))[0]) == 200


def test_what_is_no_part_may_have_any_coordinates(tmp_path):
    lines = [b"1\tx\tgene\t-5\t1e9\t.\t*\t9\tx", b"1\tx\texon\t1\t2\t.\t+\t.\tx"]
    (gene, exon), _ = read(write(tmp_path, lines))
    assert gene == (1, b"gene", b"1", "*", (0, 0), NO_PHASE, b"x")
    assert exon == (2, b"exon", b"1", "+", (0, 2), NO_PHASE, b"x")


@pytest.mark.parametrize("tail", [b"##FASTA\n>1\nACGT\n", b">1\nACGT\n"])
@pytest.mark.parametrize("block_bytes", [10, 1 << 20])
def test_the_genome_at_the_end_is_not_read(tmp_path, monkeypatch, tail, block_bytes):
    monkeypatch.setattr(text, "_BLOCK_BYTES", block_bytes)
    line = b"1\tx\texon\t1\t2\t.\t+\t.\tx\n"
    found, counts = read(write(tmp_path, [line * 3 + tail]))
    assert [number for number, *_ in found] == [1, 2, 3]
    assert counts == {b"exon": 3}


def test_types_of_any_length_are_told_apart(tmp_path):
    kinds = [f"{'a' * n}{end}".encode() for n in range(20) for end in ("", "b", "c")]
    lines = [b"1\tx\t" + kind + b"\t1\t2\t.\t+\t.\tx" for kind in kinds]
    found, counts = read(write(tmp_path, lines))
    assert [kind for _, kind, *_ in found] == kinds
    assert counts == Counter(kinds)


@pytest.mark.parametrize("block_bytes", [10, 1 << 20])
def test_a_last_line_cut_off_in_its_first_column(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(text, "_BLOCK_BYTES", block_bytes)
    path = write(tmp_path, [b"1\tx\texon\t1\t2\t.\t+\t.\tx", b"chr"], b"")
    with pytest.raises(InputError, match=r"a\.gff:2: columns: got 1, wanted 9"):
        read(path)


def test_an_empty_file(tmp_path):
    assert read(write(tmp_path, [], b"")) == ([], Counter())
