"""Sources of groups to train on: memory maps, or row groups that are streamed.

Either answers two questions, the same at every process: which groups step s takes, and which are
held out for evaluation.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem
from huggingface_hub.errors import HTTPError

from data_builders.dataset_files import dataset_files, dataset_names
from data_builders.groups.loading import load_groups
from data_builders.records import InputError
from data_builders.storage import reason_of
from data_builders.text import sha256_of
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.pairs import Located, Masking, PairBatches
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.objectives.isoforms.sampling import PairSampler
from isoclr.objectives.isoforms.token_cache import (
    TokenCache,
    ensure_token_cache,
)
from isoclr.repositories import DEFAULT, check_source, hub_errors, prefix
from isoclr.training.order import EpochOrder, permute
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.packing_isoclr import PackedShape

# Keep the permutations of one seed apart.
_HELD_OUT, _GROUPS, _ROW_GROUPS, _WINDOW, _LENGTHS = range(5)
WINDOW = 16
"""Row groups of a stream whose groups are mixed."""


class MappedGroups:
    """Groups in memory or memory maps, each readable at any time.

    Where there are several datasets, a group that shares its name, a gene or a sequence with one
    that is held out is not trained on either.

    Args:
        groups: of all datasets, one after the other.
        sizes: rows of each dataset.
        weights: see `EpochOrder`.
        batch_size: groups a step.
        max_length: longest transcript that takes part, in nt.
        held_out: groups to set aside; at most a fifth of those with two transcripts or more.
        seed: of choice and order.
        fewest: transcripts of a group that takes part.
        like_lengths: see `IsoformRecipe`.

    Attributes:
        fingerprint: name and checksum of each dataset.

    Raises:
        InputError: no transcript is short enough, or too few groups are left.
    """

    def __init__(
        self,
        groups: ArrowGroups,
        sizes: Sequence[int],
        weights: Sequence[float],
        *,
        batch_size: int,
        max_length: int,
        held_out: int,
        seed: int,
        fewest: int = 1,
        like_lengths: int = 1,
    ):
        self.groups, self.seed, self.like_lengths = groups, seed, like_lengths
        self.fingerprint: list[tuple[str, str]] = []
        self.eligible, self.left_out = select_eligible(groups, max_length)
        self.longest = int(self.eligible.lengths.max(initial=1))
        several = np.flatnonzero(self.eligible.counts > 1)
        held_out = min(held_out, len(several) // 5)
        chosen = several[permute(np.arange(held_out), max(len(several), 1), seed, _HELD_OUT)]
        self.held_out_rows = np.sort(chosen)
        takes_part = self.eligible.counts >= fewest
        if fewest > 1:
            few = (self.eligible.counts > 0) & ~takes_part
            self.left_out[f"groups of fewer than {fewest} transcripts"] = int(few.sum())
        takes_part[self.held_out_rows] = False
        if len(sizes) > 1:
            alike = takes_part & groups.alike(groups.identities(self.held_out_rows))
            takes_part &= ~alike
            self.left_out["groups like one that is held out"] = int(alike.sum())
        bounds = np.cumsum([0, *sizes])
        self.train = [
            start + np.flatnonzero(takes_part[start:end])
            for start, end in zip(bounds, bounds[1:], strict=False)
        ]
        for rows, weight in zip(self.train, weights, strict=True):
            if not len(rows) and weight:
                raise InputError(
                    f"data: got no isoform group of at most {max_length} nt that is not held out"
                )
        self.order = EpochOrder([len(rows) for rows in self.train], weights, batch_size)

    def locate(self, step: int) -> Located:
        """Return the groups of a step, counted from 0."""
        if self.like_lengths == 1:
            return self._located(*self._drawn(step))
        epoch, part = divmod(step, self.order.steps_per_epoch)
        begin = part - part % self.like_lengths
        end = min(begin + self.like_lengths, self.order.steps_per_epoch)
        first = epoch * self.order.steps_per_epoch
        drawn = [self._drawn(first + other) for other in range(begin, end)]
        rows, passes = (np.concatenate(arrays) for arrays in zip(*drawn, strict=True))
        by_length = np.argsort(self._group_lengths[rows], kind="stable")
        place = int(permute(np.array(part - begin), end - begin, self.seed, _LENGTHS, epoch, begin))
        bounds = np.arange(2) + place
        chosen = slice(*(len(rows) * bounds // (end - begin)))
        return self._located(rows[by_length[chosen]], passes[by_length[chosen]])

    @cached_property
    def _group_lengths(self) -> np.ndarray:
        """Nucleotides of the longest transcript of each group that takes part, (groups,)."""
        lengths, offsets = self.eligible.lengths, self.eligible.offsets
        longest = np.zeros(len(offsets) - 1, lengths.dtype)
        there = self.eligible.counts > 0
        longest[there] = np.maximum.reduceat(lengths, offsets[:-1][there])
        return longest

    def _drawn(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the groups of a step: their rows, and the pass of each."""
        rows, passes = [], []
        for dataset, (positions, train) in enumerate(
            zip(self.order.positions(step), self.train, strict=True)
        ):
            for number, inside in _by_pass(positions, len(train)):
                key = self.seed, _GROUPS, dataset, number
                rows.append(train[permute(inside, len(train), *key)])
                passes.append(np.full(len(inside), number))
        return np.concatenate(rows), np.concatenate(passes)

    def described(self) -> str:
        """Describe what takes part, and what does not."""
        left_out = ", ".join(f"{n} {reason}" for reason, n in self.left_out.items() if n)
        return (
            f"{sum(map(len, self.train))} groups to train on ({self.order.steps_per_epoch} steps "
            f"an epoch), {len(self.held_out_rows)} held out; left out: {left_out or 'nothing'}"
        )

    def held_out(self) -> Located:
        """Return the groups that are never trained on."""
        rows = self.held_out_rows
        return self._located(rows, np.zeros_like(rows))

    def _located(self, rows: np.ndarray, passes: np.ndarray) -> Located:
        return Located(
            groups=self.groups, eligible=self.eligible, rows=rows, keys=rows, passes=passes
        )


def select_eligible(groups: ArrowGroups, max_length: int):
    """Select members of at most `max_length` nt, and count what is left out, by reason."""
    short = groups.members.lengths <= max_length
    eligible = groups.members.select(short)
    left_out = {
        f"transcripts over {max_length} nt": int((~short).sum()),
        "groups with no transcript left": int((eligible.counts == 0).sum()),
    }
    return eligible, Counter(left_out)


def _by_pass(positions: np.ndarray, size: int):
    """Split positions in a stream that repeats `size` entries into passes and places in them."""
    passes, inside = np.divmod(positions, size)
    return [(int(number), inside[passes == number]) for number in np.unique(passes)]


class StreamedGroups:
    """Groups that are read a row group of a Parquet file at a time.

    Row groups come in an order of their own in every pass; groups are mixed within windows of
    `WINDOW` row groups. That order is a function of (seed, step) too, so a run resumes exactly.
    What it can't promise: that groups of distant row groups meet in a batch; and every process
    reads everything. Groups with no transcript short enough make their batches smaller, and so do,
    where there are several datasets, groups that share their name, a gene or a sequence with one
    that is held out.

    `files` are functions that open the Parquet files of each dataset. The held-out groups are of
    one row group, of which nothing is trained on; a dataset of one row group is an InputError. The
    other arguments are those of `MappedGroups`. `checksums` are of sizes and footers of the files.
    """

    def __init__(
        self,
        files: Sequence[Sequence[Callable]],
        weights: Sequence[float],
        tokenizer: IsoCLRTokenizer,
        *,
        batch_size: int,
        max_length: int,
        held_out: int,
        seed: int,
        fewest: int = 1,
    ):
        self.tokenizer, self.max_length, self.seed = tokenizer, max_length, seed
        self.fewest = fewest
        self.fingerprint: list[tuple[str, str]] = []
        self.longest = max_length  # what comes is known when it is read
        self.held_out_groups = held_out
        self.row_groups, self.checksums, begin = [], [], 0
        for opens in files:
            row_groups, checksum = _row_groups(opens, begin)
            self.row_groups.append(row_groups)
            self.checksums.append(checksum)
            begin = row_groups[-1].key + row_groups[-1].rows if row_groups else begin
        # Of the first dataset, one row group is held out.
        if len(self.row_groups[0]) < 2:
            raise InputError("data: streaming: got one row group, wanted two: one is held out")
        aside = int(permute(np.array(0), len(self.row_groups[0]), seed, _HELD_OUT))
        self._held_out_row_group = self.row_groups[0].pop(aside)
        sizes = [sum(group.rows for group in groups) for groups in self.row_groups]
        self.order = EpochOrder(sizes, weights, batch_size)
        self._cache()
        self._held_out_identities = None
        if len(files) > 1:
            located = self.held_out()
            self._held_out_identities = located.groups.identities(located.rows)

    def _cache(self) -> None:
        # A batch may lie in two windows of each dataset, and the next one in the latter.
        self._read = lru_cache(maxsize=3 * WINDOW * len(self.row_groups))(_read_row_group)
        self._open = lru_cache(maxsize=2)(self._read_windows)

    def __getstate__(self) -> dict:
        """Leave out what was read, which a worker reads for itself."""
        return {name: value for name, value in vars(self).items() if name not in _CACHES}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._cache()

    def locate(self, step: int) -> Located:
        """Return the groups of a step, counted from 0."""
        windows, found = [], []
        for dataset, positions in enumerate(self.order.positions(step)):
            for number, inside in _by_pass(positions, self.order.sizes[dataset]):
                bounds = self._window_bounds(dataset, number)
                which = np.searchsorted(bounds, inside, "right") - 1
                for window in np.unique(which):
                    begin, end = bounds[window], bounds[window + 1]
                    key = self.seed, _WINDOW, dataset, number, int(window)
                    windows.append(key[2:])
                    found.append(permute(inside[which == window] - begin, int(end - begin), *key))
        groups, eligible, keys, starts = self._open(tuple(windows))
        rows = np.concatenate([start + r for start, r in zip(starts, found, strict=True)])
        passes = np.repeat([number for _, number, _ in windows], [len(r) for r in found])
        there = eligible.counts[rows] >= self.fewest
        rows, passes = rows[there], passes[there]
        return Located(groups=groups, eligible=eligible, rows=rows, keys=keys[rows], passes=passes)

    def described(self) -> str:
        """Describe what takes part, and what does not."""
        return (
            f"{sum(self.order.sizes)} groups to train on ({self.order.steps_per_epoch} steps an "
            f"epoch), in {sum(map(len, self.row_groups))} row groups; "
            f"one of {self._held_out_row_group.rows} groups "
            f"held out; transcripts over {self.max_length} nt are left out as they come"
        )

    def held_out(self) -> Located:
        """Return groups of the row group that was set aside."""
        groups = ArrowGroups(_read_row_group(self._held_out_row_group), self.tokenizer)
        eligible, _ = select_eligible(groups, self.max_length)
        rows = np.flatnonzero(eligible.counts > 1)[: self.held_out_groups]
        return Located(
            groups=groups,
            eligible=eligible,
            rows=rows,
            keys=self._held_out_row_group.key + rows,
            passes=np.zeros_like(rows),
        )

    def _row_group_order(self, dataset: int, number: int) -> list["RowGroup"]:
        row_groups = self.row_groups[dataset]
        n = len(row_groups)
        order = permute(np.arange(n), n, self.seed, _ROW_GROUPS, dataset, number)
        return [row_groups[index] for index in order]

    def _window_bounds(self, dataset: int, number: int) -> np.ndarray:
        """Return where each window of a pass begins, and where the last ends."""
        ends = np.cumsum([0, *(group.rows for group in self._row_group_order(dataset, number))])
        return np.append(ends[:-1:WINDOW], ends[-1])

    def _read_windows(self, windows: tuple[tuple[int, int, int], ...]):
        """Groups of some windows, their eligible members, keys, and each window's first row."""
        batches, keys, starts, begin = [], [], [], 0
        for dataset, number, window in windows:
            starts.append(begin)
            order = self._row_group_order(dataset, number)
            for row_group in order[window * WINDOW : (window + 1) * WINDOW]:
                batches += self._read(row_group)
                keys.append(row_group.key + np.arange(row_group.rows))
                begin += row_group.rows
        groups = ArrowGroups(batches, self.tokenizer)
        eligible, _ = select_eligible(groups, self.max_length)
        if self._held_out_identities is not None:
            other = ~groups.alike(self._held_out_identities)
            eligible = eligible.select(np.repeat(other, eligible.counts))
        return groups, eligible, np.concatenate(keys), starts


_CACHES = ("_read", "_open")


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """A row group of a Parquet file; its key is the number of its first row in all data."""

    open_file: Callable
    index: int
    rows: int
    key: int


def _row_groups(opens: Sequence[Callable], begin: int) -> tuple[list[RowGroup], str]:
    """List the row groups of a dataset, whose first row has the number `begin`; a checksum."""
    row_groups, digest = [], hashlib.sha256()
    for open_file in opens:
        rows, footer = _readable(open_file, _footer)
        digest.update(footer)
        for index, count in enumerate(rows):
            row_groups.append(RowGroup(open_file=open_file, index=index, rows=count, key=begin))
            begin += count
    return row_groups, digest.hexdigest()


def _footer(file) -> tuple[list[int], bytes]:
    """Read the rows of each row group of a Parquet file, and its size and footer as bytes."""
    metadata = pq.ParquetFile(file).metadata
    size = file.seek(0, os.SEEK_END)
    file.seek(-8, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-8 - length, os.SEEK_END)
    rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    return rows, size.to_bytes(8, "little") + file.read(length)


def _read_row_group(row_group: RowGroup) -> list:
    def read(file) -> pa.Table:
        return pq.ParquetFile(file).read_row_group(row_group.index)

    return _readable(row_group.open_file, read).combine_chunks().to_batches()


def _readable(open_file: Callable, read: Callable):
    """What `read` makes of an open file; one that is not there or no Parquet is an InputError."""
    try:
        with open_file() as file:
            return read(file)
    except (OSError, ValueError, HTTPError, pa.ArrowException) as error:
        name = getattr(open_file, "args", ("data",))[0]
        raise InputError(f"{name}: cannot be read: {reason_of(error)[:300]}") from error


def build_batches(
    recipe: IsoformRecipe, tokenizer: IsoCLRTokenizer, rank: int, world_size: int
) -> PairBatches:
    """The training data of a recipe, of one process; the first to call it writes the caches.

    The `fingerprint` of the `source` has the name of each dataset and the checksum of its content.
    A dataset that cannot be used, or is there twice, is an InputError.
    """
    paths = [source.path for source in recipe.data]
    configs = [source.config for source in recipe.data]
    weights = [source.weight for source in recipe.data]
    for path in paths:
        check_source(path, "isoform groups that isoclr build wrote", "data/train-*.parquet")
    places = [os.path.realpath(path) if Path(path).is_dir() else path for path in paths]
    _refuse_repeats(paths, [(p, c or DEFAULT) for p, c in zip(places, configs, strict=True)])
    arguments = {
        "batch_size": recipe.batch_size,
        "max_length": recipe.max_length,
        "held_out": recipe.held_out_groups,
        "seed": recipe.seed,
        "fewest": recipe.fewest_transcripts,
    }
    if recipe.streaming:
        files = [_files(*dataset) for dataset in zip(paths, configs, strict=True)]
        source = StreamedGroups(files, weights, tokenizer, **arguments)
        checksums = source.checksums
    else:
        groups, sizes, checksums = _mapped(paths, configs, tokenizer, recipe.token_cache)
        _refuse_repeats(paths, checksums)
        arguments["like_lengths"] = recipe.like_lengths
        source = MappedGroups(groups, sizes, weights, **arguments)
    source.fingerprint = list(zip(paths, checksums, strict=True))
    if recipe.pairs.distances is not None:
        source.fingerprint.append((recipe.pairs.distances, sha256_of(recipe.pairs.distances)))
    pairs = recipe.pairs.model_dump()
    # A grafted view is longer than either of its transcripts.
    longest = recipe.max_length if recipe.pairs.graft else source.longest
    config = recipe.encoder_config()
    batches = PairBatches(
        source,
        PairSampler(recipe.seed, max_length=recipe.max_length, **pairs),
        masking=Masking(
            fractions=recipe.mask_fractions(),
            mark_fraction=recipe.mark_mask_fraction,
            labels=bool(config.masked_lm_weight),
            views=recipe.views,
        ),
        shape=PackedShape.of(config, recipe.micro_batch_tokens, longest),
        seed=recipe.seed,
        rank=rank,
        world_size=world_size,
    )
    if recipe.like_lengths == 1:  # else some batches are far longer than others
        batches.fill_evenly()
    return batches


def _refuse_repeats(paths: Sequence[str], identities: Sequence) -> None:
    """Refuse a dataset that is listed twice: groups held out of one are trained on in the other."""
    for number, identity in enumerate(identities):
        first = identities.index(identity)
        if first < number:
            raise InputError(
                f"data: got the groups of {paths[first]} again in {paths[number]}, wanted them "
                "once; with weight: 2 each comes twice in an epoch"
            )


def _mapped(
    paths: Sequence[str],
    configs: Sequence[str | None],
    tokenizer: IsoCLRTokenizer,
    cache: str | None,
) -> tuple[ArrowGroups, list[int], list[str]]:
    """Load local folders and Hub datasets, which are downloaded; count and checksum their rows."""
    datasets = [load_groups(path, config) for path, config in zip(paths, configs, strict=True)]
    sizes = [data.rows for data in datasets]
    checksums = [data.checksum for data in datasets]
    batches = [batch for data in datasets for batch in data.batches]
    if cache is None:
        return ArrowGroups(batches, tokenizer), sizes, checksums
    caches = []
    for number, path in enumerate(paths):
        if not Path(path).is_dir():
            raise InputError(f"token_cache: got {path} of the Hub, wanted local folders alone")
        caches.append(ensure_token_cache(path, Path(cache) / str(number), tokenizer))
    return CachedGroups(batches, tokenizer, caches), sizes, checksums


class CachedGroups(ArrowGroups):
    """Groups whose tokens come from caches, those of all batches, in their order."""

    def __init__(self, batches, tokenizer: IsoCLRTokenizer, caches: Sequence[TokenCache]):
        super().__init__(batches, tokenizer)
        self.caches = caches
        self._cache_bounds = np.cumsum([0, *(len(cache.bounds) - 1 for cache in caches)])

    def tokens(self, transcript: int) -> np.ndarray:
        """Return the tokens of a transcript, see `ArrowGroups.tokens`."""
        cache = int(np.searchsorted(self._cache_bounds, transcript, "right")) - 1
        return self.caches[cache].tokens(int(transcript - self._cache_bounds[cache])).copy()


def _files(path: str, config: str | None) -> list[Callable]:
    """Return functions that open the Parquet files of a folder or a dataset on the Hub."""
    if Path(path).is_dir():
        return [partial(open, file, "rb") for file in dataset_files(path)]
    hub = HfFileSystem()
    data = f"datasets/{path}/{prefix(config or DEFAULT)}data"
    try:
        with hub_errors(path, hub.endpoint):
            found = [file.rpartition("/")[2] for file in hub.glob(f"{data}/train-*.parquet")]
            others = [] if found else hub.glob(f"datasets/{path}/*/data/train-*.parquet")
    except FileNotFoundError as error:
        raise InputError(f"{path}: {reason_of(error)}") from error
    if not found and others:
        known = sorted({file.split("/")[-3] for file in others})
        raise InputError(
            f"{path}: got no data/train-*.parquet of the configuration {config or DEFAULT!r} on "
            f"the Hub, wanted one of {', '.join(known)}"
        )
    return [partial(_open_on_hub, f"{data}/{name}") for name in dataset_names(found, data)]


def _open_on_hub(file: str):
    return HfFileSystem().open(file, "rb")
