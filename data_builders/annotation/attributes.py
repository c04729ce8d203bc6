"""The ninth column of GTF and GFF3: attributes by name, with quotes as their writers mean them.

A semicolon or comma inside a quoted value belongs to the value, and a word inside a value is never
the name of an attribute. GTF writes `name "value";`, where a backslash may stand before a quote;
GFF3 writes `name=value;`, and some of its writers put values in quotes too.
"""

import re
from collections.abc import Iterable, Iterator

_GTF = re.compile(
    rb'\s*([^\s";=]+)[ \t]+'
    rb'(?:"((?:[^"\\]|\\.)*)"(?=\s*(?:;|\Z))'  # quoted, a backslash before a quote within
    rb'|"([^"]*)"(?=\s*(?:;|\Z))'  # quoted, a backslash is a letter
    rb'|([^";]*?)\s*(?=;|\Z))'  # without quotes
    rb"\s*(?:;|\Z)"
)
_GFF3 = re.compile(
    rb"\s*([^=;\s]+)\s*=\s*"
    rb'(?:("[^"]*"(?:\s*,\s*"[^"]*")*)(?=\s*(?:;|\Z))|([^;]*))'
    rb"\s*(?:;|\Z)"
)
_QUOTED = re.compile(rb'"([^"]*)"')
_BARE_ID = re.compile(rb'[^\s";=]+')


def gtf_attributes(attributes: bytes) -> dict[bytes, tuple[bytes, int]]:
    """Return name -> value and where the value ends, its closing quote included.

    Of a name that is there twice the first value counts. Text that is no attribute is passed over
    up to the next semicolon.
    """
    found: dict[bytes, tuple[bytes, int]] = {}
    for name, value in _gtf_pairs(attributes):
        found.setdefault(name, value)
    return found


def repeats(attributes: bytes, names: Iterable[bytes], *, gff3: bool = False) -> bool:
    """Return whether one of some attributes is there twice, with other values."""
    for name in names:
        if attributes.count(name) < 2:
            continue
        parsed = _parse(_GFF3, attributes, _gff3_values) if gff3 else _gtf_pairs(attributes)
        if len({value for key, (value, _) in parsed if key == name}) > 1:
            return True
    return False


def gtf_value(name: bytes, attributes: bytes) -> bytes | None:
    """Return the value of one attribute of a GTF, None without it, or with an empty one."""
    if name not in attributes:
        return None
    found = gtf_attributes(attributes).get(name)
    return found[0] or None if found else None


def gff3_values(name: bytes, attributes: bytes) -> tuple[bytes, ...]:
    """Return the values of one attribute of a GFF3, as its commas part them; still escaped.

    Those of an attribute that is there twice are the values of both.
    """
    if name not in attributes:
        return ()
    if b'"' not in attributes:
        found = _plain_gff3_values(name, attributes)
        values = b",".join(found).split(b",") if found else []
    else:
        pairs = _parse(_GFF3, attributes, _gff3_values)
        values = [value for key, (of_one, _) in pairs if key == name for value in of_one]
    return tuple(value for value in map(bytes.strip, values) if value)


def gff3_value(name: bytes, attributes: bytes) -> bytes | None:
    """Return one attribute of a GFF3 as a whole, without quotes around it; None without it.

    Of one that is there twice the first value counts.
    """
    if b'"' not in attributes:
        return _plain_gff3_value(name, attributes)
    pairs = _parse(_GFF3, attributes, _gff3_values)
    values = next((of_one for key, (of_one, _) in pairs if key == name), ())
    return b",".join(value for value in map(bytes.strip, values) if value) or None


def bare_id(attributes: bytes) -> bytes | None:
    """Return the id that is all of the attributes, as AUGUSTUS names genes and transcripts."""
    only = attributes.strip().removesuffix(b";").strip()
    if only == b"." or not _BARE_ID.fullmatch(only):
        return None
    return only


def _gtf_pairs(attributes: bytes) -> Iterator[tuple[bytes, tuple[bytes, int]]]:
    return _parse(_GTF, attributes, _gtf_value)


def _parse(pattern: re.Pattern, attributes: bytes, value_of) -> Iterator[tuple[bytes, tuple]]:
    at, end = 0, len(attributes.rstrip())
    while at < end:
        match = pattern.match(attributes, at)
        if match is None:
            semicolon = attributes.find(b";", at)
            at = end if semicolon < 0 else semicolon + 1
            continue
        yield match[1], value_of(match)
        at = max(match.end(), at + 1)


def _gtf_value(match: re.Match) -> tuple[bytes, int]:
    group = match.lastindex or 4
    value, end = match[group], match.end(group) + (group < 4)
    if group == 2:
        value = value.replace(b'\\"', b'"')
    elif group == 4 and len(value) > 1 and value[:1] == value[-1:] == b"'":
        value = value[1:-1]  # quotes of another kind
    return value.strip(), end


def _gff3_values(match: re.Match) -> tuple[tuple[bytes, ...], int]:
    if match[2] is not None:
        return tuple(_QUOTED.findall(match[2])), match.end(2)
    return tuple(match[3].split(b",")), match.end(3)


def _plain_gff3_values(name: bytes, attributes: bytes) -> list[bytes]:
    """Return the value of each attribute of a name where no quotes are."""
    if attributes.count(name + b"=") < 2:  # as nearly always
        value = _plain_gff3_value(name, attributes)
        return [] if value is None else [value]
    pairs = (attribute.partition(b"=") for attribute in attributes.split(b";"))
    return [value for key, _, value in pairs if key.strip(b" \t") == name]


def _plain_gff3_value(name: bytes, attributes: bytes) -> bytes | None:
    """Return the value of the first attribute of a name where no quotes are."""
    at = -1
    while (at := attributes.find(name, at + 1)) >= 0:
        after = at + len(name)
        begins = at == 0 or attributes[:at].rstrip(b" \t")[-1:] in (b";", b"")
        if begins and attributes[after : after + 1] == b"=":
            end = attributes.find(b";", at)
            return attributes[after + 1 : None if end < 0 else end].strip() or None
    return None
