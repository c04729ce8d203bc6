"""A GTF of the size of GENCODE's to transcript models: speed and peak memory, beside peers.

polars reads columns, gtfparse a table, gffutils a database (of a tenth of the file). gtfparse and
gffutils are not among our dependencies. They are skipped where they are absent; to have them:

    python -m pip install --no-deps --target PEERS gtfparse gffutils pyfaidx argh argcomplete simplejson
    PYTHONPATH=PEERS python benchmarks/annotation.py
"""  # noqa: E501

import argparse
import gzip
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import polars as pl
from measure import (
    Workload,
    machine,
    peak_memory,
    print_machine,
    race_sections,
    read_arguments,
)

from data_builders.annotation.reader import read_annotation

INPUTS = "ISOCLR_BENCHMARK_INPUTS"  # tells the processes of a race where the files are
LINES = 3_170_000
TURNS = 3
PARTS = ["transcript", "exon", "CDS", "stop_codon"]
NAMES = ["seqname", "source", "feature", "start", "end", "score", "strand", "frame", "attribute"]


def main() -> None:
    """Print a table; write annotation.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--lines", type=int, default=LINES)
    arguments = read_arguments(parser, lambda section, name: SECTIONS[section][name]())
    facts = machine()
    print_machine(facts)
    print(f"threads of polars (POLARS_MAX_THREADS): {pl.thread_pool_size()}; of the others: 1")
    absent = {name for name in ("gtfparse", "gffutils") if find_spec(name) is None}
    if absent:
        print(f"skipped, not installed: {', '.join(sorted(absent))}")
    with TemporaryDirectory() as folder:
        os.environ[INPUTS] = folder
        simulate(Path(folder), arguments.lines)
        report = arguments.output / "annotation.json"
        race_sections(
            __file__, SECTIONS, print_section, facts, report, turns=TURNS, absent=list(absent)
        )


def print_section(section: str, results: Sequence[dict]) -> None:
    """One line a configuration: seconds, speed against the first, processor seconds, memory."""
    print(f"\n{section:34}{'s':>8}{'ratio':>8}{'cpu s':>8}{'peak MB':>9}")
    for result in results:
        seconds = f"{min(result['seconds']):8.2f}{result['ratio']:8.3f}"
        first_run = f"{result['cpu_s']:8.2f}{result['peak_mb']:9,.0f}"
        print(f"{result['name']:34}{seconds}{first_run}", flush=True)


# --- The file


def simulate(folder: Path, lines: int) -> None:
    """Write a GTF, it again in gzip, and about its first tenth."""
    written = 0
    with open(folder / "all.gtf", "w") as whole, open(folder / "tenth.gtf", "w") as tenth:
        for gene in genes(random.Random(0)):
            whole.writelines(gene)
            if written < lines // 10:
                tenth.writelines(gene)
            written += len(gene)
            if written >= lines:
                break
    with open(folder / "all.gtf", "rb") as plain, gzip.open(folder / "all.gtf.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed, 1 << 20)


def genes(rng: random.Random) -> Iterator[list[str]]:
    """Lines of a gene after the other, in the dialect of GENCODE."""
    number = transcript = position = 0
    while True:
        chromosome, number = f"chr{number // 2_600 + 1}", number + 1
        position = position + 1_000 if number % 2_600 != 1 else 10_000
        coding, strand = rng.random() < 0.5, rng.choice("+-")
        gene = f'gene_id "ENSG{number:011}.{rng.randint(1, 20)}"; '
        kind = "protein_coding" if coding else "lncRNA"
        name = f'gene_type "{kind}"; gene_name "GENE{number}"; '
        source = f'hgnc_id "HGNC:{number}"; havana_gene "OTTHUMG{number:011}.1";'
        exons = []
        for _ in range(rng.randint(1, 22) if coding else rng.randint(1, 8)):
            exons.append((position, position + rng.randint(60, 400)))
            position = exons[-1][1] + rng.randint(100, 9_000)
        lines = [_line(chromosome, "gene", exons[0][0], position, strand, gene + name + source)]
        for isoform in range(rng.choice((1, 2, 4, 6, 9))):
            transcript += 1
            chosen = [_another_end(exon, rng) for exon in exons if rng.random() < 0.7] or exons[:1]
            attributes = (
                f'{gene}transcript_id "ENST{transcript:011}.{rng.randint(1, 9)}"; {name}'
                f'transcript_type "{kind}"; transcript_name "GENE{number}-{201 + isoform}"; '
            )
            tail = (
                f'level 2; protein_id "ENSP{transcript:011}.1"; transcript_support_level "1"; '
                f'tag "basic"; tag "Ensembl_canonical"; tag "MANE_Select"; tag "CCDS"; {source} '
                f'havana_transcript "OTTHUMT{transcript:011}.1";'
            )
            ends = chosen[0][0], chosen[-1][1]
            lines.append(_line(chromosome, "transcript", *ends, strand, attributes + tail))
            ordered = chosen if strand == "+" else chosen[::-1]
            for count, exon in enumerate(ordered, 1):
                extra = f'exon_number {count}; exon_id "ENSE{transcript:08}{count:03}.1"; '
                for feature, *interval in _parts(exon, count, len(chosen), strand, coding):
                    text = attributes + extra + tail
                    lines.append(_line(chromosome, feature, *interval, strand, text))
        yield lines


def _another_end(exon: tuple[int, int], rng: random.Random) -> tuple[int, int]:
    return (exon[0], exon[1] - rng.randint(1, 15)) if rng.random() < 0.25 else exon


def _parts(exon, count: int, exons: int, strand: str, coding: bool) -> Iterator[tuple]:
    """The exon; in a coding transcript its UTR of 20 nt, CDS, start and stop codon."""
    start, end = exon
    yield "exon", start, end
    if not coding:
        return
    first, last = (count == 1, count == exons)[:: 1 if strand == "+" else -1]
    cds = start + 20 * first, end - 20 * last
    stop = (cds[1] - 2, cds[1]) if strand == "+" else (cds[0], cds[0] + 2)
    if count == exons:
        cds = (cds[0], cds[1] - 3) if strand == "+" else (cds[0] + 3, cds[1])
    yield "CDS", *cds
    if count == 1:
        yield "start_codon", *((cds[0], cds[0] + 2) if strand == "+" else (cds[1] - 2, cds[1]))
    if count == exons:
        yield "stop_codon", *stop
    if first:
        yield "UTR", start, start + 19
    if last:
        yield "UTR", end - 19, end


def _line(chromosome, feature, start, end, strand, attributes) -> str:
    phase = "0" if feature in ("CDS", "start_codon", "stop_codon") else "."
    columns = chromosome, "HAVANA", feature, start, end, ".", strand, phase, attributes
    return "\t".join(map(str, columns)) + "\n"


# --- The readers


def ours(name: str) -> Workload:
    """Transcript models."""

    def run(path):
        annotation = read_annotation(path)
        assert annotation.tally.kept == annotation.features["transcript"]

    return _workload(name, run)


def polars_scan(name: str, engine: str) -> Workload:
    """The columns that models are made of, and not yet any model."""

    def run(path):
        attribute = pl.col("attribute")
        frame = (
            pl.scan_csv(
                path,
                separator="\t",
                has_header=False,
                comment_prefix="#",
                quote_char=None,
                new_columns=NAMES,
            )
            .filter(pl.col("feature").is_in(PARTS))
            .select(
                *("seqname", "feature", "start", "end", "strand", "frame"),
                attribute.str.extract('transcript_id "([^"]*)"').alias("transcript_id"),
                attribute.str.extract('gene_id "([^"]*)"').alias("gene_id"),
            )
            .collect(engine=engine)
        )
        assert frame.height

    return _workload(name, run)


def gtfparse(name: str) -> Workload:
    """A table, its attributes as columns."""
    from gtfparse import read_gtf

    return _workload(name, lambda path: read_gtf(str(path)))


def gffutils(name: str) -> Workload:
    """A database in memory, with the options that its documentation gives for speed."""
    import gffutils

    def run(path):
        gffutils.create_db(
            str(path),
            ":memory:",
            disable_infer_genes=True,
            disable_infer_transcripts=True,
            merge_strategy="create_unique",
        )

    return _workload(name, run)


def _workload(name: str, read: Callable[[Path], object]) -> Workload:
    """Lines take the place of nucleotides; processor time and memory are those of the first run."""
    path, facts = Path(os.environ[INPUTS]) / name, {}
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        lines = sum(1 for _ in file)

    def run():
        began = process_time()
        read(path)
        facts.setdefault("cpu_s", process_time() - began)
        facts.setdefault("peak_mb", peak_memory() / 2**20)

    return Workload(run, lines, facts)


def _of_whole(name: str) -> dict[str, Callable[[], Workload]]:
    return {
        "read_annotation": lambda: ours(name),
        "polars, streaming": lambda: polars_scan(name, "streaming"),
        "polars, in memory": lambda: polars_scan(name, "in-memory"),
        "gtfparse": lambda: gtfparse(name),
    }


SECTIONS = {
    "plain": _of_whole("all.gtf"),
    "gzip": _of_whole("all.gtf.gz"),
    "a tenth, plain": {
        "read_annotation": lambda: ours("tenth.gtf"),
        "gffutils": lambda: gffutils("tenth.gtf"),
    },
}

if __name__ == "__main__":
    main()
