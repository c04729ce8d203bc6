"""The schemas of transcripts and isoform groups, and the one codec to and from Arrow."""

from collections.abc import Iterable, Iterator
from operator import attrgetter

import pyarrow as pa

from data_builders.records import IsoformGroup, Transcript

TRANSCRIPT_SCHEMA = pa.schema(
    [
        ("transcript_id", pa.string()),
        ("gene_id", pa.string()),
        ("species", pa.string()),
        ("sequence", pa.string()),
        ("cds_start", pa.int32()),
        ("cds_end", pa.int32()),
        ("exon_junctions", pa.list_(pa.int32())),
    ]
)
"""One row a transcript; columns are named as the fields of `Transcript`."""

FIELDS = tuple(TRANSCRIPT_SCHEMA.names)

GROUP_SCHEMA = pa.schema(
    [
        pa.field("group_id", pa.string(), nullable=False),
        *((field.name, pa.list_(field.type)) for field in TRANSCRIPT_SCHEMA),
    ]
)
"""One row a group: every column but the first has one entry a transcript."""

ROWS_AT_ONCE = 1_000
"""Groups in memory at a time, and in a row group of a Parquet file."""


def transcript_columns(transcripts: Iterable[Transcript]) -> dict[str, list]:
    """Return the fields of transcripts as columns, for `TRANSCRIPT_SCHEMA`."""
    transcripts = list(transcripts)
    return {name: list(map(attrgetter(name), transcripts)) for name in FIELDS}


def table_of_groups(groups: Iterable[IsoformGroup]) -> pa.Table:
    """Return groups as a table of `GROUP_SCHEMA`."""
    groups = list(groups)
    columns: dict[str, list] = {"group_id": [group.group_id for group in groups]}
    members = [transcript_columns(group.transcripts) for group in groups]
    columns |= {name: [each[name] for each in members] for name in FIELDS}
    return pa.table(columns, schema=GROUP_SCHEMA)


def transcripts_of_table(table: pa.Table) -> Iterator[Transcript]:
    """Yield the transcripts of a table that has the columns of `TRANSCRIPT_SCHEMA`."""
    for batch in table.select(list(FIELDS)).to_batches(ROWS_AT_ONCE):
        yield from map(_transcript, *(column.to_pylist() for column in batch.columns))


def groups_of_table(table: pa.Table) -> Iterator[IsoformGroup]:
    """Yield the groups of a table of `GROUP_SCHEMA`."""
    for batch in table.to_batches(ROWS_AT_ONCE):
        columns = [batch[name].to_pylist() for name in FIELDS]
        for group_id, *members in zip(batch["group_id"].to_pylist(), *columns, strict=True):
            yield IsoformGroup(group_id, tuple(map(_transcript, *members)))


def _transcript(*values) -> Transcript:
    *fields, junctions = values
    known = None if junctions is None else tuple(junctions)
    return Transcript(*fields, known)  # pyright: ignore[reportCallIssue]  as many as FIELDS
