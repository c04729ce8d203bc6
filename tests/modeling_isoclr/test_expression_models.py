"""Encoders of expression: saved and loaded, alone on a Hub, and what their parts compute."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn

from modeling_isoclr import (
    ExpressionConfig,
    ExpressionForPreTraining,
    ExpressionForSequenceClassification,
    ExpressionModel,
    ExpressionProcessor,
)
from modeling_isoclr.configuration_expression import AUTO_MAP, METHODS
from modeling_isoclr.modeling_expression import ExpressionBatchNorm, cox_loss

HEADS = [name for name in AUTO_MAP if name != "AutoConfig"]
GENES = [f"ENSG{i:011d}" for i in range(9)]
VALUES = np.random.default_rng(0).gamma(2, 2, (6, 9)).astype(np.float32)


def tiny(**kwargs):
    keys = {"n_genes": 9, "hidden_size": 8, "num_hidden_layers": 2, "head_sizes": (8, 4)}
    return ExpressionConfig(**keys | kwargs)


def made(cls, seed=0, **kwargs):
    """A model in evaluation whose batch norms are not those of a new one."""
    torch.manual_seed(seed)
    model = cls(tiny(**kwargs))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_of_every_method_goes_round_and_serves_every_head(tmp_path, method):
    model = made(ExpressionForPreTraining, method=method, bottleneck_size=3)
    model.save_pretrained(tmp_path)
    again = ExpressionForPreTraining.from_pretrained(tmp_path)
    assert again.config.method == method
    states = model.state_dict(), again.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    encoder, info = ExpressionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    x = torch.from_numpy(VALUES)
    with torch.inference_mode():
        expected = model.expression(x).pooler_output
        assert torch.equal(encoder.eval()(x).pooler_output, expected)
    _, info = ExpressionForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True, num_labels=3
    )
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}


CLIENT = """
import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)
import numpy as np, torch, transformers
from safetensors.torch import save_file
*sources, out = sys.argv[1:]
found = {}
for source in sources:
    head, place = source.split("=")
    processor = transformers.AutoProcessor.from_pretrained(place, trust_remote_code=True)
    model = getattr(transformers, head).from_pretrained(place, trust_remote_code=True).eval()
    values = np.arange(18, dtype=np.float32).reshape(2, 9)
    inputs = processor(values, processor.genes, return_tensors="pt")["values"]
    with torch.inference_mode():
        output = model(inputs, inputs) if "PreTraining" in head else model(inputs)
    found[head] = (output.logits if "logits" in output else output.pooler_output).contiguous()
save_file(found, out)
"""


def test_in_a_process_without_our_packages(tmp_path):
    processor = ExpressionProcessor.fit(VALUES, GENES)
    values = np.arange(18, dtype=np.float32).reshape(2, 9)
    x = processor(values, return_tensors="pt")["values"]
    expected = {}
    for head in HEADS:
        model = made(type(getattr(transformers, head).from_config(tiny())), num_labels=3)
        model.save_pretrained(tmp_path / head)
        processor.save_pretrained(tmp_path / head)
        with torch.inference_mode():
            output = model(x, x) if "PreTraining" in head else model(x)
        expected[head] = output.logits if "logits" in output else output.pooler_output
    out = tmp_path / "out.safetensors"
    sources = [f"{head}={tmp_path / head}" for head in HEADS]
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *sources, str(out)],
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = load_file(out)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_cox_loss_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    risk = torch.randn(12, dtype=torch.float64, requires_grad=True)
    time = torch.tensor([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], dtype=torch.float64)
    event = torch.tensor([1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1])
    terms = [
        torch.log(sum(risk[j].exp() for j in range(12) if time[j] >= time[i])) - risk[i]
        for i in range(12)
        if event[i]
    ]
    expected = sum(terms) / len(terms)
    loss = cox_loss(risk, time, event)
    assert torch.allclose(loss, expected, rtol=1e-12)
    (found,) = torch.autograd.grad(loss, risk, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected, risk)
    assert torch.allclose(found, wanted, atol=1e-12)
    none = cox_loss(risk, time, event * 0)
    assert none == 0 and not torch.autograd.grad(none, risk)[0].any()


def test_losses_by_kind_of_problem():
    x = torch.from_numpy(VALUES)
    time_event = torch.tensor([[1.0, 1], [2, 0], [3, 1], [4, 1], [5, 0], [6, 1]])
    model = made(ExpressionForSequenceClassification, num_labels=1, problem_type="survival")
    output = model(x, labels=time_event)
    assert output.loss == cox_loss(output.logits[:, 0], time_event[:, 0], time_event[:, 1])
    model = made(ExpressionForSequenceClassification, num_labels=1, problem_type="regression")
    output = model(x, labels=torch.arange(6))
    assert output.loss == (output.logits[:, 0] - torch.arange(6)).square().mean()
    model = made(ExpressionForSequenceClassification, num_labels=3)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    output = model(x, labels=labels)
    assert output.loss == nn.functional.cross_entropy(output.logits, labels)


def test_survival_is_kept_by_save_and_load(tmp_path):
    made(
        ExpressionForSequenceClassification, num_labels=1, problem_type="survival"
    ).save_pretrained(tmp_path)
    again = ExpressionForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.problem_type == "survival" and again.config.num_labels == 1


def test_the_target_of_byol_starts_equal_and_moves_slowly():
    model = made(ExpressionForPreTraining, method="byol", target_decay=0.75)
    model.start_target()
    online = {**dict(model.expression.named_parameters())}
    slow = dict(model.target["expression"].named_parameters())
    assert all(torch.equal(slow[name], value) for name, value in online.items())
    before = {name: value.clone() for name, value in slow.items()}
    with torch.no_grad():
        for value in online.values():
            value.add_(1)
    model.update_target()
    for name, value in slow.items():
        assert torch.allclose(value, before[name] + 0.25, atol=1e-6)
        assert not value.requires_grad
    output = model(torch.from_numpy(VALUES), torch.from_numpy(VALUES))
    assert not any(target.requires_grad for target in output.targets)
    assert output.first.requires_grad


def test_the_batch_norm_over_one_process_is_that_of_pytorch():
    torch.manual_seed(0)
    ours, theirs = ExpressionBatchNorm(5).double(), nn.BatchNorm1d(5).double()
    ours.over_processes = lambda values: values  # a sum over one process
    for _ in range(3):
        x = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
        y = x.detach().clone().requires_grad_()
        found, expected = ours(x), theirs(y)
        assert torch.allclose(found, expected, atol=1e-12)
        (found**3).sum().backward()
        (expected**3).sum().backward()
        assert torch.allclose(x.grad, y.grad, atol=1e-10)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name].double(), value.double(), atol=1e-12), name
    x = torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(ours.eval()(x), theirs.eval()(x)) or torch.allclose(ours(x), theirs(x))


def test_dropout_that_is_given_is_that_dropout():
    model = made(ExpressionModel, dropout=0.5).train()
    keep = torch.ones(2, 6, 8, dtype=torch.bool)
    keep[1, :, :4] = False
    output = model(torch.from_numpy(VALUES), keep).pooler_output
    assert not output[:, :4].any() and output[:, 4:].any()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "simclr"}, "method: got 'simclr', wanted one of scarf"),
        ({"hidden_size": 0}, "hidden_size: got 0, wanted a whole number of at least 1"),
        ({"dropout": 1.5}, "dropout: got 1.5, wanted a number from 0 to 1"),
        ({"contrast_temperature": 0}, "contrast_temperature: got 0"),
        ({"head_sizes": [3]}, r"head_sizes: got \[3\], wanted two whole numbers"),
    ],
)
def test_a_configuration_that_cannot_be(keys, message):
    with pytest.raises(ValueError, match=message):
        tiny(**keys)


def test_values_of_another_width():
    with pytest.raises(ValueError, match=r"values: got shape \(6, 5\), wanted \(batch, 9\)"):
        made(ExpressionModel)(torch.from_numpy(VALUES[:, :5]))
