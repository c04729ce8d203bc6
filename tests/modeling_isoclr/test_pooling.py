from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from data_builders.records import InputError
from isoclr.pretrained import load_model
from modeling_isoclr import IsoCLRConfig, IsoCLRForPreTraining, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.pooling_isoclr import LAYOUT_NUMBERS, codon_usage, layout_numbers, regions_of
from toys import random_tokens, tiny, trained_like

SEQUENCE = "GGCAT" + "ATGGCCTAA" + "GTTTTT"
PRIOR = 32
DISCRIMINANTS = {"discriminants": 3, "discriminant_size": 5}


def regions(**overrides):
    return tiny(pooling="regions", layout_size=10, content_size=6, **overrides)


def tracks_of(sequence, cds=None, exon_junctions=None):
    tokens = IsoCLRTokenizer().tokenize_transcript(sequence, cds, exon_junctions)
    tracks = IsoCLRModel(tiny()).embeddings(torch.from_numpy(tokens)[None])
    tracks = tracks.transpose(1, 2).unsqueeze(2)
    return tracks, torch.ones(1, 1, 1, len(sequence), dtype=torch.bool)


@pytest.mark.parametrize(
    ("cds", "expected"),
    [
        ((5, 14), "55555CCCCCCCCC333333"),
        ((0, 9), "CCCCCCCCC33333333333"),
        ((11, 20), "55555555555CCCCCCCCC"),
        (None, "55555555555555555555"),
    ],
)
def test_regions_lie_where_the_codons_say(cds, expected):
    tracks, mask = tracks_of(SEQUENCE, cds)
    found = regions_of((tracks[:, 4:5] > 0.5) & mask, mask)
    assert "".join("5C3"[i] for i in found[0, :, 0].int().argmax(0)) == expected
    assert (found.sum(1) == 1).all()


@pytest.mark.parametrize(
    ("cds", "exon_junctions", "expected"),
    [
        # nt of 5'UTR, CDS, 3'UTR, all, before the first and after the last junction; junctions
        ((5, 14), [3, 8, 16], ((5, 9, 6, 20, 2, 5), (1, 1, 1, 3), 500 / 9)),
        ((5, 14), [], ((5, 9, 6, 20, 20, 0), (0, 0, 0, 0), 0)),
        ((5, 14), None, ((5, 9, 6, 20, 20, 0), (0, 0, 0, 0), 0)),
        (None, [8], ((20, 0, 0, 20, 7, 13), (1, 0, 0, 1), 0)),
    ],
)
def test_layout_is_lengths_and_junctions(cds, exon_junctions, expected):
    tracks, mask = tracks_of(SEQUENCE, cds, exon_junctions)
    starts = (tracks[:, 4:5] > 0.5) & mask
    found = layout_numbers(tracks.double(), mask, regions_of(starts, mask))[0].numpy()
    lengths, junctions, density = expected
    logs = np.log10(1 + np.array([*lengths, *(100 * n for n in junctions)]))
    np.testing.assert_allclose(found, [*logs, density], atol=1e-12)
    assert len(found) == LAYOUT_NUMBERS


@pytest.mark.parametrize("cds", [(5, 14), None])
def test_codons_are_counted_in_their_frame(cds):
    tracks, mask = tracks_of(SEQUENCE, cds)
    found = codon_usage(tracks, (tracks[:, 4:5] > 0.5) & mask)[0]
    codons = [SEQUENCE[i : i + 3] for i in range(*cds, 3)] if cds else []
    names = ["".join(codon) for codon in product("ACGT", repeat=3)]
    expected = [64 * codons.count(name) / max(len(codons), 1) for name in names]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_pooled_means_equal_a_loop_over_nucleotides():
    model = trained_like(IsoCLRModel(regions(norm="layer", stem_filters=10))).double()
    (tokens,) = random_tokens(333)
    tokens[:40] %= 8  # a 5'UTR
    tokens[301:] = tokens[301:] % 8 + 8 * (torch.arange(32) == 0)  # ends in a 3'UTR
    first, last = 40 + int(torch.nonzero(tokens[40:] & 8)[0]), 301
    kind = ["5" if i < first else "C" if i < last + 3 else "3" for i in range(333)]
    with torch.no_grad():
        output = model(tokens[None], output_hidden_states=True)
        tracks = model.embeddings(tokens[None]).transpose(1, 2).unsqueeze(2)
        stem = model.encoder.stem_norm(model.encoder.stem(tracks)).relu()[0, :, 0]
    expected = []
    for region in "5C3":
        rows = [
            i for i in range(333) if kind[i] == region and (region != "C" or int(tokens[i]) & 8)
        ]
        total = stem[:, rows].sum(1) + PRIOR * stem.mean(1)
        expected.append(total / (len(rows) + PRIOR))
    torch.testing.assert_close(output.pooler_output[0, 74:104], torch.cat(expected))

    far = []
    for stage, hidden in enumerate(output.hidden_states):
        step = 2 ** (stage + 2)
        for region in "5C3":
            shares = [
                sum(kind[i] == region for i in range(p * step, min(333, (p + 1) * step))) / step
                for p in range(hidden.shape[1])
            ]
            weights = torch.tensor(shares, dtype=torch.float64)
            prior = PRIOR / step
            total = weights @ hidden[0] + prior * hidden[0].mean(0)
            far.append(total / (weights.sum() + prior))
    with torch.no_grad():
        content = model.pooling.content_norm(model.pooling.content(torch.cat(far)))
    torch.testing.assert_close(output.pooler_output[0, 104:], content)


@pytest.mark.parametrize(("discriminants", "fixed"), [({}, 74), (DISCRIMINANTS, 79)])
def test_the_contrast_sees_what_is_learned_and_nothing_else(discriminants, fixed):
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(regions(norm="layer", **discriminants)).eval()
    pooled = torch.rand(2, model.config.pooled_size, requires_grad=True)
    model.projector(pooled).sum().backward()
    assert (pooled.grad[:, :fixed] == 0).all()
    assert (pooled.grad[:, fixed:] != 0).all()
    batch = torch.stack(random_tokens(64, 64))
    model(batch, return_loss=False).projections.sum().backward()
    assert all(p.grad is not None for p in model.isoclr.parameters())


def test_the_layout_is_the_same_in_every_model_and_comes_back_when_missing(tmp_path):
    torch.manual_seed(1)
    model = IsoCLRModel(regions())
    torch.manual_seed(2)
    other = IsoCLRModel(regions())
    assert torch.equal(model.pooling.layout.directions, other.pooling.layout.directions)
    assert torch.equal(model.pooling.layout.offsets, other.pooling.layout.offsets)
    assert model.pooling.layout.directions.std() > 0.1
    assert not torch.equal(model.pooling.content.weight, other.pooling.content.weight)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    drawn = weights.pop("pooling.layout.directions")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = IsoCLRModel.from_pretrained(tmp_path)
    assert torch.equal(loaded.pooling.layout.directions, drawn)


def test_discriminants_are_features_of_all_that_is_not_content():
    model = trained_like(IsoCLRModel(regions(norm="layer", **DISCRIMINANTS))).double()
    part = model.pooling.discriminants
    part.centre.uniform_(-1, 1)
    (tokens,) = random_tokens(333)
    with torch.no_grad():
        pooled = model(tokens[None]).pooler_output[0]
    columns = torch.cat([pooled[:74], pooled[79:103]])
    numbers = (columns - part.centre) @ part.axes
    expected = (numbers @ part.features.directions + part.features.offsets).tanh()
    torch.testing.assert_close(pooled[74:79], expected)


def test_axes_are_at_random_until_they_are_found_and_nothing_makes_up_lost_ones(tmp_path):
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(IsoCLRModel(regions(**DISCRIMINANTS)))
    first, same, other = (model.pooling.discriminants for model in models)
    assert torch.equal(first.axes, same.axes) and not torch.equal(first.axes, other.axes)
    assert torch.equal(first.features.directions, other.features.directions)
    models[0].save_pretrained(tmp_path)
    loaded = IsoCLRModel.from_pretrained(tmp_path)
    assert torch.equal(loaded.pooling.discriminants.axes, first.axes)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["pooling.discriminants.axes"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    IsoCLRTokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no weights that fit pooling\.discriminants\.axes"):
        load_model(tmp_path)


@pytest.mark.parametrize("discriminants", [{}, DISCRIMINANTS])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_counts_long_transcripts(dtype, discriminants, tmp_path):
    model = trained_like(IsoCLRModel(regions(norm="layer", **discriminants)))
    model.save_pretrained(tmp_path)
    half = IsoCLRModel.from_pretrained(tmp_path, dtype=dtype).eval()
    batch = torch.full((1, 12_288), 8)  # of one codon, 64 times as many as halves can count
    with torch.no_grad():
        expected, found = model(batch).pooler_output, half(batch).pooler_output
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.1)


def test_regions_need_the_marks():
    with pytest.raises(ValueError, match=r"n_tracks: got 4 with pooling='regions'.*at least 6"):
        IsoCLRConfig(n_tracks=4, pooling="regions")
    with pytest.raises(ValueError, match="content_size: got 0"):
        IsoCLRConfig(pooling="regions", content_size=0)
