"""Transcripts one after another in rows of one shape, so that all batches of a run are alike.

Each begins at a multiple of `IsoCLRConfig.downsampling`, so that pools fall as they do alone, and
after a gap of `IsoCLRConfig.packing_gap` nt, which is further than any convolution reaches.
"""

import heapq
from dataclasses import dataclass, replace

import numpy as np

from .configuration_isoclr import PAD_BASE
from .tokenization_isoclr import padded_length

_ROW = 1 << 14
_NT_PER_SEGMENT = 256  # of a row, for as many transcripts as it may hold
_MOST_SEGMENTS = 255  # that a byte can number


@dataclass(frozen=True)
class PackedShape:
    """Shape of packed batches.

    Attributes:
        rows: of a batch; 0: as many as `fitting_rows` finds.
        length: of a row, in nt.
        segments: most transcripts in a row.
        step: nt that the beginnings of transcripts are multiples of.
        gap: least nt between two transcripts.
    """

    rows: int
    length: int
    segments: int
    step: int
    gap: int

    @classmethod
    def of(cls, config, tokens: int | None, longest: int) -> "PackedShape":
        """The shape of batches of about as many nucleotides, gaps included.

        Args:
            config: an `IsoCLRConfig`.
            tokens: nucleotides a batch; a longer transcript makes it longer. None: no limit, so
                that the rows are still to be counted.
            longest: transcript that may come, in nt.
        """
        step = config.downsampling
        length = padded_length(longest, 8, step)
        if tokens is not None:
            length = max(length, min(_ROW, tokens // step * step))
        segments = int(np.clip(length // _NT_PER_SEGMENT, 1, _MOST_SEGMENTS))
        rows = 0 if tokens is None else max(tokens // length, 1)
        return cls(rows, length, segments, step, config.packing_gap)

    @property
    def size(self) -> int:
        """Nucleotides of a batch, gaps included."""
        return self.rows * self.length


@dataclass(frozen=True)
class Packing:
    """Where transcripts go.

    Attributes:
        shape: of every batch.
        batches: how many.
        lengths: nt of each transcript, (transcripts,).
        rows: the row of each transcript, counted through all batches, (transcripts,).
        starts: its first nucleotide in the row, (transcripts,).
        numbers: of each in its row, from 0, (transcripts,).
    """

    shape: PackedShape
    batches: int
    lengths: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray

    def members(self, batch: int) -> np.ndarray:
        """Transcripts of a batch, by where they lie."""
        found = np.flatnonzero(self.rows // self.shape.rows == batch)
        return found[np.lexsort((self.numbers[found], self.rows[found]))]

    def slots(self, members: np.ndarray) -> np.ndarray:
        """Where `pooler_output`, flattened to (rows · segments, pooled), has some transcripts."""
        return self._rows(members) * self.shape.segments + self.numbers[members]

    def tokens(self, members: np.ndarray, values, padding: int = PAD_BASE) -> np.ndarray:
        """A batch.

        Args:
            members: its transcripts.
            values: uint8 array of each of them.
            padding: what lies between them.

        Returns:
            uint8 (rows, length).
        """
        out = np.full((self.shape.rows, self.shape.length), padding, dtype=np.uint8)
        places = self._rows(members).tolist(), self.starts[members].tolist()
        for row, start, value in zip(*places, values, strict=True):
            out[row, start : start + len(value)] = value
        return out

    def segment_ids(self, members: np.ndarray) -> np.ndarray:
        """The transcripts of each row of a batch as 1, 2, ..., with 0 between them.

        Returns:
            uint8 (rows, length).
        """
        out = np.zeros((self.shape.rows, self.shape.length), dtype=np.uint8)
        ends = self.starts[members] + self.lengths[members]
        places = self._rows(members), self.starts[members], ends, self.numbers[members] + 1
        for row, start, end, number in zip(*(place.tolist() for place in places), strict=True):
            out[row, start:end] = number
        return out

    def _rows(self, members):
        return self.rows[members] % self.shape.rows


def pack(lengths, shape: PackedShape, batches: int = 1) -> Packing:
    """Spread transcripts over rows so that all are about equally full, of long and of short ones.

    The longest go first, each to the row that has most room (Graham 1969).

    Args:
        lengths: nt of each, (transcripts,).
        shape: of a batch.
        batches: at least as many.

    Raises:
        ValueError: a transcript is longer than a row.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if len(lengths) and lengths.max() > shape.length:
        raise ValueError(f"got a transcript of {lengths.max()} nt, wanted at most {shape.length}")
    sizes, room = _slots(lengths, shape)
    order = np.argsort(-lengths, kind="stable").tolist()
    batches = max(batches, _least(sizes, room, shape, shape.rows))
    while True:
        placed = _place(order, sizes.tolist(), room, shape, batches)
        if placed is not None:
            return Packing(shape, batches, lengths, *placed)
        batches += 1


def fitting_rows(lengths, shape: PackedShape, batches: int) -> PackedShape:
    """The shape with as few rows as hold the transcripts in so many batches, or little more.

    Rows are rounded up to one of few numbers, so that steps of a run are mostly alike.
    """
    sizes, room = _slots(np.asarray(lengths, dtype=np.int64), shape)
    rows = _least(sizes, room, shape, batches)
    while True:
        rows = padded_length(rows, 8, 1)
        found = replace(shape, rows=rows)
        if pack(lengths, found, batches).batches == batches:
            return found
        rows += 1


def evenly_filled(lengths, shape: PackedShape, items: int) -> PackedShape:
    """The shape with as few rows as hold batches of so many transcripts in as many parts.

    A batch that needs 3.2 times the shape would leave a fifth of four empty. Three standard
    deviations of a batch are left free (two, where every transcript has an equally long partner),
    as one that does not fit costs another part.

    Args:
        lengths: nt of transcripts like those that will come, (any number,).
        shape: whose rows are the most.
        items: transcripts of a batch.
    """
    sizes, room = _slots(np.asarray(lengths, dtype=np.int64), shape)
    most = (items * sizes.mean() + 3 * items**0.5 * sizes.std()) / room
    most = max(most, items / shape.segments)
    parts = int(np.ceil(most / shape.rows))
    return replace(shape, rows=min(int(np.ceil(most / parts)), shape.rows))


def _slots(lengths, shape):
    """Room that each transcript takes with the gap behind it, and that of a row, in nt."""
    gap = _up(shape.gap, shape.step)
    return _up(lengths, shape.step) + gap, shape.length + gap  # the last one needs no gap


def _least(sizes, room, shape, parts):
    """How many times so many parts are needed, at the least."""
    return max(
        -(-int(sizes.sum()) // (room * parts)), -(-len(sizes) // (shape.segments * parts)), 1
    )


def _place(order, sizes, room, shape, batches):
    """Row, start and number of each transcript, or None where there is too little room."""
    rows, starts, numbers = (np.zeros(len(sizes), dtype=np.int64) for _ in range(3))
    filled = [(0, row, 0) for row in range(batches * shape.rows)]  # nt, row, transcripts
    for item in order:
        if not filled or filled[0][0] + sizes[item] > room:
            return None
        start, row, number = heapq.heappop(filled)
        rows[item], starts[item], numbers[item] = row, start, number
        if number + 1 < shape.segments:
            heapq.heappush(filled, (start + sizes[item], row, number + 1))
    # Rows are filled in turn: their neighbours are of other batches.
    rows = rows % batches * shape.rows + rows // batches
    return rows, starts, numbers


def _up(values, step):
    """Rounded up to a multiple."""
    return -(-values // step) * step
