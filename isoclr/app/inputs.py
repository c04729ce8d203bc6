"""What a visitor types or uploads, as transcripts; it is bounded, and no error names a path."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from data_builders.groups.transcripts import read_source
from data_builders.records import InputError, Transcript
from data_builders.sources import FastaSource
from data_builders.text import Tally
from isoclr.evaluation.embed import guess_cds

_FASTA, _ANNOTATION = "sequences", "annotation"
_GZIP = b"\x1f\x8b"
_SHORTEST_FRAME = 90  # nt of a reading frame that is taken for a CDS
_NAME = "sequence"  # of what is typed without a header


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one visitor may hand in at once.

    Attributes:
        bytes: of each file, unpacked; of the typed text too.
        transcripts: of all.
        nucleotides: of each transcript.
        molecules: RNAs, and proteins; every one of these is scored with every one of those.
        letters: of each RNA and protein.
        samples: of expression.
    """

    bytes: int = 10_000_000
    transcripts: int = 200
    nucleotides: int = 20_000
    molecules: int = 40
    letters: int = 20_000
    samples: int = 2_000


LIMITS = Limits()
"""Of a page that does not say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is said of the transcripts beside their sequences.

    Attributes:
        species: of all of them.
        guess: take the longest reading frame where no CDS is known.
        cds: "start-end" of a single transcript, 0-based and half-open; empty: not said.
        junctions: its exon junctions, with commas between: the first base of every exon but the
            first; "none" for a single exon; empty: not said.
    """

    species: str = ""
    guess: bool = False
    cds: str = ""
    junctions: str = ""


def read_upload(path: str | Path, limits: Limits = LIMITS) -> bytes:
    """Return the content of an uploaded file, unpacked where it is gzip.

    Raises:
        InputError: more bytes than allowed, or a damaged gzip stream.
    """
    import gzip
    import zlib

    with Path(path).open("rb") as file:
        packed = file.read(2) == _GZIP
    name = "the file"
    try:
        with gzip.open(path) if packed else Path(path).open("rb") as file:
            content = file.read(limits.bytes + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{name}: got a damaged gzip file, wanted a whole one") from error
    check_size(name, len(content), limits)
    return content


def read_transcripts(
    fasta: str | bytes,
    annotation: bytes | None = None,
    given: Given = Given(),
    limits: Limits = LIMITS,
) -> tuple[list[Transcript], list[str]]:
    """Read transcripts of FASTA text, with their structure as far as it is said.

    Args:
        fasta: spliced transcripts; a text without a header is one sequence.
        annotation: GTF, GFF3, genePred or BED12 of them.
        given: what else is said.
        limits: bounds.

    Returns:
        The transcripts, and notes on what was skipped, changed or guessed.

    Raises:
        InputError: in one line without a path of this machine: nothing given, too much, what the
            readers refuse, or coordinates of several transcripts.
    """
    check_size(_ANNOTATION, len(annotation or b""), limits)
    content = as_fasta(fasta, _FASTA, limits)
    tally = Tally()
    with private_folder() as folder:
        (folder / _FASTA).write_bytes(content)
        if annotation:
            (folder / _ANNOTATION).write_bytes(annotation)
        source = FastaSource(
            folder / _FASTA,
            given.species.strip() or "unknown",
            folder / _ANNOTATION if annotation else None,
        )
        transcripts = list(read_source(source, tally))
    if not transcripts:
        raise InputError(f"got no transcript to use; skipped: {dict(tally.skipped)}")
    _check_transcripts(transcripts, limits)
    transcripts = _with_coordinates(transcripts, given)
    if given.guess:
        transcripts, guessed = guess_cds(transcripts, _SHORTEST_FRAME)
        tally.adjusted["CDS guessed: the longest reading frame"] += guessed
    return transcripts, notes_of(tally)


def as_fasta(given: str | bytes, name: str, limits: Limits) -> bytes:
    """Return FASTA; a text without a header becomes one sequence with the name "sequence".

    Args:
        given: what was typed or uploaded.
        name: what an error calls it.
        limits: bounds.

    Raises:
        InputError: nothing, or more bytes than allowed.
    """
    content = given.encode() if isinstance(given, str) else given
    if not content.strip():
        raise InputError(f"{name}: got none, wanted FASTA text or a file")
    check_size(name, len(content), limits)
    return content if content.lstrip().startswith(b">") else f">{_NAME}\n".encode() + content


def notes_of(tally: Tally) -> list[str]:
    """Return one line for each reason by which records were skipped or changed."""
    return [
        f"{what} {n}: {reason}"
        for what, counts in (("skipped", tally.skipped), ("adjusted", tally.adjusted))
        for reason, n in counts.items()
        if n
    ]


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder for files that are read or written by path; errors name the files alone."""
    with tempfile.TemporaryDirectory(prefix="isoclr-app-") as name:
        try:
            yield Path(name)
        except InputError as error:
            raise InputError(str(error).replace(f"{name}/", "")) from None


def check_size(name: str, size: int, limits: Limits) -> None:
    """Refuse what has more bytes than allowed; the error calls it by `name`.

    Raises:
        InputError: so it is.
    """
    if size > limits.bytes:
        raise InputError(
            f"{name}: got more than {limits.bytes:,} bytes, wanted at most so many; "
            "`isoclr` on your own machine has no such limit"
        )


def _check_transcripts(transcripts: list[Transcript], limits: Limits) -> None:
    if len(transcripts) > limits.transcripts:
        raise InputError(
            f"got {len(transcripts):,} transcripts, wanted at most {limits.transcripts:,}"
        )
    for transcript in transcripts:
        if len(transcript.sequence) > limits.nucleotides:
            raise InputError(
                f"transcript '{transcript.transcript_id}': got {len(transcript.sequence):,} nt, "
                f"wanted at most {limits.nucleotides:,}"
            )


def _with_coordinates(transcripts: list[Transcript], given: Given) -> list[Transcript]:
    """The transcripts with the CDS and the junctions that were typed."""
    if not (given.cds.strip() or given.junctions.strip()):
        return transcripts
    if len(transcripts) > 1:
        raise InputError(
            f"CDS and junctions: got them for {len(transcripts)} transcripts, wanted one "
            "transcript, or an annotation"
        )
    (transcript,) = transcripts
    length = len(transcript.sequence)
    if given.cds.strip():
        found = re.fullmatch(r"\s*(\d{1,9})\s*[-:–]\s*(\d{1,9})\s*", given.cds)
        start, end = map(int, found.groups()) if found else (0, 0)
        if not 0 <= start < end <= length:
            raise InputError(
                f"CDS: got '{given.cds.strip()}', wanted start-end within 0-{length}, such as 0-9"
            )
        transcript = replace(transcript, cds_start=start, cds_end=end)
    if given.junctions.strip():
        junctions = _junctions(given.junctions, length)
        transcript = replace(transcript, exon_junctions=junctions)
    return [transcript]


def _junctions(text: str, length: int) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    words = [word for word in re.split(r"[,;\s]+", text.strip()) if word]
    if not all(re.fullmatch(r"\d{1,9}", word) for word in words):
        raise InputError(f"junctions: got '{text.strip()}', wanted numbers such as 120, 340")
    junctions = tuple(map(int, words))
    bounds = (0, *junctions, length)
    if any(left >= right for left, right in zip(bounds, bounds[1:], strict=False)):
        raise InputError(
            f"junctions: got '{text.strip()}', wanted ascending numbers from 1 to {length - 1}"
        )
    return junctions
