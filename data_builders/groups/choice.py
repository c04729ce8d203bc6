"""Which isoform groups, and which of their transcripts, an evaluation takes."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from data_builders.groups.parquet import read_groups
from data_builders.records import InputError, IsoformGroup


@dataclass(frozen=True, kw_only=True)
class GroupChoice:
    """A part of the groups of a dataset, the same for whoever names it.

    Attributes:
        part: from and below which percentile of a hash of the group's name: (0, 55) and (67, 100)
            share no group, whatever else is in the dataset.
        coding: transcripts without a CDS are left out.
        longest: transcripts of more nt are left out; None: none is.

    Raises:
        InputError: a part that is none.
    """

    part: tuple[int, int] = (0, 100)
    coding: bool = False
    longest: int | None = None

    def __post_init__(self):
        """Check the part."""
        if not 0 <= self.part[0] < self.part[1] <= 100:
            low, high = self.part
            raise InputError(f"part of the groups: got {low}-{high}, wanted such as 67-100")

    def read(self, folder: str | os.PathLike) -> Iterator[IsoformGroup]:
        """Read the groups of a dataset that are in the part and have a transcript left."""
        for group in read_groups(folder):
            if self.part[0] <= percentile(group.group_id) < self.part[1]:
                kept = tuple(t for t in group.transcripts if self._takes(t))
                if kept:
                    yield IsoformGroup(group.group_id, kept)

    def _takes(self, transcript) -> bool:
        if self.coding and transcript.cds_start < 0:
            return False
        return self.longest is None or len(transcript.sequence) <= self.longest


EVERY = GroupChoice()
"""All groups, and all transcripts of each."""


def percentile(name: str) -> int:
    """Return a hash of a name, 0 to 99."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % 100
