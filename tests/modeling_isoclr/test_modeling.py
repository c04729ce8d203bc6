import pytest
import torch
from torch import nn

from modeling_isoclr import IsoCLRConfig, IsoCLRForPreTraining, IsoCLRModel, contrastive_loss
from modeling_isoclr.configuration_isoclr import MASK_BASE
from modeling_isoclr.layers_isoclr import IsoCLRBatchNorm, track_table
from modeling_isoclr.losses_isoclr import pair_accuracy
from toys import PAD, padded, random_tokens, tiny, trained_like

NORMS = ("batch", "layer", "rms")


def naive_encoder(model, tokens):
    """One unpadded transcript, with conv1d and the paper's order of operations, no masks."""
    config, encoder = model.config, model.encoder

    def conv(x, layer):
        reach = layer.dilation[0] * (layer.kernel_size[0] - 1)
        x = nn.functional.pad(x, (reach // 2, reach - reach // 2))
        return nn.functional.conv1d(x, layer.weight, layer.bias, dilation=layer.dilation)

    def norm(x, layer):
        if config.norm == "rms":
            return (
                x
                / (x.square().mean(1, keepdim=True) + config.norm_eps).sqrt()
                * layer.weight[:, None]
            )
        if config.norm == "layer":
            mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
        else:
            mean, var = layer.running_mean[:, None], layer.running_var[:, None]
        x = (x - mean) / (var + config.norm_eps).sqrt()
        return x * layer.weight[:, None] + layer.bias[:, None]

    def pool(x):
        pairs = [x[..., i : i + 2].amax(-1) for i in range(0, x.shape[-1], 2)]
        return torch.stack(pairs, -1)

    x = pool(norm(conv(model.embeddings.table[tokens].T[None], encoder.stem), encoder.stem_norm))
    outputs = []
    for stage in encoder.stages:
        for i, block in enumerate(stage):
            residual = x
            if block.shortcut is not None:
                residual = norm(conv(x, block.shortcut), block.shortcut_norm)
            x = norm(conv(x, block.conv1).relu(), block.norm1).relu()
            x = norm(conv(x, block.conv2).relu(), block.norm2)
            x = (x + residual).relu()
            if i == 0:
                x = pool(x)
        outputs.append(x)
    return outputs


@pytest.mark.parametrize(
    ("preset", "parameters", "printed"),
    [("small", 787_264, "0.787"), ("medium", 4_884_160, "4.884"), ("large", 9_570_752, "9.571")],
)
def test_presets_have_the_papers_parameter_counts(preset, parameters, printed):
    with torch.device("meta"):
        model = IsoCLRModel(IsoCLRConfig.preset(preset))
    count = sum(p.numel() for p in model.parameters())
    assert count == parameters
    assert f"{count / 1e6:.3f}" == printed


def test_tracks_of_every_kind_of_token():
    table = track_table(6, 0.25).tolist()
    assert table[0] == [1, 0, 0, 0, 0, 0]
    assert table[3 + 8] == [0, 0, 0, 1, 1, 0]
    assert table[1 + 8 + 16] == [0, 1, 0, 0, 1, 1]
    assert table[4 + 16] == [0.25, 0.25, 0.25, 0.25, 0, 1]
    assert table[5] == [0.25] * 6
    assert table[5 + 8] == [0.25, 0.25, 0.25, 0.25, 1, 0.25]
    assert table[PAD] == table[PAD + 24] == [0] * 6
    assert track_table(6, 0.0).tolist()[5] == [0] * 6
    assert track_table(4, 0.25).tolist()[3 + 8] == [0, 0, 0, 1]
    assert track_table(8, 0.25).tolist()[8] == [1, 0, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("length", [1, 31, 64, 333])
def test_equals_the_naive_encoder(norm, kernel_size, length):
    config = tiny(norm=norm, kernel_size=kernel_size, stem_kernel_size=5, pooling="stages")
    model = trained_like(IsoCLRModel(config)).eval().double()
    (tokens,) = random_tokens(length)
    with torch.no_grad():
        output = model(tokens[None], output_hidden_states=True)
        expected = naive_encoder(model, tokens)
    for hidden, stage in zip(output.hidden_states, expected, strict=True):
        torch.testing.assert_close(hidden, stage.transpose(1, 2), atol=1e-12, rtol=0)
    pooled = torch.cat([stage.mean(2) for stage in expected], 1)
    torch.testing.assert_close(output.pooler_output, pooled, atol=1e-12, rtol=0)
    assert output.last_hidden_state.shape == (1, -(-length // 32), 16)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling": "last"},
        {"pooling": "stages"},
        {"pooling": "regions"},
        {"pooling": "regions", "discriminants": 3, "discriminant_size": 50},
    ],
    ids=["last", "stages", "regions", "discriminants"],
)
@pytest.mark.parametrize(
    ("preset", "dtype", "tolerance"), [("small", torch.float64, 1e-12), (None, torch.float32, 1e-5)]
)
def test_an_embedding_is_the_same_alone_in_a_batch_and_padded_to_any_length(
    norm, pooling, preset, dtype, tolerance
):
    arguments = {"norm": norm, **pooling}
    config = IsoCLRConfig.preset(preset, **arguments) if preset else tiny(**arguments)
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(config)).eval().to(dtype)
    rows = random_tokens(1, 37, 100, 333, 512)
    with torch.no_grad():
        alone = [model(row[None]) for row in rows]
        for length in (512, 513, 700, 4096):
            batch = model(padded(rows, length))
            for i, single in enumerate(alone):
                n = single.last_hidden_state.shape[1]
                pooled, hidden = batch.pooler_output[i], batch.last_hidden_state[i]
                assert (pooled - single.pooler_output[0]).abs().max() <= tolerance
                found, expected = hidden[:n], single.last_hidden_state[0]
                assert (found - expected).abs().max() <= tolerance * expected.abs().max().clamp(1)
                assert not hidden[n:].any()


def test_a_mask_and_pad_tokens_mean_the_same():
    model = trained_like(IsoCLRModel(tiny())).eval()
    batch = padded(random_tokens(40, 64), 80)
    garbage = torch.where(batch == PAD, 2, batch)
    with torch.no_grad():
        by_token = model(batch).pooler_output
        by_mask = model(garbage, attention_mask=(batch != PAD).long()).pooler_output
        tracks = model.embeddings(garbage)
        by_tracks = model(inputs_embeds=tracks, attention_mask=batch != PAD).pooler_output
    assert torch.equal(by_token, by_mask)
    assert torch.equal(by_token, by_tracks)


def test_training_statistics_do_not_depend_on_padding():
    rows = random_tokens(300, 411, 64, 512)
    results = []
    for length in (512, 4096):
        torch.manual_seed(0)
        model = IsoCLRModel(tiny(dropout=0.0)).double().train()
        embedding = model(padded(rows, length)).pooler_output
        embedding.square().sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((embedding.detach(), gradients, dict(model.named_buffers())))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, atol=1e-10, rtol=1e-9)


def test_masked_batch_norm_is_torchs_over_the_valid_positions():
    torch.manual_seed(0)
    norm = IsoCLRBatchNorm(5, tiny()).double()
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    expected = nn.BatchNorm1d(5, eps=0.01).double()
    expected.load_state_dict(norm.state_dict(), strict=False)
    x = torch.randn(3, 5, 1, 40, dtype=torch.float64)
    mask = torch.arange(40) < torch.tensor([40, 7, 21])[:, None]
    found = norm(x, mask[:, None, None])
    valid = x.squeeze(2).transpose(1, 2)[mask]
    torch.testing.assert_close(found.squeeze(2).transpose(1, 2)[mask], expected(valid))
    torch.testing.assert_close(norm.running_mean, expected.running_mean)
    torch.testing.assert_close(norm.running_var, expected.running_var)


def test_pre_training_loss_is_that_of_its_projections():
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(tiny(loss_form="nt_xent", loss_temperature=0.5)).eval()
    tokens = padded(random_tokens(40, 64, 50, 33), 64)
    output = model(tokens)
    assert output.projections.shape == (4, 8)
    expected = contrastive_loss(*output.projections.chunk(2), "nt_xent", 0.5)
    assert torch.equal(output.loss, expected)
    output.loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model(tokens[:3], return_loss=False).loss is None
    with pytest.raises(ValueError, match="got 3 rows"):
        model(tokens[:3])


@pytest.mark.parametrize("norm", NORMS)
def test_saving_and_loading_keeps_every_bit(norm, tmp_path):
    model = trained_like(IsoCLRForPreTraining(tiny(norm=norm))).eval()
    model.save_pretrained(tmp_path)
    loaded = IsoCLRForPreTraining.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), atol=0, rtol=0)
    base = IsoCLRModel.from_pretrained(tmp_path).eval()
    tokens = torch.stack(random_tokens(64, 64))
    with torch.no_grad():
        assert torch.equal(base(tokens).pooler_output, model.isoclr(tokens).pooler_output)


def test_initial_weights_are_he_normal():
    torch.manual_seed(0)
    conv = IsoCLRModel(IsoCLRConfig.preset("small")).encoder.stages[3][1].conv2
    fan_in = conv.in_channels * conv.kernel_size[0]
    assert conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    assert not conv.bias.any()


def test_under_batch_norm_random_blocks_hide_a_transcript_behind_its_mask():
    """Each makes small differences larger, and eight of them two views of one look like of two."""

    def partners_first(zero_init_residual):
        torch.manual_seed(0)
        config = IsoCLRConfig.preset("small", dropout=0.0, zero_init_residual=zero_init_residual)
        model = IsoCLRModel(config).train()
        tokens = torch.randint(0, 4, (16, 256))
        views = [tokens.masked_fill(torch.rand(16, 256) < 0.15, MASK_BASE) for _ in range(2)]
        with torch.no_grad():
            return pair_accuracy(*model(torch.cat(views)).pooler_output.chunk(2))

    assert partners_first(zero_init_residual=False) < 0.5
    assert partners_first(zero_init_residual=True) > 0.9


@pytest.mark.parametrize("norm", NORMS)
def test_blocks_may_begin_as_their_shortcuts(norm, tmp_path):
    model = IsoCLRModel(tiny(norm=norm, zero_init_residual=True))
    first = model.encoder.stages[0][0]
    assert not first.norm2.weight.any()
    assert first.norm1.weight.all()
    nn.init.constant_(first.norm2.weight, 0.5)  # as after training
    model.save_pretrained(tmp_path)
    loaded = IsoCLRModel.from_pretrained(tmp_path).encoder.stages[0][0]
    assert torch.equal(loaded.norm2.weight, first.norm2.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "group"}, "norm: got 'group'"),
        ({"pooling": "max"}, "pooling: got 'max'"),
        ({"discriminants": 3}, "discriminants: got 3 with pooling='last', wanted none"),
        ({"pooling": "regions", "discriminants": -1}, "discriminants: got -1, wanted positive"),
        ({"discriminant_size": 0}, "discriminant_size: got 0, wanted positive"),
        ({"blocks": [1, 2]}, "filters, blocks, dilations"),
        ({"n_tracks": 3}, "n_tracks: got 3"),
        ({"kernel_size": 0}, "kernel_size: got 0"),
        ({"zero_init_residual": 1}, "zero_init_residual: got 1, wanted true or false"),
        ({"projector_sizes": [4, 4]}, "projector_sizes: got"),
    ],
)
def test_a_wrong_configuration_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="preset: got 'huge'"):
        IsoCLRConfig.preset("huge")


def test_both_or_neither_input_is_refused():
    with pytest.raises(ValueError, match="both or neither"):
        IsoCLRModel(tiny())()
