"""Which rows train, validate and test; related rows are never on two sides."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from data_builders.labels.label_set import LabelSet, filled
from data_builders.names import without_version
from data_builders.progress import progress
from data_builders.records import InputError, Transcript
from data_builders.tables import names_of_columns, read_table

# The ten splits of the published probes (mRNABench, Orthrus).
SEEDS = (2541, 413, 411, 412, 2547, 321, 421, 311, 2516, 2515)
FRACTIONS = (0.7, 0.15, 0.15)
_INNER_FOLDS = 7  # of the groups of a train side; one, 15 %, is kept for choices
SPLITS = ("homology", "random", "chromosome", "k-mer")

_FEWEST_VALIDATION = 10

# Of `similar_groups`. 4**10 words are enough for long transcripts to share few by chance.
_WORD, _SKETCH, _SIMILAR = 10, 256, 0.1
_N = ord("N")
_ROWS_AT_ONCE = 512
_CHROMOSOME = "chromosome"
_NAMES = ("transcript_id", "gene_id", "gene")


class Split(NamedTuple):
    """Row numbers of three sides.

    Attributes:
        train: rows to learn from.
        validation: rows for choices, such as a penalty, a threshold or when to stop.
        test: rows to score.
        seed: of this split, and of whatever a predictor draws.
        fold: the number of this split among those of its seed.
        kind: what keeps the sides apart, for titles.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int
    fold: int = 0
    kind: str = "homology"


def homology_split(
    groups: Sequence[str | None], seed: int, fractions: Sequence[float] = FRACTIONS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split rows at random, every homology group on one side.

    The protocol of mRNABench: rows are walked in random order, and all rows of a row's group go to
    the first side whose quota is not yet full. A side exceeds its quota by at most one group.

    Args:
        groups: the homology group of each row; a row of None is a group of its own.
        seed: of numpy's default generator.
        fractions: of the rows, for train, validation and test; they sum to 1.

    Returns:
        Ascending row numbers of train, validation and test: int64, together every row once.

    Raises:
        InputError: the fractions do not sum to 1, or a side gets no row.
    """
    if len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"split: got fractions {tuple(fractions)}, wanted three that sum to 1")
    quotas = [round(fraction * len(groups)) for fraction in fractions[:2]] + [len(groups)]
    members: dict[object, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[row if group is None else group].append(row)
    sides: tuple[list[int], ...] = ([], [], [])
    for row in np.random.default_rng(seed).permutation(len(groups)).tolist():
        # A whole group at once: were its rows left to be walked, large groups would all have gone
        # to train before train is full.
        rows = members.pop(row if groups[row] is None else groups[row], None)
        if rows:
            side = next(i for i, placed in enumerate(sides) if len(placed) < quotas[i])
            sides[side].extend(rows)
    if not all(sides):
        raise InputError(
            f"split: got {tuple(map(len, sides))} of {len(groups)} rows for train, validation and "
            "test, wanted some on every side: more homology groups"
        )
    train, valid, test = (np.sort(np.array(rows, np.int64)) for rows in sides)
    return train, valid, test


def few_rows(
    train: np.ndarray,
    validation: np.ndarray,
    size: int,
    seed: int,
    classes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return nested parts of two sides, in proportion, as if few labels were known.

    Args:
        train: row numbers.
        validation: row numbers; of these ten at least are known, if there are as many: whoever has
            few labels has few to stop by too, but must be able to.
        size: rows of train.
        seed: fewer rows of the same seed are a part of more.
        classes: the class of each row of the whole table; one row of each class comes first, then
            rows in proportion to the classes. None: rows at random.

    Returns:
        Ascending row numbers of train, (size,), and of validation.
    """
    rng = np.random.default_rng(seed)
    share = max(round(len(validation) * size / len(train)), _FEWEST_VALIDATION)
    parts = []
    for side, known in ((train, size), (validation, share)):
        rows = rng.permutation(side)
        if classes is not None:
            rows = rows[np.argsort(_places(classes[rows]), kind="stable")]
        parts.append(np.sort(rows[:known]))
    return parts[0], parts[1]


def _places(classes: np.ndarray) -> np.ndarray:
    """Return the place of each row in an order that has every class in proportion: float (n,)."""
    places = np.empty(len(classes))
    for name in np.unique(classes):
        rows = np.flatnonzero(classes == name)
        places[rows] = np.arange(len(rows)) / len(rows)
    return places


def make_splits(
    labels: LabelSet,
    kind: str = "homology",
    seeds: Sequence[int] = SEEDS,
    chromosomes: Mapping[str, str] | None = None,
) -> tuple[Split, ...]:
    """Split the rows of a label set 70/15/15, once a seed, see `groups_to_split`."""
    together = groups_to_split(kind, labels.transcripts, labels.groups, chromosomes)
    return tuple(Split(*homology_split(together, seed), seed, kind=kind) for seed in seeds)


def groups_to_split(
    split: str,
    transcripts: Sequence[Transcript],
    homology: Sequence[str | None],
    chromosomes: Mapping[str, str] | None = None,
) -> list[str | None]:
    """Return what a split keeps on one side, for `homology_split`: a group of each transcript.

    "homology" keeps homology groups together, "random" nothing, "chromosome" all transcripts of a
    chromosome, by the chromosome of a transcript_id or gene_id without Ensembl's version, "k-mer"
    similar sequences, as `similar_groups` finds them. Another split, or a transcript without a
    chromosome where one is needed, is an InputError.
    """
    if split == "homology":
        return list(homology)
    if split == "random":
        return [None] * len(transcripts)
    if split == "k-mer":
        return similar_groups([transcript.sequence for transcript in transcripts]).tolist()
    if split != "chromosome":
        raise InputError(f"split: got '{split}', wanted one of {', '.join(SPLITS)}")
    if chromosomes is None:
        raise InputError("split by chromosome: got no chromosomes, wanted one for each transcript")
    found = [_chromosome(transcript, chromosomes) for transcript in transcripts]
    if None in found:
        first = transcripts[found.index(None)]
        raise InputError(
            f"split by chromosome: got no chromosome for {found.count(None)} of {len(found)} "
            f"transcripts, wanted one for each: the first is '{first.transcript_id}' of "
            f"'{first.gene_id}'"
        )
    return found


def read_chromosomes(path: str | os.PathLike) -> dict[str, str]:
    """Read which chromosome transcripts and genes, named without Ensembl's version, are on.

    The table has a column chromosome and at least one of transcript_id, gene_id and gene; one of
    labels may be one. A name on two chromosomes is an InputError.
    """
    table = read_table(path)
    columns = [name for name in _NAMES if name in table.columns]
    if _CHROMOSOME not in table.columns or not columns:
        raise InputError(
            f"{path}: got the columns {names_of_columns(table)}, wanted {_CHROMOSOME} and one of "
            f"{', '.join(_NAMES)}"
        )
    chromosomes: dict[str, str] = {}
    values = filled(table, _CHROMOSOME, path)
    for column in columns:
        for name, value in zip(filled(table, column, path), values, strict=True):
            known = chromosomes.setdefault(without_version(name), value)
            if known != value:
                raise InputError(
                    f"{path}: {column} '{name}': got chromosomes '{known}' and '{value}', "
                    "wanted one"
                )
    return chromosomes


def _chromosome(transcript: Transcript, chromosomes: Mapping[str, str]) -> str | None:
    of_transcript = chromosomes.get(without_version(transcript.transcript_id))
    return of_transcript or chromosomes.get(without_version(transcript.gene_id))


def similar_groups(sequences: Sequence[str]) -> np.ndarray:
    """Return int32 (n,), the group of each sequence; any two similar ones are in one group.

    Two sequences are similar when the Jaccard index of their MinHash sketches is at least 0.1; a
    sketch is the 256 smallest hashes of the 10-mers of the sequence's strand, all of them when
    there are fewer (Broder 1997; Ondov et al. 2016). For sequences of one length, 0.1 means that
    about 18 % of the 10-mers are shared: an identity of about 84 %. The groups are the connected
    components, so a group may hold two sequences that are only linked by a third. Words with N do
    not count, and a sequence without words is alone.
    """
    rows = progress(sequences, "sketches", unit="transcript")
    sketches = [_sketch(sequence) for sequence in rows]
    sizes = np.array([len(sketch) for sketch in sketches])
    vocabulary, columns = np.unique(np.concatenate(sketches), return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shape = len(sketches), len(vocabulary)
    words = csr_matrix((np.ones(len(columns), np.int32), columns, starts), shape)
    by_word = words.T.tocsr()
    first, second = [], []
    blocks = range(0, len(sketches), _ROWS_AT_ONCE)
    for start in progress(blocks, "similar sequences", unit="block"):
        shared = (words[start : start + _ROWS_AT_ONCE] @ by_word).tocoo()
        a, b = shared.row + start, shared.col
        similar = shared.data >= _SIMILAR * (sizes[a] + sizes[b] - shared.data)
        first.append(a[similar])
        second.append(b[similar])
    a, b = np.concatenate(first), np.concatenate(second)
    links = csr_matrix((np.ones(len(a), bool), (a, b)), (len(sketches),) * 2)
    return connected_components(links, directed=False)[1]


def _sketch(sequence: str) -> np.ndarray:
    """Return the smallest hashes of the words of a sequence: uint64, at most _SKETCH."""
    letters = np.frombuffer(sequence.encode(), np.uint8)
    count = max(len(letters) - _WORD + 1, 0)
    words = np.zeros(count, np.uint64)
    whole = np.ones(count, bool)
    for offset in range(_WORD):
        letter = letters[offset : offset + count]
        words = 4 * words + (letter >> 1 & 3)  # A C T G as 0 1 2 3
        whole &= letter != _N
    hashes = _mixed(np.unique(words[whole]))
    if len(hashes) > _SKETCH:
        hashes = np.partition(hashes, _SKETCH - 1)[:_SKETCH]
    return hashes


def _mixed(words: np.ndarray) -> np.ndarray:
    """Return distinct pseudo-random numbers for distinct words: the finaliser of SplitMix64."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return words ^ words >> np.uint64(31)


def group_folds(
    groups: Sequence[str], classes: Sequence | np.ndarray, folds: int, seed: int
) -> list[Split]:
    """Cut rows into folds that keep groups, such as donors, on one side and classes in proportion.

    Each fold is test once. Fewer groups than folds are an InputError.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    group_of, class_of = np.asarray(groups).astype(str), np.asarray(classes)
    if len(set(group_of)) < folds:
        raise InputError(f"groups: got {len(set(group_of))}, wanted at least {folds}, one a fold")
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [
        _with_validation(side, test, group_of, class_of, seed)._replace(fold=number, kind="group")
        for number, (side, test) in enumerate(cut.split(class_of, class_of, group_of))
    ]


def transfer_splits(
    sides: tuple[np.ndarray, np.ndarray],
    groups: Sequence[str],
    classes: Sequence | np.ndarray,
    seeds: Sequence[int],
) -> list[Split]:
    """Learn from all rows of one kind, such as a source, and test on all of another.

    The test rows are the same for every seed; which rows of the train side validate differs. A side
    without rows, and a group on both sides, are an InputError.
    """
    group_of, class_of = np.asarray(groups).astype(str), np.asarray(classes)
    side, test = sides
    if not len(side) or not len(test):
        raise InputError(
            f"split: got {len(side)} rows to train on and {len(test)} to test on, wanted some of "
            "both"
        )
    both = np.intersect1d(group_of[side], group_of[test])
    if len(both):
        raise InputError(
            f"groups: got {str(both[0])!r} among the rows to train on and those to test on "
            f"({len(both)} such groups), wanted each on one side"
        )
    if len(set(group_of[side])) < _INNER_FOLDS:
        raise InputError(
            f"groups: got {len(set(group_of[side]))} to train on, wanted at least {_INNER_FOLDS}: "
            "some of them validate"
        )
    found = []
    for number, seed in enumerate(seeds):
        split = _with_validation(side, test, group_of, class_of, seed, number)
        found.append(split._replace(kind="given"))
    return found


def _with_validation(side, test, group_of, class_of, seed: int, number: int = 0) -> Split:
    """A split whose validation rows are one of `_INNER_FOLDS` cuts of the train side's groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    inner = StratifiedGroupKFold(_INNER_FOLDS, shuffle=True, random_state=seed)
    cut = list(inner.split(side, class_of[side], group_of[side]))
    train, chosen = cut[number % _INNER_FOLDS]
    return Split(train=side[train], validation=side[chosen], test=test, seed=seed)
