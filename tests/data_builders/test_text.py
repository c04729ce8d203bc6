import gzip

import pytest

from data_builders import text
from data_builders.records import InputError
from data_builders.text import Tally, byte_blocks, decode, numbered_lines


def test_plain_and_gzip_are_told_apart_by_content(tmp_path):
    content = b"one\ntwo\r\nthree"
    plain, packed = tmp_path / "a.gz", tmp_path / "b.txt"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content[:5]) + gzip.compress(content[5:]))
    expected = [(1, b"one\n"), (2, b"two\r\n"), (3, b"three")]
    assert list(numbered_lines(plain)) == list(numbered_lines(packed)) == expected


def test_truncated_gzip_names_the_line_it_breaks_at(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n")[:-9])
    with pytest.raises(InputError, match=r"cut\.gz:\d: got a truncated or damaged gzip"):
        list(numbered_lines(path))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.fa: got 'No such file or directory'"):
        list(numbered_lines(tmp_path / "none.fa"))


def test_decode_names_bytes_that_are_no_text():
    assert decode("é".encode(), "f", 3) == "é"
    with pytest.raises(InputError, match=r"f:3: got b'\\xff', wanted UTF-8"):
        decode(b"\xff", "f", 3)


def test_tally_adds_up():
    tally, other = Tally(read=5), Tally(read=2)
    tally.skipped["odd"] += 2
    other.skipped.update(odd=1, even=1)
    tally.update(other)
    assert (tally.read, tally.kept, tally.skipped) == (7, 3, {"odd": 3, "even": 1})


PACKED = gzip.compress(b"one\ntwo\n" * 99, mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        PACKED[:2] + b"\7" + PACKED[3:],  # no such method
        PACKED[:12] + b"\xff\xff" + PACKED[14:],  # no code of deflate
        PACKED[:-8] + bytes(4) + PACKED[-4:],  # another checksum
        PACKED[:-1] + b"\1",  # another length
        PACKED + b"more",
        PACKED + PACKED[:9],
    ],
)
def test_damaged_gzip_is_named(tmp_path, content):
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.gz:\d+: got a truncated or damaged gzip stream \(\w"):
        list(numbered_lines(path))


def test_zeros_may_follow_gzip(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(PACKED + bytes(512))
    assert len(list(numbered_lines(path))) == 198


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_have_all_lines_whole_and_know_their_numbers(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(text, "_BLOCK_BYTES", 40)
    lines = [b"x" * (n * 7 % 50) + b"\n" for n in range(100)] + [b"no end"]
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"".join(lines)) if packed else b"".join(lines))
    assert list(numbered_lines(path)) == list(enumerate(lines, 1))
    found = list(byte_blocks(path))
    assert len(found) > 10
    for first, block in found:
        block = block.splitlines(keepends=True)
        assert block == lines[first - 1 : first - 1 + len(block)]
        lines[first - 1 : first - 1 + len(block)] = [None] * len(block)
    assert lines == [None] * 101


@pytest.mark.parametrize("content", [b"\0", b"N", b"N" * 59 + b"\n", b"\n"])
@pytest.mark.parametrize("read", [numbered_lines, byte_blocks])
def test_a_gzip_bomb_goes_off_early(tmp_path, monkeypatch, content, read):
    monkeypatch.setattr(text, "_BYTES_BEFORE_DOUBT", 1 << 20)
    monkeypatch.setattr(text, "_MOST_EXPANSION", 20)
    path = tmp_path / "bomb.gz"
    size = 1 << 23
    path.write_bytes(gzip.compress(b"ACGT" + content * (size // len(content)), 1))
    unpacked = 0
    with pytest.raises(InputError, match=r"bomb.gz: got .* bytes out of .* of gzip, wanted at"):
        for _, block in read(path):
            unpacked += len(block)
    assert unpacked < size / 2


def test_small_files_may_expand_as_they_like(tmp_path):
    path = tmp_path / "small.gz"
    path.write_bytes(gzip.compress(b"ACGT\n" * 400_000))
    assert path.stat().st_size * 200 < 2_000_000
    assert sum(1 for _ in numbered_lines(path)) == 400_000
