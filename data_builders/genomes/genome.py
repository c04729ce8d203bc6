"""Genome files of any format to sequences, one in memory at a time."""

import os
from collections.abc import Iterator

from data_builders.genomes.fasta import read_fasta
from data_builders.genomes.twobit import is_twobit, read_twobit
from data_builders.text import Tally


def read_genome(path: str | os.PathLike, tally: Tally | None = None) -> Iterator[tuple[str, str]]:
    """Read a genome; its content tells the format.

    Args:
        path: FASTA, plain, gzip or bgzip (`read_fasta`), or UCSC 2bit (`read_twobit`).
        tally: where the bases that became N are counted, as adjusted.

    Yields:
        The name and the sequence (A C G T N), in the order of the file.

    Raises:
        InputError: as the reader of the format.
    """
    yield from read_twobit(path) if is_twobit(path) else read_fasta(path, tally)
