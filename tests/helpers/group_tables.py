"""Isoform groups as Arrow tables and Parquet, for tests that build no genome."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.codec import GROUP_SCHEMA

SPECIES = ("human", "mouse", "fly")


def member(species="human", gene="g", sequence="ACGTACGTA", cds=(-1, -1), junctions=None):
    """One transcript."""
    return species, gene, sequence, *cds, junctions


def group_table(*groups):
    """A row for each list of members."""
    names = ("species", "gene_id", "sequence", "cds_start", "cds_end", "exon_junctions")
    columns = {name: [[m[i] for m in group] for group in groups] for i, name in enumerate(names)}
    columns["group_id"] = [f"group{g}" for g in range(len(groups))]
    columns["transcript_id"] = [
        [f"t{g}.{m}" for m in range(len(group))] for g, group in enumerate(groups)
    ]
    return pa.table(columns, schema=GROUP_SCHEMA)


def random_groups(n, seed=0):
    """Groups of 1 to 9 members of three species, two genes each, a third without a CDS."""
    rng = np.random.default_rng(seed)
    return [[_random_member(rng) for _ in range(rng.integers(1, 10))] for _ in range(n)]


def write_groups_table(table, folder: Path, shards=1):
    """As `isoclr build` lays groups out."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    bounds = np.linspace(0, len(table), shards + 1).astype(int)
    for i, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        part = table.slice(start, end - start)
        pq.write_table(part, folder / "data" / f"train-{i:05d}-of-{shards:05d}.parquet")
    return folder


def _random_member(rng):
    length = int(rng.integers(3, 60))
    sequence = "".join(rng.choice(list("ACGTNacgtu"), length))
    start = int(rng.integers(0, length - 2))
    end = start + int(rng.integers(1, (length - start) // 3 + 1)) * 3
    cut = np.flatnonzero(rng.random(length - 1) < 0.1) + 1
    return member(
        str(rng.choice(SPECIES)),
        str(rng.choice(["g", "h"])),
        sequence,
        (start, end) if rng.random() < 0.67 else (-1, -1),
        cut.tolist() if rng.random() < 0.67 else None,
    )
