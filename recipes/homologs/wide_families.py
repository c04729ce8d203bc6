"""Write the table of families that recipes/homologs/wide.yaml has beside aligned proteins.

    python recipes/homologs/wide_families.py TRANSCRIPTS HOMOLOGY ALIGNMENTS wide.parquet

A family is a group of genes of HomoloGene or a gene alone; of each species it has the longest
protein. Left out are the families of the alignments, and relatives of those that the recipe holds
out (360, seed 0), as `relatives` finds them.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import DisjointSet

from data_builders.homology.alphabets import translate
from data_builders.homology.relatives import relatives
from isoclr.objectives.homologs.families import held_out

HELD_OUT, SEED = 360, 0
COMPARED = ("hg38", "mm10", "bosTau8")  # members of a held-out family that relatives are told by
SHORTEST, MOST_UNKNOWN = 60, 0.05
TAXONOMY = {
    "human": 9606,
    "mouse": 10090,
    "cow": 9913,
    "zebrafish": 7955,
    "c_elegans": 6239,
    "fly": 7227,
    "arabidopsis": 3702,
    "rice": 4530,
    "s_pombe": 4896,
}


def read_proteins(path: Path) -> tuple[pl.DataFrame, Counter[str]]:
    """Return proteins of annotated and predicted CDS; and what was left out, by reason."""
    columns = ["transcript_id", "gene_id", "gene_symbol", "species"]
    coding = pl.read_parquet(path).filter(pl.col("cds_start") >= 0)
    cds = coding.select("sequence", "cds_start", "cds_end").iter_rows()
    proteins = [
        translate(sequence[start:end]).removesuffix("*").replace("*", "X")
        for sequence, start, end in cds
    ]
    table = coding.select(columns).with_columns(protein=pl.Series(proteins))
    length = pl.col("protein").str.len_chars()
    short = table.filter(length >= SHORTEST)
    known = short.filter(pl.col("protein").str.count_matches("X") <= MOST_UNKNOWN * length)
    left_out = {"shorter": table.height - short.height, "unknown": short.height - known.height}
    return known, Counter(left_out)


def read_groups(path: Path) -> dict[tuple[int, str], int]:
    """Return (taxonomy, symbol in capitals) -> group of HomoloGene."""
    table = pl.read_csv(path, separator="\t").select("taxonomy_id", "gene_symbol", "homologene_id")
    return {(taxon, str(symbol).upper()): group for taxon, symbol, group in table.iter_rows()}


def families_of(table: pl.DataFrame, groups: dict[tuple[int, str], int]) -> list:
    """Return the family of each row: what shares gene, symbol, protein or group is one."""
    joined = DisjointSet()
    for row, (_, gene, symbol, species, protein) in enumerate(table.iter_rows()):
        keys = [("gene", species, gene), ("protein", protein)]
        if symbol:
            keys.append(("symbol", species, symbol.upper()))
            group = groups.get((TAXONOMY[species], symbol.upper()))
            keys += [] if group is None else [("group", group)]
        joined.add(row)
        for key in keys:
            joined.add(key)
            joined.merge(row, key)
    return [joined[row] for row in range(table.height)]


def main(transcripts: Path, homology: Path, alignments: Path, output: Path) -> None:
    """Write the table, and print what was left out."""
    table, left_out = read_proteins(transcripts)
    family = families_of(table, read_groups(homology))
    longest: dict = {}
    for row, (*_, species, protein) in enumerate(table.iter_rows()):
        of_family = longest.setdefault(family[row], {})
        best = of_family.get(species)
        if best is None or len(table["protein"][best]) < len(protein):
            of_family[species] = row

    aligned = pl.read_parquet(alignments)
    ids = list(dict.fromkeys(aligned["gene_id"]))
    held = set(np.array(ids)[held_out(ids, HELD_OUT, SEED)])
    of_held = aligned.filter(
        pl.col("gene_id").is_in(list(held)) & pl.col("species").is_in(COMPARED)
    )["aligned_protein"].str.replace_all("[-X]", "")
    rows = [row for members in longest.values() for row in members.values()]
    near = relatives(table["protein"][rows].to_list(), of_held.to_list())
    related = {family[row] for row, is_near in zip(rows, near, strict=True) if is_near}
    genes = table["gene_id"].to_list()
    related |= {family[row] for row, gene in enumerate(genes) if gene in held}
    there = {family[row] for row, gene in enumerate(genes) if gene in set(ids) - held} - related
    left_out |= {"families related to held-out ones": len(related), "families there": len(there)}
    print(f"{len(longest)} families; left out: {dict(left_out)}")

    written = []
    for name, members in sorted(longest.items(), key=lambda item: str(item[0])):
        if name in related | there:
            continue
        first = table.row(members.get("human", next(iter(members.values()))), named=True)
        title = f"{first['species']}:{first['gene_id']}"
        for species, row in sorted(members.items()):
            written.append((title, table["transcript_id"][row], species, table["protein"][row]))
    schema = ["family", "transcript_id", "species", "sequence"]
    pl.DataFrame(written, schema, orient="row").write_parquet(output)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
