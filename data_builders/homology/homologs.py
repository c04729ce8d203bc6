"""Homologous sequences of any alphabet to a dataset: what `isoclr build-homologs` does."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data_builders.figures import new_axes, write_figure
from data_builders.homology.alphabets import (
    ALPHABETS,
    GAPS,
    RNA,
    Alphabet,
    guess_alphabet,
    translate,
    without_gaps,
)
from data_builders.homology.distances import (
    MASH_K,
    METHODS,
    alignment_distances,
    mash_distances,
)
from data_builders.homology.families import Homolog, HomologFamily, write_families
from data_builders.homology.headers import normalised_species
from data_builders.homology.phylogeny import (
    NEWICK_TOKEN,
    SpeciesDistances,
    read_species_distances,
    text_of,
)
from data_builders.homology.sources import HomologSource, Member, RawFamily, raw_families
from data_builders.records import InputError
from data_builders.staging import one_builder
from data_builders.text import Tally

MASH, NONE = "mash", "none"
OF_ALIGNED = {"rna": "jc69", "protein": "poisson"}
_NUCLEOTIDE_METHODS, _PROTEIN_METHODS = ("jc69", "k80"), ("poisson",)
_SHOWN = 3


@dataclass(frozen=True)
class HomologOptions:
    """How families are made.

    Attributes:
        alphabet: rna or protein; None: that of the first family of which it can be told.
        distances: a file (Newick or a table of species); a method, counted from the letters:
            p, jc69, k80 or poisson of aligned rows, mash of any; none; None: jc69 or poisson if the
            first family is aligned, else mash.
        mash_k: length of the k-mers of mash; None: 15 nt, 5 residues.
        coding: nucleotide sequences are whole coding sequences, in frame.
        translate: these are translated by the standard code, and families are of proteins; what
            was aligned is so no more.
        min_members: families with fewer members are left out. One is enough where views are
            disjoint windows of one sequence.
        min_length: sequences of fewer known letters are left out.
        strict: what would be left out is an error.
    """

    alphabet: str | None = None
    distances: str | os.PathLike | None = None
    mash_k: int | None = None
    coding: bool = False
    translate: bool = False
    min_members: int = 2
    min_length: int = 1
    strict: bool = False


@dataclass
class HomologReport:
    """What a build read, kept and left out.

    Attributes:
        tally: of sequences.
        species: name as the source has it -> normalised name.
        kept: normalised name -> sequences that were kept.
        alphabet: of all families, once it is known.
        method: how distances were found -> families.
        members: members of a family -> families.
        lengths: letters of a sequence -> sequences.
        distances: a sample of the distances, for the figure.
        tree: what is remarkable of the tree that distances come from.
        unknown_distances: pairs without a distance.
        pairs: pairs of members.
    """

    tally: Tally = field(default_factory=Tally)
    species: dict[str, str] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    alphabet: str | None = None
    method: Counter[str] = field(default_factory=Counter)
    members: Counter[int] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    distances: list[np.ndarray] = field(default_factory=list)
    tree: str | None = None
    unknown_distances: int = 0
    pairs: int = 0

    def as_dict(self) -> dict:
        """For report.json."""
        merged = Counter(self.species.values())
        return {
            "alphabet": self.alphabet,
            "families": self.members.total(),
            "sequences": self.lengths.total(),
            "letters": sum(length * n for length, n in self.lengths.items()),
            "read": self.tally.read,
            "skipped": dict(sorted(self.tally.skipped.items())),
            "adjusted": dict(sorted(self.tally.adjusted.items())),
            "species": len(self.kept),
            "species_renamed": {a: b for a, b in sorted(self.species.items()) if a != b},
            "species_merged": sorted(name for name, n in merged.items() if n > 1),
            "distances": dict(self.method),
            "tree": self.tree,
            "pairs": self.pairs,
            "pairs_without_distance": self.unknown_distances,
        }

    def save(self, path: Path) -> None:
        """Write `path`.json and its figure, `path`.png."""
        path.with_suffix(".json").write_text(json.dumps(self.as_dict(), indent=2) + "\n")
        figure, panels = new_axes(12, 3.6, 1, 3)
        known = np.concatenate([np.zeros(0), *self.distances])
        shown = (
            (self.members, "members of a family", "families"),
            (self.lengths, "letters of a sequence", "sequences"),
            (Counter(known[np.isfinite(known)].tolist()), "distance of a pair", "pairs"),
        )
        for panel, (counts, name, of) in zip(panels, shown, strict=True):
            panel.hist(list(counts), bins=40, weights=list(counts.values()))
            panel.set(xlabel=name, ylabel=of)
        figure.suptitle(
            f"{self.members.total():,} families of {self.lengths.total():,} {self.alphabet} "
            f"sequences, {len(self.kept)} species"
        )
        write_figure(figure, path.with_suffix(".png"), dpi=120)


def build_homologs(
    sources: Sequence[HomologSource],
    output: str | os.PathLike,
    options: HomologOptions | None = None,
    *,
    overwrite: bool = False,
) -> HomologReport:
    """Build a dataset of families in `output`, with `report.json` and `report.png`.

    No family at the end, a dataset that is there unless it is to be replaced, and another process
    that builds in the folder are an InputError.
    """
    options = options or HomologOptions()
    _check_options(options)
    folder = Path(output)
    report = HomologReport(tally=Tally(strict=options.strict))
    with one_builder(folder):
        if (folder / "data").exists() and not overwrite:
            raise InputError(f"{folder}: got a dataset in it, wanted none, or --overwrite")
        write_families(read_homologs(sources, options, report), folder)
        report.save(folder / "report")
    return report


def read_homologs(
    sources: Sequence[HomologSource], options: HomologOptions, report: HomologReport
) -> Iterator[HomologFamily]:
    """Read families, one in memory at a time, and count all in the report.

    A family twice, and a tree or table of distances that knows none of the species, are an
    InputError.
    """
    between = _species_distances(options)
    if between is not None and _is_unrooted(Path(between.source)):
        report.tree = "unrooted: distances need no root"
    families = (
        family
        for source in sources
        for raw in raw_families(source, report.tally)
        if (family := _family(_translated(raw, options), options, between, report)) is not None
    )
    yield from _unique(families, report)
    found = set(report.species.values())
    if between is not None and found and not found & set(between.species):
        raise InputError(
            f"{between.source}: got none of the {len(found)} species of the data, which has "
            f"{', '.join(sorted(found)[:_SHOWN])}; wanted them named as there"
        )


def _check_options(options: HomologOptions) -> None:
    if options.alphabet not in (None, *ALPHABETS):
        raise InputError(f"alphabet: got {options.alphabet!r}, wanted {' or '.join(ALPHABETS)}")
    for name in ("min_members", "min_length", "mash_k"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise InputError(f"{name}: got {getattr(options, name)}, wanted at least 1")
    if options.coding and (options.translate or options.alphabet == "protein"):
        raise InputError("coding: got it with proteins, wanted nucleotide sequences")
    if options.translate and options.alphabet == "rna":
        raise InputError("translate: got it with the alphabet rna, wanted protein")


def _species_distances(options: HomologOptions) -> SpeciesDistances | None:
    """The tree or the table, with species named as the data has them."""
    if options.distances in (None, NONE, MASH, *METHODS):
        return None
    path = Path(options.distances)
    if not path.exists():
        raise InputError(
            f"distances: got {str(path)!r}, wanted a file, {', '.join(METHODS)}, {MASH} or {NONE}"
        )
    read = read_species_distances(path)
    names = tuple(map(normalised_species, read.species))
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise InputError(f"{path}: got the species {repeated[0]!r} twice, wanted it once")
    return SpeciesDistances(read.source, names, read.matrix)


def _is_unrooted(path: Path) -> bool:
    """Whether a file is a tree whose root has more than two branches."""
    text = text_of(path)
    depth = branches = 0
    for token in NEWICK_TOKEN.findall(text) if text.lstrip().startswith("(") else ():
        depth += (token == "(") - (token == ")")
        branches += depth == 1 and token == ","
    return branches > 1


def _unique(families: Iterator[HomologFamily], report: HomologReport) -> Iterator[HomologFamily]:
    """Count what is written, and refuse a family that comes twice."""
    names: set[str] = set()
    for family in families:
        if family.family_id in names:
            raise InputError(f"family {family.family_id}: got it twice, wanted one of each name")
        names.add(family.family_id)
        report.members[len(family.members)] += 1
        report.kept.update(member.species for member in family.members)
        report.lengths.update(len(member.sequence) for member in family.members)
        if family.distances is not None:
            condensed = family.distances[np.triu_indices(len(family.members), 1)]
            report.distances.append(condensed.round(3))
            report.unknown_distances += int(np.isnan(condensed).sum())
        report.pairs += len(family.members) * (len(family.members) - 1) // 2
        yield family


def _family(
    raw: RawFamily,
    options: HomologOptions,
    between: SpeciesDistances | None,
    report: HomologReport,
) -> HomologFamily | None:
    """A family, or None after its sequences were counted as skipped."""
    alphabet = _alphabet(raw, options, report)
    if alphabet is None:
        return None
    kept, rows, members = [], [], []
    known_species = set(between.species) if between else None
    for place, member in enumerate(raw.members):
        row, bad, unknown = alphabet.read(member.letters)
        if bad is not None:
            raise InputError(
                f"{member.where}: sequence of '{member.member_id}': got {bad!r}, wanted letters of "
                f"{alphabet.name}"
            )
        species = report.species.setdefault(member.species, normalised_species(member.species))
        sequence = _without_stop(row, member, alphabet)
        known = len(sequence) - sequence.count(alphabet.unknown)
        if not sequence:
            report.tally.skip("row of gaps alone", member.where)
        elif known < options.min_length or not known:
            report.tally.skip(f"fewer than {options.min_length} known letters", member.where)
        elif known_species is not None and species not in known_species:
            report.tally.skip("species without distances", member.where)
        else:
            if unknown:
                report.tally.adjusted[f"letter read as {alphabet.unknown}"] += unknown
            kept.append(place)
            rows.append(row)
            coding = _coding(sequence, options, report)
            members.append(Homolog(member.member_id, member.gene, species, sequence, coding))
    if len(members) < options.min_members:
        reason = f"family of fewer than {options.min_members} sequences"
        report.tally.skip(reason, raw.members[0].where, len(members))
        return None
    _check_unique(members, raw)
    method = _method(raw, alphabet, options, report)
    distances, method = _distances(raw, kept, members, (alphabet, method, options, between))
    report.method[method] += 1
    report.alphabet = alphabet.name
    return HomologFamily(raw.name, alphabet.name, tuple(members), distances)


def _translated(raw: RawFamily, options: HomologOptions) -> RawFamily:
    """A family of coding sequences as one of proteins, where that is asked for."""
    if not options.translate:
        return raw
    members = []
    for member in raw.members:
        row, bad, _ = RNA.read(member.letters)
        if bad is not None:
            raise InputError(
                f"{member.where}: sequence of '{member.member_id}': got {bad!r}, wanted nucleotides"
            )
        protein = translate(without_gaps(row)).removesuffix("*")
        members.append(member._replace(letters=protein))
    return replace(raw, members=tuple(members), columns=None)


def _without_stop(row: str, member: Member, alphabet: Alphabet) -> str:
    """The letters of a row; a protein's last may be the stop, which was read as unknown."""
    letters = without_gaps(row)
    stops = alphabet.name == "protein" and member.letters.rstrip(GAPS).endswith("*")
    return letters[:-1] if stops else letters


def _alphabet(raw: RawFamily, options: HomologOptions, report: HomologReport) -> Alphabet | None:
    wanted = options.alphabet or report.alphabet
    found = {guess_alphabet(member.letters) for member in raw.members} - {None}
    if len(found) > 1 or (found and wanted and wanted not in found):
        reason = "family of mixed alphabets" if len(found) > 1 else f"family that is no {wanted}"
        report.tally.skip(reason, raw.members[0].where, len(raw.members))
        return None
    name = wanted or next(iter(found), None)
    if name is None:
        raise InputError(
            f"{raw.where}: family {raw.name}: got too few letters to tell rna from protein, wanted "
            "the alphabet told"
        )
    return ALPHABETS[name]


def _check_unique(members: Sequence[Homolog], raw: RawFamily) -> None:
    counts = Counter((member.species, member.member_id) for member in members)
    (species, name), times = counts.most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{raw.where}: family {raw.name}: got '{name}' of {species} {times} times, wanted "
            "unique names within a species"
        )


def _coding(sequence: str, options: HomologOptions, report: HomologReport) -> tuple[int, int]:
    if not options.coding:
        return -1, -1
    whole = len(sequence) - len(sequence) % 3
    if whole != len(sequence):
        report.tally.adjusted["CDS cut to its last full codon"] += 1
    return (0, whole) if whole else (-1, -1)


def _method(raw: RawFamily, alphabet: Alphabet, options: HomologOptions, report) -> str:
    """How distances are found: one way for all families, that of the first unless told."""
    method = options.distances or next(iter(report.method), None)
    if method is None:
        method = MASH if raw.columns is None else OF_ALIGNED[alphabet.name]
    if method in METHODS and raw.columns is None:
        raise InputError(
            f"{raw.where}: family {raw.name}: got rows that are not aligned, wanted an alignment "
            f"for distances by {method}; or mash, of all families"
        )
    return str(method)


def _distances(
    raw: RawFamily, kept: list[int], members: Sequence[Homolog], how: tuple
) -> tuple[np.ndarray | None, str]:
    """The matrix of the members that were kept, and the method that gave it."""
    alphabet, method, options, between = how
    if between is not None:
        return between.between([member.species for member in members]), "species"
    if method == NONE:
        return None, NONE
    if method == MASH:
        k = options.mash_k or MASH_K[alphabet.name]
        sequences = [member.sequence for member in members]
        return mash_distances(sequences, k, alphabet.unknown), MASH
    wrong = _PROTEIN_METHODS if alphabet is RNA else _NUCLEOTIDE_METHODS
    if method in wrong:
        raise InputError(f"distances: got {method} of {alphabet.name}, wanted another method")
    columns = raw.columns or ()  # `method` is one of alignments where there are columns alone
    rows = [alphabet.read(columns[place])[0] for place in kept]
    return alignment_distances(rows, str(method), alphabet.unknown), str(method)
