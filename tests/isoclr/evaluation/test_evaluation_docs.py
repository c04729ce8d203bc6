"""The code of docs/EVALUATION.md, as a reader would paste it."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from data_builders.groups.parquet import read_groups
from data_builders.labels.files import write_label_set
from data_builders.labels.label_set import Join, read_labels
from isoclr.evaluation.embed import embed_transcripts
from isoclr.pretrained import load_model

DOCS = Path(__file__).resolve().parents[3] / "docs" / "EVALUATION.md"


def code_of(heading):
    """The Python blocks of one section."""
    section = DOCS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def stand_in(monkeypatch):
    """A module with the one class of mRNABench that the adapter builds on."""

    class EmbeddingModel:
        def __init__(self, model_version, device):
            self.short_name = self.get_model_short_name(model_version)
            self.device = device
            self.is_sixtrack = False

    module = ModuleType("mrna_bench.models")
    module.EmbeddingModel = EmbeddingModel
    monkeypatch.setitem(sys.modules, "mrna_bench", ModuleType("mrna_bench"))
    monkeypatch.setitem(sys.modules, "mrna_bench.models", module)


@pytest.fixture
def transcripts(groups_folder):
    found = [t for group in read_groups(groups_folder) for t in group.transcripts][:6]
    assert any(t.cds_start >= 0 for t in found) and all(t.exon_junctions for t in found[:1])
    return found


def tracks(transcript):
    """What mRNABench keeps of a transcript: 1 on first bases of codons, 1 on last ones of exons."""
    cds, splice = (np.zeros(len(transcript.sequence), np.int32) for _ in range(2))
    cds[max(transcript.cds_start, 0) : max(transcript.cds_end, 0) : 3] = 1
    splice[[*(np.array(transcript.exon_junctions, int) - 1), -1]] = 1
    return cds, splice


def adapted(model_folder):
    names = {}
    exec(code_of("mRNABench")[0], names)
    return names["IsoCLR"](str(model_folder), torch.device("cpu"))


@torch.no_grad()
def embedded(model, transcripts):
    rows = [model.embed_sequence_sixtrack(t.sequence, *tracks(t)) for t in transcripts]
    assert all(row.shape == rows[0].shape and len(row) == 1 for row in rows)
    return torch.cat(rows).numpy()


def test_the_adapter_embeds_as_we_do(stand_in, model_folder, transcripts):
    model = adapted(model_folder)
    assert model.is_sixtrack and "_" not in model.short_name
    found = embedded(model, transcripts)
    expected = embed_transcripts(*load_model(model_folder), transcripts, progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with torch.no_grad():
        bare = model.embed_sequence(transcripts[0].sequence).numpy()
    assert bare.shape == expected[:1].shape and abs(bare - expected[:1]).max() > 1e-3


def test_inside_mrnabench_itself(model_folder, transcripts):
    pytest.importorskip("mrna_bench", reason="mRNABench (AGPL) is not installed")
    import pandas as pd
    from mrna_bench.embedder import DatasetEmbedder

    enabled = torch.is_grad_enabled()  # it turns autograd off for the process
    try:
        model = adapted(model_folder)
        columns = ("sequence", "cds", "splice")
        rows = [(t.sequence, *tracks(t)) for t in transcripts]
        frame = pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])
        found = DatasetEmbedder.from_dataframe(model, frame).embed_dataset().numpy()
    finally:
        torch.set_grad_enabled(enabled)
    expected = embed_transcripts(*load_model(model_folder), transcripts, progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_metrics_as_documented(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)
    (code,) = code_of("Metrics")
    exec(code, {})


def test_labels_as_documented(clade, groups_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groups").symlink_to(groups_folder)
    (tmp_path / "half_life.tsv").symlink_to(clade.half_life)
    text = (DOCS.parent / "LABELS.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    assert len(names["labels"].targets) > 10


def test_models_of_your_own_as_documented(clade, groups_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    join = Join(isoform_groups=read_groups(groups_folder))
    write_label_set(read_labels(clade.half_life, "half_life", join), "half_life.parquet")
    arrays, function = code_of("Linear probe")
    exec(arrays, {"my_embeddings": lambda transcripts: np.eye(len(transcripts), 3)})
    exec(function.replace("[0.1, 1.0]", "[0.5, 1.0]"), {})  # of 28 train rows
    printed = capsys.readouterr().out
    assert "mine" in printed and "forest" in printed and "k-NN" in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "half_life.parquet",
        "probe.json",
        "probe.png",
    }
