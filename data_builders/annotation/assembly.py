"""Transcript models and a genome to transcripts."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from data_builders.annotation.models import Annotation, TranscriptModel
from data_builders.genomes.genome import read_genome
from data_builders.records import STOP_CODONS, InputError, Transcript
from data_builders.text import Tally

_COMPLEMENT = str.maketrans("ACGT", "TGCA")
_MITOCHONDRION = {"m", "mt", "mtdna", "mito", "mitochondrion"}
_NAMES_SHOWN = 3


def assemble(
    annotation: Annotation,
    genome_path: str | os.PathLike,
    species: str,
    tally: Tally | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[Transcript]:
    """Splice the transcripts of an annotation out of its genome, which is read once.

    The CDS follows `splice_coordinates`; where it lacks its stop codon and the next codon is one
    (GTF without stop_codon lines), it is extended by that and counted. A chromosome that the
    annotation names otherwise is found by the aliases, else by the usual rule (chr1 is 1, chrM is
    MT, in any case); each use of either is counted.

    Args:
        annotation: what `read_annotation` returned.
        genome_path: what `read_genome` reads.
        species: given to every transcript.
        tally: where transcripts of chromosomes that the genome lacks are counted as skipped, and
            changes as adjusted. What the annotation read or skipped is in its own tally.
        aliases: what `read_aliases` returned.

    Yields:
        Transcripts, chromosome by chromosome in the order of the genome.

    Raises:
        InputError: as in `read_genome`; the files have no chromosome in common, two sequences of
            the genome are the same chromosome, a sequence may be two chromosomes of the annotation,
            or an exon ends past its chromosome: the genome is of another assembly.
    """
    tally = Tally() if tally is None else tally
    on_chromosome: dict[str, list[TranscriptModel]] = defaultdict(list)
    for model in annotation.transcripts:
        on_chromosome[model.chromosome].append(model)
    names = _Names(on_chromosome, {} if aliases is None else aliases)
    found: dict[str, str] = {}
    sequences: list[str] = []
    for sequence_name, sequence in read_genome(genome_path, tally):
        sequences.append(sequence_name)
        alike, change = names.find(sequence_name)
        if not alike:
            continue
        if len(alike) > 1:
            raise InputError(
                f"{genome_path}: '{sequence_name}': got '{alike[0]}' and '{alike[1]}' of "
                f"{annotation.path} for it, wanted one"
            )
        chromosome = alike[0]
        if chromosome in found:
            raise InputError(
                f"{genome_path}: got '{found[chromosome]}' and '{sequence_name}' for chromosome "
                f"'{chromosome}' of {annotation.path}, wanted one"
            )
        found[chromosome] = sequence_name
        if change:
            tally.adjusted[change] += 1
        for model in on_chromosome[chromosome]:
            if model.exons[-1][1] > len(sequence):
                raise InputError(
                    f"{annotation.path}:{model.line}: exon of '{model.transcript_id}': got end "
                    f"{model.exons[-1][1]}, wanted at most {len(sequence)}, the length of "
                    f"'{sequence_name}' in {genome_path}"
                )
            yield spliced_transcript(model, _splice(model, sequence), species, tally)
    if not found and on_chromosome:
        raise InputError(
            f"{genome_path}: got no chromosome of {annotation.path}: "
            f"{some(sequences)} against {some(on_chromosome)}"
        )
    for chromosome, models in on_chromosome.items():
        if chromosome not in found:
            tally.skip(
                "chromosome not in the genome",
                f"{annotation.path}:{models[0].line}: '{chromosome}', wanted in {genome_path}",
                len(models),
            )


def splice_coordinates(
    model: TranscriptModel, tally: Tally | None = None
) -> tuple[int, int, tuple[int, ...]]:
    """Map the structure of a transcript from the genome onto the spliced transcript, 5'→3'.

    The CDS is made of full codons: one that starts out of frame (5' incomplete: the phase of its
    first piece is 1 or 2) starts at its first full codon, one that ends in a partial codon
    (3' incomplete) ends at its last full codon, and one without a full codon is none. Each case is
    counted as adjusted.

    Returns:
        cds_start and cds_end (-1, -1: none), and the first base of every exon but the first.
    """
    tally = Tally() if tally is None else tally
    exons = model.exons if model.strand == "+" else model.exons[::-1]
    junctions, length = [], 0
    for start, end in exons:
        junctions.append(length)
        length += end - start
    return *_full_codons(model, tally), tuple(junctions[1:])


def _full_codons(model: TranscriptModel, tally: Tally) -> tuple[int, int]:
    if not model.cds:
        return -1, -1
    if model.strand == "+":
        first = model.cds[0][0]
        start = sum(min(end, first) - begin for begin, end in model.exons if begin < first)
    else:
        first = model.cds[-1][1]
        start = sum(end - max(begin, first) for begin, end in model.exons if end > first)
    bases = sum(end - begin for begin, end in model.cds) - model.phase
    if bases < 3:
        tally.adjusted["CDS without a full codon left out"] += 1
        return -1, -1
    if model.phase:
        tally.adjusted["CDS cut to its first full codon"] += 1
    if bases % 3:
        tally.adjusted["CDS cut to its last full codon"] += 1
    start += model.phase
    return start, start + bases - bases % 3


def spliced_transcript(
    model: TranscriptModel, sequence: str, species: str, tally: Tally
) -> Transcript:
    """Return a transcript of a model and its spliced sequence.

    A CDS that lacks its stop codon is extended by it where it follows, counted as adjusted.
    """
    start, end, junctions = splice_coordinates(model, tally)
    following = sequence[end : end + 3]
    if start >= 0 and following in STOP_CODONS and sequence[end - 3 : end] not in STOP_CODONS:
        tally.adjusted["CDS extended by the stop codon after it"] += 1
        end += 3
    return Transcript(model.transcript_id, model.gene_id, species, sequence, start, end, junctions)


def _splice(model: TranscriptModel, chromosome: str) -> str:
    spliced = "".join([chromosome[start:end] for start, end in model.exons])
    return spliced if model.strand == "+" else spliced.translate(_COMPLEMENT)[::-1]


class _Names:
    """Finds the annotation's name of a sequence: the same name, an alias, or by the usual rule."""

    def __init__(self, chromosomes: Iterable[str], aliases: Mapping[str, str]):
        self.aliases = aliases
        self.exact = set(chromosomes)
        self.by_alias: dict[str, list[str]] = defaultdict(list)
        self.by_key: dict[str, list[str]] = defaultdict(list)
        for name in chromosomes:
            if name in aliases:
                self.by_alias[aliases[name]].append(name)
            self.by_key[_key(name)].append(name)

    def find(self, name: str) -> tuple[list[str], str | None]:
        """Return the annotation's names for a sequence, and what to count if it is another."""
        if name in self.exact:
            return [name], None
        if alike := self.by_alias.get(self.aliases.get(name, ""), []):
            return alike, "chromosome found by its alias"
        alike = self.by_key.get(_key(name), [])
        if name in self.aliases:  # the table, not the rule, says what its own names mean
            alike = [other for other in alike if other not in self.aliases]
        return alike, "chromosome found under another name"


def _key(name: str) -> str:
    short = name.lower().removeprefix("chr")
    return "mt" if short in _MITOCHONDRION else short


def some(names: Iterable[str]) -> str:
    """Return the first few of some names, for an error."""
    names = list(names)
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
