"""Every layout that is read comes to the same matrix."""

import gzip
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from data_builders.expression.matrix import (
    ExpressionMatrix,
    concatenate,
    is_matrix_file,
    read_parts,
    write_matrix,
)
from data_builders.expression.readers import gene_name, read_raw
from data_builders.records import InputError

GENES = tuple(f"ENSG{i:011d}" for i in range(5))
SAMPLES = ("one", "two", "three")
VALUES = np.random.default_rng(0).poisson(20, (3, 5)).astype(np.float32)
OBS = {"tissue": ["liver", None, "heart"], "age": [50.0, 61.5, float("nan")]}


def read(path, **how):
    parts = list(read_raw(path, **how))
    values = [p.values.toarray() if sparse.issparse(p.values) else p.values for p in parts]
    samples = [sample for part in parts for sample in part.samples]
    return np.concatenate(values), tuple(samples), tuple(parts[0].genes), parts[0]


def check(path, samples=SAMPLES, genes=GENES, **how):
    values, found_samples, found_genes, raw = read(path, **how)
    assert np.array_equal(values, VALUES)
    assert (found_samples, found_genes) == (samples, genes)
    return raw


def lines(path, rows, separator="\t", opened=open):
    with opened(path, "wt") as file:
        file.writelines(separator.join(map(str, row)) + "\n" for row in rows)
    return path


@pytest.mark.parametrize("kind", [np.array, sparse.csr_array], ids=["dense", "sparse"])
def test_our_parquet_goes_round_in_parts(tmp_path, kind):
    path = tmp_path / "matrix.parquet"
    whole = ExpressionMatrix(
        values=kind(VALUES), samples=SAMPLES, genes=GENES, unit="counts", obs=OBS
    )
    rows = [whole.select(np.array(part)) for part in ([0, 1], [2])]
    assert write_matrix(rows, path) == 3 and is_matrix_file(path)
    again = concatenate(list(read_parts(path)))
    assert (again.samples, again.genes, again.unit) == (SAMPLES, GENES, "counts")
    assert list(again.column("tissue")) == OBS["tissue"]
    assert np.array_equal(np.array(again.obs["age"]), OBS["age"], equal_nan=True)
    assert sparse.issparse(again.values) == (kind is not np.array)
    assert check(path).unit == "counts"
    assert [p.name for p in tmp_path.iterdir()] == ["matrix.parquet"]


def test_a_write_that_fails_leaves_nothing(tmp_path):
    part = ExpressionMatrix(values=VALUES, samples=SAMPLES, genes=GENES, unit="counts")
    with pytest.raises(InputError, match="got sample 'one' twice"):
        write_matrix([part, part], tmp_path / "matrix.parquet")
    with pytest.raises(InputError, match="got no sample"):
        write_matrix([], tmp_path / "matrix.parquet")
    assert not list(tmp_path.iterdir())


def test_a_matrix_knows_its_shape_and_columns():
    with pytest.raises(InputError, match=r"got values of shape \(3, 5\), wanted \(2, 5\)"):
        ExpressionMatrix(values=VALUES, samples=("a", "b"), genes=GENES, unit="tpm")
    matrix = ExpressionMatrix(values=VALUES, samples=SAMPLES, genes=GENES, unit="tpm", obs=OBS)
    with pytest.raises(InputError, match="obs: got no column 'organ', wanted one of tissue, age"):
        matrix.column("organ")


def test_parquet_with_a_list_column_and_genes_beside(tmp_path):
    path = tmp_path / "matrix.parquet"
    table = {"sample_id": SAMPLES, "tissue": ["a", "b", "c"], "expression": VALUES.tolist()}
    pq.write_table(pa.table(table), path)
    with pytest.raises(InputError, match="wanted genes.txt beside it"):
        read(path)
    (tmp_path / "genes.txt").write_text("\n".join(f"{gene}.7" for gene in GENES))
    assert check(path).obs == {"tissue": ["a", "b", "c"]}
    (tmp_path / "genes.txt").write_text("\n".join(GENES[:4]))
    with pytest.raises(InputError, match="sample 'one': got 5 numbers, wanted 4 as genes.txt"):
        read(path)


def test_parquet_with_a_column_a_gene(tmp_path):
    path = tmp_path / "matrix.parquet"
    columns = dict(zip(GENES, VALUES.T, strict=True))
    pq.write_table(pa.table({"name": SAMPLES, **columns, "tissue": ["a", "b", "c"]}), path)
    assert check(path).obs == {"tissue": ["a", "b", "c"]}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match="got no column of sample names"):
        read(path)


@pytest.mark.parametrize("separator", ["\t", ","], ids=["tsv", "csv"])
@pytest.mark.parametrize("opened", [open, gzip.open], ids=["plain", "gzip"])
def test_genes_in_rows_and_in_columns_are_told_apart(tmp_path, separator, opened):
    in_rows = [["gene", *SAMPLES]]
    in_rows += [[f"{gene}.3", *row] for gene, row in zip(GENES, VALUES.T, strict=True)]
    in_columns = [["sample", "tissue", *GENES]]
    in_columns += [[name, "x", *row] for name, row in zip(SAMPLES, VALUES, strict=True)]
    assert check(lines(tmp_path / "rows", in_rows, separator, opened)).obs == {}
    raw = check(lines(tmp_path / "columns", in_columns, separator, opened))
    assert raw.obs == {"tissue": ["x", "x", "x"]} and raw.unit is None


def test_symbols_are_told_by_genes_that_all_lists_have(tmp_path):
    symbols = ("ACTB", "GAPDH", "TP53", "MYC", "VIM")
    rows = [["", *symbols], *([s, *v] for s, v in zip(SAMPLES, VALUES, strict=True))]
    check(lines(tmp_path / "columns", rows), genes=symbols)
    rows = [["", *SAMPLES], *([g, *v] for g, v in zip(symbols, VALUES.T, strict=True))]
    check(lines(tmp_path / "rows", rows), genes=symbols)


def test_what_cannot_be_told_apart_is_asked_for(tmp_path):
    genes = tuple("abcde")
    rows = [["", *SAMPLES], *([g, *v] for g, v in zip(genes, VALUES.T, strict=True))]
    path = lines(tmp_path / "rows", rows)
    with pytest.raises(InputError, match="cannot tell genes from samples: .*--genes-in rows"):
        read(path)
    check(path, genes=genes, genes_in="rows")
    rows = [["", *genes], *([s, *v] for s, v in zip(SAMPLES, VALUES, strict=True))]
    check(lines(tmp_path / "columns", rows), genes=genes, genes_in="columns")


def test_a_header_of_r_has_no_name_above_the_row_names(tmp_path):
    rows = [list(SAMPLES), *([g, *v] for g, v in zip(GENES, VALUES.T, strict=True))]
    check(lines(tmp_path / "rows", rows))


def test_featurecounts(tmp_path):
    header = ["Geneid", "Chr", "Start", "End", "Strand", "Length"]
    rows = [["# Program:featureCounts"], [*header, *(f"bam/{name}.bam" for name in SAMPLES)]]
    for gene, reads in zip(GENES, VALUES.T.astype(int), strict=True):
        rows.append([gene, "1;1", "1;9", "5;20", "+;+", "17", *reads])
    assert check(lines(tmp_path / "counts.txt", rows)).unit == "counts"


@pytest.mark.parametrize("which", ["salmon", "rsem", "star"])
def test_tables_of_one_sample(tmp_path, which):
    if which == "salmon":
        rows = [["Name", "Length", "EffectiveLength", "TPM", "NumReads"]]
        rows += [[g, 100, 80.5, v, 7] for g, v in zip(GENES, VALUES[0], strict=True)]
        path, unit = tmp_path / "one.quant.genes.sf", "tpm"
    elif which == "rsem":
        rows = [["gene_id", "transcript_id(s)", "length", "effective_length"]]
        rows[0] += ["expected_count", "TPM", "FPKM"]
        rows += [[g, "t", 100, 80.5, 7, v, 3] for g, v in zip(GENES, VALUES[0], strict=True)]
        path, unit = tmp_path / "one.genes.results", "tpm"
    else:
        rows = [["N_unmapped", 9, 9, 9], ["N_multimapping", 9, 9, 9]]
        rows += [["N_noFeature", 9, 9, 9], ["N_ambiguous", 9, 9, 9]]
        rows += [[g, int(v), 1, 2] for g, v in zip(GENES, VALUES[0], strict=True)]
        path, unit = tmp_path / "oneReadsPerGene.out.tab", "counts"
    values, samples, genes, raw = read(lines(path, rows))
    assert np.array_equal(values, VALUES[:1]) and samples == ("one",) and genes == GENES
    assert raw.unit == unit


def test_h5ad_dense_sparse_layer_and_obs(tmp_path):
    anndata = pytest.importorskip("anndata", reason="the extra expression is not installed")
    data = anndata.AnnData(sparse.csr_matrix(VALUES), obs=OBS)
    data.obs_names, data.var_names = SAMPLES, [f"{gene}.1" for gene in GENES]
    data.layers["twice"] = VALUES * 2
    data.write_h5ad(tmp_path / "a.h5ad")
    raw = check(tmp_path / "a.h5ad")
    assert sparse.issparse(raw.values) and raw.obs["tissue"] == OBS["tissue"]
    assert np.array_equal(raw.obs["age"], OBS["age"], equal_nan=True)
    assert np.array_equal(read(tmp_path / "a.h5ad", layer="twice")[0], VALUES * 2)
    with pytest.raises(InputError, match="layer: got 'tpm', wanted one of X, twice"):
        read(tmp_path / "a.h5ad", layer="tpm")


def test_h5ad_without_anndata_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(InputError, match=r"needs the package anndata: pip install 'isoclr\[exp"):
        read(tmp_path / "a.h5ad")


@pytest.mark.parametrize(
    ("name", "gene"),
    [
        ("ENSG00000141510.18", "ENSG00000141510"),
        ("ENSG00000141510.18_PAR_Y", "ENSG00000141510"),
        ("ENSMUSG00000059552.4|Trp53", "ENSMUSG00000059552"),
        ("HLA-A.1", "HLA-A.1"),
        (" TP53 ", "TP53"),
    ],
)
def test_names_of_genes(name, gene):
    assert gene_name(name) == gene
