"""Find the transcripts that labels belong to, by transcript or by gene."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_builders.names import taxon, without_version
from data_builders.records import IsoformGroup, Transcript

Match = tuple[Transcript, str]
"""A transcript and its homology group."""

ANY_SPECIES = ""
"""The taxon of labels that name no species: they match the transcripts of all."""

TranscriptKey = tuple[str, str]
"""What `transcript_key` returns."""

GeneKey = tuple[str, tuple[str, ...], tuple[str, ...]]
"""What `gene_key` returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The transcripts that were looked up.

    Attributes:
        matches: of each key, the transcripts that it means.
        example: species and id of the first transcript or gene that was searched, None if there
            was none to search.
        species: all species that were searched.
    """

    matches: Mapping[Any, list[Match]]
    example: tuple[str, str] | None = None
    species: set[str] = field(default_factory=set)


def transcript_key(species: str | None, transcript_id: str) -> TranscriptKey:
    """Return a key of a transcript: no matter how its species is called, or which version it is."""
    return _taxon(species), without_version(transcript_id)


def gene_key(
    species: str | None, names: Iterable[str | None], synonyms: Iterable[str] = ()
) -> GeneKey:
    """Return a key of a gene by what it may be called.

    Args:
        species: any name of it, None where it is not known.
        names: gene ids or symbols, None where unknown; the first that some gene has counts.
        synonyms: tried after them as gene ids only: they may be symbols of other genes.
    """
    ids, others = (tuple(without_version(n) for n in group if n) for group in (names, synonyms))
    return _taxon(species), ids, others


def described(key: TranscriptKey | GeneKey) -> str:
    """Return what a key looks for, in words."""
    species, names, *_ = key
    name = names if isinstance(names, str) else next(iter(names), "")
    return f"'{name}' of " + (f"'{species}'" if species else "a species that is not named")


def _taxon(species: str | None) -> str:
    return ANY_SPECIES if species is None else taxon(species)


def find_transcripts(
    wanted: Iterable[TranscriptKey], isoform_groups: Iterable[IsoformGroup]
) -> Found:
    """Find each wanted transcript with its group, as often as it is there."""
    matches: dict[TranscriptKey, list[Match]] = {key: [] for key in wanted}
    example, species = None, set()
    for group in isoform_groups:
        for transcript in group.transcripts:
            example = example or (transcript.species, transcript.transcript_id)
            species.add(transcript.species)
            key = transcript_key(transcript.species, transcript.transcript_id)
            for place in (key, (ANY_SPECIES, key[1])):
                if place in matches:
                    matches[place].append((transcript, group.group_id))
    return Found(matches=matches, example=example, species=species)


def find_genes(
    wanted: Iterable[GeneKey],
    isoform_groups: Iterable[IsoformGroup],
    gene_symbols: Mapping[tuple[str, str], str] | None = None,
) -> Found:
    """Find the transcripts of each wanted gene, one for every gene and group that its name means.

    A gene is represented by its transcript with the longest CDS, of these the longest, of these the
    first by name.

    Args:
        wanted: the genes.
        isoform_groups: read once.
        gene_symbols: (species, gene_id) -> symbol; may be filled while the groups are read.
    """
    gene_symbols = {} if gene_symbols is None else gene_symbols
    wanted = list(wanted)
    names = {(key, name) for key, *both in wanted for part in both for name in part}
    best: dict[tuple[str, str, str], Match] = {}  # of a species, gene_id and group
    by_id = defaultdict(set)
    by_symbol = defaultdict(set)
    example, species = None, set()
    for group in isoform_groups:
        for transcript in group.transcripts:
            gene = transcript.species, transcript.gene_id
            example = example or gene
            species.add(transcript.species)
            own_id, symbol = without_version(transcript.gene_id), gene_symbols.get(gene) or ""
            place, is_wanted = (*gene, group.group_id), False
            for key in (taxon(transcript.species), ANY_SPECIES):
                if (key, own_id) in names or (key, symbol) in names:
                    is_wanted = True
                    by_id[key, own_id].add(place)
                    by_symbol[key, symbol].add(place)
            if is_wanted:
                rival = best.get(place)
                if rival is None or _rank(transcript) < _rank(rival[0]):
                    best[place] = transcript, group.group_id
    found = {}
    for gene in wanted:
        key, ids, synonyms = gene
        tries = [index.get((key, name)) for name in ids for index in (by_id, by_symbol)]
        tries += [by_id.get((key, name)) for name in synonyms]
        places = next(filter(None, tries), ())
        found[gene] = [best[place] for place in sorted(places)]
    return Found(matches=found, example=example, species=species)


def _rank(transcript: Transcript) -> tuple[int, int, str]:
    coding = transcript.cds_end - transcript.cds_start
    return -coding, -len(transcript.sequence), transcript.transcript_id
