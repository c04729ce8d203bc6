"""Letters of nucleotide and protein sequences, and which of the two a sequence is of."""

from collections import Counter
from dataclasses import dataclass
from itertools import product

from data_builders.records import AMBIGUOUS

GAPS = "-.~_"
_GAP_BYTES = GAPS.encode()
_NUCLEOTIDE_SHARE = 0.9
_FEWEST_LETTERS = 30
"""So many letters tell a protein from a nucleotide sequence."""


@dataclass(frozen=True)
class Alphabet:
    """How letters are read.

    Attributes:
        name: rna or protein.
        letters: what a sequence may hold once it is read.
        unknown: the letter of an unknown position.
        read_as: bytes of 256, the letter that each byte is read as; 0 where it is none.
        adjusted: letters that are read as `unknown`.
    """

    name: str
    letters: str
    unknown: str
    read_as: bytes
    adjusted: str

    def read(self, aligned: str) -> tuple[str, str | None, int]:
        """Read a row, with its gaps and letters of either case.

        Returns it in this alphabet, upper-case, with `-` for every gap; the first character that is
        no letter, None when there is none; how many letters were read as unknown.
        """
        raw = aligned.encode("utf-8", "replace")
        row = raw.translate(self.read_as)
        bad = row.find(0)
        changed = sum(raw.count(letter) for letter in self.adjusted.encode())
        return row.decode("ascii"), None if bad < 0 else chr(raw[bad]), changed


def _table(letters: str, same: dict[str, str]) -> bytes:
    table = bytearray(256)
    for letter, meaning in {**{letter: letter for letter in letters}, **same}.items():
        for spelling in (letter, letter.lower()):
            table[ord(spelling)] = ord(meaning)
    for gap in _GAP_BYTES:
        table[gap] = ord("-")
    return bytes(table)


RNA = Alphabet(
    "rna",
    "ACGTN",
    "N",
    _table("ACGTN", {"U": "T", "X": "N", "?": "N", **dict.fromkeys(AMBIGUOUS, "N")}),
    AMBIGUOUS + AMBIGUOUS.lower(),
)
PROTEIN = Alphabet(
    "protein",
    "ACDEFGHIKLMNPQRSTVWYBZJUOX",
    "X",
    _table("ACDEFGHIKLMNPQRSTVWYBZJUOX", {"*": "X", "?": "X"}),
    "*",
)
ALPHABETS = {alphabet.name: alphabet for alphabet in (RNA, PROTEIN)}


_CODE = dict(
    zip(
        map("".join, product("TCAG", repeat=3)),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)


def without_gaps(row: str) -> str:
    """Return the letters of a row that was read."""
    return row.replace("-", "")


def translate(cds: str) -> str:
    """Return the protein of a coding sequence A C G T N, in frame, by the standard genetic code.

    One letter a codon, `*` for a stop and X for a codon with N; what is left of a codon at the end
    is dropped.
    """
    codons = (cds[i : i + 3] for i in range(0, len(cds) - 2, 3))
    return "".join(_CODE.get(codon, "X") for codon in codons)


def guess_alphabet(letters: str) -> str | None:
    """Return whether letters are of rna or protein; None where there are too few to tell."""
    counts = Counter(letters.upper())
    known = sum(n for letter, n in counts.items() if letter.isalpha() and letter not in "NX")
    nucleotides = sum(counts[letter] for letter in "ACGTU")
    if known < _FEWEST_LETTERS:
        return None
    return RNA.name if nucleotides >= _NUCLEOTIDE_SHARE * known else PROTEIN.name
