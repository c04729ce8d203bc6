"""A file of embeddings in the formats that other tools read."""

import importlib.util
import os
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from data_builders.cells import safe_cells
from data_builders.records import InputError
from data_builders.tables import names_of_columns, read_table

FORMATS = ("parquet", "h5ad", "npz", "tsv")
_NAMES = ("transcript_id", "gene_id", "species")
_DAMAGED = (pl.exceptions.PolarsError, BadZipFile, EOFError, zlib.error)
REPRESENTATION = "X_isoclr"
"""The key of embeddings in `obsm` of an AnnData."""


def format_of(path: str | os.PathLike, wanted: str | None = None, positions: bool = False) -> str:
    """Return the format of a file of embeddings.

    Args:
        path: whose suffix names it where nothing else does.
        wanted: one of `FORMATS`, None to go by the suffix.
        positions: a vector a position, which Parquet alone holds.

    Raises:
        InputError: another format, a suffix that names none, or a format whose package is missing.
    """
    suffix = Path(path).suffix.removeprefix(".")
    if wanted is None and suffix not in FORMATS:
        *first, last = (f".{name}" for name in FORMATS)
        raise InputError(
            f"{path}: got the ending '{Path(path).suffix}', wanted {', '.join(first)} or {last}, "
            "or a format beside it (--format)"
        )
    name = wanted or suffix
    if name not in FORMATS:
        raise InputError(f"{path}: format: got {name!r}, wanted one of {', '.join(FORMATS)}")
    if positions and name != "parquet":
        raise InputError(f"{path}: format: got {name}, wanted parquet for a vector a position")
    if name == "h5ad" and importlib.util.find_spec("anndata") is None:
        raise InputError(f"{path}: h5ad needs a package: pip install 'isoclr[expression]'")
    return name


def write_embeddings(parquet: str | os.PathLike, path: str | os.PathLike, name: str) -> None:
    """Write the embeddings of a Parquet file in another format.

    npz has arrays `transcript_id`, `gene_id`, `species` and `embedding`, float32 (n, width), and no
    pickle. tsv has the same columns, the embedding as `e0`, `e1`, and so on. h5ad has no X;
    the embeddings are `obsm["X_isoclr"]`, a row of `obs` a transcript.

    Args:
        parquet: as `embed_to_file` writes it, a vector a transcript.
        path: of the new file, there whole or not at all.
        name: "h5ad", "npz" or "tsv".
    """
    table = pl.DataFrame(pq.read_table(parquet, columns=["transcript_id", "gene_id", "species"]))
    vectors = pq.read_table(parquet, columns=["embedding"])["embedding"].combine_chunks()
    embedding = vectors.flatten().to_numpy().reshape(len(table), -1)
    partial = Path(f"{path}.partial")
    if name == "npz":
        arrays: dict[str, Any] = {name: table[name].to_numpy().astype(str) for name in _NAMES}
        with partial.open("wb") as file:
            np.savez_compressed(file, embedding=embedding, **arrays)
    elif name == "tsv":
        columns = {f"e{i}": column for i, column in enumerate(embedding.T)}
        safe_table(table).hstack(pl.DataFrame(columns)).write_csv(partial, separator="\t")
    else:
        model = (pq.read_schema(parquet).metadata or {}).get(b"model", b"").decode()
        ann_data(table, embedding, model=model).write_h5ad(partial)
    partial.replace(path)


def read_embedded(path: str | os.PathLike) -> tuple[pl.DataFrame, np.ndarray]:
    """Read a file of `isoclr embed`, of any format: its names, and embeddings float32 (n, width).

    Raises:
        InputError: it is no such file.
    """
    name = "readable"  # until the format is known
    try:
        name = _written_format(path)
        table, embedding = _READERS[name](path)
        table, embedding = table.select(_NAMES), np.asarray(embedding, np.float32)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, wanted one that isoclr embed wrote") from error
    except (OSError, KeyError, TypeError, ValueError, *_DAMAGED) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: got no {name} file of isoclr embed, without --per-position: {reason}"
        ) from error
    if embedding.ndim != 2 or len(embedding) != len(table) or not np.isfinite(embedding).all():
        raise InputError(
            f"{path}: embedding: got shape {embedding.shape} for {len(table)} transcripts, wanted "
            "as many finite numbers for each"
        )
    return table, embedding


def _written_format(path: str | os.PathLike) -> str:
    """Return the format of a file by how it begins, whatever its name is."""
    with open(path, "rb") as file:
        head = file.read(4)
    begins = {b"PAR1": "parquet", b"PK\x03\x04": "npz", b"\x89HDF": "h5ad"}
    name = begins.get(head, "tsv")
    if name == "h5ad":
        format_of(path, name)  # its package is needed
    return name


def _read_parquet(path) -> tuple[pl.DataFrame, list]:
    table = read_table(path)
    if missing := [name for name in (*_NAMES, "embedding") if name not in table.columns]:
        raise InputError(
            f"{path}: got the columns {names_of_columns(table)}, wanted {missing[0]}: a file of "
            "isoclr embed, without --per-position"
        )
    return table, table["embedding"].to_list()


def _read_tsv(path) -> tuple[pl.DataFrame, np.ndarray]:
    table = pl.read_csv(path, separator="\t", schema_overrides=dict.fromkeys(_NAMES, pl.String))
    return table, table.select(pl.col(r"^e\d+$")).to_numpy()


def _read_npz(path) -> tuple[pl.DataFrame, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        table = pl.DataFrame({name: arrays[name].astype(str).tolist() for name in _NAMES})
        return table, arrays["embedding"]


def _read_h5ad(path) -> tuple[pl.DataFrame, np.ndarray]:
    from anndata import read_h5ad

    made = read_h5ad(path)
    table = pl.DataFrame({name: made.obs[name].astype(str).tolist() for name in _NAMES})
    return table, np.asarray(made.obsm[REPRESENTATION])


_READERS = {"parquet": _read_parquet, "tsv": _read_tsv, "npz": _read_npz, "h5ad": _read_h5ad}


def safe_table(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose texts a spreadsheet takes for text, see `safe_cells`."""
    texts = [name for name in table.columns if table[name].dtype == pl.String]
    return table.with_columns(pl.Series(n, safe_cells(table[n]), pl.String) for n in texts)


def ann_data(table: pl.DataFrame, embedding: np.ndarray, *, model: str = ""):
    """Return an AnnData of transcripts: embeddings in `obsm["X_isoclr"]`, the rest in `obs`.

    Args:
        table: n rows with transcript_id, species, and other columns.
        embedding: (n, width).
        model: which made them; in `uns`.
    """
    from anndata import AnnData

    index = table["transcript_id"]
    if index.n_unique() < len(index):  # of two species
        index = table["species"] + ":" + table["transcript_id"]
    frame = table.to_pandas()
    frame.index = index.to_list()
    made = AnnData(obs=frame)
    made.obsm[REPRESENTATION] = np.asarray(embedding)
    made.uns["isoclr"] = {"model": model}
    return made
