"""Transcripts in rows of one shape are embedded as they are alone."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from modeling_isoclr import IsoCLRConfig, IsoCLRForPreTraining, IsoCLRModel
from modeling_isoclr.packing_isoclr import PackedShape, evenly_filled, fitting_rows, pack
from modeling_isoclr.pipeline_isoclr import embed_tokens
from toys import random_tokens, tiny, trained_like

LENGTHS = (1, 37, 100, 333, 512, 64, 33, 700, 250)
POOLINGS = {
    "last": {"pooling": "last"},
    "stages": {"pooling": "stages"},
    "regions": {"pooling": "regions", "layout_size": 10, "content_size": 6},
    "discriminants": {
        "pooling": "regions",
        "layout_size": 10,
        "content_size": 6,
        "discriminants": 3,
        "discriminant_size": 5,
    },
}


def transcripts(seed=0, lengths=LENGTHS):
    """Some with a CDS in the middle, some without, marks elsewhere too."""
    rows = random_tokens(*lengths, seed=seed)
    for row in rows[::2]:
        row[: len(row) // 4] &= ~8
        row[len(row) // 2 :] &= ~8
    rows[1] &= ~8
    return rows


def packed_batches(config, rows, tokens=2048, longest=700, **changes):
    """Tokens and segment ids of each batch, and where each transcript is in their outputs."""
    shape = replace(PackedShape.of(config, tokens, longest), **changes)
    lengths = np.array([len(row) for row in rows])
    packing, batches, places = pack(lengths, shape), [], np.zeros(len(rows), dtype=int)
    for batch in range(packing.batches):
        members = packing.members(batch)
        values = [rows[i].numpy().astype(np.uint8) for i in members]
        tokens = torch.from_numpy(packing.tokens(members, values))
        segment_ids = torch.from_numpy(packing.segment_ids(members))
        batches.append((tokens, segment_ids))
        places[members] = batch * shape.rows * shape.segments + packing.slots(members)
    return batches, torch.from_numpy(places), shape


def packed_embeddings(model, rows, **options):
    batches, places, shape = packed_batches(model.config, rows, **options)
    outputs = [
        model(tokens, segment_ids=ids, n_segments=shape.segments).pooler_output
        for tokens, ids in batches
    ]
    return torch.cat(outputs).flatten(0, 1)[places]


def alone(model, rows):
    return torch.cat([model(row[None]).pooler_output for row in rows])


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    ("kernel_size", "dilations", "stem"),
    [(2, [1, 2, 4, 8], None), (3, [1, 3, 2, 5], 7), (4, [2, 1, 5, 8], 3), (1, [1, 1, 1, 1], 2)],
)
def test_embeddings_are_those_of_each_transcript_alone(norm, pooling, kernel_size, dilations, stem):
    config = tiny(
        norm=norm,
        kernel_size=kernel_size,
        dilations=dilations,
        stem_kernel_size=stem,
        **POOLINGS[pooling],
    )
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(config)).eval().double()
    rows = transcripts()
    with torch.no_grad():
        expected = alone(model, rows)
        found = packed_embeddings(model, rows)
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
        found = packed_embeddings(model.float(), rows)
    scale = expected.abs().amax(0).clamp(min=1)
    assert ((found - expected).abs() / scale).max() <= 1e-5


@pytest.mark.parametrize("preset", ["small", "medium", "large"])
@pytest.mark.parametrize("pooling", ["last", "stages", "regions"])
def test_the_presets_are_packed_as_they_are_alone(preset, pooling):
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(IsoCLRConfig.preset(preset, norm="layer", pooling=pooling)))
    rows = transcripts(lengths=LENGTHS[:6])
    with torch.no_grad():
        found, expected = packed_embeddings(model, rows), alone(model, rows)
    scale = expected.abs().amax(0).clamp(min=1)
    assert ((found - expected).abs() / scale).max() <= 1e-5


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_the_sums_of_those_of_each_alone(norm, pooling):
    config = tiny(norm=norm, dropout=0.0, kernel_size=4, **POOLINGS[pooling])
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(config)).double().train()
    rows, gradients = transcripts(), []
    for embed in (alone, packed_embeddings):
        model.zero_grad()
        embeddings = embed(model, rows)
        (
            embeddings * torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
        ).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        error = (gradients[1][name] - expected).norm()
        assert error <= 1e-10 * expected.norm(), name


def test_batch_statistics_are_those_of_the_transcripts_in_rows_of_their_own():
    results = []
    for packed in (False, True):
        torch.manual_seed(0)
        model = IsoCLRModel(tiny(dropout=0.0)).double().train()
        rows = transcripts()
        if packed:
            embeddings = packed_embeddings(model, rows, tokens=8192)
        else:
            batch = torch.full((len(rows), 1024), 7)
            for target, row in zip(batch, rows, strict=True):
                target[: len(row)] = row
            embeddings = model(batch).pooler_output
        embeddings.square().sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((embeddings.detach(), gradients, dict(model.named_buffers())))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kernel_size", [2, 3, 4])
def test_what_a_neighbour_is_changes_not_one_bit(pooling, kernel_size):
    config = tiny(norm="layer", kernel_size=kernel_size, **POOLINGS[pooling])
    model = trained_like(IsoCLRModel(config)).eval()
    rows = transcripts(lengths=(320, 256, 333, 321, 352, 64, 32))
    others = transcripts(seed=1, lengths=(320, 256, 333, 321, 352, 64, 32))
    # The loudest: every position has every mark.
    others = [row % 8 % 4 + 24 for row in others]
    with torch.no_grad():
        expected = packed_embeddings(model, rows)
        for kept in range(len(rows)):
            changed = [row if i == kept else others[i] for i, row in enumerate(rows)]
            assert torch.equal(packed_embeddings(model, changed)[kept], expected[kept])


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
def test_a_narrower_gap_would_be_noticed(kernel_size):
    model = trained_like(IsoCLRModel(tiny(norm="layer", kernel_size=kernel_size))).eval().double()
    rows = transcripts(lengths=(320, 256, 352, 64, 32))
    with torch.no_grad():
        expected = alone(model, rows)
        gap = model.config.packing_gap
        found = packed_embeddings(model, rows, gap=gap)
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
        leaking = packed_embeddings(model, rows, gap=gap - 32)
    assert (leaking - expected).abs().max() > 1e-6


def test_a_row_of_its_own_is_a_segment_and_hidden_states_are_zero_between():
    model = trained_like(IsoCLRModel(tiny(norm="layer"))).eval()
    ((tokens, ids),), _, _ = packed_batches(model.config, transcripts(), tokens=8192)
    with torch.no_grad():
        output = model(tokens, segment_ids=ids, output_hidden_states=True)
        by_tracks = model(inputs_embeds=model.embeddings(tokens), segment_ids=ids)
    assert output.pooler_output.shape[1] == ids.max()
    assert torch.equal(output.pooler_output, by_tracks.pooler_output)
    for stage, hidden in enumerate(output.hidden_states):
        assert not hidden[ids[:, :: 2 ** (stage + 2)] == 0].any()


def test_what_is_not_learned_can_be_left_out():
    config = tiny(norm="layer", **POOLINGS["discriminants"])
    model = trained_like(IsoCLRForPreTraining(config)).eval()
    batches, _, shape = packed_batches(config, transcripts())
    tokens, ids = batches[0]
    with torch.no_grad():
        whole = model.isoclr(tokens, segment_ids=ids, n_segments=shape.segments).pooler_output
        learned = model.isoclr(
            tokens, segment_ids=ids, n_segments=shape.segments, learned_only=True
        ).pooler_output
    assert learned.shape[2] == config.contrasted_size
    assert torch.equal(whole[..., -config.contrasted_size :], learned)


def test_a_mask_beside_segments_is_refused():
    model = IsoCLRModel(tiny())
    tokens = torch.zeros(1, 64, dtype=torch.long)
    with pytest.raises(ValueError, match="attention_mask beside segment_ids"):
        model(tokens, attention_mask=tokens, segment_ids=tokens)


def test_transcripts_lie_apart_and_rows_are_about_equally_full():
    lengths = np.random.default_rng(0).lognormal(7, 0.8, 700).astype(int).clip(30, 12_288)
    shape = PackedShape.of(IsoCLRConfig.preset("small"), 1 << 16, 12_288)
    assert shape.size <= 1 << 16
    packing = pack(lengths, shape)
    fill = np.zeros((packing.batches * shape.rows, shape.length), int)
    for row, start, length in zip(packing.rows, packing.starts, lengths, strict=True):
        assert start % 32 == 0
        assert not fill[row, max(start - shape.gap, 0) : start + length + shape.gap].any()
        fill[row, start : start + length] = 1
    used = fill.sum(1)
    assert used.sum() == lengths.sum()
    assert used.min() > 0.8 * used.max()
    per_batch = used.reshape(packing.batches, -1).sum(1)
    assert per_batch.min() > 0.97 * per_batch.max()
    mean_of = [lengths[packing.rows // shape.rows == b].mean() for b in range(packing.batches)]
    assert max(mean_of) < 1.15 * min(mean_of)  # a fair mixture of lengths in each
    whole = [packing.members(batch) for batch in range(packing.batches)]
    assert sorted(np.concatenate(whole)) == list(range(len(lengths)))
    assert pack(lengths, shape, batches=40).batches == 40


def test_a_row_holds_no_more_transcripts_than_it_may():
    shape = replace(PackedShape.of(IsoCLRConfig.preset("small"), 4096, 1000), segments=3)
    packing = pack([40] * 50, shape)
    assert packing.numbers.max() == 2
    assert np.unique(packing.rows).size == 17


def test_a_transcript_longer_than_a_row_is_refused():
    shape = PackedShape.of(IsoCLRConfig.preset("small"), 4096, 100)
    with pytest.raises(ValueError, match="got a transcript of 5000 nt, wanted at most 4096"):
        pack([5000], shape)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_embedding_packed_is_embedding_by_length(pooling):
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(tiny(norm="layer", **POOLINGS[pooling]))).eval()
    rows = [row.numpy().astype(np.uint8) for row in transcripts()]
    counted = []
    found = embed_tokens(model, rows, 1024, counted.append, packed=True)
    np.testing.assert_allclose(found, embed_tokens(model, rows, 1024), rtol=1e-5, atol=1e-5)
    assert sum(counted) == sum(LENGTHS) and len(counted) > 1
    assert embed_tokens(model, [], packed=True).shape == (0, model.config.pooled_size)


def test_rows_are_counted_for_as_many_batches_as_asked_for():
    rng = np.random.default_rng(0)
    shape = PackedShape.of(IsoCLRConfig.preset("small"), None, 3000)
    found = set()
    for _ in range(20):
        lengths = rng.integers(200, 3000, 100)
        fitting = fitting_rows(lengths, shape, 2)
        packing = pack(lengths, fitting, 2)
        assert packing.batches == 2
        assert lengths.sum() > 0.6 * 2 * fitting.size
        found.add(fitting.rows)
    assert len(found) <= 8


@pytest.mark.parametrize("items", [700, 2000])
def test_rows_that_would_stay_empty_are_left_out(items):
    """Padding falls, and of batches like these hardly one needs another part."""
    rng = np.random.default_rng(0)
    shape = PackedShape.of(IsoCLRConfig.preset("small"), 1 << 19, 12_288)

    def lengths():
        return rng.lognormal(7, 0.8, items).astype(int).clip(30, 12_288)

    filled = evenly_filled(np.concatenate([lengths() for _ in range(4)]), shape, items)
    assert filled.rows < shape.rows
    before, after = np.zeros(30), np.zeros(30)
    for number in range(30):
        batch = lengths()
        before[number] = pack(batch, shape).batches * shape.size / batch.sum()
        after[number] = pack(batch, filled).batches * filled.size / batch.sum()
    assert after.mean() < before.mean()
    assert np.median(after) <= 1.25
    assert (after > 1.2 * np.median(after)).sum() <= 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("norm", "pooling"), [("batch", "last"), ("layer", "regions")])
def test_packed_rows_train_compiled(norm, pooling):
    """By inductor, forward and backward; two stages, since compiling takes seconds a block."""
    torch._dynamo.reset()
    stages = {"filters": [4, 6], "blocks": [1, 1], "dilations": [1, 2]}
    model = IsoCLRModel(tiny(norm=norm, dropout=0.0, **stages, **POOLINGS[pooling])).train()
    ((tokens, ids),), _, shape = packed_batches(model.config, transcripts(), tokens=8192)
    results = []
    for form in (model, torch.compile(model, fullgraph=True, dynamic=False)):
        pooled = form(tokens, segment_ids=ids, n_segments=shape.segments).pooler_output
        pooled.square().mean().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        results.append((pooled.detach(), gradients))
        model.zero_grad()
    assert results[0][1].keys() == results[1][1].keys() != set()
    torch.testing.assert_close(results[1], results[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_packed_rows_are_one_compiled_graph(norm, pooling):
    """Dynamo alone, without code for a processor; a break in the graph is an error."""
    torch._dynamo.reset()
    model = IsoCLRModel(tiny(norm=norm, dropout=0.0, **POOLINGS[pooling])).train()
    ((tokens, ids),), _, shape = packed_batches(model.config, transcripts(), tokens=8192)
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    found = compiled(tokens, segment_ids=ids, n_segments=shape.segments).pooler_output
    expected = model(tokens, segment_ids=ids, n_segments=shape.segments).pooler_output
    torch.testing.assert_close(found, expected)
