"""Genes that evolve along a tree: their birth, mutation, duplication and loss.

A gene is its unspliced sequence, 5'→3' on its own strand, cut into segments: introns, and exonic
parts that belong to one region (5'UTR, CDS, 3'UTR, or non-coding). An isoform says which segments
it includes; neighbours that are both included make one exon. Coordinates are 0-based, half-open,
on the unspliced gene. Bases are 0 1 2 3 for A C G T.

Every isoform of a coding gene is coding: alternative parts of the CDS are whole numbers of codons
long and hold neither the start nor the stop codon, so all isoforms read the same frame. An isoform
whose junctions would spell a premature stop is never made.

Branch lengths are expected substitutions per neutral site.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

LETTERS = np.frombuffer(b"ACGT", np.uint8)
# The standard genetic code, codons in the order AAA AAC AAG AAT ACA ...
AMINO_ACIDS = np.frombuffer(
    b"KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF", np.uint8
)
SENSE = np.flatnonzero(AMINO_ACIDS != ord("*"))
STOPS = ("TAA", "TAG", "TGA")
# Elements of the 3'UTR that set the half-life: AU-rich, Pumilio-like, C-rich.
MOTIFS = {"au_rich": "ATTTA", "pumilio": "TGTAAATA", "c_rich": "CCCTCC"}

UTR5, CDS, UTR3, NONCODING, INTRON = "utr5", "cds", "utr3", "noncoding", "intron"
START, END, SKIP, DONOR, ACCEPTOR = "start", "end", "skip", "donor", "acceptor"

KAPPA = 4.0  # transition rate / transversion rate of one kind
SUBSTITUTION_RATE = {UTR5: 0.5, CDS: 1.0, UTR3: 0.4, NONCODING: 0.5, INTRON: 1.0}
INDEL_RATE = {UTR5: 0.04, CDS: 0.01, UTR3: 0.04, NONCODING: 0.05, INTRON: 0.1}
INDEL_MARGIN = 6  # bases at both ends of a segment that no indel touches
DUPLICATION_RATE, LOSS_RATE = 0.3, 0.12  # per gene
INTRON_LOSS_RATE = 0.8  # per intron
ISOFORM_GAIN_RATE, ISOFORM_LOSS_RATE = 0.8, 0.6  # per gene
MOTIF_GAIN_RATE = 0.8  # as a share of the copies at birth
MAX_ISOFORMS = 6


class Segment(NamedTuple):
    """A part of a gene that every isoform includes or leaves out as a whole.

    Attributes:
        region: utr5, cds, utr3, noncoding or intron.
        event: empty when all isoforms treat it alike, else how they differ in it: start or end of
            transcription, skip (of an exon), donor or acceptor.
    """

    region: str
    event: str


@dataclass(frozen=True, slots=True)
class Gene:
    """One gene of one species.

    Attributes:
        bases: (length,) uint8.
        cuts: (segments + 1,) where segments begin; the last is the length.
        segments: what lies between the cuts.
        isoforms: (isoforms, segments) whether an isoform includes a segment; the first isoform is
            the canonical one.
        omega: probability that a changed amino acid survives selection.
        motif_rates: expected copies of each of MOTIFS at birth.
    """

    bases: np.ndarray
    cuts: np.ndarray
    segments: tuple[Segment, ...]
    isoforms: tuple[tuple[bool, ...], ...]
    omega: float
    motif_rates: tuple[float, ...]

    def exons(self, isoform: Iterable[bool]) -> list[tuple[int, int]]:
        """Return the exons of an isoform, 5'→3'."""
        exons: list[tuple[int, int]] = []
        for i, included in enumerate(isoform):
            start, end = int(self.cuts[i]), int(self.cuts[i + 1])
            if included and exons and exons[-1][1] == start:
                exons[-1] = (exons[-1][0], end)
            elif included:
                exons.append((start, end))
        return exons

    def codons(self, isoform: Iterable[bool] | None = None) -> np.ndarray:
        """Return (codons, 3) positions of an isoform's CDS, or of every coding base."""
        chosen = [True] * len(self.segments) if isoform is None else isoform
        parts = [
            np.arange(self.cuts[i], self.cuts[i + 1])
            for i, (segment, included) in enumerate(zip(self.segments, chosen, strict=True))
            if included and segment.region == CDS
        ]
        return np.concatenate(parts or [np.arange(0)]).reshape(-1, 3)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a species tree with the branch above it."""

    name: str
    length: float
    children: tuple["Node", ...] = ()

    def newick(self) -> str:
        """Return the subtree in Newick format, without the final semicolon."""
        inner = f"({','.join(child.newick() for child in self.children)})" if self.children else ""
        return f"{inner}{self.name}:{self.length:.6g}"


def draw_tree(names: Iterable[str], depth: float, rng: np.random.Generator) -> Node:
    """Return the root of a random ultrametric tree whose nodes are evenly spaced in time.

    `depth` is the branch length from the root, which has no branch above it, to every species. Of
    one species it has that one child.
    """
    lineages: list[tuple[str, float, tuple[Node, ...]]] = [(name, 0.0, ()) for name in names]
    merges = len(lineages) - 1
    for merge in range(1, merges + 1):
        height = depth * merge / merges
        pair = sorted(rng.choice(len(lineages), 2, replace=False), reverse=True)
        children = []
        for name, below, grandchildren in [lineages.pop(i) for i in pair]:
            children.append(Node(name, height - below, grandchildren))
        lineages.append(("", height, tuple(reversed(children))))
    name, _, children = lineages[0]
    return Node("", 0.0, children or (Node(name, depth),))


def draw_codon_weights(rng: np.random.Generator) -> np.ndarray:
    """Return (64,) codon optimality, evenly spaced from -1 to 1 in random order among synonyms.

    Codons without synonyms, and stop codons, weigh 0.
    """
    weights = np.zeros(64)
    for amino_acid in np.unique(AMINO_ACIDS[SENSE]):
        synonyms = np.flatnonzero(AMINO_ACIDS == amino_acid)
        if synonyms.size > 1:
            weights[synonyms] = rng.permutation(np.linspace(-1, 1, synonyms.size))
    return weights


def draw_gene(rng: np.random.Generator, codon_weights: np.ndarray, coding_share: float) -> Gene:
    """Return a gene of the clade's last common ancestor.

    The family's codon usage leans to the heavy or to the light ones of `codon_weights`, (64,).
    """
    coding = rng.random() < coding_share
    parts = _coding_parts(rng) if coding else _noncoding_parts(rng)
    segments = tuple(segment for segment, _ in parts)
    cuts = np.cumsum([0, *(length for _, length in parts)])
    gc = rng.uniform(0.38, 0.55)
    bases = rng.choice(4, cuts[-1], p=np.array([1 - gc, gc, gc, 1 - gc]) / 2).astype(np.uint8)
    gene = Gene(
        bases=bases,
        cuts=cuts,
        segments=segments,
        isoforms=_draw_isoforms(segments, rng),
        omega=rng.uniform(0.05, 0.25),
        motif_rates=tuple(rng.gamma(0.8, 1.8, len(MOTIFS))) if coding else (0.0,) * len(MOTIFS),
    )
    codons = gene.codons()
    bases[codons] = _codon_bases(_draw_codons(len(codons), codon_weights, rng))
    stop = STOPS[rng.integers(len(STOPS))]
    fixed = np.zeros(len(bases), bool)
    for start, letters in _anchors(gene, stop):
        bases[start : start + len(letters)] = _bases(letters)
        fixed[start : start + len(letters)] = True
    while (stops := _premature_stops(gene, bases)).size:
        free = stops[~fixed[stops]]
        bases[free] = rng.integers(0, 4, free.size)
    return _plant_motifs(gene, 1.0, rng)


def evolve_family(
    root: Node, ancestor: Gene, rng: np.random.Generator, events: Counter[str]
) -> dict[str, list[Gene]]:
    """Return the ancestor's descendants in every species that kept any; count events by kind.

    A duplicate is made at the top of a branch; from then on both copies evolve on their own.
    """
    species: dict[str, list[Gene]] = {}
    pending = [(root, [ancestor])]
    while pending:
        node, genes = pending.pop()
        if not node.children and genes:
            species[node.name] = genes
        for child in node.children:
            pending.append((child, _descend(genes, child.length, rng, events)))
    return species


def _descend(
    genes: list[Gene], length: float, rng: np.random.Generator, events: Counter[str]
) -> list[Gene]:
    descendants = []
    for gene in genes:
        if _happens(LOSS_RATE * length, rng):
            events["gene lost"] += 1
            continue
        copies = 1
        if _happens(DUPLICATION_RATE * length, rng):
            events["gene duplicated"] += 1
            copies = 2
        for _ in range(copies):
            copy = _substitute(gene, length, rng)
            copy = _insert_and_delete(copy, length, rng, events)
            copy = _lose_introns(copy, length, rng, events)
            copy = _plant_motifs(copy, MOTIF_GAIN_RATE * length, rng)
            descendants.append(_turn_over_isoforms(copy, length, rng, events))
    return descendants


def _happens(expected: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < -np.expm1(-expected))


def _bases(letters: str) -> np.ndarray:
    return np.searchsorted(LETTERS, np.frombuffer(letters.encode(), np.uint8)).astype(np.uint8)


def _codon_bases(codons: np.ndarray) -> np.ndarray:
    """Return the (n, 3) bases of (n,) codon numbers."""
    return np.stack([codons >> 4, codons >> 2 & 3, codons & 3], axis=1).astype(np.uint8)


def _codon_numbers(bases: np.ndarray) -> np.ndarray:
    """Return the (n,) codon numbers of (n, 3) bases."""
    return bases @ np.array([16, 4, 1])


def _integer(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high))


def _coding_parts(rng: np.random.Generator) -> list[tuple[Segment, int]]:
    parts = _transcript_end(START, UTR5, rng)
    parts.append((Segment(UTR5, ""), _integer(rng, 40, 110)))
    if rng.random() < 0.3:
        parts.append(_intron(rng))
        if rng.random() < 0.5:
            parts += [(Segment(UTR5, SKIP), _integer(rng, 30, 80)), _intron(rng)]
        parts.append((Segment(UTR5, ""), _integer(rng, 20, 50)))
    coding = _exon_chain(CDS, 3 * _integer(rng, 80, 200), _integer(rng, 1, 8), 3, rng)
    length = sum(n for segment, n in coding if segment.region == CDS)
    # The last part is never alternative: it may take what completes the last codon.
    coding[-1] = (coding[-1][0], coding[-1][1] + -length % 3)
    parts += [*coding, (Segment(UTR3, ""), _integer(rng, 90, 240))]
    return parts + _transcript_end(END, UTR3, rng)


def _noncoding_parts(rng: np.random.Generator) -> list[tuple[Segment, int]]:
    exons = _exon_chain(NONCODING, _integer(rng, 300, 800), _integer(rng, 1, 6), 1, rng)
    return [
        *_transcript_end(START, NONCODING, rng),
        *exons,
        *_transcript_end(END, NONCODING, rng),
    ]


def _transcript_end(event: str, region: str, rng: np.random.Generator) -> list[tuple[Segment, int]]:
    return [(Segment(region, event), _integer(rng, 20, 90))] if rng.random() < 0.45 else []


def _intron(rng: np.random.Generator) -> tuple[Segment, int]:
    return Segment(INTRON, ""), _integer(rng, 60, 200)


def _extension(unit: int, rng: np.random.Generator) -> int:
    return unit * _integer(rng, 12 // unit, 36 // unit)


def _exon_chain(
    region: str, length: int, exons: int, unit: int, rng: np.random.Generator
) -> list[tuple[Segment, int]]:
    """Return exons and the introns between them; alternative parts are multiples of `unit` long."""
    sizes = 30 + rng.multinomial(length - 30 * exons, rng.dirichlet(np.full(exons, 3.0)))
    parts: list[tuple[Segment, int]] = []
    for i, size in enumerate(sizes):
        first, last = i == 0, i == exons - 1
        if not first and not last and rng.random() < 0.35:
            parts.append((Segment(region, SKIP), size - size % unit))
        else:
            if not first and rng.random() < 0.25:
                parts.append((Segment(region, ACCEPTOR), _extension(unit, rng)))
            parts.append((Segment(region, ""), size))
            if not last and rng.random() < 0.25:
                parts.append((Segment(region, DONOR), _extension(unit, rng)))
        if not last:
            parts.append(_intron(rng))
    return parts


def _draw_isoforms(
    segments: tuple[Segment, ...], rng: np.random.Generator
) -> tuple[tuple[bool, ...], ...]:
    isoforms = [_draw_isoform(segments, 0.8, rng)]
    # Attempts are limited because a gene with few alternatives has few isoforms.
    for _ in range(rng.binomial(7, 0.5)):
        isoform = _draw_isoform(segments, 0.5, rng)
        if isoform not in isoforms and len(isoforms) < MAX_ISOFORMS:
            isoforms.append(isoform)
    return tuple(isoforms)


def _draw_isoform(
    segments: tuple[Segment, ...], included: float, rng: np.random.Generator
) -> tuple[bool, ...]:
    return tuple(
        segment.region != INTRON and (not segment.event or bool(rng.random() < included))
        for segment in segments
    )


def _draw_codons(count: int, codon_weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    usage = np.exp(rng.normal() * codon_weights)
    amino_acids = np.unique(AMINO_ACIDS[SENSE])
    probability = np.zeros(64)
    for amino_acid, share in zip(amino_acids, rng.dirichlet(np.full(20, 6.0)), strict=True):
        synonyms = AMINO_ACIDS == amino_acid
        probability[synonyms] = share * usage[synonyms] / usage[synonyms].sum()
    return rng.choice(64, count, p=probability)


def _anchors(gene: Gene, stop: str = STOPS[0]) -> list[tuple[int, str]]:
    """Return bases that never change, (position, letters): splice sites, start and stop codon."""
    anchors = []
    coding = [i for i, segment in enumerate(gene.segments) if segment.region == CDS]
    if coding:
        anchors += [(gene.cuts[coding[0]], "ATG"), (gene.cuts[coding[-1] + 1] - 3, stop)]
    for i, (region, event) in enumerate(gene.segments):
        # What one isoform keeps of an alternative donor is where another's intron begins.
        if region == INTRON or event == DONOR:
            anchors.append((gene.cuts[i], "GT"))
        if region == INTRON or event == ACCEPTOR:
            anchors.append((gene.cuts[i + 1] - 2, "AG"))
    return anchors


def _premature_stops(gene: Gene, bases: np.ndarray) -> np.ndarray:
    """Return (n, 3) positions of codons that would end an isoform, or the CDS, too early."""
    frames = [gene.codons(isoform)[:-1] for isoform in (None, *gene.isoforms)]
    codons = np.concatenate(frames)
    return codons[AMINO_ACIDS[_codon_numbers(bases[codons])] == ord("*")]


def _substitute(gene: Gene, length: float, rng: np.random.Generator) -> Gene:
    """Substitute by Kimura's two-parameter model (1980), then selection on the protein."""
    rates = np.repeat([SUBSTITUTION_RATE[s.region] for s in gene.segments], np.diff(gene.cuts))
    for start, letters in _anchors(gene):
        rates[start : start + len(letters)] = 0.0
    beta = rates * length / (KAPPA + 2)
    transition = 0.25 + 0.25 * np.exp(-4 * beta) - 0.5 * np.exp(-2 * (KAPPA + 1) * beta)
    transversion = 0.5 - 0.5 * np.exp(-4 * beta)
    draw = rng.random(len(rates))
    # With A C G T as 0 1 2 3, xor 2 is the transition, xor 1 and xor 3 are the transversions.
    flip = np.where(draw < transition, 2, 0)
    flip[draw >= 1 - transversion] = 1
    flip[draw >= 1 - transversion / 2] = 3
    bases = gene.bases ^ flip.astype(np.uint8)

    codons = gene.codons()
    amino_acids = [AMINO_ACIDS[_codon_numbers(b[codons])] for b in (gene.bases, bases)]
    rejected = (amino_acids[0] != amino_acids[1]) & (rng.random(len(codons)) >= gene.omega)
    bases[codons[rejected]] = gene.bases[codons[rejected]]
    # Ends, because each stop holds a new base and the parent has no stop.
    while (stops := _premature_stops(gene, bases)).size:
        bases[stops] = gene.bases[stops]
    return replace(gene, bases=bases)


def _insert_and_delete(
    gene: Gene, length: float, rng: np.random.Generator, events: Counter[str]
) -> Gene:
    bases, cuts = gene.bases, gene.cuts.copy()
    coding_before = 0
    for i, segment in enumerate(gene.segments):
        coding = segment.region == CDS
        expected = INDEL_RATE[segment.region] * length * (cuts[i + 1] - cuts[i])
        for _ in range(rng.poisson(expected)):
            start = rng.integers(cuts[i], cuts[i + 1])
            size = rng.geometric(0.4)
            insertion = rng.random() < 0.5
            if coding:  # whole codons, between codons
                start -= (coding_before + start - cuts[i]) % 3
                size *= 3
            touched_end = start if insertion else start + size
            if start < cuts[i] + INDEL_MARGIN or touched_end > cuts[i + 1] - INDEL_MARGIN:
                events["indel refused: too near a segment's end"] += 1
                continue
            if insertion:
                if coding:
                    new = _codon_bases(rng.choice(SENSE, size // 3)).ravel()
                else:
                    new = rng.integers(0, 4, size, np.uint8)
                bases = np.concatenate([bases[:start], new, bases[start:]])
            else:
                bases = np.concatenate([bases[:start], bases[touched_end:]])
            cuts[i + 1 :] += size if insertion else -size
            events["indel"] += 1
        coding_before += coding * (cuts[i + 1] - cuts[i])
    return replace(gene, bases=bases, cuts=cuts)


def _lose_introns(
    gene: Gene, length: float, rng: np.random.Generator, events: Counter[str]
) -> Gene:
    """Drop introns that no alternative needs; a lost one leaves its two exons joined."""
    lost = [
        segment.region == INTRON
        and not gene.segments[i - 1].event
        and not gene.segments[i + 1].event
        and _happens(INTRON_LOSS_RATE * length, rng)
        for i, segment in enumerate(gene.segments)
    ]
    events["intron lost"] += sum(lost)
    kept = ~np.array(lost)
    sizes = np.diff(gene.cuts)
    return replace(
        gene,
        bases=gene.bases[np.repeat(kept, sizes)],
        cuts=np.concatenate([[0], np.cumsum(sizes[kept])]),
        segments=tuple(s for s, keep in zip(gene.segments, kept, strict=True) if keep),
        isoforms=tuple(
            tuple(included for included, keep in zip(isoform, kept, strict=True) if keep)
            for isoform in gene.isoforms
        ),
    )


def _plant_motifs(gene: Gene, scale: float, rng: np.random.Generator) -> Gene:
    """Write `scale` times the family's expected copies of each motif over the 3'UTR."""
    bases = gene.bases.copy()
    room = [i for i, segment in enumerate(gene.segments) if segment.region == UTR3]
    for letters, rate in zip(MOTIFS.values(), gene.motif_rates, strict=True):
        for _ in range(rng.poisson(scale * rate)):
            i = room[rng.integers(len(room))]
            start = rng.integers(gene.cuts[i], gene.cuts[i + 1] - len(letters) + 1)
            bases[start : start + len(letters)] = _bases(letters)
    return replace(gene, bases=bases)


def _turn_over_isoforms(
    gene: Gene, length: float, rng: np.random.Generator, events: Counter[str]
) -> Gene:
    isoforms = list(gene.isoforms)
    if len(isoforms) > 1 and _happens(ISOFORM_LOSS_RATE * length, rng):
        del isoforms[rng.integers(1, len(isoforms))]  # the canonical one stays
        events["isoform lost"] += 1
    if len(isoforms) < MAX_ISOFORMS and _happens(ISOFORM_GAIN_RATE * length, rng):
        isoform = _draw_isoform(gene.segments, 0.5, rng)
        if isoform in isoforms:
            events["isoform refused: exists"] += 1
        elif _premature_stops(replace(gene, isoforms=(isoform,)), gene.bases).size:
            events["isoform refused: premature stop"] += 1
        else:
            isoforms.append(isoform)
            events["isoform gained"] += 1
    return replace(gene, isoforms=tuple(isoforms))
