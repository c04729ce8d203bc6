"""What a gene's protein, or its coding sequence, says of a label: encoders that homologs taught.

An encoder of proteins gets the translated CDS of each labelled transcript, one of RNA the CDS and
nothing around it. Beside every encoder stand the same network with random weights, and what the
letters alone say.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_builders.counts import counted
from data_builders.homology.alignments import read_rows
from data_builders.homology.alphabets import PROTEIN, translate, without_gaps
from data_builders.labels.base import MULTILABEL
from data_builders.labels.files import read_label_set
from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, make_splits
from data_builders.records import InputError, Transcript
from data_builders.words import PROTEIN_LETTERS, word_frequencies
from isoclr.evaluation.compare import Results, RunLog
from isoclr.evaluation.controls import RANDOM
from isoclr.evaluation.embeddings import model_names
from isoclr.evaluation.features import codon_frequencies, kmer_frequencies
from isoclr.evaluation.networks import untrained
from isoclr.evaluation.probe import fingerprint, probe, write_probe
from isoclr.evaluation.terms import frequent_terms, of_terms
from isoclr.pretrained import load_model
from isoclr.progress import progress
from isoclr.tokens import tokenize

NO_CDS, NO_PROTEIN = "no CDS", "CDS without a residue"
PROTEIN_KMERS = (1, 2, 3)
CDS_KMERS = (1, 6)


@dataclass(frozen=True, kw_only=True)
class CodingOptions:
    """How coding sequences are probed.

    Attributes:
        terms: of labels with many classes, the most frequent.
        max_share: of the rows that a class may have, as in `frequent_terms`.
        seeds: of the splits, at least two.
        kmers: longest k-mers of proteins, at most 3.
    """

    terms: int = 10
    max_share: float = 0.1
    seeds: Sequence[int] = SEEDS
    kmers: int = 3


def probe_coding(
    models: Sequence[str | os.PathLike],
    labels: str | os.PathLike,
    output: Path,
    options: CodingOptions | None = None,
) -> tuple[Results, Counter[str]]:
    """Probe encoders of proteins or of coding sequences, beside what the letters alone say.

    Writes `probe.json` and `probe.png`; each finished run is a line of `runs.jsonl`, and a
    comparison that was stopped, or is asked for more splits, goes on from there. The first model is
    what others are compared with; the labels are a file of `write_label_set`. Returns the
    comparison, and how many rows were left out, by reason. No row with a CDS is an InputError.
    """
    options = options or CodingOptions()
    if len(options.seeds) < 2:
        raise InputError(
            f"probe-coding: got {counted(len(options.seeds), 'seed')}, wanted at least two"
        )
    if not 1 <= options.kmers <= max(PROTEIN_KMERS):
        raise InputError(f"probe-coding: k-mers: got {options.kmers}, wanted 1 to 3")
    labelled, skipped = coding_rows(read_label_set(labels))
    if labelled.task == MULTILABEL:
        columns = frequent_terms(labelled, options.terms, max_share=options.max_share)
        labelled = of_terms(labelled, columns)
    features = coding_features(model_names(models), labelled.transcripts, options.kmers)
    splits = make_splits(labelled, seeds=options.seeds)
    about = {"fingerprint": fingerprint(features, labelled, "homology")}
    log = RunLog(output / "runs.jsonl", about)
    results = probe(features, labelled, splits, log=log)
    write_probe(results, output)
    return results, skipped


def coding_rows(labelled: LabelSet) -> tuple[LabelSet, Counter[str]]:
    """Return the rows that code for a protein, cut to their CDS; and others, by reason."""
    kept, skipped, transcripts = [], Counter(), []
    for row, transcript in enumerate(labelled.transcripts):
        cds = transcript.sequence[transcript.cds_start : transcript.cds_end]
        if transcript.cds_start < 0:
            skipped[NO_CDS] += 1
        elif not protein_of(cds):
            skipped[NO_PROTEIN] += 1
        else:
            kept.append(row)
            cut = {"sequence": cds, "cds_start": 0, "cds_end": len(cds), "exon_junctions": None}
            transcripts.append(replace(transcript, **cut))
    if not kept:
        raise InputError(
            f"{labelled.label}: got no coding transcript of {len(labelled.transcripts)}, wanted one"
        )
    rows = np.array(kept)
    return replace(
        labelled,
        targets=np.asarray(labelled.targets)[rows],
        groups=tuple(labelled.groups[row] for row in kept),
        transcripts=tuple(transcripts),
    ), skipped


def protein_of(cds: str) -> str:
    """Return the protein of a CDS without the stop at its end; an inner stop is X."""
    return translate(cds).removesuffix("*").replace("*", "X")


def read_proteins(path: str | os.PathLike) -> tuple[list[Transcript], Counter[str]]:
    """Read proteins of a FASTA file, or of another that `read_rows` knows, for `embed_to_file`.

    Gaps and the stop at an end are left out. Returns a record of each, whose sequence is the
    protein; and what was read otherwise, by reason. A letter that is no amino acid is an
    InputError.
    """
    proteins, adjusted = [], Counter()
    for rows in read_rows(path):
        for row in rows.rows:
            letters = row.letters.rstrip("-.").removesuffix("*")
            read, bad, unknown = PROTEIN.read(letters)
            where = f"{path}:{row.line}: sequence of '{row.name}'"
            if bad is not None:
                raise InputError(f"{where}: got {bad!r}, wanted letters of {PROTEIN.name}")
            if not (sequence := without_gaps(read)):
                raise InputError(f"{where}: got none, wanted letters")
            proteins.append(Transcript(row.name, row.name, "unknown", sequence))
            if unknown:
                adjusted["letter read as X"] += unknown
    return proteins, adjusted


def coding_features(
    models: Mapping[str, str | os.PathLike], transcripts: Sequence[Transcript], kmers: int = 3
) -> dict[str, np.ndarray]:
    """Return embeddings of models, of their untrained twins, and features of letters alone.

    Transcripts are cut to their CDS. Name -> (n, width); models of one architecture have one twin.
    """
    proteins = [protein_of(transcript.sequence) for transcript in transcripts]
    trained, twins, alphabets = {}, {}, []
    for name, folder in models.items():
        encoder, tokenizer = load_model(folder)
        alphabet = encoder.config.alphabet
        sequences = proteins if alphabet == "protein" else [t.sequence for t in transcripts]
        rows = [
            tokenize(tokenizer, sequence, name=lambda t=transcript: t.transcript_id)
            for sequence, transcript in zip(sequences, transcripts, strict=True)
        ]
        trained[name] = encoder.embed(rows)
        alphabets.append(alphabet)
        architecture = (alphabet, str(encoder.config.filters), encoder.config.pooled_size)
        if architecture not in twins:
            twin = RANDOM if not twins else f"{RANDOM}, as {name}"
            twins[architecture] = twin, untrained(encoder.config, 0).embed(rows)
    features = trained | dict(twins.values())
    if "protein" in alphabets:
        features |= protein_features(proteins, kmers)
    if "rna" in alphabets:
        low, high = CDS_KMERS
        lengths = np.log1p([[len(t.sequence)] for t in transcripts])
        bases = kmer_frequencies(transcripts, 1, 1)
        features["composition + length of the CDS"] = np.hstack([bases, lengths]).astype(np.float32)
        features["codons"] = codon_frequencies(transcripts)
        features[f"k-mers {low}-{high} of the CDS"] = kmer_frequencies(transcripts, low, high)
    return features


def protein_features(proteins: Sequence[str], longest: int = 3) -> dict[str, np.ndarray]:
    """Return composition with length, float32 (n, 21), and with k-mers, (n, 21 + 400 + ...).

    Words with other letters than the 20 amino acids do not count.
    """
    lengths = np.log1p([[len(protein)] for protein in proteins])
    parts = []
    for k in PROTEIN_KMERS[:longest]:
        shown = progress(proteins, f"{k}-mers", unit="protein")
        parts.append(word_frequencies(shown, k, PROTEIN_LETTERS))
    composition = np.hstack([parts[0], lengths]).astype(np.float32)
    features = {"composition + length": composition}
    if longest > 1:
        together = np.hstack([composition, *parts[1:]]).astype(np.float32)
        features[f"composition + length + k-mers 2-{longest}"] = together
    return features
