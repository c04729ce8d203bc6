import gzip
import random

import pytest

from data_builders.genomes.fasta import read_fasta
from data_builders.records import InputError
from data_builders.text import Tally
from genome_writers import BGZF_EOF, bgzip


def write(tmp_path, content: bytes):
    path = tmp_path / "x.fa"
    path.write_bytes(content)
    return path


def test_letters_and_names(tmp_path):
    tally = Tally()
    path = write(tmp_path, b">a first\r\nacgU\r\nRyN\r\n\r\n>b\nT T\nn")
    assert list(read_fasta(path, tally)) == [("a", "ACGTNNN"), ("b", "TTN")]
    assert tally.adjusted == {"ambiguous base read as N": 2}


def test_same_as_a_letter_by_letter_reader(tmp_path):
    rng = random.Random(1)
    letters = "ACGTUNacgtunRYSWKMBDHVryswkmbdhv"
    records = {f"s{i}": "".join(rng.choices(letters, k=rng.randint(1, 300))) for i in range(20)}
    text = ""
    for name, sequence in records.items():
        width = rng.randint(1, 80)
        lines = [sequence[i : i + width] for i in range(0, len(sequence), width)]
        text += f">{name} about {name}\n" + "\n".join(lines) + "\n"
    expected = []
    for name, sequence in records.items():
        plain = ["T" if c in "uU" else c.upper() for c in sequence]
        expected.append((name, "".join(c if c in "ACGT" else "N" for c in plain)))
    assert list(read_fasta(write(tmp_path, text.encode()))) == expected
    assert list(read_fasta(write(tmp_path, gzip.compress(text.encode())))) == expected
    # Blocks that end within a line, the empty one that marks the end, and files joined after it.
    blocks = bgzip(text.encode(), block=100)
    assert blocks.count(BGZF_EOF[:16]) > 20 and blocks.endswith(BGZF_EOF)
    assert list(read_fasta(write(tmp_path, blocks))) == expected
    assert list(read_fasta(write(tmp_path, blocks + bgzip(b">last\nAC")))) == [
        *expected,
        ("last", "AC"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.fa: got an empty file"),
        (b"\n\n", r"x\.fa: got an empty file"),
        (b"\nACGT\n>a\nA\n", r"x\.fa:2: header: got 'ACGT', wanted '>name'"),
        (b">a\nA\n>\nC\n", r"x\.fa:3: header: got no name"),
        (b">a\nA\n>b\n\n>c\nA\n", r"x\.fa:3: sequence: got none for 'b'"),
        (b">a\nA\n>b\nA\n>a\nA\n", r"x\.fa:5: name: got 'a' again"),
        (b">a\nACGT\nAC-T\nA\n", r"x\.fa:3: sequence of 'a': got '-', wanted a nucleotide"),
        (b">p\nMKV\nLE\n", r"x\.fa:3: sequence of 'p': got '[EL]', wanted a nucleotide"),
        (BGZF_EOF, r"x\.fa: got an empty file"),
        (bgzip(b">a\n" + b"ACGT" * 9, 9)[:-40], r"x\.fa:\d: got a truncated or damaged gzip"),
        (bgzip(b">a\nA", 9) + b"more", r"x\.fa:\d: got a truncated or damaged gzip"),
        (b">a\nAC\0GT\n", r"x\.fa:2: sequence of 'a': got '\\x00', wanted a nucleotide"),
        (
            gzip.compress(b">a\n" + b"ACGT" * 9, mtime=0)[:-8],
            r"x\.fa:\d: got a truncated or damaged gzip",
        ),
    ],
)
def test_what_is_no_fasta(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        list(read_fasta(write(tmp_path, content)))
    assert "\n" not in str(error.value)


def test_real_genome(real_data):
    path = real_data / "genomes" / "arabidopsis_thaliana.1pct.fa.gz"
    tally = Tally()
    records = dict(read_fasta(path, tally))
    with gzip.open(path, "rt") as file:
        chunks = [chunk.split("\n", 1) for chunk in file.read().split(">")[1:]]
    expected = {header.split()[0]: body.replace("\n", "") for header, body in chunks}
    assert list(records) == list(expected)
    different = 0
    for name, sequence in records.items():
        pairs = zip(sequence, expected[name], strict=True)
        changed = [(ours, theirs) for ours, theirs in pairs if ours != theirs]
        assert all(ours == "N" and theirs in "RYSWKMBDHV" for ours, theirs in changed)
        different += len(changed)
    assert tally.adjusted == {"ambiguous base read as N": different}
    assert different == 5
