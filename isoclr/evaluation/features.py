"""Baselines: what a transcript tells without a trained model, as plain numbers.

Every function takes n transcripts and returns an array of n rows, finite everywhere.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import product

import numpy as np

from data_builders.homology.alphabets import translate
from data_builders.records import InputError, Transcript
from isoclr.progress import progress
from modeling_isoclr.sites_isoclr import (
    AU_RICH,
    FROM_JUNCTION,
    FROM_STOP,
    LETTERS,
    M6A,
    M6A_CORE,
    OF_UTR,
    PUMILIO,
    SITE_NUMBERS,
)

STRUCTURE_FEATURES = (
    "log1p transcript length",
    "log1p CDS length",
    "log1p 5'UTR length",
    "log1p 3'UTR length",
    "log1p junctions",
    "junctions in the CDS per kb of CDS",
    "exon structure known",
)
CODONS = tuple(map("".join, product("ACGT", repeat=3)))
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

# Looking ahead, so that sites that overlap are all found.
_M6A, _M6A_CORE, _AU_RICH, _PUMILIO = (
    re.compile("(?=" + "".join(f"[{LETTERS[letter]}]" for letter in motif) + ")")
    for motif in (M6A, M6A_CORE, AU_RICH, PUMILIO)
)
_INVALID = 255
_CODE_OF_BYTE = np.full(256, _INVALID, np.uint8)
_CODE_OF_BYTE[np.frombuffer(b"ACGTN", np.uint8)] = np.arange(5)
# Stop codons and X are no residue.
_CODE_OF_RESIDUE = np.full(256, len(AMINO_ACIDS), np.uint8)
_CODE_OF_RESIDUE[np.frombuffer(AMINO_ACIDS.encode(), np.uint8)] = np.arange(len(AMINO_ACIDS))


class Lazy:
    """Features (n, width) that are made when a predictor first asks for rows."""

    def __init__(self, make: Callable[[], np.ndarray]):
        self._make = make

    @cached_property
    def _matrix(self) -> np.ndarray:
        return self._make()

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._matrix[rows]


def kmer_frequencies(
    transcripts: Sequence[Transcript], k_min: int, k_max: int, *, show: bool = True
) -> np.ndarray:
    """Return the frequencies of the overlapping k-mers of the whole transcript.

    The composition control of mRNABench's probing protocol, as frequencies rather than counts:
    length has its own features.

    Args:
        transcripts: n of them.
        k_min: the shortest k-mers, at least 1.
        k_max: the longest k-mers.
        show: whether a bar is shown.

    Returns:
        float32 (n, 4**k_min + ... + 4**k_max), by k, then in the order of the alphabet. The columns
        of one k sum to 1 in each row, or to 0 when the transcript has no k-mer without N.

    Raises:
        InputError: a sequence has a letter other than A C G T N.
    """
    sizes = range(k_min, k_max + 1)
    frequencies = np.empty((len(transcripts), sum(4**k for k in sizes)), np.float32)
    rows = progress(transcripts, "k-mers", unit="transcript", show=show)
    for row, transcript in zip(frequencies, rows, strict=True):
        codes = base_codes(transcript)
        row[:] = np.concatenate([_word_frequencies(codes, k) for k in sizes])
    return frequencies


def codon_frequencies(transcripts: Sequence[Transcript]) -> np.ndarray:
    """Return the frequencies of the codons of the CDS, stop codon included, in its frame.

    Codon content is among the strongest known determinants of mRNA half-life (Agarwal & Kelley
    2022, whose linear models use it). float32 (n, 64) in the order of `CODONS`: a row sums to 1, or
    to 0 without a CDS. A codon with N and an incomplete last codon do not count.
    """
    frequencies = np.zeros((len(transcripts), len(CODONS)), np.float32)
    for row, transcript in zip(frequencies, transcripts, strict=True):
        if transcript.cds_start >= 0:
            cds = base_codes(transcript)[transcript.cds_start : transcript.cds_end]
            row[:] = _word_frequencies(cds, 3, step=3)
    return frequencies


def residue_pair_frequencies(transcripts: Sequence[Transcript]) -> np.ndarray:
    """Return the frequencies of neighbouring residues in the protein of the CDS.

    float32 (n, 400) in the order of `AMINO_ACIDS`, first residue first: a row sums to 1, or to 0
    without a CDS. A pair with a stop codon, or with a codon that has N, does not count.
    """
    letters = len(AMINO_ACIDS)
    frequencies = np.zeros((len(transcripts), letters**2), np.float32)
    for row, transcript in zip(frequencies, transcripts, strict=True):
        if transcript.cds_start >= 0:
            protein = translate(transcript.sequence[transcript.cds_start : transcript.cds_end])
            codes = _CODE_OF_RESIDUE[np.frombuffer(protein.encode("ascii"), np.uint8)]
            row[:] = _word_frequencies(codes, 2, letters=letters)
    return frequencies


def structure_features(transcripts: Sequence[Transcript]) -> np.ndarray:
    """Return lengths of the transcript and its regions, and how it was spliced; no sequence.

    float32 (n, 7) in the order of `STRUCTURE_FEATURES`, lengths in nt. Without a CDS the lengths of
    CDS and UTRs are 0. Exon junctions per length of the CDS have long been known to go with
    half-life (Sharova et al. 2009; Spies et al. 2013; Agarwal & Kelley 2022). An unknown exon
    structure has 0 in both junction columns; the last column tells it from a single exon, and is
    constant, hence without effect, where every structure is known.
    """
    features = np.empty((len(transcripts), len(STRUCTURE_FEATURES)), np.float32)
    for row, transcript in zip(features, transcripts, strict=True):
        length, start, end = len(transcript.sequence), transcript.cds_start, transcript.cds_end
        regions = (length, end - start, start, length - end) if start >= 0 else (length, 0, 0, 0)
        junctions = transcript.exon_junctions or ()
        in_cds = sum(start < junction < end for junction in junctions)
        row[:4] = np.log1p(regions)
        row[4] = np.log1p(len(junctions))
        row[5] = 1000 * in_cds / max(regions[1], 1)
        row[6] = transcript.exon_junctions is not None
    return features


def site_features(transcripts: Sequence[Transcript]) -> np.ndarray:
    """Return how many sites of decay there are, and where, as modeling_isoclr/sites_isoclr.py has.

    float32 (n, 9): log(1 + count) of the core of m6A's motif (GGAC) over 100, 200 and 400 nt from
    any exon junction; within 300 nt of the end of the CDS, of the motif (DRACH), of those over 100
    nt from any junction, and of such cores; of AU-rich (ATTTA) and of Pumilio elements (TGTAHATA)
    in the 3'UTR; and AU-rich elements for 100 nt of the 3'UTR, which counts as 100 nt longer. The
    last six are 0 without a CDS.
    """
    features = np.zeros((len(transcripts), SITE_NUMBERS), np.float32)
    for row, transcript in zip(features, transcripts, strict=True):
        sequence, end = transcript.sequence, transcript.cds_end
        junctions = np.array(transcript.exon_junctions or ())[:, None]
        motif, core = (
            np.array([found.start() + 2 for found in pattern.finditer(sequence)], int)
            for pattern in (_M6A, _M6A_CORE)
        )
        # Of the two bases at a junction, the first of the next exon gives its place.
        away = [
            [((at < junctions - nt) | (at >= junctions + nt)).all(0) for nt in FROM_JUNCTION]
            for at in (motif, core)
        ]
        counts = [float(each.sum()) for each in away[1]] + 5 * [0.0]
        density = 0.0
        if transcript.cds_start >= 0:
            near = [abs(at - end) < FROM_STOP for at in (motif, core)]
            counts[3:6] = near[0].sum(), (near[0] & away[0][0]).sum(), (near[1] & away[1][0]).sum()
            counts[6:] = (len(found.findall(sequence, end)) for found in (_AU_RICH, _PUMILIO))
            density = 100 * counts[6] / (len(sequence) - end + OF_UTR)
        row[:] = *np.log1p(counts), density
    return features


def base_codes(transcript: Transcript) -> np.ndarray:
    """A C G T as 0 1 2 3 and N as 4: uint8 (length,)."""
    codes = _CODE_OF_BYTE[np.frombuffer(transcript.sequence.encode("latin-1", "replace"), np.uint8)]
    wrong = np.flatnonzero(codes == _INVALID)
    if len(wrong):
        raise InputError(
            f"transcript '{transcript.transcript_id}': position {wrong[0]}: "
            f"got {transcript.sequence[wrong[0]]!r}, wanted A, C, G, T or N"
        )
    return codes


def _word_frequencies(codes: np.ndarray, k: int, step: int = 1, letters: int = 4) -> np.ndarray:
    """Return the frequencies of the words of k known letters, one every `step`: (letters**k,)."""
    count = max((len(codes) - k) // step + 1, 0)
    words = np.zeros(count, np.int64)
    whole = np.ones(count, bool)
    for offset in range(k):
        here = codes[offset::step][:count]
        words = letters * words + here
        whole &= here < letters
    words = words[whole]
    return np.bincount(words, minlength=letters**k) / max(len(words), 1)
