"""Files to one matrix in one unit; what is renamed, added up and left out is counted."""

import json

import numpy as np
import pytest

from data_builders.expression.matrix import concatenate, read_parts
from data_builders.expression.prepare import (
    ReadOptions,
    prepare_expression,
    read_aliases,
    read_expression,
    read_obs,
)
from data_builders.records import InputError
from data_builders.simulate.expression import simulate_expression, write_simulated

GENES = [f"ENSG{i:011d}" for i in range(4)]


def write(path, samples, genes, values):
    """Genes in rows."""
    rows = [
        ["gene", *samples],
        *([g, *v] for g, v in zip(genes, np.transpose(values), strict=True)),
    ]
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.fixture
def counts(tmp_path):
    return write(tmp_path / "a.tsv", ["one", "two"], GENES, [[10, 20, 30, 40], [4, 3, 2, 1]])


def test_counts_become_logs_of_counts_per_million(counts, tmp_path):
    matrix, report = read_expression([counts])
    assert np.allclose(np.exp2(matrix.values) - 1, [[1e5, 2e5, 3e5, 4e5], [4e5, 3e5, 2e5, 1e5]])
    assert matrix.unit == "log2" and matrix.genes == tuple(GENES)
    assert (report.samples, report.genes, report.unit) == (2, 4, "counts")
    written = prepare_expression([counts], tmp_path / "out.parquet")
    assert json.loads((tmp_path / "out.report.json").read_text()) == vars(written) == vars(report)
    again = concatenate(list(read_parts(tmp_path / "out.parquet")))
    assert np.array_equal(again.values, matrix.values) and again.unit == "log2"
    assert report.lines() == [
        f"{counts}: 2 samples, counts (by its values)",
        "2 samples × 4 genes, written as log2(x + 1)",
    ]


def test_what_was_written_is_read_as_it_is(counts, tmp_path):
    prepare_expression([counts], tmp_path / "out.parquet")
    matrix, report = read_expression([tmp_path / "out.parquet"])
    assert report.files[0]["said"] == "by its format" and report.unit == "log2"
    assert np.array_equal(matrix.values, read_expression([counts])[0].values)


def test_a_unit_that_is_told_is_held_to(counts):
    with pytest.raises(InputError, match="a.tsv: unit: got 'rpm'"):
        read_expression([counts], ReadOptions(unit="rpm"))
    linear, report = read_expression([counts], ReadOptions(unit="fpkm"))
    assert np.allclose(np.exp2(linear.values[0]) - 1, [10, 20, 30, 40])
    assert report.files[0]["said"] == "as told"


@pytest.mark.parametrize("unit", ["counts", "tpm", "log2"])
def test_genes_that_come_twice_are_added_up_in_linear_units(tmp_path, unit):
    linear = np.array([[1e5, 2e5, 3e5, 4e5], [4e5, 3e5, 2e5, 1e5]])
    values = np.log2(linear + 1) if unit == "log2" else linear.astype(int)
    names = [GENES[0], f"{GENES[0]}.2", GENES[2], GENES[3]]
    path = write(tmp_path / "a.tsv", ["one", "two"], names, values)
    matrix, report = read_expression([path], ReadOptions(unit=unit))
    assert matrix.genes == (GENES[0], GENES[2], GENES[3]) and report.duplicated_genes == 1
    assert np.allclose(np.exp2(matrix.values) - 1, [[3e5, 3e5, 4e5], [7e5, 2e5, 1e5]], rtol=1e-4)
    assert "1 genes came more than once: their linear values are added up" in report.lines()


def test_aliases_rename(counts, tmp_path):
    table = tmp_path / "aliases.tsv"
    table.write_text(f"# old\tnew\n{GENES[0]}.9\tALB\n{GENES[1]}\tALB\n")
    aliases = read_aliases(table)
    assert aliases == {GENES[0]: "ALB", GENES[1]: "ALB"}
    matrix, report = read_expression([counts], ReadOptions(aliases=aliases))
    assert matrix.genes == ("ALB", GENES[2], GENES[3])
    assert (report.renamed_genes, report.duplicated_genes) == (2, 1)
    table.write_text(f"{GENES[0]}\tALB\n{GENES[0]}\tAFP\n")
    with pytest.raises(InputError, match="aliases.tsv:2: .*: got 'AFP' after 'ALB'"):
        read_aliases(table)
    table.write_text("ALB\n")
    with pytest.raises(InputError, match="aliases.tsv:1: got 'ALB', wanted a name, a tab"):
        read_aliases(table)


def test_columns_of_a_table_of_samples(counts, tmp_path):
    table = tmp_path / "samples.csv"
    table.write_text("sample,tissue,note\none,liver,x\nelse,lung,NA\n")
    obs = read_obs(table)
    assert obs["note"] == {"one": "x", "else": None}
    matrix, report = read_expression([counts], ReadOptions(obs=obs))
    assert list(matrix.column("tissue")) == ["liver", None]
    assert report.obs_matched == {"tissue": 1, "note": 1}
    assert "obs tissue: 1 of 2 samples" in report.lines()
    table.write_text("sample,tissue\nelse,lung\n")
    with pytest.raises(InputError, match="obs tissue: got no sample of the matrix: 'else' there"):
        read_expression([counts], ReadOptions(obs=read_obs(table)))
    table.write_text("sample,tissue\none,lung\none,liver\n")
    with pytest.raises(InputError, match="samples.csv: sample: got 'one' 2 times"):
        read_obs(table)
    table.write_text("sample\none\n")
    with pytest.raises(InputError, match="samples.csv: got 1 columns"):
        read_obs(table)


def test_several_files_keep_the_genes_that_all_have(counts, tmp_path):
    order = [GENES[3], "ENSG00000000099", GENES[1], GENES[0]]
    other = write(tmp_path / "b.tsv", ["three"], order, [[1, 2, 3, 4]])
    matrix, report = read_expression([counts, other])
    assert matrix.genes == (GENES[0], GENES[1], GENES[3])
    assert matrix.samples == ("one", "two", "three")
    assert np.allclose(np.exp2(matrix.values[2]) - 1, [4e5, 3e5, 1e5])
    assert [file["samples"] for file in report.files] == [2, 1]


def test_a_simulated_matrix_is_the_same_from_every_format(tmp_path):
    simulated = simulate_expression(30, 40, tissues=3, seed=4)
    path, table = write_simulated(simulated, tmp_path / "a.tsv.gz")
    matrix, report = read_expression([path], ReadOptions(obs=read_obs(table)))
    assert report.unit == "counts" and matrix.genes == simulated.genes
    assert list(matrix.column("tissue")) == simulated.obs["tissue"]
    pytest.importorskip("anndata", reason="the extra expression is not installed")
    (path,) = write_simulated(simulated, tmp_path / "a.h5ad")
    again, _ = read_expression([path])
    assert np.array_equal(again.values, matrix.values)
    assert list(again.column("donor")) == simulated.obs["donor"]


# File by file: what a person may have, and the line that says what is wrong with it.
ROWS = [["gene", "one", "two"], *([gene, "1.5", "2.5"] for gene in GENES)]
MALFORMED = {
    "NaN": (2, 1, "nan", r"sample 'one': got a value that is missing or infinite \(nan\)"),
    "Inf": (2, 2, "inf", r"sample 'two': got a value that is missing or infinite \(inf\)"),
    "negative": (3, 1, "-2", r"sample 'one': got a negative value \(-2\)"),
    "text": (3, 2, "high", "bad.tsv:4: two: got 'high', wanted a number"),
    "empty cell": (3, 2, "", "bad.tsv:4: two: got '', wanted a number"),
    "duplicate sample": (0, 2, "one", "got sample 'one' twice, wanted each name once"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_one_malformed_cell(tmp_path, name):
    row, column, text, message = MALFORMED[name]
    rows = [list(each) for each in ROWS]
    rows[row][column] = text
    path = tmp_path / "bad.tsv"
    path.write_text("".join("\t".join(each) + "\n" for each in rows))
    output = tmp_path / "out.parquet"
    for read in (read_expression, lambda paths: prepare_expression(paths, output)):
        with pytest.raises(InputError, match=message) as error:
            read([path])
        assert str(path) in str(error.value) or name == "duplicate sample"
        assert str(error.value).isprintable()
    assert not output.exists()


def test_an_all_zero_sample(tmp_path):
    path = write(tmp_path / "a.tsv", ["one", "two"], GENES, [[1, 2, 3, 4], [0, 0, 0, 0]])
    with pytest.raises(InputError, match="a.tsv: sample 'two': got zero for every gene"):
        read_expression([path])


def test_files_without_a_common_gene(counts, tmp_path):
    other = write(tmp_path / "b.tsv", ["three"], ["ALB", "ACTB", "TP53", "MYC"], [[1, 2, 3, 4]])
    with pytest.raises(InputError, match="b.tsv: got no gene of .*a.tsv: 'ALB' here, 'ENSG0"):
        read_expression([counts, other])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty, wanted a matrix"),
        (b"gene\tone\n", "got 1 lines, wanted a header and at least one row"),
        (b"gene\none\n", "got one field, wanted tabs or commas"),
        (b"gene\ta\tb\nx\t1\n", "2: got 2 fields, wanted 3"),
        (b"gene\ta\nx\thigh\n", "got no number"),
        (b"\xff\xfe\x00\x01", "not text, gzip text, Parquet or .h5ad"),
        (b"\x1f\x8b\x08broken", "not text, gzip text, Parquet or .h5ad"),
        (b"PAR1broken", "not a whole Parquet file"),
    ],
)
def test_files_that_are_no_matrix(tmp_path, content, message):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_expression([path])
    assert str(path) in str(error.value)
    with pytest.raises(InputError, match="missing: no such file"):
        read_expression([tmp_path / "missing"])


def test_an_h5_file_that_is_no_anndata(tmp_path):
    pytest.importorskip("anndata", reason="the extra expression is not installed")
    import h5py

    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["data"] = [1, 2]
    (tmp_path / "cut.h5ad").write_bytes((tmp_path / "other.h5ad").read_bytes()[:100])
    for name in ("other.h5ad", "cut.h5ad"):
        with pytest.raises(InputError, match=f"{name}: not an AnnData file|{name}: got no"):
            read_expression([tmp_path / name])
