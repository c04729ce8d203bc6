"""Annotation files of any format to transcript models."""

import os

from data_builders.gxf import read_gxf
from data_builders.models import Annotation


def read_annotation(path: str | os.PathLike, *, strict: bool = False) -> Annotation:
    """Reads an annotation, its format told by its content, plain or gzip.

    Args:
        path: GTF or GFF3 (`read_gxf`).
        strict: a transcript that would be skipped is an error.

    Raises:
        InputError: as the reader of the format.
    """
    return read_gxf(path, strict=strict)
