"""Sequences to 2bit and bgzip, by what their specifications say."""

import re
import struct
import zlib
from itertools import pairwise

CODES = {"T": 0, "C": 1, "A": 2, "G": 3}
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def blocks(pattern, sequence):
    """Starts and sizes of the runs that match."""
    runs = [match.span() for match in re.finditer(pattern, sequence)]
    return [start for start, _ in runs], [end - start for start, end in runs]


def twobit_record(sequence, order="<", *, padded=False):
    """A sequence's record: N and lower case as blocks, four bases a byte, perhaps up to 32 bits."""
    record = [struct.pack(f"{order}I", len(sequence))]
    for pattern in ("[Nn]+", "[a-z]+"):
        starts, sizes = blocks(pattern, sequence)
        record.append(struct.pack(f"{order}I", len(starts)))
        record.append(struct.pack(f"{order}{2 * len(starts)}I", *starts, *sizes))
    record.append(struct.pack(f"{order}I", 0))
    codes = [CODES.get(base, 0) for base in sequence.upper()] + [0, 0, 0]
    fours = zip(codes[::4], codes[1::4], codes[2::4], codes[3::4], strict=False)
    packed = bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in fours)
    record.append(packed + bytes(-len(packed) % 4 if padded else 0))
    return b"".join(record)


def twobit(sequences, order="<", version=0, records=None):
    """A 2bit file; `records` stands in for those of the sequences."""
    records = records or [twobit_record(sequence, order) for sequence in sequences.values()]
    names = [name.encode() for name in sequences]
    offset_type = "IQ"[version]
    offset = 16 + sum(1 + len(name) + struct.calcsize("<" + offset_type) for name in names)
    index = []
    for name, record in zip(names, records, strict=True):
        index.append(struct.pack(f"{order}B{len(name)}s{offset_type}", len(name), name, offset))
        offset += len(record)
    header = struct.pack(f"{order}4I", 0x1A412743, version, len(names), 0)
    return b"".join((header, *index, *records))


def bgzip(content, block=0xFF00):
    """Gzip members of at most `block` bytes, each with its size, and the empty one at the end."""
    members = []
    for start, end in pairwise((*range(0, len(content), block), len(content))):
        deflate = zlib.compressobj(wbits=-15)
        body = deflate.compress(content[start:end]) + deflate.flush()
        size = struct.pack("<H", len(body) + 25)
        members.append(BGZF_EOF[:16] + size + body)
        members.append(struct.pack("<II", zlib.crc32(content[start:end]), end - start))
    return b"".join((*members, BGZF_EOF))


def fasta(sequences, width=60):
    """A FASTA file."""
    lines = []
    for name, sequence in sequences.items():
        lines.append(f">{name} of {len(sequence)} nt")
        lines += [sequence[i : i + width] for i in range(0, len(sequence), width)]
    return ("\n".join(lines) + "\n").encode()
