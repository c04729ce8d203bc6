"""Retrieval: does a transcript's isoform, paralog or ortholog come first among all?"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl

from data_builders.cells import safe_cell, safe_cells
from data_builders.groups.choice import EVERY, GroupChoice
from data_builders.names import taxon
from data_builders.records import InputError, IsoformGroup, Transcript
from isoclr.evaluation.controls import RANDOM
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embeddings import model_names
from isoclr.evaluation.features import (
    codon_frequencies,
    kmer_frequencies,
    residue_pair_frequencies,
)
from isoclr.evaluation.figures_retrieve import plot_retrieval
from isoclr.evaluation.networks import untrained
from isoclr.evaluation.search import read_search_axes, search_words, whitened
from isoclr.objectives.isoforms.sampling import PAIR_TYPES
from isoclr.pretrained import load_model
from isoclr.progress import progress
from isoclr.statistics import aligned

TYPES = PAIR_TYPES[1:]
"""Isoforms of one gene, genes of one group and species, genes of one group and two species."""

METRICS = ("recall@1", "recall@10", "mrr")
IDENTITY_EDGES = (0.4, 0.6, 0.8, 0.95)
_RESAMPLES = 1000


@dataclass(frozen=True)
class PairSample:
    """Transcripts, and pairs of relatives among them.

    Attributes:
        transcripts: n of them.
        groups: alike for transcripts of one isoform group, (n,).
        species: alike for transcripts of one species, (n,).
        sequences: alike for transcripts of one sequence, (n,).
        types: of each pair, indices into `TYPES`, (pairs,).
        queries: rows of the transcripts that ask, (pairs,).
        partners: rows of those to be found, (pairs,).
    """

    transcripts: tuple[Transcript, ...]
    groups: np.ndarray
    species: np.ndarray
    sequences: np.ndarray
    types: np.ndarray
    queries: np.ndarray
    partners: np.ndarray

    def rivals(self, pairs: slice) -> np.ndarray:
        """Return whom the partner must outrank: bool (pairs, n).

        All transcripts, for an ortholog those of the partner's species: else an embedding that
        tells species apart would look blind to homology. Other relatives of the query, and
        whatever has its sequence or the partner's, are no mistakes and left out.
        """
        query, partner = self.queries[pairs, None], self.partners[pairs, None]
        rivals = self.groups != self.groups[query]
        rivals &= self.sequences != self.sequences[query]
        rivals &= self.sequences != self.sequences[partner]
        within = self.types[pairs, None] == TYPES.index("ortholog")
        return rivals & ~(within & (self.species != self.species[partner]))


def draw_pairs(
    folder: str | os.PathLike,
    *,
    queries: int = 1000,
    candidates: int = 10_000,
    seed: int = 0,
    choice: GroupChoice = EVERY,
) -> PairSample:
    """Draw pairs of every type, and others to hide their partners among.

    For each type, groups that have such a pair of different sequences are taken in random order,
    each once: a query uniform over its transcripts that have a partner, a partner uniform over
    these. One pair a group keeps the queries independent of each other.

    Args:
        folder: of isoform groups; read twice, so that only the sample is in memory.
        queries: pairs of a type, fewer where there are fewer groups.
        candidates: transcripts of the sample; what the pairs leave is filled with others, uniform
            over the data. Never fewer than the pairs need.
        seed: of all draws.
        choice: of the groups and their transcripts.

    Raises:
        InputError: a number that is not positive, or no pair of any type.
    """
    for name, value in (("queries", queries), ("candidates", candidates)):
        if value < 1:
            raise InputError(f"{name}: got {value}, wanted at least 1")
    groups, species, genes, sequences = _index(choice.read(folder), folder)
    bounds = np.searchsorted(groups, np.arange(groups[-1] + 2))
    several = np.flatnonzero(np.diff(bounds) > 1)
    drawn = []
    for number in range(len(TYPES)):
        rng = np.random.default_rng([seed, number])
        found = 0
        for group in rng.permutation(several):
            of_group = slice(bounds[group], bounds[group + 1])
            related = _related(TYPES[number], species[of_group], genes[of_group])
            related &= sequences[of_group, None] != sequences[None, of_group]
            can_ask = np.flatnonzero(related.any(axis=1))
            if len(can_ask):
                query = rng.choice(can_ask)
                partner = rng.choice(np.flatnonzero(related[query]))
                drawn.append((number, bounds[group] + query, bounds[group] + partner))
                found += 1
            if found == queries:
                break
    if not drawn:
        raise InputError(
            f"{folder}: got {len(bounds) - 1} groups without two transcripts of different "
            "sequence, wanted isoforms or homologs"
        )
    types, *pairs = np.array(drawn).T
    rng = np.random.default_rng([seed, len(TYPES)])
    chosen = np.zeros(len(groups), bool)
    chosen[np.concatenate(pairs)] = True
    others = rng.permutation(np.flatnonzero(~chosen))
    chosen[others[: max(candidates - chosen.sum(), 0)]] = True
    rows = np.flatnonzero(chosen)
    every = (t for group in choice.read(folder) for t in group.transcripts)
    return PairSample(
        tuple(t for t, wanted in zip(every, chosen, strict=True) if wanted),
        groups[rows],
        species[rows],
        sequences[rows],
        types,
        *(np.searchsorted(rows, part) for part in pairs),
    )


def _index(chosen: Iterable[IsoformGroup], folder) -> np.ndarray:
    """Group, species, gene and sequence of every transcript, as numbers: (4, transcripts)."""
    codes: tuple[dict, dict] = {}, {}
    rows = []
    for number, group in enumerate(chosen):
        for t in group.transcripts:
            name = taxon(t.species)  # two names of a species are no orthologs
            species = codes[0].setdefault(name, len(codes[0]))
            gene = codes[1].setdefault((name, t.gene_id), len(codes[1]))
            digest = blake2b(t.sequence.encode(), digest_size=8).digest()
            rows.append((number, species, gene, int.from_bytes(digest, "big", signed=True)))
    if not rows:
        raise InputError(f"{folder}: got no isoform group, wanted some")
    return np.array(rows, np.int64).T


def _related(kind: str, species: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Which members of a group make a pair of a type: bool (members, members)."""
    if kind == "ortholog":
        return species[:, None] != species
    if kind == "paralog":
        return (species[:, None] == species) & (genes[:, None] != genes)
    return genes[:, None] == genes


def rank_partners(embeddings: np.ndarray, sample: PairSample, *, block: int = 256) -> np.ndarray:
    """Return the rank of each partner among its rivals by cosine, from 1, int64 (pairs,).

    Embeddings are centred first. A rival as similar as the partner ranks before it: an embedding
    that tells nothing apart finds nothing. The similarities of `block` queries are in memory at
    once.
    """
    n = len(sample.transcripts)
    if np.ndim(embeddings) != 2 or len(embeddings) != n or not np.isfinite(embeddings).all():
        raise InputError(
            f"embeddings: got shape {np.shape(embeddings)}, wanted ({n}, width), all finite"
        )
    unit = embeddings - embeddings.mean(axis=0)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(lengths > 0, lengths, 1)
    ranks = np.empty(len(sample.queries), np.int64)
    starts = range(0, len(ranks), block)
    for start in progress(starts, "ranking", unit="block"):
        pairs = slice(start, start + block)
        similarity = unit[sample.queries[pairs]] @ unit.T
        partner = np.take_along_axis(similarity, sample.partners[pairs, None], axis=1)
        ranks[pairs] = 1 + (sample.rivals(pairs) & (similarity >= partner)).sum(axis=1)
    return ranks


def edit_identity(first: str, second: str) -> float:
    """Return the identity of two sequences over the longer: 1 - edit distance / its length.

    The distance is exact: Myers' bit-parallel algorithm (1999) in Hyyrö's form, a column of the
    alignment in one integer. N is unlike everything. What one isoform has and the other lacks
    counts as different. Unrelated sequences of one length have about 0.5 by chance.
    """
    if not first or not second:
        return float(first == second)
    every, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    place = {}
    for letter in "ACGT":
        bits = str.maketrans({other: "01"[other == letter] for other in "ACGTN"})
        place[letter] = int(first[::-1].translate(bits), 2)
    distance, up, down = len(first), every, 0
    for letter in second:
        here = place.get(letter, 0)
        same = (((here & up) + up) ^ up) | here | down
        right = down | (every & ~(same | up))
        left = same & up
        distance += bool(right & last) - bool(left & last)
        right = right << 1 | 1
        down = every & right & same
        up = every & (left << 1 | ~(same | right))
    return 1 - distance / max(len(first), len(second))


@dataclass(frozen=True)
class Retrieval:
    """Ranks of partners.

    Attributes:
        sample: the pairs.
        seed: of the sample and the bootstrap.
        identities: of each pair, `edit_identity`, (pairs,).
        candidates: how many transcripts each partner was ranked among, itself too, (pairs,).
        ranks: what the transcripts were compared by -> `rank_partners`.
    """

    sample: PairSample
    seed: int
    identities: np.ndarray
    candidates: np.ndarray
    ranks: Mapping[str, np.ndarray]

    def summary(self) -> list[dict]:
        """Return scores by pair type, over all identities and by bin of identity.

        Returns:
            For each type and bin that has queries: "pairs", "identity" ("all" or such as
            "40-60 %"), "queries", "candidates" (mean), "chance" (the expected metrics of random
            ranks) and "scores": name -> metric -> its value and the 95 % interval of a bootstrap
            over queries.
        """
        found = []
        edges = (0.0, *IDENTITY_EDGES, 1.0)
        place = np.digitize(self.identities, IDENTITY_EDGES)
        bins = {"all": place >= 0}
        for i, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
            bins[f"{100 * low:.0f}-{100 * high:.0f} %"] = place == i
        for number, kind in enumerate(TYPES):
            for identity, inside in bins.items():
                rows = np.flatnonzero((self.sample.types == number) & inside)
                if len(rows):
                    about = {"pairs": kind, "identity": identity, "queries": len(rows)}
                    found.append(about | self._scores(rows))
        return found

    def _scores(self, rows: np.ndarray) -> dict:
        candidates = self.candidates[rows]
        harmonic = np.cumsum(1 / np.arange(1, candidates.max() + 1))
        chance = (1 / candidates, np.minimum(10, candidates) / candidates)
        chance += (harmonic[candidates - 1] / candidates,)
        rng = np.random.default_rng(self.seed)
        resampled = rng.integers(len(rows), size=(_RESAMPLES, len(rows)))
        scores = {}
        for name, ranks in self.ranks.items():
            found = ranks[rows]
            values = (found <= 1, found <= 10, 1 / found)
            scores[name] = {
                metric: (
                    float(value.mean()),
                    *np.quantile(value[resampled].mean(axis=1), (0.025, 0.975)).tolist(),
                )
                for metric, value in zip(METRICS, values, strict=True)
            }
        return {
            "candidates": float(candidates.mean()),
            "chance": {m: float(c.mean()) for m, c in zip(METRICS, chance, strict=True)},
            "scores": scores,
        }

    def title(self) -> str:
        """Say what was asked, in one line."""
        counts = np.bincount(self.sample.types, minlength=len(TYPES))
        asked = ", ".join(f"{n:,} {kind}" for n, kind in zip(counts, TYPES, strict=True))
        return f"{len(self.sample.transcripts):,} transcripts; pairs: {asked}; seed {self.seed}"

    def table(self) -> str:
        """Return one aligned line for each type and bin of identity, for reading."""
        lines = [("pairs", "identity", "queries", *self.ranks, "chance")]
        for row in self.summary():
            cells = [row["pairs"], row["identity"], f"{row['queries']:,}"]
            for scores in row["scores"].values():
                (first, low, high), *others = scores.values()
                rest = " ".join(f"{value:.3f}" for value, _, _ in others)
                cells.append(f"{first:.3f} [{low:.3f}, {high:.3f}] {rest}")
            lines.append((*cells, " ".join(f"{value:.3f}" for value in row["chance"].values())))
        legend = f"{METRICS[0]} [95 % interval], {', '.join(METRICS[1:])}"
        return f"{self.title()}\n{legend}\n{aligned(lines)}"

    def as_dict(self) -> dict:
        """Return JSON's types: what was asked, and the summary."""
        counts = np.bincount(self.sample.types, minlength=len(TYPES)).tolist()
        return {
            "seed": self.seed,
            "transcripts": len(self.sample.transcripts),
            "queries": dict(zip(TYPES, counts, strict=True)),
            "summary": self.summary(),
        }

    def write(self, output: Path) -> None:
        """Write `retrieve.json`, as `as_dict`, and `retrieve.tsv`, every query."""
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False)
        (output / "retrieve.json").write_text(text + "\n")
        transcripts = self.sample.transcripts
        columns = {"pairs": [TYPES[number] for number in self.sample.types]}
        for name, rows in (("query", self.sample.queries), ("partner", self.sample.partners)):
            columns[f"{name}_species"] = safe_cells(transcripts[row].species for row in rows)
            columns[name] = safe_cells(transcripts[row].transcript_id for row in rows)
        columns |= {"identity": self.identities.round(4), "candidates": self.candidates}
        columns |= {safe_cell(f"rank by {name}"): ranks for name, ranks in self.ranks.items()}
        pl.DataFrame(columns).write_csv(output / "retrieve.tsv", separator="\t")


def retrieve(
    embeddings: Mapping[str, np.ndarray], sample: PairSample, *, seed: int = 0
) -> Retrieval:
    """Rank the partners of a sample by each of several embeddings of its transcripts."""
    ranks = {name: rank_partners(matrix, sample) for name, matrix in embeddings.items()}
    sequences = [transcript.sequence for transcript in sample.transcripts]
    pairs = list(zip(sample.queries, sample.partners, strict=True))
    bar = progress(pairs, "identity", unit="pair")
    identities = np.array([edit_identity(sequences[a], sequences[b]) for a, b in bar])
    one_by_one = (slice(row, row + 1) for row in range(len(pairs)))
    candidates = np.array([1 + sample.rivals(row).sum() for row in one_by_one])
    return Retrieval(sample, seed, identities, candidates, ranks)


def retrieve_model(
    model: str | os.PathLike,
    groups: str | os.PathLike,
    output: Path,
    *,
    queries: int = 1000,
    candidates: int = 10_000,
    seed: int = 0,
    choice: GroupChoice = EVERY,
) -> Retrieval:
    """Measure retrieval by a model, its encoder with random weights, and frequencies of words.

    Embeddings of the encoders are compared raw and `whitened`. The words are those of
    `search_words` along the axes of search, where the model has some, and 64 codons, 400
    amino-acid pairs (square roots of frequencies) and 6-mers. Writes `retrieve.json`,
    `retrieve.tsv` and `retrieve.png`. For the other arguments see `draw_pairs`.
    """
    encoder, tokenizer = load_model(model)
    sample = draw_pairs(groups, queries=queries, candidates=candidates, seed=seed, choice=choice)
    (own,) = model_names([model])
    encoders = {own: encoder, RANDOM: untrained(encoder.config, seed)}
    embeddings = {}
    for name, weights in encoders.items():
        embeddings[name] = embed_transcripts(weights, tokenizer, sample.transcripts)
        embeddings[f"{name}, whitened"] = whitened(embeddings[name])
    axes = read_search_axes(model)
    if axes is not None:
        embeddings[f"{own}, axes of search"] = axes.vectors(search_words(sample.transcripts))
    embeddings["codons"] = codon_frequencies(sample.transcripts)
    embeddings["amino-acid pairs"] = np.sqrt(residue_pair_frequencies(sample.transcripts))
    embeddings["6-mers"] = kmer_frequencies(sample.transcripts, 6, 6)
    result = retrieve(embeddings, sample, seed=seed)
    output.mkdir(parents=True, exist_ok=True)
    result.write(output)
    plot_retrieval(result.summary(), result.title(), output / "retrieve.png")
    return result
