"""Genes are aligned by name, and statistics are those of fitting alone."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from transformers import AutoProcessor

from modeling_isoclr import ExpressionConfig, ExpressionProcessor

GENES = [f"ENSG{i:011d}" for i in range(12)]
VALUES = np.random.default_rng(0).gamma(2, 2, (20, 12)).astype(np.float32)
every_transform = pytest.mark.parametrize("transform", ["log", "ranks", "quantile"])


def fitted(transform="log", **how):
    return ExpressionProcessor.fit(VALUES, GENES, transform=transform, **how)


def test_z_scores_by_hand():
    z = fitted()(VALUES)["values"]
    expected = (VALUES - VALUES.mean(0)) / VALUES.std(0)
    assert z.dtype == np.float32 and np.allclose(z, expected, atol=1e-5)
    tensors = fitted()(VALUES, GENES, return_tensors="pt")["values"]
    assert torch.equal(tensors, torch.from_numpy(z))


def test_genes_of_another_order_version_and_set():
    processor = fitted()
    order = np.random.default_rng(1).permutation(12)
    names = [f"{GENES[i]}.{i + 1}" for i in order]
    shuffled = np.column_stack([VALUES[:, order], np.ones(20)])
    aligned, report = processor.align(shuffled, [*names, "extra"])
    assert np.array_equal(aligned, VALUES)
    assert (report.model, report.found, report.missing) == (12, 12, 0)
    assert (report.extra, report.duplicated) == (1, 0)
    assert np.array_equal(
        processor(shuffled, [*names, "extra"])["values"], processor(VALUES)["values"]
    )


def test_missing_genes_are_at_their_mean_and_repeated_ones_averaged():
    processor = fitted()
    names = [*GENES[:10], GENES[0]]
    given = np.column_stack([VALUES[:, :10], VALUES[:, 0] + 2])
    aligned, report = processor.align(given, names)
    assert str(report) == (
        "10 of 12 genes of the model found; 2 missing ones take their mean; 0 others are left out; "
        "1 repeated names averaged"
    )
    assert np.allclose(aligned[:, 0], VALUES[:, 0] + 1)
    assert np.isnan(aligned[:, 10:]).all()
    z = processor(given, names)["values"]
    assert np.array_equal(z[:, 10:], np.zeros((20, 2)))
    assert np.array_equal(z[:, 1:10], processor(VALUES)["values"][:, 1:10])


def test_the_floor_of_the_overlap():
    processor = fitted(min_overlap=0.75)
    processor(VALUES[:, :9], GENES[:9])
    with pytest.raises(ValueError, match="got 8 of the model's 12 genes, wanted at least 75%"):
        processor(VALUES[:, :8], GENES[:8])
    processor.min_overlap = 0.0
    with pytest.raises(ValueError, match="got 0 of the model's 12 genes, .*'TP53' in the data"):
        processor(VALUES[:, :1], ["TP53"])


def test_values_stay_within_clip_and_range_of_fitting():
    processor = fitted(clip=1.5)
    z = processor(VALUES * 100)["values"]
    assert np.array_equal(z.max(0), np.minimum(processor.high, 1.5).astype(np.float32))
    assert np.abs(z).max() <= 1.5


def test_ranks_are_those_of_scipy_with_ties_shared():
    tied = VALUES.round().astype(np.float32)
    found = ExpressionProcessor(transform="ranks")._transform(tied)
    assert np.allclose(found, (rankdata(tied, axis=1) - 1) / 11)
    assert found.min() >= 0 and found.max() <= 1
    changed = fitted("ranks")(np.exp(VALUES))["values"]  # ranks know no monotone change
    assert np.array_equal(changed, fitted("ranks")(VALUES)["values"])


def test_quantiles_give_every_sample_the_profile_of_fitting():
    processor = fitted("quantile")
    reference = np.sort(VALUES, axis=1).mean(0)
    found = np.sort(processor._transform(VALUES * 3 + 1), axis=1)
    assert np.allclose(found, reference, rtol=1e-5)


@every_transform
def test_rows_do_not_know_each_other(transform):
    processor = fitted(transform)
    whole = processor(VALUES)["values"]
    assert np.array_equal(processor(VALUES[3:4])["values"], whole[3:4])


@every_transform
def test_saved_and_loaded_it_gives_the_same_bits(tmp_path, transform):
    processor = fitted(transform, n_genes=7)
    processor.save_pretrained(tmp_path)
    ExpressionConfig(n_genes=7).save_pretrained(tmp_path)  # by which AutoProcessor finds ours
    for again in (
        ExpressionProcessor.from_pretrained(tmp_path),
        AutoProcessor.from_pretrained(tmp_path),
    ):
        assert again.genes == processor.genes and len(again.genes) == 7
        assert np.array_equal(again(VALUES, GENES)["values"], processor(VALUES, GENES)["values"])


def test_the_most_variable_genes_are_kept_in_their_order():
    values = VALUES.copy()
    values[:, 4] = 1  # never varies
    order = np.argsort(-values.var(0))
    kept = ExpressionProcessor.fit(values, GENES, n_genes=5).genes
    assert kept == [GENES[i] for i in sorted(order[:5])]
    assert GENES[4] not in ExpressionProcessor.fit(values, GENES).genes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ExpressionProcessor(transform="sqrt"), "transform: got 'sqrt', wanted one of log"),
        (lambda: ExpressionProcessor.fit(VALUES[:1], GENES), "got 1 samples, wanted two or more"),
        (lambda: ExpressionProcessor.fit(VALUES * 0, GENES), "got no gene that varies"),
        (lambda: fitted()(VALUES[:, :5]), r"got shape \(20, 5\), wanted \(samples, 12\)"),
        (lambda: fitted()(VALUES, GENES[:5]), r"got shape \(20, 12\), wanted \(samples, 5\)"),
        (lambda: fitted()(VALUES * np.nan, GENES), "a value that is missing or infinite"),
    ],
)
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
