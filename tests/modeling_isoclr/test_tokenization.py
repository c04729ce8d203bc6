import logging

import numpy as np
import polars as pl
import pytest

from modeling_isoclr import IsoCLRTokenizer, longest_orf
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, pad_tokens


@pytest.fixture
def tokenizer():
    return IsoCLRTokenizer()


def test_token_is_base_plus_codon_start_plus_exon_end(tokenizer):
    tokens = tokenizer.tokenize_transcript("GATGTAAC", cds=(1, 7), exon_junctions=[3])
    #                    G  A      T   G (exon end)...
    assert tokens.tolist() == [2, 0 + 8, 3 + 16, 2, 3 + 8, 0, 0, 1 + 16]
    assert tokens.dtype == np.uint8


def test_u_reads_as_t_and_lower_case_as_upper(tokenizer):
    assert tokenizer("acgunACGTN")["input_ids"] == [0, 1, 2, 3, 4] * 2


def test_one_exon_marks_its_end_and_unknown_structure_marks_nothing(tokenizer):
    assert tokenizer.tokenize_transcript("AC", exon_junctions=[]).tolist() == [0, 1 + 16]
    assert tokenizer.tokenize_transcript("AC", exon_junctions=None).tolist() == [0, 1]
    assert tokenizer.tokenize_transcript("AC", cds=(-1, -1)).tolist() == [0, 1]


def test_a_batch_is_padded_on_the_right(tokenizer):
    batch = tokenizer(
        ["ACG", "ACGTA"],
        cds=[(0, 3), None],
        exon_junctions=[None, [2, 4]],
        padding=True,
        pad_to_multiple_of=4,
        return_tensors="np",
    )
    assert batch["input_ids"].tolist() == [[8, 1, 2, 7, 7, 7, 7, 7], [0, 17, 2, 19, 16, 7, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1] * 3 + [0] * 5, [1] * 5 + [0] * 3]


def test_one_sequence_with_tensors_has_a_batch_of_one(tokenizer):
    assert tokenizer("ACG", return_tensors="pt")["input_ids"].shape == (1, 3)
    assert tokenizer("ACG")["input_ids"] == [0, 1, 2]


def test_decode_gives_the_letters_back(tokenizer):
    ids = tokenizer("ACGTN", cds=(0, 3), exon_junctions=[2])["input_ids"]
    assert tokenizer.decode(ids) == "ACGTN"
    assert tokenizer.decode([0, 5, 7, 3]) == "A<mask><pad>T"
    assert tokenizer.decode([0, 5, 7, 3], skip_special_tokens=True) == "AT"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "ACXG"}, "sequence 0: got letter 'X' at position 2"),
        ({"text": ""}, "sequence 0: got no letters"),
        ({"text": ["ACGT", "ACGé"]}, "sequence 1: got letter 'é' at position 3"),
        ({"text": "ACGT", "cds": (0, 4)}, r"sequence 0: got CDS \(0, 4\)"),
        ({"text": "ACGT", "cds": (3, 6)}, r"sequence 0: got CDS \(3, 6\)"),
        ({"text": "ACGT", "cds": (3, 0)}, r"sequence 0: got CDS \(3, 0\)"),
        ({"text": "ACGT", "exon_junctions": [2, 2]}, r"sequence 0: got exon junctions \[2, 2\]"),
        ({"text": "ACGT", "exon_junctions": [0]}, r"got exon junctions \[0\]"),
        ({"text": "ACGT", "exon_junctions": [4]}, r"got exon junctions \[4\]"),
        ({"text": ["ACGT"], "cds": [None, None]}, "cds: got 2 entries, wanted one a sequence, 1"),
        ({"text": "ACGT", "max_length": 3}, "sequence 0: got 4 nt, wanted at most max_length=3"),
        ({"text": "ACGT", "max_length": 3, "truncation": "left"}, "truncation: got 'left'"),
    ],
)
def test_wrong_input_is_an_error_that_names_record_and_value(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(**arguments)


def test_other_letters_read_as_n_when_asked_for():
    assert IsoCLRTokenizer(unknown_letters="N")("ARG")["input_ids"] == [0, 4, 2]


@pytest.mark.parametrize(
    ("keep", "expected"), [("five_prime", "AACC"), ("three_prime", "ATTT"), ("cds_centre", "GATG")]
)
def test_a_crop_keeps_the_stated_end(tokenizer, keep, expected):
    encoding = tokenizer("AACCGATGGGATTT", cds=(5, 8), max_length=4, truncation=keep)
    assert tokenizer.decode(encoding["input_ids"]) == expected


def test_saves_and_loads(tokenizer, tmp_path):
    IsoCLRTokenizer(unknown_letters="N").save_pretrained(tmp_path)
    loaded = IsoCLRTokenizer.from_pretrained(tmp_path)
    assert loaded("ARG")["input_ids"] == [0, 4, 2]
    assert (loaded.pad_token_id, loaded.mask_token_id, len(loaded)) == (7, 5, 32)


def test_pads_for_stock_collators(tokenizer):
    batch = tokenizer.pad([tokenizer("ACG"), tokenizer("A")], return_tensors="np")
    assert batch["input_ids"].tolist() == [[0, 1, 2], [0, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_parts_stay_in_the_budget_and_hold_every_row_once():
    lengths = np.random.default_rng(0).integers(1, 3000, size=200)
    parts = cut_by_tokens(lengths, 8192)
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    for part in parts:
        rows = [np.zeros(lengths[i], dtype=np.uint8) for i in part]
        assert pad_tokens(rows).size <= 8192


def test_a_row_over_the_budget_is_a_part_of_its_own():
    parts = cut_by_tokens(np.array([100, 5000, 97]), 256)
    assert [part.tolist() for part in parts] == [[1], [0, 2]]


def test_rows_of_a_part_are_of_like_length():
    lengths = np.random.default_rng(1).lognormal(7.3, 0.8, size=2000).astype(int) + 1
    parts = cut_by_tokens(lengths, 65536)
    assert sum(map(len, parts)) == 2000
    for part in parts:
        padding = len(part) * lengths[part].max() - lengths[part].sum()
        assert padding <= max(0.04 * len(part) * lengths[part].max(), 2048)
    padded = {pad_tokens([np.zeros(n, dtype=np.uint8)]).shape[1] for n in range(1, 12289)}
    assert len(padded) < 200  # few shapes, for compilers and allocators


def orf_by_walking(sequence):
    """Every ATG to its stop, one codon at a time."""
    found = []
    for start in range(len(sequence) - 2):
        if sequence[start : start + 3] != "ATG":
            continue
        for i in range(start, len(sequence) - 2, 3):
            codon = sequence[i : i + 3]
            if "N" in codon:
                continue
            if codon in ("TAA", "TAG", "TGA"):
                found.append((start, i + 3))
                break
    return max(found, key=lambda orf: (orf[1] - orf[0], -orf[0]), default=None)


def test_the_longest_orf_is_the_one_found_by_walking():
    rng = np.random.default_rng(0)
    for length in [0, 2, 5, 6, 9] + [60] * 50 + [300] * 50:
        sequence = "".join(rng.choice(list("ACGTN"), length, p=[0.3, 0.1, 0.2, 0.35, 0.05]))
        assert longest_orf(sequence) == orf_by_walking(sequence)
    assert longest_orf("ccauggccuaacc") == (2, 11)


def test_a_cds_is_guessed_only_when_asked_and_says_so(tokenizer, caplog):
    sequences = ["CCATGGCCTAACC", "CCATGGCCTAACC", "CCCC"]
    plain = tokenizer(sequences, cds=[None, (-1, -1), None])
    assert not any(token & 8 for row in plain["input_ids"] for token in row)
    logging.getLogger("transformers").propagate = True
    guessed = tokenizer(sequences, cds=[None, (-1, -1), None], guess_cds=9)
    starts = [[i for i, token in enumerate(row) if token & 8] for row in guessed["input_ids"]]
    assert starts == [[2, 5, 8], [], []]
    assert "guessed the CDS of 1 of 3 sequences" in caplog.text
    assert tokenizer(sequences, guess_cds=12) == tokenizer(sequences)


def test_the_longest_orf_is_most_often_the_annotated_cds(real_data):
    table = pl.read_parquet(real_data / "transcripts" / "transcripts.parquet").filter(
        species="human", cds_source="annotated", biotype="protein_coding"
    )
    rows = table.sample(min(len(table), 1000), seed=0).select("sequence", "cds_start", "cds_end")
    hits = [longest_orf(sequence) == (start, end) for sequence, start, end in rows.rows()]
    assert np.mean(hits) > 0.9
