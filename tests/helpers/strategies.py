"""Transcripts as hypothesis draws them."""

from hypothesis import strategies as st


def letters(least: int = 1, most: int = 40) -> st.SearchStrategy[str]:
    """Sequences of so many nucleotides."""
    return st.text("ACGTN", min_size=least, max_size=most)


def junctions_of(length: int) -> st.SearchStrategy[list[int]]:
    """Exon junctions of a transcript of so many nt, ascending."""
    if length < 2:
        return st.just([])
    return st.lists(st.integers(1, length - 1), unique=True, max_size=6).map(sorted)


@st.composite
def transcripts(draw) -> tuple[str, tuple[int, int] | None, list[int] | None]:
    """A sequence, its CDS or None, and its exon junctions or None."""
    sequence = draw(letters())
    cds = None
    if len(sequence) >= 3 and draw(st.booleans()):
        start = draw(st.integers(0, len(sequence) - 3))
        cds = start, start + 3 * draw(st.integers(1, (len(sequence) - start) // 3))
    return sequence, cds, draw(st.none() | junctions_of(len(sequence)))
