"""Annotation files of any format to transcript models."""

import os

from data_builders.annotation.genepred import is_bed, read_genepred, records
from data_builders.annotation.gxf import read_gxf
from data_builders.annotation.models import Annotation
from data_builders.records import InputError

_GXF_COLUMNS = 9


def read_annotation(
    path: str | os.PathLike, *, strict: bool = False, details: bool = False
) -> Annotation:
    """Read an annotation, plain or gzip; its content tells the format.

    Args:
        path: GTF or GFF3 (`read_gxf`); or genePred, genePredExt, refGene, refFlat, knownGene, BED12
            or bigGenePred as text (`read_genepred`).
        strict: whether a transcript that would be skipped is an error.
        details: whether to read which transcripts annotators prefer, and the ids of proteins, from
            GTF or GFF3.

    Raises:
        InputError: a first line of another number of columns, or as the reader of the format.
    """
    _, columns = next(records(path), (0, []))
    if not columns:
        raise InputError(f"{path}: got no transcript, wanted GTF, GFF3, genePred or BED12")
    if len(columns) == _GXF_COLUMNS and not is_bed(columns):
        return read_gxf(path, strict=strict, details=details)
    return read_genepred(path, strict=strict)
