"""Where transcripts come from: files, and what is known of them."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GenomeSource:
    """A genome, its annotation, and a table of its chromosomes' aliases if they need one.

    Provider, release and assembly, as far as they are known, go into the report.
    """

    genome: str | os.PathLike
    annotation: str | os.PathLike
    species: str
    aliases: str | os.PathLike | None = None
    provider: str | None = None
    release: str | None = None
    assembly: str | None = None


@dataclass(frozen=True, slots=True)
class FastaSource:
    """Spliced transcripts (FASTA), and the annotation of their structure if there is one."""

    transcripts: str | os.PathLike
    species: str
    annotation: str | os.PathLike | None = None


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table of transcripts (Parquet, TSV or CSV); the species, if given, replaces its column."""

    table: str | os.PathLike
    species: str | None = None


Source = GenomeSource | FastaSource | TableSource


def files_of(source: Source) -> dict[str, str | os.PathLike]:
    """Return the files of a source, by what they are."""
    fields = ("genome", "transcripts", "table", "annotation", "aliases")
    named = {name: getattr(source, name, None) for name in fields}
    return {name: path for name, path in named.items() if path is not None}
