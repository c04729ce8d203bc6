"""A large sparse matrix: time and memory of preparing it, of an epoch, and of making batches.

Counts of random genes, of which a share is not zero, lie in a file .h5ad, or, with `--format
parquet`, in one that needs no AnnData. Every part runs in a process of its own, whose greatest
memory is given, Python and torch included. The peer of the batches is a plain DataLoader over
scipy.sparse: a row a sample made dense, collated, put into z-scores and corrupted as a batch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from measure import machine, peak_memory, print_machine
from scipy import sparse
from torch.utils.data import DataLoader, Dataset

BATCH = 256
BATCHES = 20
ROWS_AT_ONCE = 2000


def main() -> None:
    """Print a table of seconds, samples a second and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--kept-genes", type=int, help="of the encoder; all by default")
    parser.add_argument("--format", choices=("h5ad", "parquet"), default="h5ad")
    parser.add_argument("--steps", type=int, help="of training; an epoch by default")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, folder = arguments.part
        found = PARTS[name](Path(folder), arguments)
        print(json.dumps(found | {"megabytes": peak_memory() / 2**20}))
        return
    print_machine(machine())
    print(
        f"{arguments.samples:,} samples × {arguments.genes:,} genes, "
        f"{arguments.density:.0%} not zero"
    )
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[arguments.format](Path(folder), arguments)
        print(f"{'':40}{'seconds':>10}{'samples/s':>12}{'MB':>8}")
        for name in PARTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--part", name, folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rate = found["samples"] / found["seconds"]
            print(f"{name:40}{found['seconds']:10.1f}{rate:12,.0f}{found['megabytes']:8,.0f}")


def counts(arguments: argparse.Namespace) -> Iterator[sparse.csr_matrix]:
    """Random counts, some thousand samples at a time."""
    rng = np.random.default_rng(0)
    n = round(arguments.genes * arguments.density)
    for start in range(0, arguments.samples, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, arguments.samples - start)
        columns = np.sort(rng.random((rows, n)), axis=1) * arguments.genes
        columns = np.minimum(columns.astype(np.int32), arguments.genes - 1).ravel()
        values = rng.geometric(0.1, rows * n).astype(np.float32)
        part = sparse.csr_matrix(
            (values, columns, np.arange(0, rows * n + 1, n)), (rows, arguments.genes)
        )
        part.sum_duplicates()
        yield part


def write_h5ad(folder: Path, arguments: argparse.Namespace) -> None:
    """Write counts as AnnData keeps them."""
    import anndata
    import h5py
    from anndata.io import write_elem

    with h5py.File(folder / "counts.h5ad", "w") as file:
        empty = anndata.AnnData(sparse.csr_matrix((0, arguments.genes), dtype=np.float32))
        empty.var_names = _genes(arguments)
        write_elem(file, "/", empty)
        data = anndata.io.sparse_dataset(file["X"])
        for part in counts(arguments):
            data.append(part)
        del file["obs"]
        names = range(arguments.samples)
        frame = anndata.AnnData(obs={"donor": [f"d{i // 3}" for i in names]}).obs
        frame.index = [f"s{i}" for i in names]
        write_elem(file, "obs", frame)


def write_parquet(folder: Path, arguments: argparse.Namespace) -> None:
    """Write counts as a Parquet file of the package."""
    from data_builders.expression.matrix import ExpressionMatrix, write_matrix

    def parts() -> Iterator[ExpressionMatrix]:
        start, genes = 0, tuple(_genes(arguments))
        for part in counts(arguments):
            names = range(start, start + part.shape[0])
            start = names.stop
            yield ExpressionMatrix(
                values=sparse.csr_array(part),
                samples=tuple(f"s{i}" for i in names),
                genes=genes,
                unit="counts",
                obs={"donor": [f"d{i // 3}" for i in names]},
            )

    write_matrix(parts(), folder / "counts.parquet")


WRITERS = {"h5ad": write_h5ad, "parquet": write_parquet}


def _genes(arguments: argparse.Namespace) -> list[str]:
    return [f"ENSG{i:011d}" for i in range(arguments.genes)]


def prepare(folder: Path, arguments: argparse.Namespace) -> dict:
    """`isoclr expression prepare`."""
    from data_builders.expression.prepare import prepare_expression

    began = perf_counter()
    path = folder / f"counts.{arguments.format}"
    report = prepare_expression([path], folder / "expression.parquet")
    return {"samples": report.samples, "seconds": perf_counter() - began}


def _recipe(folder: Path, arguments: argparse.Namespace):
    from isoclr.objectives.expression.recipe import ExpressionRecipe

    return ExpressionRecipe(
        data=str(folder / "expression.parquet"),
        output=str(folder / "model"),
        steps=arguments.steps or "1 epochs",
        batch_size=BATCH,
        n_genes=arguments.kept_genes,
        held_out_fraction=0.02,
        group_column="donor",
        tracker=None,
        checkpoint_every=100_000,
        evaluate_every=100_000,
    )


def epoch(folder: Path, arguments: argparse.Namespace) -> dict:
    """Training by SCARF, from reading the file to the saved model."""
    from isoclr.train import hold_output, train
    from isoclr.training.signals import StopRequest

    recipe = _recipe(folder, arguments)
    began = perf_counter()
    with hold_output(recipe.output), StopRequest() as stop:
        train(recipe, stop)
    seconds = perf_counter() - began
    log = (folder / "model" / "log.jsonl").read_text().count("\n")
    return {"samples": log * BATCH, "seconds": seconds}


def batches(folder: Path, arguments: argparse.Namespace) -> dict:
    """Views of batches, by the objective."""
    from isoclr.objectives.expression.objective import ExpressionObjective

    objective = ExpressionObjective(_recipe(folder, arguments), 0, 1)
    objective.batches[0]
    began = perf_counter()
    for step in range(1, BATCHES + 1):
        objective.batches[step]
    return {"samples": BATCH * BATCHES, "seconds": perf_counter() - began}


class _Rows(Dataset):
    """A row of a sparse matrix, dense."""

    def __init__(self, values: sparse.csr_matrix):
        self.values = values

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self.values[row].toarray()[0])


def plain_loader(folder: Path, arguments: argparse.Namespace) -> dict:
    """The same views by a DataLoader over scipy.sparse."""
    from data_builders.expression.matrix import concatenate, read_parts

    values = concatenate(list(read_parts(folder / "expression.parquet"))).values
    values = sparse.csr_matrix(values)
    mean = torch.from_numpy(np.asarray(values.mean(0), np.float32).ravel())
    scale = torch.from_numpy(np.sqrt(np.asarray(values.multiply(values).mean(0)).ravel())).float()
    low, high = torch.full_like(mean, -1.0), torch.full_like(mean, 10.0)
    loader = iter(DataLoader(_Rows(values), BATCH, shuffle=True))
    next(loader)
    began = perf_counter()
    for _ in range(BATCHES):
        clean = ((next(loader) - mean) / (scale + 1e-6)).clip(-10, 10)
        mask = torch.rand_like(clean) < 0.3
        torch.where(mask, low + torch.rand_like(clean) * (high - low), clean)
    return {"samples": BATCH * BATCHES, "seconds": perf_counter() - began}


PARTS = {
    "prepare": prepare,
    "train by SCARF": epoch,
    "batches of two views": batches,
    "plain DataLoader over scipy.sparse": plain_loader,
}

if __name__ == "__main__":
    main()
