"""Parts of many transcripts at once: which transcripts are regular and need no closer look."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data_builders.annotation.features import EXONS, NO_PHASE, UTRS
from data_builders.annotation.models import Interval

EXON, CDS, STOP, UTR = range(1, 5)
PART_KINDS = {
    **dict.fromkeys(EXONS, EXON),
    b"CDS": CDS,
    b"stop_codon": STOP,
    **dict.fromkeys(UTRS, UTR),
}


class Runs(NamedTuple):
    """Parts in the order of the file, cut into runs of one transcript, chromosome and strand.

    Attributes:
        cuts: where each run begins, and where the last one ends.
        kinds: EXON, CDS, STOP or UTR for each part.
        starts, ends, phases: of each part.
    """

    cuts: np.ndarray
    kinds: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray

    def parts(self, run: int) -> Iterator[tuple[int, Interval, int]]:
        """Yield kind, interval and phase of each part of a run."""
        here = slice(*self.cuts[run : run + 2].tolist())
        kinds, phases = self.kinds[here].tolist(), self.phases[here].tolist()
        intervals = zip(self.starts[here].tolist(), self.ends[here].tolist(), strict=True)
        return zip(kinds, intervals, phases, strict=True)

    def regular(self, strands: np.ndarray) -> np.ndarray:
        """Return whether each run makes a model by itself, with nothing skipped or adjusted.

        It does where exons and pieces of CDS ascend or descend and none overlap; the CDS fills
        consecutive exons, except at its two ends; its first piece has a phase; and there is no stop
        codon, or one that follows the CDS within its exon. Runs for which this returns False may
        make a model too: they need a closer look.

        Args:
            strands: the strand of each run, as a byte.
        """
        exons, cds, stops = (self._of_kind(kind) for kind in (EXON, CDS, STOP))
        is_forward, coding = strands == ord("+"), cds.counts > 0
        regular = (is_forward | (strands == ord("-"))) & (exons.counts > 0)
        regular &= (stops.counts == 0) | ((stops.counts == 1) & coding)
        for parts in (exons, cds):
            overlap = (parts.runs[1:] == parts.runs[:-1]) & (parts.starts[1:] < parts.ends[:-1])
            regular[parts.runs[1:][overlap]] = False
        coding = np.flatnonzero(coding & regular)
        if len(coding):
            ends = cds.begins + cds.counts - 1
            first = np.where(is_forward, cds.begins, ends)[coding]
            regular[coding] = cds.phases[first] != NO_PHASE
            with_stop = stops.runs[regular[stops.runs]]
            regular[with_stop] = _join(cds, stops, with_stop, is_forward)
            regular[cds.runs[~_fill(cds, exons)]] = False
        return regular

    def _of_kind(self, kind: int) -> "_Parts":
        of_kind = np.flatnonzero(self.kinds == kind)
        cuts = np.searchsorted(of_kind, self.cuts)
        begins, counts = cuts[:-1], np.diff(cuts)
        runs = np.repeat(np.arange(len(counts)), counts)
        # Reverse the parts of a run that descends.
        first = begins[runs]
        last = first + counts[runs] - 1
        starts = self.starts[of_kind]
        here = np.arange(len(runs))
        order = np.where(starts[first] <= starts[last], here, first + last - here)
        of_kind = of_kind[order]
        return _Parts(starts[order], self.ends[of_kind], self.phases[of_kind], runs, begins, counts)


class _Parts(NamedTuple):
    """Parts of one kind, ascending within each run.

    Attributes:
        starts, ends, phases: of each part.
        runs: the run of each part.
        begins, counts: of each run, its first part and the number of its parts.
    """

    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray
    runs: np.ndarray
    begins: np.ndarray
    counts: np.ndarray


def _join(cds: _Parts, stops: _Parts, runs: np.ndarray, is_forward: np.ndarray) -> np.ndarray:
    """Extend the CDS of runs by their only stop codons; return whether these follow it."""
    stop = stops.begins[runs]
    stop_starts, stop_ends, is_forward = stops.starts[stop], stops.ends[stop], is_forward[runs]
    last = np.where(is_forward, cds.begins[runs] + cds.counts[runs] - 1, cds.begins[runs])
    starts, ends = cds.starts[last], cds.ends[last]
    cds.ends[last] = np.where(is_forward, stop_ends, ends)
    cds.starts[last] = np.where(is_forward, starts, stop_starts)
    return np.where(is_forward, stop_starts == ends, stop_ends == starts)


def _fill(cds: _Parts, exons: _Parts) -> np.ndarray:
    """Return whether each piece of CDS fills its exon, and the next piece the next exon.

    The first and the last piece need not fill theirs at the ends of the CDS.
    """
    here = np.arange(len(cds.runs))
    first = cds.begins[cds.runs]
    last = first + cds.counts[cds.runs] - 1
    begin = np.zeros(len(cds.counts), np.int64)
    begin[cds.runs] = cds.starts[first]
    before = np.bincount(exons.runs[exons.starts <= begin[exons.runs]], minlength=len(begin))
    number = before[cds.runs] - 1 + here - first  # of the exon, within the run
    inside = (number >= 0) & (number < exons.counts[cds.runs])
    exon = np.where(inside, exons.begins[cds.runs] + number, 0)
    return (
        inside
        & ((here == first) | (cds.starts == exons.starts[exon]))
        & ((cds.ends == exons.ends[exon]) | (here == last) & (cds.ends < exons.ends[exon]))
    )
