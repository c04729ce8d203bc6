"""Genome and annotation to isoform groups on disk: speed and peak memory, beside peers.

The peers, pyfaidx and gffutils, are not among our dependencies. They are skipped where they are
absent; to have them:

    python -m pip install --target PEERS pyfaidx gffutils
    PYTHONPATH=PEERS python benchmarks/build.py
"""

import argparse
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measure import (
    Workload,
    machine,
    peak_memory,
    print_machine,
    race_sections,
    read_arguments,
)

from data_builders.codec import GROUP_SCHEMA
from data_builders.figures import new_axes, write_figure
from data_builders.groups.build import GenomeSource, build

INPUTS = "ISOCLR_BENCHMARK_INPUTS"  # tells the processes of a race where the files are
CHROMOSOME = 5_000_000  # nt
GENES, ISOFORMS, EXONS = 200, 5, 10  # of a chromosome, of a gene, of a gene
TURNS = 3
OURS, PEERS = "isoclr build", "pyfaidx + gffutils"


def main() -> None:
    """Print a table; write build.json and build.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = read_arguments(parser, lambda section, name: SECTIONS[section][name]())
    facts = machine()
    print_machine(facts)
    if missing := [name for name in ("pyfaidx", "gffutils") if find_spec(name) is None]:
        print(f"skipped: {PEERS}, for want of {' and '.join(missing)}")
    with TemporaryDirectory() as folder:
        os.environ[INPUTS] = folder
        for chromosomes in (1, 10, 100):
            simulate(Path(folder), chromosomes, annotated=chromosomes)
        simulate(Path(folder), 100, annotated=10)
        results = race_sections(
            __file__,
            SECTIONS,
            print_section,
            facts,
            arguments.output / "build.json",
            turns=TURNS,
            absent=[PEERS] if missing else [],
        )
        if not missing:
            check_same_rows(Path(folder))
    draw(results, arguments.output / "build.png")


def print_section(section: str, results: Sequence[dict]) -> None:
    """One line a configuration: time a transcript, throughput against the first, memory."""
    print(f"\n{section:46}{'µs/transcript':>14}{'ratio':>8}{'peak MB':>9}")
    for result in results:
        line = f"{result['name']:46}{_microseconds(result):14,.0f}{result['ratio']:8.3f}"
        print(f"{line}{result['peak_mb']:9,.0f}", flush=True)


def draw(results: Sequence[dict], path: Path) -> None:
    """Time a transcript, and peak memory, a bar a configuration."""
    figure, (time, memory) = new_axes(10, 0.9 + 0.42 * len(results), 1, 2, sharey=True)
    names = [f"{result['section']}: {result['name']}" for result in results][::-1]
    for axes, values, label in (
        (time, [_microseconds(result) for result in results], "µs a transcript, one thread"),
        (memory, [result["peak_mb"] for result in results], "peak memory (MB)"),
    ):
        bars = axes.barh(names, values[::-1], color="#1f4e79")
        axes.bar_label(bars, fmt="{:,.0f}", padding=3)
        axes.set_xlabel(label)
        axes.margins(x=0.2)
    write_figure(figure, path)


def _microseconds(result: dict) -> float:
    return min(result["seconds"]) / result["transcripts"] * 1e6


# --- A genome and its annotation


def simulate(folder: Path, chromosomes: int, annotated: int) -> None:
    """Write a genome of random letters, and a GTF of genes on its first chromosomes."""
    rng = np.random.default_rng(0)
    name = _inputs_name(chromosomes, annotated)
    with open(folder / f"{name}.fa", "wb") as genome, open(folder / f"{name}.gtf", "w") as gtf:
        for chromosome in range(chromosomes):
            letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, CHROMOSOME)]
            lines = np.full((CHROMOSOME // 50, 51), ord("\n"), np.uint8)
            lines[:, :50] = letters.reshape(-1, 50)
            genome.write(b">chr%d\n" % chromosome + lines.tobytes())
            for gene in range(GENES if chromosome < annotated else 0):
                gtf.write(_gene(f"chr{chromosome}", gene, rng))


def _inputs_name(chromosomes: int, annotated: int) -> str:
    return f"{chromosomes}-{annotated}"


def _gene(chromosome: str, gene: int, rng: np.random.Generator) -> str:
    """GTF lines, as Ensembl has them, of isoforms that each leave out another exon."""
    strand = "+-"[gene % 2]
    first = gene * (CHROMOSOME // GENES) + 1
    starts = first + np.arange(EXONS) * 2_000 + rng.integers(0, 1_000, EXONS)
    ends = starts + rng.integers(20, 80, EXONS) * 3 - 1  # full codons: any choice is in frame
    ends[[0, -1]] += 600
    gene_id = f'gene_id "{chromosome}G{gene:05d}"; gene_version "1";'
    tail = f'gene_name "{chromosome}N{gene}"; gene_source "x"; gene_biotype "protein_coding";'
    lines = [_line(chromosome, "gene", starts[0], ends[-1], strand, ".", f"{gene_id} {tail}")]
    for isoform in range(ISOFORMS):
        kept = np.arange(EXONS) != isoform + 1
        ids = f'{gene_id} transcript_id "{chromosome}T{gene:05d}.{isoform}"; {tail}'
        lines.append(_line(chromosome, "transcript", starts[0], ends[-1], strand, ".", ids))
        for start, end in zip(starts[kept], ends[kept], strict=True):
            lines.append(_line(chromosome, "exon", start, end, strand, ".", ids))
            cds_start = start + 300 if start == starts[0] else start
            cds_end = end - 300 if end == ends[-1] else end
            lines.append(_line(chromosome, "CDS", cds_start, cds_end, strand, "0", ids))
    return "".join(lines)


def _line(chromosome, feature, start, end, strand, phase, attributes) -> str:
    return f"{chromosome}\tx\t{feature}\t{start}\t{end}\t.\t{strand}\t{phase}\t{attributes}\n"


# --- Who builds


def isoclr(chromosomes: int, annotated: int) -> Workload:
    """Ours, as a user calls it, the report and the SHA-256 of the inputs included."""
    genome, annotation, output = _paths(chromosomes, annotated, OURS)

    def run():
        build([GenomeSource(genome, annotation, "x")], output, overwrite=True)

    return _workload(run, output)


def pyfaidx_gffutils(chromosomes: int, annotated: int) -> Workload:
    """What one writes with the usual libraries, from the same files to the same rows."""
    import gffutils
    import pyfaidx

    genome, annotation, output = _paths(chromosomes, annotated, PEERS)

    def run():
        shutil.rmtree(output, ignore_errors=True)
        (output / "data").mkdir(parents=True)
        genome.with_name(f"{genome.name}.fai").unlink(missing_ok=True)
        database = gffutils.create_db(
            str(annotation),
            str(output / "annotation.db"),
            disable_infer_genes=True,
            disable_infer_transcripts=True,
        )
        groups: dict[str, list[dict]] = defaultdict(list)
        with pyfaidx.Fasta(str(genome)) as sequences:
            for transcript in database.features_of_type("transcript"):
                record = _spliced(transcript, database, sequences[transcript.seqid])
                groups[f"x:{record['gene_id']}"].append(record)
        columns = {"group_id": list(groups)}
        for name in GROUP_SCHEMA.names[1:]:
            columns[name] = [[record[name] for record in group] for group in groups.values()]
        table = pa.table(columns, schema=GROUP_SCHEMA)
        pq.write_table(table, output / "data" / "train.parquet", compression="zstd")

    return _workload(run, output)


def _spliced(transcript, database, chromosome) -> dict:
    exons = list(database.children(transcript, featuretype="exon", order_by="start"))
    cds = list(database.children(transcript, featuretype="CDS", order_by="start"))
    spliced = "".join(chromosome[exon.start - 1 : exon.end].seq for exon in exons)
    lengths = [exon.end - exon.start + 1 for exon in exons]
    cds_start = cds[0].start - exons[0].start
    cds_end = len(spliced) - (exons[-1].end - cds[-1].end)
    if transcript.strand == "-":
        spliced = spliced.translate(str.maketrans("ACGT", "TGCA"))[::-1]
        lengths = lengths[::-1]
        cds_start, cds_end = len(spliced) - cds_end, len(spliced) - cds_start
    stops = ("TAA", "TAG", "TGA")
    if spliced[cds_end : cds_end + 3] in stops and spliced[cds_end - 3 : cds_end] not in stops:
        cds_end += 3
    return {
        "transcript_id": transcript.attributes["transcript_id"][0],
        "gene_id": transcript.attributes["gene_id"][0],
        "species": "x",
        "sequence": spliced,
        "cds_start": cds_start,
        "cds_end": cds_end,
        "exon_junctions": np.cumsum(lengths[:-1]).tolist(),
    }


def check_same_rows(folder: Path) -> None:
    """Raise unless peers and we have written the same groups."""
    for size in ("1-1", "10-10"):
        ours, theirs = (
            sorted(map(repr, pq.read_table(folder / f"{size} {who}" / "data").to_pylist()))
            for who in (OURS, PEERS)
        )
        if ours != theirs:
            raise AssertionError(f"{size}: {OURS} and {PEERS} have written different groups")
    print(f"\nrows of {OURS} and {PEERS} are equal")


def _paths(chromosomes: int, annotated: int, who: str) -> tuple[Path, Path, Path]:
    folder, name = Path(os.environ[INPUTS]), _inputs_name(chromosomes, annotated)
    return folder / f"{name}.fa", folder / f"{name}.gtf", folder / f"{name} {who}"


def _workload(run: Callable[[], object], output: Path) -> Workload:
    run()
    peak = peak_memory() / 2**20  # of one build, as users do
    sequences = pc.list_flatten(pq.read_table(output / "data")["sequence"])
    facts = {"transcripts": len(sequences), "peak_mb": peak}
    return Workload(run, pc.sum(pc.binary_length(sequences)).as_py(), facts)


SECTIONS = {
    f"{1000 * n:,} transcripts, genome of {5 * n} Mb": {
        OURS: lambda n=n: isoclr(n, n),
        PEERS: lambda n=n: pyfaidx_gffutils(n, n),
    }
    for n in (1, 10)
} | {
    "scale": {
        "1,000 transcripts, genome of 5 Mb": lambda: isoclr(1, 1),
        "10,000 transcripts, genome of 50 Mb": lambda: isoclr(10, 10),
        "100,000 transcripts, genome of 500 Mb": lambda: isoclr(100, 100),
        "10,000 transcripts, genome of 500 Mb": lambda: isoclr(100, 10),
    },
}

if __name__ == "__main__":
    main()
