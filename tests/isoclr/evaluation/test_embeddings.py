import json

import numpy as np
import polars as pl
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embeddings import (
    embed_with,
    embed_with_auto_model,
    features_of,
    is_ours,
    model_names,
    read_embeddings,
)
from isoclr.pretrained import load_model

TRANSCRIPTS = [
    Transcript("a", "g", "s", "ACGTACGTAC"),
    Transcript("b", "g", "s", "TTTT"),
    Transcript("c", "h", "s", "GATTACAGATTACA"),
]


def save_bert(folder, letters, positions=64):
    """A toy BERT whose tokens are single letters."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "bert", "ACGT")


def test_models_are_named_by_their_folder_or_in_full():
    assert list(model_names(["a/small", "large/"])) == ["small", "large"]
    assert list(model_names(["a/small", "b/small"])) == ["a/small", "b/small"]
    with pytest.raises(InputError, match="got no model, wanted at least one"):
        model_names([])
    with pytest.raises(InputError, match="got a model twice among a/m, a/m"):
        model_names(["a/m", "a/m"])


def test_a_model_of_ours_embeds_as_ever(model_folder):
    assert is_ours(model_folder)
    expected = embed_transcripts(*load_model(model_folder), TRANSCRIPTS, progress=False)
    assert (embed_with(model_folder, TRANSCRIPTS) == expected).all()


def test_another_encoder_gives_the_mean_of_its_states(bert):
    assert not is_ours(bert)
    found = embed_with(bert, TRANSCRIPTS)
    assert found.shape == (3, 8) and found.dtype == np.float32
    model = BertModel.from_pretrained(bert).eval()
    letters = {letter: 5 + i for i, letter in enumerate("ACGT")}
    inner = {letter: 9 + i for i, letter in enumerate("ACGT")}
    for row, transcript in zip(found, TRANSCRIPTS, strict=True):
        first, *rest = transcript.sequence
        ids = [2, letters[first], *(inner[letter] for letter in rest), 3]
        with torch.inference_mode():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0, 1:-1]
        np.testing.assert_allclose(row, states.mean(0), rtol=1e-4, atol=1e-6)


def test_long_sequences_go_in_windows(tmp_path):
    folder = save_bert(tmp_path / "short", "ACGT", positions=7)  # five letters and two marks
    found = embed_with_auto_model(folder, TRANSCRIPTS, progress=False)
    assert np.isfinite(found).all()
    ten, letters = TRANSCRIPTS[0], BertTokenizerFast.from_pretrained(folder)
    ids = letters(ten.sequence, add_special_tokens=False)["input_ids"]
    model = BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        parts = [
            model(input_ids=torch.tensor([[2, *ids[i : i + 5], 3]])).last_hidden_state[0, 1:-1]
            for i in (0, 5)
        ]
    np.testing.assert_allclose(found[0], torch.cat(parts).mean(0), rtol=1e-4, atol=1e-6)


def test_an_rna_alphabet_gets_u_for_t(tmp_path):
    folder = save_bert(tmp_path / "rna", "ACGU")
    dna = save_bert(tmp_path / "dna", "ACGT")  # the same weights, the same place of its letters
    found, expected = (
        embed_with_auto_model(each, TRANSCRIPTS, progress=False) for each in (folder, dna)
    )
    np.testing.assert_array_equal(found, expected)


def test_an_encoder_that_does_not_know_the_letters(tmp_path):
    folder = save_bert(tmp_path / "protein", "WXYZ")
    with pytest.raises(InputError, match="transcript 'a': got no known token of its sequence"):
        embed_with_auto_model(folder, TRANSCRIPTS, progress=False)


def test_models_that_do_not_load(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        embed_with(tmp_path / "nowhere", TRANSCRIPTS)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "never-heard-of"}))
    with pytest.raises(InputError, match="odd: .*wanted a model whose code transformers has"):
        embed_with(tmp_path / "odd", TRANSCRIPTS)


# --- Files


def table(**columns):
    return pl.DataFrame({"transcript_id": ["c", "x", "a", "b"], **columns})


VECTORS = [[3.0, 30.0], [9.0, 90.0], [1.0, 10.0], [2.0, 20.0]]
EXPECTED = [[1, 10], [2, 20], [3, 30]]


@pytest.mark.parametrize("column", ["embedding", "vector"])
def test_vectors_are_found_by_transcript(tmp_path, column):
    path = tmp_path / "e.parquet"
    table(**{column: VECTORS}).write_parquet(path)
    assert read_embeddings(path, TRANSCRIPTS).tolist() == EXPECTED


def test_columns_of_numbers_are_a_vector(tmp_path):
    path = tmp_path / "e.tsv"
    first, second = zip(*VECTORS, strict=True)
    frame = table(first=first, second=second).rename({"transcript_id": "id"})
    frame.write_csv(path, separator="\t")
    assert read_embeddings(path, TRANSCRIPTS).tolist() == EXPECTED


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"name": ["a"], "vector": [[1.0]]}), "wanted transcript_id or id"),
        (table().head(3), "got no row for 1 of 3 transcripts, .* the first is 'b'"),
        (table().extend(table()), "transcript_id: got an id twice in 8 rows"),
        (table(), "wanted embedding or vector, or columns of numbers"),
        (table(vector=[[1.0], [1.0, 2.0], [1.0], [1.0]]), "vector: got unlike lists"),
    ],
)
def test_files_without_an_embedding_for_each(tmp_path, frame, message):
    path = tmp_path / "e.parquet"
    frame.write_parquet(path)
    with pytest.raises(InputError, match=f"e.parquet: .*{message}"):
        read_embeddings(path, TRANSCRIPTS)


def test_a_file_named_like_a_model(bert, tmp_path):
    with pytest.raises(InputError, match="e.parquet: got 'bert', a model's name, wanted another"):
        features_of({"bert": bert}, {"bert": tmp_path / "e.parquet"}, TRANSCRIPTS)
