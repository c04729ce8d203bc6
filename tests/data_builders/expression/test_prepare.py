"""Files to one matrix in one unit; what is renamed, added up and left out is counted."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


@pytest.mark.parametrize("name", ["__no_feature", "N_unmapped"])
def test_rows_of_a_counters_summary_are_no_genes(counts, tmp_path, name):
    values = [[10, 20, 30, 40, 900], [4, 3, 2, 1, 90]]
    path = write(tmp_path / "b.tsv", ["one", "two"], [*GENES, name], values)
    found, report = read_expression([path])
    assert np.array_equal(found.values, read_expression([counts])[0].values)
    assert found.genes == tuple(GENES) and report.summary_rows == [name]
    assert f"rows of a counter's summary are left out: {name}" in report.lines()


def test_genes_that_a_file_lacks_are_counted(counts, tmp_path):
    other = write(tmp_path / "b.tsv", ["three"], [GENES[0], GENES[2], "x"], [[1, 2, 3]])
    found, report = read_expression([counts, other])
    assert found.genes == (GENES[0], GENES[2]) and report.genes_left_out == 3
    assert "3 genes are left out, which some of the files lack" in report.lines()


def test_aliases_of_none_of_the_genes_are_an_error(counts):
    message = f"aliases: got none of its genes: 'foo' there, '{GENES[0]}' here"
    with pytest.raises(InputError, match=message):
        read_expression([counts], ReadOptions(aliases={"foo": "bar"}))


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
    assert "1 gene came more than once: linear values are added up" in report.lines()


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
    with pytest.raises(InputError, match="a.tsv: obs tissue: got none of its samples: 'else' ther"):
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
        (b"\xff\xfe\x00\x01", "1: got UTF-16, or no text at all"),
        (b"\x1f\x8b\x08broken", "got a truncated or damaged gzip stream"),
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


@pytest.fixture(params=["a.h5ad", "a.parquet", "list.parquet"])
def stored(request, tmp_path):
    """A file of expression that is no text."""
    simulated = simulate_expression(12, 20, tissues=2)
    path, _ = write_simulated(simulated, tmp_path / "a.tsv")
    if request.param == "a.h5ad":
        pytest.importorskip("anndata", reason="the extra expression is not installed")
        return write_simulated(simulated, tmp_path / "a.h5ad")[0]
    if request.param == "a.parquet":
        prepare_expression([path], tmp_path / "a.parquet")
    else:
        (tmp_path / "genes.txt").write_text("\n".join(simulated.genes))
        table = {"sample": simulated.samples, "expression": simulated.counts.tolist()}
        pq.write_table(pa.table(table), tmp_path / "list.parquet")
    return tmp_path / request.param


def test_damaged_bytes_are_read_or_refused_in_one_line(stored):
    whole, refused = stored.read_bytes(), 0
    for seed in range(40):
        rng = random.Random(seed)
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(8, len(content))] = rng.randrange(256)
        stored.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        try:
            read_expression([stored])
        except InputError as error:
            refused += 1
            assert str(stored) in str(error) and "\n" not in str(error), seed
    assert refused > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.__setitem__("encoding-version", "1.0.0"), "got encoding-version"),
        (
            lambda file: file["obs"].attrs.__setitem__("encoding-version", "7.0.0"),
            "not an AnnData file that this version reads",
        ),
        (lambda file: file.__delitem__("X"), "not an AnnData file that this version reads"),
        (lambda file: file.__delitem__("var"), r"X: got shape \(12, 20\), wanted \(12, 0\)"),
        (
            lambda file: (file.__delitem__("X"), file.create_dataset("X", data=[[b"a"] * 20] * 12)),
            "X: got object, wanted numbers",
        ),
    ],
)
def test_an_h5ad_of_another_version_or_layout(tmp_path, change, message):
    pytest.importorskip("anndata", reason="the extra expression is not installed")
    import h5py

    (path,) = write_simulated(simulate_expression(12, 20, tissues=2), tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(InputError, match=f"a.h5ad: .*{message}"):
        read_expression([path])


def test_an_h5ad_that_lies_on_its_side(tmp_path):
    anndata = pytest.importorskip("anndata", reason="the extra expression is not installed")
    data = anndata.AnnData(np.ones((4, 2), np.float32))
    data.obs_names, data.var_names = GENES, ["one", "two"]
    data.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="a.h5ad: got samples named as genes, such as 'ENSG0000"):
        read_expression([tmp_path / "a.h5ad"])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0, 2.0], None], "sample 'b': got 0 numbers, wanted 2 as genes.txt has"),
        ([[1.0, 2.0], [1.0]], "sample 'b': got 1 numbers, wanted 2 as genes.txt has"),
        ([["x", "y"]] * 2, "expression: got list<.*string>, wanted a list of numbers"),
        ([1.0, 2.0], "expression: got double, wanted a list of numbers"),
        ([[1.0, None]] * 2, "sample 'a': got a value that is missing or infinite"),
    ],
)
def test_malformed_lists_of_parquet(tmp_path, column, message):
    (tmp_path / "genes.txt").write_text("A\nB\n")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"s": ["a", "b"], "expression": column}), path)
    with pytest.raises(InputError, match=f"a.parquet: {message}"):
        read_expression([path])
    pq.write_table(pa.table({"s": ["a", None], "expression": [[1.0, 2.0]] * 2}), path)
    with pytest.raises(InputError, match="a.parquet: s: got a sample without a name"):
        read_expression([path])
    pq.write_table(pa.table({"s": ["a"], "expression": [[1.0, 2.0]]}).slice(0, 0), path)
    with pytest.raises(InputError, match="a.parquet: got no sample"):
        read_expression([path])


def test_a_column_of_text_beside_genes_in_rows_is_said(tmp_path):
    path = tmp_path / "a.tsv"
    rows = [["gene", "about", "one"], *([gene, "a protein", "3"] for gene in GENES)]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    matrix, report = read_expression([path])
    assert matrix.samples == ("one",) and report.columns_left_out == ["about"]
    assert "1 column of text is left out: about" in report.lines()


def test_an_h5_file_that_is_no_anndata(tmp_path):
    pytest.importorskip("anndata", reason="the extra expression is not installed")
    import h5py

    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["data"] = [1, 2]
    (tmp_path / "cut.h5ad").write_bytes((tmp_path / "other.h5ad").read_bytes()[:100])
    for name in ("other.h5ad", "cut.h5ad"):
        with pytest.raises(InputError, match=f"{name}: not an AnnData file|{name}: got no"):
            read_expression([tmp_path / name])
