"""What the encoder has beyond the paper: each option against the plain encoder."""

import shutil

import pytest
import torch

from modeling_isoclr import IsoCLRConfig, IsoCLRForPreTraining, IsoCLRModel
from toys import padded, random_tokens, tiny, trained_like

NORMS = ("batch", "layer", "rms")


@pytest.fixture
def batch():
    return padded(random_tokens(300, 411, 64, 512), 512)


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_checkpointing_changes_neither_gradients_nor_statistics(norm, batch):
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = IsoCLRModel(tiny(norm=norm, dropout=0.3)).double().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        torch.manual_seed(1)
        model(batch).pooler_output.square().sum().backward()
        results.append(
            ({n: p.grad for n, p in model.named_parameters()}, dict(model.named_buffers()))
        )
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@pytest.mark.parametrize("reentrant", [False, True])
def test_either_kind_of_checkpointing_leaves_statistics_right(reentrant, batch):
    plain, other = (IsoCLRModel(tiny(dropout=0.0)).train() for _ in range(2))
    other.load_state_dict(plain.state_dict())
    other.activation_checkpointing_enable({"use_reentrant": reentrant})
    for model in (plain, other):
        tracks = model.embeddings(batch).requires_grad_()
        model(inputs_embeds=tracks, attention_mask=batch != 7).pooler_output.sum().backward()
    torch.testing.assert_close(
        dict(other.named_buffers()), dict(plain.named_buffers()), rtol=0, atol=0
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(
    ("norm", "mask", "options"),
    [("batch", None, {"fullgraph": True, "dynamic": True}), ("layer", torch.int64, {})],
    ids=["without a mask", "by default with an integer mask"],
)
def test_compiles_for_any_length(norm, mask, options):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    # Two blocks: the generated code is part of the test, since it adds conditions of its own.
    shape = {"filters": [4, 6], "blocks": [1, 1], "dilations": [1, 2]}
    model = trained_like(IsoCLRModel(tiny(norm=norm, **shape)))
    compiled = torch.compile(model, **options)
    with torch.no_grad():
        for length in (512, 704, 1333, 98):
            tokens = padded(random_tokens(length, length // 2, 40), length)
            arguments = () if mask is None else ((tokens != 7).to(mask),)
            expected = model(tokens, *arguments).pooler_output
            found = compiled(tokens, *arguments).pooler_output
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == (1 if options else 2)  # by default, one for the first shape and one for all


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_keeps_norms_in_float32(norm, dtype, batch, tmp_path):
    model = trained_like(IsoCLRModel(tiny(norm=norm)))
    model.save_pretrained(tmp_path)
    half = IsoCLRModel.from_pretrained(tmp_path, dtype=dtype).eval()
    for name, tensor in half.state_dict().items():
        assert tensor.dtype == (torch.float32 if "norm" in name else dtype), name
    with torch.no_grad():
        found, expected = half(batch).pooler_output, model(batch).pooler_output
    assert found.dtype == dtype
    assert found.isfinite().all()
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.1)


def test_a_half_precision_checkpoint_loads_without_garbage(batch, tmp_path):
    model = trained_like(IsoCLRModel(tiny())).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    loaded = IsoCLRModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].float()), name


def test_autocast_keeps_statistics_in_float32(batch):
    plain, other = (IsoCLRModel(tiny(dropout=0.0)).train() for _ in range(2))
    other.load_state_dict(plain.state_dict())
    plain(batch)
    with torch.autocast("cpu", torch.bfloat16):
        other(batch)
    for name, buffer in other.named_buffers():
        assert buffer.dtype == torch.float32
        torch.testing.assert_close(buffer, plain.get_buffer(name), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("preset", "dtype", "tolerance"), [("small", torch.float64, 1e-12), (None, torch.float32, 1e-5)]
)
def test_fused_norms_give_the_same_embeddings(preset, dtype, tolerance, batch):
    torch.manual_seed(0)
    config = IsoCLRConfig.preset(preset) if preset else tiny()
    model = trained_like(IsoCLRModel(config)).to(dtype)
    with torch.no_grad():
        expected = model(batch)
        count = sum(1 for _ in model.parameters())
        fused = model.fuse_for_inference()(batch)
    assert sum(1 for _ in model.parameters()) < count
    for name in ("pooler_output", "last_hidden_state"):
        # Values reach 5, and float32 rounds them by parts of themselves.
        torch.testing.assert_close(fused[name], expected[name], rtol=tolerance, atol=tolerance)


def test_only_batch_norms_in_evaluation_mode_fuse():
    with pytest.raises(ValueError, match="in training mode"):
        IsoCLRModel(tiny()).train().fuse_for_inference()
    with pytest.raises(ValueError, match="norm='layer'"):
        IsoCLRModel(tiny(norm="layer")).eval().fuse_for_inference()


def test_more_tracks_keep_what_the_stem_learned(batch, tmp_path):
    model = trained_like(IsoCLRModel(tiny()))
    with torch.no_grad():
        expected = model(batch).pooler_output
        eight = model.resize_tracks(8)
        assert torch.equal(eight(batch).pooler_output, expected)
        assert eight.config.n_tracks == 8
        tracks = torch.rand(2, 100, 8)
        before = eight(inputs_embeds=tracks).pooler_output
    eight(inputs_embeds=tracks).pooler_output.sum().backward()
    assert eight.encoder.stem.weight.grad[:, 6:].abs().sum() > 0
    eight.save_pretrained(tmp_path)
    with torch.no_grad():
        loaded = IsoCLRModel.from_pretrained(tmp_path)
        assert torch.equal(loaded(inputs_embeds=tracks).pooler_output, before)


def test_fewer_tracks_are_the_bare_sequence(batch):
    model = trained_like(IsoCLRModel(tiny()))
    with torch.no_grad():
        bare = torch.where(batch == 7, 7, batch & 7)
        expected = model(bare).pooler_output
        four = model.resize_tracks(4)
        torch.testing.assert_close(four(batch).pooler_output, expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="n_tracks: got 3"):
        model.resize_tracks(3)


def test_gradients_reach_the_tracks():
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(tiny())).double()
    tracks = torch.rand(1, 40, 6, dtype=torch.float64, requires_grad=True)

    def embed(tracks):
        return model(inputs_embeds=tracks).pooler_output.sum()

    (gradient,) = torch.autograd.grad(embed(tracks), tracks)
    direction = torch.randn_like(tracks)
    step = 1e-7
    with torch.no_grad():
        slope = (embed(tracks + step * direction) - embed(tracks - step * direction)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-4)


def test_weights_in_pickle_form_are_refused(tmp_path):
    model = IsoCLRModel(tiny())
    model.config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    with pytest.raises(ValueError, match=r"pickle form \(pytorch_model.bin\).*save_file"):
        IsoCLRModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pickle form"):
        IsoCLRModel.from_pretrained("some/repo", use_safetensors=False)


def test_missing_and_extra_weights_leave_no_garbage(tmp_path):
    from safetensors.torch import load_file, save_file

    model = trained_like(IsoCLRModel(tiny()))
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    gone = ["encoder.stem_norm.running_var", "encoder.stem.weight", "embeddings.table"]
    kept = {name: tensor for name, tensor in weights.items() if name not in gone}
    save_file({**kept, "stray": torch.ones(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded, report = IsoCLRModel.from_pretrained(tmp_path, output_loading_info=True)
    assert set(report["missing_keys"]) == set(gone)
    assert set(report["unexpected_keys"]) == {"stray"}
    state = loaded.state_dict()
    assert torch.equal(state["encoder.stem_norm.running_var"], torch.ones(8))
    assert torch.equal(state["embeddings.table"], model.embeddings.table)
    assert 0.1 < state["encoder.stem.weight"].std() < 1
    for name, tensor in kept.items():
        assert torch.equal(state[name], tensor), name


def test_builds_on_the_meta_device():
    with torch.device("meta"):
        model = IsoCLRForPreTraining(tiny(masked_lm_weight=0.5))
    assert all(p.is_meta for p in model.parameters())
