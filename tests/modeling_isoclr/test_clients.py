"""What clients that nobody here wrote do with the model."""

import shutil

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

from modeling_isoclr import (
    IsoCLRForMaskedLM,
    IsoCLRForPreTraining,
    IsoCLRForTokenClassification,
    IsoCLRModel,
    IsoCLRTokenizer,
)
from toys import random_tokens, tiny, trained_like

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


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_the_pipeline_takes_a_batch_size_and_a_model_that_is_an_object(
    folder, model, tokenizer, batch_size, monkeypatch
):
    expected, sizes, forward = one_by_one(model, tokenizer), [], type(model).forward

    def counted(self, input_ids):
        sizes.append(len(input_ids))
        return forward(self, input_ids)

    monkeypatch.setattr(type(model), "forward", counted)
    made = AutoModelForSequenceClassification.from_pretrained(folder)
    for embed, arguments in (
        (pipeline("isoform-embedding", model=model, batch_size=batch_size), {}),
        (pipeline("isoform-embedding", model=made), {"batch_size": batch_size, "num_workers": 2}),
    ):
        sizes.clear()
        found = embed(iter(RECORDS), **arguments)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert sum(sizes) == len(RECORDS) and max(sizes) <= batch_size
    with pytest.raises(ValueError, match="batch_size: got 0, wanted at least 1"):
        embed(RECORDS, batch_size=0)


def test_the_pipeline_of_a_model_object_has_the_tokenizer_of_its_folder(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    IsoCLRTokenizer(unknown_letters="N").save_pretrained(tmp_path)
    embed = pipeline("isoform-embedding", model=AutoModel.from_pretrained(tmp_path))
    assert np.array_equal(embed("ACR"), embed("ACN"))
    strict = pipeline("isoform-embedding", model=AutoModel.from_config(tiny()))
    with pytest.raises(ValueError, match="record 0: got letter 'R'"):
        strict("ACR")


def test_the_pipeline_names_a_bad_record(folder):
    embed = pipeline("isoform-embedding", model=str(folder))
    with pytest.raises(ValueError, match=r"record 1: got CDS \(0, 4\)"):
        embed([{"sequence": "ACGT"}, {"sequence": "ACGT", "cds": (0, 4)}])
    with pytest.raises(ValueError, match=r"record 0: got \['seq'\]"):
        embed([{"seq": "ACGT"}])
    with pytest.raises(ValueError, match="record 1: got None, wanted a sequence or a record"):
        embed(["ACGT", None])
    with pytest.raises(ValueError, match="inputs: got 7, wanted records or sequences"):
        embed(7)


def test_a_client_of_orthrus_gets_its_four_tracks(model, tokenizer):
    sequence = "acgUNGGA" * 9
    x = model.seq_to_oh(sequence)
    assert x.dtype == torch.float32
    assert x[:4].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert x[4].tolist() == [0.25] * 4  # as the tokenizer has N
    with pytest.raises(ValueError, match="seq: got letter 'R' at position 2"):
        model.seq_to_oh("ACRT")
    x = x.unsqueeze(0)
    lengths = torch.Tensor([x.shape[1]])
    found = model.representation(x, lengths, channel_last=True)
    batch = tokenizer(sequence, return_tensors="pt")
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


def test_the_fill_mask_pipeline(folder):
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    fill = pipeline("fill-mask", model=model, tokenizer=IsoCLRTokenizer())
    tokens = torch.tensor([[0, 1, 5, 3]])
    probabilities = model(tokens).logits[0, 2].softmax(0)
    best = fill("AC<mask>T", top_k=3)
    assert [row["token"] for row in best] == probabilities.topk(3).indices.tolist()
    assert best[0]["score"] == pytest.approx(probabilities.max().item(), rel=1e-5)
    targets = fill("AC<mask>T", targets=["A", "G"])
    assert sorted(row["sequence"] for row in targets) == ["ACAT", "ACGT"]
    for row in targets:
        assert row["score"] == pytest.approx(probabilities[row["token"]].item(), rel=1e-5)
    with pytest.raises(Exception, match="No mask_token"):
        fill("ACGT")


def test_the_token_classification_pipeline(folder):
    names = {0: "stem", 1: "loop", 2: "bulge"}
    model = AutoModelForTokenClassification.from_pretrained(folder, id2label=names).eval()
    classify = pipeline("token-classification", model=model, tokenizer=IsoCLRTokenizer())
    sequences = ["ACGUACGU", "GATTACA" * 9]
    for sequence, found in zip(sequences, classify(sequences, batch_size=2), strict=True):
        tokens = IsoCLRTokenizer()(sequence, return_tensors="pt")
        expected = model(**tokens).logits[0].softmax(1).max(1)
        assert [row["word"] for row in found] == list(sequence.replace("U", "T"))
        assert [row["entity"] for row in found] == [names[i] for i in expected.indices.tolist()]
        scores = [row["score"] for row in found]
        np.testing.assert_allclose(scores, expected.values.detach(), rtol=1e-4)


def test_the_text_classification_pipeline(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
    classify = pipeline("text-classification", model=model, tokenizer=IsoCLRTokenizer())
    (found,) = classify(["GATTACA"], top_k=None)
    tokens = IsoCLRTokenizer()("GATTACA", return_tensors="pt")
    expected = model(**tokens).logits[0].softmax(0).tolist()
    scores = {row["label"]: row["score"] for row in found}
    assert [scores[f"LABEL_{i}"] for i in range(2)] == pytest.approx(expected, rel=1e-4)


def test_the_stock_collator_of_masked_language_models_puts_bases_in(tokenizer):
    torch.manual_seed(0)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.9)
    rows = [tokenizer(s, cds=(0, 300), exon_junctions=[7]) for s in ("ACGT" * 100, "GA" * 150)]
    batch = collate(rows)
    inputs, labels, mask = batch["input_ids"], batch["labels"], batch["attention_mask"].bool()
    assert (labels[~mask] == -100).all() and (inputs[~mask] == tokenizer.pad_token_id).all()
    replaced = inputs[mask & (labels != -100) & (inputs != labels)]
    assert set(replaced.tolist()) == {0, 1, 2, 3, tokenizer.mask_token_id}


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


@pytest.mark.parametrize("head", [IsoCLRForMaskedLM, IsoCLRForTokenClassification])
@pytest.mark.parametrize("pooling", ["stages", "regions"])
def test_every_weight_that_trains_at_nucleotide_resolution_has_a_gradient(head, pooling, tmp_path):
    """Or DistributedDataParallel waits for it, and with gradient checkpointing fails."""
    head(tiny(pooling=pooling)).save_pretrained(tmp_path)
    model = head.from_pretrained(tmp_path).train()
    model.gradient_checkpointing_enable()
    tokens = torch.stack(random_tokens(64, 64))
    model(tokens, labels=torch.zeros_like(tokens)).loss.backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    frozen = {n.split(".")[1] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == ({"pooling"} if pooling == "regions" else set())
    assert all(p.requires_grad for p in IsoCLRModel.from_pretrained(tmp_path).parameters())


def test_the_look_up_cannot_be_resized(model, tokenizer):
    assert model.resize_token_embeddings() is model.embeddings
    assert model.resize_token_embeddings(tokenizer.vocab_size) is model.embeddings
    with pytest.raises(ValueError, match="new_num_tokens: got 33, wanted 32"):
        model.resize_token_embeddings(33)


def test_the_configuration_has_the_numbers_that_clients_ask_for(model):
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers) == (16, 4)
    assert config.projection_dim == config.pooled_size
    assert config.max_position_embeddings == 1 << 20
    with pytest.raises(ValueError, match="num_hidden_layers: got 3, wanted none"):
        tiny(num_hidden_layers=3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    model = IsoCLRModel(tiny())
    with torch.no_grad():
        model.encoder.stages[1][0].conv2.bias[3] = value
    model.save_pretrained(tmp_path)
    message = r"encoder.stages.1.0.conv2.bias: got NaN or infinite weights"
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(tmp_path, output_loading_info=True)
