"""Damage to files: what disks, editors, scripts and people do to them, drawn from a seed."""

import gzip
import random
import re

from genome_writers import bgzip

PIECES = (b"\t", b"\n", b"\0", b'"', b",", b";", b"=", b">", b"#", b" ", b"\r", b"%", b"%0A")
PIECES += (b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"NaN", b"-1", b"1e9", b"##FASTA\n")
NUMBERS = (b"0", b"-1", b"-7", b"1", b"2", b"3", b"4", b"61", b"99", b"1.5", b"1e3", b"x", b"")
NUMBERS += (b"4294967296", b"9223372036854775807", b"9" * 30, b"+5", b" 5", b"0x5", b"NaN")
NUMBER = re.compile(rb"\d+")
NAME = re.compile(rb"[A-Za-z_]\w+")


def truncated(content, rng):
    return content[: rng.randrange(len(content) + 1)]


def byte_flipped(content, rng):
    at = rng.randrange(len(content))
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def bit_flipped(content, rng):
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def bytes_lost(content, rng):
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.randint(1, 30) :]


def bytes_inserted(content, rng):
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(PIECES) + content[at:]


def zeroed(content, rng):
    at, length = rng.randrange(len(content)), rng.randint(1, 40)
    return content[:at] + bytes(length) + content[at + length :]


def number_replaced(content, rng):
    return _replaced(content, NUMBER, rng, rng.choice(NUMBERS))


def number_shifted(content, rng):
    """By a little: beyond a chromosome, into another exon, an end before its start."""
    found = rng.choice(list(NUMBER.finditer(content)) or [None])
    if found is None:
        return content
    value = int(found[0][:15]) + rng.choice((-30, -10, -3, -2, -1, 1, 2, 3, 10, 30))
    return content[: found.start()] + str(value).encode() + content[found.end() :]


def name_replaced(content, rng):
    """By another of the file: duplicate ids, unknown parents, cycles."""
    names = NAME.findall(content)
    return _replaced(content, NAME, rng, rng.choice(names)) if names else content


def fields_swapped(content, rng):
    def swap(lines, at):
        fields = lines[at].split(b"\t")
        one, other = rng.randrange(len(fields)), rng.randrange(len(fields))
        fields[one], fields[other] = fields[other], fields[one]
        return [*lines[:at], b"\t".join(fields), *lines[at + 1 :]]

    return _in_lines(content, rng, swap)


def field_dropped(content, rng):
    def drop(lines, at):
        fields = lines[at].split(b"\t")
        del fields[rng.randrange(len(fields))]
        return [*lines[:at], b"\t".join(fields), *lines[at + 1 :]]

    return _in_lines(content, rng, drop)


def line_dropped(content, rng):
    return _in_lines(content, rng, lambda lines, at: lines[:at] + lines[at + 1 :])


def line_repeated(content, rng):
    def repeat(lines, at):
        to = rng.randrange(len(lines) + 1)
        return [*lines[:to], lines[at], *lines[to:]]

    return _in_lines(content, rng, repeat)


def line_moved(content, rng):
    def move(lines, at):
        rest = lines[:at] + lines[at + 1 :]
        to = rng.randrange(len(rest) + 1)
        return [*rest[:to], lines[at], *rest[to:]]

    return _in_lines(content, rng, move)


def lines_joined(content, rng):
    return _in_lines(content, rng, lambda lines, at: [*lines[:at], b"".join(lines[at:])])


def crlf(content, rng):
    return content.replace(b"\n", b"\r\n")


def cr_only(content, rng):
    return content.replace(b"\n", b"\r")


def byte_order_mark(content, rng):
    return b"\xef\xbb\xbf" + content


def utf16(content, rng):
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-16-be"))
    return content.decode("latin-1").encode(encoding)


def latin1(content, rng):
    at = rng.randrange(len(content) + 1)
    return content[:at] + "ä".encode("latin-1") + content[at:]


DAMAGE = (
    *(truncated, byte_flipped, bit_flipped, bytes_lost, bytes_inserted, zeroed, number_replaced),
    *(number_replaced, number_shifted, number_shifted, number_shifted, name_replaced),
    *(name_replaced, fields_swapped, field_dropped, line_dropped, line_repeated, line_moved),
    *(lines_joined, crlf, cr_only, byte_order_mark, utf16, latin1),
)
"""What is done to the text; what is there twice is done twice as often."""


def mutate(content: bytes, rng: random.Random, damage=DAMAGE) -> bytes:
    """One to three kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if content:
            content = rng.choice(damage)(content, rng)
    return content


def pack(content: bytes, rng: random.Random) -> tuple[bytes, bool]:
    """Compresses one in four, in either way; and whether what came out is cut short or damaged."""
    how = rng.randrange(16)
    if how >= 4:
        return content, False
    packed = gzip.compress(content, 1) if how % 2 else bgzip(content, 100)
    if how >= 2:
        return packed, False
    if rng.random() < 0.5:
        return packed[: rng.randrange(2, len(packed))], True
    at = rng.randrange(len(packed))
    return packed[:at] + bytes([packed[at] ^ 1 << rng.randrange(8)]) + packed[at + 1 :], True


def _replaced(content, pattern, rng, value):
    found = rng.choice(list(pattern.finditer(content)) or [None])
    return content if found is None else content[: found.start()] + value + content[found.end() :]


def _in_lines(content, rng, change):
    *lines, last = content.split(b"\n")
    if not lines:
        return content
    return b"\n".join([*change(lines, rng.randrange(len(lines))), last])
