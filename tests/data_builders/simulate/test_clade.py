"""The simulated clade, read back by parsers and translators written here in the obvious way."""

import gzip
import json
import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from data_builders.records import InputError, Transcript
from data_builders.simulate.clade import STRENGTH, half_life_signals, simulate_clade
from data_builders.simulate.evolution import (
    CDS,
    INTRON,
    Gene,
    Segment,
    _substitute,
    draw_codon_weights,
    draw_tree,
)

STOPS = {"TAA", "TAG", "TGA"}
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def read_fasta(path: Path) -> dict[str, str]:
    records = "\n".join(lines(path)).split(">")[1:]
    return {r.split()[0]: "".join(r.split("\n")[1:]) for r in records}


def read_gtf(path: Path) -> list[dict]:
    rows = []
    for line in lines(path):
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        row = dict(re.findall(r'(\w+) "([^"]*)";', columns[8]))
        row.update(chromosome=columns[0], feature=columns[2], strand=columns[6], frame=columns[7])
        row.update(start=int(columns[3]), end=int(columns[4]))
        rows.append(row)
    return rows


def base_by_base(chromosome: str, rows: list[dict]) -> str:
    """The rows' bases 5'→3' on their strand."""
    letters = {p: chromosome[p - 1] for row in rows for p in range(row["start"], row["end"] + 1)}
    text = "".join(letters[p] for p in sorted(letters))
    return text if rows[0]["strand"] == "+" else text.translate(COMPLEMENT)[::-1]


def read_table(path: Path) -> list[dict[str, str]]:
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


class Read:
    """What the files of a clade say."""

    def __init__(self, clade):
        self.clade = clade
        self.homology = read_table(clade.homology)
        self.half_life = read_table(clade.half_life)
        self.truth = json.loads(clade.truth.read_text())
        self.genes = {}  # gene_id -> its row
        self.first = {}  # gene_id -> its first transcript
        self.features = defaultdict(lambda: defaultdict(list))  # transcript -> feature -> rows
        self.genome = {}  # species -> chromosome -> sequence
        self.species = {}  # gene_id -> species
        for name, fasta, gtf in zip(clade.species, clade.genomes, clade.annotations, strict=True):
            self.genome[name] = read_fasta(fasta)
            for row in read_gtf(gtf):
                self.species[row["gene_id"]] = name
                if row["feature"] == "gene":
                    self.genes[row["gene_id"]] = row
                else:
                    self.first.setdefault(row["gene_id"], row["transcript_id"])
                    self.features[row["transcript_id"]][row["feature"]].append(row)

    def sequence(self, transcript: str, *features: str) -> str:
        rows = [row for f in features for row in self.features[transcript][f]]
        return base_by_base(
            self.genome[self.species[rows[0]["gene_id"]]][rows[0]["chromosome"]], rows
        )

    def introns(self, transcript: str) -> list[tuple[int, int]]:
        exons = sorted((e["start"], e["end"]) for e in self.features[transcript]["exon"])
        return [(a[1] + 1, b[0] - 1) for a, b in zip(exons, exons[1:], strict=False)]


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> Read:
    return Read(simulate_clade(tmp_path_factory.mktemp("clade"), genes=100, seed=3))


@pytest.fixture(scope="module")
def far(tmp_path_factory) -> Read:
    """A clade so diverged that every kind of change has happened many times."""
    output = tmp_path_factory.mktemp("far")
    return Read(simulate_clade(output, genes=25, seed=8, species=4, chromosomes=2, divergence=1))


@pytest.fixture(params=["read", "far"])
def either(request) -> Read:
    return request.getfixturevalue(request.param)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path):
    folders = [tmp_path / "a", tmp_path / "deep" / "b", tmp_path / "c"]
    for folder, seed in zip(folders, (5, 5, 6), strict=True):
        simulate_clade(folder, genes=10, seed=seed)
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == sorted(
        [f"{s}_simulata.{e}.gz" for s in ("alpha", "beta", "gamma") for e in ("fa", "gtf")]
        + ["half_life.tsv", "homology.tsv", "truth.json"]
    )
    for name in names:
        one, same, other = ((folder / name).read_bytes() for folder in folders)
        assert one == same, name
        if name != "homology.tsv":  # gene names alone may agree
            assert one != other, name


def test_gzip_headers_hold_no_time_and_no_name(read):
    for path in (*read.clade.genomes, *read.clade.annotations):
        assert path.read_bytes()[3:8] == bytes(5)


def test_more_genes_leave_the_first_ones_as_they_are(tmp_path):
    few, more = (
        Read(simulate_clade(tmp_path / str(n), genes=n, seed=2, chromosomes=2)) for n in (10, 14)
    )
    for name, chromosomes in few.genome.items():
        for number, sequence in chromosomes.items():
            assert more.genome[name][number].startswith(sequence)
    assert few.genes.items() < more.genes.items()
    assert all(more.features[t] == rows for t, rows in few.features.items())


def test_genomes_are_wrapped_fasta_of_the_annotated_chromosomes(read):
    for name, genome, annotation in zip(
        read.clade.species, read.clade.genomes, read.clade.annotations, strict=True
    ):
        assert max(map(len, lines(genome))) == 60
        assert set("".join(read.genome[name].values())) == set("ACGT")
        assert list(read.genome[name]) == ["1", "2", "3", "4"]
        assert {row["chromosome"] for row in read_gtf(annotation)} == {"1", "2", "3", "4"}


def test_every_coding_transcript_translates(either):
    coding = 0
    for transcript, rows in either.features.items():
        biotype = rows["transcript"][0]["transcript_biotype"]
        assert biotype == rows["transcript"][0]["gene_biotype"]
        if biotype == "lncRNA":
            assert set(rows) == {"transcript", "exon"}
            continue
        assert biotype == "protein_coding"
        coding += 1
        without_stop = either.sequence(transcript, "CDS")
        stop = either.sequence(transcript, "stop_codon")
        codons = re.findall("...", without_stop)
        assert len(without_stop) % 3 == 0
        assert codons[0] == either.sequence(transcript, "start_codon") == "ATG"
        assert stop in STOPS and not STOPS & set(codons)
        spliced = either.sequence(transcript, "exon")
        assert spliced.count(without_stop + stop) == 1
        assert either.sequence(transcript, "CDS", "stop_codon") == without_stop + stop
    assert coding > 100


def test_frames_say_how_many_bases_complete_the_codon_begun_before(either):
    split = 0
    for rows in either.features.values():
        ordered = sorted(rows["CDS"], key=lambda r: r["start"])
        if ordered and ordered[0]["strand"] == "-":
            ordered.reverse()
        read = 0
        for row in ordered:
            assert row["frame"] == {0: "0", 1: "2", 2: "1"}[read % 3]
            split += read % 3 > 0
            read += row["end"] - row["start"] + 1
        assert all(r["frame"] == "0" for f in ("start_codon", "stop_codon") for r in rows[f])
    assert split > 100


def test_introns_run_from_gt_to_ag(either):
    seen = 0
    for transcript, rows in either.features.items():
        one = rows["transcript"][0]
        chromosome = either.genome[either.species[one["gene_id"]]][one["chromosome"]]
        for start, end in either.introns(transcript):
            row = {"start": start, "end": end, "strand": one["strand"]}
            intron = base_by_base(chromosome, [row])
            assert intron[:2] == "GT" and intron[-2:] == "AG"
            assert len(intron) >= 30
            seen += 1
    assert seen > 300


def test_transcripts_and_genes_span_their_exons(either):
    spans = defaultdict(list)
    for rows in either.features.values():
        one = rows["transcript"][0]
        assert one["start"] == min(e["start"] for e in rows["exon"])
        assert one["end"] == max(e["end"] for e in rows["exon"])
        numbers = [int(e["exon_number"]) for e in sorted(rows["exon"], key=lambda e: e["start"])]
        assert numbers == sorted(numbers, reverse=one["strand"] == "-")
        spans[one["gene_id"]].append((one["start"], one["end"]))
    for gene_id, gene in either.genes.items():
        assert gene["start"] == min(start for start, _ in spans[gene_id])
        assert gene["end"] == max(end for _, end in spans[gene_id])


def test_both_strands_and_both_biotypes_occur_in_the_documented_shares(read):
    strands = Counter(gene["strand"] for gene in read.genes.values())
    assert min(strands["+"], strands["-"]) > 0.3 * len(read.genes)
    coding = sum(gene["gene_biotype"] == "protein_coding" for gene in read.genes.values())
    assert 0.7 < coding / len(read.genes) < 0.9


def test_genes_have_one_to_six_isoforms_all_different(read):
    isoforms = defaultdict(list)
    for transcript, rows in read.features.items():
        key = tuple((e["start"], e["end"]) for e in rows["exon"])
        isoforms[rows["transcript"][0]["gene_id"]].append(key)
        assert re.fullmatch(r"[a-z]+_g\d{5}_\d+_t\d+", transcript)
    assert all(len(set(keys)) == len(keys) for keys in isoforms.values())
    assert {len(keys) for keys in isoforms.values()} == {1, 2, 3, 4, 5, 6}


def test_every_kind_of_alternative_splicing_occurs(read):
    kinds = Counter()
    by_gene = defaultdict(list)
    for transcript, rows in read.features.items():
        by_gene[rows["transcript"][0]["gene_id"]].append(transcript)
    for gene_id, transcripts in by_gene.items():
        plus = read.genes[gene_id]["strand"] == "+"
        for one, other in combinations(transcripts, 2):
            left = [read.features[t]["transcript"][0]["start"] for t in (one, other)]
            right = [read.features[t]["transcript"][0]["end"] for t in (one, other)]
            begin, end = (left, right) if plus else (right, left)
            kinds["start"] += begin[0] != begin[1]
            kinds["end"] += end[0] != end[1]
            for a, b in ((one, other), (other, one)):
                inner = read.features[a]["exon"]
                for start, stop in read.introns(b):
                    kinds["skip"] += any(start < e["start"] and e["end"] < stop for e in inner)
                    for s, t in read.introns(a):
                        kinds["donor" if plus else "acceptor"] += s != start and t == stop
                        kinds["acceptor" if plus else "donor"] += s == start and t != stop
    assert min(kinds[k] for k in ("start", "end", "skip", "donor", "acceptor")) > 20, kinds


def test_homology_lists_every_gene_once_with_orthologs_and_paralogs(read):
    assert sorted(row["gene_id"] for row in read.homology) == sorted(read.genes)
    assert all(read.species[row["gene_id"]] == row["species"] for row in read.homology)
    groups = defaultdict(list)
    for row in read.homology:
        groups[row["group_id"]].append(row["species"])
    orthologs = sum(len(set(species)) == 3 for species in groups.values())
    paralogs = sum(len(set(species)) < len(species) for species in groups.values())
    assert orthologs > 80 and paralogs > 5


def test_counts_are_those_of_the_files(read):
    counts = read.clade.counts
    assert counts["groups"] == len({row["group_id"] for row in read.homology}) == 100
    assert counts["genes"] == len(read.genes) == len(read.homology)
    assert counts["transcripts"] == len(read.features)
    assert counts["labels"] == len(read.half_life)
    assert counts["gene duplicated"] > 0 and counts["gene lost"] > 0


def test_orthologs_are_alike_and_sisters_most(read):
    words = {}
    for gene_id in read.genes:
        spliced = read.sequence(read.first[gene_id], "exon")
        words[gene_id] = {spliced[i : i + 10] for i in range(len(spliced) - 9)}

    def alike(pair):
        one, other = (words[gene_id] for gene_id in pair)
        return len(one & other) / len(one | other)

    (sisters,) = re.findall(r"\((\w+):[\d.]+,(\w+):[\d.]+\)", read.truth["tree"])
    homologs, strangers = defaultdict(list), []
    for one, other in combinations(read.homology, 2):
        pair = one["gene_id"], other["gene_id"]
        if one["group_id"] == other["group_id"] and one["species"] != other["species"]:
            homologs[{one["species"], other["species"]} == set(sisters)].append(alike(pair))
        elif one["group_id"] != other["group_id"] and len(strangers) < 500:
            strangers.append(alike(pair))
    assert max(strangers) < 0.02
    assert np.mean(homologs[True]) > 1.5 * np.mean(homologs[False]) > 0.1


def obvious_signals(read: Read, transcript: str) -> dict[str, float]:
    cds = read.sequence(transcript, "CDS", "stop_codon")
    spliced = read.sequence(transcript, "exon")
    utr3 = spliced[spliced.index(cds) + len(cds) :]
    codons = [cds[i : i + 3] for i in range(0, len(cds) - 3, 3)]
    found = {
        name: sum(utr3.startswith(motif, i) for i in range(len(utr3)))
        for name, motif in read.truth["motifs"].items()
    }
    return {
        "junction_density": (len(read.features[transcript]["CDS"]) - 1) * 1000 / len(cds),
        "codon_optimality": sum(map(read.truth["codon_weights"].get, codons)) / len(codons),
        **found,
    }


def test_half_lives_follow_from_the_planted_signals_at_the_documented_strength(read):
    coding = [g for g, row in read.genes.items() if row["gene_biotype"] == "protein_coding"]
    assert [row["gene_id"] for row in read.half_life] == sorted(coding)
    for row in read.half_life:
        assert row["species"] == read.species[row["gene_id"]]
        assert row["transcript_id"] == read.first[row["gene_id"]]
    y = np.array([float(row["half_life"]) for row in read.half_life])
    signals = [obvious_signals(read, row["transcript_id"]) for row in read.half_life]
    total = np.zeros(len(y))
    for name, truth in read.truth["signals"].items():
        x = np.array([one[name] for one in signals])
        assert x.mean() == pytest.approx(truth["mean"], abs=1e-6)
        assert x.std() == pytest.approx(truth["sd"], abs=1e-6)
        total += truth["weight"] * (x - x.mean()) / x.std()
    z = (total - total.mean()) / total.std()
    assert np.corrcoef(z, y)[0, 1] == pytest.approx(STRENGTH, abs=0.06)
    residual = y - STRENGTH * z
    assert residual.std() == pytest.approx(np.sqrt(1 - STRENGTH**2), rel=0.15)
    assert abs(np.corrcoef(z, residual)[0, 1]) < 0.2


def test_signals_vary_between_and_within_families(read):
    group = {row["gene_id"]: row["group_id"] for row in read.homology}
    family = np.array([group[row["gene_id"]] for row in read.half_life])
    signals = [obvious_signals(read, row["transcript_id"]) for row in read.half_life]
    for name in read.truth["signals"]:
        x = np.array([one[name] for one in signals])
        means = np.array([x[family == f].mean() for f in family])
        assert 0.5 < means.var() / x.var() < 0.995, name


def test_signals_of_a_transcript_made_by_hand():
    # 5'UTR CC | ATG AAA TTT TAA | 3'UTR with two overlapping ATTTA and one of each other motif
    utr3 = "ATTTATTTA" + "TGTAAATA" + "CCCTCC"
    transcript = Transcript("t", "g", "s", "CC" + "ATGAAATTTTAA" + utr3, 2, 14, (2, 5, 9, 14, 20))
    weights = defaultdict(float, AAA=1.0, TTT=-0.25, TAA=100.0)
    assert half_life_signals(transcript, weights) == {
        "junction_density": 1000 * 2 / 12,
        "codon_optimality": 0.25,
        "au_rich": 2,
        "pumilio": 1,
        "c_rich": 1,
    }


def test_codon_weights_rank_synonyms_only():
    weights = draw_codon_weights(np.random.default_rng(0)).reshape(4, 4, 4)  # A C G T
    assert sorted(weights[0, 0, [1, 3]]) == [-1, 1]  # Asn: AAC, AAT
    assert sorted(weights[2, 1]) == pytest.approx([-1, -1 / 3, 1 / 3, 1])  # Ala: GCN
    assert weights[0, 3, 2] == weights[3, 2, 2] == 0  # Met, Trp
    assert weights[3, 0, 0] == weights[3, 0, 2] == weights[3, 2, 0] == 0  # stops


def test_trees_are_ultrametric_and_newick_spells_them():
    rng = np.random.default_rng(1)
    assert draw_tree(["a"], 0.5, rng).newick() == "(a:0.5):0"
    assert draw_tree(["a", "b"], 0.25, rng).newick() == "(a:0.25,b:0.25):0"
    depths = {}

    def walk(node, depth):
        if not node.children:
            depths[node.name] = depth + node.length
        for child in node.children:
            walk(child, depth + node.length)

    walk(draw_tree("abcdefg", 0.7, rng), 0.0)
    assert depths == {name: pytest.approx(0.7) for name in "abcdefg"}


def test_neutral_substitutions_have_the_kimura_distance_of_the_branch():
    rng = np.random.default_rng(0)
    size = 300_000
    parent = Gene(
        rng.integers(0, 4, size, np.uint8),
        np.array([0, size]),
        (Segment(INTRON, ""),),
        ((False,),),
        1.0,
        (0.0,) * 3,
    )
    child = _substitute(parent, 0.4, rng)
    one, other = (np.frombuffer(b"ACGT", np.uint8)[g.bases].tobytes() for g in (parent, child))
    purine = {ord("A"), ord("G")}
    changed = [(x in purine) == (y in purine) for x, y in zip(one, other, strict=True) if x != y]
    p, q = sum(changed) / size, (len(changed) - sum(changed)) / size
    distance = -0.5 * np.log(1 - 2 * p - q) - 0.25 * np.log(1 - 2 * q)
    assert distance == pytest.approx(0.4, rel=0.02)
    # K = transitions per transversion of one kind.
    ratio = np.log(1 - 2 * p - q) / np.log(1 - 2 * q) - 0.5
    assert 2 * ratio == pytest.approx(4.0, rel=0.03)


def one_exon(letters: str, omega: float) -> Gene:
    bases = np.array(["ACGT".index(letter) for letter in letters], np.uint8)
    segments = (Segment(CDS, ""),)
    return Gene(bases, np.array([0, len(bases)]), segments, ((True,),), omega, (0.0,) * 3)


def test_selection_keeps_the_protein():
    # Leu CTA: every third base is free; of the first base's changes only C to T is, TTA.
    parent = one_exon("ATG" + "CTA" * 3000 + "TAA", omega=0.1)
    child = _substitute(parent, 0.3, np.random.default_rng(0))
    changed = (child.bases != parent.bases).reshape(-1, 3)
    assert not changed[[0, -1]].any()
    first, second, third = changed.mean(axis=0)
    assert third > 0.15 > first > 3 * second > 0


def test_without_selection_no_frame_is_closed_all_the_same():
    parent = one_exon("ATG" + "TTA" * 3000 + "TAA", omega=1.0)  # one change from TAA and TGA
    child = _substitute(parent, 0.3, np.random.default_rng(0))
    codons = re.findall("...", "".join("ACGT"[b] for b in child.bases))
    assert codons[0] == "ATG" and codons[-1] == "TAA" and not STOPS & set(codons[:-1])
    assert {"TCA", "TTT", "CTA", "TTG"} < set(codons)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"species": 0}, "species: got 0, expected 1 to 24"),
        ({"species": 25}, "species: got 25, expected 1 to 24"),
        ({"genes": 9}, "genes: got 9, expected at least 10"),
        ({"seed": -1}, "seed: got -1, expected at least 0"),
        ({"chromosomes": 0}, "chromosomes: got 0, expected at least 1"),
        ({"divergence": 1.5}, "divergence: got 1.5, expected 0 to 1"),
    ],
)
def test_arguments_out_of_range_are_named_and_nothing_is_written(tmp_path, arguments, message):
    with pytest.raises(InputError) as caught:
        simulate_clade(tmp_path / "out", **arguments)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()
