"""Tables of chromosome aliases: which names mean the same sequence."""

import os
from collections.abc import Iterator

from data_builders.records import InputError
from data_builders.text import decode, numbered_lines

_NO_NAME = frozenset({"", "na", "<>"})
_SOURCES = frozenset({"assembly", "ensembl", "genbank", "ncbi", "refseq", "ucsc"})
_REPORT_NAMES = ("Sequence-Name", "GenBank-Accn", "RefSeq-Accn", "UCSC-style-name")


def read_aliases(path: str | os.PathLike) -> dict[str, str]:
    """Read a table of chromosome names, plain or gzip; its content tells the form.

    Rows are tab-separated; lines that start with # are headers. The forms:

    - A row a chromosome, its name and then its aliases: any table of two columns or more, such as
      UCSC's chromAlias.txt (`# ucsc assembly genbank ncbi refseq`).
    - UCSC's older chromAlias.txt: alias, chromosome, source (refseq, genbank, ...).
    - NCBI's assembly_report.txt: the sequence's name, its accessions and its UCSC name; and the
      name of its molecule, where it is all of it.

    Args:
        path: the table.

    Returns:
        Every name -> the chromosome, by the first of its names: two names mean the same
        chromosome if their values are the same.

    Raises:
        InputError: a row of one column, or shorter than the report's; a name of two chromosomes; a
            file without names.
    """
    chromosomes: dict[str, str] = {}
    for number, names in _rows(path):
        for name in names:
            if chromosomes.setdefault(name, names[0]) != names[0]:
                raise InputError(
                    f"{path}:{number}: name: got '{name}' for '{chromosomes[name]}' and for "
                    f"'{names[0]}', wanted names of one chromosome"
                )
    if not chromosomes:
        raise InputError(f"{path}: got no names, wanted a table of chromosome aliases")
    return chromosomes


def _rows(path) -> Iterator[tuple[int, list[str]]]:
    """Yield line and names of one chromosome, its own name first."""
    report: list[str] = []
    for number, line in numbered_lines(path):
        row = [field.strip() for field in decode(line, path, number).split("\t")]
        if line.startswith(b"#"):
            if row[0].lstrip("# ") == "Sequence-Name":
                report = ["Sequence-Name", *row[1:]]
            continue
        if row == [""]:
            continue
        wanted = len(report) or 2
        if len(row) < wanted:
            raise InputError(
                f"{path}:{number}: columns: got {len(row)}, wanted at least {wanted}, tab-separated"
            )
        if report:
            row = _report_names(dict(zip(report, row, strict=False)))
        elif len(row) == 3 and _SOURCES.issuperset(row[2].split(",")):
            row = [row[1], row[0]]
        names = [name for name in row if name not in _NO_NAME]
        if names:
            yield number, names


def _report_names(fields: dict[str, str]) -> list[str]:
    names = [fields.get(column, "") for column in _REPORT_NAMES]
    if fields.get("Sequence-Role") == "assembled-molecule":
        names.append(fields.get("Assigned-Molecule", ""))
    return names
