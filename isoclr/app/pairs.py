"""What the page says of pairs of an RNA and a protein."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from data_builders.homology.alphabets import PROTEIN, RNA, Alphabet
from data_builders.interactions.dataset import Molecule
from data_builders.interactions.sequences import read_molecules
from data_builders.records import InputError
from data_builders.text import Tally
from isoclr.app.figures import pixels_of
from isoclr.app.inputs import LIMITS, Limits, as_fasta, notes_of, private_folder
from isoclr.evaluation.interact import (
    PairModel,
    Queries,
    Scorer,
    Scores,
    explain_pair,
    interact,
    plot_explained_pair,
    plot_matrix,
)

COLUMNS = [
    "RNA",
    "protein",
    "probability",
    "interacts",
    "RNA like training",
    "protein like training",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairStudy:
    """Pairs that were scored; equal to itself alone, as a page's state must be.

    Attributes:
        queries: the molecules.
        scorer: of the model and the molecules.
        scores: what became of the pairs.
        rows: a row of `COLUMNS` a pair, the most probable first.
        notes: lines on what was read and how far it is from training.
    """

    queries: Queries
    scorer: Scorer
    scores: Scores
    rows: list[list]
    notes: list[str]

    def heat_map(self) -> np.ndarray | None:
        """Draw the probabilities, uint8 (height, width, 3); None of a single RNA or protein."""
        if min(len(self.queries.rnas), len(self.queries.proteins)) < 2:
            return None
        return pixels_of(partial(plot_matrix, self.queries, self.scores))


def study_pairs(
    model: PairModel, rna: str | bytes, protein: str | bytes, limits: Limits = LIMITS
) -> PairStudy:
    """Score every RNA with every protein.

    Args:
        model: of pairs.
        rna: FASTA, or one bare sequence.
        protein: the same of proteins.
        limits: bounds.

    Raises:
        InputError: in one line without a path of this machine: nothing given, too much, or what the
            reader or the model refuses.
    """
    tally = Tally()
    queries = Queries(
        rnas=_molecules(rna, RNA, limits, tally),
        proteins=_molecules(protein, PROTEIN, limits, tally),
    )
    with private_folder() as folder:
        scorer = Scorer(model, queries)
        scores = interact(model, queries, folder / "scores.parquet", scorer)
        table = pl.read_parquet(folder / "scores.parquet")
    rows = [
        [first, second, f"{probability:.3f}", "yes" if yes else "no", *map(_share, known)]
        for first, second, probability, yes, *known in table.sort(
            "probability", descending=True, maintain_order=True
        ).iter_rows()
    ]
    notes = [*scores.lines(queries, model.config), *notes_of(tally)]
    return PairStudy(queries=queries, scorer=scorer, scores=scores, rows=rows, notes=notes)


def explain_row(model: PairModel, found: PairStudy, rna: int, protein: int) -> np.ndarray:
    """Draw what the score of one pair owes to what: uint8 (height, width, 3).

    Args:
        model: of pairs.
        found: the study.
        rna: place of the RNA among the molecules.
        protein: place of the protein.
    """
    explained = explain_pair(model, found.queries, found.scorer, (rna, protein))
    return pixels_of(partial(plot_explained_pair, explained))


def _share(identity: float | None) -> str:
    return "not said" if identity is None else f"{identity:.0%}"


def _molecules(
    given: str | bytes, alphabet: Alphabet, limits: Limits, tally: Tally
) -> tuple[Molecule, ...]:
    name = "RNA sequences" if alphabet.name == "rna" else f"{alphabet.name} sequences"
    content = as_fasta(given, name, limits)
    with private_folder() as folder:
        (folder / name).write_bytes(content)
        molecules = tuple(read_molecules([folder / name], alphabet, tally).values())
    if len(molecules) > limits.molecules:
        raise InputError(f"{name}: got {len(molecules):,}, wanted at most {limits.molecules:,}")
    for molecule in molecules:
        if len(molecule.sequence) > limits.letters:
            raise InputError(
                f"{name}: '{molecule.id}': got {len(molecule.sequence):,} letters, wanted at most "
                f"{limits.letters:,}"
            )
    return molecules
