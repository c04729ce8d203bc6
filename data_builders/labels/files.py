"""Label sets as Parquet files."""

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.codec import TRANSCRIPT_SCHEMA, transcript_columns, transcripts_of_table
from data_builders.homology.matches import Match
from data_builders.labels.base import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.records import InputError

_COLUMNS = pa.schema([*TRANSCRIPT_SCHEMA, ("homology_group", pa.string())])
_LABEL = {
    REGRESSION: pa.float64(),
    BINARY: pa.bool_(),
    MULTICLASS: pa.string(),
    MULTILABEL: pa.list_(pa.string()),
}
_METADATA = b"isoclr.labels"


def write_label_set(labels: LabelSet, path: str | os.PathLike) -> None:
    """Write one row a transcript: itself, homology_group and the label.

    The label's column is a float64, a bool, the name of a class, or the list of the names of
    classes, by the task. `read_labels` and `datasets.load_dataset` read the file too. Task, classes
    and report are in its metadata. Splits are not stored: they follow from homology_group and a
    seed. A label that is named like another column is an InputError.
    """
    if labels.label in _COLUMNS.names:
        raise InputError(
            f"{path}: label: got the name '{labels.label}', wanted none of "
            f"{', '.join(_COLUMNS.names)}"
        )
    columns: dict[str, object] = dict(transcript_columns(labels.transcripts))
    columns["homology_group"] = list(labels.groups)
    classes, targets = np.array(labels.classes, object), labels.targets
    if labels.task == MULTICLASS:
        targets = classes[targets].tolist()
    elif labels.task == MULTILABEL:
        targets = [classes[row].tolist() for row in targets]
    columns[labels.label] = targets
    about = {"label": labels.label, "task": labels.task, "classes": labels.classes}
    about |= {"report": labels.report, "matched": labels.matched}
    about["homology_matches"] = list(map(asdict, labels.homology_matches))
    schema = _COLUMNS.append(pa.field(labels.label, _LABEL[labels.task]))
    table = pa.table(columns, schema.with_metadata({_METADATA: json.dumps(about)}))
    partial = Path(f"{path}.partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def is_label_set(path: str | os.PathLike) -> bool:
    """Whether a file is one that `write_label_set` wrote."""
    try:
        return _METADATA in (pq.read_schema(path).metadata or {})
    except (pa.ArrowInvalid, OSError):
        return False


def read_label_set(path: str | os.PathLike) -> LabelSet:
    """Read what `write_label_set` wrote."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file, wanted a label set or a table") from error
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: got '{reason}', wanted the Parquet file of a label set; of another table say "
            "which column to predict (--label)"
        ) from error
    metadata = (table.schema.metadata or {}).get(_METADATA)
    about = json.loads(metadata or "{}")
    if "task" not in about:
        raise InputError(
            f"{path}: got a Parquet file of something else, wanted labels that 'isoclr labels' "
            "wrote"
        )
    transcripts = tuple(transcripts_of_table(table))
    task, classes = about["task"], tuple(about["classes"])
    targets = table[about["label"]].to_pylist()
    place = {name: i for i, name in enumerate(classes)}
    if task == MULTICLASS:
        targets = [place[name] for name in targets]
    elif task == MULTILABEL:
        names, targets = targets, np.zeros((len(transcripts), len(classes)), bool)
        for row, present in enumerate(names):
            targets[row, [place[name] for name in present]] = True
    return LabelSet(
        label=about["label"],
        task=task,
        targets=np.asarray(targets),
        classes=classes,
        transcripts=transcripts,
        groups=tuple(table["homology_group"].to_pylist()),
        report=Counter(about["report"]),
        matched=Counter(about.get("matched", {})),
        homology_matches=tuple(Match(**match) for match in about.get("homology_matches", ())),
    )
