"""Transcripts from their own FASTA, with their structure from an annotation or from the headers."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, MutableMapping

from data_builders.annotation.assembly import some, spliced_transcript
from data_builders.annotation.headers import TranscriptHeader, read_header
from data_builders.annotation.models import Annotation, TranscriptModel
from data_builders.genomes.fasta import read_fasta_records
from data_builders.names import without_version
from data_builders.records import STOP_CODONS, InputError, Transcript
from data_builders.text import Tally

_PREFIX = re.compile(r"(?:transcript:|rna-)(?=.)")  # of GFF3, which gffread leaves in headers
_VERSION = re.compile(r"\.\d+(?:_\d+)?\Z")


def transcripts_from_fasta(
    path: str | os.PathLike,
    annotation: Annotation | None,
    species: str,
    tally: Tally | None = None,
    symbols: MutableMapping[str, str] | None = None,
) -> Iterator[Transcript]:
    """Read transcripts from their own FASTA, their structure from an annotation if there is one.

    A transcript has the name of the annotation: the first word of its header, or GENCODE's first
    field; without a version where only one of the files writes versions. Without an annotation its
    gene is that of its header (Ensembl, GENCODE, gffread), else itself; its CDS is GENCODE's, its
    exon structure unknown.

    Args:
        path: spliced transcripts, 5'→3', plain or gzip.
        annotation: genes, exons and CDS of the transcripts; its genome is not needed.
        species: given to every transcript.
        tally: where transcripts are counted: as read those that the annotation's own tally has
            not; as skipped those that only one of the files has, those of another version, and
            those whose length is not that of their exons.
        symbols: filled with gene_id -> symbol as headers have them.

    Yields:
        Transcripts, in the order of the FASTA.

    Raises:
        InputError: as in `read_fasta`, the files have no transcript in common, or a header has a
            CDS outside its sequence.
    """
    tally = Tally() if tally is None else tally
    if annotation is None:
        yield from _from_headers(path, species, tally, {} if symbols is None else symbols)
        return
    models = _Models(annotation)
    names = []
    for name, description, sequence in read_fasta_records(path, tally):
        names.append(name)
        header = read_header(name, description)
        model, reason = models.take(header.transcript_id)
        if model is None:
            tally.read += 1
            tally.skip(reason, f"{path}: '{name}'")
        elif len(sequence) != sum(end - start for start, end in model.exons):
            tally.skip("length is not that of the exons", f"{path}: '{name}'")
        else:
            if reason:
                tally.adjusted[reason] += 1
            yield spliced_transcript(model, sequence, species, tally)
    left = models.left()
    if len(left) == models.total:
        raise InputError(
            f"{path}: got no transcript of {annotation.path}: "
            f"{some(names)} against {some(model.transcript_id for model in left)}"
        )
    if left:
        tally.skip(
            "not in the transcript FASTA",
            f"{annotation.path}:{left[0].line}: '{left[0].transcript_id}', wanted in {path}",
            len(left),
        )


class _Models:
    """Transcript models by name, whichever of two files writes versions."""

    def __init__(self, annotation: Annotation):
        self._by_name = {model.transcript_id: model for model in annotation.transcripts}
        self._by_plain: dict[str, list[str]] = defaultdict(list)
        for name in self._by_name:
            if (plain := without_version(name)) != name:
                self._by_plain[plain].append(name)
        self._has_versions = any(_VERSION.search(name) for name in self._by_name)
        self.total = len(self._by_name)

    def take(self, name: str) -> tuple[TranscriptModel | None, str]:
        """Remove and return the model of a name, and what to count: why there is none, or how.

        Each model is returned once.
        """
        if (model := self._by_name.pop(name, None)) is not None:
            return model, ""
        if (model := self._by_name.pop(_PREFIX.sub("", name, count=1), None)) is not None:
            return model, "transcript found without its prefix"
        plain = without_version(name) if self._has_versions else _VERSION.sub("", name)
        if (model := self._by_name.pop(plain, None)) is not None:
            return model, "transcript found without its version"
        found = self._by_plain.get(without_version(name), [])
        if found and name != without_version(name):
            return None, "another version in the annotation"
        if len(found) == 1 and (model := self._by_name.pop(found[0], None)) is not None:
            return model, "transcript found without its version"
        return None, "not in the annotation"

    def left(self) -> list[TranscriptModel]:
        """Return the models that were not taken."""
        return list(self._by_name.values())


def _from_headers(
    path: str | os.PathLike, species: str, tally: Tally, symbols: MutableMapping[str, str]
) -> Iterator[Transcript]:
    read = with_gene = 0
    for name, description, sequence in read_fasta_records(path, tally):
        tally.read += 1
        read += 1
        header = read_header(name, description)
        with_gene += header.gene_id is not None
        gene = header.gene_id or header.transcript_id
        if header.symbol:
            symbols[gene] = header.symbol
        start, end = _cds_of_header(header, sequence, path, tally)
        yield Transcript(header.transcript_id, gene, species, sequence, start, end)
    if 0 < with_gene < read:
        tally.adjusted["transcript without a gene is a gene of its own"] += read - with_gene


def _cds_of_header(
    header: TranscriptHeader, sequence: str, path: str | os.PathLike, tally: Tally
) -> tuple[int, int]:
    """Return a CDS of full codons, -1 and -1 without one.

    The frame of a CDS is known where it begins after a 5'UTR or with ATG, or ends in a stop codon.
    """
    if header.cds is None:
        return -1, -1
    start, end = header.cds
    if not 0 <= start < end <= len(sequence):
        raise InputError(
            f"{path}: '{header.transcript_id}': CDS: got {start + 1}-{end}, wanted some of its "
            f"{len(sequence)} nt"
        )
    partial = (end - start) % 3
    if start > 0 or sequence.startswith("ATG"):
        end -= partial
        reason = "CDS cut to its last full codon"
    elif sequence[end - 3 : end] in STOP_CODONS:
        start += partial
        reason = "CDS cut to its first full codon"
    else:
        tally.adjusted["CDS of unknown frame left out"] += 1
        return -1, -1
    if partial:
        tally.adjusted[reason] += 1
    if end - start < 3:
        tally.adjusted["CDS without a full codon left out"] += 1
        return -1, -1
    return start, end
