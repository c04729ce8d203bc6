"""Tokens of records; a record that the tokenizer refuses is wrong input."""

from collections.abc import Callable

import numpy as np

from data_builders.records import InputError, Transcript
from modeling_isoclr import IsoCLRTokenizer


def tokenize(
    tokenizer: IsoCLRTokenizer,
    sequence: str,
    cds: tuple[int, int] | None = None,
    exon_junctions=None,
    *,
    name: Callable[[], str],
) -> np.ndarray:
    """Tokenize one transcript or protein into uint8 (length,), see `tokenize_transcript`.

    An error, in the tokenizer's words, calls it by its name.
    """
    try:
        return tokenizer.tokenize_transcript(sequence, cds, exon_junctions)
    except ValueError:
        pass
    # Again, with all that an error shows, which is looked up only now.
    cds = None if cds is None else (int(cds[0]), int(cds[1]))
    junctions = None if exon_junctions is None else [int(junction) for junction in exon_junctions]
    try:
        return tokenizer.tokenize_transcript(sequence, cds, junctions, name())
    except ValueError as error:
        raise InputError(str(error)) from error


def tokens_of(tokenizer: IsoCLRTokenizer, transcript: Transcript) -> np.ndarray:
    """Tokenize a transcript into uint8 (length,); an error names it."""
    return tokenize(
        tokenizer,
        transcript.sequence,
        (transcript.cds_start, transcript.cds_end),
        transcript.exon_junctions,
        name=lambda: transcript.transcript_id,
    )
