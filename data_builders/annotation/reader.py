"""Annotation files of any format to transcript models."""

import os

from data_builders.annotation.genepred import COLUMNS, read_genepred, records
from data_builders.annotation.gxf import read_gxf
from data_builders.annotation.models import Annotation
from data_builders.records import InputError

_GXF_COLUMNS = 9


def read_annotation(path: str | os.PathLike, *, strict: bool = False) -> Annotation:
    """Reads an annotation, its format told by its content, plain or gzip.

    Args:
        path: GTF or GFF3 (`read_gxf`); or genePred, genePredExt, refGene or BED12
            (`read_genepred`).
        strict: a transcript that would be skipped is an error.

    Raises:
        InputError: a first line of another number of columns, or as the reader of the format.
    """
    number, columns = next(records(path), (0, []))
    if not columns:
        raise InputError(f"{path}: got no transcript, wanted GTF, GFF3, genePred or BED12")
    if len(columns) == _GXF_COLUMNS:
        return read_gxf(path, strict=strict)
    if len(columns) in COLUMNS:
        return read_genepred(path, strict=strict)
    tables = ", ".join(f"{width} ({name})" for width, name in COLUMNS.items())
    raise InputError(
        f"{path}:{number}: columns: got {len(columns)}, wanted {_GXF_COLUMNS} (GTF, GFF3), {tables}"
    )
