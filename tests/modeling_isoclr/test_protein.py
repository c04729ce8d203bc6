"""The protein alphabet: its tokens, its look-up table, and what must hold of any alphabet."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import AMINO_ACIDS, MASK_BASE, N_BASE, PAD_BASE
from modeling_isoclr.layers_isoclr import residue_table
from modeling_isoclr.tokenization_isoclr import pad_tokens

TINY = {"filters": [8, 16], "blocks": [1, 1], "dilations": [1, 2], "norm": "layer"}


@pytest.fixture
def tokenizer():
    return IsoCLRTokenizer(alphabet="protein")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return IsoCLRModel(IsoCLRConfig(alphabet="protein", **TINY)).eval()


def test_every_letter_has_a_token_of_its_own_that_pads_and_masks_as_rna_does(tokenizer):
    letters = AMINO_ACIDS + "BZJUOX"
    tokens = tokenizer.tokenize_transcript(letters).tolist()
    assert len(set(tokens)) == 26
    assert not {MASK_BASE, PAD_BASE} & set(tokens)
    assert tokens[-1] == N_BASE
    assert tokenizer.tokenize_transcript(letters.lower()).tolist() == tokens
    assert tokenizer.decode(tokens) == letters
    assert tokenizer.decode([*tokens[:2], MASK_BASE, PAD_BASE], skip_special_tokens=True) == "AC"
    assert tokenizer.convert_tokens_to_ids(list(letters)) == tokens
    assert len(tokenizer.get_vocab()) == tokenizer.vocab_size == 32
    assert tokenizer.pad_token_id == PAD_BASE
    assert tokenizer.get_special_tokens_mask(
        [*tokens, PAD_BASE], already_has_special_tokens=True
    ) == [0] * 26 + [1]


@pytest.mark.parametrize(
    ("sequence", "marks", "message"),
    [
        ("MK*", {}, r"protein 1: got letter '\*' at position 2, wanted an amino acid"),
        ("MK1", {}, "got letter '1'"),
        ("", {}, "got no letters"),
        ("MKV", {"cds": (0, 3)}, "got a CDS or exon junctions of a protein"),
        ("MKV", {"exon_junctions": []}, "got a CDS or exon junctions of a protein"),
    ],
)
def test_what_is_no_protein_is_an_error(tokenizer, sequence, marks, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.tokenize_transcript(sequence, record="protein 1", **marks)


def test_unknown_letters_read_as_x_where_asked_for():
    assert IsoCLRTokenizer("X", "protein").decode([4]) == "X"
    assert IsoCLRTokenizer("X", "protein")("M*")["input_ids"][1] == N_BASE
    with pytest.raises(ValueError, match="wanted 'error' or 'X'"):
        IsoCLRTokenizer("N", "protein")
    with pytest.raises(ValueError, match="alphabet: got 'dna'"):
        IsoCLRTokenizer(alphabet="dna")


def test_the_table_has_a_track_an_amino_acid_and_halves_of_ambiguous_ones(tokenizer):
    table = residue_table(20, 0.05)
    rows = table[torch.from_numpy(tokenizer.tokenize_transcript(AMINO_ACIDS)).long()]
    assert torch.equal(rows, torch.eye(20))
    ambiguous = table[torch.from_numpy(tokenizer.tokenize_transcript("BZJUO")).long()]
    assert torch.equal(ambiguous.sum(1), torch.ones(5))
    assert ambiguous[0, [AMINO_ACIDS.index("D"), AMINO_ACIDS.index("N")]].tolist() == [0.5, 0.5]
    assert ambiguous[3, AMINO_ACIDS.index("C")] == 1
    assert torch.equal(table[[N_BASE, MASK_BASE]], torch.full((2, 20), 0.05))
    assert not table[[PAD_BASE, 6, 29, 30, 31]].any()


def test_defaults_follow_the_alphabet():
    protein, rna = IsoCLRConfig(alphabet="protein"), IsoCLRConfig()
    assert (protein.n_tracks, protein.unknown_value) == (20, 0.05)
    assert (rna.alphabet, rna.n_tracks, rna.unknown_value) == ("rna", 6, 0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphabet": "dna"}, "alphabet: got 'dna'"),
        ({"alphabet": "protein", "n_tracks": 6}, "n_tracks: got 6 of proteins"),
        ({"alphabet": "protein", "pooling": "regions"}, "pooling: got 'regions' of proteins"),
    ],
)
def test_bad_configurations_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        IsoCLRConfig(**arguments)


def test_padding_does_not_change_an_embedding(model, tokenizer):
    rows = [tokenizer.tokenize_transcript(s) for s in ("MKVLAAGIVGLC", "MX", "W" * 77)]
    together = model(torch.from_numpy(pad_tokens(rows))).pooler_output
    for row, pooled in zip(rows, together, strict=True):
        alone = model(torch.from_numpy(row)[None]).pooler_output[0]
        torch.testing.assert_close(alone, pooled, rtol=1e-5, atol=1e-6)


def test_a_saved_protein_model_comes_back_by_the_auto_classes(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, its_tokenizer = (
        AutoModel.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    assert its_tokenizer.alphabet == "protein"
    batch = its_tokenizer(["MKV", "MKVLAA"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).pooler_output
        assert torch.equal(loaded.eval()(**batch).pooler_output, expected)
