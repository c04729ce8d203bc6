"""Parts of transcripts by the block: which of them make a model without a doubt, told at once."""

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
    """Parts in the order of the file; those of a run are of one transcript, chromosome and strand.

    Attributes:
        cuts: where each run begins, and where the last one ends.
        sorts: of each part EXON, CDS, STOP or UTR.
        starts, ends, phases: of each part.
    """

    cuts: np.ndarray
    sorts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray

    def parts(self, run: int) -> list[tuple[int, Interval, int]]:
        """Sort, interval and phase of each part of a run."""
        here = slice(*self.cuts[run : run + 2].tolist())
        sorts, phases = self.sorts[here].tolist(), self.phases[here].tolist()
        intervals = zip(self.starts[here].tolist(), self.ends[here].tolist(), strict=True)
        return list(zip(sorts, intervals, phases, strict=True))

    def regular(self, strands: np.ndarray) -> np.ndarray:
        """Whether each run, as a whole transcript, makes a model with nothing skipped or adjusted.

        So it is where exons and pieces of CDS ascend or descend and none overlap; the CDS is in
        exons in a row and fills them but at its ends; its first piece has a phase; and there is no
        stop codon, or one that follows the CDS within its exon. Of other runs nothing is said.

        Args:
            strands: of each run, as a byte.
        """
        exons, cds, stops = (self._of_sort(sort) for sort in (EXON, CDS, STOP))
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

    def _of_sort(self, sort: int) -> "_Parts":
        of_sort = np.flatnonzero(self.sorts == sort)
        cuts = np.searchsorted(of_sort, self.cuts)
        begins, counts = cuts[:-1], np.diff(cuts)
        runs = np.repeat(np.arange(len(counts)), counts)
        # Where a run descends, its parts in the opposite order.
        first = begins[runs]
        last = first + counts[runs] - 1
        starts = self.starts[of_sort]
        here = np.arange(len(runs))
        order = np.where(starts[first] <= starts[last], here, first + last - here)
        of_sort = of_sort[order]
        return _Parts(starts[order], self.ends[of_sort], self.phases[of_sort], runs, begins, counts)


class _Parts(NamedTuple):
    """Those of one sort, ascending within a run; which run; each run's first, and how many."""

    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray
    runs: np.ndarray
    begins: np.ndarray
    counts: np.ndarray


def _join(cds: _Parts, stops: _Parts, runs: np.ndarray, is_forward: np.ndarray) -> np.ndarray:
    """Lengthens the CDS of runs by their only stop codons; whether these follow it."""
    stop = stops.begins[runs]
    stop_starts, stop_ends, is_forward = stops.starts[stop], stops.ends[stop], is_forward[runs]
    last = np.where(is_forward, cds.begins[runs] + cds.counts[runs] - 1, cds.begins[runs])
    starts, ends = cds.starts[last], cds.ends[last]
    cds.ends[last] = np.where(is_forward, stop_ends, ends)
    cds.starts[last] = np.where(is_forward, starts, stop_starts)
    return np.where(is_forward, stop_starts == ends, stop_ends == starts)


def _fill(cds: _Parts, exons: _Parts) -> np.ndarray:
    """Whether each piece of CDS fills an exon, but at the CDS's ends, the next piece the next."""
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
