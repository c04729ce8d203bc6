"""Files of RNA–protein pairs to one data set: what `isoclr build-interactions` does."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from data_builders.counts import counted
from data_builders.homology.alphabets import PROTEIN, RNA
from data_builders.interactions.clusters import similar_proteins, similar_rnas, with_clusters
from data_builders.interactions.dataset import REPORT, InteractionSet, Molecule, write_interactions
from data_builders.interactions.families import read_clans, read_families
from data_builders.interactions.negatives import GIVEN, NONE, RULES, draw_negatives
from data_builders.interactions.pair_tables import RNA_PROTEIN, read_pairs
from data_builders.interactions.pfam import is_profile_file, scan_families
from data_builders.interactions.report import draw_report
from data_builders.interactions.sequences import read_molecules
from data_builders.records import InputError
from data_builders.staging import one_builder
from data_builders.text import Tally

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class InteractionFiles:
    """Where a set comes from.

    Attributes:
        pairs: files as `read_pairs` takes them.
        rnas: sequences of the RNAs, as `read_molecules` takes them.
        proteins: sequences of the proteins.
        rna_families: as `read_families` takes it; None: families are in the tables of sequences, or
            unknown.
        protein_families: likewise, or profiles of HMMER3, see `scan_families`.
        clans: of Pfam families, as `read_clans` takes it.
        rna_clusters: as `read_cluster_table` takes it; None: `similar_rnas`.
        protein_clusters: likewise; None: `similar_proteins`.
    """

    pairs: Sequence[str | os.PathLike]
    rnas: Sequence[str | os.PathLike]
    proteins: Sequence[str | os.PathLike]
    rna_families: str | os.PathLike | None = None
    protein_families: str | os.PathLike | None = None
    clans: str | os.PathLike | None = None
    rna_clusters: str | os.PathLike | None = None
    protein_clusters: str | os.PathLike | None = None


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Which pairs stay, in the order of the steps.

    Attributes:
        exclude: categories of RNAs that are left out, such as mRNA; letter case does not count.
        min_score: pairs of a lower score, or without one, are left out; None: all stay.
        max_length: longer RNAs and proteins are left out, letters; None: all stay.
        need_families: molecules without a family are left out.
        max_pairs: molecules with so many pairs, or more, are left out, RNAs first; None: all stay.
        negatives: one of `negatives.RULES`.
        seed: of drawn negatives.
        strict: a pair that is left out is an error.
    """

    exclude: tuple[str, ...] = ()
    min_score: float | None = None
    max_length: int | None = None
    need_families: bool = False
    max_pairs: int | None = None
    negatives: str = GIVEN
    seed: int = 0
    strict: bool = False


RNAINTERACT = BuildOptions(
    exclude=("mRNA",), max_length=1024, need_families=True, max_pairs=150, negatives="family-clan"
)
"""The rules of RNAInterAct (RPIembeddor, 2024)."""


@dataclass
class BuildReport:
    """What was read, left out and kept.

    Attributes:
        steps: of each step, why pairs were left out, how many, and the pairs, RNAs and proteins
            that are left after it; the first is what was read.
        sequences: tallies of the RNAs and the proteins that were read.
        categories: (RNA category, protein category) -> pairs that are kept.
        contradictory: ids of pairs with both labels, of which some are shown.
        not_there: categories that were to be left out, and that no RNA is of.
        more: what else `report.json` says.
    """

    steps: list[dict] = field(default_factory=list)
    sequences: dict[str, Tally] = field(default_factory=dict)
    categories: Counter[tuple[str, str]] = field(default_factory=Counter)
    contradictory: list[str] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)
    more: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        """For report.json."""
        return {
            "steps": self.steps,
            "sequences": {
                name: {"read": tally.read, "adjusted": dict(tally.adjusted)}
                for name, tally in self.sequences.items()
            },
            "categories": [
                {"rna": a, "protein": b, "pairs": n}
                for (a, b), n in sorted(self.categories.items())
            ],
            "contradictory": self.contradictory,
            "not_there": self.not_there,
            **self.more,
        }

    def lines(self) -> list[str]:
        """What a person reads."""
        said = [f"  {self.steps[0]['pairs']:,} pairs read, {self.steps[-1]['pairs']:,} left"]
        for step in self.steps:
            if step["left_out"]:
                said.append(f"  left out {step['left_out']:,}: {step['step']}")
        if self.not_there:
            names = " or ".join(self.not_there)
            said.append(f"  left out 0: RNA is {names}, of which there is none")
        for name, tally in self.sequences.items():
            said += [f"  {n} of the {name}: {reason}" for reason, n in tally.adjusted.items()]
        for name in ("rna_clusters", "protein_clusters"):
            found = self.more[name]
            said.append(
                f"  {name.replace('_', ' ')}: {found['clusters']:,}, the largest of "
                f"{found['largest']:,}"
            )
        if missing := self.more["negatives"]["missing"]:
            said.append(f"  {missing:,} negatives are missing: no pair was left that fits")
        return said


class _Steps:
    """A frame of pairs that gets smaller, and the report of it."""

    def __init__(self, frame: pl.DataFrame, report: BuildReport, strict: bool):
        self.frame, self.report, self._strict = frame, report, strict
        self._note("read", 0)

    def keep(self, mask: pl.Expr, step: str) -> None:
        """Leave out the pairs for which the mask is not true; the step says why."""
        kept = self.frame.filter(mask)
        gone = self.frame.height - kept.height
        if gone and self._strict:
            where = self.frame.filter(mask.not_() | mask.is_null())["where"][0]
            raise InputError(f"{where}: {step}")
        if gone and not kept.height:
            where = self.frame["where"][0]
            raise InputError(
                f"{where}: {step}: so it is with all that were left, {counted(gone, 'pair')}; "
                "wanted others too"
            )
        self.frame = kept
        self._note(step, gone)

    def _note(self, step: str, gone: int) -> None:
        counts = {"pairs": self.frame.height, "left_out": gone}
        for name in ("rna", "protein"):
            known = f"{name}_sequence" if f"{name}_sequence" in self.frame.columns else name
            counts[f"{name}s"] = self.frame[known].n_unique()
        self.report.steps.append({"step": step, **counts})


def build_interactions(
    files: InteractionFiles,
    output: str | os.PathLike,
    options: BuildOptions | None = None,
    *,
    overwrite: bool = False,
) -> BuildReport:
    """Build a set in `output`, with `report.json` and `report.png`, see `read_set`.

    A set that is there, unless it is to be replaced, and another process that builds in it are an
    InputError.
    """
    folder = Path(output)
    with one_builder(folder):
        if (folder / "pairs.parquet").exists() and not overwrite:
            raise InputError(f"{folder}: got a set of pairs in it, wanted none, or --overwrite")
        interactions, report = read_set(files, options)
        write_interactions(interactions, folder, report.as_dict())
        draw_report(
            interactions, report.steps, report.categories, (folder / REPORT).with_suffix(".png")
        )
    return report


def read_set(
    files: InteractionFiles, options: BuildOptions | None = None
) -> tuple[InteractionSet, BuildReport]:
    """Read files of pairs and sequences as one set, in which each sequence is once.

    Molecules of one sequence are one, under the first of their ids; pairs of them are one pair. A
    pair with both labels is left out, and reported.

    Raises:
        InputError: a file that cannot be read; clans without families of proteins; options out of
            their bounds; pairs none of which is left after a
            step, such as finding sequences; in strict mode, the first pair that would be left out.
    """
    options = options or BuildOptions()
    _check_options(options)
    if files.clans is not None and files.protein_families is None:
        raise InputError(f"{files.clans}: got clans without protein families, wanted both")
    report = BuildReport()
    frame = pl.concat([read_pairs(path) for path in files.pairs])
    molecules = {}
    for name, alphabet, paths, families, clans in (
        ("rnas", RNA, files.rnas, files.rna_families, None),
        ("proteins", PROTEIN, files.proteins, files.protein_families, files.clans),
    ):
        report.sequences[name] = Tally()
        found = read_molecules(paths, alphabet, report.sequences[name])
        molecules[name] = _with_families(found, families, clans)
    steps = _Steps(frame, report, options.strict)
    _apply_rules(steps, molecules, options)
    interactions = _assembled(steps.frame, molecules)
    for kind, similar, table in (
        ("rnas", similar_rnas, files.rna_clusters),
        ("proteins", similar_proteins, files.protein_clusters),
    ):
        clustered, found = with_clusters(getattr(interactions, kind), similar, table)
        interactions = replace(interactions, **{kind: clustered})
        report.more[f"{kind[:-1]}_clusters"] = found
    report.contradictory = report.contradictory[:_SHOWN]
    for r, p in zip(interactions.rna, interactions.protein, strict=True):
        pair = interactions.rnas[r].category or "", interactions.proteins[p].category or ""
        report.categories[pair] += 1
    missing = 0
    if options.negatives not in (GIVEN, NONE):
        drawn = draw_negatives(interactions, options.negatives, options.seed)
        missing = drawn.missing
        interactions = interactions.with_negatives(drawn.rna, drawn.protein, options.negatives)
    report.more["negatives"] = {
        "rule": options.negatives,
        "seed": options.seed,
        "pairs": len(interactions) - len(interactions.positives),
        "missing": missing,
    }
    return interactions, report


def _check_options(options: BuildOptions) -> None:
    if options.negatives not in RULES:
        raise InputError(f"negatives: got {options.negatives!r}, wanted one of {', '.join(RULES)}")
    if not all(name.strip() for name in options.exclude):
        raise InputError(f"exclude: got {','.join(options.exclude)!r}, wanted names of categories")
    if options.min_score is not None and not math.isfinite(options.min_score):
        raise InputError(f"min_score: got {options.min_score}, wanted a finite number")
    for name in ("max_length", "max_pairs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{name}: got {value}, wanted at least 1")


def _with_families(
    molecules: dict[str, Molecule], path: str | os.PathLike | None, clans
) -> dict[str, Molecule]:
    if path is None:
        return molecules
    if is_profile_file(path):
        of_family = {} if clans is None else read_clans(clans)
        found = scan_families(path, molecules)
        families = {name: of_family.get(family, family) for name, family in found.items()}
    else:
        families = read_families(path, clans)
    if not families.keys() & molecules.keys():
        raise InputError(
            f"{path}: got families of none of {len(molecules)} sequences, such as "
            f"{next(iter(families), 'none')!r}, wanted ids of the sequences"
        )
    return {
        name: replace(molecule, family=families.get(name, molecule.family))
        for name, molecule in molecules.items()
    }


def _apply_rules(
    steps: _Steps, molecules: Mapping[str, Mapping[str, Molecule]], options: BuildOptions
) -> None:
    """Leave out what the options say, a step at a time."""
    if (steps.frame["kind"] != RNA_PROTEIN).any():
        steps.keep(pl.col("kind") == RNA_PROTEIN, "not an RNA with a protein")
    if options.negatives != GIVEN and (steps.frame["label"] == 0).any():
        steps.keep(pl.col("label") == 1, "negative of the files")
    if options.exclude:
        lower = pl.col("rna_category").fill_null("").str.to_lowercase()
        names = [name.casefold() for name in options.exclude]
        there = set(steps.frame.select(lower).to_series())
        steps.report.not_there = [n for n in options.exclude if n.casefold() not in there]
        steps.keep(~lower.is_in(names), f"RNA is {' or '.join(options.exclude)}")
    if options.min_score is not None:
        steps.keep(pl.col("score") >= options.min_score, f"score below {options.min_score}")
    for name in ("rna", "protein"):
        label = "RNA" if name == "rna" else name
        of_kind = molecules[f"{name}s"]
        found = [next((n for n in names if n in of_kind), None) for names in steps.frame[name]]
        chosen = [None if n is None else of_kind[n] for n in found]
        steps.frame = steps.frame.with_columns(
            pl.Series(f"{name}_id", found, pl.String),
            pl.Series(f"{name}_sequence", [m and m.sequence for m in chosen], pl.String),
            pl.Series(f"{name}_family", [m and m.family for m in chosen], pl.String),
        )
        steps.keep(pl.col(f"{name}_id").is_not_null(), f"{label} without a sequence")
    for name in ("rna", "protein"):
        label = "RNA" if name == "rna" else name
        if options.max_length is not None:
            length = pl.col(f"{name}_sequence").str.len_bytes()
            steps.keep(length <= options.max_length, f"{label} longer than {options.max_length}")
    if options.need_families:
        steps.keep(pl.col("rna_family").is_not_null(), "RNA without a family")
        steps.keep(pl.col("protein_family").is_not_null(), "protein without a family")
    pair = ("rna_sequence", "protein_sequence")
    steps.frame = steps.frame.with_columns(labels=pl.col("label").n_unique().over(pair))
    both = steps.frame.filter(pl.col("labels") > 1).unique(pair, maintain_order=True)
    steps.report.contradictory = [f"{r} {p}" for r, p in both.select("rna_id", "protein_id").rows()]
    if both.height:
        steps.keep(pl.col("labels") == 1, "both labels for a pair of sequences")
    steps.keep(pl.struct(pair).is_first_distinct(), "pair of sequences seen before")
    if options.max_pairs is not None:
        for name in ("rna", "protein"):
            label = "RNA" if name == "rna" else name
            number = pl.len().over(f"{name}_sequence")
            steps.keep(number < options.max_pairs, f"{label} of {options.max_pairs} pairs or more")


def _assembled(frame: pl.DataFrame, molecules) -> InteractionSet:
    """The set of a frame: molecules in the order of their first pair."""
    columns = {}
    for name in ("rna", "protein"):
        sequences = frame[f"{name}_sequence"].to_list()
        places: dict[str, int] = {}
        kept = []
        for identifier, sequence, category in zip(
            frame[f"{name}_id"].to_list(),
            sequences,
            frame[f"{name}_category"].to_list(),
            strict=True,
        ):
            if sequence not in places:
                places[sequence] = len(kept)
                molecule = molecules[f"{name}s"][identifier]
                kept.append(replace(molecule, category=molecule.category or category))
        columns[f"{name}s"] = tuple(kept)
        columns[name] = np.array([places[sequence] for sequence in sequences], np.int32)
    return InteractionSet(
        **columns,
        label=frame["label"].to_numpy().astype(np.int8),
        source=tuple(frame["source"].to_list()),
    )
