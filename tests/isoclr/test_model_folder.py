"""A model folder is whole as it lies: it loads where none of our packages can be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer
from transformers.dynamic_module_utils import get_relative_import_files, get_relative_imports

from data_builders.records import InputError
from isoclr import model_folder
from isoclr.model_folder import code_files, write_code, write_model_folder
from isoclr.shipped import SHIPPED_MODELS
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import AUTO_MAP
from toys import tiny

ROOT = Path(__file__).resolve().parents[2]
RELEASED = sorted(path.parent for path in ROOT.glob("model_cards/*/config.json"))
OF_SEQUENCES = [
    folder
    for folder in RELEASED
    if json.loads((folder / "config.json").read_text())["model_type"] == "isoclr"
]
TEXTS = {"text": ["ACGUACGTNN" * 5, "ATGGCCTAA"], "padding": True, "return_tensors": "pt"}
BATCHES = {
    "rna": TEXTS | {"cds": [None, (0, 9)], "exon_junctions": [[3], [4]]},
    "protein": TEXTS,
}
ALONE = f"""
import sys
sys.modules.update(dict.fromkeys(["isoclr", "modeling_isoclr", "data_builders"]))
import torch, transformers
from safetensors.torch import save_file
folder, out, *heads = sys.argv[1:]
load = dict(pretrained_model_name_or_path=folder, trust_remote_code=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(**load)
batch = tokenizer(**{BATCHES}[tokenizer.alphabet])
tensors = {{}}
for head in heads:
    model = getattr(transformers, head).from_pretrained(**load).eval()
    extra = dict(return_loss=False) if head == "AutoModelForPreTraining" else dict()
    with torch.inference_mode():
        tensors[head] = model(**batch, **extra)[0]
        tensors[head + ".base"] = model.base_model(**batch).pooler_output
embed = transformers.pipeline("isoform-embedding", model=folder, trust_remote_code=True)
tensors["pipeline"] = torch.from_numpy(embed(["ACGUACGTNN"]))
save_file({{name: tensor.contiguous() for name, tensor in tensors.items()}}, out)
"""


@pytest.mark.parametrize("family", ["isoclr", "expression", "rpi"])
def test_the_models_import_all_that_transformers_4_is_to_copy(family):
    """It copies what the file of the models imports by itself, and no further."""
    models = ROOT / "modeling_isoclr" / f"modeling_{family}.py"
    needed = {Path(file).stem for file in get_relative_import_files(models)}
    assert needed <= set(get_relative_imports(models))


def test_there_are_released_models():
    assert {folder.name for folder in RELEASED} >= set(SHIPPED_MODELS)


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_the_code_of_a_released_model_is_that_of_the_package(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    wanted = write_code(tmp_path)
    assert {path.name for path in folder.glob("*.py")} == {
        path.name for path in wanted if path.suffix == ".py"
    }
    for path in wanted:
        assert (folder / path.name).read_bytes() == path.read_bytes(), "`make code` writes it anew"


@pytest.mark.slow
@pytest.mark.parametrize("folder", OF_SEQUENCES, ids=lambda folder: folder.name)
def test_a_released_model_loads_by_every_head_without_our_packages(folder, tmp_path):
    heads = [name for name in AUTO_MAP if name != "AutoConfig"]
    out = tmp_path / "tensors"
    done = subprocess.run(
        [sys.executable, "-c", ALONE, folder, out, *heads],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        expected = model(**tokenizer(**BATCHES[tokenizer.alphabet])).pooler_output
        bare = model(**tokenizer("ACGUACGTNN", return_tensors="pt")).pooler_output
    found = load_file(out)
    assert len(found) == 2 * len(heads) + 1
    for head in heads:
        assert torch.equal(found[f"{head}.base"], expected), head
        assert found[head].isfinite().all()
    torch.testing.assert_close(found["pipeline"], bare, rtol=0, atol=1e-5)


def test_a_folder_has_code_weights_and_how_sentence_transformer_pools(tmp_path):
    write_model_folder(IsoCLRModel(tiny()), IsoCLRTokenizer(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {file.name for file in code_files()} | {
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    }
    settings = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    assert settings["modality_config"]["text"]["method_output_name"] == "pooler_output"


def test_sentence_transformer_gives_the_pooled_output(tmp_path):
    sentence_transformers = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    model, tokenizer = IsoCLRModel(tiny(pooling="stages")).eval(), IsoCLRTokenizer()
    write_model_folder(model, tokenizer, tmp_path)
    client = sentence_transformers.SentenceTransformer(
        str(tmp_path), trust_remote_code=True, device="cpu"
    )
    sequences = ["ACGU" * 50, "ATGGCCTAA", "GATTACA" * 30]
    found = torch.from_numpy(client.encode(sequences, batch_size=3))
    assert client.get_embedding_dimension() == found.shape[1] == model.config.pooled_size
    for sequence, embedding in zip(sequences, found, strict=True):
        alone = model(**tokenizer(sequence, return_tensors="pt")).pooler_output[0]
        torch.testing.assert_close(embedding, alone, rtol=0, atol=1e-5)


def test_code_is_that_of_the_family_and_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "_CODE", tmp_path)
    files = {
        "modeling_pair.py": "from .layers_base import x\n",
        "configuration_pair.py": "",
        "layers_base.py": "from .numbers_base import y\n",
        "numbers_base.py": "",
        "modeling_base.py": "",
        "__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert [path.name for path in code_files("pair")] == [
        "configuration_pair.py",
        "layers_base.py",
        "modeling_pair.py",
        "numbers_base.py",
    ]
    assert len(code_files("base")) == 3


def test_code_that_is_gone_goes_and_what_a_user_has_stays(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "isoclr"}')
    (tmp_path / "gone_isoclr.py").touch()
    (tmp_path / "train.py").touch()
    write_code(tmp_path)
    assert not (tmp_path / "gone_isoclr.py").exists() and (tmp_path / "train.py").exists()


@pytest.mark.parametrize("family", ["bert", "*", "../x", 3, None])
def test_a_family_without_code_is_one_line(tmp_path, family):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    with pytest.raises(InputError, match="model_type: got .*, wanted a family with code") as error:
        write_code(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_weights_have_the_mode_that_the_umask_gives(tmp_path, umask):
    """safetensors makes its files readable by their owner alone."""
    before = os.umask(umask)
    try:
        write_model_folder(IsoCLRModel(tiny()), IsoCLRTokenizer(), tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert set(modes.values()) == {0o666 & ~umask} and "model.safetensors" in modes
