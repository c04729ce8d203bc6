"""Units are recognised by values, and refused where the values cannot be in them."""

import numpy as np
import pytest
from scipy import sparse

from data_builders.expression.units import check_unit, check_values, recognise_unit, to_log2
from data_builders.records import InputError

COUNTS = np.random.default_rng(1).poisson(30, (4, 50)).astype(np.float64)
FPKM = COUNTS * 1.37
TPM = COUNTS / COUNTS.sum(1, keepdims=True) * 1e6
LOG2 = np.log2(TPM + 1)

forms = pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])


@forms
@pytest.mark.parametrize(
    ("unit", "values"), [("counts", COUNTS), ("tpm", TPM), ("fpkm", FPKM), ("log2", LOG2)]
)
def test_each_unit_is_recognised_and_passes(form, unit, values):
    assert recognise_unit(form(values), "here") == unit
    check_unit(form(values), unit, "here")


def test_a_matrix_of_zeros_and_ones_is_no_table_of_counts():
    assert recognise_unit(np.eye(3), "here") == "log2"


@forms
@pytest.mark.parametrize(
    ("unit", "values", "message"),
    [
        ("counts", FPKM, "unit: got counts with a value of .*, wanted whole numbers"),
        ("log2", TPM, "unit: got log2 with a value of .*, wanted at most 40"),
        ("rpkm", TPM, "unit: got 'rpkm', wanted one of counts, tpm, fpkm, log2"),
    ],
)
def test_what_a_unit_cannot_be_is_refused(form, unit, values, message):
    with pytest.raises(InputError, match=f"here: {message}"):
        check_unit(form(values), unit, "here")


@forms
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"sample 'c': got a value that is missing or infinite \(nan\)"),
        (np.inf, r"sample 'c': got a value that is missing or infinite \(inf\)"),
        (-0.5, r"sample 'c': got a negative value \(-0.5\)"),
        (None, "sample 'c': got zero for every gene"),
    ],
)
def test_values_that_no_unit_allows(form, value, message):
    values = FPKM.copy()
    if value is None:
        values[2] = 0
    else:
        values[2, 7] = value
    with pytest.raises(InputError, match=f"here: {message}"):
        check_values(form(values), "here", "abcd")


@forms
def test_logs_of_each_unit_are_the_same(form):
    for unit, values in (("counts", COUNTS), ("tpm", TPM), ("log2", LOG2)):
        logs = to_log2(form(values), unit)
        dense = logs.toarray() if sparse.issparse(logs) else logs
        assert dense.dtype == np.float32
        assert np.allclose(dense, LOG2, rtol=1e-5)
    assert sparse.issparse(to_log2(sparse.csr_array(COUNTS), "counts"))
    zeros = to_log2(np.array([[0.0, 5.0]]), "counts")
    assert zeros[0, 0] == 0
