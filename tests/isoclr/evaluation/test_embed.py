import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts, write_embeddings
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return IsoCLRModel(IsoCLRConfig(filters=[4, 6], blocks=[1, 1], dilations=[1, 2])).eval()


def transcripts(*lengths):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), n)) for n in lengths]
    return [Transcript(f"t{i}", f"g{i}", "s", sequence) for i, sequence in enumerate(sequences)]


def test_embeddings_come_in_the_callers_order_at_any_budget(model):
    rows = transcripts(50, 900, 3, 400, 65)
    tokenizer = IsoCLRTokenizer()
    one_by_one = [
        model(**tokenizer(row.sequence, return_tensors="pt")).pooler_output[0].detach().numpy()
        for row in rows
    ]
    for budget in (1, 1024, 1 << 16):
        found = embed_transcripts(model, tokenizer, rows, tokens_per_batch=budget, progress=False)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-5)


def test_a_transcript_that_cannot_be_read_is_named(model):
    bad = Transcript("ENST0", "g", "s", "ACGT", 0, 4)
    with pytest.raises(InputError, match=r"ENST0: got CDS \(0, 4\)"):
        embed_transcripts(model, IsoCLRTokenizer(), [bad], progress=False)


def test_the_file_holds_ids_vectors_and_the_models_name(tmp_path):
    embeddings = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "new" / "e.parquet"
    write_embeddings(path, transcripts(5, 6), embeddings, "a/model")
    table = pq.read_table(path)
    assert table.schema.metadata[b"model"] == b"a/model"
    assert table["embedding"].to_pylist() == embeddings.tolist()
    assert table["transcript_id"].to_pylist() == ["t0", "t1"]
