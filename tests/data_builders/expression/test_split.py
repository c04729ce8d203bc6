"""Samples that are kept for testing, and columns of the samples that are made of others."""

import numpy as np
import pytest

from data_builders.expression.matrix import ExpressionMatrix, concatenate, read_parts
from data_builders.expression.prepare import (
    ReadOptions,
    donor_of,
    read_expression,
    read_recode,
)
from data_builders.expression.split import Cut, split_expression
from data_builders.labels.splits import group_folds
from data_builders.records import InputError

N = 600  # more than a row group
SAMPLES = tuple(f"s{i}" for i in range(N))
TISSUES = [["liver", "lung", "skin"][i % 3] for i in range(N)]
DONORS = [f"d{i // 4}" for i in range(N)]
MATRIX = ExpressionMatrix(
    values=np.random.default_rng(0).random((N, 5), np.float32),
    samples=SAMPLES,
    genes=tuple("abcde"),
    unit="log2",
    obs={"tissue": TISSUES, "donor": DONORS},
)
CUT = Cut(label="tissue", group="donor", folds=4, fold=1, seed=3)


def test_the_parts_are_a_fold_of_the_evaluation(tmp_path):
    found = split_expression(MATRIX, tmp_path, CUT)
    whole = concatenate(list(read_parts(tmp_path / "all.parquet")))
    train = concatenate(list(read_parts(tmp_path / "train.parquet")))
    _, classes = np.unique(TISSUES, return_inverse=True)
    test = set(group_folds(DONORS, classes, 4, 3)[1].test.tolist())
    assert list(whole.obs["part"]) == ["test" if i in test else "train" for i in range(N)]
    assert (whole.samples, list(whole.obs["tissue"])) == (SAMPLES, TISSUES)
    assert np.array_equal(whole.values, MATRIX.values)
    assert train.samples == tuple(s for i, s in enumerate(SAMPLES) if i not in test)
    assert list(train.obs) == ["donor"]  # no label enters
    assert found == {"train": N - len(test), "test": len(test)}
    assert {*train.obs["donor"]}.isdisjoint(DONORS[i] for i in test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fold": 4}, "fold: got 4, wanted 0 to 3"),
        ({"label": "organ"}, "obs: got no column 'organ'"),
        ({"folds": 400, "fold": 0}, "groups: got 150, wanted at least 400"),
    ],
)
def test_what_cannot_be_cut(change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        split_expression(MATRIX, tmp_path, Cut(**vars(CUT) | change))
    assert list(tmp_path.iterdir()) == []


def test_a_matrix_that_is_cut_already_is_refused(tmp_path):
    split_expression(MATRIX, tmp_path, CUT)
    again = concatenate(list(read_parts(tmp_path / "all.parquet")))
    with pytest.raises(InputError, match="got a column 'part' already"):
        split_expression(again, tmp_path / "again", CUT)


@pytest.mark.parametrize(
    ("sample", "donor"),
    [
        ("GTEX-1117F-0226-SM-5GZZ7", "GTEX-1117F"),
        ("TCGA-A8-A08L-11A-02R", "TCGA-A8-A08L"),
        ("TCGA-A8", None),
        ("patient1", None),
    ],
)
def test_donors_by_the_names_of_their_samples(sample, donor):
    assert donor_of(sample) == donor


def written(folder):
    names = ("GTEX-A-1", "GTEX-A-2", "TCGA-B-C-1", "mine")
    table, tissues = folder / "a.tsv", folder / "tissues.tsv"
    rows = [["gene", *names], *([f"ENSG{i:011d}", *map(str, range(1, 5))] for i in range(12))]
    table.write_text("".join("\t".join(row) + "\n" for row in rows))
    obs = {"tissue": dict(zip(names, ("kirc", "liver", "kirp", "odd"), strict=True))}
    tissues.write_text("tissue\torgan\nkirc\tkidney\nkirp\tkidney\nliver\tliver\n")
    return table, obs, tissues


def test_values_of_a_column_are_recoded_and_donors_named(tmp_path):
    table, obs, tissues = written(tmp_path)
    options = ReadOptions(obs=obs, recode=read_recode(tissues), donors=True)
    matrix, report = read_expression([table], options)
    assert list(matrix.column("organ")) == ["kidney", "liver", "kidney", None]
    assert list(matrix.column("donor")) == ["GTEX-A", "GTEX-A", "TCGA-B-C", None]
    assert "obs organ: 3 of 4 samples" in report.lines()
    assert report.obs_matched == {"tissue": 4, "donor": 3, "organ": 3}


def test_a_table_that_recodes_nothing_is_an_error(tmp_path):
    table, obs, tissues = written(tmp_path)
    with pytest.raises(InputError, match="got no column 'tissue' to recode, wanted one of"):
        read_expression([table], ReadOptions(recode=read_recode(tissues)))
    tissues.write_text("tissue\torgan\nheart\theart\n")
    with pytest.raises(InputError, match="organ: got a value of no sample, wanted some"):
        read_expression([table], ReadOptions(obs=obs, recode=read_recode(tissues)))
    table.write_text(table.read_text().replace("GTEX", "x").replace("TCGA", "y"))
    with pytest.raises(InputError, match="donor: got a value of no sample"):
        read_expression([table], ReadOptions(donors=True))
