"""Which transcript of a gene annotators prefer: MANE, APPRIS, the canonical ones of a provider."""

import re
from collections.abc import Collection

SELECTIONS = ("mane", "appris", "longest")
"""Rules that select one transcript of a gene."""

LONGEST = "longest CDS"
"""What selects where no tag does."""

# Tags as GENCODE and Ensembl, and as RefSeq, write them: the preference that each one is.
_NAMED = {
    b"MANE_Select": "MANE Select",
    b"MANE Select": "MANE Select",
    b"RefSeq Select": "RefSeq Select",
    b"Ensembl_canonical": "Ensembl canonical",
}
_APPRIS_TAG = re.compile(rb"appris_(principal|alternative)(?:_([1-5]))?")

# The best preference comes first. `appris_principal` without a number is that of older releases.
_APPRIS = (
    *(f"APPRIS principal {number}" for number in range(1, 6)),
    "APPRIS principal",
    *(f"APPRIS alternative {number}" for number in range(1, 6)),
    "APPRIS alternative",
)
_ORDER = {
    "mane": (*dict.fromkeys(_NAMED.values()), *_APPRIS),
    "appris": _APPRIS,
    "longest": (),
}


def preference_of(tag: bytes) -> str | None:
    """Return the preference that a tag expresses; None for other tags."""
    appris = _APPRIS_TAG.fullmatch(tag)
    if appris is None:
        return _NAMED.get(tag)
    kind, number = appris.groups()
    return f"APPRIS {kind.decode()}" + (f" {number.decode()}" if number else "")


def best_preference(preferences: Collection[str], selection: str) -> tuple[int, str] | None:
    """Return the best preference of a transcript.

    Args:
        preferences: what `preference_of` returned for its tags.
        selection: one of `SELECTIONS`.

    Returns:
        Its rank, 0 for the best, and its name; None where none counts.
    """
    for rank, name in enumerate(_ORDER[selection]):
        if name in preferences:
            return rank, name
    return None


def order_of_choice(
    rank: float, cds: int, length: int, transcript_id: str
) -> tuple[float, int, int, str]:
    """Return by what the transcripts of a gene are ordered, the one to choose first.

    Args:
        rank: of its best preference, infinite without one.
        cds: its length in nt, 0 without one.
        length: of the spliced transcript in nt.
        transcript_id: which decides in the end.
    """
    return rank, -cds, -length, transcript_id
