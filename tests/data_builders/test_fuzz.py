"""Damaged files of every format: each is read rightly, or refused in one line that names the file.

What "rightly" means is held to the file without damage (what speaks of a transcript in lines that
are still the same gives that transcript), to plain readings of the damaged text, and to rules that
every kept record obeys. A failure shows the seed: `damaged("gtf", 17)` is the file.
"""

import csv
import io
import random
import re
import signal
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise

import pytest

from annotation_writers import bed12, genepred, gtf, phased
from data_builders.annotation.assembly import assemble
from data_builders.annotation.models import TranscriptModel
from data_builders.annotation.reader import read_annotation
from data_builders.genomes.aliases import read_aliases
from data_builders.genomes.genome import read_genome
from data_builders.homology.homologous_genes import read_homology
from data_builders.labels.label_set import read_labels
from data_builders.names import taxon
from data_builders.records import InputError
from data_builders.tables import read_transcript_table
from data_builders.text import Tally
from genome_writers import fasta, twobit
from mutations import bit_flipped, byte_flipped, bytes_lost, mutate, pack, truncated, zeroed

SECONDS = 5
"""That a case may take: thousands of times what it does."""

RNG = random.Random(11)
SEQUENCES = {name: "".join(RNG.choices("ACGT", k=n)) for name, n in (("1", 90), ("2", 60))}
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def random_model(number):
    chromosome = RNG.choice(list(SEQUENCES))
    edges = sorted(RNG.sample(range(len(SEQUENCES[chromosome])), 2 * RNG.randint(1, 3)))
    exons = tuple(zip(edges[::2], edges[1::2], strict=True))
    inside = [p for start, end in exons for p in range(start, end)]
    cds = ()
    if number % 3 and len(inside) >= 9:
        codons = RNG.randint(2, len(inside) // 3)
        first = RNG.randint(0, len(inside) - 3 * codons)
        first, last = inside[first], inside[first + 3 * codons - 1]
        cds = tuple((max(s, first), min(e, last + 1)) for s, e in exons if s <= last and e > first)
    gene = f"g{number // 2}"
    return TranscriptModel(f"t{number}", gene, chromosome, RNG.choice("+-"), exons, cds, 0, 1, None)


MODELS = [random_model(number) for number in range(7)]


def gff3(model):
    def line(kind, start, end, phase, attributes):
        columns = (model.chromosome, "x", kind, start + 1, end, ".", model.strand, phase)
        return "\t".join(map(str, (*columns, attributes)))

    span = model.exons[0][0], model.exons[-1][1]
    if not int(model.transcript_id[1:]) % 2:
        yield line("gene", *span, ".", f"ID={model.gene_id};Name=n")
    yield line("mRNA", *span, ".", f"ID={model.transcript_id};Parent={model.gene_id}")
    yield from (line("exon", *exon, ".", f"Parent={model.transcript_id}") for exon in model.exons)
    for piece, phase in phased(model, list(model.cds)):
        yield line("CDS", *piece, phase, f"Parent={model.transcript_id}")


def augustus(model):
    """Gene and transcript lines with ids alone; quotes with what ends a value elsewhere."""
    for line in gtf(model):
        columns = line.split("\t")
        if columns[2] == "transcript":
            yield "\t".join([*columns[:2], "gene", *columns[3:8], model.gene_id])
            yield "\t".join([*columns[:8], model.transcript_id])
        else:
            yield line + ' note "a; b #c, gene_id x"; gene_name "n;m";'


def text_of(lines):
    return ("\n".join(lines) + "\n").encode()


def table_text(separator):
    rows = io.StringIO()
    writer = csv.writer(rows, delimiter=separator, lineterminator="\n")
    columns = ("transcript_id", "gene_id", "species", "sequence")
    writer.writerow((*columns, "cds_start", "cds_end", "exon_junctions", "half_life"))
    for number, model in enumerate(MODELS):
        row = (model.transcript_id, model.gene_id, "human", SEQUENCES["1"][: 20 + number])
        writer.writerow((*row, number, number + 9, f"[{number + 2}, {number + 5}]", number / 2))
    return rows.getvalue().encode()


HOMOLOGENE = [
    f"{group}\t{species}\t{10 * group + i}\tSYM{group}\t1\tNP_{group}{i}"
    for group in range(1, 5)
    for i, species in enumerate((9606, 10090))
]
GENERIC = ["group_id\tspecies\tgene_id"]
GENERIC += [f"H{g}\t{species}\t{species}{g}" for g in range(4) for species in ("human", "mouse")]
ALIASES = ["# ucsc\tensembl\trefseq", *(f"chr{n}\t{n}\tNC_{n}" for n in range(1, 7))]

# --- What is read, and what must be true of it.


def read_models(path, folder):
    annotation = read_annotation(path)
    tally = Tally()
    tally.update(annotation.tally)
    assert annotation.tally.kept == len(annotation.transcripts)
    transcripts = list(assemble(annotation, folder / "genome.fa", "human", tally))
    assert tally.read == len(transcripts) + tally.skipped.total()
    return transcripts


def read_table(path, folder):
    tally = Tally()
    transcripts = list(read_transcript_table(path, tally=tally))
    assert tally.read == len(transcripts)
    return transcripts


def read_label_table(path, folder):
    labels = read_labels(path, "half_life")
    outcomes = ("matched", "label missing", "unmatched", "ambiguous")
    rows = sum(labels.report[outcome] for outcome in outcomes)
    assert len(labels.transcripts) == len(labels.targets) == labels.report["matched"]
    return list(labels.transcripts), labels.targets.tolist(), rows


def read_homologs(path, folder):
    tally = Tally()
    homology = read_homology(path, tally)
    return homology.groups, homology.names, tally.read


READ = {
    **dict.fromkeys(("gtf", "gff3", "genepred", "refgene", "bed12"), read_models),
    **dict.fromkeys(("augustus", "refflat"), read_models),
    **dict.fromkeys(("fasta", "2bit"), lambda path, folder: list(read_genome(path))),
    **dict.fromkeys(("tsv", "csv"), read_table),
    **dict.fromkeys(("generic", "homologene"), read_homologs),
    "labels": read_label_table,
    "aliases": lambda path, folder: read_aliases(path),
}
CONTENT = {
    "gtf": text_of(line for model in MODELS for line in gtf(model)),
    "augustus": text_of(line for model in MODELS for line in augustus(model)),
    "refflat": text_of(f"{model.gene_id}\t{genepred(model)}" for model in MODELS),
    "gff3": text_of(["##gff-version 3", *(line for model in MODELS for line in gff3(model))]),
    "genepred": text_of(genepred(model, extended=True) for model in MODELS),
    "refgene": text_of(genepred(model, extended=True, has_bin=True) for model in MODELS),
    "bed12": text_of(bed12(model) for model in MODELS),
    "fasta": fasta(SEQUENCES | {"3": "acgunNRYK" * 3}, 25),
    "2bit": twobit(SEQUENCES | {"3": "acgNNNtN"}),
    "tsv": table_text("\t"),
    "csv": table_text(","),
    "generic": text_of(GENERIC),
    "homologene": text_of(HOMOLOGENE),
    "labels": table_text("\t"),
    "aliases": text_of(ALIASES),
}


def check_transcript(transcript):
    t = transcript
    for name in (t.transcript_id, t.gene_id, t.species):
        assert name and name.isprintable()
    assert t.sequence and not set(t.sequence) - set("ACGTN")
    assert (t.cds_start, t.cds_end) == (-1, -1) or 0 <= t.cds_start < t.cds_end <= len(t.sequence)
    assert (t.cds_end - t.cds_start) % 3 == 0
    if t.exon_junctions is not None:
        inner = (0, *t.exon_junctions, len(t.sequence))
        assert all(before < after for before, after in pairwise(inner))


def plain_lines(content):
    """Lines without what is no part of them: a byte order mark, and blanks at their ends."""
    return [line.rstrip() for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]


def mentions(content, name):
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    return Counter(line for line in plain_lines(content) if word.search(line))


def unchanged(kind, content, *names):
    original = CONTENT[kind]
    if kind in ("tsv", "csv", "labels") and plain_lines(content)[0] != plain_lines(original)[0]:
        return False
    return all(mentions(content, name) == mentions(original, name) for name in names)


def check_transcripts(kind, content, transcripts, original):
    for transcript in transcripts:
        check_transcript(transcript)
    found = {t.transcript_id: t for t in transcripts}
    assert len(found) == len(transcripts)
    for transcript in original:
        names = [transcript.transcript_id]
        if kind == "gff3":
            names.append(transcript.gene_id)
        if unchanged(kind, content, *names):
            assert found[transcript.transcript_id] == transcript
    if kind == "gtf":
        check_gtf_exons(content, found)


def check_gtf_exons(content, found):
    """By a plain reading: bases between the ends of what says it is an exon of the transcript."""
    bases = {}
    for line in plain_lines(content):
        columns = line.decode("latin-1").split("\t")
        name = re.search(r'transcript_id "(t\d)"', columns[-1])
        if len(columns) == 9 and columns[2] == "exon" and name and columns[0] in SEQUENCES:
            start, end = int(columns[3]) - 1, int(columns[4])
            places = bases.setdefault(name[1], (columns[0], columns[6], set()))[2]
            places.update(range(start, end))
    for name in bases.keys() & found:
        chromosome, strand, places = bases[name]
        sequence = "".join(SEQUENCES[chromosome][place] for place in sorted(places))
        if strand == "-":
            sequence = sequence.translate(COMPLEMENT)[::-1]
        assert found[name].sequence == sequence


def check_fasta(content, records):
    """By a plain reading, a letter at a time."""
    expected = []
    for line in plain_lines(content):
        if line.startswith(b">"):
            expected.append((line[1:].split()[0].decode(), []))
        elif expected:
            expected[-1][1].extend(line.decode())
    letters = {"U": "T"} | {letter: "N" for letter in "RYSWKMBDHVN"}
    assert records == [
        (name, "".join(letters.get(b, b) for b in map(str.upper, bases) if not b.isspace()))
        for name, bases in expected
    ]


def check_genome(records):
    names = [name for name, _ in records]
    assert len(set(names)) == len(names)
    assert all(name and name.isprintable() for name in names)
    assert all(sequence and not set(sequence) - set("ACGTN") for _, sequence in records)


def check_rows(content, rows):
    """That every line but the header was a row."""
    assert rows == content.rstrip(b"\n").count(b"\n")


def check_homology(kind, content, result):
    groups, names, read = result
    lines = [line for line in plain_lines(content) if line]
    rows = lines[1:] if kind == "generic" else lines
    assert read == len(rows)
    expected = {}
    for row in rows:
        fields = [field.strip() for field in row.decode().split("\t")]
        if kind == "generic":
            header = [field.strip() for field in lines[0].decode().split("\t")]
            fields = [fields[header.index(name)] for name in ("group_id", "species", "gene_id")]
        expected[taxon(fields[1]), fields[2]] = fields[0]
    assert groups == expected
    assert set(names.values()) <= set(groups.values())


def check_aliases(content, chromosomes):
    for line in plain_lines(content):
        row = [field.strip() for field in line.decode().split("\t")]
        older = row[-1] in ("ucsc", "ensembl", "refseq")  # alias, chromosome, source
        if line and not line.startswith(b"#") and not older:
            assert len({chromosomes[name] for name in row if name not in ("", "na", "<>")}) <= 1
    assert all(name.isprintable() for name in chromosomes)


def check(kind, content, result, original):
    if READ[kind] is read_models:
        check_transcripts(kind, content, result, original)
    elif kind in ("tsv", "csv"):
        check_transcripts(kind, content, result, original)
        check_rows(content, len(result))
    elif kind == "labels":
        transcripts, _, rows = result
        check_transcripts(kind, content, transcripts, original[0])
        check_rows(content, rows)
    elif kind in ("generic", "homologene"):
        check_homology(kind, content, result)
    elif kind == "aliases":
        check_aliases(content, result)
    else:
        check_genome(result)
        if kind == "fasta":
            check_fasta(content, result)


# --- The cases.


def damaged(kind, seed):
    """The damaged content; the file that holds it, packed or not; whether that is damaged too."""
    rng = random.Random(f"{kind} {seed}")
    if kind == "2bit":
        damage = (truncated, byte_flipped, bit_flipped, bytes_lost, zeroed)
        content = mutate(CONTENT[kind], rng, damage)
        return content, content, False
    content = mutate(CONTENT[kind], rng)
    return content, *pack(content, rng)


@contextmanager
def time_limit():
    def late(*_):
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(kind, content, folder):
    """What is read, None where it is refused."""
    path = folder / "damaged"
    path.write_bytes(content)
    try:
        return READ[kind](path, folder)
    except InputError as error:
        message = str(error)
        assert message.isprintable() and len(message) < 1_000
        assert str(folder) in message
        return None


def run(kind, seeds, folder):
    (folder / "genome.fa").write_bytes(fasta(SEQUENCES))
    original = outcome(kind, CONTENT[kind], folder)
    check(kind, CONTENT[kind], original, original)
    refused = 0
    for seed in seeds:
        content, packed, packing_damaged = damaged(kind, seed)
        try:
            with time_limit():
                result = outcome(kind, content, folder)
                if result is not None:
                    check(kind, content, result, original)
                if packed != content:
                    unpacked = outcome(kind, packed, folder)
                    assert unpacked == result or (packing_damaged and unpacked is None)
        except Exception as error:
            raise AssertionError(f"damaged({kind!r}, {seed}): {content!r}") from error
        refused += result is None
    assert 0 < refused < len(seeds)


FAST, ALL = 30, 420


@pytest.mark.parametrize("kind", CONTENT)
def test_damaged_files(kind, tmp_path):
    run(kind, range(FAST), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTENT)
def test_many_damaged_files(kind, tmp_path):
    run(kind, range(FAST, ALL), tmp_path)


def test_there_are_enough_cases():
    assert ALL * len(CONTENT) >= 5_000
