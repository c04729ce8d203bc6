import random
import struct

import pytest

from data_builders.genomes.genome import read_genome
from data_builders.genomes.twobit import read_twobit
from data_builders.records import InputError
from genome_writers import bgzip, fasta, twobit, twobit_record

SEQUENCES = {"chr1": "NNacgtnACGTN", "chr2": "T", "chrM": "GATTACA"}
UPPER = {name: sequence.upper() for name, sequence in SEQUENCES.items()}
INDEX = 16 + 2 * (1 + 4 + 4) + (1 + 4 + 4)


def write(tmp_path, content):
    path = tmp_path / "x.2bit"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("order", ["<", ">"])
def test_same_as_what_was_written(tmp_path, order, version, padded):
    rng = random.Random(5)
    sequences = {
        f"s{i}": "".join(rng.choices(["A", "C", "g", "T", "t", "n", "N" * 9], k=rng.randint(1, 90)))
        for i in range(40)
    }
    records = [twobit_record(sequence, order, padded=padded) for sequence in sequences.values()]
    path = write(tmp_path, twobit(sequences, order, version, records))
    assert list(read_twobit(path)) == [(name, s.upper()) for name, s in sequences.items()]


def test_bytes_of_the_specification(tmp_path):
    content = b"\x43\x27\x41\x1a" + struct.pack("<3I", 0, 1, 0) + b"\x01x" + struct.pack("<I", 22)
    content += struct.pack("<5I", 5, 1, 3, 1, 0) + bytes(4) + bytes([0b00011011, 0b10000000])
    assert list(read_twobit(write(tmp_path, content))) == [("x", "TCANA")]


@pytest.mark.parametrize(
    "content",
    [fasta(SEQUENCES), bgzip(fasta(SEQUENCES)), twobit(SEQUENCES), twobit(SEQUENCES, ">", 1)],
)
def test_genomes_are_told_apart_by_content(tmp_path, content):
    assert dict(read_genome(write(tmp_path, content))) == UPPER


def test_sequences_in_the_order_of_the_index_not_of_the_file(tmp_path):
    content = bytearray(twobit({"a": "ACGT", "b": "TTTT"}))
    at = [18, 24]  # of the two offsets
    first, second = (content[i : i + 4] for i in at)
    content[18:22], content[24:28] = second, first
    assert list(read_twobit(write(tmp_path, content))) == [("a", "TTTT"), ("b", "ACGT")]


def test_every_cut_is_an_error(tmp_path):
    content = twobit(SEQUENCES)
    for length in range(4, len(content)):
        with pytest.raises(InputError, match=r"^[^\n]*x\.2bit: [^\n]*wanted [^\n]*$"):
            list(read_twobit(write(tmp_path, content[:length])))


def test_every_changed_byte_is_an_error_or_another_genome(tmp_path):
    """Never another exception; what decides where a sequence ends cannot change unnoticed."""
    content = twobit({"a": "ACGTNNACG", "b": "NacgtN"})
    letters = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x15
        try:
            found = list(read_twobit(write(tmp_path, damaged)))
        except InputError as error:
            assert "x.2bit: " in str(error) and "\n" not in str(error)
            continue
        assert [len(sequence) for _, sequence in found] == [9, 6]
        letters += 1
    assert 0 < letters < len(content) / 2


def patched(at, value, sequences=SEQUENCES):
    content = bytearray(twobit(sequences))
    content[at : at + 4] = struct.pack("<I", value)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "magic number: got b''"),
        (b"2bit" + bytes(12), "magic number: got b'2bit', wanted that of 2bit"),
        (patched(4, 2), "version: got 2, wanted 0 or 1"),
        (patched(8, 0), "index: got no sequence"),
        (patched(8, 1 << 31), r"index entry 4: name: got .*, wanted printable text"),
        (twobit({"": "A"}), "index entry 1: name: got none"),
        (
            twobit({"ab": "A", "ac": "A"}).replace(b"ac", b"ab"),
            "index entry 2: name: got 'ab' again",
        ),
        (twobit({"ab": "A"}).replace(b"ab", b"\xff\xfe"), "index entry 1: got .* wanted UTF-8"),
        (patched(21, 16), f"offset of 'chr1': got 16, wanted one of its own from {INDEX} to"),
        (patched(21, 1 << 20), "offset of 'chr1': got 1048576"),
        (twobit({"a": "ACGT", "b": ""}), "sequence of 'b': got none, wanted bases"),
        (patched(INDEX, 16), "sequence of 'chr1': got 16 bases up to byte"),
        (patched(INDEX, 1 << 31), "sequence of 'chr1': got 2147483648 bases up to byte"),
        (patched(INDEX + 4, 1 << 31), "sequence of 'chr1': got .* wanted 17179869184"),
        (patched(INDEX + 8, 12), "sequence of 'chr1': block of N: got 12 to 14, wanted at most 12"),
        (patched(INDEX + 20, (1 << 32) - 1), "sequence of .chr1.: block of N: got 0 to 4294967295"),
        (twobit(SEQUENCES) + b"\0", "sequence of 'chrM': got 7 bases up to byte"),
        (twobit(SEQUENCES) + b"\0\1", "sequence of 'chrM': got 7 bases up to byte"),
        (twobit(SEQUENCES) + bytes(6), "sequence of 'chrM': got 7 bases up to byte"),
        (
            twobit({"a": "A", "b": "C"}, records=[twobit_record("A") + b"\0", twobit_record("C")]),
            "sequence of 'a': got 1 bases up to byte 45, wanted as many as reach byte 46",
        ),
    ],
)
def test_malformed_file(tmp_path, content, message):
    with pytest.raises(InputError, match=r"x\.2bit: " + message) as error:
        list(read_twobit(write(tmp_path, content)))
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="got 'No such file or directory', wanted a readable file"):
        list(read_genome(tmp_path / "absent"))
