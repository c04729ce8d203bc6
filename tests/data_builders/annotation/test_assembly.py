import random
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from data_builders.annotation.assembly import assemble, splice_coordinates
from data_builders.annotation.models import Annotation, TranscriptModel
from data_builders.annotation.reader import read_annotation
from data_builders.annotation.transcript_fasta import transcripts_from_fasta
from data_builders.records import InputError, Transcript
from data_builders.text import Tally
from genome_writers import twobit

COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
FIRST, LAST = "CDS cut to its first full codon", "CDS cut to its last full codon"


def model(exons, cds=(), *, strand="+", phase=0, name="t1", chromosome="1"):
    return TranscriptModel(name, "g1", chromosome, strand, tuple(exons), tuple(cds), phase, 7, None)


def annotation(*models):
    return Annotation(
        path=Path("a.gtf"),
        transcripts=models,
        gene_symbols={},
        features=Counter(),
        tally=Tally(read=len(models)),
    )


def fasta(tmp_path, **sequences):
    path = tmp_path / "x.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
    return path


def one_base_at_a_time(model, chromosome):
    """The transcript, by walking the genome and marking each base."""
    walk = [(p, i) for i, (start, end) in enumerate(model.exons) for p in range(start, end)]
    if model.strand == "-":
        walk = walk[::-1]
    bases = [chromosome[position] for position, _ in walk]
    if model.strand == "-":
        bases = [COMPLEMENT[base] for base in bases]
    coding = [any(start <= p < end for start, end in model.cds) for p, _ in walk]
    marked = [i for i, is_coding in enumerate(coding) if is_coding][model.phase :]
    marked = marked[: len(marked) // 3 * 3]
    junctions = [i for i in range(1, len(walk)) if walk[i][1] != walk[i - 1][1]]
    start, end = (marked[0], marked[-1] + 1) if marked else (-1, -1)
    return "".join(bases), start, end, tuple(junctions)


def random_model(rng, length, name):
    edges = sorted(rng.sample(range(length), 2 * rng.randint(1, 6)))
    exons = list(zip(edges[::2], edges[1::2], strict=True))
    inside = [p for start, end in exons for p in range(start, end)]
    first, last = sorted(rng.choices(inside, k=2))
    cds = [(max(s, first), min(e, last + 1)) for s, e in exons if s <= last and e > first]
    return model(exons, cds, strand=rng.choice("+-"), phase=rng.randint(0, 2), name=name)


def test_same_as_walking_the_genome_base_by_base(tmp_path):
    rng = random.Random(3)
    # No A or T: no stop codon can follow a CDS and extend it.
    chromosome = "".join(rng.choices("CGN", k=400))
    models = [random_model(rng, 400, f"t{i}") for i in range(300)]
    found = list(assemble(annotation(*models), fasta(tmp_path, **{"1": chromosome}), "x"))
    expected = [
        Transcript(m.transcript_id, "g1", "x", *one_base_at_a_time(m, chromosome)) for m in models
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("length", "phase", "expected", "adjusted"),
    [
        (9, 0, (2, 11), {}),
        (
            9,
            2,
            (4, 10),
            {"CDS cut to its first full codon": 1, "CDS cut to its last full codon": 1},
        ),
        (8, 2, (4, 10), {"CDS cut to its first full codon": 1}),
        (8, 0, (2, 8), {"CDS cut to its last full codon": 1}),
        (4, 2, (-1, -1), {"CDS without a full codon left out": 1}),
    ],
)
@pytest.mark.parametrize("strand", ["+", "-"])
def test_cds_is_made_of_full_codons(strand, length, phase, expected, adjusted):
    exons, cds = [(10, 15), (20, 30)], [(12, 15), (20, 20 + length - 3)]
    if strand == "-":  # the same transcript, read from the other side
        exons, cds = ([(40 - e, 40 - s) for s, e in reversed(part)] for part in (exons, cds))
    tally = Tally()
    coordinates = splice_coordinates(model(exons, cds, strand=strand, phase=phase), tally)
    assert coordinates == (*expected, (5,))
    assert tally.adjusted == adjusted


@pytest.mark.parametrize(
    ("sequence", "cds", "expected"),
    [
        ("ATGCCCTAAGG", (0, 6), (0, 9)),  # the annotation leaves the stop codon out
        ("ATGCCCTAAGG", (0, 9), (0, 9)),
        ("ATGCCCTAATGA", (0, 9), (0, 9)),  # has one, another follows
        ("ATGCCCCAAGG", (0, 6), (0, 6)),
        ("ATGCCC", (0, 6), (0, 6)),
        ("TAATAA", None, (-1, -1)),
    ],
)
def test_stop_codon_after_the_cds(tmp_path, sequence, cds, expected):
    tally = Tally()
    gene = annotation(model([(0, len(sequence))], [cds] if cds else []))
    (found,) = assemble(gene, fasta(tmp_path, **{"1": sequence}), "x", tally)
    assert (found.cds_start, found.cds_end) == expected
    assert tally.adjusted.total() == (cds is not None and expected != cds)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("1", "chr1"), ("chr1", "1"), ("MT", "chrM"), ("chrM", "MtDNA")]
)
def test_chromosome_under_another_name(tmp_path, ours, theirs):
    tally = Tally()
    gene = annotation(model([(1, 3)], chromosome=ours))
    (found,) = assemble(gene, fasta(tmp_path, **{theirs: "ACGT"}), "x", tally)
    assert found.sequence == "CG"
    assert tally.adjusted == {"chromosome found under another name": 1}


ALIASES = {
    "chr1": "chr1",
    "NC_1": "chr1",
    "MT": "chrM",
    "chrM": "chrM",
    "2": "chr9",
    "chr9": "chr9",
}
ALIASED, RULED = "chromosome found by its alias", "chromosome found under another name"


@pytest.mark.parametrize(
    ("ours", "theirs", "adjusted"),
    [
        ("NC_1", "chr1", {ALIASED: 1}),
        ("chr1", "NC_1", {ALIASED: 1}),
        ("chrM", "MT", {ALIASED: 1}),  # before the rule, which finds it too
        ("NC_1", "NC_1", {}),
        ("1", "chr1", {RULED: 1}),  # a name that the aliases lack
        ("chr1", "1", {RULED: 1}),
        ("x", "chrX", {RULED: 1}),
    ],
)
def test_chromosome_found_by_its_alias(tmp_path, ours, theirs, adjusted):
    tally = Tally()
    gene = annotation(model([(1, 3)], chromosome=ours))
    (found,) = assemble(gene, fasta(tmp_path, **{theirs: "ACGT"}), "x", tally, ALIASES)
    assert found.sequence == "CG"
    assert tally.adjusted == adjusted


def test_aliases_overrule_the_rule(tmp_path):
    """Here 2 is chr9, so that it is not chr2."""
    known = {**ALIASES, "chr2": "chr2"}
    gene = annotation(model([(1, 3)], chromosome="2"))
    with pytest.raises(InputError, match=r"got no chromosome of a\.gtf: chr2 against 2"):
        list(assemble(gene, fasta(tmp_path, chr2="ACGT"), "x", aliases=known))
    (found,) = assemble(gene, fasta(tmp_path, chr2="ACGT", chr9="TTTT"), "x", aliases=known)
    assert found.sequence == "TT"


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (["chr1"], ["chr1", "1"], r"x\.fa: got 'chr1' and '1' for chromosome 'chr1' of a\.gtf"),
        (
            ["NC_1"],
            ["NC_1", "chr1"],
            r"x\.fa: got 'NC_1' and 'chr1' for chromosome 'NC_1' of a\.gtf",
        ),
        (["chrM", "M"], ["mt"], r"x\.fa: 'mt': got 'chrM' and 'M' of a\.gtf for it, wanted one"),
        (["MT", "chrM"], ["Mito", "MT", "chrM"], r"x\.fa: 'Mito': got 'MT' and 'chrM'"),
    ],
)
def test_ambiguous_names(tmp_path, ours, theirs, message):
    gene = annotation(*(model([(1, 3)], chromosome=name) for name in ours))
    genome = fasta(tmp_path, **dict.fromkeys(theirs, "ACGT"))
    with pytest.raises(InputError, match=message):
        list(assemble(gene, genome, "x", aliases=ALIASES))


def test_two_names_of_the_annotation_for_one_alias(tmp_path):
    known = {**ALIASES, "CM_1": "chr1"}
    gene = annotation(*(model([(1, 3)], chromosome=name) for name in ("chr1", "NC_1")))
    with pytest.raises(InputError, match=r"x\.fa: 'CM_1': got 'chr1' and 'NC_1' of a\.gtf"):
        list(assemble(gene, fasta(tmp_path, CM_1="ACGT"), "x", aliases=known))


def test_strict_tally_takes_no_skip(tmp_path):
    gene = annotation(model([(0, 2)]), model([(0, 2)], chromosome="2"))
    genome = fasta(tmp_path, **{"1": "AC"})
    with pytest.raises(InputError, match=r"a\.gtf:7: '2', wanted in .*x\.fa: chromosome not in"):
        list(assemble(gene, genome, "x", Tally(strict=True)))


def test_genome_in_2bit(tmp_path):
    path = tmp_path / "x.2bit"
    path.write_bytes(twobit({"1": "acgTNA"}))
    gene = annotation(model([(0, 2), (3, 6)], strand="-"))
    (found,) = assemble(gene, path, "x")
    assert found.sequence == "TNAGT"


def test_chromosome_that_the_genome_lacks_is_counted(tmp_path):
    tally = Tally()
    models = [model([(0, 2)]), *(model([(0, 2)], chromosome="2", name=n) for n in "ab")]
    found = assemble(annotation(*models), fasta(tmp_path, **{"1": "AC"}), "x", tally)
    assert [t.transcript_id for t in found] == ["t1"]
    assert tally.skipped == {"chromosome not in the genome": 2}


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (
            {"a": "A", "b": "A", "c": "A", "d": "A"},
            r"x\.fa: got no chromosome of a\.gtf: a, b, c, ",
        ),
        ({"1": "ACG"}, r"a\.gtf:7: exon of 't1': got end 4, wanted at most 3, the length of '1'"),
        ({"1": "ACGT", "chr1": "ACGT"}, r"x\.fa: got '1' and 'chr1' for chromosome '1'"),
    ],
)
def test_genome_of_another_annotation(tmp_path, sequences, message):
    gene = annotation(model([(0, 4)]))
    with pytest.raises(InputError, match=message):
        list(assemble(gene, fasta(tmp_path, **sequences), "x"))


def test_transcript_fasta_alone(tmp_path):
    tally = Tally()
    found = list(transcripts_from_fasta(fasta(tmp_path, a="ACGU"), None, "x", tally))
    assert found == [Transcript("a", "a", "x", "ACGT", -1, -1, None)]
    assert (tally.read, tally.kept) == (1, 1)


def test_transcript_fasta_with_structure(tmp_path):
    models = [
        model([(0, 3), (5, 9)], [(0, 3)], strand="-", name="a"),
        model([(0, 3)], name="short"),
        model([(0, 3)], name="absent"),
    ]
    path = fasta(tmp_path, a="GGGGATG", short="AC", unknown="ACG")
    tally = Tally()
    found = list(transcripts_from_fasta(path, annotation(*models), "x", tally))
    assert found == [Transcript("a", "g1", "x", "GGGGATG", 4, 7, (4,))]
    assert tally.read == 1  # the other three are in the annotation's tally
    assert tally.skipped == {
        "not in the annotation": 1,
        "length is not that of the exons": 1,
        "not in the transcript FASTA": 1,
    }


def test_transcript_fasta_of_another_annotation(tmp_path):
    with pytest.raises(InputError, match=r"x\.fa: got no transcript of a\.gtf: b against t1"):
        list(transcripts_from_fasta(fasta(tmp_path, b="A"), annotation(model([(0, 1)])), "x"))


def table_rows(real_data, source, species):
    table = pl.read_parquet(real_data / "transcripts" / "transcripts.parquet")
    chosen = table.filter(pl.col("source") == source, pl.col("species") == species)
    return {row["transcript_id"]: row for row in chosen.iter_rows(named=True)}


def as_row(transcript, prefix):
    return {
        "gene_id": prefix + transcript.gene_id,
        "sequence": transcript.sequence,
        "cds_start": transcript.cds_start,
        "cds_end": transcript.cds_end,
        "exon_junctions": list(transcript.exon_junctions),
    }


@pytest.mark.parametrize(
    ("name", "species", "rows", "ambiguous"),
    [
        ("caenorhabditis_elegans", "c_elegans", 303, 0),
        ("arabidopsis_thaliana", "arabidopsis", 459, 2),
        ("drosophila_melanogaster", "fly", 236, 0),
    ],
)
def test_real_genomes_equal_an_independent_assembly(real_data, name, species, rows, ambiguous):
    stem = real_data / "genomes" / f"{name}.1pct"
    found = assemble(read_annotation(f"{stem}.gff3.gz"), f"{stem}.fa.gz", species)
    found = {f"K1PCT_{t.transcript_id}": t for t in found}
    expected = table_rows(real_data, "korflab_1pct", species)
    assert len(expected) == rows
    with_codes = 0
    for transcript_id, row in expected.items():
        letters = "".join(c if c in "ACGT" else "N" for c in row["sequence"])
        with_codes += letters != row["sequence"]
        ours = as_row(found[transcript_id], "K1PCT_")
        assert ours == {key: row[key] for key in ours} | {"sequence": letters}
    assert with_codes == ambiguous


def test_real_transcript_fasta_equals_an_independent_assembly(real_data):
    stem = real_data / "transcripts" / "human_chr1_isoforms"
    structure = read_annotation(f"{stem}.gtf.gz")
    tally = Tally()
    found = transcripts_from_fasta(f"{stem}.fa.gz", structure, "human", tally)
    found = {f"ISAR_{t.transcript_id}": as_row(t, "ISAR_") for t in found}
    expected = table_rows(real_data, "isar_chr1", "human")
    keys = ("gene_id", "sequence", "cds_start", "cds_end", "exon_junctions")
    assert found == {name: {key: row[key] for key in keys} for name, row in expected.items()}
    assert len(found) == 1_092
    # The file has no stop_codon lines: the annotators' ORFs end before their stop.
    assert tally.adjusted == {"CDS extended by the stop codon after it": 1_027}
