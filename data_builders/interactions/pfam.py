"""Pfam families of proteins by profile HMMs, where the user has Pfam-A.hmm (extra `pfam`)."""

import os
from collections.abc import Mapping

from data_builders.interactions.dataset import Molecule
from data_builders.progress import progress
from data_builders.records import InputError
from data_builders.text import begins_with


def is_profile_file(path: str | os.PathLike) -> bool:
    """Say whether a file is of HMMER3 profiles, such as Pfam-A.hmm."""
    return begins_with(path, b"HMMER3/")


def scan_families(path: str | os.PathLike, molecules: Mapping[str, Molecule]) -> dict[str, str]:
    """Find the family of each protein: that of the hit with the lowest E-value, as hmmscan does.

    Hits are those above the gathering thresholds of Pfam; a file of which a profile has none is
    scanned at HMMER's default, an E-value of 10 and of 0.01 for what counts. Molecules and families
    are by id; a family is its accession without the version, or its name where it has none.
    """
    try:
        from pyhmmer import easel, plan7
        from pyhmmer.hmmer import hmmsearch
    except ImportError:
        raise InputError(
            f"{path}: profiles of HMMER need the package pyhmmer: pip install 'isoclr[pfam]'"
        ) from None
    letters = easel.Alphabet.amino()
    sequences = easel.DigitalSequenceBlock(
        letters,
        [
            easel.TextSequence(name=name.encode(), sequence=molecule.sequence).digitize(letters)
            for name, molecule in molecules.items()
        ],
    )
    profiles: list[plan7.HMM] = []
    try:
        with plan7.HMMFile(os.fspath(path)) as file:
            profiles.extend(file)
    except (ValueError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: got '{reason}', wanted profiles of HMMER3") from error
    gathered = all(profile.cutoffs.gathering_available() for profile in profiles)
    cutoffs = "gathering" if gathered else None
    best: dict[str, tuple[float, str]] = {}
    hits = hmmsearch(
        profiles,
        sequences,  # pyright: ignore[reportArgumentType] its types want no alphabet in particular
        cpus=1,
        Z=len(profiles),
        bit_cutoffs=cutoffs,
    )
    for profile, found in zip(profiles, progress(hits, "Pfam", unit="family"), strict=True):
        family = _text(profile.accession or profile.name).partition(".")[0]
        for hit in found.included:
            name = _text(hit.name)
            if name not in best or hit.evalue < best[name][0]:
                best[name] = (hit.evalue, family)
    return {name: family for name, (_, family) in best.items()}


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
