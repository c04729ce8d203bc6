"""The same genomes by every way that annotations and genomes come: the same transcripts.

Two oracles: the reference table; and sequences by pysam with a reading of GFF3 as plain as can be.
"""

import gzip
import itertools
import re
from collections import Counter, defaultdict
from types import SimpleNamespace

import polars as pl
import pysam
import pytest

from annotation_writers import bed12, genepred, gtf
from data_builders.annotation.assembly import STOP_CODONS, assemble
from data_builders.annotation.reader import read_annotation
from data_builders.text import Tally
from genome_writers import bgzip, twobit

pytestmark = pytest.mark.slow

SPECIES = {
    "caenorhabditis_elegans": SimpleNamespace(table="c_elegans", mrna=303, all=420, cds=300),
    "arabidopsis_thaliana": SimpleNamespace(table="arabidopsis", mrna=459, all=500, cds=459),
    "drosophila_melanogaster": SimpleNamespace(table="fly", mrna=236, all=236, cds=236),
}
COMPLEMENT = str.maketrans("ACGT", "TGCA")
CODONS = map("".join, itertools.product("TCAG", repeat=3))
AMINO_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
GENETIC_CODE = dict(zip(CODONS, AMINO_ACIDS, strict=True))
EXTENDED = "CDS extended by the stop codon after it"
NO_PHASE = "CDS without a phase read as in frame"
NO_GENE = "transcript without a gene is a gene of its own"


@pytest.fixture(scope="module", params=SPECIES)
def genome(request, real_data, tmp_path_factory):
    """Files, our reading of them, and how pysam reads the sequences (other letters as N)."""
    folder = tmp_path_factory.mktemp(request.param)
    stem = real_data / "genomes" / f"{request.param}.1pct"
    plain = folder / "genome.fa"
    plain.write_bytes(gzip.decompress((stem.parent / f"{stem.name}.fa.gz").read_bytes()))
    with pysam.FastaFile(str(plain)) as fasta:
        sequences = {name: re.sub("[^ACGT]", "N", fasta.fetch(name)) for name in fasta.references}
    annotation = read_annotation(f"{stem}.gff3.gz")
    transcripts = list(assemble(annotation, plain, "x"))
    return SimpleNamespace(
        counts=SPECIES[request.param],
        folder=folder,
        gff3=f"{stem}.gff3.gz",
        gzip=f"{stem}.fa.gz",
        plain=plain,
        sequences=sequences,
        models=annotation.transcripts,
        transcripts=transcripts,
        table=reference_table(real_data, SPECIES[request.param].table),
    )


def reference_table(real_data, species):
    table = pl.read_parquet(real_data / "transcripts" / "transcripts.parquet")
    rows = table.filter(pl.col("source") == "korflab_1pct", pl.col("species") == species)
    return {
        row["transcript_id"].removeprefix("K1PCT_"): (
            row["gene_id"].removeprefix("K1PCT_"),
            re.sub("[^ACGT]", "N", row["sequence"]),
            row["cds_start"],
            row["cds_end"],
            tuple(row["exon_junctions"]),
        )
        for row in rows.iter_rows(named=True)
    }


def fields(transcript):
    t = transcript
    return t.gene_id, t.sequence, t.cds_start, t.cds_end, t.exon_junctions


def test_reference_table_by_gff3(genome):
    found = {t.transcript_id: fields(t) for t in genome.transcripts}
    assert (len(genome.table), len(found)) == (genome.counts.mrna, genome.counts.all)
    assert {name: found[name] for name in genome.table} == genome.table
    assert sum(t.cds_start >= 0 for t in genome.transcripts) == genome.counts.cds


def lines_gtf(stop):
    return lambda models: [line for model in models for line in gtf(model, stop=stop)]


ROUTES = {
    "GTF, stop codon apart": (lines_gtf("apart"), {}),
    "GTF, stop codon in the CDS": (lines_gtf("in"), {}),
    "GTF, stop codon left out": (lines_gtf("absent"), {EXTENDED: "cds"}),
    "genePred": (lambda models: map(genepred, models), {NO_GENE: "all", NO_PHASE: "cds"}),
    "genePredExt": (lambda models: [genepred(m, extended=True) for m in models], {}),
    "refGene": (lambda models: [genepred(m, extended=True, has_bin=True) for m in models], {}),
    "BED12": (lambda models: map(bed12, models), {NO_GENE: "all", NO_PHASE: "cds"}),
}


@pytest.mark.parametrize("route", ROUTES)
def test_reference_table_by_every_annotation(genome, route):
    write, adjusted = ROUTES[route]
    path = genome.folder / "converted"
    path.write_text("\n".join(write(genome.models)) + "\n")
    annotation, tally = read_annotation(path, strict=True), Tally(strict=True)
    found = {t.transcript_id: fields(t) for t in assemble(annotation, genome.plain, "x", tally)}
    first = 1 if NO_GENE in adjusted else 0  # of the fields that this format has
    expected = {t.transcript_id: fields(t)[first:] for t in genome.transcripts}
    assert {name: values[first:] for name, values in found.items()} == expected
    for name, values in genome.table.items():
        assert found[name][first:] == values[first:]
    counted = annotation.tally.adjusted + tally.adjusted
    del counted["ambiguous base read as N"]
    assert counted == {reason: getattr(genome.counts, n) for reason, n in adjusted.items()}


def test_reference_table_by_every_genome(genome):
    content = genome.plain.read_bytes()
    compressed = genome.folder / "pysam.fa.gz"
    pysam.tabix_compress(str(genome.plain), str(compressed), force=True)
    genomes = {
        "bgzip by pysam": compressed.read_bytes(),
        "bgzip": bgzip(content, 1 << 15),
        "2bit": twobit(genome.sequences),
        "2bit, version 1, big-endian": twobit(genome.sequences, ">", 1),
    }
    for name, packed in genomes.items():
        path = genome.folder / "genome"
        path.write_bytes(packed)
        found = list(assemble(read_annotation(genome.gff3), path, "x"))
        assert found == genome.transcripts, name
    assert list(assemble(read_annotation(genome.gff3), genome.gzip, "x")) == genome.transcripts


def plain_reading(genome):
    """transcript -> strand, and its exons' and CDS's bases spliced, by GFF3's definitions."""
    parts = defaultdict(lambda: defaultdict(set))
    for line in gzip.open(genome.gff3, "rt"):
        columns = line.rstrip("\n").split("\t")
        kind = {"exon": "exon", "pseudogenic_exon": "exon", "CDS": "CDS"}.get(columns[2])
        parents = re.search(r"(?:^|;)Parent=([^;]+)", columns[8])
        if kind and parents:
            place = columns[0], columns[6], int(columns[3]) - 1, int(columns[4])
            for parent in parents[1].split(","):
                parts[parent][kind].add(place)
    for name, of_kind in parts.items():
        spliced = {}
        for kind, places in of_kind.items():
            bases = "".join(genome.sequences[c][start:end] for c, _, start, end in sorted(places))
            reverse = {strand for _, strand, _, _ in places} == {"-"}
            spliced[kind] = bases.translate(COMPLEMENT)[::-1] if reverse else bases
        yield name, spliced


def test_sequences_and_cds_of_a_plain_reading(genome):
    expected = dict(plain_reading(genome))
    for transcript in genome.transcripts:
        spliced = expected[transcript.transcript_id]
        assert transcript.sequence == spliced["exon"]
        start, end = max(transcript.cds_start, 0), max(transcript.cds_end, 0)
        assert transcript.sequence[start:end] == spliced.get("CDS", "")
    coding = [t for t in genome.transcripts if "CDS" in expected[t.transcript_id]]
    assert len(coding) == genome.counts.cds


def test_every_complete_cds_is_a_protein(genome):
    """All are annotated as complete: in frame from their first base, of full codons."""
    models = {model.transcript_id: model for model in genome.models}
    ends = Counter()
    for transcript in genome.transcripts:
        model = models[transcript.transcript_id]
        if not model.cds:
            continue
        assert (model.phase, sum(end - start for start, end in model.cds) % 3) == (0, 0)
        cds = transcript.sequence[transcript.cds_start : transcript.cds_end]
        protein = "".join(GENETIC_CODE.get(cds[i : i + 3], "X") for i in range(0, len(cds), 3))
        ends[protein[0] + protein[-1]] += 1
        assert "*" not in protein[:-1]
        assert cds[-3:] in STOP_CODONS
    assert ends == {"M*": genome.counts.cds}
