"""What the numbers of an expression matrix are: recognised, said, and refused where impossible."""

import numpy as np
from scipy import sparse

from data_builders.records import InputError

UNITS = ("counts", "tpm", "fpkm", "log2")
"""counts: reads of a gene; tpm and fpkm: linear; log2: log2(x + 1) of a linear unit."""

_LARGEST_LOG = 40.0  # log2 of 10^12: no experiment counts as far
_TPM_TOTAL = 1e6


def stored(values: np.ndarray | sparse.csr_array) -> np.ndarray:
    """Return the numbers of a matrix; of a sparse one those that are stored, (stored,)."""
    return values if isinstance(values, np.ndarray) else values.data


def recognise_unit(values: np.ndarray | sparse.csr_array, source: str) -> str:
    """Say which unit the numbers are in, by their values alone.

    Whole numbers are counts. Numbers of at most 40 are logs, if no sample adds up to a million.
    Samples that add up to a million are TPM; what is left is FPKM.

    Args:
        values: (samples, genes), of some samples.
        source: what an error calls the matrix.

    Raises:
        InputError: a value is negative, missing or infinite, or all values of a sample are zero.
    """
    values = check_values(values, source)
    data = stored(values)
    totals = np.asarray(values.sum(axis=1)).ravel()
    if np.all(data == np.rint(data)) and data.max() > 1:
        return "counts"
    if data.max() <= _LARGEST_LOG and not np.allclose(totals, _TPM_TOTAL, rtol=0.01):
        return "log2"
    return "tpm" if np.allclose(totals, _TPM_TOTAL, rtol=0.01) else "fpkm"


def check_values(values: np.ndarray | sparse.csr_array, source: str, samples=None):
    """Return values (samples, genes) that a unit allows.

    An InputError names the first sample with a value that is negative, missing or infinite, or
    whose values are all zero.
    """
    data = stored(values)
    for name, wrong in (
        ("a value that is missing or infinite", ~np.isfinite(data)),
        ("a negative value", data < 0),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong.ravel())[0])
            if isinstance(values, np.ndarray):
                row = first // values.shape[1]
            else:
                row = int(np.searchsorted(values.indptr, first, "right")) - 1
            value = float(data.ravel()[first])
            raise InputError(
                f"{source}: sample {_name(samples, row)}: got {name} ({value:g}), wanted finite "
                "numbers of 0 and above; z-scores and batch-corrected values cannot be used"
            )
    empty = np.flatnonzero(np.asarray(values.sum(axis=1)).ravel() == 0)
    if len(empty):
        raise InputError(
            f"{source}: sample {_name(samples, int(empty[0]))}: got zero for every gene, wanted "
            "expressed genes; leave the sample out"
        )
    return values


def check_unit(values: np.ndarray | sparse.csr_array, unit: str, source: str) -> None:
    """Refuse a unit that values cannot be in: counts that are not whole, logs in the thousands."""
    if unit not in UNITS:
        raise InputError(f"{source}: unit: got {unit!r}, wanted one of {', '.join(UNITS)}")
    data = stored(values)
    if unit == "counts" and not np.all(data == np.rint(data)):
        odd = float(data[data != np.rint(data)].ravel()[0])
        raise InputError(
            f"{source}: unit: got counts with a value of {odd:g}, wanted whole numbers; estimated "
            "counts can be rounded, tpm, fpkm or log2 said as such"
        )
    if unit == "log2" and data.max() > _LARGEST_LOG:
        raise InputError(
            f"{source}: unit: got log2 with a value of {data.max():g}, wanted at most "
            f"{_LARGEST_LOG:g}; it looks like a linear unit"
        )


def to_log2(values: np.ndarray | sparse.csr_array, unit: str) -> np.ndarray | sparse.csr_array:
    """Return log2(x + 1): of counts per million for counts, of the values for tpm and fpkm.

    float32, of the shape and kind of `values`; zero stays zero.
    """
    if unit == "log2":
        if isinstance(values, np.ndarray):
            return values.astype(np.float32)
        return sparse.csr_array(values.astype(np.float32))
    if unit == "counts":
        totals = np.asarray(values.sum(axis=1), np.float64).ravel()
        scale = 1e6 / totals
        if isinstance(values, np.ndarray):
            values = values * scale[:, None]
        else:
            values = sparse.csr_array(sparse.diags_array(scale).tocsr() @ values)
    if isinstance(values, np.ndarray):
        return np.log2(values + 1).astype(np.float32)
    logs = sparse.csr_array(values, copy=True)
    logs.data = np.log2(logs.data + 1).astype(np.float32)
    return logs


def _name(samples, row: int) -> str:
    return str(row) if samples is None else repr(samples[row])
