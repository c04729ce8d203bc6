"""Homologous sequences as people have them: to families of rows, whatever the layout.

- a folder of files, one family each (OrthoMaM, OrthoFinder's Orthogroup_Sequences, anyone's), or a
  file of them, as `alignments` reads it; an OrthoDB FASTA of several groups is cut into them;
- a table (Parquet, TSV, CSV) with one sequence a row;
- FASTA files of whole proteomes or transcriptomes with a table of homology groups beside them
  (OrthoFinder's Orthogroups.tsv, OrthoDB's OG2genes, `group_id, species, gene_id`).
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from data_builders.homology.alignments import (
    Rows,
    family_name,
    is_sequence_file,
    read_rows,
)
from data_builders.homology.headers import normalised_species, origin, orthodb_group
from data_builders.homology.tables import HomologyTable, rows_of
from data_builders.records import InputError
from data_builders.tables import names_of_columns, read_table
from data_builders.text import Tally

TABLES = (".parquet", ".tsv", ".csv", ".txt")
COLUMNS = {
    "family": ("family", "family_id", "group_id", "orthogroup"),
    "species": ("species", "organism"),
    "sequence": ("sequence", "aligned_sequence", "aligned_protein", "protein", "cds"),
    "member": ("transcript_id", "protein_id", "member_id", "name"),
    "gene": ("gene_id", "gene"),
}
"""What a column of a table means, and the names that it is looked for by."""


@dataclass(frozen=True)
class HomologSource:
    """Where homologous sequences are.

    Attributes:
        path: a folder, a file of sequences, or a table.
        columns: of a table: meaning (a key of `COLUMNS`) -> column, where the names are others.
        groups: homology groups of the sequences, where these are of whole proteomes.
    """

    path: str | os.PathLike
    columns: Mapping[str, str] = field(default_factory=dict)
    groups: HomologyTable | None = None


def column_names(text: str | None) -> dict[str, str]:
    """Return the columns of a table written as `family=gene_id,sequence=cds`."""
    pairs = [part.partition("=") for part in text.split(",")] if text else []
    for meaning, _, column in pairs:
        if meaning not in COLUMNS or not column:
            raise InputError(
                f"columns: got {text!r}, wanted names such as family=gene_id, of "
                f"{', '.join(COLUMNS)}"
            )
    named = {meaning: column for meaning, _, column in pairs}
    if len(named) < len(pairs):
        raise InputError(f"columns: got {text!r}, wanted each meaning once")
    return named


class Member(NamedTuple):
    """A sequence as its source has it.

    Attributes:
        member_id: its name.
        gene: of it, as the source names it.
        species: as the source writes it.
        letters: with gaps.
        where: file and line or row, for errors.
    """

    member_id: str
    gene: str
    species: str
    letters: str
    where: str


@dataclass(frozen=True)
class RawFamily:
    """A family as its source has it.

    Attributes:
        name: of the family.
        where: the file, for errors.
        members: at least one.
        columns: aligned letters of each member, None where they are not aligned.
    """

    name: str
    where: str
    members: tuple[Member, ...]
    columns: tuple[str, ...] | None


def raw_families(source: HomologSource, tally: Tally) -> Iterator[RawFamily]:
    """Read the families of a source; sequences that are of no group are skipped.

    A folder without sequences, and a join that matches nothing, are an InputError.
    """
    path = Path(source.path)
    if source.columns.keys() - COLUMNS.keys():
        unknown = min(source.columns.keys() - COLUMNS.keys())
        raise InputError(f"columns: got {unknown!r}, wanted {', '.join(COLUMNS)}")
    if source.groups is not None:
        yield from _grouped(_sequence_files(path), source.groups, tally)
    elif path.is_file() and path.suffix.lower() in TABLES:
        yield from _of_table(path, source.columns, tally)
    else:
        for file in _sequence_files(path):
            for rows in read_rows(file):
                yield from _of_rows(rows, tally)


def _sequence_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and is_sequence_file(file))
    if not files:
        raise InputError(f"{path}: got no FASTA, A3M, PHYLIP or Stockholm in it, wanted some")
    return files


def _of_rows(rows: Rows, tally: Tally) -> Iterator[RawFamily]:
    tally.read += len(rows.rows)
    of_group: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows.rows):
        of_group[orthodb_group(row) or rows.name].append(place)
    for name, places in of_group.items():
        members = []
        for place in places:
            row = rows.rows[place]
            species, gene = origin(row)
            where = f"{rows.source}:{row.line}"
            members.append(Member(row.name, gene, species, row.letters, where))
        columns = None if rows.columns is None else tuple(rows.columns[i] for i in places)
        yield RawFamily(name, rows.source, tuple(members), columns)


def _of_table(path: Path, given: Mapping[str, str], tally: Tally) -> Iterator[RawFamily]:
    table = read_table(path)
    names = {meaning: _column(table, meaning, given, path) for meaning in COLUMNS}
    for meaning in ("family", "species", "sequence"):
        if names[meaning] is None:
            raise InputError(
                f"{path}: columns: got {names_of_columns(table)}, wanted one of the {meaning}: "
                f"{', '.join(COLUMNS[meaning])}, or its name told"
            )
    if not table.height:
        raise InputError(f"{path}: got a table without rows, wanted sequences")
    taken = table.select(
        pl.col(name).cast(pl.String).fill_null("").alias(meaning)
        for meaning, name in names.items()
        if name is not None
    ).with_row_index("row", 1)
    tally.read += taken.height
    blank = taken.filter(pl.any_horizontal(pl.col("family", "species", "sequence") == ""))
    if blank.height:
        row = blank["row"][0]
        raise InputError(f"{path}: row {row}: got an empty field, wanted family, species, sequence")
    for (name,), part in taken.group_by("family", maintain_order=True):
        members = tuple(
            Member(
                row.get("member") or row["species"],
                row.get("gene") or row.get("member") or row["species"],
                row["species"],
                "".join(row["sequence"].split()),
                f"{path}: row {row['row']}",
            )
            for row in part.iter_rows(named=True)
        )
        letters = tuple(member.letters for member in members)
        aligned = len({len(row) for row in letters}) == 1
        yield RawFamily(str(name), str(path), members, letters if aligned else None)


def _column(table: pl.DataFrame, meaning: str, given: Mapping[str, str], path) -> str | None:
    if meaning in given:
        if given[meaning] not in table.columns:
            raise InputError(
                f"{path}: columns: got {names_of_columns(table)}, wanted {given[meaning]}"
            )
        return given[meaning]
    return next((name for name in COLUMNS[meaning] if name in table.columns), None)


def _grouped(files: list[Path], groups: HomologyTable, tally: Tally) -> Iterator[RawFamily]:
    """Join sequences to their groups by name, and by file where a name is of several species."""
    known: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows_of(groups, Tally()):
        if row.group is None:
            raise InputError(f"{groups.path}: got a table of pairs of genes, wanted one of groups")
        for species, gene in row.genes:
            known[gene].append((species, row.group))
    families: dict[str, list[Member]] = defaultdict(list)
    for file in files:
        stem = normalised_species(family_name(file))
        for rows in read_rows(file):
            for row in rows.rows:
                tally.read += 1
                where = f"{file}:{row.line}"
                found = known.get(row.name) or known.get(row.name.replace(":", "_"), [])
                of_file = [one for one in found if normalised_species(one[0]) == stem]
                if len(chosen := of_file or found) != 1:
                    reason = "of several groups" if found else "of no group"
                    tally.skip(f"sequence {reason}", where)
                    continue
                species, group = chosen[0]
                families[group].append(Member(row.name, row.name, species, row.letters, where))
    if not families:
        raise InputError(
            f"{groups.path}: got none of the {tally.read} sequences in a group, wanted the names "
            "of sequences as genes of the table"
        )
    for name, members in families.items():
        yield RawFamily(name, str(groups.path), tuple(members), None)
