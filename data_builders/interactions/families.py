"""Families of molecules: Rfam families of RNAs, and Pfam clans of proteins.

Read from what Infernal (cmscan, cmsearch), HMMER (hmmscan) and pfam_scan write, or from a table.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from data_builders.labels.label_set import filled
from data_builders.records import InputError
from data_builders.tables import is_parquet, names_of_columns, read_table
from data_builders.text import decode, numbered_lines

_NO_CLAN = "No_clan"


class Layout(NamedTuple):
    """Where a table of hits, whose fields have blanks between, has what is needed.

    Attributes:
        name: of the program.
        mark: words of its header, which tell it from the others.
        sequence: field of the sequence's id.
        family: field of the accession.
        instead: field of the name, where the accession is `-`.
        e_value: field of the E-value.
        fields: so many at least.
        clan: field of the clan, None where there is none.
    """

    name: str
    mark: tuple[str, ...]
    sequence: int
    family: int
    instead: int
    e_value: int
    fields: int
    clan: int | None = None


LAYOUTS = (
    Layout("Infernal's tblout, format 2", ("#idx", "mdl from"), 3, 2, 1, 17, 19),
    Layout("Infernal's tblout", ("target name", "mdl from"), 2, 1, 0, 15, 17),
    Layout("pfam_scan", ("<seq id>",), 0, 5, 6, 12, 15, 14),
    Layout("HMMER's domtblout", ("target name", "tlen"), 3, 1, 0, 6, 22),
    Layout("HMMER's tblout", ("target name", "E-value"), 2, 1, 0, 4, 18),
)
_IDS = ("id", "rna_id", "protein_id")
_FAMILIES = ("family", "clan", "rfam")


def read_families(
    path: str | os.PathLike, clans: str | os.PathLike | None = None
) -> dict[str, str]:
    """Read the family of each molecule: that of the hit with the lowest E-value.

    Args:
        path: a table of hits, known by its comment lines; or a table with a header and the columns
            id (or rna_id, protein_id) and family (or clan, rfam). Of cmsearch, where families are
            queries, the two are told apart by the accession.
        clans: see `read_clans`; Pfam families become clans. pfam_scan names clans itself. A family
            without a clan is a clan of its own.

    Returns:
        Id -> family.

    Raises:
        InputError: none of the layouts, no hit, or a line that is cut.
    """
    layout = _layout(path)
    of_family = {} if clans is None else read_clans(clans)
    if layout is None:
        return {name: of_family.get(f, f) for name, f in _read_plain(path).items()}
    best: dict[str, tuple[float, str]] = {}
    for name, family, e_value in _hits(path, layout):
        family = of_family.get(family, family)
        if name not in best or e_value < best[name][0]:
            best[name] = (e_value, family)
    if not best:
        raise InputError(f"{path}: got no hit, wanted some of {layout.name}")
    return {name: family for name, (_, family) in best.items()}


def read_clans(path: str | os.PathLike) -> dict[str, str]:
    """Read the clan of each Pfam family; one without a clan is left out.

    Pfam-A.clans.tsv (accession, clan, and more, without a header), or a table with the columns pfam
    (or accession, family) and clan.
    """
    if not is_parquet(path) and _first_line(path).startswith(b"PF"):
        rows = [
            (number, decode(line, path, number).rstrip("\r\n").split("\t"))
            for number, line in numbered_lines(path)
        ]
        short = [number for number, fields in rows if len(fields) < 2]
        if short:
            raise InputError(f"{path}:{short[0]}: got one field, wanted a family and its clan")
        return {fields[0]: fields[1] for _, fields in rows if fields[1].startswith("CL")}
    table = read_table(path)
    family = next((n for n in ("pfam", "accession", "family") if n in table.columns), None)
    if family is None or "clan" not in table.columns:
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted pfam and clan, or "
            "Pfam-A.clans.tsv"
        )
    families = filled(table, family, path)
    named = zip(families, table["clan"].to_list(), strict=True)
    return {family: str(clan) for family, clan in named if clan not in (None, "", _NO_CLAN)}


def _first_line(path) -> bytes:
    return next((line for _, line in numbered_lines(path)), b"")


def _layout(path) -> Layout | None:
    """The layout that the comment lines tell."""
    if is_parquet(path):
        return None
    for number, line in numbered_lines(path):
        if not line.startswith(b"#"):
            return None
        text = decode(line, path, number)
        for layout in LAYOUTS:
            if all(mark in text for mark in layout.mark):
                return layout
    return None


def _hits(path, layout: Layout) -> Iterator[tuple[str, str, float]]:
    """Yield the sequence, the family or clan, and the E-value of each hit."""
    for number, line in numbered_lines(path):
        if line.startswith(b"#") or not line.strip():
            continue
        fields = decode(line, path, number).split()
        if len(fields) < layout.fields:
            raise InputError(
                f"{path}:{number}: got {len(fields)} fields, wanted {layout.fields} or more as in "
                f"{layout.name}"
            )
        name, family = fields[layout.sequence], fields[layout.family]
        if layout.mark[-1] == "mdl from" and not family.startswith("RF"):
            # Of cmsearch, the target is the sequence.
            accession = fields[layout.sequence + 1]
            if accession.startswith("RF"):
                name, family = fields[layout.instead], accession
        if family == "-":
            family = fields[layout.instead]
        family = family.partition(".")[0]  # without the version
        if layout.clan is not None and fields[layout.clan] != _NO_CLAN:
            family = fields[layout.clan]
        try:
            e_value = float(fields[layout.e_value])
        except ValueError:
            raise InputError(
                f"{path}:{number}: E-value: got {fields[layout.e_value][:20]!r}, wanted a number"
            ) from None
        yield name, family, e_value


def _read_plain(path) -> dict[str, str]:
    table = read_table(path)
    name = next((name for name in _IDS if name in table.columns), None)
    family = next((name for name in _FAMILIES if name in table.columns), None)
    if name is None or family is None:
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted id and family, or what "
            f"{', '.join(layout.name for layout in LAYOUTS)} write"
        )
    ids, families = filled(table, name, path), filled(table, family, path)
    found: dict[str, str] = {}
    for row, (key, value) in enumerate(zip(ids, families, strict=True), 1):
        if found.setdefault(key, value) != value:
            raise InputError(f"{path}: row {row}: {key[:40]!r}: got a second {family}, wanted one")
    return found
