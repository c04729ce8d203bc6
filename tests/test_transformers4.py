"""What one major release of transformers saves, the other loads: weights, code and tokenizer."""

import os
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file

from modeling_isoclr import IsoCLRConfig, IsoCLRTokenizer

CONFIG = IsoCLRConfig(
    filters=[8, 16, 8, 8], blocks=[1, 2, 1, 1], projector_sizes=[16, 16, 8], pooling="stages"
)
AUTO_MODELS = sorted(set(CONFIG.auto_map) - {"AutoConfig"})
BATCH = {
    "text": ["ACGUACGTNN" * 9, "atggcctaa", "GATTACA", "CC"],
    "cds": [(5, 11), (0, 9), None, None],
    "exon_junctions": [[3, 50], [4], [], None],
    "padding": True,
    "return_tensors": "pt",
}

# Where none of our packages can be imported: loads what the other release saved for every Auto
# class, runs it, and saves it again.
WORKER = f"""
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(["modeling_isoclr", "isoclr", "data_builders"]))
import torch, transformers
from safetensors.torch import save_file
saved_by, loaded_by = map(Path, sys.argv[1:])
assert transformers.__version__.split(".")[0] == loaded_by.name, transformers.__version__
for folder in saved_by.iterdir():
    def load(auto_class):
        auto_class = getattr(transformers, auto_class)
        return auto_class.from_pretrained(folder, trust_remote_code=True)
    tokenizer, model, encoder = load("AutoTokenizer"), load(folder.name), load("AutoModel")
    batch = tokenizer(**{BATCH})
    with torch.inference_mode():
        output, pooled = model.eval()(**batch), encoder.eval()(**batch).pooler_output
    tensors = {{name: t.contiguous().clone() for name, t in output.items() if t is not None}}
    tokenizer.save_pretrained(loaded_by / folder.name)
    model.save_pretrained(loaded_by / folder.name)
    save_file(dict(batch, pooled=pooled, **tensors), loaded_by / folder.name / "tensors")
"""


@pytest.fixture(scope="module")
def saved(request, tmp_path_factory):
    """A folder a release, each from the one before, with a folder in it for every Auto class."""
    older = request.config.rootpath / ".venv-transformers4"
    if not (older / "transformers").is_dir():
        pytest.skip(f"no {older.name}; `make test` sets it up")
    root = tmp_path_factory.mktemp("releases")
    (root / "worker.py").write_text(WORKER)
    for auto_model in AUTO_MODELS:
        model, _ = model_and_batch(auto_model)
        model.save_pretrained(root / "origin" / auto_model)
        IsoCLRTokenizer().save_pretrained(root / "origin" / auto_model)
    for saved_by, loaded_by, first_on_path in (("origin", "4", str(older)), ("4", "5", "")):
        environment = {
            **os.environ,
            "PYTHONPATH": first_on_path,
            "HF_HOME": str(tmp_path_factory.mktemp("home")),
            "HF_HUB_OFFLINE": "1",
        }
        worker = [sys.executable, "worker.py", saved_by, loaded_by]
        subprocess.run(worker, check=True, env=environment, cwd=root)
    return root


def model_and_batch(auto_model):
    """The same small model at every call, with running statistics that are not the initial ones."""
    torch.manual_seed(0)
    model = getattr(transformers, auto_model).from_config(CONFIG)
    batch = IsoCLRTokenizer()(**BATCH)
    model.train()(**batch)
    return model.eval(), batch


@pytest.mark.slow
@pytest.mark.parametrize("release", ["4", "5"])
@pytest.mark.parametrize("auto_model", AUTO_MODELS)
def test_what_the_other_release_saved_gives_the_same_bits(saved, auto_model, release):
    model, batch = model_and_batch(auto_model)
    with torch.inference_mode():
        output, pooled = model(**batch), model.base_model(**batch).pooler_output
    tensors = {name: tensor for name, tensor in output.items() if tensor is not None}
    expected = {**batch, "pooled": pooled, **tensors}
    loaded = load_file(saved / release / auto_model / "tensors")
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(loaded[name], tensor), name
