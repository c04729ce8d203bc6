"""One record of RNA–protein interactions, and its folder: pairs, RNAs, proteins, and a report.

The folder has `pairs.parquet` (rna_id, protein_id, label, source), `rnas.parquet` and
`proteins.parquet` (id, sequence, family, cluster, category), `report.json`, and a README.md whose
header makes `load_dataset(folder, "pairs")`, `"rnas"` and `"proteins"` work.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.homology.alphabets import PROTEIN, RNA, Alphabet
from data_builders.labels.label_set import filled
from data_builders.records import InputError
from data_builders.staging import replacing
from data_builders.tables import names_of_columns, read_table

CLUSTER, FAMILY = "cluster", "family"
"""What splits keep on one side."""

MOLECULES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        ("family", pa.string()),
        ("cluster", pa.string()),
        ("category", pa.string()),
    ]
)
"""One row a molecule; columns are named as the fields of `Molecule`."""

PAIRS = pa.schema(
    [
        pa.field("rna_id", pa.string(), nullable=False),
        pa.field("protein_id", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""One row a pair; the label is 1 of pairs that interact, 0 of others."""

FILES = {"pairs": PAIRS, "rnas": MOLECULES, "proteins": MOLECULES}
REPORT = "report.json"
_CARD = """---
configs:
- config_name: pairs
  data_files: pairs.parquet
  default: true
- config_name: rnas
  data_files: rnas.parquet
- config_name: proteins
  data_files: proteins.parquet
---
# RNA–protein pairs

{pairs:,} pairs of {rnas:,} RNAs and {proteins:,} proteins; {positives:,} interact. `report.json`
says where they come from and what was left out.

```python
from datasets import load_dataset

pairs = load_dataset("FOLDER", "pairs")  # rna_id, protein_id, label, source
rnas = load_dataset("FOLDER", "rnas")  # id, sequence, family, cluster, category
proteins = load_dataset("FOLDER", "proteins")
```
"""


@dataclass(frozen=True, slots=True)
class Molecule:
    """An RNA or a protein.

    Attributes:
        id: unique among the molecules of its kind.
        sequence: upper-case; of an RNA A C G T N, of a protein the 20 amino acids and X B Z U O J.
        family: its Rfam family or Pfam clan, None where none is known.
        cluster: of similar sequences, which splits keep on one side; None: it is alone.
        category: such as lncRNA or RBP, in the words of the source; None where it says none.
    """

    id: str
    sequence: str
    family: str | None = None
    cluster: str | None = None
    category: str | None = None


@dataclass(frozen=True, kw_only=True)
class InteractionSet:
    """RNAs, proteins, and pairs of them that interact or do not.

    Attributes:
        rnas: each once.
        proteins: each once.
        rna: of each pair, the place of its RNA in `rnas`, int32 (pairs,).
        protein: of each pair, the place of its protein in `proteins`, int32 (pairs,).
        label: 1 of pairs that interact, 0 of others, int8 (pairs,).
        source: of each pair, where it comes from, (pairs,).
    """

    rnas: tuple[Molecule, ...]
    proteins: tuple[Molecule, ...]
    rna: np.ndarray
    protein: np.ndarray
    label: np.ndarray
    source: tuple[str, ...]

    def __post_init__(self):
        """Raise InputError for columns that do not fit together."""
        sizes = {len(self.rna), len(self.protein), len(self.label), len(self.source)}
        if len(sizes) > 1:
            raise InputError(f"interactions: got columns of {sorted(sizes)} pairs, wanted one size")
        for name, places, of in (
            ("rna", self.rna, self.rnas),
            ("protein", self.protein, self.proteins),
        ):
            if len(places) and not 0 <= places.min() <= places.max() < len(of):
                raise InputError(
                    f"interactions: {name}: got places {places.min()} to {places.max()}, wanted 0 "
                    f"to {len(of) - 1}"
                )
        if not np.isin(self.label, (0, 1)).all():
            raise InputError("interactions: label: got another number, wanted 0 and 1")

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.label)

    @property
    def positives(self) -> np.ndarray:
        """Rows of the pairs that interact, ascending."""
        return np.flatnonzero(self.label == 1)

    def select(self, rows: np.ndarray) -> "InteractionSet":
        """Return the pairs of some rows, in their order, with all molecules."""
        return replace(
            self,
            rna=self.rna[rows],
            protein=self.protein[rows],
            label=self.label[rows],
            source=tuple(self.source[row] for row in rows),
        )

    def with_negatives(self, rna: np.ndarray, protein: np.ndarray, source: str) -> "InteractionSet":
        """Return these pairs followed by negatives of the same molecules, of one source."""
        return replace(
            self,
            rna=np.concatenate([self.rna, rna]).astype(np.int32),
            protein=np.concatenate([self.protein, protein]).astype(np.int32),
            label=np.concatenate([self.label, np.zeros(len(rna))]).astype(np.int8),
            source=(*self.source, *[source] * len(rna)),
        )


def clusters_of(molecules: Sequence[Molecule], by: str = CLUSTER) -> np.ndarray:
    """Return the cluster of each molecule as a number, int64 (n,); None is a cluster of its own.

    By `FAMILY` it is the family of each, and the cluster of those that have none.
    """
    names = [("", m.id) if m.cluster is None else (CLUSTER, m.cluster) for m in molecules]
    if by == FAMILY:
        both = zip(molecules, names, strict=True)
        names = [name if m.family is None else (FAMILY, m.family) for m, name in both]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)


def write_interactions(
    interactions: InteractionSet, folder: str | os.PathLike, report: dict | None = None
) -> None:
    """Write a set of at least one pair to a folder, whose files are replaced together.

    `report` is what else `report.json` says; the counts of the set are always in it.
    """
    if not len(interactions):
        raise InputError(f"{folder}: got no pair to write, wanted at least one")
    counts = {
        "pairs": len(interactions),
        "positives": len(interactions.positives),
        "rnas": len(interactions.rnas),
        "proteins": len(interactions.proteins),
    }
    rna_ids = np.array([rna.id for rna in interactions.rnas], object)
    protein_ids = np.array([protein.id for protein in interactions.proteins], object)
    pairs = {
        "rna_id": rna_ids[interactions.rna].tolist(),
        "protein_id": protein_ids[interactions.protein].tolist(),
        "label": interactions.label,
        "source": list(interactions.source),
    }
    tables = {
        "pairs": pairs,
        "rnas": _columns(interactions.rnas),
        "proteins": _columns(interactions.proteins),
    }
    with replacing(folder) as partial:
        for name, schema in FILES.items():
            table = pa.table(tables[name], schema=schema)
            pq.write_table(table, partial / f"{name}.parquet", compression="zstd")
        (partial / REPORT).write_text(json.dumps(counts | (report or {}), indent=2) + "\n")
        (partial / "README.md").write_text(_CARD.format(**counts), encoding="utf-8")


def read_interactions(folder: str | os.PathLike) -> InteractionSet:
    """Read a folder that `write_interactions` wrote, or one made by hand in its layout.

    Raises:
        InputError: a file is missing or has other columns; an id twice, or one without a sequence;
            a letter that is none of the alphabet; a label that is neither 0 nor 1; a molecule of a
            pair that is not in its table.
    """
    folder = Path(folder)
    rnas = _read_molecules(folder / "rnas.parquet", RNA)
    proteins = _read_molecules(folder / "proteins.parquet", PROTEIN)
    path = folder / "pairs.parquet"
    table = read_table(path)
    _check_columns(path, table, PAIRS)
    labels = table["label"]
    if not (labels.dtype.is_integer() and labels.is_in([0, 1]).fill_null(False).all()):
        raise InputError(f"{path}: label: got another value, wanted 0 and 1")
    return InteractionSet(
        rnas=rnas,
        proteins=proteins,
        rna=_places(filled(table, "rna_id", path), rnas, path, "rna_id"),
        protein=_places(filled(table, "protein_id", path), proteins, path, "protein_id"),
        label=labels.to_numpy().astype(np.int8),
        source=tuple(filled(table, "source", path)),
    )


def _columns(molecules: Sequence[Molecule]) -> dict[str, list]:
    return {name: [getattr(m, name) for m in molecules] for name in MOLECULES.names}


def _check_columns(path: Path, table, schema: pa.Schema) -> None:
    needed = [field.name for field in schema if not field.nullable]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: columns: got {names_of_columns(table)}, wanted {', '.join(missing)} too"
        )


def _read_molecules(path: Path, alphabet: Alphabet) -> tuple[Molecule, ...]:
    table = read_table(path)
    _check_columns(path, table, MOLECULES)
    ids, sequences = filled(table, "id", path), filled(table, "sequence", path)
    optional = [
        table[name].to_list() if name in table.columns else [None] * len(ids)
        for name in ("family", "cluster", "category")
    ]
    letters, seen = set(alphabet.letters), set()
    for row, (name, sequence) in enumerate(zip(ids, sequences, strict=True), 1):
        if name in seen:
            raise InputError(f"{path}: row {row}: id: got {name!r} again, wanted each once")
        seen.add(name)
        if not sequence or set(sequence) - letters:
            found = repr(min(set(sequence) - letters)) if sequence else "none"
            raise InputError(
                f"{path}: row {row} ({name}): sequence: got {found}, wanted letters of "
                f"{alphabet.letters}"
            )
    return tuple(Molecule(*values) for values in zip(ids, sequences, *optional, strict=True))


def _places(ids: list[str], molecules: Sequence[Molecule], path: Path, column: str) -> np.ndarray:
    places = {molecule.id: place for place, molecule in enumerate(molecules)}
    for row, name in enumerate(ids, 1):
        if name not in places:
            raise InputError(
                f"{path}: row {row}: {column}: got {name!r}, wanted an id of the table of sequences"
            )
    return np.array([places[name] for name in ids], np.int32)
