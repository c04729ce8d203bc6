"""Sources to transcripts, and the names that their genes go by."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from data_builders.annotation.assembly import assemble
from data_builders.annotation.models import Annotation, transcript_genes
from data_builders.annotation.reader import read_annotation
from data_builders.annotation.tags import best_preference
from data_builders.annotation.transcript_fasta import transcripts_from_fasta
from data_builders.genomes.aliases import read_aliases
from data_builders.homology.homologous_genes import Homology
from data_builders.records import Transcript
from data_builders.sources import FastaSource, GenomeSource, Source, TableSource
from data_builders.tables import read_names, read_transcript_table
from data_builders.text import Tally


@dataclass(slots=True, kw_only=True)
class GeneNames:
    """What sources say of genes and transcripts beside their sequence; filled while they are read.

    Attributes:
        homology: of names other than symbols, those are kept that it knows.
        selection: a rule by which annotators' tags matter (`tags.SELECTIONS`), None: they do not.
        symbols: (species, gene_id) -> symbol.
        others: (species, gene_id) -> other names that the homology knows.
        preferences: (species, transcript_id) -> rank and name of its preference; one without is
            preferred by nobody.
    """

    homology: Homology | None = None
    selection: str | None = None
    symbols: dict[tuple[str, str], str] = field(default_factory=dict)
    others: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    preferences: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    @property
    def has_proteins(self) -> bool:
        """Whether the homology may know genes by their proteins or transcripts."""
        return self.homology is not None and self.homology.lists_proteins

    @property
    def wants_details(self) -> bool:
        """Whether annotations must be read with tags and proteins."""
        return self.has_proteins or self.selection not in (None, "longest")

    def of(self, species: str, gene_id: str) -> tuple[str, ...]:
        """Return the names of a gene other than its id."""
        gene = species, gene_id
        symbol, others = self.symbols.get(gene), self.others.get(gene, ())
        return others if symbol is None else (symbol, *others)

    def add(self, species: str, gene_id: str, names: Iterable[str]) -> None:
        """Note further names of a gene, as far as the homology knows them."""
        if self.homology is None:
            return
        known = tuple(name for name in names if self.homology.find(species, name))
        if known:
            self.others[species, gene_id] = self.others.get((species, gene_id), ()) + known

    def add_annotation(self, species: str, annotation: Annotation) -> None:
        """Note what an annotation says."""
        for gene_id, symbol in annotation.gene_symbols.items():
            self.symbols[species, gene_id] = symbol
        for gene_id, names in annotation.gene_names.items():
            self.add(species, gene_id, names)
        if self.has_proteins:
            for transcript_id, gene_id in transcript_genes(annotation):
                self.add(species, gene_id, (transcript_id,))
        if self.wants_details and self.selection:
            for transcript_id, preferences in annotation.preferences.items():
                if best := best_preference(preferences, self.selection):
                    self.preferences[species, transcript_id] = best


def read_source(
    source: Source, tally: Tally, names: GeneNames | None = None
) -> Iterator[Transcript]:
    """Yield the transcripts of a source; names of a gene are filled before its first one comes."""
    names = GeneNames() if names is None else names
    if isinstance(source, GenomeSource):
        annotation = _annotation(source.annotation, source.species, tally, names)
        aliases = None if source.aliases is None else read_aliases(source.aliases)
        yield from assemble(annotation, source.genome, source.species, tally, aliases)
    elif isinstance(source, FastaSource):
        yield from _of_fasta(source, tally, names)
    else:
        yield from _of_table(source, tally, names)


def _annotation(
    path: str | os.PathLike, species: str, tally: Tally, names: GeneNames
) -> Annotation:
    annotation = read_annotation(path, strict=tally.strict, details=names.wants_details)
    tally.update(annotation.tally)
    names.add_annotation(species, annotation)
    return annotation


def _of_fasta(source: FastaSource, tally: Tally, names: GeneNames) -> Iterator[Transcript]:
    annotation = None
    if source.annotation is not None:
        annotation = _annotation(source.annotation, source.species, tally, names)
    symbols: dict[str, str] = {}
    for transcript in transcripts_from_fasta(
        source.transcripts, annotation, source.species, tally, symbols
    ):
        if symbol := symbols.get(transcript.gene_id):
            names.symbols[source.species, transcript.gene_id] = symbol
        yield transcript


def _of_table(source: TableSource, tally: Tally, names: GeneNames) -> Iterator[Transcript]:
    symbols, transcripts_of = read_names(source.table)
    for transcript in read_transcript_table(source.table, source.species, tally):
        species, gene_id = transcript.species, transcript.gene_id
        if gene_id in symbols:
            names.symbols[species, gene_id] = symbols[gene_id]
        if names.has_proteins and (species, gene_id) not in names.others:
            names.add(species, gene_id, transcripts_of.get(gene_id, ()))
        yield transcript
