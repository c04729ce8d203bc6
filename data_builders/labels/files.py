"""Label sets as Parquet files, split by homology group."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import FRACTIONS, homology_split
from data_builders.records import InputError, Transcript

SPLITS = ("train", "validation", "test")
_TRANSCRIPT = {
    "transcript_id": pa.string(),
    "gene_id": pa.string(),
    "species": pa.string(),
    "sequence": pa.string(),
    "cds_start": pa.int32(),
    "cds_end": pa.int32(),
    "exon_junctions": pa.list_(pa.int32()),
}
_COLUMNS = pa.schema(
    [*_TRANSCRIPT.items(), ("homology_group", pa.string()), ("split", pa.string())]
)
_METADATA = b"isoclr.labels"


def write_label_set(
    labels: LabelSet,
    path: str | os.PathLike,
    *,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
) -> None:
    """Writes one row a transcript: itself, homology_group, split and the label.

    The label's column is a float64, or the list of the names of its classes; `read_labels` and
    `datasets.load_dataset` read the file too. All names, the seed and the report are in its
    metadata.

    Args:
        labels: what to write.
        path: the Parquet file, replaced if it is there.
        seed: of `homology_split`, which fills "split" with train, validation and test.
        fractions: as in `homology_split`.

    Raises:
        InputError: too few homology groups to split, or a label that is named like another column.
    """
    if labels.label in _COLUMNS.names:
        raise InputError(
            f"{path}: label: got the name '{labels.label}', wanted none of "
            f"{', '.join(_COLUMNS.names)}"
        )
    split = np.empty(len(labels.transcripts), object)
    for name, rows in zip(SPLITS, homology_split(labels.groups, seed, fractions), strict=True):
        split[rows] = name
    columns = {name: [getattr(t, name) for t in labels.transcripts] for name in _TRANSCRIPT}
    columns |= {"homology_group": list(labels.groups), "split": split.tolist()}
    if labels.classes:
        classes = np.array(labels.classes, object)
        columns[labels.label] = [classes[row].tolist() for row in labels.targets]
        kind = pa.list_(pa.string())
    else:
        columns[labels.label] = labels.targets
        kind = pa.float64()
    about = {"label": labels.label, "classes": labels.classes, "seed": seed}
    about["report"] = labels.report
    schema = _COLUMNS.append(pa.field(labels.label, kind))
    table = pa.table(columns, schema.with_metadata({_METADATA: json.dumps(about)}))
    partial = Path(f"{path}.partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def read_label_set(path: str | os.PathLike) -> tuple[LabelSet, dict[str, np.ndarray]]:
    """Reads what `write_label_set` wrote.

    Returns:
        The labels, and for train, validation and test its ascending row numbers, int64.

    Raises:
        InputError: the file is not one of these.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: got '{reason}', wanted a Parquet file of labels") from error
    about = (table.schema.metadata or {}).get(_METADATA)
    if about is None:
        raise InputError(f"{path}: got a Parquet file of something else, wanted labels")
    about = json.loads(about)
    transcripts = tuple(
        Transcript(**row | {"exon_junctions": None if j is None else tuple(j)})
        for row in table.select(list(_TRANSCRIPT)).to_pylist()
        for j in (row["exon_junctions"],)
    )
    classes = tuple(about["classes"])
    targets = table[about["label"]].to_pylist()
    if classes:
        place = {name: i for i, name in enumerate(classes)}
        names, targets = targets, np.zeros((len(transcripts), len(classes)), bool)
        for row, present in enumerate(names):
            targets[row, [place[name] for name in present]] = True
    split = np.array(table["split"].to_pylist())
    groups = tuple(table["homology_group"].to_pylist())
    report = Counter(about["report"])
    labels = LabelSet(about["label"], transcripts, np.asarray(targets), groups, report, classes)
    return labels, {name: np.flatnonzero(split == name) for name in SPLITS}
