"""Finds the transcripts that labels belong to, by transcript or by gene."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from data_builders.names import taxon, without_version
from data_builders.records import IsoformGroup, Transcript

Match = tuple[Transcript, str]
"""A transcript and its homology group."""
TranscriptKey = tuple[str, str]
"""What `transcript_key` makes."""
GeneKey = tuple[str, tuple[str, ...], tuple[str, ...]]
"""What `gene_key` makes."""


def transcript_key(species: str, transcript_id: str) -> TranscriptKey:
    """A transcript whatever its species is called, and whatever the version of its id."""
    return taxon(species), without_version(transcript_id)


def gene_key(species: str, names: Iterable[str | None], synonyms: Iterable[str] = ()) -> GeneKey:
    """A gene by what it may be called.

    Args:
        species: any name of it.
        names: gene ids or symbols, None where unknown; the first that some gene has counts.
        synonyms: tried after them as gene ids only: they may be symbols of other genes.
    """
    ids, others = (tuple(without_version(n) for n in group if n) for group in (names, synonyms))
    return taxon(species), ids, others


def find_transcripts(
    wanted: Iterable[TranscriptKey], isoform_groups: Iterable[IsoformGroup]
) -> dict[TranscriptKey, list[Match]]:
    """Each wanted transcript with its group, as often as it is found."""
    found: dict[TranscriptKey, list[Match]] = {key: [] for key in wanted}
    for group in isoform_groups:
        for transcript in group.transcripts:
            key = transcript_key(transcript.species, transcript.transcript_id)
            if key in found:
                found[key].append((transcript, group.group_id))
    return found


def find_genes(
    wanted: Iterable[GeneKey],
    isoform_groups: Iterable[IsoformGroup],
    gene_symbols: Mapping[tuple[str, str], str] | None = None,
) -> dict[GeneKey, list[Match]]:
    """Each wanted gene's transcripts, one for every gene and group that its name means.

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
    for group in isoform_groups:
        for transcript in group.transcripts:
            gene = transcript.species, transcript.gene_id
            key = taxon(transcript.species)
            own_id = key, without_version(transcript.gene_id)
            symbol = key, gene_symbols.get(gene) or ""
            if own_id not in names and symbol not in names:
                continue
            place = *gene, group.group_id
            by_id[own_id].add(place)
            by_symbol[symbol].add(place)
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
    return found


def _rank(transcript: Transcript) -> tuple[int, int, str]:
    coding = transcript.cds_end - transcript.cds_start
    return -coding, -len(transcript.sequence), transcript.transcript_id
