"""Sequences of RNAs and of proteins, from FASTA or a table."""

import os
from collections.abc import Sequence

from data_builders.homology.alignments import read_rows
from data_builders.homology.alphabets import PROTEIN, RNA, Alphabet, guess_alphabet, without_gaps
from data_builders.interactions.dataset import Molecule
from data_builders.labels.label_set import filled
from data_builders.records import AMBIGUOUS, InputError
from data_builders.tables import is_parquet, names_of_columns, read_table
from data_builders.text import Tally, numbered_lines

_IDS = {RNA.name: ("id", "rna_id"), PROTEIN.name: ("id", "protein_id")}
_SHOWN = 40
_LONG, _LONG_SHARE, _SHORT_SHARE = 30, 0.9, 0.5
"""Of so many letters or more, more than the first share must be nucleotides; of fewer, which tell
less, more than the second."""


def read_molecules(
    paths: Sequence[str | os.PathLike], alphabet: Alphabet, tally: Tally
) -> dict[str, Molecule]:
    """Read sequences, of several files perhaps.

    Args:
        paths: FASTA, or a table with the columns id (or rna_id, protein_id) and sequence, and
            perhaps family and category; plain or gzip.
        alphabet: of the sequences. Of RNA, U is read as T, and what is no nucleotide, such as the
            I and the F of structures, as N. Gaps, and the stop at the end of a protein, are taken
            off.
        tally: where sequences, and letters that were read as N, are counted.

    Returns:
        Id -> molecule.

    Raises:
        InputError: a file that cannot be read; a sequence without an id, an id without a sequence
            or used before; a letter that is none of a protein; a protein among RNAs, or an RNA
            among proteins.
    """
    found: dict[str, Molecule] = {}
    for path in paths:
        for molecule, where in _records(path, alphabet):
            tally.read += 1
            if molecule.id in found:
                raise InputError(
                    f"{where}: id: got {molecule.id[:_SHOWN]!r} again, wanted each once"
                )
            named = f"{where}: sequence of '{molecule.id[:_SHOWN]}'"
            sequence = checked_sequence(molecule.sequence, alphabet, named, tally)
            found[molecule.id] = Molecule(
                molecule.id, sequence, molecule.family, None, molecule.category
            )
    return found


def _is_fasta(path) -> bool:
    lines = (line for _, line in numbered_lines(path) if line.strip())
    return not is_parquet(path) and next(lines, b"").startswith(b">")


def _records(path, alphabet: Alphabet):
    """Yield a molecule with its letters as they are written, and where it is."""
    if _is_fasta(path):
        for rows in read_rows(path):
            for row in rows.rows:
                yield Molecule(row.name, row.letters), f"{path}:{row.line}"
        return
    table = read_table(path)
    names = [name for name in _IDS[alphabet.name] if name in table.columns]
    if not names or "sequence" not in table.columns:
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted FASTA, or a table with "
            f"{' or '.join(_IDS[alphabet.name])}, and sequence"
        )
    ids, sequences = filled(table, names[0], path), filled(table, "sequence", path)
    more = [
        _texts_or_none(table, name) if name in table.columns else [None] * len(ids)
        for name in ("family", "category")
    ]
    rows = zip(ids, sequences, *more, strict=True)
    for row, (name, letters, family, category) in enumerate(rows, 1):
        where = f"{path}: row {row}"
        if not name:
            raise InputError(f"{where}: {names[0]}: got nothing, wanted an id")
        yield Molecule(name, letters, family, None, category), where


def _texts_or_none(table, name: str) -> list[str | None]:
    return [None if value in (None, "") else str(value) for value in table[name].to_list()]


def checked_sequence(raw: str, alphabet: Alphabet, where: str, tally: Tally) -> str:
    """Return a sequence in its alphabet, as `read_molecules` reads it."""
    if alphabet.name == PROTEIN.name:
        raw = raw.rstrip("*")
    row, bad, _ = alphabet.read(raw)
    letters = without_gaps(row)
    if not letters:
        raise InputError(f"{where}: got none, wanted letters")
    guessed = guess_alphabet(raw)
    if alphabet.name == PROTEIN.name:
        if bad is not None:
            raise InputError(f"{where}: got {bad!r}, wanted amino acids")
        if guessed == RNA.name:
            raise InputError(f"{where}: got nucleotides, wanted a protein")
        return letters
    if not raw.isascii() or not all(letter.isalpha() or letter in "-.~_?" for letter in raw):
        odd = next(c for c in raw if not (c.isascii() and (c.isalpha() or c in "-.~_?")))
        raise InputError(f"{where}: got {odd!r}, wanted nucleotides")
    if _is_protein(raw.upper()):
        raise InputError(f"{where}: got a protein, wanted nucleotides")
    unknown = letters.count("N") + letters.count("\0") - raw.upper().count("N")
    if unknown:
        tally.adjusted["letter that is no nucleotide read as N"] += unknown
    return letters.replace("\0", "N")


def _is_protein(letters: str) -> bool:
    """Say whether too few letters are nucleotides; codes of several of them count as neither."""
    said = [letter for letter in letters if letter.isalpha() and letter not in "NX"]
    known = [letter for letter in said if letter not in AMBIGUOUS]
    share = sum(letter in "ACGTU" for letter in known) / max(len(known), 1)
    least = _LONG_SHARE if len(known) >= _LONG else _SHORT_SHARE
    return bool(said) and share <= least
