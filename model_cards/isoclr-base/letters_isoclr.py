"""Letters of sequences as numbers, and the open reading frames among them."""

import numpy as np

from .configuration_isoclr import N_BASE, RESIDUE_TOKENS

UNKNOWN = 255  # what stands for a letter that is none of the alphabet
_BASE_OF_BYTE = bytearray([UNKNOWN] * 256)
for _letters, _base in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3), ("Nn", N_BASE)):
    for _letter in _letters:
        _BASE_OF_BYTE[ord(_letter)] = _base
_RESIDUE_OF_BYTE = bytearray([UNKNOWN] * 256)
for _letter, _token in RESIDUE_TOKENS.items():
    _RESIDUE_OF_BYTE[ord(_letter)] = _RESIDUE_OF_BYTE[ord(_letter.lower())] = _token
_START_CODON = 0 * 25 + 3 * 5 + 2  # ATG
_STOP_CODONS = (3 * 25 + 0 * 5 + 0, 3 * 25 + 0 * 5 + 2, 3 * 25 + 2 * 5 + 0)  # TAA TAG TGA


def base_codes(sequence):
    """Bases of a sequence as uint8 (length,): A0 C1 G2 T3 N4, 255 for any other letter.

    The sequence is text, or bytes, each of them a letter.
    """
    # bytearray.translate is the fastest look-up there is, and its result can be written to.
    is_text = isinstance(sequence, str)
    letters = bytearray(sequence, "ascii", "replace") if is_text else bytearray(sequence)
    return np.frombuffer(letters.translate(_BASE_OF_BYTE), dtype=np.uint8)


def residue_codes(sequence):
    """Residues of a protein as uint8 (length,), by RESIDUE_TOKENS; 255 for any other letter."""
    letters = bytearray(sequence, "ascii", "replace").translate(_RESIDUE_OF_BYTE)
    return np.frombuffer(letters, dtype=np.uint8)


def longest_orf(sequence):
    """The longest open reading frame, from an ATG to its stop codon, on the given strand.

    Args:
        sequence: letters, 5'→3'.

    Returns:
        (start, end) with the stop codon, the first of equally long ones; None when there is none.
    """
    codes = base_codes(sequence).astype(np.int64)
    if codes.size < 6:
        return None
    codons = codes[:-2] * 25 + codes[1:-1] * 5 + codes[2:]
    codons[np.maximum(np.maximum(codes[:-2], codes[1:-1]), codes[2:]) >= N_BASE] = -1
    starts = np.flatnonzero(codons == _START_CODON)
    stops = np.flatnonzero(np.isin(codons, _STOP_CODONS))
    best = None
    for frame in range(3):
        begin, end = starts[starts % 3 == frame], stops[stops % 3 == frame]
        after = np.searchsorted(end, begin)
        begin, after = begin[after < end.size], after[after < end.size]
        if begin.size == 0:
            continue
        lengths = end[after] + 3 - begin
        longest = int(lengths.argmax())
        found = (int(begin[longest]), int(begin[longest] + lengths[longest]))
        if best is None or (found[0] - found[1], found[0]) < (best[0] - best[1], best[0]):
            best = found
    return best
