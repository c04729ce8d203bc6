"""Families of coding sequences, as files, with a planted truth: what evolution keeps.

A family is a protein that evolves along a tree of eight species and is spelled in codons. It
carries the domain of one of four kinds: a stretch of sites that resembles the kind's consensus and
evolves at a tenth of the rate of the others. The kind is the label of a family: an encoder that
keeps what homologs share has reason to see it, though nothing tells it the kinds.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_builders.homology.alphabets import translate
from data_builders.records import InputError
from data_builders.simulate.evolution import Node
from data_builders.simulate.homologs import AMINO_ACIDS, evolve, simulate_families, spelled
from data_builders.simulate.homologs import substitution_model as named_model

KINDS = ("alpha", "beta", "gamma", "delta")
SITES, DOMAIN = 120, 24
CONSERVED_RATE = 0.1
LIKENESS = 0.6  # share of a domain's sites that have the letter of the consensus

_FEWEST = 40
_CODONS = tuple(a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT")


@dataclass(frozen=True)
class FamilyFiles:
    """What was written.

    Attributes:
        families: table of family, species, transcript_id, gene_id and sequence (a CDS).
        tree: of the species, Newick.
        labels: table of transcript_id, gene_id, species, sequence, cds_start, cds_end and kind,
            a row a family.
    """

    families: Path
    tree: Path
    labels: Path


def species_tree() -> Node:
    """Return a balanced tree of eight species, 0.1 to 1.3 substitutions a site apart."""

    def clade(names: list[str]) -> tuple[Node, ...]:
        if len(names) == 1:
            return ()
        half = len(names) // 2
        below = {8: 0.4, 4: 0.2, 2: 0.05}[len(names)]
        halves = names[:half], names[half:]
        return tuple(Node(part[0] if len(part) == 1 else "", below, clade(part)) for part in halves)

    return Node("", 0.0, clade([f"species_{i}" for i in range(1, 9)]))


def simulate_family_files(folder: Path, *, families: int = 600, seed: int = 0) -> FamilyFiles:
    """Write families, the tree of their species, and the kind of each.

    There are at least 40 families, so that every side of a split has every kind.
    """
    if families < _FEWEST:
        raise InputError(f"families: got {families}, wanted at least {_FEWEST}")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    model, tree = named_model("poisson"), species_tree()
    consensus = rng.integers(len(AMINO_ACIDS), size=(len(KINDS), DOMAIN))
    kinds = rng.permutation(np.arange(families) % len(KINDS))
    places = rng.integers(SITES - DOMAIN + 1, size=families)
    # A domain evolves apart from the sites around it: slower, and from the kind's consensus.
    names, around = simulate_families(model, tree, families, np.ones(SITES), rng)
    differs = rng.random((families, DOMAIN)) >= LIKENESS
    domain = np.where(differs, rng.integers(20, size=differs.shape), consensus[kinds])
    inside = _along(model, tree, domain.astype(np.uint8), rng)
    for family, place in enumerate(places):
        around[family, :, place : place + DOMAIN] = inside[:, family]
    files = FamilyFiles(folder / "families.tsv", folder / "tree.nwk", folder / "labels.tsv")
    files.tree.write_text(f"{tree.newick()};\n")
    codons = _codons()
    rows = [
        (f"family_{number}", name, f"{name}_{number}", f"gene_{name}_{number}", cds)
        for number, of_family in enumerate(around)
        for name, protein in zip(names, spelled(model, of_family), strict=True)
        if (cds := _spelled_in_codons(protein, codons, rng))
    ]
    _write(files.families, ("family", "species", "transcript_id", "gene_id", "sequence"), rows)
    header = ("transcript_id", "gene_id", "species", "sequence", "cds_start", "cds_end", "kind")
    first = rows[:: len(names)]
    labels = [
        (transcript, gene, species, cds, 0, len(cds), KINDS[kind])
        for (_, species, transcript, gene, cds), kind in zip(first, kinds, strict=True)
    ]
    _write(files.labels, header, labels)
    return files


def _along(model, node: Node, letters: np.ndarray, rng) -> np.ndarray:
    """Letters of the leaves below a node, in their order: (leaves, families, sites)."""
    if not node.children:
        return letters[None]
    rates = np.full(letters.shape[1], CONSERVED_RATE)
    return np.concatenate(
        [
            _along(model, child, evolve(model, letters, child.length, rates, rng), rng)
            for child in node.children
        ]
    )


def _codons() -> dict[str, list[str]]:
    """The codons of each amino acid."""
    found: dict[str, list[str]] = {letter: [] for letter in AMINO_ACIDS}
    for codon in _CODONS:
        if (letter := translate(codon)) in found:
            found[letter].append(codon)
    return found


def _spelled_in_codons(protein: str, codons: dict[str, list[str]], rng) -> str:
    draws = rng.random(len(protein))
    chosen = [
        codons[letter][int(draw * len(codons[letter]))]
        for letter, draw in zip(protein, draws, strict=True)
    ]
    return "".join(["ATG", *chosen, "TAA"])


def _write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
