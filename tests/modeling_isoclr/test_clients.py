"""What clients that nobody here wrote do with the model."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)

from modeling_isoclr import IsoCLRForPreTraining, IsoCLRTokenizer
from toys import tiny, trained_like

RECORDS = [
    {"sequence": "ACGATGGCCTAAGG", "cds": (3, 12), "exon_junctions": [7]},
    {"sequence": "ACGU" * 300, "exon_junctions": []},
    {"sequence": "ATG" * 30, "cds": (0, 90)},
    {"sequence": "N"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("repo")
    torch.manual_seed(0)
    trained_like(IsoCLRForPreTraining(tiny())).save_pretrained(path)
    IsoCLRTokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return AutoModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def one_by_one(model, tokenizer):
    rows = []
    for record in RECORDS:
        record = dict(record)
        batch = tokenizer(record.pop("sequence"), return_tensors="pt", **record)
        rows.append(model(**batch).pooler_output[0].detach().numpy())
    return np.stack(rows)


def test_the_feature_extraction_pipeline(folder, model, tokenizer):
    extract = pipeline("feature-extraction", model=str(folder))
    sequences = ["ACGU" * 20, "ATGTAA"]
    for sequence, found in zip(sequences, extract(sequences, batch_size=2), strict=True):
        expected = model(**tokenizer(sequence, return_tensors="pt")).last_hidden_state
        n = expected.shape[1]
        np.testing.assert_allclose(np.array(found)[:, :n], expected.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("tokens_per_batch", [1, 256, 1 << 16])
def test_the_isoform_embedding_pipeline(folder, model, tokenizer, tokens_per_batch):
    embed = pipeline("isoform-embedding", model=str(folder), tokens_per_batch=tokens_per_batch)
    expected = one_by_one(model, tokenizer)
    np.testing.assert_allclose(embed(RECORDS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(embed(RECORDS[0]), expected[0], rtol=0, atol=1e-5)
    bare = model(**tokenizer("ACGATGG", return_tensors="pt")).pooler_output[0].detach()
    np.testing.assert_allclose(embed("ACGATGG"), bare, rtol=0, atol=1e-5)


def test_the_pipeline_names_a_bad_record(folder):
    embed = pipeline("isoform-embedding", model=str(folder))
    with pytest.raises(ValueError, match=r"record 1: got CDS \(0, 4\)"):
        embed([{"sequence": "ACGT"}, {"sequence": "ACGT", "cds": (0, 4)}])
    with pytest.raises(ValueError, match=r"record 0: got \['seq'\]"):
        embed([{"seq": "ACGT"}])


def test_a_client_of_orthrus_gets_its_four_tracks(model, tokenizer):
    sequence = "acgUNGGA" * 9
    x = model.seq_to_oh(sequence)
    assert x.dtype == torch.float32
    assert x[:5].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4]
    x = model.seq_to_oh(sequence.replace("N", "A")).unsqueeze(0)
    lengths = torch.Tensor([x.shape[1]])
    found = model.representation(x, lengths, channel_last=True)
    batch = tokenizer(sequence.replace("N", "A"), return_tensors="pt")
    torch.testing.assert_close(found, model(**batch).pooler_output, rtol=0, atol=1e-6)
    channel_first = model.representation(x.transpose(1, 2), lengths)
    assert torch.equal(channel_first, found)
    whole = model.representation(x, channel_last=True)
    torch.testing.assert_close(whole, found, rtol=0, atol=1e-6)


def test_a_client_of_orthrus_gets_its_six_tracks(model, tokenizer):
    sequence, cds, junctions = "ACGATGGCCTAAGG", (3, 12), [7]
    tracks = np.zeros((len(sequence), 2), dtype=np.float32)
    tracks[3:12:3, 0] = 1
    tracks[[6, 13], 1] = 1
    x = np.hstack([model.seq_to_oh(sequence).numpy(), tracks])
    batch = np.zeros((2, 40, 6), dtype=np.float32)
    batch[:, : len(x)] = x
    batch[1, 5:] = 9  # beyond its length: not looked at
    found = model.representation(torch.tensor(batch), torch.tensor([14, 5]), channel_last=True)
    expected = model(
        **tokenizer(sequence, cds=cds, exon_junctions=junctions, return_tensors="pt")
    ).pooler_output
    assert found.shape == (2, 16)
    torch.testing.assert_close(found[:1], expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="x: got 7 tracks, wanted at most 6"):
        model.representation(torch.ones(1, 9, 7), channel_last=True)


def tokenized(tokenizer, **labels):
    sequences = ["ACGT" * n for n in (3, 10, 21, 5)] * 4
    rows = tokenizer(sequences)
    return Dataset.from_dict({"input_ids": rows["input_ids"]} | labels)


@pytest.mark.parametrize(
    ("auto_class", "arguments", "labels", "collator"),
    [
        (
            AutoModelForSequenceClassification,
            {"num_labels": 1, "problem_type": "regression"},
            {"labels": [0.5, -1.0, float("nan"), 2.0] * 4},
            DataCollatorWithPadding,
        ),
        (
            AutoModelForTokenClassification,
            {"num_labels": 3},
            {"labels": [[i % 3 for i in range(4 * n)] for n in (3, 10, 21, 5)] * 4},
            DataCollatorForTokenClassification,
        ),
        (AutoModelForMaskedLM, {}, {}, DataCollatorForLanguageModeling),
    ],
)
def test_trainer_trains_a_head_with_stock_collators(
    folder, tokenizer, tmp_path, auto_class, arguments, labels, collator
):
    model = auto_class.from_pretrained(folder, **arguments)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = TrainingArguments(
        tmp_path,
        max_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    data = tokenized(tokenizer, **labels)
    trainer = Trainer(model, settings, data_collator=collator(tokenizer), train_dataset=data)
    result = trainer.train()
    assert np.isfinite(result.training_loss)
    changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    parts = {name.split(".")[0] for name in changed}
    assert "isoclr" in parts and parts & {"classifier", "head", "lm_head"}
    assert all(p.isfinite().all() for p in model.parameters())
