"""What other libraries make of the models: each is run as it is, where it is installed."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BitsAndBytesConfig

from modeling_isoclr import (
    IsoCLRForMaskedLM,
    IsoCLRForPreTraining,
    IsoCLRForSequenceClassification,
    IsoCLRForTokenClassification,
    IsoCLRModel,
)
from toys import PAD, padded, random_tokens, tiny, trained_like

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


def batch(*lengths, to=None):
    tokens = padded(random_tokens(*lengths), to or max(lengths))
    return {"input_ids": tokens, "attention_mask": (tokens != PAD).long()}


class TestBitsAndBytes:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        pytest.importorskip("bitsandbytes")
        path = tmp_path_factory.mktemp("quantized")
        torch.manual_seed(0)
        sizes = {"projector_sizes": [64, 64, 32], "pooling": "regions", "content_size": 64}
        trained_like(IsoCLRForPreTraining(tiny(**sizes))).save_pretrained(path)
        return path

    @pytest.mark.parametrize(
        ("options", "kind", "least"),
        [
            ({"load_in_8bit": True}, "Linear8bitLt", 0.999),
            ({"load_in_4bit": True}, "Linear4bit", 0.9),
        ],
    )
    def test_quantized_layers_give_nearly_the_same(self, folder, options, kind, least):
        inputs = batch(300, 77)
        expected = IsoCLRForPreTraining.from_pretrained(folder).eval()(**inputs, return_loss=False)
        model = IsoCLRForPreTraining.from_pretrained(
            folder, quantization_config=BitsAndBytesConfig(**options), device_map="cpu"
        ).eval()
        kinds = [type(part).__name__ for part in model.modules()]
        assert kinds.count(kind) >= 2
        found = model(**inputs, return_loss=False)
        for name in ("pooler_output", "projections"):
            cosine = nn.functional.cosine_similarity(expected[name], found[name].float())
            assert cosine.min() > least, name
        assert not torch.equal(expected.projections, found.projections.float())


class TestPeft:
    @pytest.mark.parametrize(
        ("head", "arguments", "task", "output"),
        [
            (IsoCLRModel, {}, "FEATURE_EXTRACTION", "pooler_output"),
            (IsoCLRForSequenceClassification, {"num_labels": 2}, "SEQ_CLS", "logits"),
            (IsoCLRForTokenClassification, {"num_labels": 3}, "TOKEN_CLS", "logits"),
        ],
    )
    def test_low_rank_twins_of_convolutions_train_and_merge(self, head, arguments, task, output):
        peft = pytest.importorskip("peft")
        torch.manual_seed(0)
        model = trained_like(head(tiny(**arguments)))
        inputs = batch(150, 64, 97)
        before = model(**inputs)[output].detach()
        twins = peft.LoraConfig(
            task_type=task, r=3, target_modules=r".*(stem|conv1|conv2|shortcut)$"
        )
        model = peft.get_peft_model(model, twins)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert sum("lora_" in name for name in trained) >= 2 * 10
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        for _ in range(2):
            model(**inputs)[output].square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        found = model.eval()(**inputs)[output].detach()
        assert (found - before).abs().max() > 0.1
        merged = model.merge_and_unload().eval()(**inputs)[output]
        torch.testing.assert_close(merged, found, rtol=1e-5, atol=1e-4)


class Summed(nn.Module):
    """One number a row of tracks."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tracks):
        """(batch, length, n_tracks) to (batch,)."""
        return self.model(inputs_embeds=tracks, learned_only=True).pooler_output.sum(1)


@pytest.mark.parametrize("pooling", ["last", "stages"])
def test_deeplift_accounts_for_all_of_the_difference(pooling):
    """Its attributions add up to what the input gives more than the reference."""
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    model = Summed(trained_like(IsoCLRModel(tiny(pooling=pooling))).double())
    tracks = model.model.embeddings(batch(192)["input_ids"]).requires_grad_()
    unknown = torch.zeros_like(tracks)
    unknown[..., :4] = 0.25
    found = attr.DeepLift(model).attribute(tracks, unknown)
    difference = (model(tracks) - model(unknown)).item()
    assert abs(difference) > 0.1
    assert found.sum().item() == pytest.approx(difference, rel=1e-9)


GUIDE = Path(__file__).parents[2] / "docs" / "EMBEDDING.md"


def guide_to(what):
    """The block of Python in the guide that has these words."""
    blocks = re.findall("^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if what in block)
    return block


def assert_session_gives_what_the_model_does(path, model, *inputs):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for each in inputs:
        expected = model(**each)
        found = session.run(None, {name: value.numpy() for name, value in each.items()})
        for name, one in zip(("last_hidden_state", "pooler_output"), found, strict=True):
            whole = expected[name]
            scale = whole.abs().max().item()
            torch.testing.assert_close(torch.from_numpy(one), whole, rtol=0, atol=1e-5 * scale)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "pooling"),
    [("torch.onnx", "stages"), ("torch.onnx", "regions"), ("OnnxConfig", "stages")],
)
def test_the_guide_to_onnx(what, pooling, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    if what == "OnnxConfig":
        pytest.importorskip("optimum.exporters.onnx", exc_type=ImportError)  # wants transformers 4
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = trained_like(IsoCLRModel(tiny(pooling=pooling)))
    exec(guide_to(what), {"model": model, "batch": batch(48, 40)})
    others = batch(33), batch(97, 50, 9), batch(64, 64, 31, 1, 2)
    assert_session_gives_what_the_model_does(tmp_path / "model.onnx", model, *others)


class Positional(nn.Module):
    """A model by its tokens and mask, as exporters call it."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, input_ids, attention_mask):
        """Return the outputs of these names."""
        output = self.model(input_ids, attention_mask)
        return tuple(output[name] for name in self.names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "arguments", "names"),
    [
        (IsoCLRModel, {"pooling": "stages"}, ("last_hidden_state", "pooler_output")),
        (IsoCLRModel, {"pooling": "regions", "discriminants": 2}, ("pooler_output",)),
        (IsoCLRForMaskedLM, {}, ("logits",)),
    ],
)
def test_an_exported_graph_takes_any_batch_and_length(head, arguments, names, tmp_path):
    """With torch.export and ONNX; a length that no stage divides, and one row or several."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    shape = {"filters": [4, 6], "blocks": [1, 1], "dilations": [1, 2], "projector_sizes": [8, 8, 4]}
    model = Positional(trained_like(head(tiny(**shape, **arguments))), names).eval()
    # Sizes of one position, one step of the last stage, are another graph.
    names_of_sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", min=9)}
    exported = torch.export.export(
        model,
        tuple(batch(48, 40).values()),
        dynamic_shapes={"input_ids": names_of_sizes, "attention_mask": names_of_sizes},
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    path = tmp_path / "model.onnx"
    torch.onnx.export(exported, (), path, dynamo=True, verbose=False, output_names=list(names))
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for inputs in (batch(33), batch(97, 50, 9), batch(64, 64, 31, 1, 2)):
        expected = model(*inputs.values())
        by_export = exported.module()(*inputs.values())
        by_onnx = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for name, whole, one, other in zip(names, expected, by_export, by_onnx, strict=True):
            scale = whole.abs().max().item()
            torch.testing.assert_close(one, whole, rtol=0, atol=1e-5 * scale)
            torch.testing.assert_close(torch.from_numpy(other), whole, rtol=0, atol=1e-5 * scale)
            if name == "last_hidden_state":
                assert whole.shape[1] == -(-inputs["input_ids"].shape[1] // 8)
