"""Transcripts one after another in rows of one shape, so that all batches of a run are alike.

Each begins at a multiple of `IsoCLRConfig.downsampling`, so that pools fall as they do alone, and
after a gap of `IsoCLRConfig.packing_gap` nt, which is further than any convolution reaches.
"""

import heapq
from dataclasses import dataclass

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
        rows: of a batch.
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
    def of(cls, config, tokens: int, longest: int) -> "PackedShape":
        """The shape of batches of about as many nucleotides, gaps included.

        Args:
            config: an `IsoCLRConfig`.
            tokens: nucleotides a batch; a longer transcript makes it longer.
            longest: transcript that may come, in nt.
        """
        step = config.downsampling
        length = max(padded_length(longest, 8, step), min(_ROW, tokens // step * step), step)
        segments = int(np.clip(length // _NT_PER_SEGMENT, 1, _MOST_SEGMENTS))
        return cls(max(tokens // length, 1), length, segments, step, config.packing_gap)

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
        rows: the row of each transcript, counted through all batches, (transcripts,).
        starts: its first nucleotide in the row, (transcripts,).
        numbers: of each in its row, from 0, (transcripts,).
    """

    shape: PackedShape
    batches: int
    rows: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray

    def members(self, batch: int) -> np.ndarray:
        """Transcripts of a batch, by where they lie."""
        found = np.flatnonzero(self.rows // self.shape.rows == batch)
        return found[np.lexsort((self.numbers[found], self.rows[found]))]

    def slots(self, members: np.ndarray) -> np.ndarray:
        """Where `pooler_output`, flattened to (rows · segments, pooled), has some transcripts."""
        rows = self.rows[members] % self.shape.rows
        return rows * self.shape.segments + self.numbers[members]


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
    sizes = _up(lengths, shape.step) + _up(shape.gap, shape.step)
    room = shape.length + _up(shape.gap, shape.step)  # behind the last one no gap is needed
    order = np.argsort(-lengths, kind="stable").tolist()
    batches = max(batches, -(-int(sizes.sum()) // (room * shape.rows)))
    batches = max(batches, -(-len(lengths) // (shape.segments * shape.rows)))
    while True:
        placed = _place(order, sizes.tolist(), room, shape, batches)
        if placed is not None:
            return Packing(shape, batches, *placed)
        batches += 1


def fill_rows(packing: Packing, members: np.ndarray, values, padding: int = PAD_BASE) -> np.ndarray:
    """A batch of packed rows.

    Args:
        packing: that places the transcripts.
        members: transcripts of the batch.
        values: uint8 array of each.
        padding: what lies between them.

    Returns:
        uint8 (rows, length).
    """
    out = np.full((packing.shape.rows, packing.shape.length), padding, dtype=np.uint8)
    rows = (packing.rows[members] % packing.shape.rows).tolist()
    starts = packing.starts[members].tolist()
    for row, start, value in zip(rows, starts, values, strict=True):
        out[row, start : start + len(value)] = value
    return out


def number_segments(packing: Packing, members: np.ndarray, lengths) -> np.ndarray:
    """`segment_ids` of a batch: the transcripts of each row are 1, 2, ..., and 0 lies between.

    Returns:
        uint8 (rows, length).
    """
    numbers = (packing.numbers[members] + 1).tolist()
    values = [np.uint8(n) for n in numbers]
    out = np.zeros((packing.shape.rows, packing.shape.length), dtype=np.uint8)
    rows = (packing.rows[members] % packing.shape.rows).tolist()
    starts = packing.starts[members].tolist()
    lengths = np.asarray(lengths)[members].tolist()
    for row, start, length, value in zip(rows, starts, lengths, values, strict=True):
        out[row, start : start + length] = value
    return out


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
