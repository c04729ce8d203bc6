"""The training path gives the bits of the modules, values and gradients."""

import pytest
import torch

from modeling_isoclr import (
    IsoCLRConfig,
    IsoCLRModel,
    fused_isoclr,
    kernels_isoclr,
    layers_isoclr,
    training_isoclr,
)

SMALL = {"filters": [6, 6, 8], "blocks": [2, 1, 1], "dilations": [1, 2, 3], "stem_filters": 8}
REGIONS = {"pooling": "regions", "layout_size": 10, "content_size": 6}


def packed():
    """Two rows; the first transcript ends in the middle of a pair of positions."""
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 4, (2, 512), generator=rng, dtype=torch.uint8)
    tokens[:, 50:200:3] += 8
    segment_ids = torch.zeros(2, 512, dtype=torch.uint8)
    segment_ids[:, :243], segment_ids[:, 320:] = 1, 2
    tokens[segment_ids == 0] = 7
    return tokens, segment_ids


def trained(model, autocast=False, laid_out=False):
    """Embeddings of two steps, then gradients and running statistics."""
    tokens, segment_ids = packed()
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        options = {"n_segments": 2}
        if laid_out:
            options = {"layout": model.layout(tokens, segment_ids, 2)}
        pooled = [
            model(tokens, segment_ids=segment_ids, learned_only=True, **options).pooler_output
            for _ in range(2)
        ]
    weights = torch.linspace(-1, 1, pooled[0].numel()).view_as(pooled[0])
    (pooled[0] * weights + pooled[1]).sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {f"embeddings {i}": x for i, x in enumerate(pooled)} | gradients | model.state_dict()


def build(dtype=torch.float32, **options):
    torch.manual_seed(0)
    model = IsoCLRModel(IsoCLRConfig(**SMALL | options)).train().to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def by_modules(monkeypatch):
    monkeypatch.setattr(training_isoclr, "_fuses", lambda encoder: False)


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
@pytest.mark.parametrize(
    ("dtype", "autocast"),
    [(torch.float64, False), (torch.float32, False), (torch.float32, True)],
)
def test_bits_are_those_of_the_modules(monkeypatch, kernel_size, norm, dtype, autocast):
    """With dropout and with regions, laid out beforehand too."""
    options = {"kernel_size": kernel_size, "norm": norm, "dropout": 0.2, **REGIONS}
    found = trained(build(dtype, **options), autocast, laid_out=True)
    by_modules(monkeypatch)
    expected = trained(build(dtype, **options), autocast)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def norm_of_conv(x, conv_bias, norm, gaps, *, relu, residual=None, masked=False):
    """What the kernel of a GPU does, by autograd."""
    x = x + conv_bias.view(1, -1, 1, 1)
    x = norm.normalized(x.relu() if relu else x, norm.weight, norm.bias)
    x = x if residual is None else x + residual
    return x.relu().masked_fill(gaps, 0) if masked else x


def test_kernels_get_what_the_modules_get(monkeypatch):
    options = {"norm": "layer", "dropout": 0.0, **REGIONS}
    expected = trained(build(torch.float64, **options))
    monkeypatch.setattr(training_isoclr, "has_kernels", lambda x: True)
    monkeypatch.setattr(training_isoclr, "norm_of_conv", norm_of_conv)
    found = trained(build(torch.float64, **options))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-11, rtol=1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("channels", [6, 64, 160])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", ["norm", "unit", "residual"])
def test_the_kernel_has_the_gradients_of_autograd(channels, dtype, form):
    results = []
    masked = form != "norm"
    for kernel in (kernels_isoclr.norm_of_conv, norm_of_conv):
        rng = torch.Generator().manual_seed(0)

        def numbers(*shape, rng=rng):
            return torch.randn(shape, generator=rng).to("cuda", dtype).double()

        norm = layers_isoclr.IsoCLRLayerNorm(channels, IsoCLRConfig()).cuda().double()
        x, residual, bias = (
            numbers(3, channels, 1, 700),
            numbers(3, channels, 1, 700),
            numbers(channels),
        )
        gaps = torch.rand(3, 1, 1, 1400, generator=rng).cuda()[..., ::2] > 0.8
        gradient = numbers(3, channels, 1, 700)
        if kernel is kernels_isoclr.norm_of_conv:
            x, residual, gradient = x.to(dtype), residual.to(dtype), gradient.to(dtype)
            norm, bias = norm.float(), bias.float()
        inputs = [part.requires_grad_() for part in (x, residual, bias)]
        y = kernel(
            x,
            bias,
            norm,
            gaps,
            relu=masked,
            residual=residual if form == "residual" else None,
            masked=masked,
        )
        y.backward(gradient)
        found = [y.detach(), *(part.grad for part in (*inputs, norm.weight, norm.bias))]
        results.append([part.double() for part in found if part is not None])
    for found, expected in zip(*results, strict=True):
        most = 1e-5 if dtype == torch.float32 else 1e-2
        assert (found - expected).norm() <= most * expected.norm()


@pytest.mark.parametrize("pooling", ["last", "stages"])
def test_means_of_whole_transcripts_may_be_laid_out_beforehand(pooling):
    model = build(norm="layer", pooling=pooling, dropout=0.0)
    tokens, segment_ids = packed()
    layout = model.layout(tokens, segment_ids, 2)
    for row in range(2):
        one = slice(row, row + 1)
        ids = segment_ids[one]
        found = model(tokens[one], segment_ids=ids, layout=layout.part(one), learned_only=True)
        expected = model(tokens[one], segment_ids=ids, n_segments=2, learned_only=True)
        assert torch.equal(found.pooler_output, expected.pooler_output)


def test_kernels_cast_together_are_those_cast_one_by_one():
    """In the order of a GPU, which the CPU has no use for, too."""
    from modeling_isoclr.fused_isoclr import _memory_orders, _Together

    parameters = [torch.randn(shape, requires_grad=True) for shape in ((4, 3, 5), (4,), (2, 4, 1))]
    shapes = tuple(parameter.shape for parameter in parameters)
    orders = _memory_orders(shapes, torch.device("cpu"))
    for options in (None, orders):
        cast = _Together.apply(torch.bfloat16, options, *parameters)
        sum((part.float() ** 2).sum() for part in cast).backward()
        for part, parameter in zip(cast, parameters, strict=True):
            wanted = parameter.detach().bfloat16()
            assert torch.equal(part.view(-1) if part.ndim == 1 else part.squeeze(2), wanted)
            assert torch.equal(parameter.grad, 2 * wanted.float())
            parameter.grad = None
        if options is not None:
            assert all(part.is_contiguous(memory_format=torch.channels_last) for part in cast[::2])


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
def test_batch_norm_has_the_gradients_of_autograd(dtype, most):
    """Where padding has a gradient too; summing over processes is what autograd does."""
    results = []
    for over_processes in (None, lambda values: values):
        torch.manual_seed(0)
        norm = layers_isoclr.IsoCLRBatchNorm(16, IsoCLRConfig()).train()
        norm = norm.double() if dtype == torch.float64 else norm
        norm.over_processes = over_processes
        x = (3 * torch.randn(4, 16, 1, 50) + 2).to(dtype).requires_grad_()
        mask = (torch.rand(4, 1, 1, 50) > 0.3).to(dtype)
        with torch.no_grad():
            norm.weight.uniform_(0.5, 2)
        y = norm(x, mask)
        y.backward(torch.randn(x.shape).to(dtype))
        results.append([y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()])
    for found, expected in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        assert (found - expected).norm() <= most * expected.norm()


@pytest.mark.parametrize("read", [False, True])
def test_pairs_of_any_mask_are_those_of_the_module(read):
    """A pair whose first position is padded is padding, whatever the second is."""
    torch.manual_seed(0)
    mask = torch.rand(2, 1, 1, 64) > 0.4
    stem = torch.randn(2, 5, 1, 64, dtype=torch.float64)
    stem = stem.contiguous(memory_format=torch.channels_last).requires_grad_()
    bounds = fused_isoclr.Bounds.of(mask, torch.float64)
    found, positive = fused_isoclr.halve(stem, bounds, read)
    expected = layers_isoclr.IsoCLRHalving()(stem, mask)
    assert torch.equal(found, expected)
    weights, inside = torch.randn_like(found), torch.randn_like(stem) * bounds.open
    total, wanted = (found * weights).sum(), (expected * weights).sum()
    if read:
        assert torch.equal(positive, stem.relu())
        total, wanted = total + (positive * inside).sum(), wanted + (stem.relu() * inside).sum()
    assert torch.equal(*(torch.autograd.grad(loss, stem)[0] for loss in (total, wanted)))


def test_a_hook_inside_is_called():
    model, seen = build(norm="layer"), []
    hook = model.encoder.stages[0][0].relu1.register_forward_hook(lambda *_: seen.append(1))
    trained(model)
    assert len(seen) == 2
    hook.remove()
    trained(model)
    assert len(seen) == 2


def test_a_layout_needs_what_it_was_made_for():
    model = build(norm="layer", **REGIONS)
    tokens, segment_ids = packed()
    layout = model.layout(tokens, segment_ids, 2)
    with pytest.raises(ValueError, match="wanted it with segment_ids and learned_only alone"):
        model(tokens, segment_ids=segment_ids, layout=layout)
