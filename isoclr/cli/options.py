"""Options that several commands share, in groups; each group makes what a function takes."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import typer

from data_builders.records import InputError
from isoclr.cli.command import option_name
from isoclr.shipped import SHIPPED_MODELS

Option = typer.Option
Files = list[str] | None


@dataclass(kw_only=True)
class Sources:
    """Files of transcripts: each first option begins a source, later options belong to it."""

    PANEL: ClassVar = "Sources"
    NOTE: ClassVar = (
        "Each --genome, --transcripts or --table begins a source; an --annotation, --aliases or "
        "--species after it belongs to it. Repeat them for several species."
    )
    BEGIN: ClassVar = ("genome", "transcripts", "table")
    BELONGS_TO: ClassVar = {
        "annotation": ("genome", "transcripts"),
        "aliases": ("genome",),
        "species": BEGIN,
    }

    genome: Annotated[
        Files, Option(metavar="FILE", help="FASTA or 2bit of a genome; needs an --annotation")
    ] = None
    transcripts: Annotated[Files, Option(metavar="FILE", help="FASTA of spliced transcripts")] = (
        None
    )
    table: Annotated[
        Files,
        Option(
            metavar="FILE", help="Parquet, TSV or CSV: transcript_id, gene_id, sequence and more"
        ),
    ] = None
    annotation: Annotated[
        Files, Option(metavar="FILE", help="GTF, GFF3, genePred or BED12 of the source before it")
    ] = None
    aliases: Annotated[
        Files,
        Option(metavar="FILE", help="names of chromosomes, such as UCSC's chromAlias.txt"),
    ] = None
    species: Annotated[
        Files,
        Option(metavar="NAME", help="name of the species of the source before it"),
    ] = None
    strict: Annotated[bool, Option("--strict", help="a skipped record is an error")] = False

    begun: list[dict[str, str]] = field(init=False, default_factory=list)
    """The sources in order: option to value, the one that began the source first."""
    named: list[str] = field(init=False, default_factory=list)
    """Species that were named before all sources."""

    def read_order(self, options: list[tuple[str, str]]) -> None:
        """Assign each option to its source."""
        for name, value in options:
            if name == "species" and not self.begun:
                self.named += value.split(",")
            elif name != "strict":
                _assign(self.begun, name, value, self)

    def made(self, species: str | None = None) -> list:
        """Return the sources; `species` stands in where none is named."""
        from data_builders.sources import FastaSource, GenomeSource, TableSource

        made = []
        for source in self.begun:
            (option, path), *_ = source.items()
            name = source.get("species", species)
            if option == "table":
                made.append(TableSource(path, source.get("species")))
                continue
            if name is None:
                raise InputError(f"--{option} {path}: wanted a --species after it")
            if option == "transcripts":
                made.append(FastaSource(path, name, source.get("annotation")))
            elif "annotation" not in source:
                raise InputError(f"--genome {path}: wanted an --annotation after it")
            else:
                made.append(GenomeSource(path, source["annotation"], name, source.get("aliases")))
        return made


@dataclass(kw_only=True)
class Registry:
    """Genomes that are downloaded by name."""

    PANEL: ClassVar = "Genomes by name"
    NOTE: ClassVar = (
        "Genomes that a --species NAME,... before all sources names are downloaded, see "
        "docs/SPECIES.md."
    )

    release: Annotated[int | None, Option(help="of Ensembl; none: the genomes of IsoCLR")] = None
    cache: Annotated[str | None, Option(metavar="DIR", help="folder of downloads")] = None
    registry: Annotated[str | None, Option(metavar="FILE", help="table of genomes of your own")] = (
        None
    )

    def made(self, species: list[str]) -> list:
        """Return a source of each species."""
        from data_builders.genomes.registry import sources

        given = {name: value for name, value in vars(self).items() if value is not None}
        if given and not species:
            raise InputError(f"--{min(given)}: wanted a --species before all sources")
        return sources(species, **given) if species else []


@dataclass(kw_only=True)
class Homology:
    """Tables of homologous genes: --homology begins a table, later options belong to it."""

    PANEL: ClassVar = "Homology"
    NOTE: ClassVar = "Repeat --homology to join several tables."
    BEGIN: ClassVar = ("homology",)
    BELONGS_TO: ClassVar = dict.fromkeys(("reference", "query", "level", "homology_genes"), BEGIN)

    homology: Annotated[
        Files,
        Option(
            metavar="FILE", help="table of a layout in docs/HOMOLOGY.md; what follows belongs to it"
        ),
    ] = None
    reference: Annotated[
        Files,
        Option(metavar="NAME", help="species of BioMart's first genes, or TOGA's reference"),
    ] = None
    query: Annotated[Files, Option(metavar="NAME", help="TOGA's query species")] = None
    level: Annotated[
        Files, Option(metavar="ID", help="taxonomy id of the OrthoDB level to use")
    ] = None
    homology_genes: Annotated[Files, Option(metavar="FILE", help="OrthoDB's table of genes")] = None

    tables: list[dict[str, str]] = field(init=False, default_factory=list)
    """The tables in order: option to value."""

    def read_order(self, options: list[tuple[str, str]]) -> None:
        """Assign each option to its table."""
        for name, value in options:
            _assign(self.tables, name, value, self)

    def made(self) -> list | None:
        """Return the tables, None when there is none."""
        from data_builders.homology.tables import HomologyTable

        return [
            HomologyTable(
                table["homology"],
                species=table.get("reference"),
                query=table.get("query"),
                level=table.get("level"),
                genes=table.get("homology_genes"),
            )
            for table in self.tables
        ] or None


def _assign(begun: list[dict[str, str]], name: str, value: str, group) -> None:
    """Begin a new entry of `begun`, or add the option to the last one."""
    if name in group.BEGIN:
        begun.append({name: value})
        return
    last, owners, option = begun[-1] if begun else {}, group.BELONGS_TO[name], option_name(name)
    if not last.keys() & set(owners):
        wanted = " or ".join(option_name(owner) for owner in owners)
        raise typer.BadParameter(f"{option} {value}: wanted a {wanted} before it")
    if name in last:
        raise typer.BadParameter(f"{option} {value}: got {last[name]} for it already")
    last[name] = value


@dataclass(kw_only=True)
class Labels:
    """A file of labels, and where its transcripts are."""

    PANEL: ClassVar = "Labels"

    labels: Annotated[str, Option(help="label set, or a table of labels", metavar="FILE")]
    task: Annotated[
        str | None, Option(help="downstream task that the table is of, see docs/LABELS.md")
    ] = None
    label: Annotated[str | None, Option(help="the table's column; none for a label set")] = None
    groups: Annotated[
        str | None, Option(help="folder of isoform groups that has the transcripts", metavar="DIR")
    ] = None
    taxonomy: Annotated[
        int | None, Option(help="species of a table that names none, such as 10090")
    ] = None

    def made(self, homology: Homology):
        """Return the source of labels."""
        from data_builders.labels.source import LabelSource

        return LabelSource(
            path=self.labels,
            task=self.task,
            label=self.label,
            isoform_groups=self.groups,
            homology=homology.made(),
            species=None if self.taxonomy is None else str(self.taxonomy),
        )


MODEL_HELP = f"a shipped one ({', '.join(SHIPPED_MODELS)}), a folder, or a repository of the Hub"
Model = Annotated[str, Option(metavar="MODEL", help=MODEL_HELP)]
Groups = Annotated[str, Option(help="folder of isoform groups", metavar="DIR")]
OtherGroups = Annotated[
    str | None, Option(help="isoform groups instead: folder, or dataset on the Hub")
]
GuessCds = Annotated[
    int | None,
    Option(
        metavar="NT", help="where there is no CDS, the longest reading frame of at least so many nt"
    ),
]
TableFile = Annotated[
    str,
    Option(metavar="FILE", help="table to write: .parquet or .tsv"),
    (".parquet", ".tsv"),
]
Saluki = Annotated[
    bool, Option("--saluki", help="train a supervised network beside, which takes long")
]
SampleSeed = Annotated[int, Option("--seed", help="of the sample")]


def whole_numbers(value: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between."""
    if not all(number.isdecimal() for number in value.split(",")):
        raise typer.BadParameter(f"got '{value}', wanted whole numbers, such as 85,171")
    return tuple(map(int, value.split(",")))


def numbers(value: str) -> tuple[float, ...]:
    """Parse numbers with commas between."""
    try:
        return tuple(map(float, value.split(",")))
    except ValueError:
        raise typer.BadParameter(f"got '{value}', wanted numbers, such as 0.1,1") from None


def pair_of(separator: str, example: str):
    """Return a parser of two whole numbers with `separator` between; `example` shows them."""

    def parse(value: str) -> tuple[int, int]:
        first, _, second = value.partition(separator)
        if not (first.isdecimal() and second.isdecimal()):
            raise typer.BadParameter(f"got '{value}', wanted {example}")
        return int(first), int(second)

    return parse


@dataclass(kw_only=True)
class Choice:
    """A part of the groups of a dataset; without an option, all."""

    PANEL: ClassVar = "Choice of groups"

    part: Annotated[
        tuple | None,
        Option(
            metavar="A-B",
            parser=pair_of("-", "A-B, such as 67-100"),
            help="groups by a hash of their name, in percent, such as 67-100; without it, all",
        ),
    ] = None
    coding: Annotated[bool, Option("--coding", help="transcripts with a CDS alone")] = False
    longest: Annotated[int | None, Option(metavar="NT", help="leave longer transcripts out")] = None

    def made(self):
        """Return a `GroupChoice`."""
        from data_builders.groups.choice import GroupChoice

        return GroupChoice(part=self.part or (0, 100), coding=self.coding, longest=self.longest)


Unmatched = Annotated[
    tuple | None,
    Option(
        metavar="NAME,...",
        parser=lambda names: tuple(names.split(",")),
        help="species of which a homology table may know no gene; without, that is an error",
    ),
]


def seeds(n: int) -> tuple[int, ...]:
    """Return the first `n` seeds of label splits."""
    from data_builders.labels.splits import SEEDS

    if not 2 <= n <= len(SEEDS):
        raise InputError(f"--seeds: got {n}, wanted 2 to {len(SEEDS)}")
    return SEEDS[:n]
