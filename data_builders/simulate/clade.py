"""Simulate a small clade: genomes, annotations, homology, and half-lives with a known cause.

Real files in the formats that the builders read, for demonstrations and tests that need no
download. `evolution` describes how genes evolve.

The half-life of a gene's canonical (first) transcript, in standard deviations, is

    half_life = STRENGTH · z(Σ WEIGHTS[k] · z(signal k)) + √(1 - STRENGTH²) · ε,   ε ~ N(0, 1)

with z-scores over all labelled transcripts, so that a perfect model reaches a Pearson r of
STRENGTH. The signals are those of `half_life_signals`.
"""

import gzip
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_builders.progress import progress
from data_builders.records import InputError, Transcript
from data_builders.simulate.evolution import (
    CDS,
    LETTERS,
    MOTIFS,
    UTR5,
    Gene,
    Node,
    draw_codon_weights,
    draw_gene,
    draw_tree,
    evolve_family,
)

STRENGTH = 0.85
WEIGHTS = {
    "junction_density": 0.60,
    "codon_optimality": 0.55,
    "au_rich": -0.45,
    "pumilio": -0.40,
    "c_rich": 0.35,
}
SPECIES = tuple(
    f"{letter}_simulata"
    for letter in (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
        "sigma tau upsilon phi chi psi omega"
    ).split()
)
CODING_SHARE = 0.8
MIN_GENES = 10  # fewer make z-scores and correlations meaningless
FASTA_WIDTH = 60
# The first word of each random stream's seed; no family's depends on another's.
CLADE_STREAM, FAMILY_STREAM = 0, 1


@dataclass(frozen=True, slots=True)
class SimulatedClade:
    """What `simulate_clade` wrote.

    Attributes:
        species: names, in the order of the other tuples.
        genomes: gzipped FASTA, one file a species.
        annotations: gzipped GTF, one file a species.
        homology: table `group_id species gene_id` of all genes.
        half_life: table `species gene_id transcript_id half_life`, one row a coding gene.
        truth: JSON: tree, codon weights, motifs, weights, and mean and standard deviation of
            every signal.
        counts: groups, genes, transcripts and labels written, and what happened in evolution,
            refusals with their reason.
    """

    species: tuple[str, ...]
    genomes: tuple[Path, ...]
    annotations: tuple[Path, ...]
    homology: Path
    half_life: Path
    truth: Path
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class _PlacedGene:
    family: int
    gene_id: str
    gene: Gene
    strand: str
    spacer: np.ndarray  # bases between this gene and the one before
    noise: float  # of its half-life


def simulate_clade(
    output: str | os.PathLike,
    *,
    species: int = 3,
    genes: int = 420,
    seed: int = 0,
    chromosomes: int = 4,
    divergence: float = 0.25,
) -> SimulatedClade:
    """Simulate a clade and write its files, the same to the byte for the same arguments.

    More genes leave the sequences of the first ones as they are; half-lives shift, because
    signals are z-scored over the clade.

    Args:
        output: folder to write into; made when it is missing.
        species: how many, 1 to 24.
        genes: genes of the common ancestor, at least 10; each founds a homology group.
        seed: non-negative.
        chromosomes: per species, at least 1; a homology group stays on one of them.
        divergence: expected substitutions per neutral site from the root to each species,
            at most 1.

    Raises:
        InputError: an argument is out of its range.
    """
    _check("species", species, 1, len(SPECIES))
    _check("genes", genes, MIN_GENES)
    _check("seed", seed, 0)
    _check("chromosomes", chromosomes, 1)
    _check("divergence", divergence, 0, 1)

    clade_rng = np.random.default_rng([CLADE_STREAM, seed])
    codon_weights = draw_codon_weights(clade_rng)
    names = SPECIES[:species]
    tree = draw_tree(names, divergence, clade_rng)
    counts: Counter[str] = Counter()
    placed = _evolve_clade(tree, names, genes, seed, codon_weights, counts)
    labels, scale = _labels(placed, codon_weights)

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    clade = SimulatedClade(
        species=names,
        genomes=tuple(folder / f"{name}.fa.gz" for name in names),
        annotations=tuple(folder / f"{name}.gtf.gz" for name in names),
        homology=folder / "homology.tsv",
        half_life=folder / "half_life.tsv",
        truth=folder / "truth.json",
        counts=counts,
    )
    for name, genome, annotation in zip(names, clade.genomes, clade.annotations, strict=True):
        _write_species(name, placed[name], chromosomes, genome, annotation)
    everything = sorted(
        ((name, one) for name in names for one in placed[name]), key=lambda pair: pair[1].family
    )
    homology = [(f"family_{one.family:05d}", name, one.gene_id) for name, one in everything]
    _write_table(clade.homology, ("group_id", "species", "gene_id"), homology)
    columns = ("species", "gene_id", "transcript_id", "half_life")
    _write_table(clade.half_life, columns, labels)
    truth = {
        "seed": seed,
        "tree": tree.newick() + ";",
        "half_life": "strength * z(sum of weight * z(signal)) + sqrt(1 - strength^2) * noise",
        "strength": STRENGTH,
        "signals": {
            signal: {"weight": weight, "mean": mean, "sd": sd}
            for (signal, weight), (mean, sd) in zip(WEIGHTS.items(), scale, strict=True)
        },
        "motifs": MOTIFS,
        "codon_weights": _by_codon(codon_weights),
    }
    clade.truth.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8", newline="\n")
    counts["groups"] = len({one.family for _, one in everything})
    counts["genes"] = len(everything)
    counts["transcripts"] = sum(len(one.gene.isoforms) for _, one in everything)
    counts["labels"] = len(labels)
    return clade


def half_life_signals(
    transcript: Transcript, codon_weights: Mapping[str, float]
) -> dict[str, float]:
    """Return what the half-life of a coding transcript depends on.

    `junction_density` is exon junctions inside the CDS per kb of CDS, `codon_optimality` the mean
    weight of the CDS's codons, the stop codon left out, and `au_rich`, `pumilio` and `c_rich` are
    copies of a motif in the 3'UTR, overlapping ones counted each.
    """
    start, end = transcript.cds_start, transcript.cds_end
    inside = sum(start < junction < end for junction in transcript.exon_junctions or ())
    sequence = transcript.sequence
    codons = [codon_weights[sequence[i : i + 3]] for i in range(start, end - 3, 3)]
    return {
        "junction_density": 1000 * inside / (end - start),
        "codon_optimality": sum(codons) / len(codons),
        **{name: len(re.findall(f"(?={m})", sequence[end:])) for name, m in MOTIFS.items()},
    }


def _check(name: str, got: float, low: float, high: float = np.inf) -> None:
    if not low <= got <= high:
        expected = f"at least {low}" if high == np.inf else f"{low} to {high}"
        raise InputError(f"{name}: got {got}, expected {expected}")


def _evolve_clade(
    tree: Node,
    names: Iterable[str],
    genes: int,
    seed: int,
    codon_weights: np.ndarray,
    counts: Counter[str],
) -> dict[str, list[_PlacedGene]]:
    """Return genes by species, both in order; add to `counts` what happened."""
    placed: dict[str, list[_PlacedGene]] = {name: [] for name in names}
    for family in progress(range(genes), "simulating", unit="family"):
        rng = np.random.default_rng([FAMILY_STREAM, seed, family])
        ancestor = draw_gene(rng, codon_weights, CODING_SHARE)
        strand = "+-"[rng.integers(2)]
        for name, copies in evolve_family(tree, ancestor, rng, counts).items():
            for number, gene in enumerate(copies, start=1):
                gene_id = f"{name.split('_')[0]}_g{family:05d}_{number}"
                spacer = rng.integers(0, 4, rng.integers(100, 400), np.uint8)
                noise = rng.normal()
                placed[name].append(_PlacedGene(family, gene_id, gene, strand, spacer, noise))
    return placed


def _labels(
    placed: Mapping[str, list[_PlacedGene]], codon_weights: np.ndarray
) -> tuple[list[tuple[str, str, str, str]], list[tuple[float, float]]]:
    """Return rows of the half-life table, and mean and standard deviation of every signal."""
    labelled = [
        (one, transcript)
        for name, genes in placed.items()
        for one in genes
        if (transcript := _transcript(one, 0, name)).cds_end > 0
    ]
    weights = _by_codon(codon_weights)
    signals = [half_life_signals(transcript, weights) for _, transcript in labelled]
    values = np.array([[one[signal] for signal in WEIGHTS] for one in signals])
    mean, sd = values.mean(axis=0), values.std(axis=0)
    # A motif that no transcript of a tiny clade holds has no spread, and no effect.
    z = (values - mean) / np.where(sd > 0, sd, 1)
    signal = z @ np.array(list(WEIGHTS.values()))
    noise = np.array([one.noise for one, _ in labelled])
    half_lives = STRENGTH * (signal - signal.mean()) / signal.std()
    half_lives += np.sqrt(1 - STRENGTH**2) * noise
    rows = [
        (one.species, one.gene_id, one.transcript_id, f"{half_life:.4f}")
        for (_, one), half_life in zip(labelled, half_lives, strict=True)
    ]
    return rows, list(zip(mean.round(6).tolist(), sd.round(6).tolist(), strict=True))


def _by_codon(weights: np.ndarray) -> dict[str, float]:
    codons = map("".join, itertools.product("ACGT", repeat=3))
    return dict(zip(codons, weights.round(6).tolist(), strict=True))


def _transcript(placed: _PlacedGene, number: int, species: str) -> Transcript:
    gene, isoform = placed.gene, placed.gene.isoforms[number]
    exons = gene.exons(isoform)
    sizes = np.diff(gene.cuts)
    before, coding = (
        sum(
            int(size)
            for size, segment, included in zip(sizes, gene.segments, isoform, strict=True)
            if included and segment.region == region
        )
        for region in (UTR5, CDS)
    )
    sequence = np.concatenate([gene.bases[start:end] for start, end in exons])
    return Transcript(
        transcript_id=f"{placed.gene_id}_t{number + 1}",
        gene_id=placed.gene_id,
        species=species,
        sequence=LETTERS[sequence].tobytes().decode(),
        cds_start=before if coding else -1,
        cds_end=before + coding if coding else -1,
        exon_junctions=tuple(np.cumsum([end - start for start, end in exons])[:-1].tolist()),
    )


def _write_species(
    name: str, placed: list[_PlacedGene], chromosomes: int, genome: Path, annotation: Path
) -> None:
    fasta, gtf = [], [f"#!genome-build {name}"]
    for chromosome in range(chromosomes):
        here = [one for one in placed if one.family % chromosomes == chromosome]
        if not here:
            continue
        parts, length = [], 0
        for one in here:
            parts.append(one.spacer)
            length += len(one.spacer)
            gtf += _gtf_lines(one, name, str(chromosome + 1), length)
            bases = one.gene.bases
            parts.append(bases if one.strand == "+" else 3 - bases[::-1])
            length += len(bases)
        sequence = LETTERS[np.concatenate(parts)].tobytes().decode()
        fasta.append(f">{chromosome + 1} {name} chromosome {chromosome + 1}")
        fasta += [sequence[i : i + FASTA_WIDTH] for i in range(0, length, FASTA_WIDTH)]
    _write_gzip(genome, fasta)
    _write_gzip(annotation, gtf)


def _gtf_lines(placed: _PlacedGene, species: str, chromosome: str, offset: int) -> Iterator[str]:
    """Yield the lines of one gene that begins `offset` bases into its chromosome."""
    gene = placed.gene

    def line(feature: str, start: int, end: int, frame: str, attributes: dict[str, str]) -> str:
        if placed.strand == "-":
            start, end = len(gene.bases) - end, len(gene.bases) - start
        columns = [chromosome, "simulated", feature, str(offset + start + 1), str(offset + end)]
        pairs = "; ".join(f'{key} "{value}"' for key, value in attributes.items())
        return "\t".join([*columns, ".", placed.strand, frame, pairs + ";"])

    coding = any(segment.region == CDS for segment in gene.segments)
    biotype = "protein_coding" if coding else "lncRNA"
    of_gene = {"gene_id": placed.gene_id, "gene_biotype": biotype}
    isoforms = [gene.exons(isoform) for isoform in gene.isoforms]
    start = min(exons[0][0] for exons in isoforms)
    end = max(exons[-1][1] for exons in isoforms)
    yield line("gene", start, end, ".", of_gene)
    for number, exons in enumerate(isoforms):
        transcript = _transcript(placed, number, species)
        ids = {"gene_id": placed.gene_id, "transcript_id": transcript.transcript_id}
        biotypes = {"gene_biotype": biotype, "transcript_biotype": biotype}
        yield line("transcript", exons[0][0], exons[-1][1], ".", ids | biotypes)
        first, last = transcript.cds_start, transcript.cds_end
        features = [("exon", 0, len(transcript.sequence))]
        if coding:
            features.append(("CDS", first, last - 3))
            features.append(("start_codon", first, first + 3))
            features.append(("stop_codon", last - 3, last))
        for feature, begin, finish in features:
            for exon_number, start, end, before in _exon_parts(exons, begin, finish):
                frame = "." if feature == "exon" else str(-before % 3)
                attributes = ids | {"exon_number": str(exon_number)} | biotypes
                yield line(feature, start, end, frame, attributes)


def _exon_parts(
    exons: list[tuple[int, int]], begin: int, finish: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield the parts of exons that are begin..finish on the spliced transcript.

    Each is the exon's number from 1, start and end on the gene, and the bases since `begin`.
    """
    spliced = 0
    for number, (start, end) in enumerate(exons, start=1):
        low, high = max(begin - spliced, 0), min(finish - spliced, end - start)
        if low < high:
            yield number, start + low, start + high, spliced + low - begin
        spliced += end - start


def _write_gzip(path: Path, lines: Iterable[str]) -> None:
    # No name and no time in the header: equal content makes equal files.
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        packed.write("".join(f"{line}\n" for line in lines).encode())


def _write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    lines = ["\t".join(row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
